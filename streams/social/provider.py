"""What a provider of captions and pictures is, what it used, and how it fails."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from schemas.generation import FailureReason, GenerationJob, ModelUse
from schemas.metrics.instruments import counter
from schemas.metrics.social import CALLS, COST, UNPRICED_CALLS

MICROS: Final = 1_000_000
"""Of a dollar."""


@dataclass(frozen=True, slots=True)
class Made:
    """A picture as it was made: a PNG; sizes in pixels."""

    content: bytes
    width: int
    height: int


@dataclass
class ProviderFailure(Exception):
    """A caption or a picture cannot be had, for good; `detail` is a sentence for the user."""

    reason: FailureReason
    detail: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass
class Tally:
    """What one caption or picture used up to now, also when it fails or is given up."""

    uses: dict[str, ModelUse] = field(default_factory=dict)

    def add(self, use: ModelUse) -> None:
        """Counts it to its model."""
        before = self.uses.get(use.model)
        self.uses[use.model] = use if before is None else _sum(before, use)

    def used(self, use: ModelUse) -> None:
        """Counts what a call has just used, also among the metrics."""
        if use.cost_micros is None:
            counter(UNPRICED_CALLS, use.model).inc()
        else:
            counter(COST, use.model).inc(use.cost_micros / MICROS)
        self.add(use)

    def called(self, model: str) -> None:
        """Counts a call that is about to be made, also among the metrics."""
        counter(CALLS, model).inc()
        self.add(ModelUse(model=model, calls=1, input_tokens=0, output_tokens=0, cost_micros=0))


class PostProvider(Protocol):
    """Makes captions and pictures. Its methods raise ProviderFailure, and nothing else.

    `number` is the variant's, from 1. What a call uses is counted in `tally` as it happens.
    """

    stub: bool

    async def caption(self, job: GenerationJob, number: int, tally: Tally) -> str:
        """A caption that its platform takes."""

    async def picture(self, job: GenerationJob, number: int, tally: Tally) -> Made:
        """A picture of its platform's size."""

    def problem(self) -> str | None:
        """Why calls cannot succeed until somebody acts; None once one of the kind has succeeded."""


def merged(uses: Iterable[ModelUse]) -> list[ModelUse]:
    """One use of each model, in order of first use. Of no known cost: the whole has none."""
    tally = Tally()
    for use in uses:
        tally.add(use)
    return list(tally.uses.values())


def _sum(one: ModelUse, other: ModelUse) -> ModelUse:
    known = one.cost_micros is not None and other.cost_micros is not None
    return ModelUse(
        model=one.model,
        calls=one.calls + other.calls,
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        images=one.images + other.images,
        cost_micros=(one.cost_micros or 0) + (other.cost_micros or 0) if known else None,
    )


def fitted(caption: str, limit: int) -> str:
    """The caption in at most `limit` characters, cut behind a word and marked where it was cut."""
    text = caption.strip()
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    # Scripts without spaces are cut anywhere.
    at_word = head.rsplit(maxsplit=1)[0] if not text[limit - 1].isspace() else head
    return (at_word if len(at_word) > limit // 2 else head).rstrip(" \n\t,.;:-\N{EN DASH}") + "…"
