-- The ledger of quotas: what became of each command, and the account after it. Credits of the plan
-- that a user has used in a period are the sum of change where period_number is that of the period;
-- what is left of a top-up is the sum of its changes. After Kafka's data was lost the numbers begin
-- anew, until the account is rebuilt.
CREATE TABLE IF NOT EXISTS quota_decisions
(
    decision_id   UUID,
    command_id    UUID,
    user_id       String,
    kind          LowCardinality(String),
    applied       Bool,
    -- Why it was refused; '' when it was not.
    problem       LowCardinality(String),
    reason        String CODEC(ZSTD(1)),
    count         UInt64,
    -- The spend that a refund undoes.
    spend_id      Nullable(UUID),
    change        Int64,
    -- By how much what is left of each top-up changed; it ends at ends_at, or when it is used.
    top_up_changes Nested(
        top_up_id UUID,
        change    Int64,
        ends_at   Nullable(DateTime64(6, 'UTC'))
    ),
    number        UInt64,
    plan          LowCardinality(String),
    plans_version UInt32,
    subscription  Bool,
    limit         UInt64,
    quota_used    UInt64,
    remaining     UInt64,
    -- To the microsecond, as commands have them: an account that is restored equals the lost one.
    period_start  DateTime64(6, 'UTC'),
    resets_at     DateTime64(6, 'UTC'),
    period_number UInt64,
    crossed       Array(UInt8),
    fingerprint   String CODEC(ZSTD(1)),
    decided_at    DateTime64(6, 'UTC'),
    received_at   DateTime64(3, 'UTC'),
    decision_topic       LowCardinality(String),
    decision_partition   UInt16,
    decision_incarnation UInt32,
    decision_offset      UInt64
)
ENGINE = MergeTree
-- By month of arrival, so that a batch is one part.
PARTITION BY toYYYYMM(received_at)
ORDER BY (
    -- One user's ledger is asked for: by themselves, by a rebuild.
    user_id,
    -- In the order of decisions, which is that of arrival: a user's lie in one partition of Kafka.
    -- Their own times may be minutes behind it, or a sender's clock off.
    received_at,
    -- These make it unique, which a cursor needs; the offset orders decisions of one millisecond.
    decision_topic, decision_partition, decision_incarnation, decision_offset
)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS known_ids_from_quota_decisions TO known_ids AS
SELECT decision_topic AS topic, decision_partition AS partition, decision_id AS id, decision_incarnation AS incarnation, decision_offset AS offset, toDateTime(received_at) AS received_at
FROM quota_decisions;
