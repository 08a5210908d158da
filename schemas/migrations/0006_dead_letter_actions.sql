-- Headers as the dead letter has them: a JSON array of [name, value], or '' when there were none.
ALTER TABLE dead_letters ADD COLUMN IF NOT EXISTS headers String DEFAULT '' CODEC(ZSTD(3)) AFTER payload;

-- Whether only part of the message is kept. Letters that were written without the field say it in
-- the detail alone.
ALTER TABLE dead_letters ADD COLUMN IF NOT EXISTS truncated Bool DEFAULT match(detail, '[(]kept are the first [0-9]+ of [0-9]+ .*[)]$') AFTER encoding;

-- A letter is asked for by its id, which the table is not ordered by: 1 granule in 100 is read
-- in vain. Parts that are there get the index too.
ALTER TABLE dead_letters ADD INDEX IF NOT EXISTS by_id dead_letter_id TYPE bloom_filter(0.01) GRANULARITY 1;

ALTER TABLE dead_letters MATERIALIZE INDEX by_id;

-- What was done about a dead letter: replayed or discarded. Without a row it is open.
CREATE TABLE IF NOT EXISTS dead_letter_actions
(
    action_id      UUID,
    dead_letter_id UUID,
    action         LowCardinality(String),
    event_id       Nullable(UUID),
    acted_at       DateTime64(3, 'UTC'),
    received_at    DateTime64(3, 'UTC'),
    action_topic       LowCardinality(String),
    action_partition   UInt16,
    action_incarnation UInt32,
    action_offset      UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
-- Asked for the letters of a page, and for all letters that have one.
ORDER BY (dead_letter_id, received_at)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS known_ids_from_dead_letter_actions TO known_ids AS
SELECT action_topic AS topic, action_partition AS partition, action_id AS id, action_incarnation AS incarnation, action_offset AS offset, toDateTime(received_at) AS received_at
FROM dead_letter_actions;
