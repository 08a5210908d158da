"""How a route says who may ask it, and how the route learns who does.

A router or route declares `dependencies=[access(Role.ANALYST)]`, or `[PUBLIC]`; an application
with a route that declares nothing does not start. The route takes the principal as a parameter
`asking: Asking`.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Annotated, Final, cast

from fastapi import Depends, FastAPI, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.openapi.models import HTTPBearer
from fastapi.params import Depends as Dependency
from fastapi.routing import iter_route_contexts
from fastapi.security.base import SecurityBase
from starlette.types import Scope

from api.identity.challenges import role_missing
from api.identity.principal import Principal, Role
from api.state import authenticator

_UNDECLARED: Final = frozenset({"/openapi.json", "/docs/assets"})
"""The framework's own, which depend on nothing: public."""


class Access(SecurityBase):
    """Lets through who has one of the roles, and keeps the principal for the route.

    It is a security scheme of FastAPI's, so that the OpenAPI document shows it.
    """

    scheme_name = "bearer"
    model = HTTPBearer(
        description="A JWT that names the user in `sub`, or an API key: a write key sends events, "
        "a read key asks questions about them."
    )

    def __init__(self, roles: Iterable[Role]) -> None:
        self.roles = frozenset(roles) | {Role.ADMIN}

    async def __call__(self, request: Request) -> None:
        """Raises Problem: 401, 403, 429, or 503 when nobody can say who is asking."""
        principal = await authenticator(request).principal(request.scope)
        request.state.principal = principal
        if not principal.may(self.roles):
            raise role_missing(self.roles, principal.roles)


class Public:
    """Lets everybody through; credentials are not looked at."""

    async def __call__(self) -> None:
        pass


def access(*roles: Role) -> Dependency:
    """A dependency for routes that these roles, and admins, may ask."""
    return declared(Access(roles))


def declared(required: Access) -> Dependency:
    """The same of an Access that is used elsewhere too."""
    dependency: Dependency = Security(required, scopes=sorted(required.roles))
    return dependency


PUBLIC: Final[Dependency] = Depends(Public())
"""A dependency for routes that everybody may ask."""


async def principal_of(request: Request) -> Principal:
    """Who is asking, found by the route's `access`."""
    return cast("Principal", request.state.principal)


def user_of(scope: Scope) -> str | None:
    """The user that asked, once a request is answered; None for keys and for nobody."""
    principal: Principal | None = scope.get("state", {}).get("principal")
    return principal.subject if principal is not None and principal.key_id is None else None


Asking = Annotated[Principal, Depends(principal_of)]
"""Who is asking: a parameter of a route that declares `access`."""

Held = Callable[[], Awaitable[bool]]
"""Whether credentials that were taken would still be: no key revoked, no token expired."""


async def _held(request: Request) -> Held:
    return partial(authenticator(request).held, request.scope)


StillHeld = Annotated[Held, Depends(_held)]
"""For answers that go on for long: a parameter of a route that declares `access`."""


def declared_access(dependant: Dependant | None) -> Access | Public | None:
    """What a route declares, found among its dependencies; None when it declares nothing."""
    if dependant is not None:
        for each in dependant.dependencies:
            if isinstance(each.call, Access | Public):
                return each.call
    return None


def refuse_undeclared(app: FastAPI) -> None:
    """Raises RuntimeError when a route does not say who may ask it."""
    undeclared = [
        f"{sorted(route.methods or ())} {route.path}"
        for route in iter_route_contexts(app.routes)
        if route.path not in _UNDECLARED
        and declared_access(getattr(route, "dependant", None)) is None
    ]
    if undeclared:
        raise RuntimeError(f"who may ask {', '.join(undeclared)}? Declare access(…) or PUBLIC")
