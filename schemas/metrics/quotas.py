"""Metrics of the quotas worker: what it decides, and how soon."""

from typing import Final, get_args

from schemas.metrics.declaration import FAST_SECONDS, Label, Metric, Process
from schemas.quotas import Problem, QuotaDecision

_QUOTAS: Final[tuple[Process, ...]] = ("quotas",)

DECISIONS: Final = Metric(
    "weir_quota_decisions_total",
    "counter",
    "Commands that were decided, by their kind and what became of them: `applied`, the problem "
    "for which nothing was done, such as `quota_exceeded`, or `repeated` for a copy of one that "
    "was decided before. `show` is only ever `applied`.",
    _QUOTAS,
    labels=(
        Label("kind", get_args(QuotaDecision.model_fields["kind"].annotation)),
        Label("outcome", ("applied", "repeated", *get_args(Problem))),
    ),
)
DECISION_DURATION: Final = Metric(
    "weir_quota_decision_duration_seconds",
    "histogram",
    "From when the worker takes a command up until Kafka has confirmed all that follows from it. "
    "Dead letters are among them.",
    _QUOTAS,
    unit="seconds",
    buckets=FAST_SECONDS,
)

METRICS: Final = (DECISIONS, DECISION_DURATION)
