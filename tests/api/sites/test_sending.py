"""What pages of a website send: how it is named and stored, and what nobody learns of visitors."""

import ast
import re
from copy import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import orjson
import pytest
import pytest_asyncio

from api.sites.visits import stored_id
from deploy.local.ports import free_port
from schemas.sites import Site
from tests.api.log_of_topics import LogOfTopics
from tests.api.requests import Answer, ask, post
from tests.api.sites.pages import FIREFOX, SHOP, created, send, view
from tests.weir import Json, Weir

pytestmark = pytest.mark.services

ALICE = "203.0.113.77"
BOB = "198.51.100.23"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(guarded: Weir) -> Site:
    return await created(guarded, SHOP, "https://www.shop.example")


async def published(weir: Weir, topics: LogOfTopics, site: Site, *requests: Json) -> list[Json]:
    """Sends each as `send` takes it, and gives back the events on Kafka with topic and key."""
    before = await topics.ends()
    for document, headers in requests:
        answer = await send(weir, site, document, headers)
        assert answer.status == 202, answer.body
    found = {}
    for topic, record in await topics.since(before):
        event = orjson.loads(record.value)
        found[event["event_id"]] = {**event, "topic": topic, "key": record.key.decode()}
    return sorted(found.values(), key=lambda event: str(event["path"]))


async def test_a_page_view_is_the_sites_and_says_what_the_browser_is(
    guarded: Weir, topics: LogOfTopics, shop: Site
) -> None:
    event_id = str(uuid4())
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    sent = view(
        "/pricing",
        event_id=event_id,
        occurred_at=at,
        metadata={"referrer": "https://search.example/find?q=private", "n": 1.10},
    )
    [event] = await published(guarded, topics, shop, ([sent], {}))
    assert len(event.pop("visitor_id")) == 32
    assert event == {
        "topic": "page-views",
        "key": stored_id(shop.site_id, event_id),
        "event_type": "page_view",
        "path": "/pricing",
        "event_id": stored_id(shop.site_id, event_id),
        "occurred_at": at,
        "source": "shop",
        "metadata": {
            "n": 1.1,
            "weir_site": shop.site_id,
            "user_agent": FIREFOX,
            "host": "shop.example",
            "referrer": "https://search.example/find",
        },
    }


async def test_it_is_stored_under_the_dimensions_and_the_address_nowhere(
    guarded: Weir, shop: Site
) -> None:
    path = f"/stored/{uuid4()}"
    sent = view(path, metadata={"referrer": "https://www.search.example/find"})
    answer = await send(guarded, shop, [sent], {"X-Forwarded-For": ALICE})
    assert answer.status == 202

    def rows() -> list[Json]:
        return guarded.query("SELECT * FROM events WHERE path = {path:String}", path=path)

    async def stored() -> bool:
        return bool(rows())

    await guarded.eventually(stored)
    [row] = rows()
    [named] = guarded.query(
        "SELECT source, device, browser, os, referrer, bot FROM events WHERE path = {path:String}",
        path=path,
    )
    assert named == ("shop", "desktop", "Firefox", "Linux", "search.example", 0)
    assert ALICE not in str(row)
    assert not [file for file in guarded.folder.glob("*.log") if ALICE in file.read_text()]


async def test_a_conversion_keeps_its_user_and_is_keyed_by_them(
    guarded: Weir, topics: LogOfTopics, shop: Site
) -> None:
    sent = {"event_type": "conversion", "path": "/signup", "user_id": "u-42"}
    [event] = await published(guarded, topics, shop, (sent, {}))
    assert (event["topic"], event["key"], event["user_id"]) == ("conversions", "u-42", "u-42")
    assert event["source"] == "shop"
    [event] = await published(guarded, topics, shop, (view("/x") | {"event_type": "play"}, {}))
    assert event["topic"] == "custom-events"


async def test_one_event_and_an_array_are_answered_as_ingest_does(
    guarded: Weir, shop: Site
) -> None:
    event_id = str(uuid4())
    one = await send(guarded, shop, view("/one", event_id=event_id))
    assert (one.status, one.json) == (202, {"event_id": event_id})
    several = await send(guarded, shop, [view("/a"), view(""), view("/b")])
    assert several.status == 202
    assert (several.json["accepted"], several.json["rejected"]) == (2, 1)
    assert several.json["items"][1]["error"]["field"] == "path"


async def test_the_same_id_counts_once(guarded: Weir, shop: Site) -> None:
    path = f"/twice/{uuid4()}"
    sent = [view(path, event_id=str(uuid4()))]
    for _ in range(2):
        assert (await send(guarded, shop, sent)).status == 202
    last = f"{path}/last"
    assert (await send(guarded, shop, [view(last)])).status == 202

    def count(of: str) -> int:
        [(number,)] = guarded.query("SELECT count() FROM events WHERE path = {p:String}", p=of)
        return int(number)

    async def stored() -> bool:
        return count(last) == 1 and count(path) >= 1

    await guarded.eventually(stored)
    assert count(path) == 1


