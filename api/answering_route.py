"""Which route answers a request, by its template: paths may name somebody."""

from typing import Final

from starlette.types import Scope

_NAMED: Final = "weir.route"


def name_route(scope: Scope, template: str) -> None:
    """Says which route answers, where it is not the framework that finds it."""
    scope[_NAMED] = template


def route_of(scope: Scope) -> str | None:
    """The template of the route that answers a request; None: no route took it."""
    route = scope.get("route")
    # Without what its parts are read by, as documents have it; a mounted folder has no such.
    named = scope.get(_NAMED) or getattr(route, "path_format", getattr(route, "path", None))
    return named if isinstance(named, str) else None
