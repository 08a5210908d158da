"""The arithmetic of docs/scaling.md: `python -m bench.scaling` writes its tables there.

A test holds the document to it. Everything follows from the figures below: those that were measured
(docs/figures.md, `python -m bench.sizes`), and those that are assumed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "scaling.md"

# Measured on two cores that Kafka, ClickHouse, Weir and the load share.
EDGE_EVENTS: Final = 97_801
"""A second, of one API process, in arrays of 100."""
EDGE_REQUESTS: Final = 6_425
"""A second, of one API process, one event in each."""
SINK_ROWS: Final = 126_806
"""A second, of one sink process."""
INSERTED_ROWS: Final = 110_357
"""A second, of ClickHouse on both cores, rollups included."""
FILTER_BYTES: Final = 2.4
"""Of an id in a filter that is full; it is made for twice the ids of the window."""
KAFKA_BYTES: Final = 59
EVENTS_BYTES: Final = 31.2
KNOWN_IDS_BYTES: Final = 8.5
ROLLUP_BYTES: Final = 20.1

# Assumed.
PEAK: Final = 2
"""Times the average: processes are sized for it, disks for the average."""
USED: Final = 0.5
"""Of what was measured, or of cores, at the peak: the rest is for failures and for catching up."""
DISK_USED: Final = 0.7
KAFKA_COPIES: Final = 3
KAFKA_DAYS: Final = 7
BROKER_BYTES: Final = 100_000_000
"""A second that a broker takes in, copies of others included."""
BROKER_CPUS: Final = 8
BROKER_DISK: Final = 16 * 10**12
REPLICAS: Final = 2
CLICKHOUSE_CPUS: Final = (8, 16, 32)
CLICKHOUSE_DISK: Final = 16 * 10**12
EVENTS_DAYS: Final = 90
"""Until an operator drops a month; Weir itself keeps them."""
KNOWN_IDS_DAYS: Final = 43
SINK_MEMORY: Final = 24 * 10**9
"""Bytes for filters in one sink process."""
KEEPER_CPUS: Final = 6
"""Three servers."""

# Dollars; a month has 730 hours.
CPU_HOUR: Final = 0.04
"""With its 4 GB of memory."""
MEMORY_HOUR: Final = 0.005
"""Of a GB more."""
DISK_MONTH: Final = 0.08
"""Of a GB."""
BETWEEN_ZONES: Final = 0.02
"""Of a GB."""
HOURS: Final = 730
DAY: Final = 86_400
GB: Final = 10**9


@dataclass(frozen=True)
class Plan:
    """What so many events a second (on average) take. `days` is WEIR_DEDUPLICATION_DAYS."""

    events: int
    days: int
    linger: float

    @property
    def peak(self) -> int:
        return self.events * PEAK

    @property
    def api_processes(self) -> int:
        return max(2, ceil(self.peak / (EDGE_EVENTS * USED)))

    @property
    def api_processes_singly(self) -> int:
        return max(2, ceil(self.peak / (EDGE_REQUESTS * USED)))

    @property
    def filter_bytes(self) -> float:
        """Of all sinks: every replica tells the ids that it has."""
        return self.events * DAY * self.days * FILTER_BYTES * 2 * REPLICAS

    @property
    def sinks(self) -> int:
        by_rows = ceil(self.peak / (SINK_ROWS * USED))
        return max(2, by_rows, ceil(self.filter_bytes / SINK_MEMORY))

    @property
    def filter_of_a_sink(self) -> float:
        return self.filter_bytes / self.sinks

    @property
    def partitions(self) -> int:
        """Of the topic with most of the events: twice the sinks, as a power of two."""
        return max(4, 1 << (2 * self.sinks - 1).bit_length())

    @property
    def kafka_rate(self) -> float:
        """Bytes a second that come in at the peak, copies left out."""
        return self.peak * KAFKA_BYTES

    @property
    def kafka_disk(self) -> float:
        return self.events * DAY * KAFKA_DAYS * KAFKA_BYTES * KAFKA_COPIES

    @property
    def brokers(self) -> int:
        by_rate = ceil(self.kafka_rate * KAFKA_COPIES / BROKER_BYTES)
        return max(3, by_rate, ceil(self.kafka_disk / (BROKER_DISK * DISK_USED)))

    @property
    def clickhouse_disk(self) -> float:
        """Of one replica of all shards."""
        daily = (EVENTS_BYTES + ROLLUP_BYTES) * EVENTS_DAYS + KNOWN_IDS_BYTES * KNOWN_IDS_DAYS
        return self.events * DAY * daily

    @property
    def clickhouse_cpus(self) -> int:
        """Of one server."""
        needed = self.peak / (INSERTED_ROWS / 2 * USED)
        return next((each for each in CLICKHOUSE_CPUS if each >= needed), CLICKHOUSE_CPUS[-1])

    @property
    def shards(self) -> int:
        by_rate = ceil(self.peak / (INSERTED_ROWS / 2 * USED * self.clickhouse_cpus))
        return max(by_rate, ceil(self.clickhouse_disk / (CLICKHOUSE_DISK * DISK_USED)))

    @property
    def inserts(self) -> float:
        """A second into one shard: a partition makes a batch for each linger, or a full one."""
        lanes = self.partitions / self.linger
        return max(lanes, self.peak / 50_000) / self.shards

    @property
    def tokens_last(self) -> float:
        """Seconds in which 10,000 inserts come into one shard."""
        return 10_000 / self.inserts

    @property
    def dollars(self) -> float:
        """A month."""
        servers = self.brokers * BROKER_CPUS + self.shards * REPLICAS * self.clickhouse_cpus
        cpus = self.api_processes + self.sinks + servers + KEEPER_CPUS
        memory = max(0.0, self.filter_bytes - self.sinks * 4 * GB) / GB
        disk = (self.kafka_disk + self.clickhouse_disk * REPLICAS) / DISK_USED / GB
        # Producers and consumers are in another zone two times of three, copies always.
        moved = self.events * DAY * 365 / 12 * KAFKA_BYTES * (KAFKA_COPIES - 1 + 4 / 3) / GB
        return (
            (cpus * CPU_HOUR + memory * MEMORY_HOUR) * HOURS
            + disk * DISK_MONTH
            + moved * BETWEEN_ZONES
        )

    @property
    def cents_a_million(self) -> float:
        return self.dollars * 100 / (self.events * DAY * 365 / 12 / 1_000_000)


PLANS: Final = (Plan(1_000, 7, 0.25), Plan(100_000, 7, 1), Plan(10_000_000, 1, 2))


def amount(size: float) -> str:
    """Bytes, in the unit that fits."""
    units = {"PB": 10**15, "TB": 10**12, "GB": 10**9, "MB": 10**6, "kB": 10**3}
    for unit, step in units.items():
        if size >= step:
            return f"{size / step:,.1f} {unit}"
    return f"{size:,.0f} B"


def inputs() -> Iterator[tuple[str, ...]]:
    """The rows of the document's tables of what the arithmetic begins with."""
    yield "one API process, arrays of 100", f"{EDGE_EVENTS:,} events/s"
    yield "one API process, one event a request", f"{EDGE_REQUESTS:,} requests/s"
    yield "one sink", f"{SINK_ROWS:,} rows/s"
    yield "ClickHouse, inserts alone, rollups included", f"{INSERTED_ROWS:,} rows/s"
    yield "an id in the sink's filter", f"{FILTER_BYTES} bytes"
    yield "an event on Kafka, in batches of 100, lz4", f"{KAFKA_BYTES} bytes"
    yield "an event in `events`, merged", f"{EVENTS_BYTES} bytes"
    yield "an event in `known_ids`, merged", f"{KNOWN_IDS_BYTES} bytes"
    yield "an event in `event_counts`, merged", f"{ROLLUP_BYTES} bytes"
    yield "the peak is the average times", f"{PEAK}"
    yield "used at the peak, of what was measured", f"{USED:.0%}"
    yield "used of a disk", f"{DISK_USED:.0%}"
    yield "copies on Kafka, days", f"{KAFKA_COPIES}, {KAFKA_DAYS}"
    broker = f"{BROKER_CPUS} cores, {amount(BROKER_DISK)}, {amount(BROKER_BYTES)} a second"
    yield "a broker", f"{broker}, copies included"
    cores = " or ".join(map(str, CLICKHOUSE_CPUS))
    yield "a ClickHouse server", f"{cores} cores, {amount(CLICKHOUSE_DISK)}; {REPLICAS} replicas"
    yield "months of events are dropped after", f"{EVENTS_DAYS} days"
    yield "filters in one sink", f"at most {amount(SINK_MEMORY)}"
    yield "a core with 4 GB, an hour", f"${CPU_HOUR}"
    yield "a GB of memory more, an hour", f"${MEMORY_HOUR}"
    yield "a GB of disk, a month", f"${DISK_MONTH}"
    yield "a GB between zones", f"${BETWEEN_ZONES}"


