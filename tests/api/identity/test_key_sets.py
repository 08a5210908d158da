"""JSON Web Key Sets: which of their keys are taken."""

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from api.identity.jwks import MAX_KEYS, Unusable, key_set
from tests.api.identity.provider import Provider


def written(provider: Provider, *extra: object) -> bytes:
    keys = [*extra, *(provider.jwk(key_id) for key_id in provider.keys)]
    return json.dumps({"keys": keys}).encode()


def test_a_key_set_is_taken_for_what_can_be_used_of_it() -> None:
    provider = Provider(0)
    provider.add_ec("good")
    provider.add_rsa("small", bits=1024)
    provider.add_rsa("encryption")
    good, small, encryption = (provider.jwk(each) for each in ("good", "small", "encryption"))
    del provider.keys["small"], provider.keys["encryption"]
    key = provider.keys["good"]
    assert isinstance(key, EllipticCurvePrivateKey)
    private = jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    entries: list[object] = [
        None,
        7,
        "key",
        {},
        small,
        {**encryption, "use": "enc"},
        {**encryption, "alg": "RSA-OAEP"},
        {**encryption, "alg": "RS512"},
        {**encryption, "kid": 7},
        {**encryption, "kid": "k" * 1_000},
        {**encryption, "key_ops": ["encrypt"]},
        {**encryption, "key_ops": 7},
        {**encryption, "n": 7},
        {**encryption, "n": "!"},
        {**encryption, "n": None},
        {**encryption, "e": "AA"},
        {**good, "kid": "other curve", "crv": "P-384"},
        {**good, "kid": "no point", "x": good["y"]},
        {**private, "kid": "private"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        {"kty": "OKP", "crv": "Ed25519", "x": good["x"], "kid": "edwards"},
    ]
    keys = key_set(written(provider, *entries))
    assert set(keys) == {"good", None}
    assert keys["good"].algorithm == "ES256"


def test_a_key_set_is_bounded() -> None:
    provider = Provider(0)
    provider.add_ec("good")
    good = provider.jwk("good")
    many = [{**good, "kid": str(number)} for number in range(MAX_KEYS + 50)]
    assert len(key_set(json.dumps({"keys": many}).encode())) == MAX_KEYS


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b"{}", b'{"keys": 1}', b'{"keys": []}']
)
def test_what_is_no_key_set_is_said(body: bytes) -> None:
    with pytest.raises(Unusable):
        key_set(body)
