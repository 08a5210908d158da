"""A closed-loop HTTP client that costs little: `python -m bench.http_load URL BODY …`.

It runs in a process of its own, so that what it costs is not the server's; each of its
connections sends the next request when the answer to the last one is there.
"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

import uvloop


@dataclass(frozen=True)
class Measured:
    """Answers by status, seconds it took, latencies in ms."""

    statuses: dict[int, int]
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Accepted requests a second."""
        return self.statuses.get(202, 0) / self.seconds


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, until: float) -> None:
        self._request = request
        self._until = until
        self._buffer = b""
        self._sent_at = 0.0
        self.statuses: dict[int, int] = {}
        self.latencies: list[float] = []
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self._sent_at = perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        start = head.lower().index(b"content-length:") + 15
        length = int(head[start:].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._buffer = body[length:]
        now = perf_counter()
        self.latencies.append(now - self._sent_at)
        status = int(head[9:12])
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if now < self._until:
            self._send()
        else:
            self._transport.close()
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))


async def run_load(url: str, body: bytes, connections: int, seconds: float) -> Measured:
    parts = urlsplit(url)
    request = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    loop = asyncio.get_running_loop()
    began = perf_counter()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: _Connection(request, began + seconds), parts.hostname or "", parts.port or 80
        )
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    took = perf_counter() - began
    latencies = sorted(each for client in clients for each in client.latencies)
    statuses: dict[int, int] = {}
    for client in clients:
        for status, count in client.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    return Measured(
        statuses,
        took,
        latencies[len(latencies) // 2] * 1000,
        latencies[len(latencies) * 99 // 100] * 1000,
    )


async def load(
    url: str, body: bytes, *, connections: int, seconds: float, folder: Path
) -> Measured:
    """Runs the client in a process of its own and returns what it measured."""
    file = folder / "body.json"
    file.write_bytes(body)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.http_load",
        url,
        str(file),
        str(connections),
        str(seconds),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), seconds + 30)
    document = json.loads(output)
    statuses = {int(status): count for status, count in document["statuses"].items()}
    return Measured(statuses, document["seconds"], document["p50"], document["p99"])


def main() -> None:
    url, file, connections, seconds = sys.argv[1:]
    body = Path(file).read_bytes()
    measured = uvloop.run(run_load(url, body, int(connections), float(seconds)))
    sys.stdout.write(json.dumps(asdict(measured)))


if __name__ == "__main__":
    main()
