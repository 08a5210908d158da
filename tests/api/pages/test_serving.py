"""The built pages as browsers get them: which files, how packed, how long kept, how guarded."""

import asyncio
import gzip
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import uvicorn
from fastapi import FastAPI

from api.pages.serving import PAGES
from api.serving import BoundedHttp
from deploy.local.ports import free_port
from tests.api.pages.asked import FILES, INDEX, OUTSIDE, SCRIPT, application, ask_app, built
from tests.api.requests import Answer

HTML: Final = "text/html; charset=utf-8"
GZIP: Final = {"Accept-Encoding": "gzip, deflate, br"}
ASSET: Final = "/assets/index-4f2a.js"
TRAVERSALS: Final = (
    "/assets/../index.html",
    "/assets/%2e%2e/index.html",
    "/assets/..%2findex.html",
    "/assets/../../secret.txt",
    "/assets/%2e%2e/%2e%2e/secret.txt",
    "/assets/..%2f..%2fsecret.txt",
    "/assets/..%5c..%5csecret.txt",
    "/assets/%252e%252e/%252e%252e/secret.txt",
    "/assets//etc/passwd",
    "/assets/%2fetc/passwd",
    "/assets/./index-4f2a.js",
    "/../secret.txt",
    "/%2e%2e/secret.txt",
    "/..%2fsecret.txt",
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    folder = tmp_path_factory.mktemp("pages")
    return application(folder, WEIR_PAGES_DIR=str(built(folder)))


@pytest.mark.parametrize("page", [*PAGES, "/plan?x=1"])
async def test_each_page_is_the_same_document(app: FastAPI, page: str) -> None:
    answer = await ask_app(app, "GET", page)
    assert (answer.status, answer.body) == (200, INDEX)
    assert answer.headers["Content-Type"] == HTML
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("path", ["/index.html", "/plan/", "/Plan", "/plan/more", "/signed-in/x"])
async def test_what_is_no_page_is_a_problem_and_not_the_document(app: FastAPI, path: str) -> None:
    answer = await ask_app(app, "GET", path)
    answer.problem(404)


@pytest.mark.parametrize("path", ["/nope", "/plan/", "/analytics/nope", "/assets/gone.js"])
async def test_who_opens_an_address_that_is_none_gets_the_pages_which_say_so(
    app: FastAPI, path: str
) -> None:
    opens = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    answer = await ask_app(app, "GET", path, opens)
    assert (answer.status, answer.body) == (404, INDEX)
    assert answer.headers["Content-Type"] == HTML
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    asks = await ask_app(app, "GET", path, {"Accept": "*/*"})
    assert (asks.status, asks.headers["Content-Type"]) == (404, "application/problem+json")
    posts = await ask_app(app, "POST", "/nope", opens)
    assert posts.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("page", PAGES)
async def test_pages_are_only_read(app: FastAPI, page: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        (await ask_app(app, method, page)).problem(405)


@pytest.mark.parametrize(
    ("name", "media_type", "kept"),
    [
        ("weir.js", "text/javascript; charset=utf-8", "public, max-age=3600"),
        ("weir.svg", "image/svg+xml", "public, max-age=3600"),
        (
            "assets/index-4f2a.js",
            "text/javascript; charset=utf-8",
            "public, max-age=31536000, immutable",
        ),
        (
            "assets/index-4f2a.css",
            "text/css; charset=utf-8",
            "public, max-age=31536000, immutable",
        ),
        ("assets/font-4f2a.woff2", "font/woff2", "public, max-age=31536000, immutable"),
    ],
)
async def test_each_file_says_what_it_is_and_how_long_it_holds(
    app: FastAPI, name: str, media_type: str, kept: str
) -> None:
    answer = await ask_app(app, "GET", f"/{name}")
    assert (answer.status, answer.body) == (200, FILES[name])
    assert answer.headers["Content-Type"] == media_type
    assert answer.headers["Cache-Control"] == kept
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("target", ["/", "/weir.js", ASSET])
@pytest.mark.parametrize("taken", ["gzip", "br, GZIP;q=0.5", "deflate,gzip ; q=1"])
async def test_who_takes_gzip_gets_it(app: FastAPI, target: str, taken: str) -> None:
    plain = await ask_app(app, "GET", target)
    packed = await ask_app(app, "GET", target, {"Accept-Encoding": taken})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body)
    assert int(packed.headers["Content-Length"]) == len(packed.body)
    assert packed.headers["Content-Type"] == plain.headers["Content-Type"]
    # A cache that mixes the two up would hand the wrong one on.
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("taken", ["", "identity", "br", "gzip;q=0", "gzip; q=0.000", "x-gzip"])
async def test_who_does_not_take_gzip_gets_the_file_as_it_is(app: FastAPI, taken: str) -> None:
    answer = await ask_app(app, "GET", ASSET, {"Accept-Encoding": taken})
    assert answer.body == SCRIPT
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("name", ["weir.svg", "assets/font-4f2a.woff2"])
async def test_what_packing_makes_no_shorter_is_sent_as_it_is(app: FastAPI, name: str) -> None:
    answer = await ask_app(app, "GET", f"/{name}", GZIP)
    assert answer.body == FILES[name]
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("target", ["/", "/plan", "/weir.js", ASSET])
@pytest.mark.parametrize("taken", ["", "gzip"])
async def test_who_has_the_file_is_told_so(app: FastAPI, target: str, taken: str) -> None:
    sent = {"Accept-Encoding": taken}
    first = await ask_app(app, "GET", target, sent)
    again = await ask_app(app, "GET", target, {**sent, "If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    for header in ("ETag", "Cache-Control", "Vary"):
        assert again.headers[header] == first.headers[header]
    assert "Content-Encoding" not in again.headers
    other = await ask_app(app, "GET", target, {**sent, "If-None-Match": '"another"'})
    assert (other.status, other.body) == (200, first.body)


async def test_the_etag_changes_with_the_build_and_not_with_the_process(tmp_path: Path) -> None:
    app, second = (application(tmp_path, WEIR_PAGES_DIR=str(built(tmp_path))) for _ in range(2))
    for sent in ({}, GZIP):
        first = await ask_app(app, "GET", "/", sent)
        assert (await ask_app(second, "GET", "/", sent)).headers["ETag"] == first.headers["ETag"]
    (tmp_path / "dist" / "index.html").write_bytes(INDEX + b"<!-- new -->")
    later = application(tmp_path, WEIR_PAGES_DIR=str(tmp_path / "dist"))
    old = (await ask_app(app, "GET", "/")).headers["ETag"]
    assert (await ask_app(later, "GET", "/", {"If-None-Match": old})).status == 200


async def test_an_asset_that_is_not_there_is_a_problem_that_says_what_to_do(app: FastAPI) -> None:
    answer = await ask_app(app, "GET", "/assets/index-0000.js")
    assert "load the page again" in answer.problem(404)["detail"]
    assert "immutable" not in answer.headers.get("Cache-Control", "")


@pytest.mark.parametrize("target", TRAVERSALS)
async def test_nothing_outside_the_folder_is_served(app: FastAPI, target: str) -> None:
    (await ask_app(app, "GET", target)).problem(404)


def directives(answer: Answer) -> dict[str, set[str]]:
    policy = answer.headers["Content-Security-Policy"]
    parts = [each.split() for each in policy.split(";")]
    assert len({name for name, *_ in parts}) == len(parts), "the second would be passed over"
    return {name: set(values) for name, *values in parts}


@pytest.mark.parametrize("page", PAGES)
async def test_pages_load_scripts_of_their_own_alone(app: FastAPI, page: str) -> None:
    answer = await ask_app(app, "GET", page)
    policy = directives(answer)
    assert policy["default-src"] == {"'none'"}
    assert policy["script-src"] == {"'self'"}
    assert policy["connect-src"] == {"'self'"}
    assert policy["img-src"] == {"'self'", "data:", "blob:"}
    assert policy["frame-ancestors"] == {"'none'"}
    assert policy["base-uri"] == {"'none'"}
    assert policy["form-action"] == {"'self'"}
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("authority", "origin"),
    [
        ("https://login.example.com/realms/weir", "https://login.example.com"),
        ("https://login.example.com:8443/", "https://login.example.com:8443"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://[::1]:9000/weir", "http://[::1]:9000"),
    ],
)
async def test_pages_may_ask_the_identity_provider_alone(
    tmp_path: Path, authority: str, origin: str
) -> None:
    app = application(
        tmp_path,
        WEIR_PAGES_DIR=str(built(tmp_path)),
        WEIR_OIDC_AUTHORITY=authority,
        WEIR_OIDC_CLIENT_ID="weir-pages",
    )
    policy = directives(await ask_app(app, "GET", "/"))
    assert policy["connect-src"] == {"'self'", origin}
    assert policy["script-src"] == {"'self'"}


async def test_pictures_come_from_where_browsers_reach_the_api(tmp_path: Path) -> None:
    """The origin: a path in the policy would allow nothing below it."""
    app = application(
        tmp_path,
        WEIR_PAGES_DIR=str(built(tmp_path)),
        WEIR_PUBLIC_URL="https://weir.example.com/below",
    )
    policy = directives(await ask_app(app, "GET", "/"))
    assert policy["img-src"] == {"'self'", "data:", "blob:", "https://weir.example.com"}


async def test_the_tracker_may_be_loaded_by_pages_of_other_origins(app: FastAPI) -> None:
    tracker = await ask_app(app, "GET", "/weir.js")
    assert tracker.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    for other in ("/", "/theme.js", ASSET):
        answer = await ask_app(app, "GET", other)
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_page_may_name_the_hash_of_the_tracker(app: FastAPI) -> None:
    """`<script crossorigin integrity=…>`: browsers compare only what the page may read."""
    sent = {
        "Origin": "https://shop.example",
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Dest": "script",
    }
    # The application lets in who gives no credentials, and refuses other pages all else.
    assert (await ask_app(app, "GET", "/theme.js", sent)).status == 403
    first = await ask_app(app, "GET", "/weir.js", sent)
    again = await ask_app(app, "GET", "/weir.js", {**sent, "If-None-Match": first.headers["ETag"]})
    assert (first.status, again.status) == (200, 304)
    for answer in (first, again):
        assert answer.headers.getall("Access-Control-Allow-Origin") == ["*"]


async def test_without_a_folder_there_are_no_pages(tmp_path: Path) -> None:
    app = application(tmp_path, WEIR_PAGES_DIR="")
    for target in (*PAGES, "/weir.js", ASSET):
        (await ask_app(app, "GET", target)).problem(404)
    assert (await ask_app(app, "GET", "/pages/settings")).status == 200


async def test_pages_hide_nothing_of_the_api(tmp_path: Path) -> None:
    hiding = {**FILES, "healthz": b"a file", "openapi.json": b"{}"}
    app = application(tmp_path, WEIR_PAGES_DIR=str(built(tmp_path, hiding)))
    assert (await ask_app(app, "GET", "/healthz")).json == {"status": "ok"}
    assert (await ask_app(app, "GET", "/openapi.json")).json["info"]["title"] == "Weir"


async def test_pages_stand_not_in_the_document_of_the_api(tmp_path: Path, app: FastAPI) -> None:
    assert app.openapi() == application(tmp_path).openapi()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "has no index.html: build the pages with `make pages`"),
        ({"assets/index-4f2a.js": SCRIPT}, "has no index.html: build the pages with `make pages`"),
        ({"index.html": INDEX, "assets/large.js": b"x" * 50_000_000}, "is larger than 50000000"),
    ],
    ids=["nothing", "no document", "too large"],
)
def test_weir_api_does_not_start_with_a_folder_that_is_not_what_was_built(
    tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    pages = built(tmp_path, files)
    ended = weir_api(tmp_path, WEIR_PAGES_DIR=str(pages))
    assert (ended.returncode, ended.stdout) == (78, "")
    [line] = [each for each in ended.stderr.splitlines() if each.startswith(f"  {pages} ")]
    assert said in line


def weir_api(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    return subprocess.run(
        [sys.executable, "-m", "deploy.commands", "api"],
        cwd=folder,
        env=clean
        | {"PYTHONPATH": str(Path(__file__).parents[3]), "WEIR_AUTH": "local"}
        | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[int]:
    """The port of the application over HTTP; nothing that it needs for the API is opened."""
    port = free_port()
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, http=BoundedHttp, lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    # Signals are the tests' own.
    serving = asyncio.create_task(server._serve())
    try:
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110 - it knows no event
                await asyncio.sleep(0.005)
        yield port
    finally:
        server.should_exit = True
        await serving


async def raw(port: int, head: str) -> tuple[bytes, bytes]:
    """Head and body of the answer, byte by byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            request = f"{head} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            answered, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    return answered, body


@pytest.mark.services
async def test_head_says_what_get_would_send(app: FastAPI) -> None:
    async with served(app) as port:
        for target in (*PAGES, "/weir.js", ASSET):
            got, body = await raw(port, f"GET {target}")
            head, nothing = await raw(port, f"HEAD {target}")
            assert (len(body) > 0, nothing) == (True, b"")
            assert f"content-length: {len(body)}".encode() in head
            without_date = [
                {line for line in each.splitlines() if not line.startswith(b"date:")}
                for each in (got, head)
            ]
            assert without_date[0] == without_date[1]


@pytest.mark.services
async def test_nothing_outside_the_folder_is_served_over_http(app: FastAPI) -> None:
    """As it is written: clients resolve such a path before they send it."""
    async with served(app) as port:
        for target in TRAVERSALS:
            head, body = await raw(port, f"GET {target}")
            assert b" 404 " in head.splitlines()[0], target
            assert OUTSIDE not in body, target
            assert INDEX not in body, target
