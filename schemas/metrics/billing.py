"""Metrics of the billing worker: calls to Stripe, and what becomes of reports."""

from typing import Final

from schemas.billing import STAGES
from schemas.metrics.declaration import SLOW_SECONDS, Label, Metric, Process

_BILLING: Final[tuple[Process, ...]] = ("billing",)
_CALL: Final = Label("call", ("reports", "customers"))

CALLS: Final = Metric(
    "weir_billing_stripe_calls_total",
    "counter",
    "Calls to Stripe, repeated ones among them: to report use, or about customers.",
    _BILLING,
    labels=(_CALL,),
)
FAILURES: Final = Metric(
    "weir_billing_stripe_failures_total",
    "counter",
    "Calls that failed and are repeated: Stripe asks for patience (`rate_limited`), does not "
    "take the key (`key_refused`) or not for this (`not_permitted`), cannot be reached "
    "(`unreachable`), or answers with an error of its own (`error`).",
    _BILLING,
    labels=(
        _CALL,
        Label("kind", ("rate_limited", "key_refused", "not_permitted", "unreachable", "error")),
    ),
)
CALL_DURATION: Final = Metric(
    "weir_billing_stripe_call_duration_seconds",
    "histogram",
    "Of one call to Stripe, whatever its answer.",
    _BILLING,
    labels=(_CALL,),
    unit="seconds",
    buckets=SLOW_SECONDS,
)
REPORTS: Final = Metric(
    "weir_billing_reports_total",
    "counter",
    "Changes of reports, by the state in which each is now; `uncertain`: Stripe may or may not "
    "have it, and somebody has to look.",
    _BILLING,
    labels=(Label("state", tuple(STAGES)),),
)
OLDEST_USE: Final = Metric(
    "weir_billing_oldest_use_seconds",
    "gauge",
    "Since this process read the oldest use that is not reported, or written down as waiting, "
    "yet. 0: none.",
    _BILLING,
    unit="seconds",
)
STRIPE_PROBLEM: Final = Metric(
    "weir_billing_stripe_problem",
    "gauge",
    "1: something cannot be told to Stripe now; /readyz says why.",
    _BILLING,
)

METRICS: Final = (CALLS, FAILURES, CALL_DURATION, REPORTS, OLDEST_USE, STRIPE_PROBLEM)
