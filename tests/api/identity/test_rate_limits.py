"""Rate limits: who asks too often is told so, and how much is left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api.identity.limit import limit_of
from api.identity.rate_limits import BoundedMemory, RateLimits
from api.problems import Problem
from api.settings import ApiSettings


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def refused(limits: RateLimits, subject: str) -> Problem:
    with pytest.raises(Problem) as caught:
        limits.hit("user", subject)
    return caught.value


def test_every_answer_says_what_is_left_and_until_when() -> None:
    clock = Clock()
    limits = RateLimits(user="3/minute", key="", clock=clock)
    assert limits.hit("user", "alice") == {
        "RateLimit-Policy": '"user";q=3;w=60',
        "RateLimit": '"user";r=2;t=60',
    }
    clock.now += 20.5
    assert limits.hit("user", "alice")["RateLimit"] == '"user";r=1;t=40'
    assert limits.hit("user", "alice")["RateLimit"] == '"user";r=0;t=40'


def test_one_too_many_is_429_with_when_to_ask_again() -> None:
    clock = Clock()
    limits = RateLimits(user="2/minute", key="", clock=clock)
    for _ in range(2):
        limits.hit("user", "alice")
    clock.now += 12.3
    problem = refused(limits, "alice")
    assert problem.status == 429
    assert problem.headers == {
        "Retry-After": "48",
        "RateLimit-Policy": '"user";q=2;w=60',
        "RateLimit": '"user";r=0;t=48',
    }
    assert "wait 48 s" in problem.detail
    clock.now += 48
    assert limits.hit("user", "alice")["RateLimit"] == '"user";r=1;t=60'


def test_each_user_and_each_key_has_a_count_of_their_own() -> None:
    limits = RateLimits(user="1/minute", key="1/second", clock=Clock())
    limits.hit("user", "same")
    assert limits.hit("key", "same")["RateLimit-Policy"] == '"key";q=1;w=1'
    limits.hit("user", "another")
    refused(limits, "same")


def test_without_a_limit_nothing_is_counted_or_said() -> None:
    limits = RateLimits(user="", key=" ")
    for _ in range(1_000):
        assert limits.hit("user", "alice") == limits.hit("key", "key_1") == {}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), max_size=200),
    st.integers(1, 5),
)
def test_within_a_window_so_many_are_allowed_and_no_more(
    requests: list[tuple[str, float]], amount: int
) -> None:
    clock = Clock()
    limits = RateLimits(user=f"{amount}/minute", key="", clock=clock)
    windows: dict[str, tuple[float, int]] = {}
    for subject, pause in requests:
        clock.now += pause
        ends_at, count = windows.get(subject, (0.0, 0))
        if ends_at <= clock.now:
            ends_at, count = clock.now + 60, 0
        windows[subject] = (ends_at, count + 1)
        if count < amount:
            assert limits.hit("user", subject)["RateLimit"].startswith(
                f'"user";r={amount - count - 1};t='
            )
        else:
            refused(limits, subject)


def test_windows_that_have_ended_are_forgotten() -> None:
    clock = Clock()
    memory = BoundedMemory(clock, max_counters=1_000)
    for number in range(500):
        memory.incr(f"user-{number}", 60)
    clock.now += 30
    memory.incr("later", 60)
    assert len(memory) == 501
    clock.now += 30
    memory.incr("last", 60)
    assert len(memory) == 2
    assert memory.get("user-0") == 0
    assert memory.get("later") == 1


def test_of_too_many_those_whose_window_ends_first_are_forgotten() -> None:
    clock = Clock()
    memory = BoundedMemory(clock, max_counters=3)
    for name in "abc":
        memory.incr(name, 60)
        clock.now += 1
    memory.incr("a", 60)
    memory.incr("d", 60)
    assert len(memory) == 3
    assert [memory.get(name) for name in "abcd"] == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [("600/minute", 600, 60), ("50/10 seconds", 50, 10), ("5 per hour", 5, 3_600)],
)
def test_a_setting_names_a_limit(text: str, amount: int, seconds: int) -> None:
    limit = limit_of(text)
    assert limit is not None
    assert (limit.amount, limit.get_expiry()) == (amount, seconds)


@pytest.mark.parametrize(
    "text",
    [
        "600",
        "0/minute",
        "-1/minute",
        "1.5/minute",
        "10/second;100/minute",
        "1/week",
        "1/2 days",
        "9999999999/minute",
        "fast",
        "600/minute or so",
    ],
)
def test_a_setting_that_names_none_is_refused_with_what_one_looks_like(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_RATE_LIMIT_KEY", text)
    with pytest.raises(ValidationError, match=r"600/minute.*empty for no limit") as caught:
        ApiSettings()
    assert "WEIR_RATE_LIMIT_KEY" in str(caught.value)
