"""Every route answers with headers that guard, also where it refuses."""

import re
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from fastapi.routing import iter_route_contexts

from tests.api.pages.asked import application, ask_app, built
from tests.api.requests import Answer
from tests.weir import Weir

FOR_OTHER_ORIGINS: Final = re.compile(r"/weir\.js|/media/.*|/sites/.*")
NO_ROUTE: Final = ("/nowhere", "/assets/none.js", "/?token=secret", "/docs/assets/a")


def guards(answer: Answer, target: str) -> None:
    headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["Referrer-Policy"] in {"no-referrer", "same-origin"}
    expected = {"same-origin"} | (
        {"cross-origin"} if FOR_OTHER_ORIGINS.fullmatch(target) else set()
    )
    assert headers["Cross-Origin-Resource-Policy"] in expected
    assert "Cache-Control" in headers or "ETag" in headers
    if answer.status >= 400:
        assert "no-store" in headers["Cache-Control"]
    assert all(len(headers.getall(name)) == 1 for name in headers if name != "Vary"), headers


@pytest.mark.services
async def test_every_route_answers_with_guards_also_where_it_fails(
    weir: Weir, tmp_path: Path
) -> None:
    pages = str(built(tmp_path))
    routes = iter_route_contexts(application(tmp_path, WEIR_PAGES_DIR=pages).routes)
    targets = [
        (method, re.sub(r"\{[^}]*\}", "a", route.path or ""))
        for route in routes
        for method in sorted(route.methods or {"GET"})
    ]
    assert len(targets) > 40
    # No tables, and no workers: much fails.
    await weir.start_api({"WEIR_PAGES_DIR": pages, "WEIR_QUOTA_TIMEOUT": "0.5"})
    for method, target in [*targets, *(("GET", each) for each in NO_ROUTE)]:
        async with weir.session.request(method, weir.url + target, data=b"") as answer:
            # Some are streams without an end.
            guards(Answer(answer.status, answer.headers, b""), target)
    told = {"X-Forwarded-Proto": "https"}
    async with aiohttp.ClientSession(headers=told) as proxy, proxy.get(weir.url) as answer:
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    async with weir.session.get(weir.url) as answer:
        assert "Strict-Transport-Security" not in answer.headers


async def test_an_error_of_ours_is_guarded_too(tmp_path: Path) -> None:
    # Without its state, which is there when it has started, nothing can be answered.
    answer = await ask_app(application(tmp_path), "GET", "/readyz")
    assert answer.status == 500
    guards(answer, "/readyz")


async def test_the_documentation_runs_its_own_script_alone(tmp_path: Path) -> None:
    app = application(tmp_path)
    policy = (await ask_app(app, "GET", "/docs")).headers["Content-Security-Policy"]
    [script] = re.findall(r"script-src ([^;]*)", policy)
    assert re.fullmatch(r"'self' 'sha256-[A-Za-z0-9+/]{43}='", script)
