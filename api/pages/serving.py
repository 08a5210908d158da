"""The pages at `/`, `/social-generator` and so on, their files, and the headers that guard them."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final

from fastapi import FastAPI, Header, Request, Response

from api.etags import IfNoneMatch
from api.identity.access import PUBLIC
from api.pages.files import ASSETS, INDEX, PageFile, read_pages
from api.pages.missing import PageMissing
from api.pages.settings import PagesSettings, origin_of
from api.problems import Problem

PAGES: Final = ("/", "/social-generator", "/plan", "/signed-in")
"""Each is the same document, which shows what its path asks for (frontend/src/app/routes.tsx)."""
TRACKER: Final = "weir.js"

AcceptEncoding = Annotated[str, Header()]


def serve_pages(app: FastAPI, folder: Path, settings: PagesSettings, public_url: str) -> None:
    """Adds the routes of the pages in `folder`. Raises PagesNotBuilt."""
    files = read_pages(folder)
    guarded = _guarding_headers(settings, public_url)
    for page in PAGES:
        _add(app, page, _sender(files[INDEX], guarded))
    for name, file in files.items():
        if name != INDEX and not name.startswith(ASSETS):
            _add(app, f"/{name}", _sender(file, _headers_of(name)))

    async def asset(
        name: str, if_none_match: IfNoneMatch = None, accept_encoding: AcceptEncoding = ""
    ) -> Response:
        file = files.get(ASSETS + name)
        if file is None:
            raise Problem(HTTPStatus.NOT_FOUND, "there is no such file; load the page again")
        return _with(file.answer(if_none_match, accept_encoding), _NOSNIFF)

    _add(app, f"/{ASSETS}{{name:path}}", asset)
    app.add_middleware(PageMissing, index=files[INDEX], headers=guarded)


def page_paths(folder: Path | None) -> tuple[str, ...]:
    """The pages, their files in `folder` (with all below each), and their settings."""
    files = () if folder is None else sorted(folder.glob("*"))
    return (*PAGES, "/pages", *(f"/{each.name}" for each in files))


_NOSNIFF: Final = {"X-Content-Type-Options": "nosniff"}
# Pictures in SVG have styles of their own.
_DRAWN: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'"
}


def _headers_of(name: str) -> Mapping[str, str]:
    if name == TRACKER:
        # Pages of other origins load it, also those that take only what allows it, and those that
        # name its hash: browsers compare only what the page may read.
        return {
            **_NOSNIFF,
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
        }
    return _NOSNIFF if name.endswith(".js") else {**_NOSNIFF, **_DRAWN}


def _guarding_headers(settings: PagesSettings, public_url: str) -> Mapping[str, str]:
    # The origin alone: a path without a slash at its end would allow that one path.
    pictures = f" {origin_of(public_url)}" if public_url else ""
    provider = f" {settings.oidc_origin}" if settings.oidc_origin else ""
    policy = (
        "default-src 'none'",
        "script-src 'self'",
        # Positions of pop-ups are written as styles into the page.
        "style-src 'self' 'unsafe-inline'",
        f"img-src 'self' data: blob:{pictures}",
        f"connect-src 'self'{provider}",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "same-origin",
        **_NOSNIFF,
    }


Endpoint = Callable[..., Awaitable[Response]]


def _sender(file: PageFile, headers: Mapping[str, str]) -> Endpoint:
    async def send(
        _: Request, if_none_match: IfNoneMatch = None, accept_encoding: AcceptEncoding = ""
    ) -> Response:
        return _with(file.answer(if_none_match, accept_encoding), headers)

    return send


def _with(answer: Response, headers: Mapping[str, str]) -> Response:
    answer.headers.update(headers)
    return answer


def _add(app: FastAPI, path: str, endpoint: Endpoint) -> None:
    app.get(path, include_in_schema=False, dependencies=[PUBLIC])(endpoint)
