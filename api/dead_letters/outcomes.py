"""Replays and discards letters, and says for each what became of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from api.clickhouse import ClickHouseReader
from api.dead_letters.letters import Acted, Place, acted_on, letters, moment_text
from api.dead_letters.replay import replayed
from api.dead_letters.single import unknown
from api.problems import FieldProblem, Problem, unavailable
from api.publishing import KafkaUnavailable, Message, Publisher
from schemas.dead_letters import Action, dead_letter_action
from schemas.decoding import InvalidEvent
from schemas.topics import DEAD_LETTER_ACTIONS

BYTES_AT_ONCE: Final = 8_388_608
"""Of payloads that are in memory together; a letter may be larger than a megabyte."""


class Failure(BaseModel):
    """Why nothing was done about a letter; `status` is what a single request would get."""

    status: Annotated[int, Field(examples=[422])]
    detail: str
    reason: Annotated[
        str | None, Field(description="Today's reason, when the message still cannot be used.")
    ] = None
    field: Annotated[str | None, Field(description="The field at fault, if it is one.")] = None


class Outcome(BaseModel):
    """What became of one dead letter."""

    dead_letter_id: UUID
    status: Literal["replayed", "discarded", "failed"]
    event_id: Annotated[
        UUID | None, Field(description="The event that the replay published; else null.")
    ] = None
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """What actions work with: where letters are read, where messages go, what time it is."""

    clickhouse: ClickHouseReader
    publisher: Publisher
    now: datetime

    async def act(
        self, action: Action, ids: Sequence[UUID], places: Mapping[UUID, Place]
    ) -> list[Outcome | Problem]:
        """The outcome of each id in order, or the problem that a single request would get.

        Events are published before it is recorded that they were: killed between the two, the
        letter is open still, and what a second replay publishes is a copy of the first.
        Raises a 503 Problem when ClickHouse cannot answer; what was done by then stays done.
        """
        acted = await acted_on(self.clickhouse, [each for each in ids if each in places])
        results: dict[UUID, Outcome | Problem] = {}
        for each in ids:
            if each not in places:
                results[each] = unknown(each)
            elif each in acted:
                results[each] = _conflict(each, acted[each])
        todo = [places[each] for each in dict.fromkeys(ids) if each not in results]
        if action == "discarded":
            results |= await self._discard([each.dead_letter_id for each in todo])
        else:
            for chunk in _chunks(todo):
                results |= await self._replay(chunk)
        return [results[each] for each in ids]

    async def _discard(self, ids: Sequence[UUID]) -> dict[UUID, Outcome | Problem]:
        if problem := await self._publish([self._record(each, "discarded") for each in ids]):
            return dict.fromkeys(ids, problem)
        return {each: Outcome(dead_letter_id=each, status="discarded") for each in ids}

    async def _replay(self, chunk: Sequence[Place]) -> dict[UUID, Outcome | Problem]:
        results: dict[UUID, Outcome | Problem] = {
            each.dead_letter_id: unknown(each.dead_letter_id) for each in chunk
        }
        events: dict[UUID, UUID] = {}
        messages: list[Message] = []
        for letter in await letters(self.clickhouse, chunk):
            try:
                event_id, message = replayed(letter, self.now)
            except InvalidEvent as error:
                results[letter.dead_letter_id] = _still_invalid(error)
            else:
                events[letter.dead_letter_id] = event_id
                messages.append(message)
        records = [self._record(letter, "replayed", event) for letter, event in events.items()]
        problem = await self._publish(messages) or await self._publish(records)
        for letter_id, event_id in events.items():
            results[letter_id] = problem or Outcome(
                dead_letter_id=letter_id, status="replayed", event_id=event_id
            )
        return results

    async def _publish(self, messages: Sequence[Message]) -> Problem | None:
        if not messages:
            return None
        try:
            await self.publisher.publish(messages)
        except KafkaUnavailable as error:
            return unavailable(f"{error}; ask again, nothing counts twice")
        return None

    def _record(self, letter: UUID, action: Action, event_id: UUID | None = None) -> Message:
        record = dead_letter_action(letter, action, self.now, event_id)
        return Message(
            DEAD_LETTER_ACTIONS.name, str(letter).encode(), record.model_dump_json().encode()
        )


def outcome_of(dead_letter_id: UUID, result: Outcome | Problem) -> Outcome:
    """The outcome in a list of several."""
    if isinstance(result, Outcome):
        return result
    reason = result.members.get("reason")
    return Outcome(
        dead_letter_id=dead_letter_id,
        status="failed",
        error=Failure(
            status=result.status.value,
            detail=result.detail,
            reason=None if reason is None else str(reason),
            field=result.errors[0].field if result.errors else None,
        ),
    )


def _still_invalid(error: InvalidEvent) -> Problem:
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        error.detail,
        errors=[FieldProblem(field=error.field or "payload", detail=error.detail)],
        members={"reason": error.reason},
    )


def _conflict(dead_letter_id: UUID, acted: Acted) -> Problem:
    event = f" as event {acted.event_id}" if acted.event_id else ""
    return Problem(
        HTTPStatus.CONFLICT,
        f"dead letter {dead_letter_id} was {acted.action} at {moment_text(acted.at_ms)}{event}; "
        "nothing is left to do",
        members={
            "state": acted.action,
            "acted_at": moment_text(acted.at_ms),
            "event_id": acted.event_id,
        },
    )


def _chunks(places: Iterable[Place]) -> Iterator[list[Place]]:
    chunk: list[Place] = []
    size = 0
    for place in places:
        if chunk and size + place.size > BYTES_AT_ONCE:
            yield chunk
            chunk, size = [], 0
        chunk.append(place)
        size += place.size
    if chunk:
        yield chunk
