"""Dead letters are listed, shown, replayed once and discarded, and nothing is done by halves."""

import asyncio
from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import UUID, uuid4

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from schemas.cloud_events import cloud_event_id
from schemas.dead_letters import dead_letter_action
from schemas.decoding import canonical_time
from tests.api.log_of_topics import LogOfTopics
from tests.api.requests import JSON, Answer, ask, get
from tests.weir import Json, Weir, all_taken

pytestmark = pytest.mark.services

LETTERS = "/dead-letters"
UNKNOWN = "0192d2ab-0000-7000-8000-0000000000ff"
Messages = list[tuple[bytes | None, bytes | None]]
Headers = list[tuple[str, bytes]]


def event(**fields: object) -> dict[str, object]:
    return {"event_id": str(uuid4()), "event_type": "page_view", "path": "/", **fields}


def wrong_key(path: str, **fields: object) -> tuple[bytes, bytes]:
    return b"another", orjson.dumps(event(path=path, **fields))


async def listed(weir: Weir, **parameters: str | int) -> list[Json]:
    answer = await get(weir, LETTERS, **parameters)
    assert answer.status == 200, answer.body[:500]
    return list(answer.json["items"])


async def arrived(weir: Weir, messages: Messages) -> list[Json]:
    """Writes messages that cannot be used to `page-views`; their dead letters, newest first."""
    return await _arrived(weir, [(key, value, []) for key, value in messages])


async def sent_with_headers(
    weir: Weir, headers: Headers, value: bytes, topic: str = "page-views"
) -> Json:
    """Writes a compressed message that cannot be used; its dead letter."""
    [letter] = await _arrived(weir, [(b"any", value, headers)], topic)
    return letter


async def _arrived(
    weir: Weir,
    messages: Sequence[tuple[bytes | None, bytes | None, Headers]],
    topic: str = "page-views",
) -> list[Json]:
    before = {each["dead_letter_id"] for each in await listed(weir, state="all", limit=1000)}
    await produce(weir, messages, topic)
    letters: list[Json] = []

    async def all_there() -> bool:
        letters[:] = [
            each
            for each in await listed(weir, state="all", limit=1000)
            if each["dead_letter_id"] not in before
        ]
        return len(letters) >= len(messages)

    await weir.eventually(all_there)
    return letters


