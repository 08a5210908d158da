"""Who is asking: the user or the key behind a request, and what roles they have."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What one may do. An admin may do everything; no other role holds another one."""

    USER = "user"
    """Uses what their plan allows, and sees their own plan and ledger."""
    PRODUCER = "producer"
    """Sends events."""
    ANALYST = "analyst"
    """Asks questions about events."""
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. `subject` is the user's id, and with a key the key's own."""

    subject: str
    roles: frozenset[Role]
    key_id: str | None = None
    """The API key that was used; None for a user."""

    def may(self, roles: frozenset[Role]) -> bool:
        """Whether one of these roles, or admin, is among theirs."""
        return Role.ADMIN in self.roles or not self.roles.isdisjoint(roles)
