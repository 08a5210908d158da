"""What is declared is what each process shows at `/metrics`, and it counts what was done."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import get_args
from uuid import uuid4

import pytest
import pytest_asyncio
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from deploy.local.ports import free_port
from schemas.metrics import METRICS, billing, consumers, edge, every_process, quotas, sink, social
from schemas.metrics.declaration import Process
from tests.api.requests import EVENTS, ask
from tests.api.sites.pages import created, send, view
from tests.scrapes import Scrape, scraped
from tests.services import Services
from tests.streams.billing.stage import a_conversion
from tests.stripe_fake import KEY, FakeStripe, served
from tests.weir import Json, Weir, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

PROCESSES: tuple[Process, ...] = get_args(Process)
PLAN = "/api/user/plan"

# Nothing fails here: these have samples once something does.
OF_FAILURES = {social.ERRORS, social.RETRIES, social.UNPRICED_CALLS}


@dataclass(frozen=True)
class Running:
    """A Weir with every process, and the port of each one's metrics."""

    weir: Weir
    ports: dict[Process, int]

    async def scrape(self, process: Process) -> Scrape:
        return await scraped(self.weir.session, self.ports[process])

    async def shows(self, process: Process, condition: Callable[[Scrape], bool]) -> None:
        """Waits until what the process shows is so."""

        async def so() -> bool:
            return condition(await self.scrape(process))

        await self.weir.eventually(so)


def an_event(**changed: Json) -> Json:
    return {"event_type": "badge_earned", "path": "/badges", **changed}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    ports: dict[Process, int] = {process: free_port() for process in PROCESSES}
    async with (
        throwaway_weir(services, tmp_path_factory.mktemp("metrics")) as weir,
        served(FakeStripe()) as stripe,
    ):
        weir.start_sink({"WEIR_SINK_PORT": str(ports["sink"])})
        await weir.keep(partial(weir.start_quotas, {"WEIR_QUOTAS_PORT": str(ports["quotas"])}))
        await weir.keep(partial(weir.start_social, {"WEIR_SOCIAL_PORT": str(ports["social"])}))
        at_stripe = {"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": stripe}
        own = {"WEIR_BILLING_PORT": str(ports["billing"]), **at_stripe}
        await weir.keep(partial(weir.start_billing, own))
        await weir.start_api(
            {
                "WEIR_API_METRICS_PORT": str(ports["api"]),
                "WEIR_HEARTBEAT_SECONDS": "0.5",
                "WEIR_SELF_ANALYTICS": "true",
                "WEIR_RATE_LIMIT_KEY": "3/hour",
            }
        )
        await weir.eventually(weir.decides)
        running = Running(weir, ports)
        await one_of_each(running)
        yield running


async def one_of_each(running: Running) -> None:
    """Does what is counted, and returns when the workers have done their part of it."""
    weir = running.weir
    first = an_event(event_id=str(uuid4()))
    # Twice the same: one is a known duplicate.
    for event in (first, first, an_event(), an_event()):
        assert (await weir.post(EVENTS, event))[0] == 202
    assert (await weir.post(EVENTS, an_event(path=3)))[0] == 422
    status, answer = await weir.post(EVENTS, [an_event(), an_event(), an_event(path=3)])
    assert (status, answer["accepted"], answer["rejected"]) == (202, 2, 1)
    await a_cloud_event(weir)
    site = await created(weir)
    statuses = [
        (await send(weir, site, view("/shop", event_type="badge_earned"))).status for _ in range(4)
    ]
    assert statuses == [202, 202, 202, 429]
    await weir.produce("custom-events", [(b"somebody", b"this is not JSON")])
    assert (await weir.post(PLAN, {"count": 60}))[0] == 200
    assert (await weir.post(PLAN, {"count": 41}))[0] == 403
    assert (await weir.post("/social/post", {"prompt": "our new espresso"}))[0] == 200
    await weir.produce("conversions", [a_conversion(customer="cus_metrics", value=3)])
    await running.shows("sink", lambda at: at.value(sink.MESSAGES, topic="custom-events") == 11)
    await running.shows("sink", lambda at: at.value(sink.ROWS, table="dead_letters") == 1)
    await running.shows("billing", lambda at: at.value(billing.REPORTS, state="sent") == 1)
    await running.shows("api", lambda at: at.value(edge.HEARTBEATS, outcome="stored") > 0)


