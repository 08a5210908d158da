"""W3C trace context in headers of HTTP and Kafka: which request or message this one came of.

https://www.w3.org/TR/trace-context/: `traceparent` names a trace, the span before, and whether it
is recorded; `tracestate` is what others said about it, which is passed on and never read.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
TRACE_HEADERS: Final = frozenset({TRACEPARENT, TRACESTATE})

Header = tuple[str, bytes]

MAX_TRACESTATE: Final = 512
"""Bytes that everybody has to pass on; of a longer one nothing is kept."""

_MAX_TRACEPARENT: Final = 256
# A later version may have more parts behind these.
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_TRACESTATE: Final = re.compile(rb"[\x20-\x7e]*")
_FIRST_VERSION: Final = b"00"
_RECORDED: Final = 1


class TraceParent(NamedTuple):
    """The span before: trace (128 bits), span (64 bits), whether the trace is recorded."""

    trace_id: int
    span_id: int
    recorded: bool
    state: str = ""


def extracted(headers: Iterable[tuple[str, bytes | None]]) -> TraceParent | None:
    """What the headers of a message say; None: nothing, or nothing that can be used.

    Anybody may have written them, so nothing in them is an error.
    """
    parent: bytes | None = None
    state: bytes | None = None
    for name, value in headers:
        if name == TRACEPARENT:
            if parent is not None:
                return None
            parent = value or b""
        elif name == TRACESTATE:
            # One that is given twice is one list, which need not be put together.
            state = b"" if state is not None else value
    return None if parent is None else parsed(parent, state or b"")


def parsed(parent: bytes, state: bytes = b"") -> TraceParent | None:
    """The two headers' values; None for a `traceparent` that is none."""
    if len(parent) > _MAX_TRACEPARENT:
        return None
    found = _TRACEPARENT.fullmatch(parent)
    if found is None or (found[1] == _FIRST_VERSION and found[5]):
        return None
    kept = len(state) <= MAX_TRACESTATE and _TRACESTATE.fullmatch(state) is not None
    return TraceParent(
        int(found[2], 16),
        int(found[3], 16),
        bool(int(found[4], 16) & _RECORDED),
        state.decode() if kept else "",
    )


def injected(parent: TraceParent) -> list[Header]:
    """The headers of what comes of this span."""
    said = f"00-{parent.trace_id:032x}-{parent.span_id:016x}-{parent.recorded:02x}"
    headers = [(TRACEPARENT, said.encode())]
    if parent.state:
        headers.append((TRACESTATE, parent.state.encode()))
    return headers
