"""Values as they lie in the table, for tests that do not care what is in them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from schemas.plans import read_catalogue
from streams.group.places import Place
from streams.quotas.account import Account
from streams.quotas.credits import decide
from streams.quotas.stored import account_value, remembered_value
from tests.streams.quotas.caller import spend

NOW_TOPIC = UUID(int=7).bytes
"""The id of the topic of commands that is read now."""

_PERIOD = (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
_STEP = decide(None, spend("somebody"), {}, read_catalogue(), uuid4())


def account_at(offset: int, topic_id: bytes = NOW_TOPIC, *, outbox: Sequence[bytes] = ()) -> bytes:
    """An account's value, made by the command at this offset."""
    account = Account("somebody", "free", *_PERIOD, usage_since=_PERIOD[0], used=offset)
    return account_value(Place(topic_id, offset), account, outbox)


def remembered_at(offset: int, kept_until: int = 0) -> bytes:
    """A remembered command's value, kept until so many epoch milliseconds."""
    return remembered_value(Place(NOW_TOPIC, offset), _STEP.remember[-1], kept_until)
