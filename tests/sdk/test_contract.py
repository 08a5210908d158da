"""Whatever a request is like, what is recorded of it keeps the contract."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import events, limits
from schemas.decoding import decode_wire_event, explain_new_event, is_canonical, latest_occurred_at
from schemas.partitioning import partition_for
from schemas.topics import EVENT_TOPICS, event_key, topic_for
from tests.sdk.hosts import Kept, Option, ask, http_scope, quiet_client
from weir_sdk import AnalyticsMiddleware, EventRejected, Message
from weir_sdk import limits as own
from weir_sdk.asgi import Receive, Scope, Send
from weir_sdk.kafka import key_of, topic_of
from weir_sdk.page_views import PathKind
from weir_sdk.partitioning import partitions_for

any_text = st.text(st.characters(exclude_categories=()), max_size=3000) | st.sampled_from(
    ["", "*", "/" + "a" * 10_000, "/" + "\U0001f600" * 5_000, "\x00" * 5_000, "\ud800", '"\\/']
)
any_bytes = st.binary(max_size=300) | st.sampled_from(
    [b"", b"\xff" * 20_000, b"\x01" * 20_000, b'"' * 3000, b"https://a@b@c/?#", b"\\u0000"]
)
headers = st.lists(
    st.tuples(
        st.sampled_from(
            [b"host", b"user-agent", b"referer", b"x-forwarded-for", b"cf-ipcountry", b"dnt", b"x"]
        ),
        any_bytes,
    ),
    max_size=10,
)
clients = st.none() | st.tuples(any_text, st.integers()) | st.just(["10.0.0.1", 5]) | st.just(())


class _Route:
    def __init__(self, path: object) -> None:
        self.path = path


@settings(max_examples=300)
@given(
    path=any_text,
    root_path=any_text,
    found=headers,
    client=clients,
    user=st.none() | any_text | st.integers(),
    route=st.none() | any_text,
    status=st.integers(0, 10**6),
    method=any_text,
    kind=st.sampled_from(["real", "template"]),
)
async def test_every_request_becomes_an_event_that_weir_takes(
    path: str,
    root_path: str,
    found: list[tuple[bytes, bytes]],
    client: Option,
    user: str | int | None,
    route: str | None,
    status: int,
    method: str,
    kind: PathKind,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if route is not None:
            scope["route"] = _Route(route)
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body"})

    kept = Kept()
    sender = quiet_client(kept)
    middleware = AnalyticsMiddleware(
        app,
        client=sender,
        path=kind,
        user=lambda _: user,  # type: ignore[arg-type,return-value]
        client_address_header="x-forwarded-for",
        country_header="cf-ipcountry",
        source=path or None,
    )
    scope = http_scope(path, root_path=root_path, headers=found, client=client, method=method)
    assert len(await ask(middleware, scope)) == 2
    await sender.close()
    assert sender.counts.sent == 1
    [[message]] = kept.batches
    now = datetime.now(UTC)
    explained = explain_new_event(message.body, received_at=now)
    assert explained.event_id == message.event_id
    assert explained.user_id == message.user_id
    assert (
        is_canonical(decode_wire_event(message.body), latest_occurred_at(now))
        or len(explained.metadata) > limits.MAX_METADATA_BYTES // 4
    )
    topic = topic_for("page_view")
    assert topic_of(message) == topic.name
    assert key_of(message).decode() == event_key(topic, message.event_id, message.user_id)


@pytest.mark.parametrize(
    "scope",
    [
        http_scope(headers=None),
        http_scope(headers=[("host", "text")]),
        http_scope(headers=[(1, 2, 3)]),
        http_scope(method=None),
        {**http_scope(), "path": ["a"]},
        http_scope(client=[{}]),
        {"type": "http", "path": "/"},
    ],
    ids=str,
)
async def test_a_scope_that_breaks_the_rules_hurts_nobody(scope: Scope) -> None:
    kept = Kept()
    client = quiet_client(kept)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    assert len(await ask(AnalyticsMiddleware(app, client=client), scope)) == 2
    await client.close()
    counts = client.counts
    assert counts.recorded == 1 == counts.sent + counts.dropped


def test_the_limits_are_the_contracts() -> None:
    names = {name for name in vars(limits) if name.startswith("MAX_") and hasattr(own, name)}
    assert len(names) == 7
    assert {name: getattr(own, name) for name in names} == {
        name: getattr(limits, name) for name in names
    }
    assert f"^{own.EVENT_TYPE_PATTERN}$" == events.EVENT_TYPE_PATTERN


@given(st.lists(st.uuids().map(str) | st.text(max_size=60), max_size=40))
def test_keys_meet_the_partitions_that_kafka_chooses(keys: list[str]) -> None:
    encoded = [key.encode() for key in keys]
    assert partitions_for(encoded, 4) == [partition_for(key, 4) for key in encoded]


@pytest.mark.parametrize("event_type", ["page_view", "conversion", "signed_up"])
@pytest.mark.parametrize("user_id", [None, "u-42"])
def test_topics_and_keys_are_the_registrys(event_type: str, user_id: str | None) -> None:
    message = Message("id", event_type, user_id, b"{}")
    topic = topic_for(event_type)
    assert topic in EVENT_TOPICS
    assert topic_of(message) == topic.name
    assert key_of(message).decode() == event_key(topic, "id", user_id)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"event_type": "1"}, "event_type"),
        ({"event_type": "a" * 101}, "event_type"),
        ({"path": ""}, "path"),
        ({"path": "/" * 2049}, "path"),
        ({"path": "\ud800"}, "path"),
        ({"path": 5}, "path"),
        ({"user_id": ""}, "user_id"),
        ({"visitor_id": "v" * 257}, "visitor_id"),
        ({"source": "s" * 257}, "source"),
        ({"event_id": "7"}, "event_id"),
        ({"occurred_at": datetime(2026, 1, 1)}, "occurred_at"),
        ({"metadata": {"a": object()}}, "metadata"),
        ({"metadata": {"a": "b" * 16_384}}, "metadata"),
        ({"metadata": {"a": [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}}, "metadata"),
    ],
)
def test_what_weir_would_not_take_is_refused_where_it_is_written(
    arguments: dict[str, Any], field: str
) -> None:
    client = quiet_client(Kept())
    with pytest.raises(EventRejected) as refused:
        client.enqueue(**{"event_type": "signed_up", "path": "/", **arguments})
    assert refused.value.field == field
    assert client.counts.recorded == 0