async def produce(
    weir: Weir,
    messages: Sequence[tuple[bytes | None, bytes | None, Headers]],
    topic: str,
) -> None:
    """Writes messages with headers, compressed."""
    producer = AIOKafkaProducer(
        **weir.kafka.client_arguments(),
        enable_idempotence=True,
        compression_type="gzip",
        max_request_size=4_000_000,
    )
    await producer.start()
    try:
        sent = [
            await producer.send(weir.topic(topic), key=key, value=value, headers=headers)
            for key, value, headers in messages
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def post(weir: Weir, target: str, document: Json | None = None) -> Answer:
    body = None if document is None else orjson.dumps(document)
    return await ask(weir, "POST", f"{LETTERS}{target}", body, None if body is None else JSON)


async def in_state(weir: Weir, letter: Json, state: str) -> bool:
    answer = await get(weir, f"{LETTERS}/{letter['dead_letter_id']}")
    return bool(answer.json["state"] == state)


async def counted(weir: Weir, path: str, count: int) -> bool:
    [(rows,)] = await asyncio.to_thread(
        weir.query, "SELECT count() FROM events WHERE path = {path:String}", path=path
    )
    return bool(rows == count)


async def test_a_letter_is_listed_and_shown_with_all_that_is_kept_of_the_message(
    edge: Weir,
) -> None:
    value = b"\xff" + uuid4().bytes * 300
    [item] = await arrived(edge, [(b"key", value)])
    assert item["topic"] == edge.topic("page-views")
    assert item["reason"] == "not_json"
    assert item["detail"].startswith("not JSON in UTF-8")
    assert item["state"] == "open"
    assert item["acted_at"] is None
    assert item["payload_truncated"] is True
    assert value.startswith(b64decode(item["payload"]))

    whole = (await get(edge, f"{LETTERS}/{item['dead_letter_id']}")).json
    assert b64decode(whole["payload"]) == value
    assert b64decode(whole["key"]) == b"key"
    assert whole["payload_truncated"] is False
    assert whole["headers"] == []
    assert item["truncated"] is whole["truncated"] is False
    cut = {"key", "payload", "payload_truncated"}
    for name in item.keys() - cut:
        assert whole[name] == item[name]


async def test_filters_choose_and_pages_visit_each_letter_once(edge: Weir) -> None:
    began = datetime.now(UTC)
    letters = await arrived(
        edge, [(None, b"{"), (None, b"[]"), (None, b"nothing"), (b"gone", None)]
    )
    since = canonical_time(began)
    ids = [each["dead_letter_id"] for each in letters]
    assert [each["dead_letter_id"] for each in await listed(edge, from_=since)] == ids

    visited: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await get(edge, LETTERS, limit=1, **{"from": since}, **cursor)).json
        visited += [each["dead_letter_id"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert visited == ids

    reasons = [each["reason"] for each in letters]
    for reason in ("not_json", "invalid_field", "empty"):
        found = await listed(edge, from_=since, reason=reason)
        assert len(found) == reasons.count(reason) > 0
    assert await listed(edge, from_=since, topic=edge.topic("conversions")) == []
    assert len(await listed(edge, from_=since, topic=edge.topic("page-views"))) == 4
    assert await listed(edge, to=since, from_=since) == []
    assert await listed(edge, from_=since, state="replayed") == []


async def test_a_replay_counts_once_however_often_and_wherever_it_is_sent(edge: Weir) -> None:
    path = f"/replayed/{uuid4()}"
    key, value = wrong_key(path)
    event_id = orjson.loads(value)["event_id"]
    [letter] = await arrived(edge, [(key, value)])
    target = f"/{letter['dead_letter_id']}/replay"
    # Before the sink has stored the first, others are taken too.
    answers = await asyncio.gather(*(post(edge, target) for _ in range(3)))
    assert {answer.status for answer in answers} <= {202, 409}
    assert answers[0].json == {
        "dead_letter_id": letter["dead_letter_id"],
        "status": "replayed",
        "event_id": event_id,
        "error": None,
    }
    # And the producer sends it again, with the right key.
    await edge.produce("page-views", [(event_id.encode(), value), (event_id.encode(), value)])
    await edge.eventually(partial(in_state, edge, letter, "replayed"))
    await edge.eventually(partial(counted, edge, path, 1))
    [after] = await arrived(edge, [(None, b"behind them")])
    assert after["reason"] == "not_json"
    assert await counted(edge, path, 1)
    [(rows,)] = edge.query(
        "SELECT count() FROM dead_letter_actions WHERE dead_letter_id = {id:UUID}",
        id=letter["dead_letter_id"],
    )
    assert rows == 1

    again = await post(edge, target)
    problem = again.problem(409)
    assert "was replayed at" in problem["detail"]
    assert problem["event_id"] == event_id
    (await post(edge, f"/{letter['dead_letter_id']}/discard")).problem(409)
    [shown] = [
        each
        for each in await listed(edge, state="replayed", limit=1000)
        if each["dead_letter_id"] == letter["dead_letter_id"]
    ]
    assert shown["event_id"] == event_id
    assert shown["acted_at"] == problem["acted_at"]
    assert letter["dead_letter_id"] not in {each["dead_letter_id"] for each in await listed(edge)}


async def test_what_lacks_only_an_event_id_gets_the_letters_and_keeps_its_arrival(
    edge: Weir,
) -> None:
    path = f"/nameless/{uuid4()}"
    nameless = {"event_type": "page_view", "path": path}
    [letter] = await arrived(edge, [(None, orjson.dumps(nameless))])
    assert letter["reason"] == "invalid_field"
    answer = await post(edge, f"/{letter['dead_letter_id']}/replay")
    assert answer.json["event_id"] == letter["dead_letter_id"]
    await edge.eventually(partial(counted, edge, path, 1))
    [(event_id, occurred_at)] = edge.query(
        "SELECT toString(event_id), occurred_at FROM events WHERE path = {path:String}", path=path
    )
    assert event_id == letter["dead_letter_id"]
    assert canonical_time(occurred_at.replace(tzinfo=UTC)) == letter["arrived_at"]


@pytest.mark.parametrize("good_copy", ["before the replay", "after the replay"])
@pytest.mark.parametrize("wrong", ["wrong_key", "wrong_topic"])
async def test_what_was_mended_counts_once_beside_its_good_copy(
    edge: Weir, wrong: str, good_copy: str
) -> None:
    path = f"/beside/{uuid4()}"
    conversion = event(event_type="conversion", user_id="u-1", path=path)
    value = orjson.dumps(conversion)
    topic = {"wrong_key": "conversions", "wrong_topic": "page-views"}[wrong]
    key = {"wrong_key": b"u-2", "wrong_topic": b"u-1"}[wrong]
    [letter] = await _arrived(edge, [(key, value, [])], topic)
    assert letter["reason"] == wrong
    if good_copy == "before the replay":
        await edge.produce("conversions", [(b"u-1", value)])
        await edge.eventually(partial(counted, edge, path, 1))
    answer = await post(edge, f"/{letter['dead_letter_id']}/replay")
    assert answer.json["event_id"] == conversion["event_id"]
    await edge.eventually(partial(in_state, edge, letter, "replayed"))
    if good_copy == "after the replay":
        await edge.eventually(partial(counted, edge, path, 1))
        await edge.produce("conversions", [(b"u-1", value)])
    await edge.eventually(partial(all_taken, edge))
    assert await counted(edge, path, 1)


async def test_topic_and_key_are_mended(edge: Weir, topics: LogOfTopics) -> None:
    path = f"/mended/{uuid4()}"
    conversion = event(event_type="conversion", user_id="u-1", path=path)
    [letter] = await arrived(edge, [(b"any", orjson.dumps(conversion))])
    assert letter["reason"] == "wrong_topic"
    before = await topics.ends()
    assert (await post(edge, f"/{letter['dead_letter_id']}/replay")).status == 202
    [(topic, record)] = await topics.since(before)
    assert (topic, record.key) == ("conversions", b"u-1")
    assert orjson.loads(record.value) | {"occurred_at": None} == conversion | {"occurred_at": None}


async def test_a_cloud_event_is_replayed_as_the_one_that_it_is(
    edge: Weir, topics: LogOfTopics
) -> None:
    path = f"/cloud/{uuid4()}"
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"order 1"),
        ("ce_source", path.encode()),
        ("ce_type", b"conversion"),
        ("ce_subject", path.encode()),
        ("ce_time", b"2026-11-01T10:00:00+01:00"),
        ("ce_tenant", b"x"),
        ("content-type", b"application/json"),
    ]
    value = b'{"metadata":{"a":1}}'
    # The CloudEvent's key would be its id.
    letter = await sent_with_headers(edge, headers, value, "conversions")
    assert letter["reason"] == "wrong_key"
    target = f"{LETTERS}/{letter['dead_letter_id']}"
    shown = (await get(edge, target)).json
    assert shown["headers"] == [[name, value.decode()] for name, value in headers]
    before = await topics.ends()
    answer = await ask(edge, "POST", f"{target}/replay")
    assert answer.json["event_id"] == str(cloud_event_id(path, "order 1"))
    [(topic, record)] = await topics.since(before)
    assert (topic, record.key) == ("conversions", b"order 1")
    await edge.eventually(partial(counted, edge, path, 1))
    # And the producer sends it again as it was, with the right key.
    await produce(edge, [(b"order 1", value, headers)], "conversions")
    await edge.eventually(partial(all_taken, edge))
    rows = edge.query(
        """SELECT toString(event_id), event_type, source, toString(occurred_at), metadata
        FROM events WHERE path = {path:String}""",
        path=path,
    )
    assert rows == [
        (
            str(cloud_event_id(path, "order 1")),
            "conversion",
            path,
            "2026-11-01 09:00:00.000",
            '{"cloudevent":{"tenant":"x"},"a":1}',
        )
    ]


