"""The answers to those who may not ask: 401 and 403 with `WWW-Authenticate` (RFC 6750)."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from api.identity.principal import Role
from api.problems import Problem

_CHALLENGE: Final = 'Bearer realm="weir"'


def credentials_missing() -> Problem:
    """401: nothing was given that says who is asking."""
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "this needs credentials: send `Authorization: Bearer …` with a token or an API key",
        headers={"WWW-Authenticate": _CHALLENGE},
    )


def credentials_invalid() -> Problem:
    """401: what was given is not valid. Why stays unsaid: that would help those who guess."""
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "these credentials are not valid here, or not any more; send others",
        headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'},
    )


def role_missing(needed: Iterable[Role], had: Iterable[Role]) -> Problem:
    """403: it is known who is asking, and they may not ask this."""
    scope = " ".join(sorted(needed))
    return Problem(
        HTTPStatus.FORBIDDEN,
        f"this needs one of the roles {scope.replace(' ', ', ')}; "
        f"these credentials have {', '.join(sorted(had))}",
        headers={"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'},
    )