async def a_cloud_event(weir: Weir) -> None:
    document = {
        "specversion": "1.0",
        "id": "A-1",
        "source": "/shop",
        "type": "badge_earned",
        "subject": "/badges",
    }
    async with weir.session.post(
        weir.url + EVENTS, json=document, headers={"Content-Type": "application/cloudevents+json"}
    ) as answer:
        assert answer.status == 202, await answer.text()


@pytest.mark.parametrize("process", PROCESSES)
async def test_a_process_shows_what_is_declared_for_it_and_nothing_else(
    running: Running, process: Process
) -> None:
    scrape = await running.scrape(process)
    declared = {metric.name: metric for metric in METRICS if process in metric.processes}
    shown = {name: (each.type, each.documentation) for name, each in scrape.families.items()}
    assert shown == {name: (each.kind, each.help) for name, each in declared.items()}
    for name, metric in declared.items():
        samples = scrape.families[name].samples
        assert samples or metric in OF_FAILURES, name
        for sample in samples:
            labels = {each: value for each, value in sample.labels.items() if each != "le"}
            assert labels.keys() == set(metric.label_names), name
            assert all(
                label.bounded(labels[label.name]) == labels[label.name] for label in metric.labels
            ), sample


@pytest.mark.parametrize("process", PROCESSES)
async def test_who_asks_for_openmetrics_gets_it(running: Running, process: Process) -> None:
    url = f"http://127.0.0.1:{running.ports[process]}/metrics"
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with running.weir.session.get(url, headers=accept) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        # prometheus-client gives this function no types.
        read = text_string_to_metric_families(await answer.text())  # type: ignore[no-untyped-call]
        families = {each.name: each for each in read}
    for metric in METRICS:
        if process in metric.processes and not metric.of_the_process:
            assert families[metric.name.removesuffix("_total")].unit == metric.unit


@pytest.mark.parametrize("process", PROCESSES)
async def test_a_process_says_what_it_is_and_that_all_its_parts_are_ready(
    running: Running, process: Process
) -> None:
    scrape = await running.scrape(process)
    assert scrape.value(every_process.BUILD_INFO, process=process) == 1
    parts = scrape.series(every_process.READY)
    assert len(parts) > 2
    assert scrape.value(every_process.READY) == len(parts)
    assert scrape.value(next(each for each in METRICS if each.name == "process_open_fds")) > 3


async def test_events_are_counted_by_their_way_in(running: Running) -> None:
    scrape = await running.scrape("api")
    for way, accepted, rejected in (("http", 6, 2), ("cloud_events", 1, 0), ("site", 3, 0)):
        assert scrape.value(edge.EVENTS_ACCEPTED, way=way) == accepted
        assert scrape.value(edge.EVENTS_REJECTED, way=way) == rejected
        assert scrape.value(edge.EVENTS_UNCONFIRMED, way=way) == 0
    assert scrape.value(edge.RATE_LIMITED, policy="key") == 1
    assert scrape.value(edge.RATE_LIMITED, policy="user") == 0
    # It begins before Kafka is connected to.
    unconfirmed = scrape.value(edge.HEARTBEATS, outcome="unconfirmed")
    assert scrape.value(edge.PUBLISH_FAILURES) == unconfirmed
    assert scrape.value(edge.UNCONFIRMED_LIMIT) == 67_108_864


