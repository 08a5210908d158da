"""Erases a user everywhere, in an order in which a kill leaves nothing that a next run misses.

Whoever writes about the user goes first: the one writer of the account and of the reports forgets
by a command, then nothing is under way any more, and then ClickHouse has all there will be: also
whose customers the user is, by which it begins again where one was not known. What says where to
look (posts, customers) is deleted last.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from deploy.billing.clickhouse_questions import Questions
from deploy.forgetting.broker import Broker
from deploy.forgetting.customers import with_customers
from deploy.forgetting.mutations import Mutations
from deploy.forgetting.posts import Posts
from deploy.forgetting.subject import Subject
from deploy.forgetting.tables import (
    TABLES,
    count,
    erase,
    erase_letters,
    letters_of,
    take_names_off,
)
from schemas.billing import ForgetUse
from schemas.meters import Meters
from schemas.quotas import Forget
from schemas.topics import (
    GENERATION_JOBS,
    GENERATION_REQUESTS,
    QUOTA_ACCOUNTS,
    QUOTA_COMMANDS,
    STRIPE_EVENTS,
    TOPICS,
    USAGE_COMMANDS,
    USAGE_LEDGER,
    Topic,
    topic_for,
)
from streams.billing.reports import names_person
from streams.quotas.stored import account_key, remembered_prefix

ROUNDS: Final = 3
"""What a user still does while they are forgotten is found by the next round."""

MEDIA: Final = "media store"
LETTERS: Final = "dead_letters"


class NotNow(Exception):
    """It cannot be erased now; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Groups:
    """The consumer groups of the workers."""

    sink: str
    quotas: str
    social: str
    billing: str


@dataclass(slots=True)
class Found:
    """Rows, keys and objects of the user, by place, as they were before and are after."""

    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)

    @property
    def is_proved(self) -> bool:
        """Whether every place was looked at and is empty."""
        return self.after.keys() == self.before.keys() and not any(self.after.values())


