-- Social posts: those whose credits were taken, and what became of each that was asked for.
CREATE TABLE IF NOT EXISTS generation_jobs
(
    -- Of user and post, since each user may have used the same post_id.
    generation_id UUID,
    post_id       UUID,
    user_id       String,
    prompt        String CODEC(ZSTD(1)),
    platform      LowCardinality(String),
    tone          LowCardinality(String),
    language      LowCardinality(String),
    variants      UInt8,
    requested_at  DateTime64(6, 'UTC'),
    received_at   DateTime64(3, 'UTC'),
    job_topic       LowCardinality(String),
    job_partition   UInt16,
    job_incarnation UInt32,
    job_offset      UInt64
)
ENGINE = MergeTree
-- By month of arrival, so that a batch is one part.
PARTITION BY toYYYYMM(received_at)
ORDER BY (
    -- One user's history is asked for.
    user_id,
    -- Newest first, by reading this key backwards. The requests' own times may be off.
    received_at,
    -- These make it unique, which a cursor needs; the offset orders posts of one millisecond.
    job_topic, job_partition, job_incarnation, job_offset
)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS known_ids_from_generation_jobs TO known_ids AS
SELECT job_topic AS topic, job_partition AS partition, generation_id AS id, job_incarnation AS incarnation, job_offset AS offset, toDateTime(received_at) AS received_at
FROM generation_jobs;

-- What became of each post, also of those that the quota refused: they have no job.
CREATE TABLE IF NOT EXISTS generation_results
(
    generation_id UUID,
    post_id       UUID,
    user_id       String,
    state         LowCardinality(String),
    -- Why it failed; '' when it did not.
    reason        LowCardinality(String),
    detail        String CODEC(ZSTD(1)),
    variants Nested(
        number      UInt8,
        caption     String,
        picture_key String,
        width       UInt32,
        height      UInt32
    ),
    credits_charged  UInt8,
    credits_refunded UInt8,
    -- Made without a provider.
    stub          Bool,
    -- What each model was used for this post.
    usage Nested(
        model         LowCardinality(String),
        calls         UInt32,
        input_tokens  UInt64,
        output_tokens UInt64,
        images        UInt32,
        -- Millionths of a US dollar; NULL: the price was not known.
        cost_micros   Nullable(UInt64)
    ),
    requested_at  DateTime64(6, 'UTC'),
    finished_at   DateTime64(6, 'UTC'),
    received_at   DateTime64(3, 'UTC'),
    result_topic       LowCardinality(String),
    result_partition   UInt16,
    result_incarnation UInt32,
    result_offset      UInt64
)
ENGINE = MergeTree
-- By month of arrival, so that a batch is one part.
PARTITION BY toYYYYMM(received_at)
ORDER BY (
    -- The results of a page of one user's posts are asked for, each by its id.
    user_id, post_id,
    -- A copy that came after the deduplication window has its place too, always the same.
    received_at, result_topic, result_partition, result_incarnation, result_offset
)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS known_ids_from_generation_results TO known_ids AS
SELECT result_topic AS topic, result_partition AS partition, generation_id AS id, result_incarnation AS incarnation, result_offset AS offset, toDateTime(received_at) AS received_at
FROM generation_results;

-- What posts cost, by user and day (UTC) on which they were finished, for whoever may read the
-- database. Posts of the stub are posts that cost nothing. Calls of models whose price was not
-- known are unpriced_calls: where there are any, cost_usd is too low.
CREATE VIEW IF NOT EXISTS generation_costs_daily AS
SELECT
    user_id,
    toDate(finished_at, 'UTC') AS day,
    -- Distinct, since a quota's refusal may be asked for again after the deduplication window.
    uniqExact(post_id) AS posts,
    uniqExactIf(post_id, state = 'failed') AS failed,
    uniqExactIf(post_id, stub) AS stubs,
    sum(length(variants.number)) AS captions,
    sum(arraySum(usage.images)) AS images,
    sum(arraySum(usage.calls)) AS calls,
    sum(arraySum(usage.input_tokens)) AS input_tokens,
    sum(arraySum(usage.output_tokens)) AS output_tokens,
    toDecimal128(sum(if(stub, 0, arraySum(cost -> ifNull(cost, 0), usage.cost_micros))), 6) / 1000000 AS cost_usd,
    sum(if(stub, 0, arraySum((cost, uses) -> if(isNull(cost), uses, 0), usage.cost_micros, usage.calls))) AS unpriced_calls
FROM generation_results
GROUP BY user_id, day;
