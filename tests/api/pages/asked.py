"""Asks an application that was not started: routes and headers that need no server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from fastapi import FastAPI
from multidict import CIMultiDict, CIMultiDictProxy
from starlette.types import Message, Scope

from api.app import create_app
from api.settings import ApiSettings
from tests.api.requests import Answer

INDEX: Final = b"<!doctype html><title>Weir</title>" + b"<p>a page</p>" * 50
SCRIPT: Final = b"console.log('a page');" * 50
OUTSIDE: Final = b"none of the pages"
FILES: Final[Mapping[str, bytes]] = {
    "index.html": INDEX,
    "weir.js": b"navigator.sendBeacon('/');" * 50,
    "weir.svg": b"<svg/>",
    "theme.js": b"document.title = 'Weir';" * 50,
    "assets/index-4f2a.js": SCRIPT,
    "assets/index-4f2a.css": b"p { color: red; }" * 50,
    "assets/font-4f2a.woff2": b"wOF2" * 50,
}


def built(folder: Path, files: Mapping[str, bytes] = FILES) -> Path:
    """A folder as `make pages` leaves it, beside a file that is none of the pages."""
    pages = folder / "dist"
    for name, body in files.items():
        file = pages / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
    (folder / "secret.txt").write_bytes(OUTSIDE)
    return pages


def application(folder: Path, **settings: str) -> FastAPI:
    """An application with these settings (names as in the environment), not started."""
    given = {"WEIR_AUTH": "local", "WEIR_DATA_DIR": str(folder / "data"), **settings}
    return create_app(ApiSettings.model_validate(given))


async def ask_app(
    app: FastAPI, method: str, target: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """The answer to a request, as the server hands it on: with the path decoded."""
    path, _, query = target.partition("?")
    sent = {"host": "127.0.0.1:8000", **(headers or {})}
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    try:
        await app(scope, receive, send)
    except Exception:
        # Of an error of ours the server logs what is raised behind the answer.
        if not messages:
            raise
    start, *parts = messages
    answered = CIMultiDict((name.decode(), value.decode()) for name, value in start["headers"])
    body = b"".join(part.get("body", b"") for part in parts)
    return Answer(start["status"], CIMultiDictProxy(answered), body)
