"""What routes depend on is found within the event loop: a thread for each would take longer."""

import inspect
from collections.abc import Iterator

from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from api.app import create_app
from api.settings import ApiSettings


def calls(dependant: Dependant) -> Iterator[object]:
    for each in dependant.dependencies:
        yield each.call
        yield from calls(each)


def test_every_dependency_is_asynchronous() -> None:
    app = create_app(ApiSettings(auth="local", self_analytics=False))
    found = {
        call
        for route in iter_route_contexts(app.routes)
        if isinstance(dependant := getattr(route, "dependant", None), Dependant)
        for call in calls(dependant)
    }
    assert len(found) > 5
    threaded = [
        call
        for call in found
        if not inspect.iscoroutinefunction(call)
        and not inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004
    ]
    assert threaded == []
