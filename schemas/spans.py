"""Spans as OpenTelemetry has them; imported by a process that records them, and by no other."""

import random
from collections.abc import Callable, Sequence
from contextvars import Token
from types import TracebackType
from typing import Final

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    get_current_span,
    set_span_in_context,
)

from schemas.trace_context import TraceParent
from schemas.tracing import Attributes, Kind

_KINDS: Final[dict[Kind, SpanKind]] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_RECORDED: Final = TraceFlags(TraceFlags.SAMPLED)
_NOT_RECORDED: Final = TraceFlags(TraceFlags.DEFAULT)


class Running:
    """A span as a block: it is the current one inside, and ends with it.

    Of an error only its kind is told: what it says may quote somebody's data.
    """

    __slots__ = ("_token", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self._token: Token[Context] | None = None

    def __enter__(self) -> Span:
        self._token = attach(set_span_in_context(self.span))
        return self.span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is not None:
            detach(self._token)
        if kind is not None and self.span.is_recording():
            self.span.set_attribute("error.type", kind.__qualname__)
            if issubclass(kind, Exception):
                self.span.set_status(Status(StatusCode.ERROR))
        self.span.end()


class Spans:
    """Begins spans. Whether a trace is recorded is decided where it enters Weir, and once."""

    def __init__(
        self, tracer: Tracer, ratio: float, draw: Callable[[], float] = random.random
    ) -> None:
        """`tracer` records all that it is asked for."""
        self._tracer = tracer
        self._ratio = ratio
        self._draw = draw

    def is_recording(self) -> bool:
        """Whether the current span is recorded, and has not ended."""
        return get_current_span().is_recording()

    def current(self) -> TraceParent | None:
        """The current span as those that come of it see it; None: there is none."""
        context = get_current_span().get_span_context()
        if not context.is_valid:
            return None
        return TraceParent(
            context.trace_id,
            context.span_id,
            context.trace_flags.sampled,
            context.trace_state.to_header() if len(context.trace_state) else "",
        )

    def child(self, name: str, kind: Kind, attributes: Attributes | None) -> Running:
        """A span under the current one."""
        return Running(self._tracer.start_span(name, kind=_KINDS[kind], attributes=attributes))

    def entry(
        self,
        name: str,
        kind: Kind,
        parent: TraceParent | None,
        attributes: Attributes | None,
        *,
        trusted: bool = True,
    ) -> Running:
        """The first span of a request or a message, under the one it came of.

        `trusted`: who names a recorded trace gets it recorded. Others take part in the draw, so
        that nobody outside decides how much is recorded; that a trace is not, anybody may say.
        """
        if parent is None:
            recorded = self._draw() < self._ratio
        else:
            recorded = parent.recorded and (trusted or self._draw() < self._ratio)
        if recorded:
            span = self._tracer.start_span(
                name,
                context=Context() if parent is None else _context_of(parent),
                kind=_KINDS[kind],
                attributes=attributes,
            )
        else:
            # Not through the SDK, which takes ten times as long to decide the same.
            span = _unrecorded(parent)
        return Running(span)

    def stored(self, name: str, parents: Sequence[TraceParent], attributes: Attributes) -> "Stored":
        """The spans of what is done for several messages at once: see Stored."""
        return Stored(self._tracer, name, parents, attributes)


class Stored:
    """A span with links to all messages, and one in the trace of each that links back."""

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        parents: Sequence[TraceParent],
        attributes: Attributes,
    ) -> None:
        links = [Link(_span_context(each)) for each in parents]
        self._whole = Running(
            tracer.start_span(
                name, context=Context(), kind=SpanKind.CLIENT, attributes=attributes, links=links
            )
        )
        back = [Link(self._whole.span.get_span_context())]
        self._parts = [
            Running(
                tracer.start_span(
                    name,
                    context=_context_of(each),
                    kind=SpanKind.CONSUMER,
                    attributes=attributes,
                    links=back,
                )
            )
            for each in parents
        ]

    def __enter__(self) -> None:
        self._whole.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for each in (self._whole, *self._parts):
            each.__exit__(kind, error, traceback)


def _span_context(parent: TraceParent) -> SpanContext:
    return SpanContext(
        parent.trace_id,
        parent.span_id,
        is_remote=True,
        trace_flags=_RECORDED if parent.recorded else _NOT_RECORDED,
        trace_state=TraceState.from_header([parent.state]) if parent.state else None,
    )


def _context_of(parent: TraceParent) -> Context:
    return set_span_in_context(NonRecordingSpan(_span_context(parent)), Context())


def _unrecorded(parent: TraceParent | None) -> Span:
    """A span that only has a name, by which what is logged under it is found."""
    trace_id = parent.trace_id if parent is not None else random.getrandbits(128)
    state = parent.state if parent is not None else ""
    return NonRecordingSpan(
        SpanContext(
            trace_id or 1,
            random.getrandbits(64) or 1,
            is_remote=False,
            trace_flags=_NOT_RECORDED,
            trace_state=TraceState.from_header([state]) if state else None,
        )
    )
