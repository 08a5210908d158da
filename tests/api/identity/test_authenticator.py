"""Whether credentials that were taken still hold, while an answer to them goes on."""

from datetime import UTC, datetime

import jwt
import pytest
from starlette.types import Scope

from api.identity.authenticator import DEMO, Authenticator
from api.identity.rate_limits import RateLimits
from api.identity.tokens import SharedSecret, TokenCheck
from api.problems import Problem, unavailable
from schemas.api_keys import ApiKey, create_key

SECRET = "authenticator" * 4
NOW = 1_795_000_000.0


class Keys:
    """Keys in memory, which may be unknown for a while."""

    def __init__(self) -> None:
        self.held: dict[str, ApiKey] = {}
        self.ready = True

    def problem(self) -> str | None:
        return None

    def find(self, presented: str) -> ApiKey | None:
        if not self.ready:
            raise unavailable("the keys are being read; ask again")
        return self.held.get(presented)

    def used(self, key_id: str) -> None: ...


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def an_authenticator(keys: Keys, clock: Clock, *, local: bool = False) -> Authenticator:
    tokens = TokenCheck(SharedSecret(SECRET), clock=clock)
    limits = RateLimits(user="1/minute", key="1/minute")
    return Authenticator(tokens=tokens, keys=keys, uses=keys, limits=limits, local=local)


def asked_with(credentials: str | None) -> Scope:
    value = f"Bearer {credentials}".encode()
    headers = [] if credentials is None else [(b"authorization", value)]
    return {"type": "http", "headers": headers, "state": {}}


async def test_a_key_holds_until_it_is_revoked_however_often_that_is_asked() -> None:
    keys = Keys()
    presented, key = create_key("read", "test", datetime.now(UTC))
    keys.held[presented] = key
    authenticator, scope = an_authenticator(keys, Clock()), asked_with(presented)
    await authenticator.principal(scope)
    assert [await authenticator.held(scope) for _ in range(3)] == [True] * 3
    with pytest.raises(Problem) as caught:
        await authenticator.principal(scope)
    assert caught.value.status == 429
    del keys.held[presented]
    assert not await authenticator.held(scope)


async def test_a_token_holds_until_it_expires() -> None:
    clock = Clock()
    token = jwt.encode({"sub": "alice", "exp": NOW + 60}, SECRET, algorithm="HS256")
    authenticator, scope = an_authenticator(Keys(), clock), asked_with(token)
    await authenticator.principal(scope)
    assert await authenticator.held(scope)
    clock.now += 120
    assert not await authenticator.held(scope)


async def test_what_nobody_can_say_now_does_not_hold() -> None:
    keys = Keys()
    presented, key = create_key("read", "test", datetime.now(UTC))
    keys.held[presented] = key
    authenticator, scope = an_authenticator(keys, Clock()), asked_with(presented)
    assert await authenticator.held(scope)
    keys.ready = False
    assert not await authenticator.held(scope)


async def test_who_needs_no_credentials_may_go_on() -> None:
    authenticator, scope = an_authenticator(Keys(), Clock(), local=True), asked_with(None)
    assert await authenticator.principal(scope) is DEMO
    assert await authenticator.held(scope)
