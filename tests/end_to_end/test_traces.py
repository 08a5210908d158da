"""One trace follows a request through all processes, and is a burden to none of them."""

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Final
from uuid import uuid4

import orjson
import pytest
import pytest_asyncio

from schemas.replies import REPLY_HEADERS
from schemas.topics import TOPICS
from schemas.trace_context import TRACE_HEADERS
from tests.api.log_of_topics import LogOfTopics
from tests.openai_fake import KEY, FakeOpenAI
from tests.openai_fake import served as openai_served
from tests.services import Services
from tests.stripe_fake import KEY as STRIPE_KEY
from tests.stripe_fake import FakeStripe, signed, snapshot_event
from tests.stripe_fake import served as stripe_served
from tests.trace_collector import Collected, Collector, served
from tests.weir import Json, Weir, throwaway_weir

pytestmark = pytest.mark.services

WEBHOOK_SECRET: Final = "whsec_traced"
PROMPT: Final = "Our espresso for hedgehogs"


@dataclass
class Traced:
    """A Weir whose processes all send their spans to one collector."""

    weir: Weir
    collector: Collector
    stripe: FakeStripe

    async def trace(self, parent: "Parent", *names: str) -> list[Collected]:
        """The spans under this one, once there are those of all these names and all between."""

        async def complete() -> bool:
            spans = self.collector.of_trace(parent.trace_id)
            known = {parent.span_id, *(each.span_id for each in spans)}
            return {each.name for each in spans} >= set(names) and known >= {
                each.parent_id for each in spans
            }

        try:
            await self.weir.eventually(complete)
        except AssertionError:
            found = [(it.service, it.name) for it in self.collector.of_trace(parent.trace_id)]
            raise AssertionError(f"{names} are not all in {found}") from None
        return self.collector.of_trace(parent.trace_id)

    async def send(
        self, method: str, path: str, body: Json = None, **headers: str
    ) -> tuple[int, Json]:
        data = body if isinstance(body, bytes) else None if body is None else orjson.dumps(body)
        async with self.weir.session.request(
            method,
            self.weir.url + path,
            data=data,
            headers={"Content-Type": "application/json", **headers},
        ) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def traced(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Traced]:
    collector, stripe = Collector(), FakeStripe()
    async with (
        served(collector) as endpoint,
        openai_served(FakeOpenAI()) as openai,
        stripe_served(stripe) as stripe_url,
        throwaway_weir(services, tmp_path_factory.mktemp("traced")) as weir,
    ):
        weir.environment |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20dGVzdA==",
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": openai,
            "STRIPE_API_KEY": STRIPE_KEY,
            "STRIPE_API_BASE": stripe_url,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }
        weir.start_sink()
        for start in (weir.start_quotas, weir.start_social, weir.start_billing):
            await weir.keep(start)
        await weir.start_api()
        await weir.eventually(weir.decides)
        yield Traced(weir, collector, stripe)


class Parent:
    """A span of the caller's, new for each test."""

    def __init__(self, *, recorded: bool = True) -> None:
        self.trace_id, self.span_id = secrets.token_hex(16), secrets.token_hex(8)
        self.header = f"00-{self.trace_id}-{self.span_id}-{recorded:02x}"


def one(spans: Sequence[Collected], name: str) -> Collected:
    [found] = [each for each in spans if each.name == name]
    return found


def line_of(spans: Sequence[Collected], last: Collected) -> list[str]:
    """The names from the first span of the trace down to this one."""
    by_id = {each.span_id: each for each in spans}
    names = [last.name]
    while (parent := by_id.get(last.parent_id)) is not None:
        names.append(parent.name)
        last = parent
    return names[::-1]


async def test_the_trace_of_a_post_holds_edge_quota_decision_generation_and_sink(
    traced: Traced,
) -> None:
    parent = Parent()

    status, document = await traced.send(
        "POST", "/social/post", {"prompt": PROMPT}, traceparent=parent.header
    )

    assert status == 200, document
    spans = await traced.trace(
        parent,
        "INSERT quota_decisions",
        "INSERT generation_jobs",
        "INSERT generation_results",
        "POST /social/post",
    )
    edge = one(spans, "POST /social/post")
    assert edge.parent_id == parent.span_id
    to_decision = ["POST /social/post", "publish", "admission", "quota decision"]
    assert line_of(spans, one(spans, "INSERT quota_decisions")) == [
        *to_decision,
        "INSERT quota_decisions",
    ]
    assert line_of(spans, one(spans, "INSERT generation_jobs")) == [
        *to_decision,
        "INSERT generation_jobs",
    ]
    assert line_of(spans, one(spans, "INSERT generation_results")) == [
        *to_decision,
        "generation",
        "INSERT generation_results",
    ]
    calls = [line_of(spans, each) for each in spans if each.name == "openai"]
    assert sorted(calls) == [
        [*to_decision, "generation", "caption", "openai"],
        [*to_decision, "generation", "picture", "openai"],
    ]
    assert {each.service for each in spans} == {
        "weir-api",
        "weir-quotas",
        "weir-social",
        "weir-sink",
    }
    assert {each.trace_id for each in spans} == {parent.trace_id}
    assert traced.collector.authorizations == {"Basic dGVzdA=="}


