-- Raw events: one row for each event_id of a partition, written by the sink alone.
-- Replays of a batch are dropped by token, so the window of remembered tokens must be larger
-- than the batches that can be in doubt: one for each partition, and those behind a frozen sink.
CREATE TABLE IF NOT EXISTS events
(
    event_id    UUID,
    event_type  LowCardinality(String),
    path        String CODEC(ZSTD(1)),
    user_id     String CODEC(ZSTD(1)),
    visitor_id  String CODEC(ZSTD(1)),
    source      LowCardinality(String),
    occurred_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    metadata    String CODEC(ZSTD(1)),
    topic       LowCardinality(String),
    partition   UInt16 CODEC(ZSTD(1)),
    incarnation UInt32 CODEC(ZSTD(1)),
    offset      UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
-- By arrival, not by occurrence: a batch then touches one month (two at its turn), however late
-- its events are, and one late event of each of a hundred months cannot make a hundred parts.
PARTITION BY toYYYYMM(received_at)
-- The list of events is answered newest first by reading this key backwards; topic, partition,
-- incarnation and offset make it unique, which a cursor needs. The incarnation (epoch seconds)
-- says when the partition was begun to be read: offsets of a topic that was made anew begin at 0
-- again, and are not those of the old one.
ORDER BY (occurred_at, topic, partition, incarnation, offset)
SETTINGS non_replicated_deduplication_window = 10000;