async def test_an_event_of_a_server_with_an_id_that_a_page_has_sent_counts_too(
    edge: Weir, guarded: Weir, shop: Site
) -> None:
    """Of two with one id in a partition the first counts: it must not be the page's."""
    paths = [f"/{who}/{uuid4()}" for who in ("page", "server", "last")]
    event_id = str(uuid4())
    event = {"event_type": "api.call", "event_id": event_id}
    answer = await send(guarded, shop, {**event, "path": paths[0]})
    assert answer.json == {"event_id": event_id}
    for path in paths[1:]:
        assert (await post(edge, {**event, "path": path})).status == 202
        event = {"event_type": "api.call"}

    def stored() -> set[tuple[str, str]]:
        return set(
            edge.query(
                "SELECT path, toString(event_id) FROM events WHERE path IN {paths:Array(String)}",
                paths=paths,
            )
        )

    async def all_of_them() -> bool:
        return {path for path, _ in stored()} == set(paths)

    await edge.eventually(all_of_them)
    assert {(paths[0], stored_id(shop.site_id, event_id)), (paths[1], event_id)} <= stored()


async def test_what_is_sent_again_by_the_id_of_the_answer_is_the_same_event(
    guarded: Weir, topics: LogOfTopics, shop: Site
) -> None:
    other = await created(guarded, SHOP, name="other")
    before = await topics.ends()
    first = await send(guarded, shop, view("/again"))
    event_id = first.json["event_id"]
    assert UUID(event_id).version == 7
    again = await send(guarded, shop, [view("/again", event_id=event_id.upper())])
    assert again.json["items"][0]["event_id"] == event_id
    assert (await send(guarded, other, view("/again", event_id=event_id))).status == 202
    found = [orjson.loads(record.value)["event_id"] for _, record in await topics.since(before)]
    stored, elsewhere = (stored_id(site.site_id, event_id) for site in (shop, other))
    assert sorted(found) == sorted([stored, stored, elsewhere])
    assert len({stored, elsewhere, event_id}) == 3


async def test_ids_of_a_503_are_those_to_send_again(edge: Weir, topics: LogOfTopics) -> None:
    away = copy(edge)
    api = away.launch_edge_alone(
        {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}", "WEIR_PUBLISH_TIMEOUT": "0.5"}
    )
    own = {"Origin": "http://localhost:3000"}
    sent_id = str(uuid4())
    sent = [view("/away"), view("/away", event_id=sent_id)]

    async def answers() -> bool:
        try:
            return (await ask(away, "GET", "/healthz")).status == 200
        except aiohttp.ClientError:
            return False

    try:
        await away.eventually(answers, process=api)
        problem = (await send(away, "demo", sent, own)).problem(503)
    finally:
        await api.stop(15)
    made_id, named_id = problem["event_ids"]
    assert named_id == sent_id
    before = await topics.ends()
    sent = [view("/away", event_id=each) for each in (made_id, named_id)]
    assert (await send(edge, "demo", sent, own)).status == 202
    found = {orjson.loads(record.value)["event_id"] for _, record in await topics.since(before)}
    assert found == {stored_id("demo", made_id), stored_id("demo", named_id)}


async def test_a_visitor_is_one_by_address_and_browser_and_another_elsewhere(
    guarded: Weir, topics: LogOfTopics, shop: Site
) -> None:
    other = await created(guarded, SHOP, name="other")
    alice, bob = {"X-Forwarded-For": ALICE}, {"X-Forwarded-For": BOB}
    events = await published(
        guarded,
        topics,
        shop,
        (view("/0"), alice),
        (view("/1"), {**alice, "Origin": "https://www.shop.example"}),
        (view("/2"), bob),
        (view("/3"), {**alice, "User-Agent": "Mozilla/5.0 (another)"}),
    )
    [elsewhere] = await published(guarded, topics, other, (view("/4"), alice))
    first, same, *others = [event["visitor_id"] for event in events]
    assert first == same
    assert len({first, *others, elsewhere["visitor_id"]}) == 4


@pytest.mark.parametrize("signal", ["Sec-GPC", "DNT"])
async def test_who_asks_not_to_be_named_is_counted_as_nobody(
    guarded: Weir, topics: LogOfTopics, shop: Site, signal: str
) -> None:
    sent = view(
        "/nobody",
        user_id="u-42",
        metadata={"referrer": "https://search.example/", "plan": "team"},
    )
    [named] = await published(guarded, topics, shop, (sent, {signal: "0"}))
    [unnamed] = await published(guarded, topics, shop, (sent, {signal: "1"}))
    assert named["user_id"] == "u-42"
    assert named["metadata"]["referrer"] == "https://search.example/"
    assert "visitor_id" in named
    assert unnamed.keys() == {
        *("event_type", "event_id", "path", "occurred_at", "source", "metadata"),
        *("topic", "key"),
    }
    # What browser it is says nothing of who, and whether it is a bot.
    assert unnamed["metadata"] == {
        "plan": "team",
        "weir_site": shop.site_id,
        "user_agent": FIREFOX,
        "host": "shop.example",
    }
    conversion = {"event_type": "conversion", "path": "/c", "user_id": "u-42"}
    [event] = await published(guarded, topics, shop, (conversion, {signal: "1"}))
    assert event["key"] == event["event_id"]
    assert "u-42" not in str(event)


