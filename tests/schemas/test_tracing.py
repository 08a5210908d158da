"""Trace context goes into headers and comes out of them; whatever else is there is no error."""

import subprocess
import sys
from time import monotonic, process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from deploy.local.ports import free_port
from schemas.settings import InvalidSettings, read_settings
from schemas.trace_context import MAX_TRACESTATE, TraceParent, extracted, injected, parsed
from schemas.tracing import (
    TracingSettings,
    carried,
    consumed,
    current,
    span,
    stored,
    trace_id,
    tracing,
    using,
)
from tests.recorder import Recorder

PARENT = TraceParent(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, recorded=True)
TEXT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_what_goes_in_comes_out() -> None:
    assert injected(PARENT) == [("traceparent", TEXT)]
    assert extracted([("weir-request-id", b"1"), *injected(PARENT)]) == PARENT
    with_state = PARENT._replace(state="vendor=1,other=a b", recorded=False)
    assert extracted(injected(with_state)) == with_state


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"00",
        TEXT[:-1],
        TEXT + b"0",
        TEXT + b"-more",
        TEXT.upper(),
        b"ff" + TEXT[2:],
        b"00-" + b"0" * 32 + TEXT[35:],
        TEXT[:36] + b"0" * 16 + b"-01",
        TEXT.replace(b"-", b"_"),
        b"\xff" * 55,
        b"01" + TEXT[2:] + b"-" + b"x" * 300,
        b"x" * 1_000_000,
    ],
    ids=range(13),
)
def test_what_is_no_traceparent_is_nothing(header: bytes) -> None:
    assert extracted([("traceparent", header)]) is None


def test_a_later_version_may_have_more() -> None:
    assert parsed(b"01" + TEXT[2:] + b"-more") == PARENT


def test_two_parents_are_none() -> None:
    assert extracted(injected(PARENT) * 2) is None


@pytest.mark.parametrize("value", [None, b"\xff\xfe=1", b"a=" + b"b" * MAX_TRACESTATE, b"a=\n1"])
def test_a_tracestate_that_nobody_has_to_pass_on_is_left_out(value: bytes | None) -> None:
    assert extracted([("traceparent", TEXT), ("tracestate", value)]) == PARENT


@given(st.lists(st.tuples(st.text(max_size=12), st.none() | st.binary(max_size=80))))
def test_no_headers_are_an_error(headers: list[tuple[str, bytes | None]]) -> None:
    assert extracted(headers) is None or any(name == "traceparent" for name, _ in headers)


@given(st.from_regex(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True))
def test_we_read_what_the_official_package_reads(header: bytes) -> None:
    from opentelemetry.trace import get_current_span

    carrier = {"traceparent": header.decode()}
    theirs = get_current_span(TraceContextTextMapPropagator().extract(carrier)).get_span_context()
    ours = parsed(header)
    assert theirs.is_valid == (ours is not None)
    if ours is not None:
        assert ours == (theirs.trace_id, theirs.span_id, theirs.trace_flags.sampled, "")


def test_spans_of_messages_carry_on_what_their_headers_say() -> None:
    recorder = Recorder(ratio=0)
    with using(recorder.spans), consumed("work", injected(PARENT)):
        inner = current()
        assert inner is not None
        assert extracted(carried()) == inner
        assert trace_id() == "0af7651916cd43dd8448eb211c80319c"
        with span("step", "client"):
            pass
    step, work = recorder.recorded
    assert (work.name, step.name) == ("work", "step")
    assert work.context is not None
    assert work.context.trace_id == PARENT.trace_id
    assert work.context.span_id == inner.span_id


def test_what_is_not_recorded_is_carried_on_as_such() -> None:
    recorder = Recorder(ratio=1)
    with using(recorder.spans), consumed("work", injected(PARENT._replace(recorded=False))):
        with span("step"):
            pass
        inner = extracted(carried())
    assert recorder.recorded == ()
    assert inner is not None
    assert (inner.trace_id, inner.recorded) == (PARENT.trace_id, False)


@pytest.mark.parametrize(("ratio", "recorded"), [(0.0, 0), (1.0, 1)])
def test_a_message_of_no_trace_begins_one_as_often_as_the_ratio_says(
    ratio: float, recorded: int
) -> None:
    recorder = Recorder(ratio=ratio)
    with using(recorder.spans), consumed("work", ()):
        assert trace_id() is not None
    assert len(recorder.recorded) == recorded


def test_a_message_of_no_trace_begins_none_where_all_are_looked_at() -> None:
    recorder = Recorder(ratio=1)
    with using(recorder.spans), consumed("work", (), begins=False):
        assert current() is None
    assert recorder.recorded == ()


def test_an_error_is_told_by_its_kind_alone() -> None:
    recorder = Recorder(ratio=1)
    with (
        using(recorder.spans),
        pytest.raises(ValueError, match="u-42"),
        consumed("work", injected(PARENT)),
    ):
        raise ValueError("u-42 said something")
    [work] = recorder.recorded
    assert dict(work.attributes or {}) == {"error.type": "ValueError"}
    assert not work.status.is_ok
    assert "u-42" not in work.to_json()


def test_a_span_that_has_ended_has_no_more_children() -> None:
    recorder = Recorder(ratio=1)
    with using(recorder.spans):
        running = recorder.spans.entry("work", "consumer", PARENT, None)
        with running:
            running.span.end()
            with span("later"):
                pass
    assert [each.name for each in recorder.recorded] == ["work"]


def test_what_is_stored_at_once_has_a_span_in_each_trace_and_one_of_its_own() -> None:
    recorder = Recorder(ratio=0)
    parents = [PARENT._replace(trace_id=number) for number in range(1, 6)]
    messages = [
        (),
        injected(PARENT._replace(recorded=False)),
        *(injected(each) for each in parents),
        [("traceparent", b"nonsense")],
    ]
    with using(recorder.spans), stored("INSERT events", messages, {}, most=3):
        pass
    whole, *parts = recorder.recorded
    assert [each.context and each.context.trace_id for each in parts] == [1, 2, 3]
    assert [each.context.trace_id for each in whole.links] == [1, 2, 3]
    for each in parts:
        assert [link.context for link in each.links] == [whole.context]


OFF = """
import sys
from schemas import tracing
with tracing.tracing(tracing.TracingSettings(), "weir-test"):
    assert tracing.carried() == [] and tracing.trace_id() is None
    with tracing.consumed("work", [("traceparent", b"x")]), tracing.span("step"):
        pass
import api.publishing, streams.sink.lane, streams.social.generator, streams.writer
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported() -> None:
    ended = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


@pytest.mark.services
def test_a_collector_that_is_away_holds_nothing_up(capsys: pytest.CaptureFixture[str]) -> None:
    settings = TracingSettings(traces_endpoint=f"http://127.0.0.1:{free_port()}")
    with tracing(settings, "weir-test"):
        began = process_time()
        for _ in range(2_000):
            with consumed("work", ()):
                pass
        assert process_time() - began < 2
        ended = monotonic()
    # A second is what it may take; the SDK by itself would take 30.
    assert monotonic() - ended < 5
    assert capsys.readouterr().out.count("traces cannot be sent") <= 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:secret@collector:4318"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "often"),
    ],
)
def test_settings_that_cannot_be_used_are_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=name) as refused:
        read_settings(TracingSettings)
    assert "secret" not in str(refused.value)
