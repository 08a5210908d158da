"""What ClickHouse is asked about use and its reports, a meter and a span at a time.

Each question begins with the same tables: `states` is the view usage_report_states, but of a span;
`members` are reports of single events, as sent when the report they are within is; `used` are the
events with their units, and `billed` those that a customer pays for.
"""

from typing import Final

# An event may lie a day ahead of its arrival, and its window a day beside it: what belongs to a
# span lies within two.
_TABLES: Final = """
WITH
    toUUID('00000000-0000-0000-0000-000000000000') AS nobody,
    states AS (
        SELECT
            r.report_id AS report_id,
            ifNull(any(r.event_id), nobody) AS event,
            ifNull(tupleElement(argMax(tuple(r.within), r.number), 1), nobody) AS carrier,
            argMax(r.value, r.number) AS units,
            any(r.occurred_at) AS occurred,
            argMax(r.user_id, r.number) AS user,
            argMax(r.customer_id, r.number) AS customer,
            argMax(r.state, r.number) AS state,
            argMax(r.at, r.number) AS changed
        FROM usage_reports AS r
        WHERE r.meter = {meter:String}
            AND r.occurred_at >= {start:DateTime64(6, 'UTC')} - INTERVAL 2 DAY
            AND r.occurred_at < {end:DateTime64(6, 'UTC')} + INTERVAL 2 DAY
        GROUP BY r.report_id
    ),
    members AS (
        SELECT
            m.event AS event, m.customer AS customer, m.units AS units, m.occurred AS occurred,
            m.changed AS changed, if(m.state = 'collected', c.state, m.state) AS state
        FROM (SELECT * FROM states WHERE event != nobody AND event != report_id) AS m
        LEFT JOIN (SELECT report_id, state FROM states WHERE event = nobody) AS c
            ON c.report_id = m.carrier
        WHERE m.customer != ''
    ),
    used AS (
        SELECT
            event,
            argMin(units_, received) AS units,
            argMin(named_, received) AS named,
            argMin(user_, received) AS user,
            argMin(occurred_, received) AS occurred
        FROM (
            SELECT
                e.event_id AS event,
                e.user_id AS user_,
                e.occurred_at AS occurred_,
                -- Copies may have arrived in one millisecond.
                (e.received_at, e.topic, e.partition, e.incarnation, e.offset) AS received,
                JSONExtractKeys(e.metadata) AS keys,
                -- Of a member that is given twice the last counts, as for readers of JSON. Null is
                -- as if it were not there.
                arrayMap(
                    key -> if(key = '', 0, arrayLastIndex(each -> each = key, keys)),
                    {values:Array(String)}
                ) AS places,
                arrayMap(
                    (place, most) -> multiIf(
                        place = 0, 1,
                        JSONType(e.metadata, place) = 'Null', 1,
                        JSONType(e.metadata, place) = 'Int64'
                            AND JSONExtractInt(e.metadata, place) BETWEEN 0 AND most,
                        JSONExtractInt(e.metadata, place),
                        -1
                    ),
                    places, {mosts:Array(UInt32)}
                ) AS of_meters,
                arrayLastIndex(each -> each = {customer_member:String}, keys) AS named_at,
                named_at != 0 AND JSONType(e.metadata, named_at) != 'Null' AS names,
                if(names, JSONExtractString(e.metadata, named_at), '') AS name,
                match(name, {customer_pattern:String}) AS names_right,
                if(names_right, name, '') AS named_,
                -- One of them wrong, and nothing of the event is reported.
                if(
                    -- A number that no machine holds: no reader of JSON takes it.
                    NOT isValidJSON(e.metadata)
                        -- What a page sent is not billed (streams/billing/metering.py).
                        OR has(keys, {site_member:String})
                        OR has(of_meters, -1)
                        OR (names AND NOT names_right),
                    0,
                    of_meters[{place:UInt8}]
                ) AS units_
            FROM events AS e
            WHERE e.event_type = {event_type:String}
                AND e.occurred_at >= {start:DateTime64(6, 'UTC')}
                AND e.occurred_at < {end:DateTime64(6, 'UTC')}
        )
        -- A copy that came after the deduplication window is the same event.
        GROUP BY event
    ),
    billed AS (
        SELECT
            u.event AS event, u.units AS units, u.user AS user, u.occurred AS occurred,
            multiIf(
                u.named != '', u.named,
                -- Whose it was when it was reported it stays, whoever pays for the user now.
                has(told.customers, linked.customer), linked.customer,
                told.first != '', told.first,
                linked.customer
            ) AS customer
        FROM used AS u
        LEFT JOIN (
            SELECT event, groupUniqArray(customer) AS customers, argMin(customer, changed) AS first
            FROM members GROUP BY event
        ) AS told ON told.event = u.event
        LEFT JOIN (
            SELECT
                user_id AS user, argMax(customer_id, (received_at, change_offset)) AS customer
            FROM stripe_customers GROUP BY user_id
            -- Use of a user whose customer is gone waits for another.
            HAVING argMax(status, (received_at, change_offset)) != 'deleted'
        ) AS linked ON linked.user = u.user
        WHERE customer != ''
    )
"""