async def test_requests_are_counted_by_the_template_of_their_route(running: Running) -> None:
    weir = running.weir
    before = await running.scrape("api")
    await ask(weir, "GET", "/social/posts/019ab0c2-7f00-7c3e-8f00-2a1b3c4d5e6f")
    await ask(weir, "HEAD", "/social/posts/019ab0c2-7f00-7c3e-8f00-2a1b3c4d5e6f")
    await ask(weir, "GET", "/nothing/here")
    await ask(weir, "GET", "/healthz?token=secret")
    after = await running.scrape("api")

    def more(**labels: str) -> float:
        return after.value(edge.REQUESTS, **labels) - before.value(edge.REQUESTS, **labels)

    assert more(route="/social/posts/{post_id}", method="GET", status="4xx") == 1
    assert more(route="/social/posts/{post_id}", method="HEAD", status="4xx") == 1
    # The last one is refused before any route is looked for.
    assert more(route="none", status="4xx") == 2
    assert before.value(edge.REQUESTS, route=EVENTS, method="POST", status="2xx") == 6
    assert before.value(edge.REQUEST_DURATION, "_count", route=EVENTS, method="POST") == 7
    assert 0 < before.value(edge.REQUEST_DURATION, "_sum", route=EVENTS) < 60


async def test_the_sink_counts_rows_copies_and_dead_letters(running: Running) -> None:
    scrape = await running.scrape("sink")
    custom = {"topic": "custom-events"}
    assert scrape.value(sink.DUPLICATES, **custom) == 1
    assert scrape.value(consumers.DEAD_LETTERS, **custom, reason="not_json") == 1
    assert scrape.value(consumers.DEAD_LETTERS) == 1
    assert 1 <= scrape.value(sink.BATCHES, **custom) <= 11
    assert scrape.value(sink.INSERT_FAILURES) == 0
    assert scrape.value(sink.INSERT_DURATION, "_count", table="quota_decisions") >= 1
    [[badges]] = running.weir.query("SELECT count() FROM events WHERE event_type = 'badge_earned'")
    assert badges == 11 - 1 - 1

    async def rows_are_those_of_the_table() -> bool:
        shown = (await running.scrape("sink")).value(sink.ROWS, table="events")
        return running.weir.query("SELECT count() FROM events") == [(shown,)]

    await running.weir.eventually(rows_are_those_of_the_table)


@pytest.mark.parametrize("process", ["sink", "quotas", "social", "billing"])
async def test_a_worker_that_has_done_all_is_behind_nowhere(
    running: Running, process: Process
) -> None:
    # Heartbeats go on.
    def quiet(scrape: Scrape) -> bool:
        of_heartbeats = scrape.value(consumers.LAG, topic="heartbeats")
        return scrape.value(consumers.LAG) - of_heartbeats <= 0

    await running.shows(process, quiet)
    scrape = await running.scrape(process)
    assert {each["topic"] for each in scrape.series(consumers.OLDEST)} == {
        each["topic"] for each in scrape.series(consumers.LAG)
    }
    assert scrape.value(consumers.OLDEST) < 30


async def test_quota_decisions_are_counted_by_what_became_of_them(running: Running) -> None:
    scrape = await running.scrape("quotas")
    # One of them was for the post.
    assert scrape.value(quotas.DECISIONS, kind="spend", outcome="applied") == 2
    assert scrape.value(quotas.DECISIONS, kind="spend", outcome="quota_exceeded") == 1
    assert scrape.value(quotas.DECISIONS, kind="spend", outcome="repeated") == 0
    assert scrape.value(quotas.DECISIONS, kind="show", outcome="applied") >= 1
    decided = scrape.value(quotas.DECISIONS)
    assert scrape.value(quotas.DECISION_DURATION, "_count") == decided
    assert scrape.value(consumers.RECOVERY) == 0


async def test_a_post_of_the_stub_is_made_of_two_calls_that_cost_nothing(running: Running) -> None:
    scrape = await running.scrape("social")
    assert scrape.value(social.GENERATIONS, outcome="done") == 1
    assert scrape.value(social.GENERATIONS) == 1
    assert scrape.value(social.GENERATION_DURATION, "_count") == 1
    assert scrape.value(social.CALLS, model="stub") == 2
    assert scrape.series(social.COST) == [{"model": "stub"}]
    assert scrape.value(social.COST) == 0
    assert scrape.value(social.IN_FLIGHT) == 0


