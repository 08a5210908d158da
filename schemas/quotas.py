"""Quotas as they lie on Kafka: commands to a user's account, and what was decided."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, Self
from uuid import UUID, uuid5

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    model_validator,
)

from schemas.explanations import Advice
from schemas.limits import EARLIEST_OCCURRED_AT, MAX_NAME_CHARACTERS
from schemas.posts import PostOptions

MAX_CREDITS: Final = 1_000_000_000
"""Of one command; what a plan or top-ups add up to stays far below 2**53, which JSON keeps."""

MAX_TOP_UPS: Final = 100
"""Top-ups that an account holds at once."""

LATEST_MOMENT: Final = datetime(2106, 1, 1, tzinfo=UTC)
"""The end of what ClickHouse's DateTime can say."""

MAX_AHEAD: Final = timedelta(minutes=5)
"""How far one clock may be ahead of another, in what decides a period."""

_NAMESPACE: Final = UUID("0d3c7c35-6d8a-5c0e-9d3e-51a4e2a1d6f4")

Credits = Annotated[int, Field(ge=1, le=MAX_CREDITS)]
PlanName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_-]*$")]
AccountUser = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_NAME_CHARACTERS,
        # A table's keys are told apart by a zero byte; no name needs a control character.
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="The user whose account it is; also the message key.",
    ),
    Advice({"string_pattern_mismatch": "must hold no control characters"}),
]
Reason = Annotated[
    str, Field(min_length=1, max_length=200, description="What it was for, for the ledger.")
]


def _no_number(value: object) -> object:
    """Refuses what pydantic would read as seconds since 1970, in quotes or not."""
    if isinstance(value, int | float) or (isinstance(value, str) and "-" not in value[:5]):
        raise ValueError("write it as RFC 3339, such as 2026-11-24T09:30:00Z")
    return value


Moment = Annotated[
    AwareDatetime,
    Field(strict=False, ge=EARLIEST_OCCURRED_AT, le=LATEST_MOMENT),
    BeforeValidator(_no_number),
]
Total = Annotated[int, Field(ge=0, lt=1 << 53)]
Change = Annotated[int, Field(gt=-(1 << 53), lt=1 << 53)]
Id = Annotated[UUID, Field(strict=False)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Period(_Message):
    """From `start` up to, not with, `end`."""

    start: Moment
    end: Moment

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.end <= self.start:
            raise ValueError("`end` must be later than `start`")
        return self


class _Command(_Message):
    """`issued_at` is the sender's clock: it decides the period, so that a replay decides alike.

    The same `command_id` again gets the first answer and changes nothing; with another content
    it is refused as a conflict.
    """

    command_id: Id
    user_id: AccountUser
    # Not the latest moment itself: no period could contain it.
    issued_at: Annotated[Moment, Field(lt=LATEST_MOMENT)]
    reason: Reason


class Show(_Command):
    """Asks for the account; changes nothing and leaves no decision."""

    kind: Literal["show"] = "show"


class Spend(_Command):
    """Takes credits, all or none."""

    kind: Literal["spend"] = "spend"
    count: Credits
    repeatable: Annotated[
        bool,
        Field(
            description="Whether the sender may send the same command again: then a refusal is "
            "remembered too, so that it gets the same answer."
        ),
    ] = True
    post: Annotated[
        PostOptions | None,
        Field(
            description="The post that these credits are for, one for each variant: once they "
            "are taken it is generated, under the command's id as its `post_id`."
        ),
    ] = None

    @model_validator(mode="after")
    def _pays_for_each_variant(self) -> Self:
        if self.post is not None and self.count != self.post.variants:
            raise ValueError("`count` must be the number of the post's variants")
        return self


class Refund(_Command):
    """Undoes one spend of this account, once; `count` of its credits, or all."""

    kind: Literal["refund"] = "refund"
    spend_id: Annotated[Id, Field(description="The spend's `command_id`.")]
    count: Credits | None = None


class TopUp(_Command):
    """Adds credits once: until the running period ends, or until they are used."""

    kind: Literal["top_up"] = "top_up"
    count: Credits
    lasts: Literal["period", "used"] = "period"


class PlanChanged(_Command):
    """Puts the account on a plan; `period` is the subscription's, which has begun; absent: calendar
    months.
    """

    kind: Literal["plan_changed"] = "plan_changed"
    plan: PlanName
    period: Period | None = None


class TopUpLeft(_Message):
    """What is left of a top-up; its id is the `command_id` that granted it."""

    top_up_id: Id
    left: Annotated[int, Field(ge=0, le=MAX_CREDITS)]
    used_in_period: Annotated[int, Field(ge=0, le=MAX_CREDITS)] = 0
    ends_at: Moment | None = None


class PastCommand(_Message):
    """A command that was decided, as the account remembers it."""

    command_id: Id
    fingerprint: str
    decision: "QuotaDecision"
    refunded: bool = False


class Restore(_Command):
    """Sets the account to what the ledger says, after Kafka lost its data (`weir quota rebuild`).

    What lay in the account before is replaced; `remembered` is added to what it remembers.
    """

    replaces: Annotated[
        int | None,
        Field(
            ge=0,
            lt=1 << 53,
            description="The number of the account's last change, 0 for none, as the ledger shows "
            "it: with any other the restore is refused (`conflict`), so that it undoes nothing "
            "that the ledger does not hold yet.",
        ),
    ] = None
    kind: Literal["restore"] = "restore"
    plan: PlanName
    period: Period
    usage_since: Annotated[
        Moment | None,
        Field(description="The start with which usage last began anew; absent: the period's."),
    ] = None
    subscription: bool
    # Half of what a total may be, so that no sum with it is out of bounds.
    plan_credits_used: Annotated[int, Field(ge=0, lt=1 << 52)]
    top_ups: Annotated[
        list[TopUpLeft],
        Field(
            max_length=10 * MAX_TOP_UPS,
            description="Those that hold credits, and those of which some were used in the period.",
        ),
    ] = []
    crossed: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(max_length=16)] = []
    changes: Annotated[
        int, Field(ge=0, lt=1 << 52, description="How many changes the ledger holds.")
    ] = 0
    period_number: Annotated[
        int, Field(ge=1, lt=1 << 52, description="The latest decision's `period_number`.")
    ] = 1
    remembered: Annotated[list[PastCommand], Field(max_length=500)] = []


