"""The screening itself: what it costs, and whom a Weir of one machine takes for another one."""

from time import perf_counter
from typing import Final

import pytest
from starlette.types import Message, Receive, Scope, Send

from api.identity.screening import Screening

PASSED: Final = 204


async def status(*, local: bool = False, **changed: object) -> int:
    """Of the answer to a request; PASSED when it was let through."""
    found: list[int] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": PASSED, "headers": []})

    async def receive() -> Message:
        raise AssertionError("no body is looked at")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8000")],
        "client": ("127.0.0.1", 50_000),
        **changed,
    }
    await Screening(application, local=local)(scope, receive, send)
    [each] = found
    return each


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("forwarded", "for=192.0.2.60"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-for", ""),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "weir.example.com"),
        ("x-real-ip", "192.0.2.60"),
        ("via", "1.1 proxy"),
    ],
)
async def test_a_local_weir_answers_nothing_that_comes_through_a_proxy(
    header: str, value: str
) -> None:
    headers = [(b"host", b"127.0.0.1:8000"), (header.encode(), value.encode())]
    assert await status(local=True, headers=headers) == 421
    assert await status(local=False, headers=headers) == PASSED


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (("127.0.0.1", 50_000), PASSED),
        (("127.8.0.1", 50_000), PASSED),
        (("::1", 50_000), PASSED),
        (("192.168.0.7", 50_000), 421),
        (("fe80::1", 50_000), 421),
        (("localhost.evil.example.com", 50_000), 421),
        (None, 421),
    ],
)
async def test_a_local_weir_answers_this_machine_alone(
    client: tuple[str, int] | None, expected: int
) -> None:
    assert await status(local=True, client=client) == expected
    assert await status(local=False, client=client) == PASSED


LINK: Final = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@pytest.mark.parametrize(
    ("method", "path", "mode", "dest", "expected"),
    [
        # A picture, a script, a fetch that reads nothing, a frame, a form, a download.
        ("GET", "/analytics/live", "no-cors", "image", 403),
        ("GET", "/analytics/export", "no-cors", "script", 403),
        ("GET", "/analytics/summary", "no-cors", "empty", 403),
        ("GET", "/", "navigate", "iframe", 403),
        ("GET", "/", "navigate", "embed", 403),
        ("GET", "/analytics/live", "", "", 403),
        ("POST", "/analytics/events", "navigate", "document", 403),
        ("HEAD", "/", "navigate", "document", 403),
        ("OPTIONS", "/analytics/events", "cors", "empty", 403),
        ("GET", "/", "navigate", "document", PASSED),
        ("GET", "/plan", "navigate", "document", PASSED),
        ("GET", "/weir.js", "no-cors", "script", PASSED),
        ("GET", "/weir.js", "cors", "script", PASSED),
        ("POST", "/sites/demo/events", "no-cors", "empty", PASSED),
        ("POST", "/sites/site_abcdefghijklmnop/events", "cors", "empty", PASSED),
        ("GET", "/sites/demo/events/more", "no-cors", "image", 403),
        ("GET", "/assets/weir.js", "no-cors", "script", 403),
    ],
)
async def test_what_a_page_of_another_site_makes_a_browser_ask_is_refused(
    method: str, path: str, mode: str, dest: str, expected: int
) -> None:
    sent = {
        "host": "127.0.0.1:8000",
        # Nothing depends on which comes first.
        "sec-fetch-dest": dest,
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": mode,
    }
    headers = [(name.encode(), value.encode()) for name, value in sent.items() if value]
    asked = {"method": method, "path": path, "headers": headers}
    assert await status(local=True, **asked) == expected
    assert await status(local=False, **asked) == PASSED
    for site in (b"same-origin", b"same-site", b"none"):
        asked["headers"] = [
            (name, site if name == b"sec-fetch-site" else value) for name, value in headers
        ]
        assert await status(local=True, **asked) == PASSED


async def test_a_link_does_not_make_up_for_another_origin() -> None:
    sent = {"host": "127.0.0.1:8000", "origin": "https://evil.example", **LINK}
    for site in ("cross-site", "same-origin"):
        headers = [
            (name.encode(), value.encode())
            for name, value in {**sent, "sec-fetch-site": site}.items()
        ]
        assert await status(local=True, headers=headers) == 403


@pytest.mark.parametrize("word", ["eyJ" * 21_000, "-eyJ" * 16_000, "eyJaaaaa." * 7_000])
async def test_a_long_url_that_looks_like_tokens_takes_no_time(word: str) -> None:
    began = perf_counter()
    await status(query_string=b"path=" + word.encode())
    await status(path=f"/{word}")
    assert perf_counter() - began < 0.2
