"""Social posts as they lie on Kafka: requests, jobs that are paid for, progress, results."""

from datetime import datetime
from functools import lru_cache
from typing import Annotated, Final, Literal
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field

from schemas.posts import MAX_VARIANTS, PostOptions
from schemas.quotas import LATEST_MOMENT, AccountUser, Id, Moment

_NAMESPACE: Final = UUID("6f3a2c51-2b0e-5d0f-8d0b-9d1c52a0b7d4")

MAX_CAPTION_CHARACTERS: Final = 10_000

MediaKey = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{64}\.(png|webp|jpg)$",
        description="The SHA-256 of the picture, and its kind.",
    ),
]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class GenerationRequest(PostOptions):
    """Asks for a post: it is generated when the user's credits allow it.

    The same `post_id` of a user again gets the first result and costs nothing; with other content
    it is refused as a conflict. `issued_at` is the sender's clock.
    """

    post_id: Annotated[Id, Field(description="A UUID of the sender's choice; names the post.")]
    user_id: AccountUser
    issued_at: Annotated[Moment, Field(lt=LATEST_MOMENT)]

    def options(self) -> PostOptions:
        """What the post is to be, without who asks."""
        return PostOptions(**{name: getattr(self, name) for name in PostOptions.model_fields})


class GenerationJob(PostOptions):
    """A post whose credits are taken: one for each variant, by the spend of this `post_id`.

    `requested_at` is the request's `issued_at`: where what was generated is remembered follows
    from the job alone.
    """

    post_id: Id
    user_id: AccountUser
    requested_at: Moment
    repeated: Annotated[
        bool,
        Field(
            description="The request was sent again: the first job of this post lies before this "
            "one, which only asks for its result."
        ),
    ] = False

    def options(self) -> PostOptions:
        """What the post is to be, without whose it is."""
        return PostOptions(**{name: getattr(self, name) for name in PostOptions.model_fields})


class Picture(_Message):
    """A stored picture; sizes in pixels."""

    key: MediaKey
    width: Annotated[int, Field(ge=1, le=1 << 16)]
    height: Annotated[int, Field(ge=1, le=1 << 16)]


class PostVariant(_Message):
    """One caption with its picture. `number` counts from 1, as they were asked for."""

    number: Annotated[int, Field(ge=1, le=MAX_VARIANTS)]
    caption: Annotated[str, Field(max_length=MAX_CAPTION_CHARACTERS)]
    picture: Picture


class ModelUse(_Message):
    """What one model was used for a post. Cost in millionths of a US dollar, at list price."""

    model: str
    calls: Annotated[int, Field(ge=0, lt=1 << 32)]
    input_tokens: Annotated[int, Field(ge=0, lt=1 << 53)]
    output_tokens: Annotated[int, Field(ge=0, lt=1 << 53)]
    images: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    cost_micros: Annotated[
        int | None,
        Field(ge=0, lt=1 << 53, description="Null: the model's price is not known here."),
    ]


FailureReason = Literal[
    "quota_exceeded",
    "content_refused",
    "rate_limited",
    "provider_unavailable",
    "provider_timeout",
    "provider_quota",
    "provider_credentials",
    "unusable_answer",
]


class GenerationResult(_Message):
    """What became of a post, once and for good.

    `done`: at least one variant was made; what the others cost is `refunded`. `failed`: none was,
    and all that was charged is refunded; `detail` says why in a sentence for the user.
    """

    post_id: Id
    user_id: AccountUser
    state: Literal["done", "failed"]
    reason: FailureReason | None = None
    detail: Annotated[str, Field(max_length=500)] = ""
    variants: Annotated[list[PostVariant], Field(max_length=MAX_VARIANTS)] = []
    credits_charged: Annotated[int, Field(ge=0, le=MAX_VARIANTS)]
    credits_refunded: Annotated[int, Field(ge=0, le=MAX_VARIANTS)] = 0
    stub: Annotated[bool, Field(description="Made without OpenAI, for trying out.")] = False
    usage: list[ModelUse] = []
    requested_at: Moment
    finished_at: Moment


class GenerationProgress(_Message):
    """A step on the way to the result, for whoever watches; not kept.

    Without a variant: generation has begun. With `caption`: that variant's caption is there; with
    `picture`: its picture is.
    """

    post_id: Id
    user_id: AccountUser
    variant: Annotated[int | None, Field(ge=1, le=MAX_VARIANTS)] = None
    caption: str | None = None
    picture: Picture | None = None
    at: Moment


def post_id_for(user_id: str, idempotency_key: str) -> UUID:
    """The id of a post that is asked for under a key: the same in every edge process.

    Another than that of a spend under the same key.
    """
    return uuid5(_NAMESPACE, f"post:{len(user_id)}:{user_id}:{idempotency_key}")


def refund_id_for(user_id: str, post_id: UUID) -> UUID:
    """The command id of the refund of a post."""
    return uuid5(_NAMESPACE, f"refund:{len(user_id)}:{user_id}:{post_id}")


# Each object of a post asks for it.
@lru_cache(maxsize=4_096)
def generation_id(user_id: str, post_id: UUID) -> UUID:
    """What identifies a post among all users', each of whom may have used the same `post_id`."""
    return uuid5(_NAMESPACE, f"generation:{len(user_id)}:{user_id}:{post_id}")


def refused_result(
    *, post_id: UUID, user_id: str, requested_at: datetime, detail: str, decided_at: datetime
) -> GenerationResult:
    """The result of a post that the quota did not allow: nothing was charged."""
    return GenerationResult(
        post_id=post_id,
        user_id=user_id,
        state="failed",
        reason="quota_exceeded",
        detail=detail,
        credits_charged=0,
        requested_at=requested_at,
        finished_at=decided_at,
    )
