"""A request's span, its trace in the log and in the answer to an error of ours."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import structlog
from fastapi import FastAPI
from fastapi.responses import Response
from opentelemetry.trace import StatusCode
from starlette.types import ASGIApp, Message

from api.problems import install_problems, unavailable
from api.server_errors import LINES_PER_SECOND, LoggedErrors, ServerErrorLog
from api.tracing import caller_of, traced
from deploy.logs import configure_logs
from schemas.tracing import using
from tests.recorder import Recorder

TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
SPAN: Final = "b7ad6b7169203331"
RECORDED: Final = f"00-{TRACE}-{SPAN}-01".encode()
NOT_RECORDED: Final = f"00-{TRACE}-{SPAN}-00".encode()

# Lines and documents are JSON of any shape; tests look into them.
Json = dict[str, Any]
Answered = tuple[int, Json]


async def asked(
    recorder: Recorder, path: str, *traceparents: bytes, method: str = "GET"
) -> Answered:
    with using(recorder.spans):
        return await ask(LoggedErrors(traced(an_app())), path, *traceparents, method=method)


def an_app() -> FastAPI:
    app = FastAPI()
    install_problems(app)

    @app.get("/things/{thing}")
    async def thing(thing: str) -> Response:
        if thing == "broken":
            raise RuntimeError(f"the secret of {thing}")
        if thing == "away":
            raise unavailable("the shelf is away")
        return Response(b"{}")

    return app


async def ask(app: ASGIApp, path: str, *traceparents: bytes, method: str = "GET") -> Answered:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"secret=1",
        "headers": [(b"traceparent", each) for each in traceparents],
        "client": ("192.0.2.7", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }
    await app(scope, receive, send)
    body = b"".join(each.get("body", b"") for each in sent)
    return sent[0]["status"], json.loads(body or b"{}")


@pytest.fixture
def logged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], list[Json]]]:
    """Lines as this process would write them; pytest keeps its own handlers."""
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    configure_logs()
    structlog.configure(cache_logger_on_first_use=False)
    yield lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    structlog.reset_defaults()


async def test_a_span_is_named_by_the_route_under_the_span_of_the_caller() -> None:
    recorder = Recorder(ratio=1)

    assert await asked(recorder, "/things/of-u-42", RECORDED) == (200, {})

    [span] = recorder.recorded
    assert span.name == "GET /things/{thing}"
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == SPAN
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/things/{thing}",
    }
    for secret in ("u-42", "192.0.2.7", "secret"):
        assert secret not in span.to_json()


async def test_what_no_route_answers_is_named_by_its_method_alone() -> None:
    recorder = Recorder(ratio=1)

    await asked(recorder, "/of-u-42")
    await asked(recorder, "/of-u-42", method="BREW")

    assert [each.name for each in recorder.recorded] == ["GET", "_OTHER"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_have_no_spans(path: str) -> None:
    recorder = Recorder(ratio=1)
    await asked(recorder, path)
    assert recorder.recorded == ()


async def test_a_caller_cannot_have_more_recorded_than_the_ratio_says() -> None:
    draws = iter([0.005, 0.5, 0.5, 0.5])
    recorder = Recorder(ratio=0.01, draw=lambda: next(draws))

    for _ in range(4):
        await asked(recorder, "/things/1", RECORDED)

    assert len(recorder.recorded) == 1


async def test_what_a_caller_does_not_record_is_not_recorded() -> None:
    recorder = Recorder(ratio=1)
    await asked(recorder, "/things/1", NOT_RECORDED)
    assert recorder.recorded == ()


@pytest.mark.parametrize("recorded", [True, False])
async def test_an_error_of_ours_has_one_line_and_an_answer_with_its_trace(
    logged: Callable[[], list[Json]], *, recorded: bool
) -> None:
    recorder = Recorder(ratio=1)

    status, problem = await asked(
        recorder, "/things/broken", RECORDED if recorded else NOT_RECORDED
    )

    assert (status, problem["trace_id"]) == (500, TRACE)
    [line] = logged()
    assert (line["event"], line["trace_id"]) == ("unexpected error", TRACE)
    for span in recorder.recorded:
        assert span.status.status_code is StatusCode.ERROR
        assert "the secret" not in span.to_json()
    assert len(recorder.recorded) == recorded


async def test_an_answer_that_something_is_away_has_a_line_with_its_trace(
    logged: Callable[[], list[Json]],
) -> None:
    status, problem = await asked(Recorder(ratio=1), "/things/away", RECORDED)

    assert status == 503
    assert "trace_id" not in problem
    [line] = logged()
    assert line["event"] == "answered with an error"
    assert line["status"] == 503
    assert line["detail"] == "the shelf is away"
    assert line["trace_id"] == TRACE
    assert len(line["span_id"]) == 16


async def test_without_traces_neither_answers_nor_lines_have_ids(
    logged: Callable[[], list[Json]],
) -> None:
    app = LoggedErrors(traced(an_app()))

    status, problem = await ask(app, "/things/broken", RECORDED)

    assert status == 500
    assert "trace_id" not in problem
    [line] = logged()
    assert not line.keys() & {"trace_id", "span_id"}


STANDARD: Final = """
import logging
from deploy.logs import configure_logs
from tests.api.test_tracing import RECORDED
from tests.recorder import Recorder
from api.tracing import caller_of
from schemas.tracing import using

configure_logs()
spans = Recorder(1).spans
parent = caller_of([(b"traceparent", RECORDED)])
with using(spans), spans.entry("work", "consumer", parent, None):
    logging.getLogger("uvicorn.error").error("it broke")
"""


def test_lines_of_the_standard_logging_have_the_trace_too() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", STANDARD], capture_output=True, text=True, check=True
    )
    line = json.loads(ended.stderr)
    assert (line["event"], line["trace_id"]) == ("it broke", TRACE)


async def test_an_error_that_nobody_logged_goes_on_to_the_server() -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("in mid-answer")

    with pytest.raises(RuntimeError, match="in mid-answer"):
        await ask(LoggedErrors(broken), "/")


def test_a_flood_of_errors_is_counted_not_logged_one_by_one(
    logged: Callable[[], list[Json]],
) -> None:
    now = 100.0
    errors = ServerErrorLog(lambda: now)
    for _ in range(LINES_PER_SECOND + 7):
        errors.note(503, "away")
    now = 101.0
    errors.note(503, "away")

    lines = logged()
    assert len(lines) == LINES_PER_SECOND + 1
    assert lines[-1]["left_out"] == 7


def test_two_traceparents_are_none() -> None:
    given = [(b"traceparent", RECORDED), (b"traceparent", RECORDED)]
    assert caller_of(given[:1]) is not None
    assert caller_of(given) is None
