"""The empty endpoint as another service would run it: with the middleware when WEIR_URL is set."""

import os
from time import process_time

import uvicorn

from bench.empty_endpoint import app
from weir_sdk import AnalyticsMiddleware, WeirClient

client: WeirClient | None = None
if url := os.environ.get("WEIR_URL"):
    client = WeirClient(url, os.environ.get("WEIR_WRITE_KEY"))
    app.add_middleware(AnalyticsMiddleware, client=client)


@app.get("/counts")
async def counts() -> dict[str, float]:
    """What became of the page views, and the seconds of a processor that this process took."""
    if client is None:
        return {"cpu": process_time()}
    found = client.counts
    return {
        "cpu": process_time(),
        "recorded": found.recorded,
        "sent": found.sent,
        "dropped": found.dropped,
    }


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
