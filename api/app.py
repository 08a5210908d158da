"""The edge as an application: what it opens, which routes it has, how errors leave it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, cast

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api import health, published_schemas
from api.analytics import breakdown, events, export, ingest, live, summary, timeseries, totals
from api.analytics.newest import StoredEvents
from api.analytics.watchers import LiveRoom
from api.answer_headers import AnswerHeaders
from api.billing import links, webhook
from api.billing import mine as own_billing
from api.billing.desk import BillingDesk
from api.clickhouse import ClickHouseReader
from api.dead_letters import actions, listing, single
from api.documentation import serve_documentation
from api.head import HeadAsGet
from api.identity.access import refuse_undeclared, user_of
from api.identity.documents import document_identity
from api.identity.opening import opened_identity
from api.identity.screening import Screening
from api.measuring.opening import opened_measuring
from api.measuring.requests import MeasuredRequests
from api.pages.serving import page_paths, serve_pages
from api.pages.sign_in import pages_settings
from api.problems import ProblemDocument, install_problems
from api.publishing import KafkaPublisher
from api.quotas import accounts, catalogue, ledgers, mine, rebuild, usage
from api.quotas.desk import QuotaDesk
from api.replies import Replies
from api.settings import ApiSettings
from api.shortcut import Shortcut
from api.sites import events as site_events
from api.sites.desk import SiteDesk
from api.sites.visitors import Visitors
from api.social import media, new_post, posts, watching
from api.social.board import PostBoard
from api.social.desk import SocialDesk
from api.state import Clock, SocialWaits, State
from schemas.media import open_media
from schemas.meters import Meters, read_meters
from schemas.migrations import load_migrations
from schemas.plans import read_catalogue
from schemas.settings import read_settings_or_exit
from schemas.stripe_account import opened_stripe
from schemas.topics import EVENT_TOPICS

if TYPE_CHECKING:
    from weir_sdk import WeirClient


def utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    settings: ApiSettings | None = None,
    clock: Clock = utc_now,
    ending: asyncio.Event | None = None,
) -> FastAPI:
    """The application; settings come from the environment when none are given.

    `ending`: set when the server ends; streams that are followed end then.
    Raises InvalidPlans, InvalidMeters, MediaNotUsable and PagesNotBuilt.
    """
    chosen = settings or read_settings_or_exit(ApiSettings)
    plans = read_catalogue(chosen.plans_path)
    meters = read_meters(chosen.meters_path)
    pictures = open_media(chosen)
    own_events = _own_events(chosen) if chosen.self_analytics else None
    became = None if own_events is None else partial(_became, own_events)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(
                KafkaPublisher(
                    chosen,
                    timeout=chosen.publish_timeout,
                    max_bytes=chosen.max_unconfirmed_bytes,
                )
            )
            clickhouse = ClickHouseReader(
                chosen,
                timeout=chosen.query_timeout,
                stream_timeout=chosen.export_timeout,
                max_streams=chosen.max_exports,
            )
            stack.push_async_callback(clickhouse.close)
            stored = StoredEvents(
                clickhouse, clock, {chosen.topic(topic.name) for topic in EVENT_TOPICS}
            )
            identity = await stack.enter_async_context(opened_identity(chosen, publisher, clock))
            replies = await stack.enter_async_context(Replies(chosen))
            board = await stack.enter_async_context(PostBoard(chosen, clock()))
            state = State(
                publisher=publisher,
                clickhouse=clickhouse,
                clock=clock,
                migrations=load_migrations(),
                authenticator=identity.authenticator,
                replies=replies,
                quotas=QuotaDesk(publisher, replies, timeout=chosen.quota_timeout),
                plans=plans,
                posts=board,
                social=SocialDesk(publisher, replies, board),
                social_waits=SocialWaits(
                    chosen.quota_timeout, chosen.generation_wait, chosen.public_url, clock
                ),
                media=pictures,
                billing=await _opened_billing(stack, chosen, meters),
                sites=SiteDesk(identity.sites, Visitors(chosen.visitor_secret.get_secret_value())),
                stored=stored,
                live=await stack.enter_async_context(LiveRoom(stored)),
                ending=ending or asyncio.Event(),
            )
            await stack.enter_async_context(opened_measuring(chosen, state, became))
            yield state

    app = FastAPI(
        title="Weir",
        summary="Counts what visitors do, exactly.",
        version="0.1.0",
        lifespan=lifespan,
        redirect_slashes=False,
        # One page of documents is enough, and none may load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(
        Shortcut, method="POST", path=mine.PLAN, access=mine.ACCESS, handler=mine.spend
    )
    if own_events is not None:
        _record_own_requests(app, chosen, own_events)
    app.add_middleware(HeadAsGet)
    app.add_middleware(
        Shortcut,
        method="POST",
        path="/analytics/events",
        access=ingest.ACCESS,
        handler=ingest.ingest_events,
    )
    # The last one added is asked first.
    app.add_middleware(Screening, local=chosen.auth == "local")
    app.add_middleware(AnswerHeaders)
    app.add_middleware(MeasuredRequests)
    for router in (
        ingest.router,
        site_events.router,
        events.router,
        live.router,
        export.router,
        summary.router,
        breakdown.router,
        timeseries.router,
        totals.router,
        published_schemas.router,
        listing.router,
        single.router,
        actions.router,
        mine.router,
        accounts.router,
        catalogue.router,
        usage.router,
        ledgers.router,
        rebuild.router,
        new_post.router,
        posts.router,
        watching.router,
        media.router,
        own_billing.router,
        links.router,
        webhook.router,
        health.router,
    ):
        app.include_router(router)
    app.include_router(pages_settings(chosen))
    serve_documentation(app)
    if chosen.pages_folder is not None:
        serve_pages(app, chosen.pages_folder, chosen, chosen.public_url)
    refuse_undeclared(app)
    install_problems(app)
    _document_models(app)
    return app


async def _opened_billing(
    stack: AsyncExitStack, settings: ApiSettings, meters: Meters
) -> BillingDesk:
    sessions = None
    if settings.bills:
        # Half a second: only for who has a key.
        from api.billing.stripe_sessions import SECONDS, StripeSessions

        sessions = StripeSessions(
            await stack.enter_async_context(opened_stripe(settings, seconds=SECONDS))
        )
    return BillingDesk(meters, settings.webhook_secrets, sessions, settings.public_url)


def _own_events(settings: ApiSettings) -> "WeirClient":
    """What takes page views of the API itself, straight to Kafka."""
    from weir_sdk import WeirClient
    from weir_sdk.kafka import KafkaTransport

    server = settings.client_arguments()
    return WeirClient(
        transport=KafkaTransport(
            server["bootstrap_servers"],
            topic_prefix=settings.topic_prefix,
            compression=settings.compression,
            security_protocol=server["security_protocol"],
            ssl_context=server["ssl_context"],
            sasl_mechanism=server["sasl_mechanism"],
            sasl_username=server["sasl_plain_username"],
            sasl_password=server["sasl_plain_password"],
        )
    )


def _became(client: "WeirClient", outcome: str) -> int:
    return cast("int", getattr(client.counts, outcome))


def _record_own_requests(app: FastAPI, settings: ApiSettings, client: "WeirClient") -> None:
    """Mounts weir_sdk's middleware: past ingest's shortcut, not a spend's."""
    from weir_sdk import AnalyticsMiddleware

    # Each event that came in would make another one, and so would a look at what came in: a
    # dashboard that is open asks for ever. Nor are the pages the API.
    left_out = ("/analytics", "/sites", "/healthz", "/readyz", *page_paths(settings.pages_folder))
    beginnings = tuple(f"{path}/" for path in left_out)
    app.add_middleware(
        AnalyticsMiddleware,
        client=client,
        source="weir",
        user=user_of,
        # Not the paths themselves: of the page `/` that would be all.
        skip=lambda scope: f"{scope['path']}/".startswith(beginnings),
    )


def _document_models(app: FastAPI) -> None:
    """Adds to the OpenAPI document the models that routes read by themselves."""
    generate = app.openapi
    models: tuple[type[BaseModel], ...] = (
        *ingest.DOCUMENTED_MODELS,
        *site_events.DOCUMENTED_MODELS,
        *actions.DOCUMENTED_MODELS,
        *mine.DOCUMENTED_MODELS,
        *accounts.DOCUMENTED_MODELS,
        *new_post.DOCUMENTED_MODELS,
        *links.DOCUMENTED_MODELS,
        ProblemDocument,
    )

    def openapi() -> dict[str, object]:
        document = generate()
        _, definitions = models_json_schema(
            [(model, "validation") for model in models],
            ref_template="#/components/schemas/{model}",
        )
        schemas = cast("dict[str, object]", document["components"]["schemas"])
        schemas.update(definitions["$defs"])
        document_identity(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
