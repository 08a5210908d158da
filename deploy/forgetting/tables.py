"""Where ClickHouse keeps what is a user's: how many rows there are, and how they go.

Mutations stay in `system.mutations` when they are done, so they name nobody: rows are found by a
salted hash.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from deploy.billing.clickhouse_questions import Parameters, Questions
from deploy.forgetting.mutations import Mutations
from deploy.forgetting.subject import Subject
from schemas.metadata_members import CUSTOMER, SITE
from schemas.meters import Meters

LETTERS_AT_ONCE: Final = 1_000

_BY_NAME: Final = "{column} IN {{{ids}:Array(String)}}"
_BY_DIGEST: Final = "hex(SHA256(concat({{salt:String}}, {column}))) IN {{{ids}:Array(String)}}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table with columns that name a person. `visitor`: of whom no user may be known."""

    name: str
    user: str = "user_id"
    visitor: str = ""
    customer: str = ""

    def condition(self, by: str) -> str:
        """What is true of the rows of a Subject; `by` says how a column is compared."""
        found = [by.format(column=self.user, ids="users")]
        if self.visitor:
            visitors = by.format(column=self.visitor, ids="visitors")
            # What another user did in the same browser is that user's.
            found.append(f"({self.user} = '' AND {visitors})")
        if self.customer:
            found.append(by.format(column=self.customer, ids="customers"))
        return " OR ".join(found)


EVENTS: Final = Table("events", visitor="visitor_id")
REPORTS: Final = Table("usage_reports", customer="customer_id")
CUSTOMERS: Final = Table("stripe_customers", customer="customer_id")
TABLES: Final[tuple[Table, ...]] = (
    EVENTS,
    Table("quota_decisions"),
    Table("generation_jobs"),
    Table("generation_results"),
    REPORTS,
    # Last: it says whose customers to look for, also after a kill.
    CUSTOMERS,
)

SEEN_AS: Final = """
SELECT DISTINCT visitor_id
FROM events
WHERE user_id IN {users:Array(String)} AND visitor_id != ''
ORDER BY visitor_id
LIMIT 21
"""

POSTS: Final = """
SELECT DISTINCT generation_id FROM generation_jobs WHERE user_id IN {users:Array(String)}
UNION DISTINCT
SELECT DISTINCT generation_id FROM generation_results WHERE user_id IN {users:Array(String)}
"""

PICTURES: Final = """
SELECT DISTINCT arrayJoin(variants.picture_key)
FROM generation_results
WHERE user_id IN {users:Array(String)}
"""

# A picture is named by its content: another user may have the very same.
SHARED_PICTURES: Final = """
SELECT DISTINCT arrayJoin(variants.picture_key) AS key
FROM generation_results
WHERE NOT (user_id IN {users:Array(String)}) AND hasAny(variants.picture_key, {keys:Array(String)})
"""

_TEXTS: Final = """
    if(encoding = 'base64', tryBase64Decode(key), key) AS key_text,
    concat(
        if(encoding = 'base64', tryBase64Decode(payload), payload), '\\n',
        headers, '\\n',
        if(
            encoding = 'base64',
            arrayStringConcat(
                arrayMap(
                    header -> tryBase64Decode(JSONExtractString(header, 2)),
                    JSONExtractArrayRaw(headers)
                ),
                '\\n'
            ),
            ''
        ), '\\n',
        detail
    ) AS text
"""

LETTERS: Final = (
    "WITH"
    + _TEXTS
    + """
SELECT dead_letter_id
FROM dead_letters
WHERE key_text IN {names:Array(String)}
    OR multiSearchAny(text, {quoted:Array(String)})
    OR match(text, {alone:String})
"""
)

_LETTERS_GO: Final = """
ALTER TABLE dead_letters DELETE WHERE dead_letter_id IN {letters:Array(UUID)}
"""

