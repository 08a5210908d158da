"""Paths and path templates from the root on, whatever took part of them away on the way."""

from collections.abc import Mapping

from weir_sdk.asgi import Scope


def template_of(scope: Scope) -> str | None:
    """The path template of the route, as far as the innermost router knows it."""
    route = scope.get("route")
    # FastAPI keeps the prefixes of included routers apart from the route itself.
    if own := scope.get("fastapi"):
        context = own.get("effective_route_context")
        if context is not None and context.original_route is route:
            route = context
    template = getattr(route, "path", None)
    return template if isinstance(template, str) else None


def whole_path(path: str, root_path: str) -> str:
    """The path as the client asked for it, whether or not a proxy took the prefix away."""
    root = root_path.rstrip("/")
    if not root or path == root or path.startswith(root + "/"):
        return path
    return root + path


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