async def test_what_is_kept_in_part_is_not_replayed_as_something_else(
    edge: Weir, topics: LogOfTopics
) -> None:
    attributes = {"specversion": "1.0", "id": str(uuid4()), "source": "/s", "type": "page_view"}
    # Without `ce_time`, which is cut off, it would be another event.
    headers = [
        *((f"ce_{name}", text.encode()) for name, text in attributes.items()),
        ("x", b"x" * 70_000),
        ("ce_time", b"2026-11-01T00:00:00Z"),
    ]
    by_headers = await sent_with_headers(edge, headers, orjson.dumps({"path": "/cut"}))
    # What is kept of it is JSON; the message never was.
    value = orjson.dumps(event(path="/cut")) + b" " * 1_100_000 + b"garbage"
    by_value = await sent_with_headers(edge, [], value)
    before = await topics.ends()
    for letter, in_payload in ((by_headers, False), (by_value, True)):
        target = f"/{letter['dead_letter_id']}"
        shown = (await get(edge, f"{LETTERS}{target}")).json
        assert letter["truncated"] is shown["truncated"] is True
        assert letter["payload_truncated"] is shown["payload_truncated"] is in_payload
        problem = (await post(edge, f"{target}/replay")).problem(422, "payload")
        assert problem["reason"] == "truncated"
        place = f"{letter['topic']}/{letter['partition']}/{letter['offset']}"
        assert f"the message lies at {place} for as long as its topic keeps it" in problem["detail"]
    ids = [by_headers["dead_letter_id"], by_value["dead_letter_id"]]
    answer = (await post(edge, "/replay", {"ids": ids})).json
    assert [each["error"]["reason"] for each in answer["items"]] == ["truncated", "truncated"]
    assert await topics.ends() == before
    # Whatever is done now comes behind what those would have recorded.
    assert (await post(edge, f"/{ids[1]}/discard")).status == 202
    await edge.eventually(partial(in_state, edge, by_value, "discarded"))
    assert await in_state(edge, by_headers, "open")


