"""Nobody can be told from what is sent, and who asks not to be recorded is nobody."""

import orjson
import pytest

from tests.sdk.hosts import Option, http_scope, recorded
from weir_sdk.asgi import Scope
from weir_sdk.visitors import DAY_SECONDS, Visitors, client_address

NOON = 1_795_521_600.0


async def visitors_of(*scopes: Scope, **options: Option) -> list[str]:
    options = {"visitor_secret": "s", "clock": lambda: NOON, **options}
    return [event["visitor_id"] for event in await recorded(scopes, **options)]


async def test_no_address_is_sent() -> None:
    scope = http_scope(
        headers=[(b"host", b"h"), (b"x-forwarded-for", b"198.51.100.7"), (b"cookie", b"a=b")]
    )
    for header in (None, "X-Forwarded-For"):
        sent = orjson.dumps(await recorded([scope], client_address_header=header)).decode()
        assert not any(each in sent for each in ("203.0.113.9", "198.51.100.7", "a=b"))


async def test_a_visitor_has_one_name_for_a_day_in_all_processes_of_one_secret() -> None:
    [first, again] = await visitors_of(http_scope("/a"), http_scope("/b"))
    [elsewhere] = await visitors_of(http_scope("/c"))
    assert first == again == elsewhere
    [next_day] = await visitors_of(http_scope("/a"), clock=lambda: NOON + DAY_SECONDS)
    [other_secret] = await visitors_of(http_scope("/a"), visitor_secret="another")
    [other_host] = await visitors_of(http_scope("/a", headers=[(b"host", b"other.example")]))
    [other_client] = await visitors_of(http_scope("/a", client=("203.0.113.10", 1)))
    assert len({first, next_day, other_secret, other_host, other_client}) == 5


async def test_the_name_changes_at_midnight_utc_while_the_process_runs() -> None:
    seconds = iter([NOON + DAY_SECONDS / 2 - 1, NOON + DAY_SECONDS / 2])
    before, after = await visitors_of(
        http_scope(), http_scope(), clock=lambda: next(seconds), timer=lambda: 0.0
    )
    assert before != after


def test_without_a_secret_each_process_has_its_own() -> None:
    assert Visitors(None).name(1, "a", b"", b"") != Visitors(None).name(1, "a", b"", b"")


@pytest.mark.parametrize("signal", [(b"sec-gpc", b"1"), (b"dnt", b"1")])
async def test_who_asks_not_to_be_tracked_is_counted_as_nobody(
    signal: tuple[bytes, bytes],
) -> None:
    headers = [
        (b"host", b"h"),
        (b"user-agent", b"Firefox"),
        (b"referer", b"https://from.example/"),
        signal,
    ]
    scope = http_scope("/a", headers=headers)
    [event] = await recorded([scope], user=lambda _: "u-42")
    assert event.keys() == {"event_type", "event_id", "path", "occurred_at", "metadata"}
    # What browser it is says nothing of who, and whether it is a bot.
    assert event["metadata"].keys() == {"method", "status", "duration_ms", "host", "user_agent"}
    [event] = await recorded([scope], user=lambda _: "u-42", respect_privacy_signals=False)
    assert event["user_id"] == "u-42"
    assert event["visitor_id"]


@pytest.mark.parametrize(
    ("header", "proxies", "address"),
    [
        (b"198.51.100.7", 1, "198.51.100.7"),
        (b"1.1.1.1, 198.51.100.7", 1, "198.51.100.7"),
        (b"1.1.1.1, 198.51.100.7, 10.0.0.1", 2, "198.51.100.7"),
        (b"198.51.100.7", 3, "198.51.100.7"),
        (b"198.51.100.7:5000", 1, "198.51.100.7"),
        (b"[2001:DB8::1]:5000", 1, "2001:db8::1"),
        (b"2001:DB8::1", 1, "2001:db8::1"),
    ],
)
def test_the_address_is_the_one_that_the_outermost_trusted_proxy_saw(
    header: bytes, proxies: int, address: str
) -> None:
    assert client_address(header, proxies) == address


async def test_several_lines_of_the_address_header_are_one_list() -> None:
    one = [(b"host", b"h"), (b"x-forwarded-for", b"198.51.100.7, 10.0.0.1")]
    two = [
        (b"host", b"h"),
        (b"x-forwarded-for", b"198.51.100.7"),
        (b"x-forwarded-for", b"10.0.0.1"),
    ]
    options = {"client_address_header": "X-Forwarded-For", "trusted_proxies": 2}
    first, second = await visitors_of(http_scope(headers=one), http_scope(headers=two), **options)
    assert first == second


@pytest.mark.parametrize(
    ("referrer", "sent"),
    [
        (b"https://a.example/p?q=1", "https://a.example/p"),
        (b"https://a.example/p#f", "https://a.example/p"),
        (b"https://me:secret@a.example/p", "https://a.example/p"),
        (b"?q=1", None),
    ],
)
async def test_of_a_referrer_only_the_page_is_sent(referrer: bytes, sent: str | None) -> None:
    scope = http_scope(headers=[(b"host", b"h"), (b"referer", referrer)])
    [event] = await recorded([scope])
    assert event["metadata"].get("referrer") == sent
