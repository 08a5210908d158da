"""A small HTTP server that speaks the edge's contract and can be told to misbehave."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import UUID

import orjson

MAX_EVENTS = 1000
MAX_BODY_BYTES = 1024 * 1024
MAX_PATH_CHARACTERS = 2048

Event = dict[str, object]


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: object
    headers: dict[str, str] = field(default_factory=dict)


def unavailable(retry_after: str = "0") -> Answer:
    return Answer(
        503,
        {"type": "about:blank", "title": "Kafka is away", "status": 503, "detail": "try again"},
        {"Retry-After": retry_after},
    )


@dataclass
class Edge:
    """What was asked, in order, and the events that were answered with `accepted`."""

    requests: list[list[Event]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    accepted: list[Event] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def paths(self) -> list[object]:
        return [event["path"] for event in self.accepted]


def verdict(event: Event) -> dict[str, object] | None:
    """What is wrong with an event, as the edge says it."""
    path = event["path"]
    assert isinstance(path, str)
    if not 0 < len(path) <= MAX_PATH_CHARACTERS:
        return {"field": "path", "detail": "must have 1 to 2048 characters"}
    if "reject-me" in path:
        return {"field": "path", "detail": "is \x1b[31mnot liked"}
    return None


def checked(events: list[Event]) -> Answer:
    """The contract: 202 with a result for each event, 422 when none is good."""
    items: list[dict[str, object]] = []
    for index, event in enumerate(events):
        UUID(str(event["event_id"]))
        problem = verdict(event)
        if problem is None:
            items.append({"index": index, "status": "accepted", "event_id": event["event_id"]})
        else:
            items.append({"index": index, "status": "rejected", "error": problem})
    accepted = sum(item["status"] == "accepted" for item in items)
    counts = {"accepted": accepted, "rejected": len(items) - accepted, "items": items}
    if accepted:
        return Answer(202, counts)
    problem_document = {"type": "about:blank", "title": "Nothing usable", "status": 422}
    return Answer(422, {**problem_document, "detail": "every item is bad", **counts})


@contextmanager
def edge(
    misbehave: Callable[[int, list[Event]], Answer | None] = lambda _number, _events: None,
    port: int = 0,
) -> Iterator[Edge]:
    """Run the stub; port 0 is a free one. `misbehave(n, events)` may answer request n (from 0)."""
    state = Edge()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != "/analytics/events":
                self._answer(Answer(404, {"title": "Not Found", "detail": "no such page"}))
                return
            events: list[Event] = orjson.loads(body)
            with state.lock:
                number = len(state.requests)
                state.requests.append(events)
                state.authorizations.append(self.headers["Authorization"])
            answer = misbehave(number, events)
            if answer is None:
                if len(body) > MAX_BODY_BYTES or len(events) > MAX_EVENTS:
                    answer = Answer(413, {"title": "Too large"})
                else:
                    answer = checked(events)
                    with state.lock:
                        state.accepted += [event for event in events if verdict(event) is None]
            self._answer(answer)

        def _answer(self, answer: Answer) -> None:
            body = orjson.dumps(answer.body)
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
