"""`POST /sites/{site}/events`: takes what the pages of a website send, and says who may (CORS)."""

from functools import partial
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response
from msgspec import Raw
from msgspec.json import Decoder
from pydantic import BaseModel, ConfigDict, Field

from api.analytics.publishing_events import (
    Accepted,
    BatchResult,
    publish_batch,
    publish_one,
    refuse_count,
)
from api.answer_headers import keep_for_answer
from api.bodies import headers_of, media_type_of, parse_json, receive_body
from api.identity.access import PUBLIC
from api.identity.sites import AnySite
from api.problems import documented, field_problem
from api.sites.visits import Visit, asks_not_to_be_named, event_of, event_or_why_not, stored_id
from api.state import clock, sites
from schemas.events import EventType, Metadata, NewEventId, OccurredAt, UserId
from schemas.events import Path as EventPath
from schemas.explanations import shown

EVENTS: Final = "/sites/{site}/events"
MAX_EVENTS: Final = 100
MAX_BODY_BYTES: Final = 65_536
"""As much as browsers send with `sendBeacon`."""
MAX_AGE_SECONDS: Final = 86_400

_TOO_LARGE: Final = (
    f"the body is larger than {MAX_BODY_BYTES} bytes; send fewer events in one request"
)
# sendBeacon sends a string as text/plain, for which a browser does not ask first.
_MEDIA_TYPES: Final = ("application/json", "text/plain")
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "content-type",
    "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
}
_VARY: Final = {"Vary": "Origin"}
_split_batch: Final = Decoder(list[Raw]).decode

# The id of a site is public: it is the origin of a page that lets its events in.
router = APIRouter(tags=["sites"], dependencies=[PUBLIC])

SiteId = Annotated[
    str,
    Path(description="As `weir sites create` printed it.", examples=["site_abcdefghijklmnop"]),
]


class SiteEvent(BaseModel):
    """An event as a page of a website sends it; who visits, and where from, the edge adds."""

    model_config = ConfigDict(extra="forbid")

    event_type: EventType
    path: EventPath
    user_id: UserId = None
    metadata: Metadata = {}
    occurred_at: Annotated[
        OccurredAt,
        Field(
            description="When it happened (RFC 3339 with a zone, kept to the millisecond). Absent, "
            "or more than a day from its arrival, as by a wrong clock: when it arrives."
        ),
    ] = None
    event_id: Annotated[
        NewEventId,
        Field(
            description="A UUID; the same one sent again by pages of the site counts once. Absent: "
            "the edge makes one. It is stored as another, made of it and the site."
        ),
    ] = None


DOCUMENTED_MODELS: Final[tuple[type[BaseModel], ...]] = (SiteEvent,)
_EVENT: Final = {"$ref": "#/components/schemas/SiteEvent"}
_SCHEMA: Final = {
    "anyOf": [
        _EVENT,
        {"type": "array", "minItems": 1, "maxItems": MAX_EVENTS, "items": _EVENT},
    ]
}
# For the document alone: the route looks at headers as they were sent.
_HEADERS: Final = [
    {
        "name": "Origin",
        "in": "header",
        "required": True,
        "description": "The page's, as browsers send it: one of the site's origins.",
        "schema": {"type": "string"},
        "example": "https://shop.example",
    },
    {
        "name": "Sec-GPC",
        "in": "header",
        "required": False,
        "description": "`1`: the visitor is not named; `DNT: 1` says the same.",
        "schema": {"type": "string"},
    },
]
_EXAMPLES: Final = {
    "a page view": {
        "value": [
            {
                "event_type": "page_view",
                "path": "/pricing",
                "metadata": {"referrer": "https://example.com/"},
            }
        ]
    }
}


