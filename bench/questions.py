"""How long questions take as the tables grow: at the API, against a scan of the raw events."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter

import clickhouse_connect

from tests.weir import Weir

SIZES = (2_000_000, 20_000_000)
A_DAY = 54_795
"""Events a day: 20 million are a year of them."""
PATHS = 500
AT_ONCE = 200_000
SAMPLES = 60
ASKED_P95 = 25.0
ASKED_GROWTH = 1.3

# Visits of five events, a tenth of them by bots; a path of rank r is visited 1/r as often as the
# first; visitors come again now and then.
FILL = """
INSERT INTO events
(
    event_id, event_type, path, user_id, visitor_id, source, occurred_at, received_at, metadata,
    bot, device, browser, os, referrer, country, status, method, route,
    topic, partition, incarnation, offset
)
SELECT
    reinterpretAsUUID(
        concat(reinterpretAsString(cityHash64(number)), reinterpretAsString(number))
    ),
    if(cityHash64(number, 1) % 50 = 0, 'conversion', 'page_view'),
    concat(
        '/products/item-',
        toString(toUInt32(floor(
            exp(cityHash64(number, 2) % 1000003 / 1000003 * log({paths:UInt32} + 1))
        )))
    ),
    '',
    concat('v', toString(cityHash64(intDiv(number, 5), 3) % {visitors:UInt64})),
    'web',
    fromUnixTimestamp64Milli(
        {since:Int64} + toInt64(number * {step:Float64}) + toInt64(cityHash64(number, 9) % 600000)
    ),
    now64(3),
    '{}',
    cityHash64(intDiv(number, 5), 4) % 10 = 0,
    ['desktop', 'mobile', 'tablet'][1 + cityHash64(intDiv(number, 5), 7) % 3],
    ['Chrome', 'Firefox', 'Safari', 'Edge'][1 + cityHash64(intDiv(number, 5), 8) % 4],
    ['Windows', 'macOS', 'Linux', 'iOS'][1 + cityHash64(intDiv(number, 5), 10) % 4],
    concat('site', toString(cityHash64(intDiv(number, 5), 5) % 30), '.example'),
    ['DE', 'US', 'FR', 'GB', 'IN', 'BR', 'JP', 'CN', 'IT', 'ES'][
        1 + cityHash64(intDiv(number, 5), 6) % 10
    ],
    ['200', '200', '200', '404', '301'][1 + cityHash64(number, 11) % 5],
    'GET',
    '/products/{id}',
    'page-views', toUInt16(number % 4), 1, number
FROM numbers({first:UInt64}, {count:UInt64})
"""

SCAN = """
SELECT path, count() AS total, uniq(visitor_id)
FROM events
WHERE occurred_at >= {start:DateTime64(3, 'UTC')} AND occurred_at < {end:DateTime64(3, 'UTC')}
  AND event_type = 'page_view' AND NOT bot
GROUP BY path
ORDER BY total DESC, path
LIMIT 100
"""


@dataclass(frozen=True)
class Question:
    """A question over the last so many days, which begin at another millisecond each time."""

    name: str
    path: str
    days: float
    parameters: dict[str, str]


QUESTIONS = (
    Question("summary, 30 days", "summary", 30, {"event_type": "page_view"}),
    Question("summary, all", "summary", 0, {"event_type": "page_view"}),
    Question("totals, 30 days", "totals", 30, {}),
    Question(
        "by day in Berlin, 30 days",
        "timeseries",
        30,
        {"interval": "day", "timezone": "Europe/Berlin"},
    ),
    Question("by hour, 7 days", "timeseries", 7, {"interval": "hour"}),
    Question(
        "by month in Berlin, a year",
        "timeseries",
        365,
        {"interval": "month", "timezone": "Europe/Berlin"},
    ),
    Question("breakdown by country, 30 days", "breakdown", 30, {"by": "country"}),
)


async def as_tables_grow(
    fresh: Callable[[], Awaitable[Weir]], say: Callable[[str], None], sizes: tuple[int, ...] = SIZES
) -> None:
    """(g) summary, totals and time series at 2 and at 20 million events."""
    figures: dict[str, list[tuple[float, float]]] = {}
    for size in sizes:
        weir = await fresh()
        now = datetime.now(UTC)
        took = await asyncio.to_thread(_fill, weir, size, now)
        say(f"(g) {size:,} events stored by SQL, {size / took:,.0f} rows/s, rollup included")
        api = await weir.start_api()
        for question in QUESTIONS:
            figures.setdefault(question.name, []).append(await _asked(weir, question, now))
        figures.setdefault("summary, 30 days, by a scan", []).append(
            await asyncio.to_thread(_scanned, weir, now, timedelta(days=30))
        )
        figures.setdefault("summary, all, by a scan", []).append(
            await asyncio.to_thread(_scanned, weir, now, timedelta(days=3650))
        )
        await api.stop()
    for name, measured in figures.items():
        shown = " | ".join(f"p50 {p50:6.1f} p95 {p95:6.1f}" for p50, p95 in measured)
        growth = measured[-1][0] / measured[0][0]
        say(f"    {name:<32} {shown} ms, {growth:.2f} times")
    say(
        f"    (asked of summary, totals and time series: p95 at most {ASKED_P95:.0f} ms at 20 "
        f"million, at most {ASKED_GROWTH} times 2 million)"
    )


def _fill(weir: Weir, size: int, now: datetime) -> float:
    """Seconds it took to store so many events that end now, A_DAY a day."""
    settings = weir.clickhouse
    step = 86_400_000 / A_DAY
    since = int(now.timestamp() * 1000 - size * step)
    began = perf_counter()
    with clickhouse_connect.get_client(
        **settings.clickhouse_arguments(), database=settings.database, send_receive_timeout=600
    ) as client:
        for first in range(0, size, AT_ONCE):
            client.command(
                FILL,
                parameters={
                    "first": first,
                    "count": AT_ONCE,
                    "since": since,
                    "step": step,
                    "paths": PATHS,
                    "visitors": size // 12,
                },
                settings={"max_partitions_per_insert_block": 0},
            )
    return perf_counter() - began


async def _asked(weir: Weir, question: Question, now: datetime) -> tuple[float, float]:
    chance = random.Random(1)
    took = []
    for number in range(SAMPLES + 5):
        parameters = dict(question.parameters)
        if question.days:
            start = now - timedelta(days=question.days, milliseconds=chance.randrange(3_600_000))
            end = now - timedelta(milliseconds=chance.randrange(3_600_000))
            parameters |= {"from": start.isoformat(), "to": end.isoformat()}
        began = perf_counter()
        status, answer = await weir.get(f"/analytics/{question.path}", **parameters)
        if status != 200:
            raise RuntimeError(str(answer))
        # The first few open connections and load what a server has loaded after a second.
        if number >= 5:
            took.append((perf_counter() - began) * 1000)
    return _p50_and_p95(took)


def _scanned(weir: Weir, now: datetime, reach: timedelta) -> tuple[float, float]:
    settings = weir.clickhouse
    took = []
    with clickhouse_connect.get_client(
        **settings.clickhouse_arguments(), database=settings.database
    ) as client:
        for _ in range(7):
            began = perf_counter()
            client.query(
                SCAN,
                parameters={
                    "start": max(now - reach, datetime(1970, 1, 1, tzinfo=UTC)),
                    "end": now,
                },
            )
            took.append((perf_counter() - began) * 1000)
    return _p50_and_p95(took)


def _p50_and_p95(took: list[float]) -> tuple[float, float]:
    took.sort()
    return took[len(took) // 2], took[len(took) * 95 // 100]
