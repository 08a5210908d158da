"""Metrics of the social worker: posts, what they cost, and the calls that make them."""

from typing import Final, get_args

from schemas.generation import FailureReason
from schemas.metrics.declaration import SLOW_SECONDS, Label, Metric, Process

_SOCIAL: Final[tuple[Process, ...]] = ("social",)
_MODEL: Final = Label("model")
_REASON: Final = Label(
    "reason", tuple(each for each in get_args(FailureReason) if each != "quota_exceeded")
)

GENERATIONS: Final = Metric(
    "weir_generations_total",
    "counter",
    "Posts whose outcome was decided by this process: `done`, `partly` when some variants could "
    "not be made, `failed` when none could.",
    _SOCIAL,
    labels=(Label("outcome", ("done", "partly", "failed")),),
)
GENERATION_DURATION: Final = Metric(
    "weir_generation_duration_seconds",
    "histogram",
    "From when the worker begins a post to its outcome.",
    _SOCIAL,
    unit="seconds",
    buckets=SLOW_SECONDS,
)
IN_FLIGHT: Final = Metric(
    "weir_generations_in_flight",
    "gauge",
    "Posts in the making.",
    _SOCIAL,
)
COST: Final = Metric(
    "weir_generation_cost_dollars_total",
    "counter",
    "What calls cost at the list prices of WEIR_PRICES_FILE, in US dollars, by model; also of "
    "calls whose answer could not be used. The stub costs nothing.",
    _SOCIAL,
    labels=(_MODEL,),
    unit="dollars",
)
UNPRICED_CALLS: Final = Metric(
    "weir_generation_unpriced_calls_total",
    "counter",
    "Answers whose cost is not known: the model has no price, or the answer does not say what it "
    "used.",
    _SOCIAL,
    labels=(_MODEL,),
)
CALLS: Final = Metric(
    "weir_provider_calls_total",
    "counter",
    "Calls for a caption or a picture, repeated ones among them, by model.",
    _SOCIAL,
    labels=(_MODEL,),
)
ERRORS: Final = Metric(
    "weir_provider_errors_total",
    "counter",
    "Calls that did not lead to a caption or a picture, by model and why.",
    _SOCIAL,
    labels=(_MODEL, _REASON),
)
RETRIES: Final = Metric(
    "weir_provider_retries_total",
    "counter",
    "Calls that were made again after one that failed, by model and why that one failed.",
    _SOCIAL,
    labels=(_MODEL, _REASON),
)

METRICS: Final = (
    GENERATIONS,
    GENERATION_DURATION,
    IN_FLIGHT,
    COST,
    UNPRICED_CALLS,
    CALLS,
    ERRORS,
    RETRIES,
)
