"""The header `Idempotency-Key`: what is sent again under it is done once, and answered alike."""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Header, Request
from uuid_utils.compat import uuid7

from api.problems import field_problem
from schemas.quotas import command_id_for

NAME: Final = "Idempotency-Key"
MAX_CHARACTERS: Final = 255

_PATTERN: Final = r"^[\x20-\x7e]+$"
_PRINTABLE: Final = re.compile(_PATTERN)


@dataclass(frozen=True, slots=True)
class CommandName:
    """A command's id, and whether its sender can name it again."""

    command_id: UUID
    repeatable: bool


def given_key(request: Request) -> str | None:
    """The key, or None. Raises Problem: 422 for one that cannot be used."""
    given = request.headers.getlist(NAME)
    if not given:
        return None
    if len(given) > 1:
        raise field_problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, NAME, f"{NAME} is given twice; give it once"
        )
    [key] = given
    if not 1 <= len(key) <= MAX_CHARACTERS or _PRINTABLE.fullmatch(key) is None:
        raise field_problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            NAME,
            f"{NAME} must be 1 to {MAX_CHARACTERS} printable ASCII characters; a UUID will do, "
            "or leave it out",
        )
    return key


async def documented_key(
    request: Request,
    idempotency_key: Annotated[  # noqa: ARG001 # for the document alone
        str | None,
        Header(
            alias=NAME,
            description="A text of your own, such as a UUID, for this one change. The same again "
            "gets the same answer and is done once, for at least 24 hours; with another body: 422. "
            "What was done is remembered, and a spend that was refused; any other refusal is not, "
            "and the same key may be used again for another body.",
            json_schema_extra={
                "minLength": 1,
                "maxLength": MAX_CHARACTERS,
                "pattern": _PATTERN,
            },
            examples=["7f0c0f2e-order-4711"],
        ),
    ] = None,
) -> str | None:
    """The same as a route's dependency, which documents the header."""
    return given_key(request)


IdempotencyKey = Annotated[str | None, Depends(documented_key)]


def name_of_users(user_id: str, key: str | None) -> CommandName:
    """What a command is called that a user sends to their own account."""
    return _name(user_id, key)


def name_of_admins(user_id: str, key: str | None) -> CommandName:
    """What a command is called that an admin sends to a user's account.

    The user's own keys are others: no key of theirs holds a line break.
    """
    return _name(user_id, None if key is None else f"admin\n{key}")


def _name(user_id: str, key: str | None) -> CommandName:
    if key is None:
        return CommandName(uuid7(), repeatable=False)
    return CommandName(command_id_for(user_id, key), repeatable=True)