def figures() -> Iterator[tuple[str, ...]]:
    """The rows of the document's table, a column for each plan."""

    def row(name: str, *cells: str) -> tuple[str, ...]:
        return name, *cells

    p = PLANS
    yield row("events/s, average", *(f"{each.events:,}" for each in p))
    yield row("at the peak", *(f"{each.peak:,}" for each in p))
    yield row("`WEIR_DEDUPLICATION_DAYS`", *(f"{each.days}" for each in p))
    yield row("`WEIR_SINK_LINGER`", *(f"{each.linger:g}" for each in p))
    yield row("API processes, arrays of 100", *(f"{each.api_processes:,}" for each in p))
    yield row("API processes, single events", *(f"{each.api_processes_singly:,}" for each in p))
    yield row("sinks", *(f"{each.sinks:,}" for each in p))
    yield row("filter of known ids, each sink", *(amount(each.filter_of_a_sink) for each in p))
    yield row("`WEIR_EVENT_PARTITIONS`", *(f"{each.partitions:,}" for each in p))
    yield row("into Kafka at the peak, a second", *(amount(each.kafka_rate) for each in p))
    yield row("Kafka's disks, all brokers", *(amount(each.kafka_disk) for each in p))
    yield row("brokers", *(f"{each.brokers:,}" for each in p))
    yield row("ClickHouse's disks, one replica", *(amount(each.clickhouse_disk) for each in p))
    yield row(
        f"ClickHouse: shards of {REPLICAS} replicas, cores of each",
        *(f"{each.shards:,}, {each.clickhouse_cpus}" for each in p),
    )
    yield row("inserts/s of a shard", *(f"{each.inserts:.1f}" for each in p))
    yield row("tokens are remembered for", *(f"{each.tokens_last:,.0f} s" for each in p))
    yield row("dollars a month", *(f"{each.dollars:,.0f}" for each in p))
    yield row("cents for a million events", *(f"{each.cents_a_million:.1f}" for each in p))


def tables() -> dict[str, str]:
    """The document's tables in Markdown, by the names that their marks have."""
    head, *plans = figures()
    return {
        "inputs": _table([("", ""), *inputs()]),
        "figures": _table([head, *plans]),
    }


def _table(rows: list[tuple[str, ...]]) -> str:
    head, *others = (
        "|".join(["", *(f" {cell} " if cell else " " for cell in row), ""]) for row in rows
    )
    return "\n".join([head, "|" + "---|" * len(rows[0]), *others])


def with_tables(document: str) -> str:
    """The document with its tables as they must be, between their marks."""
    for name, table in tables().items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, rest = document.split(begin)
        document = f"{before}{begin}\n{table}\n\n{end}{rest.split(end)[1]}"
    return document


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text()))
