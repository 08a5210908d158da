"""The one failure vocabulary of the workers: invalid, retryable, overloaded."""

from dataclasses import dataclass


class Failure(Exception):
    """What can go wrong with a message or its effects; the three kinds say what follows."""


@dataclass
class Invalid(Failure):
    """The message itself is unusable: it becomes a dead letter and is never tried again."""

    reason: str
    detail: str


class Retryable(Failure):
    """It may work the next time: try again, with a bounded backoff."""


class Overloaded(Failure):
    """The other side asks for patience: slow down, then try again."""
