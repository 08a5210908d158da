"""A call to Stripe for a command: what is tried again, and what each error says."""

import pytest
import stripe

from deploy.billing import stripe_calls
from deploy.billing.stripe_calls import NotStripe, StripeAway, StripeRefused, asked

JSON = {"error": {"message": "x"}}


class Scripted:
    """A call that raises these errors, one after the other, then gives what it is."""

    def __init__(self, *errors: stripe.StripeError) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("asyncio.sleep", wait)
    return waited


def limited(**headers: str) -> stripe.RateLimitError:
    return stripe.RateLimitError("x", None, 429, JSON, headers)


@pytest.mark.parametrize(
    "error",
    [
        limited(),
        stripe.APIConnectionError("x"),  # type: ignore[no-untyped-call] # stripe's own
        stripe.APIError("x", None, 500, JSON),
        stripe.APIError("x", None, 502, None),
        stripe.APIError("x", None, 409, JSON),
    ],
)
async def test_what_may_help_is_tried_again_a_bounded_number_of_times(
    error: stripe.StripeError,
) -> None:
    assert await asked(Scripted(error)) == "done"
    call = Scripted(*[error] * stripe_calls.TRIES)
    with pytest.raises(StripeAway):
        await asked(call)
    assert call.calls == stripe_calls.TRIES


async def test_waits_double_and_are_as_long_as_stripe_asks_up_to_a_bound(
    waits: list[float],
) -> None:
    headers: tuple[dict[str, str], ...] = (
        {},
        {"Retry-After": "3"},
        {"retry-after": "3600"},
        {"Retry-After": "soon"},
    )
    await asked(Scripted(*(limited(**each) for each in headers)))
    assert waits == [0.5, 3.0, 10.0, 4.0]


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (stripe.AuthenticationError("sk_test_1", None, 401, JSON), StripeRefused, "does not take"),
        (stripe.PermissionError("rk_test_1", None, 403, JSON), StripeRefused, "permission"),
        (
            stripe.InvalidRequestError(  # type: ignore[no-untyped-call] # stripe's own
                "No\x1b such", "id", None, None, 400, JSON
            ),
            StripeRefused,
            r"Stripe says: No\x1b such",
        ),
        (stripe.IdempotencyError("used", None, 400, JSON), StripeRefused, "Stripe says: used"),
        (stripe.APIError("<html>", None, 404, None), NotStripe, "STRIPE_API_BASE"),
        (stripe.APIError("<html>", None, 200, None), NotStripe, "STRIPE_API_BASE"),
    ],
)
async def test_what_will_not_help_is_said_at_once(
    error: stripe.StripeError, kind: type[Exception], says: str
) -> None:
    call = Scripted(error)
    with pytest.raises(kind) as raised:
        await asked(call)
    assert says in str(raised.value)
    assert "_test_" not in str(raised.value)
    assert call.calls == 1
