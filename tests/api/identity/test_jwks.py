"""Keys of an identity provider: a real one over HTTP, fetched while no request waits."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic, time
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from api.identity.jwks import MAX_BYTES, RETRY_SECONDS, FetchedKeys
from api.identity.principal import Role
from api.identity.tokens import InvalidToken, TokenCheck
from api.problems import Problem
from tests.api.identity.credentials import bearer
from tests.api.identity.provider import Provider, a_provider, serving
from tests.api.requests import SUMMARY, ask
from tests.services import Services
from tests.weir import Weir, throwaway_weir

SOON: Final = 10.0


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110 - of a provider and a cache that know no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def checked_with(
    provider: Provider, refresh: float = 300, unknown_key: float = 0
) -> AsyncIterator[tuple[FetchedKeys, TokenCheck]]:
    async with FetchedKeys(provider.url, refresh=refresh, unknown_key=unknown_key) as keys:
        yield keys, TokenCheck(keys, clock=time)


@pytest.mark.services
async def test_tokens_of_each_kind_of_key_are_taken() -> None:
    provider = a_provider()
    provider.add_rsa("first")
    provider.add_ec("second")
    async with serving(provider), checked_with(provider) as (_, check):
        for key_id in ("first", "second"):
            principal = await check.principal(provider.sign(key_id, roles=["analyst"]))
            assert (principal.subject, principal.roles) == ("alice", frozenset({Role.ANALYST}))
    assert provider.asked == 1


@pytest.mark.services
async def test_a_public_key_is_no_secret() -> None:
    """The oldest trick: HS256 with the published key as the secret."""
    provider = a_provider()
    provider.add_rsa("first")
    public = provider.keys["first"].public_key()
    claims = {"sub": "root", "roles": ["admin"], "exp": time() + 600}
    async with serving(provider), checked_with(provider) as (_, check):
        await check.principal(provider.sign("first"))
        for encoding, form in (
            (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
            (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
            (serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
        ):
            forged = hs256(claims, public.public_bytes(encoding, form), "first")
            with pytest.raises(InvalidToken, match="wrong algorithm"):
                await check.principal(forged)


async def no_public_key_opens(weir: Weir, provider: Provider) -> None:
    public = provider.keys["first"].public_key()
    claims = {"sub": "root", "roles": ["admin"], "exp": time() + 600}
    for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
        secret = public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
        headers = bearer(hs256(claims, secret, "first"))
        refused = await ask(weir, "GET", SUMMARY, headers=headers)
        refused.problem(401)
        assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


def hs256(claims: dict[str, Any], secret: bytes, key_id: str) -> str:
    """By hand: PyJWT refuses to sign with what looks like a public key."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    header = {"alg": "HS256", "typ": "JWT", "kid": key_id}
    signed = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    return f"{signed}.{part(hmac.digest(secret, signed.encode(), 'sha256'))}"


@pytest.mark.services
async def test_a_key_checks_no_token_of_another_algorithm_or_another_key() -> None:
    provider, other = a_provider(), a_provider()
    provider.add_rsa("first")
    provider.add_ec("second")
    other.add_rsa("first")
    other.add_ec("second")
    rs512 = jwt.encode(
        {"sub": "root", "exp": time() + 600},
        provider.keys["first"],
        algorithm="RS512",
        headers={"kid": "first"},
    )
    crossed = jwt.encode(
        {"sub": "root", "exp": time() + 600},
        provider.keys["second"],
        algorithm="ES256",
        headers={"kid": "first"},
    )
    async with serving(provider), checked_with(provider) as (_, check):
        for token in (other.sign("first"), other.sign("second"), rs512, crossed):
            with pytest.raises(InvalidToken):
                await check.principal(token)


