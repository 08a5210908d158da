-- Which ids have arrived, and where the first copy lies: what the sink asks before it takes an
-- id for a new one. Kept for the deduplication window of 7 days and as long
-- as the topics keep events, up to 35 more: a sink that stood still, or begins again, finds what
-- it needs.
CREATE TABLE IF NOT EXISTS known_ids
(
    topic       LowCardinality(String),
    partition   UInt16,
    id          UUID,
    incarnation UInt32 CODEC(ZSTD(1)),
    offset      UInt64 CODEC(Delta, ZSTD(1)),
    received_at DateTime('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
-- By day of arrival, so that a day leaves as whole parts.
PARTITION BY toDate(received_at)
-- Asked by partition for a handful of ids, or for all of them when a sink takes it over.
ORDER BY (topic, partition, id)
TTL received_at + INTERVAL 43 DAY DELETE
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, index_granularity = 1024;

CREATE MATERIALIZED VIEW IF NOT EXISTS known_ids_from_events TO known_ids AS
SELECT topic, partition, event_id AS id, incarnation, offset, toDateTime(received_at) AS received_at
FROM events;

CREATE MATERIALIZED VIEW IF NOT EXISTS known_ids_from_dead_letters TO known_ids AS
SELECT letter_topic AS topic, letter_partition AS partition, dead_letter_id AS id, letter_incarnation AS incarnation, letter_offset AS offset, toDateTime(received_at) AS received_at
FROM dead_letters;
