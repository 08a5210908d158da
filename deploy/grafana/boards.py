"""What the dashboards show: first whether users are well, then each way through Weir."""

from typing import Final

from deploy.grafana.panels import Dashboard, Panel, Query, Row, Unit


def _rate(metric: str, by: str, *, only: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{only}[$__rate_interval]))"


def _quantile(part: float, metric: str, by: str = "", *, only: str = "") -> str:
    grouped = f"le, {by}" if by else "le"
    return (
        f"histogram_quantile({part}, "
        f"sum by ({grouped}) (rate({metric}_bucket{only}[$__rate_interval])))"
    )


def _one(title: str, unit: Unit, expression: str, legend: str, about: str = "") -> Panel:
    return Panel(title, unit, (Query(expression, legend),), about)


def _rates(title: str, metric: str, by: str, legend: str, about: str = "") -> Panel:
    return Panel(title, "cps", (Query(_rate(metric, by), legend),), about, stacked=True)


def _latency(title: str, metric: str, about: str = "") -> Panel:
    return Panel(
        title,
        "s",
        tuple(Query(_quantile(part, metric), f"p{part * 100:g}") for part in (0.5, 0.95, 0.99)),
        about,
    )


def _number(title: str, unit: Unit, expression: str, about: str = "") -> Panel:
    return Panel(title, unit, (Query(expression, title),), about, kind="stat")


OVERVIEW: Final = Dashboard(
    uid="weir-overview",
    title="Weir",
    about="Whether those who use Weir are well.",
    rows=(
        Row(
            "Now",
            (
                _number(
                    "Events a second",
                    "cps",
                    "sum(rate(weir_events_accepted_total[5m]))",
                    "Confirmed by Kafka, over 5 minutes.",
                ),
                _number(
                    "Requests that fail",
                    "percentunit",
                    'sum(rate(weir_http_requests_total{status="5xx"}[5m]))'
                    " / sum(rate(weir_http_requests_total[5m]))",
                    "Of all requests of 5 minutes; 503s are among them.",
                ),
                _number(
                    "Age of what is counted",
                    "s",
                    "max(weir_heartbeat_age_seconds)",
                    "Of the newest heartbeat that is in ClickHouse.",
                ),
                _number("Parts that are not ready", "none", "count(weir_ready == 0) or vector(0)"),
                _number(
                    "Dead letters, a day", "none", "sum(increase(weir_dead_letters_total[1d]))"
                ),
                _number(
                    "Posts cost, a day",
                    "currencyUSD",
                    "sum(increase(weir_generation_cost_dollars_total[1d])) or vector(0)",
                ),
            ),
            height=5,
        ),
        Row(
            "Requests",
            (
                _rates("By status", "weir_http_requests_total", "status", "{{status}}"),
                _latency("How long they take", "weir_http_request_duration_seconds"),
                _rates("Events that come in", "weir_events_accepted_total", "way", "{{way}}"),
            ),
        ),
        Row(
            "From Kafka to ClickHouse",
            (
                _latency(
                    "How fresh answers are",
                    "weir_freshness_seconds",
                    "From sending a heartbeat to finding it in ClickHouse.",
                ),
                _one(
                    "Messages that wait",
                    "short",
                    "sum by (job, topic) (weir_consumer_lag_messages)",
                    "{{job}} {{topic}}",
                ),
                _one(
                    "The oldest message that is not done",
                    "s",
                    "max by (job, topic) (weir_consumer_oldest_uncommitted_seconds)",
                    "{{job}} {{topic}}",
                ),
            ),
        ),
        Row(
            "Processes",
            (
                _one(
                    "Running",
                    "none",
                    "count by (process, version, python) (weir_build_info)",
                    "{{process}} {{version}}",
                ),
                _rates("Processors", "process_cpu_seconds_total", "job", "{{job}}", "Busy cores."),
                Panel(
                    "Memory",
                    "bytes",
                    (
                        Query("sum by (job) (process_resident_memory_bytes)", "{{job}}"),
                        Query("sum by (job) (process_virtual_memory_bytes)", "{{job}} virtual"),
                    ),
                ),
                Panel(
                    "Open files",
                    "percentunit",
                    (
                        Query(
                            "max by (job) (process_open_fds / process_max_fds)",
                            "{{job}}",
                        ),
                    ),
                ),
                _one(
                    "Running since",
                    "s",
                    "time() - min by (job) (process_start_time_seconds)",
                    "{{job}}",
                ),
            ),
        ),
    ),
)