@pytest.mark.services
async def test_a_token_names_its_key_unless_there_is_only_one() -> None:
    provider = a_provider()
    provider.add_rsa("first")
    unnamed = jwt.encode(
        {"sub": "alice", "exp": time() + 600}, provider.keys["first"], algorithm="RS256"
    )
    async with serving(provider), checked_with(provider) as (_, check):
        assert (await check.principal(unnamed)).subject == "alice"
    provider.add_rsa("second")
    async with serving(provider), checked_with(provider, unknown_key=60) as (_, check):
        with pytest.raises(InvalidToken, match="unknown key"):
            await check.principal(unnamed)


@pytest.mark.services
async def test_a_new_key_is_known_at_its_first_token_and_a_removed_one_ends() -> None:
    provider = a_provider()
    provider.add_rsa("old")
    async with serving(provider), checked_with(provider) as (_, check):
        old = provider.sign("old")
        await check.principal(old)
        provider.add_ec("new")
        assert (await check.principal(provider.sign("new"))).subject == "alice"
        last = provider.sign("old")
        del provider.keys["old"]
        provider.add_ec("newest")
        await check.principal(provider.sign("newest"))
        # Remembered ones end with their key too.
        for token in (old, last):
            with pytest.raises(InvalidToken, match="unknown key"):
                await check.principal(token)


@pytest.mark.services
async def test_keys_are_refreshed_without_being_asked() -> None:
    provider = a_provider()
    provider.add_ec("first")
    async with serving(provider), checked_with(provider, refresh=0.02) as (keys, check):
        await check.principal(provider.sign("first"))
        provider.add_ec("second")
        await eventually(lambda: keys.find("second") is not None)


@pytest.mark.services
async def test_many_unknown_keys_make_one_fetch() -> None:
    provider = a_provider()
    provider.add_ec("first")
    async with serving(provider), checked_with(provider, unknown_key=60) as (_, check):
        await check.principal(provider.sign("first"))
        token = provider.sign("first")
        header = {"alg": "ES256", "kid": "guessed-"}
        guessed = [
            jwt.encode({}, provider.keys["first"], "ES256", {**header, "kid": f"guessed-{number}"})
            for number in range(200)
        ]
        results = await asyncio.gather(
            *(check.principal(each) for each in guessed), return_exceptions=True
        )
        assert {type(each) for each in results} == {InvalidToken}
        await check.principal(token)
    assert provider.asked == 1


@pytest.mark.services
@pytest.mark.parametrize("status", [200, 500])
async def test_unknown_keys_during_a_slow_fetch_make_no_other_one(status: int) -> None:
    provider = a_provider()
    provider.add_ec("first")
    provider.status = status
    provider.goes_on.clear()
    async with serving(provider), checked_with(provider, unknown_key=60) as (keys, _):
        await eventually(lambda: provider.asked == 1)
        asking = [asyncio.create_task(keys.find_anew(f"guessed-{number}")) for number in range(50)]
        await asyncio.sleep(0)
        provider.goes_on.set()
        await asyncio.gather(*asking, return_exceptions=True)
        # One that were under way now, these would wait for.
        for _ in range(50):
            await asyncio.gather(keys.find_anew("guessed"), return_exceptions=True)
    assert provider.asked == 1


@pytest.mark.services
async def test_unknown_keys_do_not_hasten_fetches_that_fail() -> None:
    provider = a_provider()
    provider.add_ec("first")
    async with serving(provider), checked_with(provider) as (keys, check):
        await check.principal(provider.sign("first"))
        provider.status = 500
        began = monotonic()
        for _ in range(50):
            assert await keys.find_anew("guessed") is None
        assert monotonic() - began < RETRY_SECONDS[0]
    assert provider.asked == 2


@pytest.mark.services
async def test_a_known_key_waits_for_no_fetch() -> None:
    provider = a_provider()
    provider.add_ec("first")
    async with serving(provider), checked_with(provider, refresh=0.01) as (_, check):
        await check.principal(provider.sign("first"))
        provider.goes_on.clear()
        asked = provider.asked
        await eventually(lambda: provider.asked > asked)
        # The fetch hangs now.
        started = monotonic()
        for _ in range(10):
            await check.principal(provider.sign("first", jti=str(_)))
        assert monotonic() - started < 1


