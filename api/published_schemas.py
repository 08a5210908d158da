"""`GET /schemas/` and `GET /asyncapi.json`: all that may be sent and read, as documents."""

from functools import cache
from http import HTTPStatus
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from api.etags import ETAG_DOCUMENTED, NOT_MODIFIED_DOCUMENTED, IfNoneMatch, TaggedDocument
from api.identity.access import PUBLIC
from api.problems import Problem, documented
from schemas.async_api import async_api_document
from schemas.explanations import shown
from schemas.json_schemas import PUBLISHED, PublishedSchema
from schemas.published import published_text

MEDIA_TYPE: Final = "application/schema+json"
_JSON: Final = "application/json"

# They change with a release alone; asked again, the answer is 304 and short.
_CACHE_CONTROL: Final = "public, max-age=3600"

# A name alone is its newest version.
_NAMED: Final = {
    name: (schema.name, version)
    for schema in PUBLISHED.values()
    for name, version in (
        (schema.name, schema.version),
        *((f"{schema.name}.v{version}", version) for version in schema.versions),
    )
}

router = APIRouter(tags=["schemas"], dependencies=[PUBLIC])


class SchemaEntry(BaseModel):
    """One schema: its name, where it is, what it describes, and the topics where that lies.

    `path` has the newest version, `versions` all of them, each of which stays as it is.
    """

    name: Annotated[str, Field(examples=["event"])]
    version: Annotated[int, Field(examples=[1])]
    path: Annotated[str, Field(examples=["/schemas/event.json"])]
    versions: Annotated[list[str], Field(examples=[["/schemas/event.v1.json"]])]
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
        version=schema.version,
        path=schema.path,
        versions=[schema.path_of(version) for version in schema.versions],
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
        Path(
            description="As `/schemas/` lists them: `event` is the newest version, `event.v1` one.",
            json_schema_extra={"enum": [*_NAMED]},
        ),
    ],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The schema that the edge and the sink hold events to; answers 304 to its own ETag."""
    if name not in _NAMED:
        known = ", ".join(PUBLISHED)
        raise Problem(
            HTTPStatus.NOT_FOUND,
            f"there is no schema named {shown(name)}; /schemas/ lists them: {known}",
        )
    return _document(*_NAMED[name]).answer(
        if_none_match, media_type=MEDIA_TYPE, cache_control=_CACHE_CONTROL
    )


@cache
def _document(name: str, version: int) -> TaggedDocument:
    return TaggedDocument.of(published_text(name, version))


@router.get(
    "/asyncapi.json",
    summary="The AsyncAPI document",
    response_class=Response,
    responses={
        HTTPStatus.OK.value: {
            "content": {_JSON: {"schema": {"type": "object"}}},
            "headers": ETAG_DOCUMENTED,
        },
        HTTPStatus.NOT_MODIFIED.value: NOT_MODIFIED_DOCUMENTED,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY),
    },
)
async def async_api(if_none_match: IfNoneMatch = None) -> Response:
    """What lies on Kafka: topics, messages, who sends and who reads; 304 to its own ETag."""
    return _async_api().answer(if_none_match, media_type=_JSON, cache_control=_CACHE_CONTROL)


@cache
def _async_api() -> TaggedDocument:
    return TaggedDocument.of(orjson.dumps(async_api_document(), option=orjson.OPT_INDENT_2))
