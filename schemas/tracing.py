"""Traces: how a process begins to record them, and the spans of what it does.

Without OTEL_EXPORTER_OTLP_ENDPOINT all of this is off: each call looks at one variable, and
nothing of OpenTelemetry is even imported.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from schemas.settings import Settings
from schemas.trace_context import Header, TraceParent, extracted, injected

if TYPE_CHECKING:
    from schemas.spans import Spans

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Attributes = Mapping[str, str | int]
MessageHeaders = Sequence[tuple[str, bytes | None]]

_NOTHING: Final = nullcontext()


def _http_address(url: str) -> str:
    parts = urlsplit(url)
    fits = parts.scheme in {"http", "https"} and parts.hostname
    if url and (not fits or parts.username or parts.query or parts.fragment):
        raise ValueError("must look like http://collector:4318 (OTLP over HTTP, no user, no query)")
    return url.rstrip("/")


class TracingSettings(Settings):
    """OpenTelemetry's own names, as far as they are used."""

    traces_endpoint: Annotated[
        str,
        Field(
            alias="OTEL_EXPORTER_OTLP_ENDPOINT",
            description="Where a collector takes OTLP over HTTP; empty: there are no traces.",
        ),
        AfterValidator(_http_address),
    ] = ""
    traces_headers: Annotated[
        SecretStr,
        Field(
            alias="OTEL_EXPORTER_OTLP_HEADERS",
            description="Sent to the collector with each request: name=value,name=value.",
        ),
    ] = SecretStr("")
    traces_ratio: Annotated[
        float,
        Field(
            alias="OTEL_TRACES_SAMPLER_ARG",
            ge=0,
            le=1,
            description="Which part of all traces is recorded.",
        ),
    ] = 1.0


class _Process:
    """Of this process: None as long as nothing is traced."""

    spans: "Spans | None" = None


@contextmanager
def tracing(settings: TracingSettings, service: str) -> Iterator[None]:
    """Records this process's spans within the block; `service` is its name in traces.

    At the end what is not exported yet gets a second.
    """
    if not settings.traces_endpoint:
        yield
        return
    from schemas.span_export import exported_spans

    with exported_spans(settings, service) as spans, using(spans):
        yield


@contextmanager
def using(spans: "Spans") -> Iterator[None]:
    """Records spans this way within the block."""
    before, _Process.spans = _Process.spans, spans
    try:
        yield
    finally:
        _Process.spans = before


def running_spans() -> "Spans | None":
    """How this process records spans; None: not at all."""
    return _Process.spans


def span(
    name: str, kind: Kind = "internal", attributes: Attributes | None = None
) -> AbstractContextManager[object]:
    """A span under the running one; nothing where none is recorded."""
    spans = _Process.spans
    if spans is None or not spans.is_recording():
        return _NOTHING
    return spans.child(name, kind, attributes)


def consumed(
    name: str,
    headers: MessageHeaders,
    attributes: Attributes | None = None,
    *,
    begins: bool = True,
) -> AbstractContextManager[object]:
    """The span of a message's work, under the span that its headers name.

    `begins`: a message that names none begins a trace, recorded as often as the ratio says.
    """
    spans = _Process.spans
    if spans is None:
        return _NOTHING
    parent = extracted(headers)
    if parent is None and not begins:
        return _NOTHING
    return spans.entry(name, "consumer", parent, attributes)


def current() -> TraceParent | None:
    """The running span as those that come of it see it; None outside of any."""
    spans = _Process.spans
    return None if spans is None else spans.current()


def carried() -> list[Header]:
    """The headers by which a message carries the running trace on; none outside of any."""
    parent = current()
    return [] if parent is None else injected(parent)


def trace_id() -> str | None:
    """The running trace's id as 32 hexadecimal digits; None outside of any."""
    parent = current()
    return None if parent is None else f"{parent.trace_id:032x}"


def stored(
    name: str, messages: Iterable[MessageHeaders], attributes: Attributes, *, most: int
) -> AbstractContextManager[object]:
    """The spans of what is done for many messages at once, given by their headers.

    One of its own with links to the first `most` messages of recorded traces, and one in the trace
    of each of those; nothing where there is no such message.
    """
    spans = _Process.spans
    if spans is None:
        return _NOTHING
    parents: list[TraceParent] = []
    for headers in messages:
        if headers and (parent := extracted(headers)) is not None and parent.recorded:
            parents.append(parent)
            if len(parents) == most:
                break
    return spans.stored(name, parents, attributes) if parents else _NOTHING
