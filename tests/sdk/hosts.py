"""Small hosts, requests without a server, and a transport that keeps what it is given."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from weir_sdk import AnalyticsMiddleware, Message, Outcome, WeirClient
from weir_sdk.asgi import AsgiApplication, AsgiMessage, Receive, Scope, Send

# Events are JSON of any shape and options of any kind; tests look into them.
Json = Any
Option = Any


@dataclass
class Kept:
    """A transport that confirms, after doing what `answers` says first: an error to raise."""

    batches: list[list[Message]] = field(default_factory=list)
    answers: list[Exception | Outcome] = field(default_factory=list)
    stopped: int = 0

    async def start(self) -> None: ...

    async def send(self, batch: Sequence[Message]) -> Outcome:
        self.batches.append(list(batch))
        answer = self.answers.pop(0) if self.answers else Outcome()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stop(self) -> None:
        self.stopped += 1

    @property
    def events(self) -> list[Json]:
        return [orjson.loads(message.body) for batch in self.batches for message in batch]


def quiet_client(transport: Kept, **options: Option) -> WeirClient:
    """A client that delivers nothing before it is closed."""
    return WeirClient(
        transport=transport, **{"flush_interval": 3600, "give_up_after": 1, **options}
    )


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def http_scope(path: str = "/", **changes: Option) -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": b"/",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"shop.example.com"), (b"user-agent", b"Firefox")],
        "client": ("203.0.113.9", 50_000),
        "server": ("shop.example.com", 443),
        "scheme": "https",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
        **changes,
    }


async def receive_nothing() -> AsgiMessage:
    """A client that has sent all, and stays."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


@dataclass
class Answers:
    """The server's side: what the application said."""

    messages: list[AsgiMessage] = field(default_factory=list)

    async def __call__(self, message: AsgiMessage) -> None:
        self.messages.append(message)


async def ask(app: AsgiApplication, scope: Scope) -> list[AsgiMessage]:
    answers = Answers()
    request: list[AsgiMessage] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> AsgiMessage:
        return request.pop() if request else await receive_nothing()

    await app(scope, receive, answers)
    return answers.messages


async def recorded(
    scopes: Sequence[Scope], app: AsgiApplication = hello, **options: Option
) -> list[Json]:
    """What the middleware with these options makes of the requests."""
    kept = Kept()
    client = quiet_client(kept)
    middleware = AnalyticsMiddleware(app, client=client, **options)
    for scope in scopes:
        await ask(middleware, scope)
    await client.close()
    return kept.events