async def test_spans_hold_nothing_about_who_asked(traced: Traced) -> None:
    parent = Parent()
    await traced.send("POST", "/social/post", {"prompt": PROMPT}, traceparent=parent.header)
    await traced.trace(parent, "INSERT generation_results", "POST /social/post")
    await traced.send("GET", "/api/user/usage?limit=7", traceparent=parent.header)
    await traced.send("GET", "/api/users/somebody-else/plan", traceparent=parent.header)
    await traced.trace(
        parent,
        "GET /api/user/usage",
        "SELECT quota_decisions",
        "GET /api/users/{user_id}/plan",
    )

    told = repr(traced.collector.spans)
    for secret in (PROMPT, "hedgehog", "demo", "somebody-else", "127.0.0.1", KEY, "limit=7"):
        assert secret not in told


async def test_the_trace_of_an_event_says_when_it_was_stored(traced: Traced) -> None:
    parent = Parent()

    status, _ = await traced.send(
        "POST",
        "/analytics/events",
        {"event_type": "page_view", "path": "/traced", "visitor_id": "v-1"},
        traceparent=parent.header,
    )

    assert status == 202
    spans = await traced.trace(parent, "INSERT events", "POST /analytics/events")
    stored = one(spans, "INSERT events")
    assert line_of(spans, stored) == ["POST /analytics/events", "publish", "INSERT events"]
    assert stored.service == "weir-sink"
    assert stored.attributes["messaging.destination.name"] == traced.weir.topic("page-views")
    [batch] = [
        each
        for each in traced.collector.spans
        if each.name == "INSERT events" and each.trace_id in stored.links
    ]
    assert parent.trace_id in batch.links
    assert batch.parent_id == ""


async def test_of_a_batch_a_bounded_number_of_messages_have_spans(traced: Traced) -> None:
    parent = Parent()
    events = [{"event_type": "page_view", "path": f"/many/{number}"} for number in range(500)]

    status, _ = await traced.send("POST", "/analytics/events", events, traceparent=parent.header)

    assert status == 202

    async def stored() -> bool:
        summary = await traced.weir.summary()
        return sum(path.startswith("/many/") for path in summary) == 500

    await traced.weir.eventually(stored)
    spans = await traced.trace(parent, "INSERT events")
    batches = {link for each in spans for link in each.links}
    assert len([each for each in spans if each.name == "INSERT events"]) <= 32 * len(batches)


async def test_what_is_reported_to_stripe_is_part_of_the_trace_of_its_event(
    traced: Traced,
) -> None:
    parent = Parent()

    status, _ = await traced.send(
        "POST",
        "/analytics/events",
        {
            "event_type": "conversion",
            "path": "/checkout",
            "metadata": {"stripe_customer_id": "cus_traced", "value": 3},
        },
        traceparent=parent.header,
    )

    assert status == 202
    spans = await traced.trace(
        parent, "stripe meter_events.create", "INSERT usage_reports", "INSERT events"
    )
    to_report = ["POST /analytics/events", "publish", "metering", "usage report"]
    assert line_of(spans, one(spans, "stripe meter_events.create")) == [
        *to_report,
        "stripe meter_events.create",
    ]
    assert line_of(spans, one(spans, "INSERT usage_reports")) == [
        *to_report,
        "INSERT usage_reports",
    ]
    assert "cus_traced" not in repr(spans)
    assert traced.stripe.wrong == []


async def test_a_spend_is_traced_to_the_ledger(traced: Traced) -> None:
    parent = Parent()

    status, _ = await traced.send("POST", "/api/user/plan", {"count": 1}, traceparent=parent.header)

    assert status == 200
    spans = await traced.trace(parent, "INSERT quota_decisions", "POST /api/user/plan")
    assert line_of(spans, one(spans, "INSERT quota_decisions")) == [
        "POST /api/user/plan",
        "publish",
        "quota decision",
        "INSERT quota_decisions",
    ]


HOSTILE: Final = (
    "",
    "00",
    "x" * 60_000,
    "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
    "00-" + "A" * 32 + "-" + "1" * 16 + "-01",
    "ff-" + "a" * 32 + "-" + "1" * 16 + "-01",
    "00-" + "a" * 32 + "-" + "1" * 16 + "-01-more",
)


