"""Kafka loses its data: accounts are made again from the ledger, and old keys are still known."""

import asyncio
import shutil
from functools import partial
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from typer.testing import CliRunner

from deploy.commands.quota import quota
from tests.api.quotas.people import Person, an_admin
from tests.weir import Json, Weir, all_taken

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]


async def answers(person: Person) -> bool:
    return (await person.ask("GET", "/api/user/plan")).status == 200


async def of(admin: Person, user: Person, what: str, method: str = "GET") -> Json:
    answer = await admin.ask(method, f"/api/users/{user.user_id}/{what}")
    assert answer.status == 200, answer.body
    return answer.json


async def command(weir: Weir, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of `weir quota`."""
    done = await asyncio.to_thread(
        CliRunner().invoke, quota, arguments, env={"WEIR_URL": weir.url, "WEIR_TOKEN": ""}
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


async def test_accounts_are_rebuilt_after_the_loss_of_kafkas_data(weir: Weir) -> None:
    sink, worker = weir.start_sink(), weir.start_quotas()
    api = await weir.start_api({"WEIR_RATE_LIMIT_USER": ""})
    admin = an_admin(weir)
    user, other, idle = (Person(weir, f"{name}-{uuid4().hex[:8]}") for name in ("u", "o", "i"))
    await weir.eventually(partial(answers, user), process=worker)

    # A history of every kind, kept under keys that clients may send again.
    users = f"/api/users/{user.user_id}"
    assert (await admin.ask("PUT", f"{users}/plan", {"plan": "business"})).status == 200
    first = await user.spend(300, "first")
    undone = await user.spend(50, "undone")
    assert (
        await admin.ask("POST", f"{users}/top-ups", {"count": 40, "lasts": "used"})
    ).status == 200
    spend_id = undone.json["spend_id"]
    document = {"spend_id": spend_id}
    assert (await admin.ask("POST", f"{users}/refunds", document)).status == 200
    # More than one command can bring back to memory.
    many = await asyncio.gather(*(user.spend(1, f"many {number}") for number in range(520)))
    assert {each.status for each in many} == {200}
    refused = await user.spend(20_000, "too much")
    assert refused.status == 403
    assert (await user.spend(9_200, "last")).status == 200
    assert (await other.spend(100, "again")).status == 200
    before = await user.plan()
    assert (before["plan"], before["quota_used"], before["remaining"]) == ("business", 10_020, 20)
    assert (await of(admin, user, "ledger"))["agrees"]
    await weir.eventually(partial(all_taken, weir), process=sink)

    # Kafka's data is lost, and the workers' folders with it.
    for process in (worker, api, sink):
        await process.stop(15)
    await weir.drop_topics()
    await weir.prepare()
    shutil.rmtree(Path(weir.environment["WEIR_DATA_DIR"]) / "quotas", ignore_errors=True)
    sink, worker = weir.start_sink(), weir.start_quotas()
    api = await weir.start_api({"WEIR_RATE_LIMIT_USER": ""})
    await weir.eventually(partial(answers, user), process=worker)
    assert (await user.plan())["plan"] == "free"
    # What is spent before the rebuild counts too, under a key that is not known any more.
    meanwhile = await other.spend(7, "again")
    assert meanwhile.status == 200
    await weir.eventually(partial(all_taken, weir), process=sink)

    rebuilt = await of(admin, user, "rebuild", "POST")
    assert rebuilt["before"]["plan"] == "free"
    assert rebuilt["after"] == before == await user.plan()
    # The refused spend is remembered too.
    assert [rebuilt[name] for name in ("changes", "remembered")] == [526, 527]
    code, output, errors = await command(weir, "check", other.user_id)
    assert (code, output) == (1, "")
    assert "107 credits used on free" in errors
    # All at once, that one again too.
    code, output, errors = await command(weir, "rebuild", "--all", "--json")
    assert (code, errors) == (0, "2 rebuilt, 0 not\n")
    found = {each["user_id"]: each for each in map(orjson.loads, output.splitlines())}
    assert found[user.user_id]["before"] == found[user.user_id]["after"] == before
    used = [found[other.user_id][name]["quota_used"] for name in ("before", "after")]
    assert used == [7, 107]
    code, output, errors = await command(weir, "check", "--all")
    assert (code, errors, output.splitlines()[-1]) == (0, "", "2 agree, 0 not")
    code, output, errors = await command(weir, "rebuild", idle.user_id)
    assert (code, output) == (1, "")
    assert "nothing to rebuild" in errors

    # Sent again: answered as then, done once. What was undone cannot be undone twice.
    assert (await user.spend(300, "first")).body == first.body
    assert (await user.spend(20_000, "too much")).body == refused.body
    assert (await user.spend(1, "many 519")).body == many[519].body
    assert (await user.spend(301, "first")).status == 422
    assert (await other.spend(7, "again")).body == meanwhile.body
    again = await admin.ask("POST", f"{users}/refunds", document)
    assert again.problem(409)["code"] == "already_refunded"
    assert (await user.spend(21)).status == 403
    assert await user.plan() == before

    # The account goes on from there.
    assert (await user.spend(20)).json["remaining"] == 0
    assert (await of(admin, user, "ledger"))["agrees"]
    assert all(process.running for process in (sink, worker, api))
