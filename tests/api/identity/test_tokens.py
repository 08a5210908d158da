"""Tokens: which are taken, whom they name, and how long they are remembered."""

import base64
import json
from typing import Any, Final

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.identity.principal import Principal, Role
from api.identity.tokens import (
    LEEWAY_SECONDS,
    MAX_TOKEN_CHARACTERS,
    InvalidToken,
    SharedSecret,
    TokenCheck,
    VerificationKey,
)

NOW: Final = 1_795_512_600.0
SECRET: Final = "s" * 64
GOOD: Final[dict[str, object]] = {"sub": "alice", "exp": int(NOW) + 600}


# PyJWT's types know no such token.
UNSIGNED: Final = jwt.encode(GOOD, None, algorithm="none")  # type: ignore[arg-type]


class Time:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


# Claims are of any type, since tokens may hold anything.
def token(secret: str = SECRET, headers: dict[str, Any] | None = None, **changed: Any) -> str:  # noqa: ANN401
    """A good token with changes; a claim that is None is left out."""
    claims = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    return jwt.encode(claims, secret, algorithm="HS256", headers=headers)


def check(
    time: Time | None = None, issuer: str = "", audience: str = "", max_remembered: int = 10
) -> TokenCheck:
    return TokenCheck(
        SharedSecret(SECRET),
        issuer=issuer,
        audience=audience,
        clock=time or Time(),
        max_remembered=max_remembered,
    )


async def roles_of(roles: object) -> set[Role]:
    return set((await check().principal(token(roles=roles))).roles)


async def test_a_good_token_names_its_user() -> None:
    assert await check().principal(token()) == Principal("alice", frozenset({Role.USER}))


async def test_roles_come_as_a_list_or_as_words_and_unknown_ones_do_nothing() -> None:
    assert await roles_of(["analyst", "admin"]) == {Role.ANALYST, Role.ADMIN}
    assert await roles_of("openid producer") == {Role.PRODUCER}
    for none in (None, [], "", "Admin", ["offline_access", ["admin"], 1], {"admin": True}, 7, True):
        assert await roles_of(none) == {Role.USER}


@pytest.mark.parametrize("claim", ["exp", "sub"])
async def test_what_is_required_is_missed(claim: str) -> None:
    without = {name: value for name, value in GOOD.items() if name != claim}
    with pytest.raises(InvalidToken, match=claim):
        await check().principal(raw_token(without))


@pytest.mark.parametrize(
    "subject", ["", "a" * 257, "a\nb", "a\x00b", "a\u202eb", "\ud800", "\u200b", 7, ["alice"], True]
)
async def test_a_sub_that_is_no_user_id_is_refused(subject: object) -> None:
    # PyJWT itself writes only strings, and refuses none of these.
    with pytest.raises(InvalidToken):
        await check().principal(raw_token({**GOOD, "sub": subject}))


@pytest.mark.parametrize("subject", ["a" * 256, "auth0|5f7c", "käthe@example.com", "a b", "李"])
async def test_other_subs_are_users(subject: str) -> None:
    assert (await check().principal(token(sub=subject))).subject == subject


async def test_times_hold_with_a_leeway() -> None:
    time = Time()
    checked = check(time)
    bounded = token(exp=NOW + 100, nbf=NOW + 50)
    time.now = NOW + 50 - LEEWAY_SECONDS - 0.1
    with pytest.raises(InvalidToken, match="not yet valid"):
        await checked.principal(bounded)
    time.now = NOW + 50 - LEEWAY_SECONDS
    await checked.principal(bounded)
    time.now = NOW + 100 + LEEWAY_SECONDS - 0.1
    await checked.principal(bounded)
    time.now = NOW + 100 + LEEWAY_SECONDS
    with pytest.raises(InvalidToken, match="expired"):
        await checked.principal(bounded)


async def test_a_token_from_the_future_is_refused() -> None:
    with pytest.raises(InvalidToken, match="not yet valid"):
        await check().principal(token(iat=NOW + LEEWAY_SECONDS + 1))


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("written", ["1e999", "-1", "true", '"soon"', "NaN", "1" * 400, "[]", "{}"])
async def test_a_time_that_is_none_is_refused(claim: str, written: str) -> None:
    payload = json.dumps(GOOD)[:-1] + f', "{claim}": {written}}}'
    with pytest.raises(InvalidToken):
        await check().principal(raw_token(payload))


