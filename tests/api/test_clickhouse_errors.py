"""What a question gets when ClickHouse answers with an error: what passes is to be asked again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from clickhouse_connect.driver.exceptions import DatabaseError

from api.clickhouse import ClickHouseReader, NotMigrated
from api.problems import Problem
from schemas.servers import ClickHouseSettings
from tests.services import Services

pytestmark = pytest.mark.services

LATER = {
    "ATTEMPT_TO_READ_AFTER_EOF": 32,
    "TIMEOUT_EXCEEDED": 159,
    "TOO_SLOW": 160,
    "DNS_ERROR": 198,
    "TOO_MANY_SIMULTANEOUS_QUERIES": 202,
    "NO_FREE_CONNECTION": 203,
    "SOCKET_TIMEOUT": 209,
    "NETWORK_ERROR": 210,
    "ABORTED": 236,
    "MEMORY_LIMIT_EXCEEDED": 241,
    "ALL_CONNECTION_TRIES_FAILED": 279,
    "QUERY_WAS_CANCELLED": 394,
    "CANNOT_SCHEDULE_TASK": 439,
    "NO_REMOTE_SHARD_AVAILABLE": 519,
}
MIGRATE = {"UNKNOWN_IDENTIFIER": 47, "UNKNOWN_TABLE": 60, "UNKNOWN_DATABASE": 81}
SYNTAX_ERROR = 62


@asynccontextmanager
async def failing_clickhouse(code: int) -> AsyncIterator[ClickHouseReader]:
    """Asks what answers every question with one error, as a server would: one process cannot be
    brought to have all of them."""

    async def fail(_: web.Request) -> web.Response:
        return web.Response(
            status=500,
            headers={"X-ClickHouse-Exception-Code": str(code)},
            text=f"Code: {code}. DB::Exception: of somebody's secret. (SOMETHING)",
        )

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", fail)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/weir"
    reader = ClickHouseReader(ClickHouseSettings.model_validate({"CLICKHOUSE_URL": url}), timeout=5)
    try:
        yield reader
    finally:
        await reader.close()
        await runner.cleanup()


@pytest.mark.parametrize("code", LATER.values(), ids=LATER)
async def test_what_passes_is_503_and_to_be_asked_again(code: int) -> None:
    async with failing_clickhouse(code) as reader:
        with pytest.raises(Problem, match="ask again") as problem:
            await reader.ask("SELECT 1")
    assert problem.value.status == 503


@pytest.mark.parametrize("code", MIGRATE.values(), ids=MIGRATE)
async def test_what_is_not_there_yet_is_503_and_says_what_to_run(code: int) -> None:
    async with failing_clickhouse(code) as reader:
        with pytest.raises(NotMigrated):
            await reader.ask("SELECT 1")


async def test_what_is_wrong_here_is_an_error_without_the_servers_words() -> None:
    async with failing_clickhouse(SYNTAX_ERROR) as reader:
        with pytest.raises(DatabaseError) as error:
            await reader.ask("SELECT 1")
    assert "secret" not in str(error.value)


async def test_the_codes_are_those_that_clickhouse_means(services: Services) -> None:
    settings = {"CLICKHOUSE_URL": f"{services.clickhouse_url}/default", **services.credentials}
    reader = ClickHouseReader(ClickHouseSettings.model_validate(settings), timeout=30)
    codes = {**LATER, **MIGRATE}
    try:
        [[names]] = await reader.ask(
            "SELECT arrayMap(code -> errorCodeToName(code), {codes:Array(Int32)})",
            {"codes": list(codes.values())},
        )
    finally:
        await reader.close()
    assert names == list(codes)
