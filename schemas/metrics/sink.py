"""Metrics of the sink: what it stores, how fast, and what it leaves out."""

from typing import Final

from schemas.metrics.declaration import FAST_SECONDS, TOPIC, Label, Metric, Process

_SINK: Final[tuple[Process, ...]] = ("sink",)

_TABLE: Final = Label(
    "table",
    (
        "events",
        "dead_letters",
        "dead_letter_actions",
        "quota_decisions",
        "generation_jobs",
        "generation_results",
        "usage_reports",
        "stripe_customers",
        "heartbeats",
    ),
)

MESSAGES: Final = Metric(
    "weir_sink_messages_total",
    "counter",
    "Messages whose batch is stored: its rows, known duplicates and dead letters together. A "
    "batch that was in doubt is counted again.",
    _SINK,
    labels=(TOPIC,),
)
ROWS: Final = Metric(
    "weir_sink_rows_total",
    "counter",
    "Rows that ClickHouse has taken, or had already of a batch that was in doubt.",
    _SINK,
    labels=(_TABLE,),
)
BATCHES: Final = Metric(
    "weir_sink_batches_total",
    "counter",
    "Batches that are stored; of some nothing was new.",
    _SINK,
    labels=(TOPIC,),
)
DUPLICATES: Final = Metric(
    "weir_sink_known_duplicates_total",
    "counter",
    "Messages that were left out because their id has arrived before.",
    _SINK,
    labels=(TOPIC,),
)
INSERT_DURATION: Final = Metric(
    "weir_sink_insert_duration_seconds",
    "histogram",
    "Of an insert that succeeded, without the attempts before it.",
    _SINK,
    labels=(_TABLE,),
    unit="seconds",
    buckets=FAST_SECONDS,
)
INSERT_FAILURES: Final = Metric(
    "weir_sink_insert_failures_total",
    "counter",
    "Inserts that failed and are repeated: ClickHouse is away or answers with an error "
    "(`retryable`), or asks for patience (`overloaded`).",
    _SINK,
    labels=(_TABLE, Label("kind", ("retryable", "overloaded"))),
)
STOPPED: Final = Metric(
    "weir_sink_stream_stopped",
    "gauge",
    "1: the topic's stream stands still, because of too many dead letters within a minute.",
    _SINK,
    labels=(TOPIC,),
)

METRICS: Final = (MESSAGES, ROWS, BATCHES, DUPLICATES, INSERT_DURATION, INSERT_FAILURES, STOPPED)