# Faults: events that are not told once and right, and what is told of none. Unanswered: of those
# Stripe's sums alone say whether it has counted them.
EVENT_DAYS: Final = (
    _TABLES
    + """
SELECT
    customer,
    toDate(occurred) AS day,
    toInt64(sum(units)) AS used,
    countIf(units > 0) AS events,
    countIf(sent != (units > 0) OR told != units) AS faults,
    countIf(open > 0) AS unanswered
FROM (
    SELECT
        customer, event, max(units) AS units, sum(sent) AS sent, sum(told) AS told,
        sum(open) AS open, max(occurred) AS occurred
    FROM (
        SELECT
            customer, event, toUInt64(units) AS units, 0 AS sent, toUInt64(0) AS told, 0 AS open,
            toDateTime64(occurred, 6, 'UTC') AS occurred
        FROM billed
        UNION ALL
        SELECT
            customer, event, 0, state = 'sent', if(state = 'sent', units, 0), state = 'uncertain',
            occurred
        FROM members
        WHERE occurred >= {start:DateTime64(6, 'UTC')} AND occurred < {end:DateTime64(6, 'UTC')}
    )
    GROUP BY customer, event
)
WHERE {customer:String} = '' OR customer = {customer:String}
GROUP BY customer, day
"""
)

# By the time that Stripe was told, which is never ahead. Corrections are no use: they make up for
# what Stripe lost, and are left out also of the sums they are within. Faults: sums that are not
# those of what is within them.
LEDGER_DAYS: Final = (
    _TABLES  # noqa: S608 # both are constants
    + """
SELECT
    customer,
    toDate(counted) AS day,
    sum(if(event = report_id, 0, toInt64(told) - toInt64(corrections))) AS ledger,
    countIf(event = nobody AND told != within) AS faults
FROM (
    SELECT
        s.customer AS customer, s.event AS event, s.report_id AS report_id, s.units AS told,
        least(s.occurred, s.changed) AS counted,
        inside.within AS within, inside.corrections AS corrections
    FROM (SELECT * FROM states WHERE state = 'sent') AS s
    LEFT JOIN (
        SELECT
            carrier, sum(units) AS within, sumIf(units, event = report_id) AS corrections
        FROM states WHERE state = 'collected' GROUP BY carrier
    ) AS inside ON inside.carrier = s.report_id
)
WHERE counted >= {start:DateTime64(6, 'UTC')} AND counted < {end:DateTime64(6, 'UTC')}
    AND ({customer:String} = '' OR customer = {customer:String})
GROUP BY customer, day
"""
)

EVENTS: Final = (
    _TABLES
    + """
SELECT customer, event, units, user, occurred
FROM billed
WHERE customer IN {customers:Array(String)}
ORDER BY
    -- What is found is said in the order of time.
    occurred,
    -- This makes it unique.
    event
"""
)

# With all that a window sums up, wherever it lies, and what waits for a customer.
REPORTS: Final = (
    _TABLES
    + """
SELECT
    customer, report_id, if(event = nobody, NULL, event), if(carrier = nobody, NULL, carrier),
    units, occurred, user, state, changed
FROM states
WHERE (customer IN {customers:Array(String)} OR customer = '')
    AND (
        (occurred >= {start:DateTime64(6, 'UTC')} AND occurred < {end:DateTime64(6, 'UTC')})
        OR (
            least(occurred, changed) >= {start:DateTime64(6, 'UTC')}
            AND least(occurred, changed) < {end:DateTime64(6, 'UTC')}
        )
        OR event = nobody
        OR carrier != nobody
    )
ORDER BY
    -- The first told is the one that stays, of two.
    changed,
    -- This makes it unique.
    report_id
"""
)
