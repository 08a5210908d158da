"""What an event's metadata says about the visit: the columns that questions group and filter by.

The members are `user_agent`, `referrer`, `host`, `country`, `status`, `method` and `route`; what
is missing, of another type or out of bounds gives '', never an error. Pure, so that a repeated
batch is the same to the byte.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from string import ascii_letters
from typing import Final, NamedTuple, TypeVar

import msgspec
from msgspec import Raw, Struct

from schemas.limits import MAX_PATH_CHARACTERS
from streams.sink.user_agents import MAX_USER_AGENT_CHARACTERS, client_of

MAX_ROUTE_CHARACTERS: Final = MAX_PATH_CHARACTERS
MAX_METHOD_CHARACTERS: Final = 20
MAX_DOMAIN_CHARACTERS: Final = 253

_T = TypeVar("_T")
_CACHED: Final = 10_000
# A domain with port, user and scheme is shorter; what is longer and does not end is none.
_MAX_ORIGIN_CHARACTERS: Final = 500
_PAST_SCHEME: Final = len("https://")
_AUTHORITY: Final = re.compile(r"https?://([^/?#\\]*)", re.IGNORECASE)
_PORT: Final = re.compile(r":[0-9]*\Z")
_DOMAIN: Final = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_METHOD: Final = re.compile(rf"[A-Z][A-Z0-9_-]{{0,{MAX_METHOD_CHARACTERS - 1}}}")
# Cloudflare's `T1` is Tor and worth a row of its own; its `XX` is an unknown country.
_COUNTRIES: Final = {
    first + second: (first + second).upper()
    for first, second in product(ascii_letters, repeat=2)
    if (first + second).upper() != "XX"
} | {"T1": "T1", "t1": "T1"}
_STATUSES: Final[dict[int | str | None, str]] = {
    written: str(status) for status in range(100, 600) for written in (status, str(status))
}


class VisitColumns(NamedTuple):
    """One list a column, each as long as the metadata it was made from, in its order."""

    bot: list[bool]
    device: list[str]
    browser: list[str]
    os: list[str]
    referrer: list[str]
    country: list[str]
    status: list[str]
    method: list[str]
    route: list[str]


class _Members(Struct, gc=False):
    user_agent: str | None = None
    referrer: str | None = None
    host: str | None = None
    country: str | None = None
    status: int | str | None = None
    method: str | None = None
    route: str | None = None


class _RawMembers(Struct):
    user_agent: Raw = Raw(b"null")
    referrer: Raw = Raw(b"null")
    host: Raw = Raw(b"null")
    country: Raw = Raw(b"null")
    status: Raw = Raw(b"null")
    method: Raw = Raw(b"null")
    route: Raw = Raw(b"null")


_decode: Final = msgspec.json.Decoder(_Members).decode
_decode_raw: Final = msgspec.json.Decoder(_RawMembers).decode
_text_decoder: Final[msgspec.json.Decoder[str | None]] = msgspec.json.Decoder(str | None)
_status_decoder: Final[msgspec.json.Decoder[int | str | None]] = msgspec.json.Decoder(
    int | str | None
)


def columns_of(metadata: Sequence[str]) -> VisitColumns:
    """The columns for the JSON texts of `metadata`, one an event.

    The more of them at once the better: each distinct text of a call is looked at once.
    """
    distinct = list(dict.fromkeys(metadata))
    # Putting rows back in their places costs a third of looking at a text anew.
    if len(distinct) > len(metadata) // 2:
        return _columns(metadata)
    columns = _columns(distinct)
    place = dict(zip(distinct, range(len(distinct)), strict=True))
    places = [place[text] for text in metadata]
    return VisitColumns(
        _spread(columns.bot, places),
        _spread(columns.device, places),
        _spread(columns.browser, places),
        _spread(columns.os, places),
        _spread(columns.referrer, places),
        _spread(columns.country, places),
        _spread(columns.status, places),
        _spread(columns.method, places),
        _spread(columns.route, places),
    )


def _spread(column: list[_T], places: Sequence[int]) -> list[_T]:
    if len(column) == 1:
        return column * len(places)
    return [column[place] for place in places]


def _columns(metadata: Sequence[str]) -> VisitColumns:
    visits = [_members(text) for text in metadata]
    clients = [client_of((each.user_agent or "")[:MAX_USER_AGENT_CHARACTERS]) for each in visits]
    return VisitColumns(
        bot=[client[0] for client in clients],
        device=[client[1] for client in clients],
        browser=[client[2] for client in clients],
        os=[client[3] for client in clients],
        referrer=[
            _referrer(_origin(each.referrer), (each.host or "")[:_MAX_ORIGIN_CHARACTERS])
            if each.referrer
            else ""
            for each in visits
        ],
        country=[_COUNTRIES.get(each.country or "", "") for each in visits],
        status=[_STATUSES.get(each.status, "") for each in visits],
        method=[
            _method(each.method[: MAX_METHOD_CHARACTERS + 1]) if each.method else ""
            for each in visits
        ],
        route=[
            each.route if each.route and len(each.route) <= MAX_ROUTE_CHARACTERS else ""
            for each in visits
        ],
    )


def _members(text: str) -> _Members:
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _members_one_by_one(text)


def _members_one_by_one(text: str) -> _Members:
    """The slow lane: a member of another type is taken for absent, the others stand."""
    try:
        raw = _decode_raw(text)
    except (msgspec.DecodeError, RecursionError):
        return _Members()
    return _Members(
        user_agent=_text(raw.user_agent),
        referrer=_text(raw.referrer),
        host=_text(raw.host),
        country=_text(raw.country),
        status=_status(raw.status),
        method=_text(raw.method),
        route=_text(raw.route),
    )


def _text(raw: Raw) -> str | None:
    try:
        return _text_decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def _status(raw: Raw) -> int | str | None:
    try:
        return _status_decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def _origin(referrer: str) -> str:
    """The referrer without its path, which makes it one of few; one character past the bound."""
    return referrer[: (referrer + "/").find("/", _PAST_SCHEME)][: _MAX_ORIGIN_CHARACTERS + 1]


@lru_cache(maxsize=_CACHED)
def _referrer(origin: str, host: str) -> str:
    """The domain of the site that linked here; '' for the own one and for none."""
    found = _AUTHORITY.match(origin)
    if found is None or (
        len(origin) > _MAX_ORIGIN_CHARACTERS and found.end() > _MAX_ORIGIN_CHARACTERS
    ):
        return ""
    domain = _domain(found[1])
    return "" if domain == _domain(host) else domain


def _domain(authority: str) -> str:
    """`user@www.Example.org:443` as `example.org`; '' for what is no domain name."""
    host = _PORT.sub("", authority.rpartition("@")[2].strip()).lower().removesuffix(".")
    if len(host) > MAX_DOMAIN_CHARACTERS:
        return ""
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    bare = host.removeprefix("www.")
    domain = bare if "." in bare else host
    return domain if len(domain) <= MAX_DOMAIN_CHARACTERS and _DOMAIN.fullmatch(domain) else ""


@lru_cache(maxsize=_CACHED)
def _method(text: str) -> str:
    upper = text.upper()
    return upper if _METHOD.fullmatch(upper) is not None else ""
