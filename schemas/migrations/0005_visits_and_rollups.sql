-- What the metadata of an event says about the visit, as the sink reads it; '' where it says
-- nothing. Events that were stored before have none of it.
ALTER TABLE events
    ADD COLUMN IF NOT EXISTS bot      Bool,
    ADD COLUMN IF NOT EXISTS device   LowCardinality(String),
    ADD COLUMN IF NOT EXISTS browser  LowCardinality(String),
    ADD COLUMN IF NOT EXISTS os       LowCardinality(String),
    ADD COLUMN IF NOT EXISTS referrer LowCardinality(String),
    ADD COLUMN IF NOT EXISTS country  LowCardinality(String),
    ADD COLUMN IF NOT EXISTS status   LowCardinality(String),
    ADD COLUMN IF NOT EXISTS method   LowCardinality(String),
    ADD COLUMN IF NOT EXISTS route    String CODEC(ZSTD(1));

-- The view first: run again after a kill, what follows fills the table from an empty one.
DROP VIEW IF EXISTS event_counts_hourly_from_events;
DROP TABLE IF EXISTS event_counts_hourly;
DROP VIEW IF EXISTS event_counts_from_events;
-- Dropped, not emptied: what a killed migrator began may still be filling that table.
DROP TABLE IF EXISTS event_counts;

-- How many events and visitors by value of each dimension (the dimension '' is all of them) and
-- by units of time: 1 and 4 hours, 1, 4, 16 and 64 days since 1970, in seconds. Each unit is a whole
-- number of the finer one, so that any range is some twenty of them, and raw events within the hours
-- at its ends. The dimension '' has quarters of an hour too, since the days of some zones begin at
-- one.
CREATE TABLE event_counts
(
    dimension    LowCardinality(String),
    unit         UInt32 CODEC(ZSTD(1)),
    event_type   LowCardinality(String),
    bot          Bool,
    -- 8 units.
    span         UInt32 CODEC(ZSTD(1)),
    value        String CODEC(ZSTD(1)),
    time         DateTime('UTC') CODEC(Delta, ZSTD(1)),
    count        SimpleAggregateFunction(sum, UInt64),
    -- A visitor is the visitor_id, else the user; events with neither count as none. Exact for some
    -- 4,000 of them in the dimension '', for some 200 in the others, and an estimate beyond.
    all_visitors AggregateFunction(uniqCombined(16), UInt64),
    visitors     AggregateFunction(uniqCombined(12), UInt64)
)
ENGINE = AggregatingMergeTree
-- By year: late events of a decade make ten parts, and old years are dropped whole.
PARTITION BY toYear(time)
-- A question names dimension and units, and a range of time: of all values (units at the ends of
-- the range, which lie within a span or two) or of one (a series). Values within a span serve
-- both, where a read takes few rows.
ORDER BY (dimension, unit, event_type, bot, span, value, time)
-- Whole granules are read, and a row of many visitors is large.
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 128, index_granularity_bytes = 16384;

-- What is there already.
INSERT INTO event_counts
SELECT
    dimension,
    unit,
    event_type,
    bot,
    intDiv(toUInt32(time), unit * 8) AS span,
    value,
    toDateTime(intDiv(toUInt32(finest), unit) * unit, 'UTC') AS time,
    sum(counted) AS count,
    uniqCombinedMergeState(16)(seen_overall) AS all_visitors,
    uniqCombinedMergeState(12)(seen) AS visitors
FROM
(
    SELECT
        dimension_and_value.1 AS dimension,
        event_type,
        bot,
        dimension_and_value.2 AS value,
        if(dimension = '', toStartOfFifteenMinutes(occurred_at), toStartOfHour(occurred_at)) AS finest,
        count() AS counted,
        uniqCombinedStateIf(16)(visitor, visitor != 0 AND dimension = '') AS seen_overall,
        uniqCombinedStateIf(12)(visitor, visitor != 0 AND dimension != '') AS seen
    FROM
    (
        SELECT
            event_type,
            bot,
            occurred_at,
            if(visitor_id != '', sipHash64(visitor_id), if(user_id != '', sipHash64(user_id), 0)) AS visitor,
            arrayJoin([
                ('', ''),
                ('path', path),
                ('referrer', referrer),
                ('country', country),
                ('device', device),
                ('browser', browser),
                ('os', os),
                ('status', status),
                ('method', method),
                ('route', route),
                ('source', source)
            ]) AS dimension_and_value
        FROM events
    )
    GROUP BY dimension, event_type, bot, value, finest
)
ARRAY JOIN if(dimension = '', [900, 3600, 14400, 86400, 345600, 1382400, 5529600], [3600, 14400, 86400, 345600, 1382400, 5529600])::Array(UInt32) AS unit
GROUP BY dimension, unit, event_type, bot, time, value
SETTINGS insert_deduplicate = 0, max_partitions_per_insert_block = 0;

CREATE MATERIALIZED VIEW event_counts_from_events TO event_counts AS
SELECT
    dimension,
    unit,
    event_type,
    bot,
    intDiv(toUInt32(time), unit * 8) AS span,
    value,
    toDateTime(intDiv(toUInt32(finest), unit) * unit, 'UTC') AS time,
    sum(counted) AS count,
    uniqCombinedMergeState(16)(seen_overall) AS all_visitors,
    uniqCombinedMergeState(12)(seen) AS visitors
FROM
(
    SELECT
        dimension_and_value.1 AS dimension,
        event_type,
        bot,
        dimension_and_value.2 AS value,
        if(dimension = '', toStartOfFifteenMinutes(occurred_at), toStartOfHour(occurred_at)) AS finest,
        count() AS counted,
        uniqCombinedStateIf(16)(visitor, visitor != 0 AND dimension = '') AS seen_overall,
        uniqCombinedStateIf(12)(visitor, visitor != 0 AND dimension != '') AS seen
    FROM
    (
        SELECT
            event_type,
            bot,
            occurred_at,
            if(visitor_id != '', sipHash64(visitor_id), if(user_id != '', sipHash64(user_id), 0)) AS visitor,
            arrayJoin([
                ('', ''),
                ('path', path),
                ('referrer', referrer),
                ('country', country),
                ('device', device),
                ('browser', browser),
                ('os', os),
                ('status', status),
                ('method', method),
                ('route', route),
                ('source', source)
            ]) AS dimension_and_value
        FROM events
    )
    GROUP BY dimension, event_type, bot, value, finest
)
ARRAY JOIN if(dimension = '', [900, 3600, 14400, 86400, 345600, 1382400, 5529600], [3600, 14400, 86400, 345600, 1382400, 5529600])::Array(UInt32) AS unit
GROUP BY dimension, unit, event_type, bot, time, value;
