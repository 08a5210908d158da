"""`GET /schemas/`: the JSON Schemas of all that may be sent and read, to check against."""

from functools import cache
from http import HTTPStatus
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from api.etags import ETAG_DOCUMENTED, NOT_MODIFIED_DOCUMENTED, IfNoneMatch, TaggedDocument
from api.identity.access import PUBLIC
from api.problems import Problem, documented
from schemas.explanations import shown
from schemas.json_schemas import PUBLISHED, PublishedSchema

MEDIA_TYPE: Final = "application/schema+json"

# They change with a release alone; asked again, the answer is 304 and short.
_CACHE_CONTROL: Final = "public, max-age=3600"

router = APIRouter(tags=["schemas"], dependencies=[PUBLIC])


class SchemaEntry(BaseModel):
    """One schema: its name, where it is, what it describes, and the topics where that lies."""

    name: Annotated[str, Field(examples=["event"])]
    path: Annotated[str, Field(examples=["/schemas/event.json"])]
    describes: str
    topics: list[str]


class SchemaIndex(BaseModel):
    schemas: list[SchemaEntry]


@router.get("/schemas/", summary="List the JSON Schemas", response_model=SchemaIndex)
async def list_schemas() -> SchemaIndex:
    return SchemaIndex(schemas=[_entry(schema) for schema in PUBLISHED.values()])


def _entry(schema: PublishedSchema) -> SchemaEntry:
    return SchemaEntry(
        name=schema.name,
        path=schema.path,
        describes=schema.describes,
        topics=[topic.name for topic in schema.topics],
    )


@router.get(
    "/schemas/{name}.json",
    summary="A JSON Schema (draft 2020-12)",
    response_class=Response,
    responses={
        HTTPStatus.OK.value: {
            "content": {MEDIA_TYPE: {"schema": {"type": "object"}}},
            "headers": ETAG_DOCUMENTED,
        },
        HTTPStatus.NOT_MODIFIED.value: NOT_MODIFIED_DOCUMENTED,
        **documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY),
    },
)
async def published_schema(
    name: Annotated[
        str,
        Path(description="As `/schemas/` lists them.", json_schema_extra={"enum": [*PUBLISHED]}),
    ],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The schema that the edge and the sink hold events to; answers 304 to its own ETag."""
    if name not in PUBLISHED:
        known = ", ".join(PUBLISHED)
        raise Problem(
            HTTPStatus.NOT_FOUND,
            f"there is no schema named {shown(name)}; /schemas/ lists them: {known}",
        )
    return _document(name).answer(
        if_none_match, media_type=MEDIA_TYPE, cache_control=_CACHE_CONTROL
    )


@cache
def _document(name: str) -> TaggedDocument:
    return TaggedDocument.of(orjson.dumps(PUBLISHED[name].document(), option=orjson.OPT_INDENT_2))
