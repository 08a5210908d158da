-- Counts and unique visitors of each path by hour of occurrence: what a summary reads.
CREATE TABLE IF NOT EXISTS event_counts_hourly
(
    event_type LowCardinality(String),
    hour       DateTime('UTC') CODEC(Delta, ZSTD(1)),
    path       String CODEC(ZSTD(1)),
    count      SimpleAggregateFunction(sum, UInt64),
    visitors   AggregateFunction(uniq, String)
)
ENGINE = AggregatingMergeTree
-- By year: late events of a decade make ten parts, and old years are dropped whole.
PARTITION BY toYear(hour)
-- A question names one event type and a range of hours, and groups by path.
ORDER BY (event_type, hour, path)
SETTINGS non_replicated_deduplication_window = 10000;

-- A visitor is the visitor_id, else the user; events with neither count as none.
CREATE MATERIALIZED VIEW IF NOT EXISTS event_counts_hourly_from_events TO event_counts_hourly AS
SELECT
    event_type,
    toStartOfHour(occurred_at) AS hour,
    path,
    count() AS count,
    uniqStateIf(if(visitor_id = '', user_id, visitor_id), (visitor_id != '') OR (user_id != '')) AS visitors
FROM events
GROUP BY event_type, hour, path;
