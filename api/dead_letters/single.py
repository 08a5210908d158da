"""`GET /dead-letters/{dead_letter_id}`: one dead letter, whole."""

from http import HTTPStatus
from uuid import UUID

import orjson
from fastapi import APIRouter, Response

from api.dead_letters.letters import DeadLetterDocument, acted_on, document, letters, places
from api.dead_letters.paths import ONE
from api.identity.access import access
from api.identity.principal import Role
from api.problems import Problem, documented
from api.state import FromClickHouse

router = APIRouter(tags=["dead letters"], dependencies=[access(Role.ADMIN)])


@router.get(
    ONE,
    summary="Show one dead letter, whole",
    response_model=DeadLetterDocument,
    responses=documented(
        HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)
async def show_dead_letter(dead_letter_id: UUID, clickhouse: FromClickHouse) -> Response:
    """With all bytes of the message that are kept, and its headers."""
    found = await places(clickhouse, [dead_letter_id])
    for letter in await letters(clickhouse, list(found.values())):
        acted = await acted_on(clickhouse, [dead_letter_id])
        body = orjson.dumps(document(letter, acted.get(dead_letter_id)))
        return Response(body, media_type="application/json")
    raise unknown(dead_letter_id)


def unknown(dead_letter_id: UUID) -> Problem:
    """404: there is no such letter."""
    return Problem(
        HTTPStatus.NOT_FOUND,
        f"there is no dead letter {dead_letter_id}; GET /dead-letters lists them (one that was "
        "written a moment ago shows some hundred milliseconds later)",
    )
