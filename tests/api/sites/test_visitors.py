"""The names of visitors: a hash of a day, of which nobody learns the address."""

from datetime import UTC, datetime, timedelta

from api.sites.visitors import Visitors
from weir_sdk.visitors import Visitors as OfTheMiddleware

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECRET = "s" * 32


def test_a_name_holds_for_a_day_and_in_all_processes_of_one_secret() -> None:
    name = Visitors(SECRET).name(NOON, "203.0.113.9", b"Firefox", "site_a")
    visitors = Visitors(SECRET)
    before_midnight = NOON.replace(hour=23, minute=59, second=59)
    assert visitors.name(before_midnight, "203.0.113.9", b"Firefox", "site_a") == name
    midnight = before_midnight + timedelta(seconds=1)
    assert visitors.name(midnight, "203.0.113.9", b"Firefox", "site_a") != name
    assert visitors.name(NOON, "203.0.113.9", b"Firefox", "site_a") == name


def test_every_part_of_it_counts() -> None:
    visitors = Visitors(SECRET)
    names = {
        visitors.name(NOON, "203.0.113.9", b"Firefox", "site_a"),
        visitors.name(NOON, "203.0.113.10", b"Firefox", "site_a"),
        visitors.name(NOON, "203.0.113.9", b"Safari", "site_a"),
        visitors.name(NOON, "203.0.113.9", b"Firefox", "site_b"),
        # The same text in other parts.
        visitors.name(NOON, "203.0.113.9F", b"irefox", "site_a"),
        Visitors("t" * 32).name(NOON, "203.0.113.9", b"Firefox", "site_a"),
    }
    assert len(names) == 6


def test_without_a_secret_each_process_has_its_own() -> None:
    assert Visitors("").name(NOON, "a", b"", "s") != Visitors("").name(NOON, "a", b"", "s")


def test_it_is_the_middlewares_way() -> None:
    day = int(NOON.timestamp()) // 86_400
    theirs = OfTheMiddleware(SECRET).name(day, "203.0.113.9", b"Firefox", b"site_a")
    assert Visitors(SECRET).name(NOON, "203.0.113.9", b"Firefox", "site_a") == theirs