async def test_issuer_and_audience_are_held_to_what_is_set() -> None:
    strict = check(issuer="https://login.example.com", audience="weir")
    good: dict[str, Any] = {"iss": "https://login.example.com", "aud": ["other", "weir"]}
    assert (await strict.principal(token(**good))).subject == "alice"
    for wrong in (
        {**good, "iss": "https://evil.example.com"},
        {**good, "iss": None},
        {**good, "aud": "other"},
        {**good, "aud": None},
    ):
        with pytest.raises(InvalidToken):
            await strict.principal(token(**wrong))


async def test_a_token_for_some_audience_is_refused_where_none_is_expected() -> None:
    with pytest.raises(InvalidToken, match="audience"):
        await check().principal(token(aud="billing"))


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "garbage",
        "a.b.c",
        "....",
        "eyJ",
        token() + "x",
        token()[:-2],
        token("t" * 64),
        "x" * 10_000,
        token() + "." + "x" * MAX_TOKEN_CHARACTERS,
        UNSIGNED,
        UNSIGNED + token().rpartition(".")[2],
        jwt.encode(GOOD, SECRET, algorithm="HS512"),
        token(headers={"crit": ["b64"], "b64": False}),
        # Deeper than a parser goes, and a number longer than Python reads.
        ".".join([base64.urlsafe_b64encode(b"[" * 4_000).decode(), "e30", "x"]),
        ".".join([base64.urlsafe_b64encode(b"1" * 5_000).decode(), "e30", "x"]),
        "\u00e9.\u00e9.\u00e9",
        "\ud800",
    ],
    ids=lambda bad: f"{bad[:20]!r} of {len(bad)}",
)
async def test_what_is_no_good_token_is_refused(bad: str) -> None:
    with pytest.raises(InvalidToken):
        await check().principal(bad)


def raw_token(payload: object) -> str:
    """A well-signed token with any payload at all: text is taken as it is."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return jwt.PyJWS().encode(text.encode(), SECRET, algorithm="HS256", headers={"typ": "JWT"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.text() | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
async def test_any_text_is_refused_and_breaks_nothing(text: str) -> None:
    with pytest.raises(InvalidToken):
        await check().principal(text)


@given(
    st.dictionaries(
        st.sampled_from(["sub", "exp", "nbf", "iat", "iss", "aud", "roles", "jti"]), json_values
    )
    | json_values
)
async def test_any_signed_claims_are_a_user_or_refused(claims: object) -> None:
    if isinstance(claims, dict):
        claims = {**GOOD, **claims}
    try:
        principal = await check().principal(raw_token(claims))
    except InvalidToken:
        return
    assert 0 < len(principal.subject) <= 256
    assert principal.roles <= set(Role)


class Rotating:
    """A key that is replaced, and how often it was asked for."""

    def __init__(self) -> None:
        self.generation = 0
        self.asked = 0
        self.secret = SECRET

    def find(self, key_id: str | None) -> VerificationKey:
        self.asked += 1
        return VerificationKey("HS256", self.secret.encode())

    async def find_anew(self, key_id: str | None) -> VerificationKey:
        return self.find(key_id)

    def problem(self) -> None:
        return None


async def test_a_checked_token_is_remembered_until_the_keys_are_others() -> None:
    keys = Rotating()
    checked = TokenCheck(keys, clock=Time())
    known = token()
    assert await checked.principal(known) is await checked.principal(known)
    assert keys.asked == 1
    keys.secret, keys.generation = "t" * 64, 1
    with pytest.raises(InvalidToken, match="signature"):
        await checked.principal(known)


async def test_the_tokens_used_last_are_remembered_and_no_more_than_the_bound() -> None:
    keys = Rotating()
    checked = TokenCheck(keys, clock=Time(), max_remembered=2)
    first, second, third = (token(sub=name) for name in ("a", "b", "c"))
    for each in (first, second, first, third):
        await checked.principal(each)
    assert keys.asked == 3
    await checked.principal(first)
    assert keys.asked == 3
    await checked.principal(second)
    assert keys.asked == 4


async def test_a_refused_token_is_not_remembered() -> None:
    keys = Rotating()
    checked = TokenCheck(keys, clock=Time())
    for _ in range(2):
        with pytest.raises(InvalidToken):
            await checked.principal(token("t" * 64))
    assert keys.asked == 2
