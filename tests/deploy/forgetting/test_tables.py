"""ClickHouse rewrites what there is to rewrite, and is waited for without an open request."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from deploy.billing.clickhouse_questions import Parameters, Questions, opened_questions
from deploy.forgetting.customers import with_customers
from deploy.forgetting.mutations import Mutations, StillRewriting
from deploy.forgetting.shown import at_stripe
from deploy.forgetting.subject import Subject
from deploy.forgetting.tables import EVENTS, REPORTS, TABLES, erase, take_names_off
from schemas.meters import Meters, MetersSettings, read_meters
from tests.weir import Weir

pytestmark = pytest.mark.services

ANN = Subject("ann", customers=("cus_ann",))
# Migrations leave some, too.
MUTATIONS = """
SELECT table, is_done FROM system.mutations
WHERE database = currentDatabase() AND command LIKE '%SHA256%' ORDER BY ALL
"""


class Killed(Exception):
    pass


@pytest.fixture
def questions(weir: Weir) -> Iterator[Questions]:
    with opened_questions(weir.clickhouse) as opened:
        yield opened


@pytest.fixture
def meters() -> Meters:
    return read_meters(MetersSettings().meters_path)


def waiting(questions: Questions, seconds: float = 30) -> Mutations:
    return Mutations(questions, cluster=False, say=lambda _: None, seconds=seconds)


def report(questions: Questions, user: str, customer: str, event_id: UUID | None = None) -> None:
    questions.command(
        "INSERT INTO usage_reports (change_id, report_id, event_id, user_id, customer_id) "
        "SELECT generateUUIDv4(), generateUUIDv4(), {event:Nullable(UUID)}, {user:String}, "
        "{customer:String}",
        {"event": event_id and str(event_id), "user": user, "customer": customer},
    )


def event(
    questions: Questions, user: str, metadata: str = "{}", event_type: str = "conversion"
) -> UUID:
    event_id = uuid4()
    questions.command(
        "INSERT INTO events (event_id, event_type, path, user_id, metadata) "
        "SELECT {event:UUID}, {type:String}, '/checkout', {user:String}, {metadata:String}",
        {"event": str(event_id), "type": event_type, "user": user, "metadata": metadata},
    )
    return event_id


def link(questions: Questions, user: str, customer: str) -> None:
    questions.command(
        "INSERT INTO stripe_customers (change_id, user_id, customer_id) "
        "SELECT generateUUIDv4(), {user:String}, {customer:String}",
        {"user": user, "customer": customer},
    )


async def test_nothing_is_rewritten_where_nothing_is_found(
    questions: Questions, meters: Meters, weir: Weir
) -> None:
    report(questions, "bob", "cus_company")
    # The user's own: it is deleted, so no name is taken off.
    report(questions, "ann", "cus_ann")
    await take_names_off(questions, waiting(questions), ANN, meters)
    for table in TABLES:
        if table is not REPORTS:
            await erase(questions, waiting(questions), table, ANN)
    assert weir.query(MUTATIONS) == []
    await erase(questions, waiting(questions), REPORTS, ANN)
    assert weir.query(MUTATIONS) == [("usage_reports", 1)]


async def test_a_name_is_taken_off_what_others_pay_for_and_not_again(
    questions: Questions, meters: Meters, weir: Weir
) -> None:
    report(questions, "ann", "cus_company")
    await take_names_off(questions, waiting(questions), ANN, meters)
    assert weir.query("SELECT user_id, customer_id FROM usage_reports") == [("", "cus_company")]
    await take_names_off(questions, waiting(questions), ANN, meters)
    assert weir.query(MUTATIONS) == [("usage_reports", 1)]


async def test_what_takes_long_is_waited_for_up_to_a_bound_and_goes_on(
    questions: Questions, weir: Weir
) -> None:
    report(questions, "ann", "")
    questions.command("SYSTEM STOP MERGES usage_reports", {})
    with pytest.raises(StillRewriting, match="run this again"):
        await erase(questions, waiting(questions, 0.5), REPORTS, ANN)
    questions.command("SYSTEM START MERGES usage_reports", {})
    await erase(questions, waiting(questions), REPORTS, ANN)
    assert weir.query("SELECT count() FROM usage_reports") == [(0,)]
    await erase(questions, waiting(questions), EVENTS, ANN)


def test_customers_are_learnt_beside_those_known_and_shared_ones_only_pay(
    questions: Questions, meters: Meters
) -> None:
    known = Subject("ann", customers=("cus_before",))
    report(questions, "ann", "cus_company")
    link(questions, "ann", "cus_ann")
    link(questions, "ann", "cus_shared")
    link(questions, "bob", "cus_shared")
    learnt = with_customers(questions, known, meters)
    assert learnt.customers == ("cus_ann", "cus_before")
    assert learnt.paid_by == ("cus_company", "cus_shared")
    assert learnt.linked == ("cus_shared",)
    assert learnt.salt == known.salt
    assert with_customers(questions, learnt, meters) == learnt


def test_a_customer_that_others_use_is_billed_to_is_not_the_users_alone(
    questions: Questions, meters: Meters
) -> None:
    for company in ("cus_reported", "cus_owing"):
        # Who checked out is linked; the others' use names the customer.
        link(questions, "ann", company)
    report(questions, "bob", "cus_reported")
    # As without STRIPE_API_KEY: it is stored, and not reported yet.
    event(questions, "bob", '{"stripe_customer_id":"cus_owing"}')
    link(questions, "ann", "cus_ann")
    report(questions, "ann", "cus_ann")
    report(questions, "", "cus_ann")
    event(questions, "", '{"stripe_customer_id":"cus_ann"}')
    # Neither is billed to anybody: what is no meter's, and what a page sent.
    event(questions, "bob", '{"stripe_customer_id":"cus_ann"}', "page_view")
    event(questions, "bob", '{"stripe_customer_id":"cus_ann","weir_site":"site_a"}')
    learnt = with_customers(questions, Subject("ann"), meters)
    assert learnt.customers == ("cus_ann",)
    assert learnt.paid_by == learnt.linked == ("cus_owing", "cus_reported")
    said = at_stripe(learnt)
    assert [each for each in said if "delete the customer" in each] == [said[0]]
    assert "cus_ann" in said[0]
    # Also of one that was the user's alone until now.
    report(questions, "bob", "cus_ann")
    learnt = with_customers(questions, learnt, meters)
    assert learnt.customers == ()
    assert learnt.linked == ("cus_ann", "cus_owing", "cus_reported")


async def test_a_name_is_taken_off_events_that_others_pay_for_by_the_users_link(
    questions: Questions, meters: Meters, weir: Weir, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = event(questions, "ann", '{"value":3,"note":"ann"}')
    report(questions, "ann", "", linked)
    report(questions, "ann", "cus_company", linked)
    named = event(questions, "ann", '{"stripe_customer_id":"cus_company"}')
    # The user's own, what waits for a customer, and what is billed to nobody.
    report(questions, "ann", "cus_ann", event(questions, "ann"))
    report(questions, "ann", "", event(questions, "ann"))
    event(questions, "ann", '{"stripe_customer_id":"cus_company","weir_site":"site_a"}')
    others = event(questions, "bob")
    report(questions, "bob", "cus_company", others)

    # A kill may come before the reports are done.
    mutations = waiting(questions)
    run = mutations.run

    async def of_events(table: str, statement: str, parameters: Parameters) -> None:
        if table == "usage_reports":
            raise Killed
        await run(table, statement, parameters)

    monkeypatch.setattr(mutations, "run", of_events)
    with pytest.raises(Killed):
        await take_names_off(questions, mutations, ANN, meters)
    for _ in range(2):
        await take_names_off(questions, waiting(questions), ANN, meters)
        for table in TABLES:
            await erase(questions, waiting(questions), table, ANN)
        assert set(weir.query("SELECT event_id, user_id, path, metadata FROM events")) == {
            (linked, "", "/", '{"value":3}'),
            (named, "", "/", '{"stripe_customer_id":"cus_company"}'),
            (others, "bob", "/checkout", "{}"),
        }
        assert set(weir.query("SELECT event_id, user_id, customer_id FROM usage_reports")) == {
            (linked, "", "cus_company"),
            (others, "bob", "cus_company"),
        }
