"""Metrics of the API: requests, events that come in, publishing, questions, who watches."""

from typing import Final

from schemas.metrics.declaration import FAST_SECONDS, OTHER, Label, Metric, Process

_API: Final[tuple[Process, ...]] = ("api",)

_ROUTE: Final = Label("route")
_METHOD: Final = Label(
    "method", ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", OTHER)
)
_STATUS: Final = Label("status", ("1xx", "2xx", "3xx", "4xx", "5xx"))
_WAY: Final = Label("way", ("http", "cloud_events", "site"))

REQUESTS: Final = Metric(
    "weir_http_requests_total",
    "counter",
    "HTTP requests that were answered, by the template of their route (`none`: no route took it) "
    "and the class of their status. A client that left before an answer is counted as 4xx.",
    _API,
    labels=(_ROUTE, _METHOD, _STATUS),
)
REQUEST_DURATION: Final = Metric(
    "weir_http_request_duration_seconds",
    "histogram",
    "From the head of a request to the head of its answer; how long a stream then lasts is not "
    "in it.",
    _API,
    labels=(_ROUTE, _METHOD),
    unit="seconds",
    buckets=FAST_SECONDS,
)
RATE_LIMITED: Final = Metric(
    "weir_http_rate_limited_total",
    "counter",
    "Requests that were answered 429, by whose limit it was: a user's, or that of a key or site.",
    _API,
    labels=(Label("policy", ("user", "key")),),
)

EVENTS_ACCEPTED: Final = Metric(
    "weir_events_accepted_total",
    "counter",
    "Events that Kafka has confirmed, by their way in: as JSON of Weir's own (`http`), as "
    "CloudEvents, or from a page of a website (`site`). Copies are among them.",
    _API,
    labels=(_WAY,),
)
EVENTS_REJECTED: Final = Metric(
    "weir_events_rejected_total",
    "counter",
    "Events that were refused because they cannot be used, by their way in. How many were in a "
    "body that is not JSON, or too large, is not known: such requests are in "
    "weir_http_requests_total alone.",
    _API,
    labels=(_WAY,),
)
EVENTS_UNCONFIRMED: Final = Metric(
    "weir_events_unconfirmed_total",
    "counter",
    "Events that were answered 503 because Kafka had not confirmed them; it may have them all "
    "the same.",
    _API,
    labels=(_WAY,),
)

PUBLISH_FAILURES: Final = Metric(
    "weir_publish_failures_total",
    "counter",
    "Times that something could not be published to Kafka, of whatever kind it was: Kafka has "
    "not confirmed in time (`not_confirmed`), refuses it (`refused`), is not connected (`away`), "
    "or too many bytes wait for it (`full`).",
    _API,
    labels=(Label("reason", ("not_confirmed", "refused", "away", "full")),),
)
PUBLISH_DURATION: Final = Metric(
    "weir_publish_duration_seconds",
    "histogram",
    "Until Kafka has confirmed what was published together.",
    _API,
    unit="seconds",
    buckets=FAST_SECONDS,
)
UNCONFIRMED: Final = Metric(
    "weir_unconfirmed_bytes",
    "gauge",
    "Keys and values that wait for Kafka's confirmation, in bytes.",
    _API,
    unit="bytes",
)
UNCONFIRMED_LIMIT: Final = Metric(
    "weir_unconfirmed_limit_bytes",
    "gauge",
    "How many bytes may wait for it (WEIR_MAX_UNCONFIRMED_BYTES).",
    _API,
    unit="bytes",
)

QUESTION_DURATION: Final = Metric(
    "weir_clickhouse_question_duration_seconds",
    "histogram",
    "How long ClickHouse took for a question of the API: `answered`, or `unavailable` when the "
    "request gets 503 for it, or `failed`. Exports are not in it.",
    _API,
    labels=(Label("outcome", ("answered", "unavailable", "failed")),),
    unit="seconds",
    buckets=FAST_SECONDS,
)

WATCHERS: Final = Metric(
    "weir_live_watchers",
    "gauge",
    "Streams of the newest events that are open now.",
    _API,
)

FRESHNESS: Final = Metric(
    "weir_freshness_seconds",
    "histogram",
    "From the moment a heartbeat is sent to Kafka to the moment this process finds it in "
    "ClickHouse, where it looks again after 0.1 to 2 seconds.",
    _API,
    unit="seconds",
    buckets=(0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0),
)
HEARTBEAT_AGE: Final = Metric(
    "weir_heartbeat_age_seconds",
    "gauge",
    "Since this process sent the newest of its heartbeats that it has found in ClickHouse; since "
    "it began to send, until it finds one. Without samples when WEIR_HEARTBEAT_SECONDS is 0.",
    _API,
    unit="seconds",
)
HEARTBEATS: Final = Metric(
    "weir_heartbeats_total",
    "counter",
    "Heartbeats, once by what became of each: found in ClickHouse (`stored`), not confirmed by "
    "Kafka (`unconfirmed`), or not found for an hour (`lost`).",
    _API,
    labels=(Label("outcome", ("stored", "unconfirmed", "lost")),),
)

OWN_EVENTS: Final = Metric(
    "weir_middleware_events_total",
    "counter",
    "Events of WEIR_SELF_ANALYTICS, by what the middleware did with them: confirmed (`sent`), "
    "refused (`rejected`), given up (`dropped`), left out by its host (`skipped`) or by sampling "
    "(`sampled_out`).",
    _API,
    labels=(Label("outcome", ("sent", "rejected", "dropped", "skipped", "sampled_out")),),
)
OWN_EVENTS_BUFFERED: Final = Metric(
    "weir_middleware_buffered_events",
    "gauge",
    "Events of WEIR_SELF_ANALYTICS that are on their way.",
    _API,
)

METRICS: Final = (
    REQUESTS,
    REQUEST_DURATION,
    RATE_LIMITED,
    EVENTS_ACCEPTED,
    EVENTS_REJECTED,
    EVENTS_UNCONFIRMED,
    PUBLISH_FAILURES,
    PUBLISH_DURATION,
    UNCONFIRMED,
    UNCONFIRMED_LIMIT,
    QUESTION_DURATION,
    WATCHERS,
    FRESHNESS,
    HEARTBEAT_AGE,
    HEARTBEATS,
    OWN_EVENTS,
    OWN_EVENTS_BUFFERED,
)
