"""What a social post is asked for, and what each platform takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, get_args
from unicodedata import category

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.explanations import Advice

MAX_PROMPT_CHARACTERS: Final = 10_000
MAX_VARIANTS: Final = 4

Platform = Literal["instagram", "x", "linkedin", "facebook", "tiktok", "pinterest"]
Tone = Literal["friendly", "professional", "playful", "inspiring", "witty", "informative"]


@dataclass(frozen=True, slots=True)
class PlatformLimits:
    """What a platform takes: characters of a caption, pixels of the picture that fits its feed.

    The picture's sizes are those that every image model of OpenAI's makes.
    """

    title: str
    caption_characters: int
    width: int
    height: int


PLATFORMS: Final[Mapping[Platform, PlatformLimits]] = {
    "instagram": PlatformLimits("Instagram", 2_200, 1024, 1024),
    "x": PlatformLimits("X", 280, 1536, 1024),
    "linkedin": PlatformLimits("LinkedIn", 3_000, 1536, 1024),
    "facebook": PlatformLimits("Facebook", 2_000, 1536, 1024),
    "tiktok": PlatformLimits("TikTok", 2_200, 1024, 1536),
    "pinterest": PlatformLimits("Pinterest", 500, 1024, 1536),
}

_SAY: Final = "must say what the post is about"
_A_TAG: Final = "must be a BCP 47 tag of a language, such as en, de or pt-BR"
_HOW_MANY: Final = f"must be a whole number from 1 to {MAX_VARIANTS}"
_LINE_BREAKS: Final = frozenset("\n\r\t")


def _readable(text: str) -> str:
    if not text.strip():
        raise ValueError(f"{_SAY}; it is blank")
    if any(category(each) == "Cc" and each not in _LINE_BREAKS for each in text):
        raise ValueError("must not hold control characters (line breaks and tabs may be)")
    return text


Prompt = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_PROMPT_CHARACTERS,
        description="What the post is about. Not blank, no control characters but line breaks.",
        examples=["Our new espresso blend is here"],
    ),
    AfterValidator(_readable),
    Advice(
        {
            "missing": f"is required: it {_SAY}",
            "string_type": f"must be a string: it {_SAY}",
            "string_too_short": f"{_SAY}; it is empty",
            "value_error": "{error}",
        }
    ),
]
Language = Annotated[
    str,
    Field(
        min_length=2,
        max_length=35,
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        description="Of the caption, as a BCP 47 tag.",
        examples=["en", "pt-BR"],
    ),
    Advice(
        dict.fromkeys(
            ("string_type", "string_too_short", "string_too_long", "string_pattern_mismatch"),
            _A_TAG,
        )
    ),
]
Variants = Annotated[
    int,
    Field(
        ge=1,
        le=MAX_VARIANTS,
        description="How many captions and pictures to choose from; each costs a credit.",
    ),
    Advice(
        dict.fromkeys(
            ("int_type", "int_parsing_size", "greater_than_equal", "less_than_equal"), _HOW_MANY
        )
    ),
]


class PostOptions(BaseModel):
    """What a post is to be."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    prompt: Prompt
    platform: Annotated[
        Platform, Field(description="Decides the caption's length and the picture's size.")
    ] = "instagram"
    tone: Tone = "friendly"
    language: Language = "en"
    variants: Variants = 1


TONES: Final[tuple[Tone, ...]] = get_args(Tone)
