"""What we are measured against: an endpoint with nothing behind its body model, and a busy one."""

import os
from time import thread_time
from typing import Final

import uvicorn
from fastapi import FastAPI

from schemas.events import NewEvent

WORK_SECONDS: Final = 0.001

app = FastAPI()


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/analytics/events", status_code=202)
async def empty(event: NewEvent) -> dict[str, str]:
    return {"event_id": event.path}


@app.post("/work", status_code=202)
async def work() -> None:
    """Takes as much of the processor as an endpoint that looks something up and renders it."""
    until = thread_time() + WORK_SECONDS
    while thread_time() < until:
        pass


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
