"""The parts of Weir on one machine: what each runs, after what, and when it is ready."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from deploy.local.kafka import LocalKafka
from deploy.local.ports import LOOPBACK
from deploy.local.settings import LocalSettings

# The supervisor gives up on a part that shows no sign of life, not on one that downloads.
_FOR_EVER = 86_400.0

Alive = Callable[[], bool]
Say = Callable[[str], None]

Probe = Callable[[Alive, Say], Awaitable[None]]
"""Returns once the part is ready; may say what it waits for."""


@dataclass(frozen=True)
class Part:
    """One process. It is started when all parts of `after` are ready.

    A part is ready when `probe` returns or, without one, when it sends `READY=1` to its
    `NOTIFY_SOCKET`. A step (`once`) is ready when it has ended well. `stop_deadline` is how
    many seconds it gets to end after SIGTERM. With `restarts` it is started again when it ends
    with 75 (EX_TEMPFAIL), which asks for that, and once it was ready also with 78 (EX_CONFIG): a
    server that it cannot reach may come back.
    """

    name: str
    title: str
    command: Sequence[str]
    stop_deadline: float
    after: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    probe: Probe | None = None
    once: bool = False
    restarts: bool = False


def weir_parts(settings: LocalSettings, identity: Mapping[str, str]) -> list[Part]:
    """Return Weir's parts in the order of their start; those that run elsewhere left out.

    `identity` is the API's environment about who may ask. The parts are stopped in reverse, one
    after the other, and get 19 s for it together.
    """
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "CLICKHOUSE_URL": settings.clickhouse_url,
        "WEIR_API_PORT": str(settings.api_port),
        "WEIR_API_METRICS_PORT": str(settings.metrics_port),
        "WEIR_SINK_PORT": str(settings.sink_port),
        "WEIR_QUOTAS_PORT": str(settings.quotas_port),
        "WEIR_SOCIAL_PORT": str(settings.social_port),
        "WEIR_BILLING_PORT": str(settings.billing_port),
        "WEIR_KAFKA_PORT": str(settings.kafka_port),
        "WEIR_CLICKHOUSE_PORT": str(settings.clickhouse_port),
        "WEIR_DATA_DIR": str(settings.folder),
        "PYTHONUNBUFFERED": "1",
    }

    part = partial(Part, environment=environment)
    servers = []
    if not settings.kafka_elsewhere:
        kafka = LocalKafka(settings.folder / "kafka", settings.kafka_port)
        servers.append(
            part(
                "kafka",
                "Kafka",
                _python("deploy.local.kafka"),
                stop_deadline=5.0,
                probe=lambda alive, _: kafka.wait_ready(_FOR_EVER, alive),
            )
        )
    if not settings.clickhouse_elsewhere.get_secret_value():
        servers.append(
            part(
                "clickhouse",
                "ClickHouse",
                _python("deploy.local.clickhouse"),
                stop_deadline=4.0,
                probe=answers(settings.clickhouse_port, "/ping"),
            )
        )
    local = {server.name for server in servers}
    steps = [
        part(
            name,
            title,
            _python("deploy.commands", name),
            stop_deadline=1.0,
            after=(server,) if server in local else (),
            once=True,
        )
        for name, title, server in (
            ("migrate", "Tables", "clickhouse"),
            ("topics", "Topics", "kafka"),
        )
    ]
    prepared = tuple(step.name for step in steps)
    sink = part(
        "sink", "Sink", _python("deploy.commands", "sink"), stop_deadline=5.0, after=prepared
    )
    quotas = part(
        "quotas",
        "Quotas",
        _python("deploy.commands", "quotas"),
        stop_deadline=5.0,
        after=("topics",),
        restarts=True,
    )
    social = part(
        "social",
        "Social posts",
        _python("deploy.commands", "social"),
        stop_deadline=5.0,
        after=("topics",),
        restarts=True,
    )
    billing = part(
        "billing",
        "Billing",
        _python("deploy.commands", "billing"),
        stop_deadline=5.0,
        after=("topics",),
        restarts=True,
    )
    api = part(
        "api",
        "API",
        _python("deploy.commands", "api"),
        environment={**environment, **settings.pages, **identity},
        stop_deadline=5.0,
        after=prepared,
        probe=answers(settings.api_port, "/readyz"),
    )
    workers = [sink, quotas, social, *([billing] if settings.bills else [])]
    return [*servers, *steps, *workers, api]


def _python(*arguments: str) -> list[str]:
    # -P: a folder called `api` in the current directory is not imported for ours.
    return [sys.executable, "-P", "-m", *arguments]


def answers(port: int, path: str) -> Probe:
    """Return a probe that is content when `GET path` on the loopback port answers 200."""

    async def probe(_: Alive, say: Say) -> None:
        while (answer := await _get(port, path)) != (200, ""):
            status, text = answer
            if status:
                say(f"waits: {path} answers {status} {text}".rstrip())
            await asyncio.sleep(0.05)

    return probe


async def _get(port: int, path: str) -> tuple[int, str]:
    """Return the status, 0 when nobody answers, and the body of an answer other than 200."""
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                request = f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                status = int((await reader.readline()).split()[1])
                if status == 200:
                    return 200, ""
                _, _, body = (await reader.read(4096)).partition(b"\r\n\r\n")
                return status, body.decode(errors="replace")
            finally:
                writer.close()
    except (OSError, TimeoutError, IndexError, ValueError):
        return 0, ""