async def test_what_is_told_to_stripe_is_counted(running: Running) -> None:
    scrape = await running.scrape("billing")
    assert scrape.value(billing.CALLS, call="reports") == 1
    assert scrape.value(billing.CALL_DURATION, "_count", call="reports") == 1
    assert scrape.value(billing.FAILURES) == 0
    assert scrape.value(billing.REPORTS, state="uncertain") == 0
    assert scrape.value(billing.STRIPE_PROBLEM) == 0


async def test_what_the_middleware_did_with_own_requests_is_shown(running: Running) -> None:
    await running.shows("api", lambda at: at.value(edge.OWN_EVENTS, outcome="sent") >= 3)
    scrape = await running.scrape("api")
    assert scrape.value(edge.OWN_EVENTS, outcome="dropped") == 0
    assert scrape.value(edge.OWN_EVENTS, outcome="skipped") > 0


async def test_heartbeats_are_found_and_are_no_events(running: Running) -> None:
    scrape = await running.scrape("api")
    assert scrape.value(edge.FRESHNESS, "_count") == scrape.value(edge.HEARTBEATS, outcome="stored")
    assert scrape.value(edge.HEARTBEAT_AGE) < 30
    weir = running.weir
    [[stored]] = weir.query("SELECT count() FROM heartbeats")
    assert stored > 0
    assert weir.query("SELECT count() FROM events WHERE path LIKE '%heartbeat%'") == [(0,)]
    assert weir.query("SELECT count() FROM known_ids WHERE topic LIKE '%heartbeats'") == [(0,)]


async def test_the_public_port_has_no_metrics(running: Running) -> None:
    assert (await ask(running.weir, "GET", "/metrics")).status == 404


async def test_while_no_sink_runs_the_newest_heartbeat_gets_older(
    services: Services, tmp_path: Path
) -> None:
    async with throwaway_weir(services, tmp_path) as weir:
        first = weir.start_sink()
        port = free_port()
        api = await weir.start_api(
            {"WEIR_API_METRICS_PORT": str(port), "WEIR_HEARTBEAT_SECONDS": "0.3"}
        )

        async def age() -> float:
            return (await scraped(weir.session, port)).value(edge.HEARTBEAT_AGE)

        async def stored() -> float:
            return (await scraped(weir.session, port)).value(edge.HEARTBEATS, outcome="stored")

        async def some_are_stored() -> bool:
            return await stored() > 1

        await weir.eventually(some_are_stored)
        first.terminate()
        assert await first.stop(15) == 0
        before = await stored()

        async def is_old() -> bool:
            return await age() > 5

        await weir.eventually(is_old)
        # What was on its way to ClickHouse may have been found since.
        assert await stored() <= before + 2
        weir.start_sink()

        async def is_young() -> bool:
            return await age() < 5 and await stored() > before + 10

        await weir.eventually(is_young)
        # Those that waited count with the time that they waited.
        scrape = await scraped(weir.session, port)
        assert scrape.value(edge.FRESHNESS, "_sum") > 5
        began = monotonic()
        api.terminate()
        assert await api.stop(15) == 0
        assert monotonic() - began < 5


async def test_a_port_of_metrics_that_is_taken_is_said_in_a_sentence(
    services: Services, tmp_path: Path
) -> None:
    async with throwaway_weir(services, tmp_path) as weir:
        port = free_port()
        await weir.start_api({"WEIR_API_METRICS_PORT": str(port)})
        second = weir.launch_api({"WEIR_API_METRICS_PORT": str(port)})
        assert await second.wait() == 1
        said = "\n".join(second.last_lines())
        assert f"weir api: 127.0.0.1:{port} cannot be listened on" in said
        assert "WEIR_API_METRICS_PORT" in said
        assert "Traceback" not in said
