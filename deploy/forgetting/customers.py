"""Which customers of Stripe's are the user alone, and which pay for others too."""

from dataclasses import replace
from typing import Final

from deploy.billing.clickhouse_questions import Questions
from deploy.forgetting.subject import Subject
from schemas.metadata_members import CUSTOMER, SITE
from schemas.meters import Meters

_LINKED: Final = """
SELECT customer_id, uniqExact(user_id) = 1
FROM stripe_customers
WHERE customer_id IN (
    SELECT customer_id FROM stripe_customers WHERE user_id IN {users:Array(String)}
)
GROUP BY customer_id
-- So that a run does the same in the same order as the one before it.
ORDER BY customer_id
"""

# Who checked out for a company is linked alone, though it pays for all whose use names it. Use that
# is not reported yet is owed all the same: without STRIPE_API_KEY the events alone say so. What a
# page sent is billed to nobody, and anybody can send it. Of use without a user nobody knows whose
# it is: it decides nothing.
_PAYING_FOR_OTHERS: Final = f"""
SELECT customer_id
FROM usage_reports
WHERE customer_id IN {{customers:Array(String)}}
    AND user_id != '' AND NOT (user_id IN {{users:Array(String)}})
UNION DISTINCT
SELECT JSONExtractString(metadata, '{CUSTOMER}') AS customer_id
FROM events
WHERE event_type IN {{types:Array(String)}}
    AND user_id != '' AND NOT (user_id IN {{users:Array(String)}})
    AND customer_id IN {{customers:Array(String)}}
    AND NOT JSONHas(metadata, '{SITE}')
"""  # noqa: S608 # both are constants

_PAYING: Final = """
SELECT DISTINCT customer_id
FROM usage_reports
WHERE user_id IN {users:Array(String)} AND customer_id != ''
ORDER BY customer_id
"""


def with_customers(questions: Questions, subject: Subject, meters: Meters) -> Subject:
    """The subject with the customers that ClickHouse names now beside those known before.

    One to whom two users have been linked, or anybody else's use is billed, is not the user's
    alone, and only pays.
    """
    rows = questions.rows(_LINKED, subject.by_name())
    is_alone = {str(customer_id): bool(alone) for customer_id, alone in rows}
    candidates = sorted({*subject.customers, *is_alone})
    paying_for_others: set[str] = set()
    if candidates:
        parameters = {
            **subject.by_name(),
            "customers": candidates,
            "types": sorted({each.event_type for each in meters.meters.values()}),
        }
        paying_for_others = {str(row[0]) for row in questions.rows(_PAYING_FOR_OTHERS, parameters)}
    own = {each for each in candidates if is_alone.get(each, True)} - paying_for_others
    linked = {*subject.linked, *candidates} - own
    paying = [str(row[0]) for row in questions.rows(_PAYING, subject.by_name())]
    return replace(
        subject,
        customers=tuple(sorted(own)),
        paid_by=tuple(sorted({*subject.paid_by, *linked, *paying} - own)),
        linked=tuple(sorted(linked)),
    )
