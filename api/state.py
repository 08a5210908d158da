"""What a request can reach: opened by the lifespan, closed by it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypedDict, TypeVar, cast

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from obstore.store import ObjectStore

from api.analytics.newest import StoredEvents
from api.analytics.watchers import LiveRoom
from api.billing.desk import BillingDesk
from api.clickhouse import ClickHouseReader
from api.identity.authenticator import Authenticator
from api.publishing import Publisher
from api.quotas.desk import QuotaDesk
from api.replies import Replies
from api.sites.desk import SiteDesk
from api.social.board import PostBoard
from api.social.desk import SocialDesk
from schemas.migrations import Migration
from schemas.plans import Catalogue

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class SocialWaits:
    """How long a request for a post waits for the decision and the result, in seconds.

    `public_url`: in front of the paths that it answers with; '': as the request came.
    """

    decision: float
    result: float
    public_url: str
    clock: Clock


class State(TypedDict):
    """The lifespan's state, copied into each request."""

    publisher: Publisher
    clickhouse: ClickHouseReader
    clock: Clock
    migrations: tuple[Migration, ...]
    authenticator: Authenticator
    replies: Replies
    quotas: QuotaDesk
    plans: Catalogue
    posts: PostBoard
    social: SocialDesk
    social_waits: SocialWaits
    media: ObjectStore
    billing: BillingDesk
    sites: SiteDesk
    stored: StoredEvents
    live: LiveRoom
    ending: asyncio.Event


def publisher(request: Request) -> Publisher:
    return cast("Publisher", request.state.publisher)


def clickhouse(request: Request) -> ClickHouseReader:
    return cast("ClickHouseReader", request.state.clickhouse)


def clock(request: Request) -> Clock:
    return cast("Clock", request.state.clock)


def now(request: Request) -> datetime:
    return clock(request)()


def migrations(request: Request) -> tuple[Migration, ...]:
    return cast("tuple[Migration, ...]", request.state.migrations)


def replies(request: Request) -> Replies:
    return cast("Replies", request.state.replies)


def quotas(request: Request) -> QuotaDesk:
    return cast("QuotaDesk", request.state.quotas)


def authenticator(request: Request) -> Authenticator:
    return cast("Authenticator", request.state.authenticator)


def plans(request: Request) -> Catalogue:
    return cast("Catalogue", request.state.plans)


def posts(request: Request) -> PostBoard:
    return cast("PostBoard", request.state.posts)


def social(request: Request) -> SocialDesk:
    return cast("SocialDesk", request.state.social)


def social_waits(request: Request) -> SocialWaits:
    return cast("SocialWaits", request.state.social_waits)


def media(request: Request) -> ObjectStore:
    return cast("ObjectStore", request.state.media)


def billing(request: Request) -> BillingDesk:
    return cast("BillingDesk", request.state.billing)


def sites(request: Request) -> SiteDesk:
    return cast("SiteDesk", request.state.sites)


def stored(request: Request) -> StoredEvents:
    return cast("StoredEvents", request.state.stored)


def live(request: Request) -> LiveRoom:
    return cast("LiveRoom", request.state.live)


def ending(request: Request) -> asyncio.Event:
    return cast("asyncio.Event", request.state.ending)


_Found = TypeVar("_Found")


def _from(find: Callable[[Request], _Found]) -> Dependency:
    # FastAPI hands each dependency that is not asynchronous to a thread and waits for it.
    async def found(request: Request) -> _Found:
        return find(request)

    return cast("Dependency", Depends(found))


FromClickHouse = Annotated[ClickHouseReader, _from(clickhouse)]
ToKafka = Annotated[Publisher, _from(publisher)]
Migrations = Annotated[tuple[Migration, ...], _from(migrations)]
Identity = Annotated[Authenticator, _from(authenticator)]
Now = Annotated[datetime, _from(now)]
FromWorkers = Annotated[Replies, _from(replies)]
AtQuotas = Annotated[QuotaDesk, _from(quotas)]
Plans = Annotated[Catalogue, _from(plans)]
FromBoard = Annotated[PostBoard, _from(posts)]
WaitsForPosts = Annotated[SocialWaits, _from(social_waits)]
FromMedia = Annotated[ObjectStore, _from(media)]
Billing = Annotated[BillingDesk, _from(billing)]
FromStoredEvents = Annotated[StoredEvents, _from(stored)]
FromLiveRoom = Annotated[LiveRoom, _from(live)]
Ending = Annotated[asyncio.Event, _from(ending)]