async def test_a_letter_that_said_only_in_words_that_it_was_cut_is_not_replayed(edge: Weir) -> None:
    """Its row is from before the table had a column for it."""
    letter_id = str(uuid4())
    value = orjson.dumps(event(path="/cut")).decode()
    edge.query(
        """INSERT INTO dead_letters
        (dead_letter_id, topic, partition, offset, detail, payload, encoding, received_at)
        VALUES ({id:UUID}, 't', 1, 2, {detail:String}, {payload:String}, 'utf-8', now64(3))""",
        id=letter_id,
        detail="why\nnot (kept are the first 1 of 2 bytes of the value, the first 1 of 2 headers)",
        payload=value,
    )
    problem = (await post(edge, f"/{letter_id}/replay")).problem(422)
    assert problem["reason"] == "truncated"


async def test_what_still_cannot_be_used_gets_todays_reason_and_nothing_is_done(
    edge: Weir, topics: LogOfTopics
) -> None:
    letters = await arrived(
        edge, [(None, b"{"), (b"gone", None), (None, orjson.dumps(event(path="")))]
    )
    before = await topics.ends()
    for letter, reason, field in zip(
        sorted(letters, key=lambda each: str(each["reason"])),
        ("empty", "invalid_field", "not_json"),
        ("payload", "path", "payload"),
        strict=True,
    ):
        answer = await post(edge, f"/{letter['dead_letter_id']}/replay")
        assert answer.problem(422, field)["reason"] == reason
    assert await topics.ends() == before
    # Whatever is done now comes behind what those would have recorded.
    [last] = await arrived(edge, [(None, b"last")])
    await post(edge, f"/{last['dead_letter_id']}/discard")
    await edge.eventually(partial(in_state, edge, last, "discarded"))
    for letter in letters:
        assert await in_state(edge, letter, "open")