@pytest.mark.services
async def test_keys_stay_usable_while_the_provider_is_away_and_new_ones_come_when_it_is_back() -> (
    None
):
    provider = a_provider()
    provider.add_ec("first")
    async with checked_with(provider, refresh=0.01) as (keys, check):
        async with serving(provider):
            await eventually(lambda: keys.problem() is None)
            await check.principal(provider.sign("first"))
        started = monotonic()
        provider.add_ec("second")
        with pytest.raises(InvalidToken):
            await check.principal(provider.sign("second"))
        assert monotonic() - started < 4
        await check.principal(provider.sign("first"))
        assert keys.problem() is None
        async with serving(provider):
            await eventually(lambda: keys.find("second") is not None)


@pytest.mark.services
@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (500, None, {}),
        (302, None, {"Location": "http://127.0.0.1:1/"}),
        (200, b"<html>", {}),
        (200, b"[]", {}),
        (200, b'{"keys": {}}', {}),
        (200, b'{"keys": []}', {}),
        (200, b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "first"}]}', {}),
        (200, b" " * (MAX_BYTES + 1), {}),
        (200, b"[" * 100_000, {}),
    ],
)
async def test_an_answer_that_is_no_key_set_replaces_nothing(
    status: int, body: bytes | None, headers: dict[str, str]
) -> None:
    provider = a_provider()
    provider.add_ec("first")
    async with serving(provider), checked_with(provider) as (keys, check):
        await check.principal(provider.sign("first"))
        provider.status, provider.body, provider.headers = status, body, headers
        asked = provider.asked
        assert await keys.find_anew("unknown") is None
        assert provider.asked > asked
        await check.principal(provider.sign("first", jti="again"))
        assert keys.problem() is None


@pytest.mark.services
async def test_without_any_keys_nobody_is_refused_for_good() -> None:
    provider = a_provider()
    provider.add_ec("first")
    async with checked_with(provider) as (keys, check):
        with pytest.raises(Problem) as caught:
            await check.principal(provider.sign("first"))
        assert caught.value.status == 503
        assert "Retry-After" in caught.value.headers
        assert f"127.0.0.1:{provider.port}" in str(keys.problem())
        async with serving(provider):
            await eventually(lambda: keys.problem() is None)
            await check.principal(provider.sign("first"))


@pytest.mark.services
async def test_an_edge_without_keys_is_not_ready_and_says_so(
    services: Services, tmp_path: Path
) -> None:
    provider = a_provider()
    provider.add_rsa("first")
    async with throwaway_weir(services, tmp_path) as weir:
        weir.launch_api(
            {"WEIR_AUTH": "required", "WEIR_JWT_SECRET": "", "WEIR_JWKS_URL": provider.url}
        )

        async def only_keys_are_missing() -> bool:
            try:
                answer = await ask(weir, "GET", "/readyz")
            except OSError:
                return False
            return answer.status == 503 and set(answer.json["not_ready"]) == {"identity"}

        await weir.eventually(only_keys_are_missing)
        problem = (await ask(weir, "GET", "/readyz")).problem(503)
        assert f"127.0.0.1:{provider.port}" in problem["not_ready"]["identity"]
        headers = bearer(provider.sign("first", roles=["analyst"]))
        refused = await ask(weir, "GET", SUMMARY, headers=headers)
        refused.problem(503)
        assert int(refused.headers["Retry-After"]) > 0
        async with serving(provider):
            await weir.eventually(weir.api_ready)
            assert (await ask(weir, "GET", SUMMARY, headers=headers)).status == 200
        await no_public_key_opens(weir, provider)
        # It is away again, and what it signed stays good.
        other = bearer(provider.sign("first", roles=["analyst"], jti="other"))
        assert (await ask(weir, "GET", SUMMARY, headers=other)).status == 200
        assert await weir.api_ready()
