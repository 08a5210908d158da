"""Whom to forget, and by what ClickHouse finds them without being told their names for long."""

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from deploy.billing.clickhouse_questions import Parameters

TELLING_CHARACTERS: Final = 6
"""An id of so many characters is looked for wherever it stands alone in a text; a shorter one, such
as `42`, only where it stands between quotes."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A user, visitors that are the same person, and customers of Stripe's that are the user alone.

    `paid_by`: customers that are not the user alone, whom some of the user's use may be billed to.
    `linked`: those of them that Stripe has named the user for.
    """

    user_id: str
    visitors: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()
    paid_by: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()
    salt: str = field(default_factory=lambda: secrets.token_hex(16))

    def by_name(self) -> Parameters:
        """Parameters of a question: the ids themselves."""
        return {
            "users": [self.user_id],
            "visitors": list(self.visitors),
            "customers": list(self.customers),
        }

    def by_digest(self) -> Parameters:
        """Parameters of a mutation, which ClickHouse keeps when it is done: salted hashes."""
        return {
            "salt": self.salt,
            "users": self._digests([self.user_id]),
            "visitors": self._digests(self.visitors),
            "customers": self._digests(self.customers),
        }

    def _digests(self, ids: Iterable[str]) -> list[str]:
        return [sha256((self.salt + each).encode()).hexdigest().upper() for each in ids]

    @property
    def names(self) -> tuple[str, ...]:
        """All ids by which a message may name the person."""
        return (self.user_id, *self.visitors, *self.customers)

    def quoted(self) -> list[str]:
        """The ids as JSON texts write them, with or without escapes."""
        return sorted(
            {
                json.dumps(name, ensure_ascii=escaped)
                for name in self.names
                for escaped in (True, False)
            }
        )

    def standing_alone(self) -> str:
        """A regular expression (RE2) that finds the telling ids among other words."""
        telling = [re.escape(each) for each in self.names if len(each) >= TELLING_CHARACTERS]
        # Where there is none, one that nothing matches.
        return rf"(?:^|[^\w-])(?:{'|'.join(telling)})(?:$|[^\w-])" if telling else "[^\\s\\S]"
