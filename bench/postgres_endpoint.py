"""What `POST /api/user/plan` is measured against: one atomic UPDATE in PostgreSQL."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import asyncpg
import uvicorn
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

CHARGE = """
UPDATE quotas SET used = used + $2
WHERE user_id = $1 AND used + $2 <= credit_limit
RETURNING used, credit_limit
"""
CONNECTIONS = 8


class Spend(BaseModel):
    count: Annotated[int, Field(ge=1)]


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(
        os.environ["BENCH_POSTGRES"], min_size=CONNECTIONS, max_size=CONNECTIONS
    ) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=connected)


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/api/user/plan")
async def spend(body: Spend, x_user: Annotated[str, Header()]) -> dict[str, int | str]:
    row = await app.state.pool.fetchrow(CHARGE, x_user, body.count)
    if row is None:
        raise HTTPException(403, "quota exceeded")
    return {"plan": "pro", "quota_used": row["used"], "limit": row["credit_limit"]}


def main() -> None:
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["WEIR_API_PORT"]),
        log_config=None,
        access_log=False,
        server_header=False,
    )


if __name__ == "__main__":
    main()
