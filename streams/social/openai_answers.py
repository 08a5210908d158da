"""Reads what OpenAI answers, whatever its shape: what was used, a caption, a picture."""

import contextlib
import struct
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Protocol, TypeVar, overload

import openai
from openai.types import ImagesResponse
from openai.types.responses import ParsedResponse, ResponseOutputItem
from pydantic import BaseModel, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from schemas.prices import Tokens
from streams.social.provider import Made, ProviderFailure

REFUSED: Final = (
    "OpenAI refused to make this post: the prompt is against its rules. Change the prompt and ask "
    "again."
)
MAX_SIDE: Final = 1 << 16

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_Kind = TypeVar("_Kind")


class RawAnswer(Protocol):
    """What the package makes of any answer that is no error.

    `parse` makes a type of the package's of the body, read as `to`, else as the call says.
    """

    @property
    def content(self) -> bytes:
        """The body, as it came."""

    @overload
    def parse(self, *, to: type[_Kind]) -> _Kind: ...
    @overload
    def parse(self) -> object: ...


class _Output(openai.BaseModel):
    """All that is read of an answer with a caption: the rest takes as long as this again."""

    output: list[ResponseOutputItem]


class Unusable(Exception):
    """An answer came, and cannot be used."""


class Caption(BaseModel):
    """What the model is to answer with."""

    # Of no least length: models that were tuned take no schema that says one.
    caption: Annotated[str, Field(description="The caption, ready to be posted.")]


@dataclass(frozen=True, slots=True)
class Used:
    """What an answered call used. `tokens` is None when the answer does not say."""

    tokens: Tokens | None
    images: int


# More than any context holds; what so many cost still fits where costs are stored.
_Count = Annotated[int, Field(ge=0, lt=1 << 32)]


class _Details(BaseModel):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    image_tokens: _Count | None = None


class _Usage(BaseModel):
    input_tokens: _Count
    output_tokens: _Count
    input_tokens_details: _Details | None = None


class _Image(BaseModel):
    """One of the pictures, of which only their number is read here."""


class _Incomplete(BaseModel):
    reason: str | None = None


def _if_readable(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        return None


_IF_READABLE: Final = WrapValidator(_if_readable)


class _Body(BaseModel):
    """What is read before the package reads the answer, which it may fail to do."""

    usage: Annotated[_Usage | None, _IF_READABLE] = None
    data: Annotated[list[_Image] | None, _IF_READABLE] = None
    incomplete_details: Annotated[_Incomplete | None, _IF_READABLE] = None


def used_by(body: bytes) -> Used:
    """What the call used that this is the body of the answer to; it may be anything."""
    read = _body(body)
    usage = read.usage
    tokens = None
    if usage is not None:
        details = usage.input_tokens_details or _Details()
        tokens = Tokens(
            usage.input_tokens,
            usage.output_tokens,
            cached_input=details.cached_tokens or 0,
            cache_write=details.cache_write_tokens or 0,
            image_input=details.image_tokens or 0,
        )
    return Used(tokens, len(read.data or ()))


def caption_of(answer: RawAnswer) -> str:
    """The caption. Raises Unusable, or ProviderFailure when OpenAI refuses to write one."""
    incomplete = _body(answer.content).incomplete_details
    if incomplete is not None and incomplete.reason == "content_filter":
        raise ProviderFailure("content_refused", REFUSED)
    with _reading():
        response = _of(ParsedResponse, answer.parse(to=_Output))
        parsed = response.output_parsed
        if parsed is not None and parsed.caption.strip():
            return str(parsed.caption)
        refused = any(
            part.type == "refusal"
            for item in response.output
            if item.type == "message"
            for part in item.content
        )
    if refused:
        raise ProviderFailure("content_refused", REFUSED)
    raise Unusable("there is no caption in it")


def picture_of(answer: RawAnswer) -> Made:
    """The first picture. Raises Unusable."""
    with _reading():
        images = _of(ImagesResponse, answer.parse()).data
        content = b64decode((images[0].b64_json if images else None) or "", validate=True)
    if not content.startswith(_PNG) or len(content) < 24:
        raise Unusable("the picture is no PNG")
    width, height = struct.unpack(">II", content[16:24])
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise Unusable("the picture has no size that a picture has")
    return Made(content, width, height)


def _body(body: bytes) -> _Body:
    try:
        return _Body.model_validate_json(body)
    except ValidationError:
        return _Body()


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Raises Unusable for an answer that is not what OpenAI documents.

    The package builds its types from an answer without checking it: of a wrong shape, it fails
    within the package or where a member is looked at, in one of these ways.
    """
    try:
        yield
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        # Not from the error: its text may hold what the user wrote.
        raise Unusable("it is not of the shape that OpenAI documents") from None


def _of(kind: type[_Kind], answer: object) -> _Kind:
    # The text of what is not JSON, and None for null, come as if they were of the type.
    if not isinstance(answer, kind):
        raise Unusable("it is no JSON object")
    return answer
