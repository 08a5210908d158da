"""`weir quota` against a real Weir: what is shown and changed, and how it ends."""

import asyncio
import re
import subprocess
import sys

import orjson
import pytest

from tests.api.identity.credentials import signed
from tests.api.quotas.people import Person
from tests.weir import Json, Weir

pytestmark = pytest.mark.services

EVIL = "u\x1b[31m/1"
"""No token names such a user; a producer's command might."""


async def run(weir: Weir, *arguments: str, token: str | None = None) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.commands",
        "quota",
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={
            "WEIR_URL": weir.url,
            "WEIR_TOKEN": an_admins(weir) if token is None else token,
            "PATH": "",
            "PYTHONPATH": ":".join(sys.path),
            "COLUMNS": "80",
        },
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


def an_admins(weir: Weir) -> str:
    return signed(weir, sub="root", roles=["admin"], aud=None)


async def shown(weir: Weir, user: str) -> Json:
    code, output, errors = await run(weir, "show", user, "--json")
    assert code == 0, errors
    return orjson.loads(output)


async def test_accounts_are_shown_and_changed(weir: Weir) -> None:
    await weir.start_api({"WEIR_AUTH": "required", "WEIR_QUOTA_TIMEOUT": "1"})

    # Nobody decides yet; what is said to be done then is done once.
    code, _, errors = await run(weir, "grant", "u-42", "50", "--lasts", "used")
    assert code == 75
    key = re.search(r"--key (\S+)", errors)
    assert key is not None, errors
    worker = weir.start_quotas()
    user = Person(weir, "u-42")

    async def decides() -> bool:
        return (await user.ask("GET", "/api/user/plan")).status == 200

    await weir.eventually(decides, within=120, process=worker)
    for _ in range(2):
        code, output, errors = await run(
            weir, "grant", "u-42", "50", "--lasts", "used", "--key", key[1]
        )
        assert code == 0, errors
        assert "u-42 is on free: 0 of 150 credits used, 150 remain." in output

    spend_id = (await user.spend(120)).json["spend_id"]
    code, output, errors = await run(weir, "refund", "u-42", spend_id, "--count", "20")
    assert code == 0, errors
    assert output.startswith("20 credits are given back.\n")
    code, _, errors = await run(weir, "refund", "u-42", spend_id)
    assert (code, errors) == (1, "weir quota: this spend was refunded already\n")

    period = ("--period-start", "2026-11-12T08:00:00Z", "--period-end", "2099-12-12T08:00:00Z")
    code, output, errors = await run(weir, "set-plan", "u-42", "pro", *period)
    assert code == 0, errors
    assert "u-42 is on pro: " in output
    assert "to 2099-12-12T08:00:00.000Z." in output
    assert (await shown(weir, "u-42"))["plan"] == "pro"

    for arguments, says in (
        (["set-plan", "u-42", "gold"], "GET /api/plans lists them"),
        (["grant", "u-42", "0"], "count must be at least 1"),
        (["refund", "u-42", "none"], "spend_id must be a UUID"),
        (["show", EVIL], "control character"),
    ):
        code, output, errors = await run(weir, *arguments)
        assert (code, output) == (1, "")
        assert says in errors
        assert "\x1b" not in errors
    assert (await run(weir, "set-plan", "u-42", "pro", *period[:2]))[0] == 2

    # Names with slashes are one user's.
    assert (await shown(weir, "https://issuer.example/u?x=1"))["quota_used"] == 0

    code, _, errors = await run(weir, "show", "u-42", token="")
    assert code == 1
    assert "WEIR_TOKEN" in errors
    alices = signed(weir, sub="alice", aud=None)
    code, _, errors = await run(weir, "show", "u-42", token=alices)
    assert code == 1
    assert "admin" in errors
    assert alices not in errors


async def test_without_a_weir_it_says_what_to_set(weir: Weir) -> None:
    weir.url = "http://127.0.0.1:1"
    code, _, errors = await run(weir, "show", "u-42", token="")
    assert code == 69
    assert "WEIR_URL" in errors
    assert "Traceback" not in errors
