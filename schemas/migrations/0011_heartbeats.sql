-- Signs of life of API processes: once one is here, all that came before it on the way is fresh.
CREATE TABLE IF NOT EXISTS heartbeats
(
    heartbeat_id UUID,
    process_id   UUID,
    number       UInt64 CODEC(Delta, ZSTD(1)),
    sent_at      DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    received_at  DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    heartbeat_topic       LowCardinality(String),
    heartbeat_partition   UInt16,
    heartbeat_incarnation UInt32,
    heartbeat_offset      UInt64
)
ENGINE = MergeTree
-- By day of arrival, so that a day leaves as whole parts. Copies may count: only the highest
-- number of a process is asked for.
PARTITION BY toDate(received_at)
ORDER BY (process_id, number)
TTL toDateTime(received_at) + INTERVAL 1 DAY DELETE
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
