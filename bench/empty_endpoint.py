"""What `POST /analytics/events` is measured against: the same body model, nothing behind it."""

import os

import uvicorn
from fastapi import FastAPI

from schemas.events import NewEvent

app = FastAPI()


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/analytics/events", status_code=202)
async def empty(event: NewEvent) -> dict[str, str]:
    return {"event_id": event.path}


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