@pytest.mark.parametrize("action", ["replay", "discard"])
async def test_unknown_letters_and_what_is_no_id(edge: Weir, action: str) -> None:
    problem = (await post(edge, f"/{UNKNOWN}/{action}")).problem(404)
    assert UNKNOWN in problem["detail"]
    (await post(edge, f"/no-uuid/{action}")).problem(422, "dead_letter_id")
    (await get(edge, f"{LETTERS}/{UNKNOWN}")).problem(404)
    (await get(edge, f"{LETTERS}/no-uuid")).problem(422, "dead_letter_id")


@pytest.mark.parametrize("action", ["replay", "discard"])
async def test_paths_of_actions_are_no_letters(edge: Weir, action: str) -> None:
    answer = await ask(edge, "GET", f"{LETTERS}/{action}")
    answer.problem(405)
    assert answer.headers["Allow"] == "POST"


async def test_several_are_replayed_each_by_itself(edge: Weir) -> None:
    path = f"/several/{uuid4()}"
    good = await arrived(edge, [wrong_key(path), wrong_key(path)])
    [bad] = await arrived(edge, [(None, b"bad")])
    ids = [bad["dead_letter_id"], *(each["dead_letter_id"] for each in good), UNKNOWN]
    answer = await post(edge, "/replay", {"ids": [*ids, ids[0]]})
    assert answer.status == 202
    outcomes = answer.json
    assert (outcomes["done"], outcomes["failed"], outcomes["left"]) == (2, 2, 0)
    assert [each["dead_letter_id"] for each in outcomes["items"]] == ids
    statuses = [each["status"] for each in outcomes["items"]]
    assert statuses == ["failed", "replayed", "replayed", "failed"]
    errors = [each["error"] for each in outcomes["items"]]
    assert errors[0]["status"] == 422
    assert errors[0]["reason"] == "not_json"
    assert errors[3]["status"] == 404
    await edge.eventually(partial(counted, edge, path, 2))
    for letter in good:
        await edge.eventually(partial(in_state, edge, letter, "replayed"))
    again = await post(edge, "/replay", {"ids": ids})
    assert [each["error"]["status"] for each in again.json["items"]] == [422, 409, 409, 404]


