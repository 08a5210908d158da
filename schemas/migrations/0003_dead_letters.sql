-- Messages that could not be used. topic, partition and offset say where the message lay;
-- letter_topic and the following where its dead letter lies.
CREATE TABLE IF NOT EXISTS dead_letters
(
    dead_letter_id   UUID,
    topic            LowCardinality(String),
    partition        UInt16,
    offset           UInt64,
    arrived_at       DateTime64(3, 'UTC'),
    reason           LowCardinality(String),
    detail           String CODEC(ZSTD(1)),
    key              String CODEC(ZSTD(1)),
    payload          String CODEC(ZSTD(3)),
    encoding         LowCardinality(String),
    received_at      DateTime64(3, 'UTC'),
    letter_topic       LowCardinality(String),
    letter_partition   UInt16,
    letter_incarnation UInt32,
    letter_offset      UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
-- Listed newest first, like events; the offset makes it unique.
ORDER BY (received_at, letter_topic, letter_partition, letter_incarnation, letter_offset)
SETTINGS non_replicated_deduplication_window = 10000;
