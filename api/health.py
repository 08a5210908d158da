"""`/healthz`: the process runs. `/readyz`: it can do its work, or what keeps it from it."""

import asyncio
from collections.abc import Collection
from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.clickhouse import ClickHouseReader, NotMigrated
from api.identity.access import PUBLIC
from api.identity.authenticator import Authenticator
from api.problems import Problem, documented, unavailable
from api.publishing import Publisher
from api.replies import Replies
from api.social.board import PostBoard
from api.state import FromBoard, FromClickHouse, FromWorkers, Identity, Migrations, ToKafka
from schemas.migrations import Migration

PARTS: Final = (
    "kafka",
    "replies",
    "posts",
    "clickhouse",
    "migrations",
    "identity",
    "api_keys",
)
"""What may keep it from its work."""

router = APIRouter(tags=["health"], dependencies=[PUBLIC])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


@router.get("/healthz", summary="Whether the process runs", response_model=Health)
async def healthz() -> Health:
    return Health()


@router.get(
    "/readyz",
    summary="Whether it can work, or what is not ready",
    response_model=Health,
    responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)
async def readyz(
    kafka: ToKafka,
    replies: FromWorkers,
    posts: FromBoard,
    clickhouse: FromClickHouse,
    migrations: Migrations,
    identity: Identity,
    exclude: Annotated[
        list[str],
        Query(
            max_length=20,
            description="Parts that are not asked: what all processes share, such as `clickhouse`, "
            "is no reason for a balancer to leave each of them, and may be slow to answer.",
            examples=[["kafka", "clickhouse", "migrations"]],
        ),
    ] = [],  # noqa: B006, FastAPI copies it
) -> Health:
    found = await not_ready(kafka, replies, posts, clickhouse, migrations, identity, leave=exclude)
    problems = {part: why for part, why in found.items() if part not in exclude}
    if problems:
        raise unavailable(
            "; ".join(f"{part}: {problem}" for part, problem in problems.items()),
            not_ready=problems,
        )
    return Health()


async def not_ready(
    kafka: Publisher,
    replies: Replies,
    posts: PostBoard,
    clickhouse: ClickHouseReader,
    migrations: tuple[Migration, ...],
    identity: Authenticator,
    leave: Collection[str] = (),
) -> dict[str, str]:
    """What keeps the edge from its work: the part → a sentence; empty when nothing does.

    Of `leave` neither `kafka` nor `clickhouse`, which knows of `migrations`, is waited for.
    """
    kafka_problem, clickhouse_problem = await asyncio.gather(
        _nothing() if "kafka" in leave else kafka.problem(),
        _clickhouse_problem(clickhouse, migrations, leave),
    )
    found = {**clickhouse_problem, **identity.not_ready()}
    if kafka_problem:
        return {"kafka": kafka_problem, **found}
    # Without Kafka nothing is heard of either: said once.
    heard = {"replies": replies.problem(), "posts": posts.problem()}
    return {**{part: why for part, why in heard.items() if why}, **found}


async def _nothing() -> None:
    return None


async def _clickhouse_problem(
    clickhouse: ClickHouseReader, migrations: tuple[Migration, ...], leave: Collection[str]
) -> dict[str, str]:
    if "clickhouse" in leave:
        return {}
    try:
        problem = await clickhouse.schema_problem(migrations)
    except NotMigrated as error:
        return {"migrations": error.detail}
    except Problem as error:
        return {"clickhouse": error.detail}
    return {"migrations": problem} if problem else {}