# What somebody else pays for stays in that one's sums, which Stripe has too; whose it was goes.
_PAID_EVENTS_STAY: Final = """
ALTER TABLE events UPDATE
    user_id = '', visitor_id = '', path = '/', source = '', device = '', browser = '', os = '',
    referrer = '', country = '', route = '',
    metadata = concat(
        '{{',
        arrayStringConcat(
            arrayMap(
                kept -> concat(
                    toJSONString(kept), ':',
                    JSONExtractRaw(
                        metadata,
                        arrayLastIndex(each -> each = kept, JSONExtractKeys(metadata))
                    )
                ),
                arrayFilter(kept -> JSONHas(metadata, kept), {{kept:Array(String)}})
            ),
            ','
        ),
        '}}'
    )
WHERE {paid}
"""
_PAID_REPORTS: Final = "({of_user}) AND customer_id != '' AND NOT ({own})"
# Billed to the customer that the event names, or to one that the user was linked to when it was
# reported: of that the reports know, so events come before them. What a page sent is not billed;
# without the member that says so it would be.
_PAID_EVENTS: Final = f"""
({{of_user}}) AND event_type IN {{{{types:Array(String)}}}}
    AND NOT JSONHas(metadata, '{SITE}')
    AND (
        (JSONExtractString(metadata, '{CUSTOMER}') != '' AND NOT ({{own_named}}))
        OR event_id IN (
            SELECT assumeNotNull(event_id)
            FROM usage_reports
            WHERE event_id IS NOT NULL AND {_PAID_REPORTS}
        )
    )
"""  # noqa: S608 # all are constants

_PAID_REPORTS_STAY: Final = """
ALTER TABLE usage_reports UPDATE user_id = ''
WHERE {paid}
"""

MENTIONED: Final = """
SELECT count() FROM event_counts WHERE match(value, {alone:String})
"""


def mentions(subject: Subject) -> Parameters:
    """Parameters of questions about texts."""
    return {
        "names": list(subject.names),
        "quoted": subject.quoted(),
        "alone": subject.standing_alone(),
    }


def letters_of(questions: Questions, subject: Subject) -> list[UUID]:
    """Dead letters that are messages of the subject, or name them."""
    return [UUID(str(row[0])) for row in questions.rows(LETTERS, mentions(subject))]


def count(questions: Questions, table: Table, subject: Subject) -> int:
    """How many rows are the subject's."""
    # The name and the condition are of constants.
    sql = f"SELECT count() FROM {table.name} WHERE {table.condition(_BY_NAME)}"  # noqa: S608
    [[found]] = questions.rows(sql, subject.by_name())
    return int(found)


def deletes(table: Table) -> str:
    """The statement that takes the rows of a Subject away, on one server."""
    return f"ALTER TABLE {table.name} DELETE WHERE {table.condition(_BY_DIGEST)}"


async def erase(questions: Questions, mutations: Mutations, table: Table, subject: Subject) -> None:
    """Returns when the rows are gone; rewrites nothing where there are none."""
    if count(questions, table, subject):
        await mutations.run(table.name, deletes(table), subject.by_digest())


async def take_names_off(
    questions: Questions, mutations: Mutations, subject: Subject, meters: Meters
) -> None:
    """Takes the user's name off use that other customers pay for, where there is any."""
    billed = list(meters.meters.values())
    bound = {
        "types": sorted({each.event_type for each in billed}),
        "kept": sorted({CUSTOMER, *(each.value for each in billed if each.value)}),
    }
    for table, paid, stay in (
        (EVENTS, _PAID_EVENTS, _PAID_EVENTS_STAY),
        (REPORTS, _PAID_REPORTS, _PAID_REPORTS_STAY),
    ):
        by_name, by_digest = (
            paid.format(
                of_user=by.format(column="user_id", ids="users"),
                own=by.format(column="customer_id", ids="customers"),
                own_named=by.format(
                    column=f"JSONExtractString(metadata, '{CUSTOMER}')", ids="customers"
                ),
            )
            for by in (_BY_NAME, _BY_DIGEST)
        )
        # The name and the condition are of constants.
        counted = f"SELECT count() FROM {table.name} WHERE {by_name}"  # noqa: S608
        [[found]] = questions.rows(counted, {**subject.by_name(), **bound})
        if found:
            await mutations.run(
                table.name, stay.format(paid=by_digest), {**subject.by_digest(), **bound}
            )


async def erase_letters(mutations: Mutations, letters: Sequence[UUID]) -> None:
    """Returns when they are gone."""
    for first in range(0, len(letters), LETTERS_AT_ONCE):
        some = [str(each) for each in letters[first : first + LETTERS_AT_ONCE]]
        await mutations.run("dead_letters", _LETTERS_GO, {"letters": some})
