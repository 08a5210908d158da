"""From what the middleware saw of a request to the event: in the background, not in the request."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, TypeAlias

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
from weir_sdk.visitors import Visitors

PathKind: TypeAlias = Literal["real", "template"]

Observation: TypeAlias = tuple[
    Callable[["Observation"], Message],  # makes the event of this
    float,  # when it began, seconds since 1970
    float,  # how long it took, seconds
    str,  # method
    int,  # status
    str,  # path as it came
    str,  # root_path of the application
    str | None,  # template of the route within its router
    str,  # root_path of that router, mounts included
    Mapping[str, object] | None,  # path parameters, only where there were mounts
    str | None,  # user
    str | None,  # the client's address; None: no visitor may be named
    bytes,  # user agent
    bytes,  # host
    bytes,  # referrer
    bytes,  # country
]
"""What one request leaves behind: a plain tuple, since making one is a twentieth of the cost of
anything with names."""


class PageViews:
    """Makes page views of observations."""

    def __init__(
        self,
        *,
        visitors: Visitors,
        path: PathKind,
        source: str | None,
        sample_rate: float | None,
    ) -> None:
        self._visitors = visitors
        self._template = path == "template"
        self._source = source[:MAX_NAME_CHARACTERS] if source else None
        self._sample_rate = sample_rate
        self._second = -1
        self._second_text = ""

    def message(self, seen: Observation) -> Message:
        """The event, within all bounds of the contract."""
        (
            _,
            began,
            took,
            method,
            status,
            path,
            root_path,
            template,
            router_root,
            parameters,
            user,
            address,
            user_agent,
            host,
            referrer,
            country,
        ) = seen
        milliseconds = int(began * 1000)
        event_id = new_event_id(milliseconds)
        metadata: dict[str, object] = {
            "method": method[:MAX_METHOD_CHARACTERS],
            "status": status,
            "duration_ms": round(took * 1000, 3),
        }
        route = None
        if template is not None:
            route = whole_route(template, root_path, router_root, parameters)
            metadata["route"] = route[:MAX_ROUTE_CHARACTERS]
        visited = route if route and self._template else whole_path(path, root_path)
        event: dict[str, object] = {
            "event_type": "page_view",
            "path": visited[:MAX_PATH_CHARACTERS] or "/",
            "event_id": event_id,
            "occurred_at": self._moment(milliseconds),
        }
        if address is not None:
            event["visitor_id"] = self._visitors.name(began, address, user_agent, host)
            if user_agent:
                metadata["user_agent"] = text(user_agent)[:MAX_USER_AGENT_CHARACTERS]
            if referrer:
                metadata["referrer"] = without_query(text(referrer))[:MAX_REFERRER_CHARACTERS]
        if host:
            metadata["host"] = text(host)[:MAX_HOST_CHARACTERS].lower()
        if country:
            metadata["country"] = text(country).strip()[:MAX_COUNTRY_CHARACTERS]
        if self._sample_rate is not None:
            metadata["sample_rate"] = self._sample_rate
        if user:
            user = user[:MAX_NAME_CHARACTERS]
            event["user_id"] = user
        if self._source:
            event["source"] = self._source
        event["metadata"] = metadata
        try:
            body = orjson.dumps(event)
        except orjson.JSONEncodeError:
            body = orjson.dumps(_without_surrogates(event))
            user = None if user is None else clean(user)
        return Message(event_id, "page_view", user, body)

    def _moment(self, milliseconds: int) -> str:
        second, rest = divmod(milliseconds, 1000)
        if second != self._second:
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = second
        return f"{self._second_text}.{rest:03d}Z"


def whole_path(path: str, root_path: str) -> str:
    """The path as the client asked for it, whether or not the server took the prefix away."""
    if not root_path or path == root_path or path.startswith(root_path.rstrip("/") + "/"):
        return path
    return root_path.rstrip("/") + path


def whole_route(
    template: str, root_path: str, router_root: str, parameters: Mapping[str, object] | None
) -> str:
    """The template from the root on: the mounts' parameters are templates too.

    A router within a mount knows only its own part. What lies before is the real path of the
    mounts, in which each value of theirs gets its name back.
    """
    if not parameters:
        return router_root.rstrip("/") + template
    named = {
        str(value): f"{{{name}}}"
        for name, value in parameters.items()
        if f"{{{name}}}" not in template and f"{{{name}:" not in template
    }
    mounts = [named.pop(each, each) for each in router_root[len(root_path) :].split("/")]
    return root_path + "/".join(mounts).rstrip("/") + template


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


def clean(text: str) -> str:
    """The text with `?` for each lone surrogate, which JSON in UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: _without_surrogates(each) for key, each in value.items()}
    return value