class Erasing:
    """Of one subject. Methods raise NotNow, and as Questions, Mutations, Broker and Posts do."""

    def __init__(
        self,
        subject: Subject,
        questions: Questions,
        mutations: Mutations,
        broker: Broker,
        posts: Posts,
        meters: Meters,
        groups: Groups,
        *,
        seconds: float,
        say: Callable[[str], None],
    ) -> None:
        """`seconds`: how long each worker may take to read what lies before it."""
        self._subject = subject
        self._questions = questions
        self._mutations = mutations
        self._broker = broker
        self._posts = posts
        self._meters = meters
        self._groups = groups
        self._seconds = seconds
        self._say = say

    @property
    def subject(self) -> Subject:
        """With all customers that are known by now."""
        return self._subject

    async def look(self) -> dict[str, int]:
        """How much there is, by place."""
        found = {table.name: count(self._questions, table, self._subject) for table in TABLES}
        found[LETTERS] = len(letters_of(self._questions, self._subject))
        found[MEDIA] = await self._posts.look()
        found[QUOTA_ACCOUNTS.name] = await self._broker.living(QUOTA_ACCOUNTS, self._is_account)
        found[USAGE_LEDGER.name] = await self._broker.living(USAGE_LEDGER, self._is_use)
        return found

    async def erase(self) -> Found:
        """Erases until nothing is found, a few times at most, and says how much was there."""
        found = Found(before=await self.look())
        for number in range(1, ROUNDS + 1):
            self._say(f"round {number}: waiting for the workers")
            await self._forget_before_stores(found.after or found.before)
            self._say("erasing from ClickHouse and the media store")
            await self._forget_in_stores()
            found.after = await self.look()
            if found.is_proved:
                break
        return found

    async def _forget_before_stores(self, known: dict[str, int]) -> None:
        """Returns when the workers have forgotten all, and ClickHouse names no other customer."""
        billing = await self._broker.is_used(self._groups.billing) or known[USAGE_LEDGER.name] > 0
        for _ in range(ROUNDS):
            # Whether a customer is the user's alone, use that is on its way may decide.
            if billing:
                await self._has_billed()
            await self._has_stored()
            self._learn_customers()
            await self._forget_in_workers(known, billing=billing)
            await self._has_stored()
            if not self._learn_customers():
                return
        raise NotNow(
            "again and again the user's use goes to a customer that was not known before. Stop "
            "what sends it, and run this again"
        )

    def _learn_customers(self) -> bool:
        """Whether there is one whose reports the worker has not been told to forget."""
        before = self._subject
        self._subject = with_customers(self._questions, before, self._meters)
        return self._subject != before

    async def _has_billed(self) -> None:
        """Returns when the billing worker has taken up all that lies before it."""
        metered = {topic_for(each.event_type).name for each in self._meters.meters.values()}
        topics = [each for each in TOPICS if each.name in metered]
        await self._has_read("billing", self._groups.billing, [*topics, STRIPE_EVENTS])
        # Use that is sent on to a customer lies behind what was there.
        for _ in range(2):
            await self._has_read("billing", self._groups.billing, [USAGE_COMMANDS])

    async def _forget_in_workers(self, known: dict[str, int], *, billing: bool) -> None:
        user_id = self._subject.user_id
        groups, broker = self._groups, self._broker
        social = await broker.is_used(groups.social)
        if social:
            await self._has_read("social", groups.social, [GENERATION_REQUESTS])
        if (
            known[QUOTA_ACCOUNTS.name]
            or await broker.is_used(groups.quotas)
            or not await broker.is_empty(QUOTA_COMMANDS)
        ):
            await self._has_read("quotas", groups.quotas, [QUOTA_COMMANDS])
            if social:
                # What they give back comes behind them.
                await self._has_read("social", groups.social, [GENERATION_JOBS])
            command = Forget(
                command_id=uuid4(), user_id=user_id, issued_at=datetime.now(UTC), reason="forget"
            )
            await broker.send(QUOTA_COMMANDS, user_id, command)
            await self._has_read("quotas", groups.quotas, [QUOTA_COMMANDS])
        if billing:
            await broker.send(USAGE_COMMANDS, user_id, ForgetUse(user_id=user_id))
            for customer_id in (*self._subject.customers, *self._subject.paid_by):
                forget = ForgetUse(
                    user_id=user_id,
                    customer_id=customer_id,
                    whole=customer_id in self._subject.customers,
                )
                await broker.send(USAGE_COMMANDS, customer_id, forget)
            await self._has_read("billing", groups.billing, [USAGE_COMMANDS])

    async def _has_stored(self) -> None:
        stored = [topic for topic in TOPICS if "sink" in topic.read_by]
        await self._has_read("sink", self._groups.sink, stored)

    async def _has_read(self, name: str, group: str, topics: Sequence[Topic]) -> None:
        if await self._broker.has_read(group, topics, self._seconds):
            return
        named = ", ".join(topic.name for topic in topics)
        process = "the sink" if name == "sink" else f"the {name} worker"
        raise NotNow(
            f"{process} (group {group}) has not read within {self._seconds:.0f} s all that lies on "
            f"{named}, where more of the user may be. Is it running (`weir {name}`)? Start it, or "
            "wait for it (--wait SECONDS), and run this again"
        )

    async def _forget_in_stores(self) -> None:
        # What came meanwhile is erased too.
        await self._posts.look()
        await self._posts.erase()
        await erase_letters(self._mutations, letters_of(self._questions, self._subject))
        await take_names_off(self._questions, self._mutations, self._subject, self._meters)
        for table in TABLES:
            await erase(self._questions, self._mutations, table, self._subject)

    def _is_account(self, key: bytes, _: bytes) -> bool:
        account = account_key(self._subject.user_id)
        return key == account or key.startswith(remembered_prefix(account))

    def _is_use(self, key: bytes, value: bytes) -> bool:
        return names_person(key, value, self._subject.user_id, self._subject.customers)