async def test_a_page_says_nothing_of_browser_host_and_who_is_billed(
    guarded: Weir, topics: LogOfTopics, shop: Site
) -> None:
    forged = {
        "user_agent": "Googlebot",
        "host": "bank.example",
        "stripe_customer_id": "cus_victim",
        "weir_site": None,
        "country": "DE",
    }
    [event] = await published(guarded, topics, shop, (view("/forged", metadata=forged), {}))
    assert event["metadata"] == {
        "weir_site": shop.site_id,
        "user_agent": FIREFOX,
        "host": "shop.example",
        "country": "DE",
    }


@pytest.mark.parametrize("days", [-400, -2, 2, 400])
async def test_a_clock_that_is_days_off_is_not_believed(
    guarded: Weir, topics: LogOfTopics, shop: Site, days: int
) -> None:
    now = datetime.now(UTC)
    wrong = (now + timedelta(days=days)).isoformat()
    [event] = await published(guarded, topics, shop, (view("/clock", occurred_at=wrong), {}))
    occurred_at = datetime.fromisoformat(event["occurred_at"])
    assert abs(occurred_at - now) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "wrong",
    [
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:30:00+01:00",
        "1969-12-31T23:59:59.999Z",
        "0001-01-01T00:00:00+23:59",
        "0000-01-01T00:00:00.000Z",
        "-271821-04-20T00:00:00.000Z",
        "9999-12-30T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "10000-01-01T00:00:00Z",
        "+275760-09-13T00:00:00.000Z",
    ],
)
async def test_nor_is_one_that_no_event_can_keep(
    guarded: Weir, topics: LogOfTopics, shop: Site, wrong: str
) -> None:
    sent = view("/clock", occurred_at=wrong, user_id="u-1", metadata={"plan": "team"})
    [event] = await published(guarded, topics, shop, ([sent], {}))
    occurred_at = datetime.fromisoformat(event["occurred_at"])
    assert abs(occurred_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert (event["user_id"], event["metadata"]["plan"]) == ("u-1", "team")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "text/plain;charset=UTF-8", "application/json", None]
)
async def test_json_is_taken_as_text_and_as_json(
    guarded: Weir, shop: Site, content_type: str | None
) -> None:
    # aiohttp names bytes by itself.
    headers = {"Content-Type": "" if content_type is None else content_type}
    answer: Answer = await send(guarded, shop, [view("/type")], headers)
    assert answer.status == 202


async def test_nothing_about_a_visitor_is_in_the_answer(guarded: Weir, shop: Site) -> None:
    answer = await send(guarded, shop, [view("/answer", user_id="u-42")])
    assert answer.status == 202
    assert "Set-Cookie" not in answer.headers
    assert "u-42" not in answer.body.decode()
    assert answer.json["items"][0].keys() == {"index", "status", "event_id"}


ADDRESS = re.compile(r"client|forwarded|real[-_]ip|remote|peer", re.IGNORECASE)
LOGS = re.compile(r"structlog|logging|print|stderr|stdout|warnings", re.IGNORECASE)


def named(source: str, what: re.Pattern[str]) -> list[str]:
    """Names, attributes, modules, strings and bytes of Python, without its comments."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name):
                found.append(name)
            case ast.ImportFrom(module=str(name)):
                found.append(name)
            case ast.Constant(value=str() | bytes() as text):
                found.append(text if isinstance(text, str) else text.decode("latin-1"))
    # A sentence, as of documentation, reads nothing.
    return [each for each in found if what.search(each) and " " not in each]


@pytest.mark.parametrize(
    "source",
    [
        "request.client.host",
        'request.scope["client"]',
        'getattr(request, "client")',
        'headers.get(b"x-forwarded-for")',
        'request.headers["X-Real-IP"]',
    ],
)
def test_an_address_is_noticed_however_it_is_read(source: str) -> None:
    assert named(source, ADDRESS)


def test_the_address_is_used_in_one_place() -> None:
    """It goes into the hash, and nowhere else: nothing of `api/sites` logs at all."""
    folder = Path(__file__).parents[3] / "api" / "sites"
    sources = {file.name: file.read_text() for file in folder.glob("*.py")}
    read = {name: found for name, text in sources.items() if (found := named(text, ADDRESS))}
    # Read once, looked at twice: whether it is there, and what stands first in it.
    assert read == {"events.py": ["client"] * 4}
    [body] = [
        node
        for node in ast.walk(ast.parse(sources["events.py"]))
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "take_site_events"
    ]
    uses = [node for node in ast.walk(body) if isinstance(node, ast.Name) and node.id == "address"]
    [hashed] = [
        node
        for node in ast.walk(body)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("visitors.name")
    ]
    assert len(uses) == 2
    assert [each for each in uses if isinstance(each.ctx, ast.Load)] == [
        each for each in hashed.args if isinstance(each, ast.Name) and each.id == "address"
    ]
    assert not [name for name, text in sources.items() if named(text, LOGS)]
