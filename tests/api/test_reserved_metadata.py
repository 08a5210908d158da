"""`weir_site` is what the edge writes for sites: who could send it would not be billed."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from uuid import uuid4

import orjson
import pytest

from schemas.cloud_events import BATCH_MEDIA_TYPE, MEDIA_TYPE
from tests.api.log_of_topics import LogOfTopics
from tests.api.requests import EVENTS, JSON, Answer, ask
from tests.weir import Weir

pytestmark = pytest.mark.services

STRUCTURED = {"Content-Type": MEDIA_TYPE}
BATCH = {"Content-Type": BATCH_MEDIA_TYPE}
BINARY = {
    **JSON,
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/shop",
    "ce-type": "conversion",
    "ce-subject": "/reserved",
}
DETAIL = "weir_site is written by Weir for what the pages of a site send; leave it out"
MARKS = ('{"weir_site":"site_a"}', '{"plan":"team","weir_site":null}', r'{"weir\u005fsite":0}')
INNOCENT = ('{"a":{"weir_site":1}}', '{"a":"weir_site"}', r'{"caf\u00e9":"weir_site"}')


def plain(metadata: str) -> str:
    return f'{{"event_type":"conversion","path":"/reserved","user_id":"u","metadata":{metadata}}}'


def not_canonical(metadata: str) -> str:
    """One that the fast lane leaves to the slow one."""
    return plain(metadata)[:-1] + f',"event_id":"{str(uuid4()).upper()}"}}'


def cloud_event(metadata: str, *, encoded: bool = False) -> str:
    data = f'{{"user_id":"u","metadata":{metadata}}}'
    member = f'"data":{data}'
    if encoded:
        member = f'"data_base64":"{b64encode(data.encode()).decode()}"'
    return (
        f'{{"specversion":"1.0","id":"{uuid4()}","source":"/shop","type":"conversion",'
        f'"subject":"/reserved",{member}}}'
    )


def one(form: str, metadata: str) -> tuple[str, Mapping[str, str]]:
    """The body of one event, and its headers."""
    match form:
        case "plain":
            return plain(metadata), JSON
        case "not canonical":
            return not_canonical(metadata), JSON
        case "structured":
            return cloud_event(metadata), STRUCTURED
        case "base64":
            return cloud_event(metadata, encoded=True), STRUCTURED
        case _:
            return f'{{"user_id":"u","metadata":{metadata}}}', BINARY


async def send(weir: Weir, body: str, headers: Mapping[str, str]) -> Answer:
    return await ask(weir, "POST", EVENTS, body.encode(), headers)


@pytest.mark.parametrize("metadata", MARKS)
@pytest.mark.parametrize("form", ["plain", "not canonical", "structured", "base64", "binary"])
async def test_it_is_refused_in_every_form(
    edge: Weir, topics: LogOfTopics, form: str, metadata: str
) -> None:
    before = await topics.ends()
    answer = await send(edge, *one(form, metadata))
    field = "metadata" if form in {"plain", "not canonical"} else "data.metadata"
    assert answer.problem(422, field)["detail"] == DETAIL
    assert await topics.ends() == before


@pytest.mark.parametrize("metadata", MARKS)
@pytest.mark.parametrize(
    ("made", "headers", "field"),
    [
        (plain, JSON, "metadata"),
        (not_canonical, JSON, "metadata"),
        (cloud_event, BATCH, "data.metadata"),
    ],
)
async def test_in_an_array_the_others_are_taken(
    edge: Weir,
    topics: LogOfTopics,
    made: Callable[[str], str],
    headers: Mapping[str, str],
    field: str,
    metadata: str,
) -> None:
    before = await topics.ends()
    parts = [made(each) for each in ('{"n":1}', metadata, INNOCENT[0])]
    answer = await send(edge, f"[{','.join(parts)}]", headers)
    assert answer.status == 202
    assert (answer.json["accepted"], answer.json["rejected"]) == (2, 1)
    assert answer.json["items"][1]["error"] == {"field": field, "detail": DETAIL}
    found = [record.value for _, record in await topics.since(before)]
    assert len(found) == 2
    assert not [value for value in found if metadata.encode() in value]


@pytest.mark.parametrize("metadata", INNOCENT)
@pytest.mark.parametrize("form", ["plain", "not canonical", "structured", "base64", "binary"])
async def test_what_is_called_so_elsewhere_is_kept_to_the_byte(
    edge: Weir, topics: LogOfTopics, form: str, metadata: str
) -> None:
    before = await topics.ends()
    body, headers = one(form, metadata)
    if form == "plain":
        assert (await send(edge, f"[{body}]", headers)).status == 202
    assert (await send(edge, body, headers)).status == 202
    records = [record.value for _, record in await topics.since(before)]
    assert len(records) == 1 + (form == "plain")
    for value in records:
        assert metadata.encode() in value
        assert orjson.loads(value)