EDGE: Final = Dashboard(
    uid="weir-edge",
    title="Weir: the edge",
    about="Requests, events that come in, questions to ClickHouse.",
    rows=(
        Row(
            "Requests",
            (
                _rates(
                    "By route", "weir_http_requests_total", "route, method", "{{method}} {{route}}"
                ),
                _one(
                    "The slowest of a hundred, by route",
                    "s",
                    _quantile(0.99, "weir_http_request_duration_seconds", "route"),
                    "{{route}}",
                ),
                Panel(
                    "Errors, by route",
                    "cps",
                    (
                        Query(
                            _rate(
                                "weir_http_requests_total",
                                "route, status",
                                only='{status=~"4xx|5xx"}',
                            ),
                            "{{status}} {{route}}",
                        ),
                    ),
                ),
                _rates("Over a rate limit", "weir_http_rate_limited_total", "policy", "{{policy}}"),
            ),
        ),
        Row(
            "Events",
            (
                _rates("Accepted", "weir_events_accepted_total", "way", "{{way}}"),
                _rates("Rejected", "weir_events_rejected_total", "way", "{{way}}"),
                _rates("Not confirmed: 503", "weir_events_unconfirmed_total", "way", "{{way}}"),
            ),
        ),
        Row(
            "To Kafka",
            (
                _latency("Until Kafka confirms", "weir_publish_duration_seconds"),
                _rates("Failures", "weir_publish_failures_total", "reason", "{{reason}}"),
                _one(
                    "Of what may wait, waits",
                    "percentunit",
                    "weir_unconfirmed_bytes / weir_unconfirmed_limit_bytes",
                    "{{instance}}",
                ),
            ),
        ),
        Row(
            "From ClickHouse",
            (
                _latency("Questions", "weir_clickhouse_question_duration_seconds"),
                _rates(
                    "By what became of them",
                    "weir_clickhouse_question_duration_seconds_count",
                    "outcome",
                    "{{outcome}}",
                ),
                _one("Who watches live", "none", "sum(weir_live_watchers)", "streams"),
                _rates("Heartbeats", "weir_heartbeats_total", "outcome", "{{outcome}}"),
            ),
        ),
        Row(
            "The middleware on Weir itself",
            (
                _rates("Events", "weir_middleware_events_total", "outcome", "{{outcome}}"),
                _one("On their way", "none", "weir_middleware_buffered_events", "{{instance}}"),
            ),
        ),
    ),
)

STREAMS: Final = Dashboard(
    uid="weir-streams",
    title="Weir: the streams",
    about="The sink and the workers: how far they are, and what they cannot use.",
    rows=(
        Row(
            "How far they are",
            (
                _one(
                    "Lag by partition",
                    "short",
                    "weir_consumer_lag_messages",
                    "{{job}} {{topic}} {{partition}}",
                ),
                _one(
                    "The oldest message that is not done",
                    "s",
                    "weir_consumer_oldest_uncommitted_seconds",
                    "{{job}} {{topic}} {{instance}}",
                ),
                _one(
                    "Left to read of a table",
                    "short",
                    "weir_table_recovery_remaining_changes",
                    "{{job}} {{instance}}",
                ),
            ),
        ),
        Row(
            "The sink",
            (
                _rates("Messages", "weir_sink_messages_total", "topic", "{{topic}}"),
                _rates("Rows", "weir_sink_rows_total", "table", "{{table}}"),
                _rates("Batches", "weir_sink_batches_total", "topic", "{{topic}}"),
                _rates("Copies left out", "weir_sink_known_duplicates_total", "topic", "{{topic}}"),
            ),
        ),
        Row(
            "Inserts",
            (
                _one(
                    "The slowest of twenty, by table",
                    "s",
                    _quantile(0.95, "weir_sink_insert_duration_seconds", "table"),
                    "{{table}}",
                ),
                _rates(
                    "Repeated",
                    "weir_sink_insert_failures_total",
                    "table, kind",
                    "{{table}} {{kind}}",
                ),
                _one("Stopped streams", "none", "weir_sink_stream_stopped", "{{topic}}"),
            ),
        ),
        Row(
            "Dead letters",
            (
                _rates(
                    "By reason",
                    "weir_dead_letters_total",
                    "job, topic, reason",
                    "{{job}} {{topic}}: {{reason}}",
                ),
            ),
        ),
    ),
)

BUSINESS: Final = Dashboard(
    uid="weir-quotas-social-billing",
    title="Weir: quotas, posts, billing",
    about="What is decided about credits, what posts cost, and what Stripe is told.",
    rows=(
        Row(
            "Quotas",
            (
                _rates(
                    "Decisions",
                    "weir_quota_decisions_total",
                    "kind, outcome",
                    "{{kind}} {{outcome}}",
                ),
                _latency("How long they take", "weir_quota_decision_duration_seconds"),
            ),
        ),
        Row(
            "Posts",
            (
                _rates("Made", "weir_generations_total", "outcome", "{{outcome}}"),
                _latency("How long they take", "weir_generation_duration_seconds"),
                _one("In the making", "none", "sum(weir_generations_in_flight)", "posts"),
                _one(
                    "Cost, an hour",
                    "currencyUSD",
                    "sum by (model) (increase(weir_generation_cost_dollars_total[1h]))",
                    "{{model}}",
                    "At the list prices of WEIR_PRICES_FILE.",
                ),
            ),
        ),
        Row(
            "Calls to OpenAI",
            (
                _rates("Calls", "weir_provider_calls_total", "model", "{{model}}"),
                _rates(
                    "Errors", "weir_provider_errors_total", "model, reason", "{{model}} {{reason}}"
                ),
                _rates(
                    "Repeated",
                    "weir_provider_retries_total",
                    "model, reason",
                    "{{model}} {{reason}}",
                ),
                _rates(
                    "Without a price", "weir_generation_unpriced_calls_total", "model", "{{model}}"
                ),
            ),
        ),
        Row(
            "Stripe",
            (
                _rates("Calls", "weir_billing_stripe_calls_total", "call", "{{call}}"),
                _rates(
                    "Failures",
                    "weir_billing_stripe_failures_total",
                    "call, kind",
                    "{{call}} {{kind}}",
                ),
                _latency("How long a call takes", "weir_billing_stripe_call_duration_seconds"),
            ),
        ),
        Row(
            "Reports",
            (
                _rates("By state", "weir_billing_reports_total", "state", "{{state}}"),
                _one("The oldest use", "s", "weir_billing_oldest_use_seconds", "{{instance}}"),
                _one(
                    "Stripe cannot be told", "none", "weir_billing_stripe_problem", "{{instance}}"
                ),
            ),
        ),
    ),
)

DASHBOARDS: Final = (OVERVIEW, EDGE, STREAMS, BUSINESS)
