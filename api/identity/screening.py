"""Refuses what may not even be asked, before anything else looks at a request.

Credentials in a URL: proxies, histories and logs keep URLs. And on a Weir that lets in who gives
no credentials: what comes from elsewhere, through a proxy or by a browser that a page of another
site makes send it. Websites load the tracker and send events; who may is asked there.
"""

import re
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Problem, problem_response
from api.settings import is_loopback
from schemas.api_keys import PATTERN

# As they are without separators and capitals.
_NAMES: Final = frozenset(
    {
        "key",
        "apikey",
        "writekey",
        "readkey",
        "token",
        "accesstoken",
        "authtoken",
        "bearertoken",
        "idtoken",
        "refreshtoken",
        "bearer",
        "jwt",
        "auth",
        "authorization",
        "credentials",
        "secret",
        "password",
    }
)
_SEPARATORS: Final = re.compile(r"[-_.\s]")
_CREDENTIALS: Final = re.compile(
    # From the beginning of a word alone: from each place of a long one it would take seconds.
    rf"{PATTERN}|(?<![\w-])eyJ[\w-]{{5,}}\.eyJ[\w-]{{5,}}\.[\w-]*",
    re.ASCII | re.IGNORECASE,
)
_LOOPBACK: Final = r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?"
_LOOPBACK_HOST: Final = re.compile(_LOOPBACK.encode(), re.IGNORECASE)
_LOOPBACK_ORIGIN: Final = re.compile(rb"https?://" + _LOOPBACK.encode(), re.IGNORECASE)
_FOR_WEBSITES: Final = re.compile(r"/sites/[^/]+/events|/weir\.js")
_OF_PROXIES: Final = frozenset({b"forwarded", b"via", b"x-real-ip"})
_OF_PROXIES_PREFIX: Final = b"x-forwarded-"


class Screening:
    """Lets through what may be asked."""

    def __init__(self, app: ASGIApp, *, local: bool) -> None:
        """`local`: this Weir lets in who gives no credentials."""
        self._app = app
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            problem = _credentials_in_url(scope) or (
                _from_elsewhere(scope) if self._local else None
            )
            if problem is not None:
                await problem_response(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_loopback_origin(origin: bytes) -> bool:
    """Whether an `Origin` is a page of this machine, on any port."""
    return _LOOPBACK_ORIGIN.fullmatch(origin) is not None


def _credentials_in_url(scope: Scope) -> Problem | None:
    query = scope["query_string"].decode("latin-1")
    found = _CREDENTIALS.search(scope["path"]) or (
        query
        and (
            _CREDENTIALS.search(unquote_plus(query))
            or any(
                _SEPARATORS.sub("", name).lower() in _NAMES
                for name, _ in parse_qsl(query, keep_blank_values=True)
            )
        )
    )
    if not found:
        return None
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "credentials do not belong into a URL, which logs and histories keep; send them as "
        "`Authorization: Bearer …`, and replace those that were sent",
    )


def _from_elsewhere(scope: Scope) -> Problem | None:
    for name, value in scope["headers"]:
        # Whoever a proxy lets in would be the user of this machine.
        if name in _OF_PROXIES or name.startswith(_OF_PROXIES_PREFIX):
            return _misdirected("nothing that comes through a proxy")
        # A page can give its own name the address 127.0.0.1, and then read what is there.
        if name == b"host" and not _LOOPBACK_HOST.fullmatch(value):
            return _misdirected("as 127.0.0.1 or localhost alone")
        if _of_another_site(name, value, scope) and not _FOR_WEBSITES.fullmatch(scope["path"]):
            return Problem(
                HTTPStatus.FORBIDDEN,
                "with WEIR_AUTH=local this answers no pages of other sites; "
                "set WEIR_AUTH=required, and send credentials",
            )
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        return _misdirected("this machine alone")
    return None


def _of_another_site(name: bytes, value: bytes, scope: Scope) -> bool:
    """Whether this header says that a page of another site makes the browser ask."""
    # A page can send a form to 127.0.0.1 without reading the answer.
    if name == b"origin":
        return not is_loopback_origin(value)
    # Or show a picture from there, for which browsers name no origin. Links may lead here: what
    # one opens, the page that has it cannot see.
    return name == b"sec-fetch-site" and value == b"cross-site" and not _is_followed_link(scope)


def _is_followed_link(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return (
        scope["method"] == "GET"
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
    )


def _misdirected(answers: str) -> Problem:
    return Problem(
        HTTPStatus.MISDIRECTED_REQUEST,
        f"with WEIR_AUTH=local this answers {answers}; for others set WEIR_AUTH=required, and "
        "send credentials",
    )
