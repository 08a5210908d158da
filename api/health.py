"""`/healthz`: the process runs. `/readyz`: it can do its work, or what keeps it from it."""

from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from api.problems import Problem, documented, unavailable
from api.state import FromClickHouse, Migrations, ToKafka

router = APIRouter(tags=["health"])


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
async def readyz(kafka: ToKafka, clickhouse: FromClickHouse, migrations: Migrations) -> Health:
    not_ready = {}
    if problem := await kafka.problem():
        not_ready["kafka"] = problem
    try:
        if problem := await clickhouse.schema_problem(migrations):
            not_ready["migrations"] = problem
    except Problem as error:
        not_ready["migrations" if "migrate" in error.detail else "clickhouse"] = error.detail
    if not_ready:
        raise unavailable(
            "; ".join(f"{part}: {problem}" for part, problem in not_ready.items()),
            not_ready=not_ready,
        )
    return Health()
