"""`/healthz`: the process runs. `/readyz`: it can do its work, or what keeps it from it."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.clickhouse import ClickHouseReader, NotMigrated
from api.identity.access import PUBLIC
from api.problems import Problem, documented, unavailable
from api.state import FromBoard, FromClickHouse, FromWorkers, Identity, Migrations, ToKafka
from schemas.migrations import Migration

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
    responses=documented(HTTPStatus.SERVICE_UNAVAILABLE),
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
            description="Parts that are left out: what all processes share, such as `clickhouse`, "
            "is no reason for a balancer to leave each of them.",
            examples=[["kafka", "clickhouse", "migrations"]],
        ),
    ] = [],  # noqa: B006, FastAPI copies it
) -> Health:
    kafka_problem, clickhouse_problem = await asyncio.gather(
        kafka.problem(), _clickhouse_problem(clickhouse, migrations)
    )
    not_ready = {**clickhouse_problem, **identity.not_ready()}
    if kafka_problem:
        not_ready = {"kafka": kafka_problem, **not_ready}
    else:
        # Without Kafka nothing is heard of either: said once.
        heard = {"replies": replies.problem(), "posts": posts.problem()}
        not_ready = {**{part: why for part, why in heard.items() if why}, **not_ready}
    not_ready = {part: why for part, why in not_ready.items() if part not in exclude}
    if not_ready:
        raise unavailable(
            "; ".join(f"{part}: {problem}" for part, problem in not_ready.items()),
            not_ready=not_ready,
        )
    return Health()


async def _clickhouse_problem(
    clickhouse: ClickHouseReader, migrations: tuple[Migration, ...]
) -> dict[str, str]:
    try:
        problem = await clickhouse.schema_problem(migrations)
    except NotMigrated as error:
        return {"migrations": error.detail}
    except Problem as error:
        return {"clickhouse": error.detail}
    return {"migrations": problem} if problem else {}