async def test_filters_act_on_open_letters_in_steps_that_say_what_is_left(edge: Weir) -> None:
    path = f"/steps/{uuid4()}"
    began = canonical_time(datetime.now(UTC))
    letters = await arrived(edge, [*(wrong_key(path) for _ in range(4)), (None, b"bad")])
    [discarded, *rest] = [each for each in letters if each["reason"] == "wrong_key"]
    assert (await post(edge, f"/{discarded['dead_letter_id']}/discard")).status == 202
    await edge.eventually(partial(in_state, edge, discarded, "discarded"))
    filters = {"filters": {"from": began, "reason": "wrong_key"}, "limit": 2}
    first = (await post(edge, "/replay", filters)).json
    assert (first["done"], first["failed"], first["left"]) == (2, 0, 1)
    second = (await post(edge, "/replay", {**filters, "cursor": first["next_cursor"]})).json
    assert (second["done"], second["left"], second["next_cursor"]) == (1, 0, None)
    done = {each["dead_letter_id"] for each in (*first["items"], *second["items"])}
    assert done == {each["dead_letter_id"] for each in rest}
    await edge.eventually(partial(counted, edge, path, 3))


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, "body"),
        (b"{", 400, "body"),
        (b'{"ids": [], "ids": ["0192d2ab-0000-7000-8000-0000000000ff"]}', 400, "ids"),
        (b"[]", 422, "body"),
        (b"{}", 422, "body"),
        (b'{"ids": []}', 422, "ids"),
        (b'{"ids": ["x"]}', 422, "ids.0"),
        (orjson.dumps({"ids": [UNKNOWN] * 1_001}), 422, "ids"),
        (orjson.dumps({"ids": [UNKNOWN], "filters": {}}), 422, "body"),
        (orjson.dumps({"ids": [UNKNOWN], "cursor": "x"}), 422, "body"),
        (b'{"filters": {"state": "open"}}', 422, "filters.state"),
        (b'{"filters": {"from": 5}}', 422, "filters.from"),
        (b'{"filters": {}, "limit": 0}', 422, "limit"),
        (b'{"filters": {}, "limit": 1001}', 422, "limit"),
        (b'{"filters": {}, "cursor": "x"}', 422, "cursor"),
        (b"[" * 2_000 + b"]" * 2_000, 400, "body"),
    ],
)
@pytest.mark.parametrize("action", ["replay", "discard"])
async def test_bad_selections(
    edge: Weir, action: str, body: bytes, status: int, field: str
) -> None:
    answer = await ask(edge, "POST", f"{LETTERS}/{action}", body, JSON)
    answer.problem(status, field)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ("state=lost", "state"),
        ("topic=", "topic"),
        ("topic=a%20b", "topic"),
        ("reason=", "reason"),
        ("from=yesterday", "from"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("cursor=", "cursor"),
        ("cursor=x", "cursor"),
        ("unknown=1", "unknown"),
        ("limit=1&limit=2", "limit"),
    ],
)
async def test_bad_questions(edge: Weir, parameters: str, field: str) -> None:
    (await ask(edge, "GET", f"{LETTERS}?{parameters}")).problem(422, field)


async def test_a_replay_killed_before_it_was_recorded_is_done_again_and_counts_once(
    weir: Weir,
) -> None:
    path = "/killed"
    key, value = wrong_key(path)
    event_id = orjson.loads(value)["event_id"]
    weir.start_sink()
    await weir.start_api()
    [letter] = await arrived(weir, [(key, value)])
    # What an API has published that was killed right behind it.
    await weir.produce("page-views", [(event_id.encode(), value)])
    await weir.eventually(partial(counted, weir, path, 1))
    assert await in_state(weir, letter, "open")
    assert (await post(weir, f"/{letter['dead_letter_id']}/replay")).status == 202
    await weir.eventually(partial(in_state, weir, letter, "replayed"))
    await arrived(weir, [(None, b"behind it")])
    assert await counted(weir, path, 1)


async def test_the_same_action_twice_is_stored_once_and_a_replay_beats_a_discard(
    weir: Weir,
) -> None:
    weir.start_sink()
    await weir.start_api()
    [letter] = await arrived(weir, [(None, b"x")])
    now = datetime.now(UTC)
    letter_id = letter["dead_letter_id"]
    discarded = dead_letter_action(UUID(letter_id), "discarded", now)
    replayed = dead_letter_action(UUID(letter_id), "replayed", now, uuid4())
    await weir.produce(
        "dead-letter-actions",
        [
            (letter_id.encode(), each.model_dump_json().encode())
            for each in (discarded, discarded, replayed, discarded, replayed)
        ],
    )
    await weir.eventually(partial(in_state, weir, letter, "replayed"))
    [(rows,)] = weir.query("SELECT count() FROM dead_letter_actions")
    assert rows == 2
    assert [each["state"] for each in await listed(weir, state="replayed")] == ["replayed"]
    assert await listed(weir, state="discarded") == []
