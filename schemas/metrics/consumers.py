"""Metrics of what reads from Kafka: how far it is behind, and what it cannot use."""

from typing import Final

from schemas.metrics.declaration import OTHER, TOPIC, WORKERS, Label, Metric, Process

_WITH_TABLE: Final[tuple[Process, ...]] = ("quotas", "billing")

LAG: Final = Metric(
    "weir_consumer_lag_messages",
    "gauge",
    "Messages of a partition of this process that are not finished, read or not: offsets from the "
    "first of them to the end of the log, which Kafka is asked for with each scrape; when it does "
    "not answer, to the last end that is known. Marks of transactions are among them.",
    WORKERS,
    labels=(TOPIC, Label("partition")),
)
OLDEST: Final = Metric(
    "weir_consumer_oldest_uncommitted_seconds",
    "gauge",
    "By this machine's clock, since the broker stamped (LogAppendTime) the oldest message of the "
    "topic that this process has read and not finished: the sink when it is stored and "
    "committed, the others when all that follows from it is confirmed. 0: none. What is not read "
    "yet is in the lag alone.",
    WORKERS,
    labels=(TOPIC,),
    unit="seconds",
)
DEAD_LETTERS: Final = Metric(
    "weir_dead_letters_total",
    "counter",
    "Messages that could not be used, by their topic and the reason; repeated when the process "
    "was ended before it had committed.",
    WORKERS,
    labels=(
        TOPIC,
        Label(
            "reason",
            (
                "clock_ahead",
                "empty",
                "invalid_field",
                "invalid_value",
                "not_cancellable",
                "not_decidable",
                "not_json",
                "not_meterable",
                "refused_by_stripe",
                "stripe_away",
                "too_old",
                "unknown_kind",
                "unknown_report",
                "wrong_key",
                "wrong_partition",
                "wrong_topic",
                OTHER,
            ),
        ),
    ),
)
RECOVERY: Final = Metric(
    "weir_table_recovery_remaining_changes",
    "gauge",
    "Changes of its table that the process has still to read before it decides about the users "
    "or customers that it takes over. 0: all are there.",
    _WITH_TABLE,
)

METRICS: Final = (LAG, OLDEST, DEAD_LETTERS, RECOVERY)
