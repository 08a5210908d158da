"""Credentials that are none: 401 that says no more than that, and nothing of them in a log."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

import jwt
import pytest
from multidict import CIMultiDict

from tests.api.identity.credentials import bearer, claims, signed
from tests.api.requests import EVENTS, JSON, SUMMARY, Answer, ask
from tests.weir import Weir

pytestmark = pytest.mark.services

Headers = Sequence[tuple[str, str]]
EVENT: Final = b'{"event_type": "page_view", "path": "/refused"}'
PLAN: Final = "/api/user/plan"
SPEND: Final = b'{"count": 1}'
# Where credentials are looked at: by the framework, and by each of the two ways past it.
ROUTES: Final = (("GET", SUMMARY, None), ("POST", EVENTS, EVENT), ("POST", PLAN, SPEND))
OPEN: Final = [200, 202, 200]
REFUSED: Final = [403] * len(ROUTES)


async def answers(weir: Weir, headers: Headers) -> list[Answer]:
    """At each of these places."""
    found = []
    for method, target, body in ROUTES:
        sent = CIMultiDict(headers)
        if body:
            sent.extend(JSON)
        found.append(await ask(weir, method, target, body, sent))
    return found


def bad_tokens(weir: Weir) -> Mapping[str, str]:
    now = int(time.time())
    secret = weir.environment["WEIR_JWT_SECRET"]
    good = signed(weir)
    # PyJWT's types know no such token.
    unsigned = jwt.encode(claims(), None, algorithm="none")  # type: ignore[arg-type]
    return {
        "expired": signed(weir, exp=now - 60),
        "not yet valid": signed(weir, nbf=now + 60),
        "issued tomorrow": signed(weir, iat=now + 86_400),
        "wrongly signed": jwt.encode(claims(), "another" * 10, algorithm="HS256"),
        "altered": good[:-3] + ("AAA" if good[-3:] != "AAA" else "BBB"),
        "alg none": unsigned,
        "alg none with a signature": unsigned + good.rpartition(".")[2],
        "another algorithm": jwt.encode(claims(), secret * 2, algorithm="HS512"),
        "wrong issuer": signed(weir, iss="https://evil.example.com"),
        "no issuer": signed(weir, iss=None),
        "wrong audience": signed(weir, aud="billing"),
        "no audience": signed(weir, aud=None),
        "no sub": signed(weir, sub=None),
        "empty sub": signed(weir, sub=""),
        "control character in sub": signed(weir, sub="alice\nroot"),
        "no exp": signed(weir, exp=None),
        "10,000 characters": "x" * 10_000,
        "10,000 characters, well signed": signed(weir, padding="x" * 10_000),
        "garbage": "garbage",
        "three dots": "...",
        "unknown key": "weir_w_" + "0" * 49,
        "prefix of keys": "weir_",
        "key of another kind": "weir_x_" + "0" * 49,
    }


async def test_a_bad_token_is_refused_and_why_stays_unsaid(guarded: Weir) -> None:
    bodies = set()
    for name, token in bad_tokens(guarded).items():
        for answer in await answers(guarded, [*bearer(token).items()]):
            answer.problem(401)
            assert answer.headers["WWW-Authenticate"] == (
                'Bearer realm="weir", error="invalid_token"'
            ), name
            bodies.add(answer.body)
    assert len(bodies) == 1


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Basic YWxpY2U6c2VjcmV0")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", "")],
        [("Authorization", "{good}")],
        [("Authorization", "Token {good}")],
        [("Authorization", "Bearer {good} {good}")],
        [("Authorization", "Bearer {good}"), ("Authorization", "Bearer {good}")],
        [("Authorization", "Basic YWxpY2U6c2VjcmV0"), ("Authorization", "Bearer {good}")],
        [("Authorization", "Bearer {good}, Bearer {good}")],
    ],
)
async def test_what_is_not_one_bearer_token_is_refused(guarded: Weir, headers: Headers) -> None:
    sent = [(name, value.replace("{good}", signed(guarded))) for name, value in headers]
    for answer in await answers(guarded, sent):
        answer.problem(401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
async def test_the_scheme_is_read_in_any_case(guarded: Weir, scheme: str) -> None:
    sent = [("authorization", f"{scheme} {signed(guarded, roles=['admin'])}")]
    assert [answer.status for answer in await answers(guarded, sent)] == OPEN


async def test_credentials_elsewhere_are_not_looked_for(guarded: Weir) -> None:
    token = signed(guarded, roles=["admin"])
    sent = [("Cookie", f"token={token}"), ("X-Api-Key", token), ("Proxy-Authorization", token)]
    assert [answer.status for answer in await answers(guarded, sent)] == [401] * len(ROUTES)


async def test_a_local_weir_takes_nobody_with_bad_credentials_for_its_user(edge: Weir) -> None:
    for token in ("garbage", signed(edge, exp=1), "weir_w_" + "0" * 49):
        for answer in await answers(edge, [*bearer(token).items()]):
            answer.problem(401)
    # None at all are those of the user demo, who is not limited.
    found = await answers(edge, [])
    assert [answer.status for answer in found] == OPEN
    assert [answer for answer in found if "RateLimit" in answer.headers] == []


async def test_who_asks_is_told_before_what_is_wrong_with_the_question(guarded: Weir) -> None:
    for target in (f"{SUMMARY}?limit=many", f"{SUMMARY}?from=yesterday", "/dead-letters/7"):
        (await ask(guarded, "GET", target)).problem(401)
    for target in (EVENTS, PLAN):
        (await ask(guarded, "POST", target, b"{", {"Content-Type": "text/plain"})).problem(401)


@pytest.mark.parametrize(
    "query",
    [
        "key={token}",
        "api_key=x",
        "API-Key=x",
        "apikey=",
        "write_key=x",
        "read_key=x",
        "token=x",
        "access_token={token}",
        "Access_Token=x",
        "authorization=Bearer%20x",
        "path=%2F&access%5Ftoken=x",
        "anything={token}",
        "path=/reset/{token}",
        "anything={key}",
        "{key}",
        "path=weir%5Fw%5F" + "0" * 49,
    ],
)
async def test_credentials_in_a_url_are_refused_whatever_they_open(
    guarded: Weir, query: str
) -> None:
    token = signed(guarded, roles=["admin"])
    asked = query.replace("{token}", token).replace("{key}", "weir_w_" + "7" * 49)
    for method, target, body in (*ROUTES, ("GET", "/healthz", None), ("GET", "/nowhere", None)):
        answer = await ask(guarded, method, f"{target}?{asked}", body, {**bearer(token), **JSON})
        problem = answer.problem(400)
        assert "Authorization: Bearer" in problem["detail"]


async def test_credentials_in_a_path_are_refused(guarded: Weir) -> None:
    for secret in ("weir_r_" + "7" * 49, signed(guarded)):
        (await ask(guarded, "GET", f"/analytics/{secret}")).problem(400)


@pytest.mark.parametrize(
    "query", ["path=/key", "path=/token%3Da", "event_type=weir_w_1", "path=eyJ"]
)
async def test_a_question_that_only_looks_a_little_like_it_is_answered(
    guarded: Weir, query: str
) -> None:
    headers = bearer(signed(guarded, roles=["analyst"]))
    assert (await ask(guarded, "GET", f"{EVENTS}?{query}", headers=headers)).status == 200


async def test_no_log_holds_credentials(guarded: Weir) -> None:
    secrets = [signed(guarded, sub="logged"), signed(guarded, exp=1), "weir_w_" + "8" * 49]
    for secret in secrets:
        await answers(guarded, [*bearer(secret).items()])
        await ask(guarded, "GET", f"{SUMMARY}?token={secret}")
        await ask(guarded, "GET", f"/{secret}")
    logs = "".join(each.log.read_text() for each in guarded.processes if each.log.exists())
    # Why some were refused is there, for who runs this.
    assert "credentials were refused" in logs
    assert [secret for secret in secrets if secret in logs or secret[-30:] in logs] == []


@pytest.mark.parametrize(
    "host",
    ["evil.example.com", "127.0.0.1.evil.example.com", "localhost.evil.example.com:80", "10.0.0.1"],
)
async def test_a_local_weir_answers_under_no_other_name(edge: Weir, host: str) -> None:
    """A page whose own name leads to 127.0.0.1 reads nothing."""
    for answer in await answers(edge, [("Host", host)]):
        answer.problem(421)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8000", "[::1]:8000"])
async def test_a_local_weir_answers_under_the_names_of_this_machine(edge: Weir, host: str) -> None:
    assert [answer.status for answer in await answers(edge, [("Host", host)])] == OPEN


@pytest.mark.parametrize(
    ("origin", "statuses"),
    [
        ("https://evil.example.com", REFUSED),
        ("null", REFUSED),
        ("http://127.0.0.1.evil.example.com", REFUSED),
        ("http://localhost:3000", OPEN),
        ("http://127.0.0.1:8000", OPEN),
    ],
)
async def test_a_local_weir_takes_nothing_from_pages_of_other_sites(
    edge: Weir, origin: str, statuses: list[int]
) -> None:
    found = [answer.status for answer in await answers(edge, [("Origin", origin)])]
    assert found == statuses


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
async def test_a_local_weir_answers_nothing_that_comes_through_a_proxy(
    edge: Weir, guarded: Weir, header: str
) -> None:
    for answer in await answers(edge, [(header, "127.0.0.1")]):
        assert "WEIR_AUTH=required" in answer.problem(421)["detail"]
    credentials = bearer(signed(guarded, roles=["admin"]))
    found = await answers(guarded, [(header, "127.0.0.1"), *credentials.items()])
    assert [answer.status for answer in found] == OPEN


async def test_a_weir_that_asks_for_credentials_is_called_what_it_is_called(guarded: Weir) -> None:
    token = signed(guarded, roles=["admin"])
    sent = [("Host", "weir.example.com"), ("Origin", "https://shop.example.com")]
    found = await answers(guarded, [*sent, *bearer(token).items()])
    assert [answer.status for answer in found] == OPEN