@pytest.mark.parametrize("parent", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_traceparent_that_is_none_changes_nothing(traced: Traced, parent: str) -> None:
    path = f"/hostile/{uuid4()}"
    message = orjson.dumps(
        {
            "event_id": str(uuid4()),
            "event_type": "page_view",
            "path": path,
            "occurred_at": "2026-11-01T00:00:00.000Z",
        }
    )
    identity = orjson.loads(message)["event_id"].encode()

    status, _ = await traced.send(
        "POST",
        "/analytics/events",
        {"event_type": "page_view", "path": path},
        traceparent=parent,
        tracestate="ü=" + "y" * 2_000,
    )
    await traced.weir.produce(
        "page-views", [(identity, message)], [("traceparent", parent.encode())]
    )
    spent, _ = await traced.send("POST", "/api/user/plan", {"count": 1}, traceparent=parent)

    assert (status, spent) == (202, 200)

    async def stored() -> bool:
        return (await traced.weir.summary()).get(path) == 2

    await traced.weir.eventually(stored)
    assert traced.weir.query("SELECT count() FROM dead_letters") == [(0,)]


async def test_lines_of_the_log_have_the_trace_of_what_they_tell_of(traced: Traced) -> None:
    parent = Parent(recorded=False)

    status, _ = await traced.send(
        "POST", "/social/post", {"prompt": PROMPT}, traceparent=parent.header
    )

    assert status == 200
    lines: list[str] = []

    async def told() -> bool:
        # What a process said is in its log a moment later, and may be half a line then.
        lines[:] = [
            line
            for process in traced.weir.processes
            for line in process.last_lines(200)
            if parent.trace_id in line and '"post decided"' in line and line.endswith("}")
        ]
        return bool(lines)

    await traced.weir.eventually(told)
    [decided] = map(orjson.loads, lines)
    assert len(decided["span_id"]) == 16
    # Nobody recorded it, and it has a name all the same.
    assert traced.collector.of_trace(parent.trace_id) == []


async def test_what_stripe_tells_of_is_traced_to_the_plan(traced: Traced) -> None:
    parent = Parent()
    customer = traced.stripe.objects.create_customer({"metadata": {"user_id": "u-traced"}})
    now = int(time())
    body = snapshot_event("customer.updated", customer, event_id="evt_traced", created=now)
    signature = signed(body, WEBHOOK_SECRET, now)

    status, answer = await traced.send(
        "POST",
        "/stripe/webhook",
        body,
        traceparent=parent.header,
        **{"Stripe-Signature": signature},
    )

    assert (status, answer) == (200, {"received": True})
    spans = await traced.trace(parent, "INSERT quota_decisions", "INSERT stripe_customers")
    to_event = ["POST /stripe/webhook", "publish", "stripe event"]
    assert line_of(spans, one(spans, "stripe customers.retrieve")) == [
        *to_event,
        "stripe customers.retrieve",
    ]
    assert line_of(spans, one(spans, "INSERT quota_decisions")) == [
        *to_event,
        "quota decision",
        "INSERT quota_decisions",
    ]


async def test_without_a_collector_messages_have_no_headers_of_traces(
    services: Services, tmp_path: Path
) -> None:
    async with throwaway_weir(services, tmp_path) as weir, LogOfTopics(weir, TOPICS) as log:
        before = await log.ends()
        await weir.keep(weir.start_quotas)
        await weir.keep(weir.start_social)
        await weir.start_api()
        await weir.eventually(weir.decides)
        for path, document in (
            ("/analytics/events", {"event_type": "page_view", "path": "/untraced"}),
            ("/social/post", {"prompt": PROMPT}),
        ):
            async with weir.session.post(
                weir.url + path, json=document, headers={"traceparent": Parent().header}
            ) as answer:
                assert answer.status in (200, 202)

        written = await log.since(before)
    names = {name for _, record in written for name, _ in record.headers}
    assert {"page-views", "generation-results"} <= {topic for topic, _ in written}
    assert not names & TRACE_HEADERS
    assert names >= REPLY_HEADERS


async def test_a_collector_that_hangs_holds_up_neither_requests_nor_the_end(
    services: Services, tmp_path: Path
) -> None:
    collector = Collector(hangs=True)
    async with served(collector) as endpoint, throwaway_weir(services, tmp_path) as weir:
        process = await weir.start_api({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
        for number in range(200):
            status, _ = await weir.post(
                "/analytics/events", {"event_type": "page_view", "path": f"/{number}"}
            )
            assert status == 202
        await weir.eventually(collector.is_asked)
        began = monotonic()
        process.terminate()
        assert await process.stop(15) == 0
        # A second for the collector and what a stop takes anyway; the SDK by itself takes 30.
        assert monotonic() - began < 10