@router.post(
    EVENTS,
    status_code=HTTPStatus.ACCEPTED,
    summary="Send events from a page of a website",
    response_model=Accepted | BatchResult,
    responses=documented(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
    openapi_extra={
        "parameters": _HEADERS,
        "requestBody": {
            "required": True,
            "content": {
                media_type: {"schema": _SCHEMA, "examples": _EXAMPLES}
                for media_type in _MEDIA_TYPES
            },
        },
    },
)
async def take_site_events(request: Request, site: SiteId) -> Response:
    """For the tracker (`/weir.js`): one event or up to 100, JSON whatever the Content-Type says.

    `source` is the site's name. `visitor_id` is a hash of address, browser and site that changes
    every day; the address is kept nowhere. With `Sec-GPC: 1` or `DNT: 1` there is neither
    `visitor_id` nor `user_id` nor referrer.
    """
    headers = headers_of(request)
    found, origin = _admitted(request, site)
    allowed = _allowing(origin)
    keep_for_answer(request.scope, {**allowed, **sites(request).known.count(found)})
    if media_type_of(headers) not in {*_MEDIA_TYPES, ""}:
        raise field_problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Content-Type",
            f"Content-Type {shown(media_type_of(headers))!r} is not taken; "
            f"send {' or '.join(_MEDIA_TYPES)}",
        )
    body = await receive_body(request, headers, most=MAX_BODY_BYTES, too_large=_TOO_LARGE)
    now = clock(request)()
    value = parse_json(body)
    agent = headers.get(b"user-agent", b"")
    visitor_id = None
    if not asks_not_to_be_named(headers):
        client = request.scope.get("client")
        address = str(client[0]) if client else ""
        visitor_id = sites(request).visitors.name(now, address, agent, found.site_id)
    # An origin that a site has is a scheme and a host, and nothing else.
    host = origin.partition("://")[2]
    visit = Visit(found.site_id, found.name, visitor_id, agent, host)
    stored_as = partial(stored_id, found.site_id)
    if isinstance(value, list):
        refuse_count(len(value), MAX_EVENTS)
        events = [event_or_why_not(bytes(each), visit, now) for each in _split_batch(body)]
        return await publish_batch(request, events, now, "site", stored_as)
    return await publish_one(request, lambda: event_of(body, visit, now), now, "site", stored_as)


@router.options(EVENTS, include_in_schema=False)
async def allow_site_events(request: Request, site: SiteId) -> Response:
    """What a browser asks before a request that is more than a simple one (CORS)."""
    _admitted(request, site)
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=_PREFLIGHT)


def _admitted(request: Request, site_id: str) -> tuple[AnySite, str]:
    """The site and the page's origin; headers that let it read the answer are kept for that.

    Raises Problem: 404, 403 for another origin, 503.
    """
    # Any page may read a refusal, in which nothing is secret: of what it cannot read the tracker
    # thinks that the network failed, and tries again.
    keep_for_answer(request.scope, _allowing("*"))
    site = sites(request).known.find(site_id)
    origins = [value for name, value in request.scope["headers"] if name == b"origin"]
    if len(origins) != 1:
        raise field_problem(
            HTTPStatus.FORBIDDEN,
            "Origin",
            "Origin is required, once: browsers send it for a page; other programs send events "
            "to /analytics/events with a write key",
        )
    origin = origins[0].decode("latin-1")
    if origin == "null":
        raise field_problem(
            HTTPStatus.FORBIDDEN,
            "Origin",
            "Origin is null: the page has a Referrer-Policy of no-referrer or same-origin; put "
            "`data-fetch` on the script's tag. Frames in a sandbox cannot send events",
        )
    if not site.allows(origin):
        raise field_problem(
            HTTPStatus.FORBIDDEN,
            "Origin",
            f"Origin {shown(origin)} is none of this site's; `weir sites list` shows those it has",
        )
    keep_for_answer(request.scope, _allowing(origin))
    return site, origin


def _allowing(origin: str) -> dict[str, str]:
    # No credentials are allowed: there is nothing here that cookies would open.
    return {
        "Access-Control-Allow-Origin": origin,
        "Cross-Origin-Resource-Policy": "cross-origin",
        **_VARY,
    }
