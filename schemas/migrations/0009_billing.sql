-- What became of each report of use to Stripe: the row of the highest number of a report says how
-- it stands.
CREATE TABLE IF NOT EXISTS usage_reports
(
    change_id   UUID,
    number      UInt64,
    report_id   UUID,
    -- NULL: the report sums up those that are within it.
    event_id    Nullable(UUID),
    within      Nullable(UUID),
    meter       LowCardinality(String),
    value       UInt64,
    occurred_at DateTime64(6, 'UTC'),
    -- '': not named.
    user_id     String,
    -- '': not known.
    customer_id String,
    state       LowCardinality(String),
    reason      String CODEC(ZSTD(1)),
    at          DateTime64(6, 'UTC'),
    received_at DateTime64(3, 'UTC'),
    report_topic       LowCardinality(String),
    report_partition   UInt16,
    report_incarnation UInt32,
    report_offset      UInt64
)
ENGINE = MergeTree
-- By month of arrival, so that a batch is one part.
PARTITION BY toYYYYMM(received_at)
ORDER BY (
    -- One customer's use in a period is asked for; those without a customer lie together.
    customer_id, occurred_at,
    -- The changes of a report side by side.
    report_id, number,
    -- A copy that came after the deduplication window has its place too, always the same.
    received_at, report_topic, report_partition, report_incarnation, report_offset
)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS known_ids_from_usage_reports TO known_ids AS
SELECT report_topic AS topic, report_partition AS partition, change_id AS id, report_incarnation AS incarnation, report_offset AS offset, toDateTime(received_at) AS received_at
FROM usage_reports;

-- Users as Stripe's customers: the latest row of a user says who pays, and for which plan.
CREATE TABLE IF NOT EXISTS stripe_customers
(
    change_id       UUID,
    user_id         String,
    customer_id     String,
    plan            LowCardinality(String),
    -- '' when there is none.
    subscription_id String,
    status          LowCardinality(String),
    period_start    Nullable(DateTime64(6, 'UTC')),
    period_end      Nullable(DateTime64(6, 'UTC')),
    at              DateTime64(6, 'UTC'),
    received_at     DateTime64(3, 'UTC'),
    change_topic       LowCardinality(String),
    change_partition   UInt16,
    change_incarnation UInt32,
    change_offset      UInt64
)
ENGINE = MergeTree
-- By month of arrival, so that a batch is one part.
PARTITION BY toYYYYMM(received_at)
ORDER BY (
    -- One user is asked for.
    user_id,
    -- The latest last.
    received_at,
    -- These make it unique; the offset orders changes of one millisecond.
    change_topic, change_partition, change_incarnation, change_offset
)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS known_ids_from_stripe_customers TO known_ids AS
SELECT change_topic AS topic, change_partition AS partition, change_id AS id, change_incarnation AS incarnation, change_offset AS offset, toDateTime(received_at) AS received_at
FROM stripe_customers;

-- How each report stands, for whoever may read the database.
CREATE VIEW IF NOT EXISTS usage_report_states AS
SELECT
    r.report_id AS report_id,
    -- Of one row: argMax alone passes over NULL.
    tupleElement(argMax(tuple(r.event_id, r.within), r.number), 1) AS event_id,
    tupleElement(argMax(tuple(r.event_id, r.within), r.number), 2) AS within,
    any(r.meter) AS meter,
    argMax(r.value, r.number) AS value,
    any(r.occurred_at) AS occurred_at,
    argMax(r.user_id, r.number) AS user_id,
    argMax(r.customer_id, r.number) AS customer_id,
    argMax(r.state, r.number) AS state,
    argMax(r.reason, r.number) AS reason,
    argMax(r.at, r.number) AS at
FROM usage_reports AS r
GROUP BY r.report_id;