class Forget(_Command):
    """Erases the account and all that it remembers (`weir forget`); leaves no decision.

    What comes later is a new account's, also a repeat of what came before.
    """

    kind: Literal["forget"] = "forget"


QuotaCommand = Show | Spend | Refund | TopUp | PlanChanged | Restore
"""What is decided about."""

Problem = Literal[
    "quota_exceeded",
    "conflict",
    "unknown_spend",
    "already_refunded",
    "refund_too_large",
    "unknown_plan",
    "period_over",
    "period_not_begun",
    "too_many_top_ups",
]


class TopUpChange(_Message):
    """By how much what is left of a top-up changed."""

    top_up_id: Id
    change: Change
    ends_at: Moment | None = None


class QuotaDecision(_Message):
    """What became of a command, and the account after it.

    `change` and `top_up_changes` are what the ledger adds up: credits of the plan used in the
    period of this `period_number`, and credits left of each top-up. `period_start` cannot stand
    for it: a plan change may move the start and keep the usage, or return to an earlier start.
    """

    decision_id: Annotated[
        Id, Field(description="Of the command's place in its topic, and of whether it was refused.")
    ]
    command_id: Id
    user_id: AccountUser
    kind: Literal["show", "spend", "refund", "top_up", "plan_changed", "restore"]
    applied: Annotated[bool, Field(description="Whether anything was done.")]
    problem: Problem | None = None
    reason: Reason
    count: Annotated[Total, Field(description="Credits asked for, or given back.")] = 0
    spend_id: Id | None = None
    change: Annotated[Change, Field(description="Credits of the plan: + used, - given back.")] = 0
    top_up_changes: list[TopUpChange] = []
    number: Annotated[
        Total, Field(description="Of this change in the account, from 1; 0: no change.")
    ] = 0
    plan: PlanName
    plans_version: Annotated[int, Field(ge=0, lt=1 << 31)]
    subscription: Annotated[
        bool, Field(description="Whether the period is a subscription's own.")
    ] = False
    limit: Annotated[Total, Field(description="Plan and top-ups of the period together.")]
    quota_used: Total
    remaining: Total
    period_start: Moment
    resets_at: Moment
    period_number: Annotated[
        Total,
        Field(description="Of the account's periods, from 1: usage begins anew with each."),
    ] = 0
    crossed: Annotated[
        list[Annotated[int, Field(ge=0, le=255)]],
        Field(description="Thresholds in percent that this one crossed."),
    ] = []
    fingerprint: Annotated[
        str,
        Field(
            max_length=64,
            description="Of the command's content, by which a copy is told from a conflict; the "
            "ledger keeps it, so that a restored account can too.",
        ),
    ] = ""
    decided_at: Annotated[Moment, Field(description="The command's time, never going back.")]


class QuotaThreshold(_Message):
    """A user has used so many percent of the limit: once a period and threshold."""

    event_id: Id
    user_id: AccountUser
    threshold: Annotated[int, Field(description="In percent: 80 or 100.")]
    plan: PlanName
    limit: int
    quota_used: int
    period_start: Moment
    resets_at: Moment
    occurred_at: Moment


PastCommand.model_rebuild()


class AnyQuotaCommand(RootModel[Annotated[QuotaCommand | Forget, Field(discriminator="kind")]]):
    """A command of any kind, as it lies on `quota-commands`; `kind` tells which."""


def command_id_for(user_id: str, idempotency_key: str) -> UUID:
    """The id of a command that is sent under a key: the same in every edge process."""
    return uuid5(_NAMESPACE, f"{len(user_id)}:{user_id}:{idempotency_key}")


def decision_id_for(topic_id: str, partition: int, offset: int) -> UUID:
    """The id of the decision about the command at this place; a topic made anew has another id.

    Of one that changes nothing `refusal_id_for` makes the id.
    """
    return uuid5(_NAMESPACE, f"decision:{topic_id}:{partition}:{offset}")


def refusal_id_for(decision_id: UUID) -> UUID:
    """The id when the command is refused.

    A refusal may leave no trace in the account: with other limits a replay may apply the command,
    and that must not be taken for a copy of the refusal.
    """
    return uuid5(decision_id, "refused")


def threshold_id_for(
    user_id: str, period_number: int, period_start: datetime, threshold: int
) -> UUID:
    """The id of the event that a threshold was crossed in a period.

    Periods may have one start, and numbers begin again after Kafka lost its data.
    """
    period = f"{period_number}:{period_start.astimezone(UTC).isoformat()}"
    return uuid5(_NAMESPACE, f"threshold:{len(user_id)}:{user_id}:{period}:{threshold}")
