"""Somebody's service: `python -m tests.sdk.watched_host PORT URL FOLDER`.

Writes the ids that Weir confirmed to `confirmed`, and at its end its counts to `counts.json`.
"""

import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import orjson
import uvicorn
from fastapi import FastAPI

from weir_sdk import AnalyticsMiddleware, HttpTransport, Message, Outcome, WeirClient


class Noted(HttpTransport):
    """Notes down the ids of what is confirmed."""

    def __init__(self, url: str, notes: Path) -> None:
        super().__init__(url)
        self._notes = notes

    async def send(self, batch: Sequence[Message]) -> Outcome:
        outcome = await super().send(batch)
        with self._notes.open("a") as notes:
            notes.writelines(f"{message.event_id}\n" for message in batch)
        return outcome


def main() -> None:
    port, url, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    client = WeirClient(transport=Noted(url, folder / "confirmed"), give_up_after=8)
    app = FastAPI()
    app.add_middleware(AnalyticsMiddleware, client=client)

    @app.get("/watched")
    async def watched() -> dict[str, str]:
        return {"status": "ok"}

    # uvicorn sends itself the signal again at its end; there is something left to write.
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False)
    (folder / "counts.json").write_bytes(orjson.dumps(asdict(client.counts)))


if __name__ == "__main__":
    main()
