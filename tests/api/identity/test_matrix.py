"""Who may ask what: every route and method by everyone who may come."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import pytest
import pytest_asyncio
from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts

from api.app import create_app
from api.identity.access import Public, declared_access, refuse_undeclared
from api.identity.principal import Role
from api.settings import ApiSettings
from deploy.api_keys import write_key
from schemas.api_keys import Kind, create_key
from tests.api.identity.credentials import bearer, signed
from tests.api.requests import EVENTS, JSON, ask
from tests.weir import Weir

NOW: Final = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
SECRET: Final = "matrix" * 8

# Who comes, and the role that their credentials have.
KNOWN: Final[Mapping[str, Role]] = {
    "user": Role.USER,
    "producer token": Role.PRODUCER,
    "analyst token": Role.ANALYST,
    "admin": Role.ADMIN,
    "write key": Role.PRODUCER,
    "read key": Role.ANALYST,
}
UNKNOWN: Final = ("no credentials", "expired token", "revoked key")


@dataclass(frozen=True)
class Row:
    """A route, who may ask it (None: everybody), and a request with its answers to those."""

    method: str
    route: str
    may: frozenset[Role] | None
    target: str
    answers: frozenset[int]
    body: bytes | None = None

    @property
    def name(self) -> str:
        return f"{self.method} {self.route}"

    def expected(self, who: str) -> frozenset[int]:
        if self.may is None:
            return self.answers
        if who in UNKNOWN:
            return frozenset({401})
        return self.answers if KNOWN[who] in {*self.may, Role.ADMIN} else frozenset({403})


def row(
    method: str,
    route: str,
    may: Role | None,
    *answers: int,
    target: str | None = None,
    body: bytes | None = None,
) -> Row:
    roles = None if may is None else frozenset({may})
    return Row(method, route, roles, target or route, frozenset(answers), body)


LETTER: Final = "/dead-letters/{dead_letter_id}"
NO_LETTER: Final = f"/dead-letters/{uuid4()}"
OF_USER: Final = "/api/users/{user_id}"
POST: Final = "/social/posts/{post_id}"
NO_POST: Final = f"/social/posts/{uuid4()}"
BOB: Final = "/api/users/bob"
NEVER_CHARGED: Final = "/api/users/never-charged"
SITE: Final = "/sites/{site}/events"
NO_SITE: Final = "/sites/site_aaaaaaaaaaaaaaaa/events"
NO_SPEND: Final = f'{{"spend_id": "{uuid4()}"}}'.encode()

MATRIX: Final = (
    row("POST", EVENTS, Role.PRODUCER, 202, body=b'{"event_type": "page_view", "path": "/matrix"}'),
    row("GET", EVENTS, Role.ANALYST, 200),
    row("POST", SITE, None, 404, target=NO_SITE, body=b"[]"),
    row("OPTIONS", SITE, None, 404, target=NO_SITE),
    row("GET", "/analytics/export", Role.ANALYST, 200, target="/analytics/export?path=/matrix"),
    row("GET", "/analytics/live", Role.ANALYST, 200, target="/analytics/live?seconds=0"),
    row("GET", "/analytics/summary", Role.ANALYST, 200),
    row(
        "GET",
        "/analytics/breakdown",
        Role.ANALYST,
        200,
        target="/analytics/breakdown?by=country",
    ),
    row(
        "GET",
        "/analytics/timeseries",
        Role.ANALYST,
        200,
        target="/analytics/timeseries?interval=day",
    ),
    row("GET", "/analytics/totals", Role.ANALYST, 200),
    row("GET", "/dead-letters", Role.ADMIN, 200),
    row("GET", LETTER, Role.ADMIN, 404, target=NO_LETTER),
    row("POST", f"{LETTER}/replay", Role.ADMIN, 404, target=f"{NO_LETTER}/replay"),
    row("POST", f"{LETTER}/discard", Role.ADMIN, 404, target=f"{NO_LETTER}/discard"),
    row("POST", "/dead-letters/replay", Role.ADMIN, 422, body=b"{}"),
    row("POST", "/dead-letters/discard", Role.ADMIN, 422, body=b"{}"),
    row("GET", "/api/user/plan", Role.USER, 200),
    row("POST", "/api/user/plan", Role.USER, 200, body=b'{"count": 1}'),
    row("GET", "/api/user/usage", Role.USER, 200),
    row("GET", f"{OF_USER}/plan", Role.ADMIN, 200, target=f"{BOB}/plan"),
    row("PUT", f"{OF_USER}/plan", Role.ADMIN, 200, target=f"{BOB}/plan", body=b'{"plan": "pro"}'),
    row(
        "POST", f"{OF_USER}/top-ups", Role.ADMIN, 200, target=f"{BOB}/top-ups", body=b'{"count": 1}'
    ),
    row("POST", f"{OF_USER}/refunds", Role.ADMIN, 404, target=f"{BOB}/refunds", body=NO_SPEND),
    row("GET", f"{OF_USER}/usage", Role.ADMIN, 200, target=f"{BOB}/usage"),
    row("GET", f"{OF_USER}/ledger", Role.ADMIN, 200, target=f"{BOB}/ledger"),
    row("POST", f"{OF_USER}/rebuild", Role.ADMIN, 404, target=f"{NEVER_CHARGED}/rebuild"),
    row("GET", "/api/users", Role.ADMIN, 200),
    row("GET", "/api/plans", None, 200),
    row("POST", "/social/post", Role.USER, 200, 403, body=b'{"prompt": "New espresso"}'),
    row("GET", "/social/posts", Role.USER, 200),
    row("GET", POST, Role.USER, 404, target=NO_POST),
    row("GET", f"{POST}/events", Role.USER, 404, target=f"{NO_POST}/events"),
    row("GET", "/media/{key}", None, 404, target=f"/media/{64 * '0'}.png"),
    row("GET", "/api/user/billing", Role.USER, 200),
    row("POST", "/api/user/billing/portal", Role.USER, 409),
    row("POST", "/api/user/billing/checkout", Role.USER, 422, body=b'{"plan": "free"}'),
    row("POST", "/stripe/webhook", None, 400, body=b"{}"),
    row("GET", "/schemas/", None, 200),
    row("GET", "/schemas/{name}.json", None, 200, target="/schemas/event.json"),
    row("GET", "/asyncapi.json", None, 200),
    row("GET", "/pages/settings", None, 200),
    row("GET", "/healthz", None, 200),
    row("GET", "/readyz", None, 200),
    row("GET", "/openapi.json", None, 200),
    row("GET", "/docs", None, 200),
    row("GET", "/docs/assets/{path}", None, 200, target="/docs/assets/swagger-ui.css"),
)
# What is not there is not there for everybody, and says nothing about credentials.
ABSENT: Final = (
    row("GET", "/nowhere", None, 404),
    row("GET", "/analytics", None, 404),
    row("POST", "/analytics/events/", None, 404),
    row("POST", "/analytics//events", None, 404),
    row("POST", "/Analytics/Events", None, 404),
    row("DELETE", EVENTS, None, 405),
    row("POST", "/analytics/summary", None, 405),
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def comers(edge: Weir, guarded: Weir) -> Mapping[str, Mapping[str, str]]:
    """Who comes → the headers that they send."""

    async def key(kind: Kind) -> str:
        presented, stored = create_key(kind, "matrix", NOW)
        await write_key(guarded.kafka, stored)
        return presented

    write, read = await key("write"), await key("read")
    revoked, stored = create_key("write", "matrix, revoked", NOW)
    await write_key(guarded.kafka, stored)
    await write_key(guarded.kafka, stored.model_copy(update={"revoked_at": NOW}))

    async def last_key_known() -> bool:
        answer = await ask(guarded, "GET", "/dead-letters", headers=bearer(read))
        return answer.status == 403

    await guarded.eventually(last_key_known)
    # Other tests take Kafka away for a moment.
    await edge.eventually(edge.decides)
    return {
        "no credentials": {},
        "expired token": bearer(signed(guarded, exp=1_700_000_000, iat=None)),
        "revoked key": bearer(revoked),
        "user": bearer(signed(guarded)),
        "producer token": bearer(signed(guarded, roles=["producer"])),
        "analyst token": bearer(signed(guarded, roles="openid analyst")),
        "admin": bearer(signed(guarded, sub="root", roles=["admin"])),
        "write key": bearer(write),
        "read key": bearer(read),
    }


@pytest.mark.services
@pytest.mark.parametrize("who", [*UNKNOWN, *KNOWN])
@pytest.mark.parametrize("each", [*MATRIX, *ABSENT], ids=lambda each: each.name)
async def test_who_gets_what(
    guarded: Weir, comers: Mapping[str, Mapping[str, str]], each: Row, who: str
) -> None:
    headers = {**comers[who], **(JSON if each.body else {})}
    answer = await ask(guarded, each.method, each.target, each.body, headers)
    assert answer.status in each.expected(who), answer.body[:500]
    if answer.status in (401, 403):
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith('Bearer realm="weir"')
        assert ('error="insufficient_scope"' in challenge) == (answer.status == 403)
        assert ('error="invalid_token"' in challenge) == (
            answer.status == 401 and who != "no credentials"
        )
        answer.problem(answer.status)
    if each.method == "GET":
        head = await ask(guarded, "HEAD", each.target, headers=headers)
        assert head.status in each.expected(who)


def test_no_row_is_there_twice() -> None:
    names = [each.name for each in (*MATRIX, *ABSENT)]
    assert [name for name in names if names.count(name) > 1] == []


def application() -> FastAPI:
    return create_app(ApiSettings(auth="local", jwt_secret=SECRET))


def test_every_route_is_in_the_matrix_and_declares_what_stands_there() -> None:
    declared: dict[tuple[str, str], frozenset[Role] | None] = {}
    for route in iter_route_contexts(application().routes):
        access = declared_access(getattr(route, "dependant", None))
        roles = None if access is None or isinstance(access, Public) else access.roles
        path = route.path_format or route.path
        for method in (route.methods or {"GET"}) - {"HEAD"}:
            declared[method, str(path)] = roles
    expected = {
        (each.method, each.route): None if each.may is None else {*each.may, Role.ADMIN}
        for each in MATRIX
    }
    assert declared == expected


def test_an_application_with_a_route_that_declares_nothing_does_not_start() -> None:
    app = application()
    late = APIRouter()

    @late.get("/late")
    async def forgotten() -> None: ...

    app.include_router(late)
    with pytest.raises(RuntimeError, match="/late"):
        refuse_undeclared(app)


def test_no_route_leaves_its_body_to_the_framework() -> None:
    """It would be read, whole, before it is asked who sends it."""
    read = [
        route.path
        for route in iter_route_contexts(application().routes)
        if getattr(route, "body_field", None) is not None
    ]
    assert read == []
