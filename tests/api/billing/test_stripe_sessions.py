"""What becomes of Stripe's errors when a session is opened: a problem, without Stripe's words."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from aiohttp import web
from pydantic import SecretStr

from api.billing.desk import UnknownCustomer
from api.billing.stripe_sessions import StripeSessions
from api.problems import Problem
from schemas.stripe_account import StripeSettings, opened_stripe

pytestmark = [pytest.mark.services, pytest.mark.timeout(60)]

KEY: Final = "sk_test_0123456789"
SECRET_WORDS: Final = "Invalid API Key provided: sk_test_****6789 of ada@example.com"
SLOW_SECONDS: Final = 0.5


@asynccontextmanager
async def stripe_that_answers(
    status: int, kind: str, *, text: str | None = None, **members: str
) -> AsyncIterator[StripeSessions]:
    """Sessions at a server with this answer to everything; status 0: with none."""

    async def answer(_: web.Request) -> web.Response:
        if status == 0:
            await ended.wait()
        if text is not None:
            return web.Response(status=status, text=text)
        error = {"message": SECRET_WORDS, "type": kind, **members}
        return web.json_response({"error": error}, status=status, headers={"Request-Id": "req_1"})

    ended = asyncio.Event()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = StripeSettings(
        stripe_key=SecretStr(KEY), stripe_base=f"http://127.0.0.1:{runner.addresses[0][1]}"
    )
    try:
        async with opened_stripe(settings, seconds=SLOW_SECONDS) as client:
            yield StripeSessions(client)
    finally:
        ended.set()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "kind", "code", "expected", "said"),
    [
        (0, "", None, 503, "cannot be reached"),
        (429, "invalid_request_error", "rate_limit", 503, "cannot be reached"),
        (500, "api_error", None, 503, "cannot be reached"),
        (503, "api_error", None, 503, "cannot be reached"),
        (409, "invalid_request_error", "idempotency_key_in_use", 503, "cannot be reached"),
        (401, "invalid_request_error", None, 503, "STRIPE_API_KEY"),
        (403, "invalid_request_error", None, 503, "STRIPE_API_KEY"),
        (400, "invalid_request_error", "url_invalid", 502, "refused"),
        (404, "invalid_request_error", "url_unknown", 502, "refused"),
        (402, "card_error", "card_declined", 502, "refused"),
        (400, "idempotency_error", None, 502, "refused"),
    ],
)
async def test_an_error_is_a_problem_without_stripes_words(
    capsys: pytest.CaptureFixture[str],
    status: int,
    kind: str,
    code: str | None,
    expected: int,
    said: str,
) -> None:
    members = {} if code is None else {"code": code}
    async with stripe_that_answers(status, kind, **members) as sessions:
        with pytest.raises(Problem) as caught:
            await sessions.portal("ada", "cus_1", "https://weir.example.com/")
    assert caught.value.status == expected
    assert said in caught.value.detail
    assert ("Retry-After" in caught.value.headers) == (expected == 503)
    captured = capsys.readouterr()
    for secret in ("ada", "6789", "cus_1"):
        assert secret not in caught.value.detail
        assert secret not in captured.out + captured.err
    assert caught.value.__cause__ is None


async def test_a_proxys_page_in_the_place_of_an_answer_is_stripe_away() -> None:
    async with stripe_that_answers(502, "", text="<html>Bad Gateway</html>") as sessions:
        with pytest.raises(Problem) as caught:
            await sessions.portal("ada", "cus_1", "https://weir.example.com/")
    assert caught.value.status == 503


async def test_a_customer_that_is_not_there_is_told_apart() -> None:
    async with stripe_that_answers(
        404, "invalid_request_error", code="resource_missing", param="id"
    ) as sessions:
        with pytest.raises(UnknownCustomer):
            await sessions.portal("ada", "cus_1", "https://weir.example.com/")
