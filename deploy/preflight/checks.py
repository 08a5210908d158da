"""What a process needs beside its settings, and what keeps it from starting."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from schemas.metrics.declaration import Process
from schemas.settings import InvalidSettings, Settings, read_settings

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, slots=True)
class Problem:
    """A sentence that says what is wrong and what to do; `passes`: waiting may be enough."""

    text: str
    passes: bool = False


Ask = Callable[[], Awaitable[Sequence[Problem]]]


@dataclass(frozen=True, slots=True)
class Check(Generic[S]):
    """A look at something outside: the settings that say where it is, and the look itself.

    `ask` raises nothing that its subject can cause: that is a Problem.
    """

    settings: type[S]
    ask: Callable[[S], Awaitable[Sequence[Problem]]]

    def prepared(self) -> Ask:
        """The look, its settings read. Raises InvalidSettings."""
        return partial(self.ask, read_settings(self.settings))


class AnyCheck(Protocol):
    """A Check of any settings."""

    def prepared(self) -> Ask: ...


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a process answers /healthz and /readyz; port 0: nowhere."""

    host: str
    port: int
    process: Process


@dataclass(frozen=True, slots=True)
class Needs(Generic[S]):
    """What a process needs to start. `name`: its command; `listening`: None: it answers nobody."""

    name: str
    settings: type[S]
    checks: tuple[AnyCheck, ...]
    listening: Callable[[S], Listening] | None = None

    def answers_at(self) -> Listening | None:
        """Where it answers; None: nowhere, or its settings cannot be used."""
        try:
            return self.listening(read_settings(self.settings)) if self.listening else None
        except InvalidSettings:
            return None
