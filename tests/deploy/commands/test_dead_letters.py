"""`weir dead-letters` against a real Weir: what is shown, what is done, how it ends."""

import asyncio
import subprocess
import sys
from functools import partial
from uuid import uuid4

import orjson
import pytest

from tests.weir import Json, Weir

UNKNOWN = "0192d2ab-0000-7000-8000-0000000000ff"


async def run(
    weir: Weir | None, *arguments: str, answer: str = "", url: str | None = None
) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    address = url if url is not None else weir.url if weir else ""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.commands",
        "dead-letters",
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"WEIR_URL": address, "PATH": "", "PYTHONPATH": ":".join(sys.path), "COLUMNS": "80"},
    )
    output, errors = await asyncio.wait_for(process.communicate(answer.encode()), 60)
    assert process.returncode is not None
    # A question leaves the blank behind it on the output.
    return process.returncode, output.decode().lstrip(" "), errors.decode()


async def lines(weir: Weir, *arguments: str) -> list[Json]:
    code, output, errors = await run(weir, "list", "--json", *arguments)
    assert code == 0, errors
    return [orjson.loads(line) for line in output.splitlines()]


async def count_is(weir: Weir, count: int, *arguments: str) -> bool:
    return len(await lines(weir, *arguments)) == count


def wrong_key(path: str) -> tuple[bytes, bytes]:
    event = {"event_id": str(uuid4()), "event_type": "page_view", "path": path}
    return b"another", orjson.dumps(event)


@pytest.mark.services
async def test_letters_are_listed_shown_replayed_and_discarded(weir: Weir) -> None:
    weir.start_sink()
    await weir.start_api()
    assert await run(weir, "list") == (0, "There are none.\n", "")
    evil = b'{"a": "\x1b]0;owned\x07 [red]", \xc2\x9b31m'
    await weir.produce("page-views", [wrong_key("/a"), wrong_key("/b"), (b"k\x1b[2J", evil)])
    await weir.eventually(partial(count_is, weir, 3))

    code, output, errors = await run(weir, "list")
    assert (code, errors) == (0, "")
    assert output.count("wrong_key") == 2
    assert output.count("not_json") == 1
    assert "\x1b" not in output
    [bad] = await lines(weir, "--reason", "not_json")
    assert bad["payload"] == evil.decode()
    code, output, errors = await run(weir, "show", bad["dead_letter_id"])
    assert code == 0
    assert r"\x1b]0;owned\x07 [red]" in output
    assert r"\x9b31m" in output
    assert r"k\x1b[2J" in output
    assert not set("\x1b\x07\x9b") & set(output)
    code, output, errors = await run(weir, "show", bad["dead_letter_id"], "--json")
    assert output.isascii()
    assert orjson.loads(output)["payload"] == evil.decode()

    # Asked first, and nothing is done without a yes.
    code, output, errors = await run(weir, "replay", "--all", answer="n\n")
    assert code == 1
    assert "ALL open dead letters" in errors
    assert await count_is(weir, 3)

    code, output, errors = await run(weir, "replay", "--all", "--yes")
    assert (code, output) == (1, "2 replayed, 1 not\n")
    assert f"{bad['dead_letter_id']}  not_json: " in errors
    await weir.eventually(partial(count_is, weir, 2, "--state", "replayed"))
    [replayed, _] = await lines(weir, "--state", "replayed")
    code, output, errors = await run(weir, "replay", "--yes", replayed["dead_letter_id"], UNKNOWN)
    assert (code, output) == (1, "0 replayed, 2 not\n")
    assert "was replayed at" in errors
    assert "there is no dead letter" in errors

    code, output, errors = await run(weir, "discard", "--all", "--reason", "not_json", answer="y\n")
    assert (code, output) == (0, "1 discarded, 0 not\n")
    assert "all open dead letters with reason not_json" in errors
    await weir.eventually(partial(count_is, weir, 0))
    assert await count_is(weir, 3, "--state", "all")
    assert await count_is(weir, 2, "--state", "all", "--limit", "2")


@pytest.mark.services
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["show", UNKNOWN], 1, "there is no dead letter"),
        (["show", "no uuid"], 1, "must be a UUID"),
        (["list", "--since", "yesterday"], 1, "from must be a date"),
        (["list", "--state", "lost"], 2, "lost"),
        (["replay"], 2, "name ids, or --all"),
        (["replay", UNKNOWN, "--all"], 2, "name ids, or --all"),
        (["replay", UNKNOWN, "--reason", "x"], 2, "name ids, or --all"),
        (["replay", "no-uuid", "--yes"], 1, "must be a UUID"),
    ],
)
async def test_what_cannot_be_done_is_said(
    weir: Weir, arguments: list[str], code: int, says: str
) -> None:
    await weir.start_api()
    ended, _, errors = await run(weir, *arguments)
    assert (ended, says in errors) == (code, True), errors
    assert "Traceback" not in errors


@pytest.mark.services
@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "no address"])
async def test_without_a_weir_it_says_what_to_set(url: str) -> None:
    ended, _, errors = await run(None, "list", url=url)
    assert ended == (69 if url.startswith("http") else 2)
    assert "WEIR_URL" in errors
    assert "Traceback" not in errors
