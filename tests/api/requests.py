"""Sends requests to a Weir's API just as they are written; gives back all of the answer."""

from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import orjson
from multidict import CIMultiDictProxy
from yarl import URL

from tests.weir import Json, Weir

EVENTS = "/analytics/events"
SUMMARY = "/analytics/summary"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Json:
        return orjson.loads(self.body)

    def problem(self, status: int, field: str | None = None, *, at_most: int = 2_000) -> Json:
        """The problem document, which it must be: with this status, naming this field."""
        assert self.status == status, self.body[:500]
        assert self.headers["Content-Type"] == "application/problem+json"
        assert len(self.body) < at_most, "an echo of what was sent"
        document = self.json
        assert document["status"] == status
        assert document["title"]
        assert document["detail"]
        assert "Traceback" not in document["detail"]
        if field is not None:
            [error] = document["errors"]
            assert error["field"] == field, error
            assert error["detail"] == document["detail"]
        return document


async def ask(
    weir: Weir,
    method: str,
    target: str,
    body: bytes | AsyncIterable[bytes] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """The answer to a request; the target is sent as it is, nothing encoded or followed."""
    url = URL(weir.url + target, encoded=True)
    async with weir.session.request(
        method, url, data=body, headers=headers, allow_redirects=False
    ) as answer:
        return Answer(answer.status, answer.headers, await answer.read())


async def post(weir: Weir, document: Json) -> Answer:
    """The answer to events; bytes are sent as they are."""
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    return await ask(weir, "POST", EVENTS, body, JSON)


async def get(weir: Weir, endpoint: str, **parameters: str | int) -> Answer:
    """The answer to a question; `from_` is sent as `from`."""
    named = {name.rstrip("_"): value for name, value in parameters.items()}
    return await ask(weir, "GET", f"{endpoint}?{urlencode(named)}")


async def items(weir: Weir, **parameters: str | int) -> list[Json]:
    """The events of one page."""
    answer = await get(weir, EVENTS, **parameters)
    assert answer.status == 200, answer.body[:500]
    return list(answer.json["items"])


async def listed(weir: Weir, count: int, **parameters: str | int) -> bool:
    """Whether the list holds at least so many events."""
    return len(await items(weir, **parameters)) >= count
