"""Page views: what a request leaves behind, and the event that is made of it in the background.

Most requests repeat what others before them had: the same page, the same visitor. What is the
same is kept once and written as JSON once, so that a page view costs few microseconds, of
which the request itself pays the smaller part.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

import orjson

from weir_sdk.event_ids import new_event_id
from weir_sdk.limits import (
    MAX_COUNTRY_CHARACTERS,
    MAX_HOST_CHARACTERS,
    MAX_METHOD_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_PATH_CHARACTERS,
    MAX_REFERRER_CHARACTERS,
    MAX_ROUTE_CHARACTERS,
    MAX_USER_AGENT_CHARACTERS,
)
from weir_sdk.messages import Message
from weir_sdk.routes import whole_path, whole_route
from weir_sdk.visitors import DAY_SECONDS, Visitors

PathKind: TypeAlias = Literal["real", "template"]

_MAX_REFERRERS: Final = 2_000
_MIDNIGHTS: Final = DAY_SECONDS * 1000


class Page:
    """What was asked for and answered. Its JSON is made when it is first needed."""

    __slots__ = (
        "method",
        "parameters",
        "path",
        "root_path",
        "route",
        "router_root",
        "status",
        "template",
        "written",
    )

    def __init__(
        self,
        *,
        method: str,
        status: int,
        path: str,
        root_path: str,
        route: object,
        template: str | None,
        router_root: str,
        parameters: Mapping[str, object] | None,
    ) -> None:
        """`root_path` is the application's, `router_root` that of the innermost router.

        `parameters` are the path's, given where there are mounts. `route` is kept only so that
        no other object can have its `id` meanwhile.
        """
        self.method = method
        self.status = status
        self.path = path
        self.root_path = root_path
        self.route = route
        self.template = template
        self.router_root = router_root
        self.parameters = parameters
        self.written: tuple[str, str] | None = None

    def write(self, kind: PathKind) -> tuple[str, str]:
        """JSON members of the event, and those of its metadata."""
        metadata = f'"method":{_json(self.method[:MAX_METHOD_CHARACTERS])},"status":{self.status:d}'
        path = whole_path(self.path, self.root_path)
        if self.template is not None:
            route = whole_route(self.template, self.root_path, self.router_root, self.parameters)
            metadata += f',"route":{_json(route[:MAX_ROUTE_CHARACTERS])}'
            if kind == "template":
                path = route
        self.written = f'"path":{_json(path[:MAX_PATH_CHARACTERS] or "/")}', metadata
        return self.written


class Visitor:
    """Who asked, as far as the request says. `address` is None when nobody may be named."""

    __slots__ = ("address", "country", "day", "host", "name", "user_agent", "written")

    def __init__(self, address: str | None, user_agent: bytes, host: bytes, country: bytes) -> None:
        self.address = address
        self.user_agent = user_agent
        self.host = host
        self.country = country
        self.day = -1
        self.name = ""
        self.written = ("", "")

    def write(self, day: int, visitors: Visitors) -> None:
        """Makes name, JSON members of the event and those of its metadata, for that day."""
        event = metadata = ""
        if self.address is not None:
            self.name = visitors.name(day, self.address, self.user_agent, self.host)
            event = f',"visitor_id":"{self.name}"'
        if self.user_agent:
            agent = text(self.user_agent)[:MAX_USER_AGENT_CHARACTERS]
            metadata += f',"user_agent":{_json(agent)}'
        if self.host:
            metadata += f',"host":{_json(text(self.host).lower()[:MAX_HOST_CHARACTERS])}'
        if country := text(self.country).strip()[:MAX_COUNTRY_CHARACTERS]:
            metadata += f',"country":{_json(country)}'
        self.written = event, metadata
        self.day = day


Observation: TypeAlias = tuple[
    Callable[["Observation"], Message],  # makes the event of this
    float,  # when it began, by the middleware's timer, in seconds
    float,  # how long it took, in seconds
    Page,
    Visitor,
    bytes,  # referrer
    str | None,  # user
]
"""One request: a plain tuple, since making one costs a tenth of anything with names."""


class PageViews:
    """Makes page views of observations; in one thread."""

    def __init__(
        self,
        *,
        visitors: Visitors,
        path: PathKind,
        source: str | None,
        sample_rate: float | None,
        clock: Callable[[], float],
        timer: Callable[[], float],
    ) -> None:
        """`clock` gives seconds since 1970, `timer` is monotonic."""
        self._visitors = visitors
        self._path: PathKind = path
        self._clock = clock
        self._timer = timer
        self._source = f',"source":{_json(source[:MAX_NAME_CHARACTERS])}' if source else ""
        self._sample = "" if sample_rate is None else f',"sample_rate":{_json(sample_rate)}'
        self._referrers: dict[bytes, str] = {}
        self._second = -1
        self._second_text = ""

    def message(self, seen: Observation) -> Message:
        """The event, within all bounds of the contract."""
        _, began, took, page, visitor, referrer, user = seen
        milliseconds = int((self._clock() - self._timer() + began) * 1000)
        event_id = new_event_id(milliseconds)
        day = milliseconds // _MIDNIGHTS
        if visitor.day != day:
            visitor.write(day, self._visitors)
        who, of_visitor = visitor.written
        what, of_page = page.written or page.write(self._path)
        named = ""
        if user:
            # A lone surrogate is no character of UTF-8.
            user = user[:MAX_NAME_CHARACTERS].encode("utf-8", "replace").decode()
            named = f',"user_id":{_json(user)}'
        event = (
            f'{{"event_type":"page_view","event_id":"{event_id}",'
            f'"occurred_at":"{self._moment(milliseconds)}",{what}{who}{named}{self._source},'
            f'"metadata":{{{of_page},"duration_ms":{took * 1000:.3f}{of_visitor}'
            f"{self._referrer(referrer) if referrer else ''}{self._sample}}}}}"
        )
        return Message(event_id, "page_view", user or None, event.encode())

    def is_sampled(self, visitor: Visitor, now: float, rate: float) -> bool:
        """Whether the visitor, who has an address, is in the share `rate`; for all of a day."""
        day = int(now // DAY_SECONDS)
        name = self._visitors.name(day, visitor.address or "", visitor.user_agent, visitor.host)
        return int(name[:8], 16) < rate * 0x1_0000_0000

    def _referrer(self, raw: bytes) -> str:
        written = self._referrers.get(raw)
        if written is None:
            if len(self._referrers) >= _MAX_REFERRERS:
                self._referrers.clear()
            url = without_query(text(raw))[:MAX_REFERRER_CHARACTERS]
            written = self._referrers[raw] = f',"referrer":{_json(url)}' if url else ""
        return written

    def _moment(self, milliseconds: int) -> str:
        second, rest = divmod(milliseconds, 1000)
        if second != self._second:
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = second
        return f"{self._second_text}.{rest:03d}Z"


def text(value: bytes) -> str:
    """A header as text: UTF-8 where it is that, else each byte a character."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def without_query(url: str) -> str:
    """The URL without query, fragment, and the name and password that it may carry."""
    url = url.partition("?")[0].partition("#")[0]
    if "@" not in url:
        return url
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def _json(value: str | float) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        # Lone surrogates, which UTF-8 cannot hold.
        return orjson.dumps(str(value).encode("utf-8", "replace").decode()).decode()
