"""`weir generate`: what is asked, shown and written, and how it ends."""

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from tests.deploy.commands.post_api import DETAIL, PNG, POST_ID, PostApi, running_api

pytestmark = pytest.mark.services

EVIL: Final = "\x1b[31mred\x07 \u202eback"
FAMILY: Final = "\N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL}"
TOKEN: Final = "a-token-of-alice"


@pytest_asyncio.fixture(loop_scope="session")
async def api() -> AsyncIterator[PostApi]:
    async with running_api() as running:
        yield running


async def started(
    api: PostApi, folder: Path, *arguments: str, errors: int = subprocess.PIPE
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.commands",
        "generate",
        *arguments,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd=folder,
        # Who runs these tests in the background ignores interrupts, and so would the command.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        env={
            "WEIR_URL": api.url,
            "WEIR_TOKEN": TOKEN,
            "PATH": "",
            "PYTHONPATH": ":".join([str(Path.cwd()), *sys.path]),
            "COLUMNS": "80",
            "TERM": "xterm",
        },
    )


async def run(api: PostApi, folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    process = await started(api, folder, *arguments)
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


def picture(number: int = 1) -> bytes:
    return PNG + f"{number:064}.png".encode()


async def test_piped_there_is_nothing_but_the_caption_and_the_pictures_path(
    api: PostApi, tmp_path: Path
) -> None:
    api.states = [
        404,
        api.post("queued"),
        503,
        api.post("generating"),
        api.done("Fresh\ncoffee ☕"),
    ]
    code, output, errors = await run(
        api, tmp_path, "espresso", "--platform", "x", "--tone", "witty"
    )
    assert (code, errors) == (0, "")
    assert output == "Fresh\ncoffee ☕\n\npost-019ab0c2.png\n"
    assert (tmp_path / "post-019ab0c2.png").read_bytes() == picture()
    [(document, headers)] = api.asked
    assert document == {
        "prompt": "espresso",
        "platform": "x",
        "tone": "witty",
        "language": "en",
        "variants": 1,
    }
    assert headers["Prefer"] == "respond-async"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert len(headers["Idempotency-Key"]) == 36


async def test_each_variant_has_a_file_and_json_names_them(api: PostApi, tmp_path: Path) -> None:
    api.states = [api.done("one", "two")]
    arguments = ("espresso", "--variants", "2", "--output", "cup.png")
    code, output, _ = await run(api, tmp_path, *arguments, "--json", "--key", "k-1")
    assert code == 0
    document = json.loads(output)
    assert document["files"] == ["cup-1.png", "cup-2.png"]
    assert document["id"] == POST_ID
    assert (tmp_path / "cup-2.png").read_bytes() == picture(2)
    assert api.asked[0][1]["Idempotency-Key"] == "k-1"

    # Again with the key it is the same post, into a folder too.
    assert (await run(api, tmp_path, *arguments, "--key", "k-1"))[0] == 0
    folder = tmp_path / "pictures"
    folder.mkdir()
    code, output, _ = await run(
        api, tmp_path, "espresso", "--variants", "2", "--output", "pictures"
    )
    assert code == 0
    assert output.splitlines()[2] == "pictures/post-019ab0c2-1.png"
    assert len(list(folder.iterdir())) == 2


async def test_a_file_that_is_there_stays_and_nothing_is_asked(
    api: PostApi, tmp_path: Path
) -> None:
    api.states = [api.done("one")]
    mine = tmp_path / "post-019ab0c2.png"
    mine.write_bytes(b"mine")
    for taken, says in ((mine, "is there already"), (tmp_path / "no" / "a.png", "no folder")):
        code, _, errors = await run(api, tmp_path, "espresso", "--output", str(taken))
        assert code == 2
        assert says in errors
    assert api.asked == []

    code, output, errors = await run(api, tmp_path, "espresso")
    assert (code, output) == (1, "")
    assert "post-019ab0c2.png is there already" in errors
    assert "--key" in errors
    assert mine.read_bytes() == b"mine"


async def test_what_a_terminal_would_obey_is_escaped_and_emojis_stay_whole(
    api: PostApi, tmp_path: Path
) -> None:
    api.states = [api.done(f"{FAMILY}\u00a0{EVIL}", stub=True)]
    code, output, errors = await run(api, tmp_path, "espresso")
    assert code == 0
    assert output.startswith(f"{FAMILY}\u00a0\\x1b[31mred\\x07 \\u202eback\n")
    assert errors.startswith("made by the stub")

    api.states = [api.post("failed", reason="content_refused", detail=EVIL, credits_refunded=1)]
    code, _, errors = await run(api, tmp_path, "espresso")
    assert code == 1
    assert errors == (
        "weir generate: the post failed: \\x1b[31mred\\x07 \\u202eback; 1 credit is given back\n"
    )


async def test_a_variant_that_is_missing_is_said_with_what_is_given_back(
    api: PostApi, tmp_path: Path
) -> None:
    detail = "1 of 2 variants could not be made: the content was refused."
    api.states = [api.done("one", credits_charged=2, credits_refunded=1, detail=detail)]
    code, output, errors = await run(api, tmp_path, "espresso", "--variants", "2")
    assert (code, output) == (0, "one\n\npost-019ab0c2-1.png\n")
    assert errors == f"{detail.rstrip('.')}; 1 credit is given back\n"


@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
async def test_a_used_up_quota_says_what_remains_and_until_when(
    api: PostApi, tmp_path: Path, *, late: bool
) -> None:
    detail = "1 credits would exceed the quota: 0 of 100 remain"
    if late:
        api.states = [api.post("failed", reason="quota_exceeded", detail=detail, credits_charged=0)]
    else:
        until = " until 2026-12-01T00:00:00.000Z"
        api.refusal = (403, {**DETAIL, "code": "quota_exceeded", "detail": detail + until})
    code, output, errors = await run(api, tmp_path, "espresso")
    assert (code, output) == (1, "")
    assert "0 of 100 remain until 2026-12-01T00:00:00.000Z" in errors


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (422, 1, "prompt must say something"),
        (401, 1, "WEIR_TOKEN"),
        (503, 75, "--key "),
    ],
)
async def test_a_refused_request_says_why_and_what_to_do(
    api: PostApi, tmp_path: Path, status: int, code: int, says: str
) -> None:
    api.refusal = (status, {**DETAIL, "detail": "prompt must say something"})
    ended, output, errors = await run(api, tmp_path, "espresso")
    assert (ended, output) == (code, "")
    assert says in errors
    assert TOKEN not in errors


async def test_what_is_not_done_in_time_is_named_with_its_key(api: PostApi, tmp_path: Path) -> None:
    api.states = [api.post("generating")]
    code, _, errors = await run(api, tmp_path, "espresso", "--timeout", "1", "--key", "k-7")
    assert code == 75
    assert f"the post goes on: GET /social/posts/{POST_ID}" in errors
    assert errors.endswith("--key k-7\n")


async def test_an_interrupt_says_that_the_post_goes_on_and_how_to_get_it(
    api: PostApi, tmp_path: Path
) -> None:
    api.states = [api.post("generating")]
    process = await started(api, tmp_path, "espresso", "--key", "k-7")
    await asyncio.wait_for(api.polled.wait(), 60)
    process.send_signal(signal.SIGINT)
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, output) == (130, b"")
    assert errors.decode() == (
        f"weir generate: interrupted; the post goes on: GET /social/posts/{POST_ID}.\n"
        "Run it again with this, and it is the same post: --key k-7\n"
    )


async def test_a_token_goes_to_no_other_address(api: PostApi, tmp_path: Path) -> None:
    api.states = [api.done("one")]
    assert (await run(api, tmp_path, "espresso", "--output", "a.png"))[0] == 0
    async with running_api() as elsewhere:
        api.other_origin = elsewhere.url
        api.states = [api.done("one")]
        assert (await run(api, tmp_path, "espresso", "--output", "b.png"))[0] == 0
    assert ["Authorization" in headers for headers in api.media_headers] == [True]
    assert ["Authorization" in headers for headers in elsewhere.media_headers] == [False]


async def test_without_a_weir_it_says_what_to_set(tmp_path: Path) -> None:
    api = PostApi()
    api.url = "http://127.0.0.1:1"
    code, _, errors = await run(api, tmp_path, "espresso")
    assert code == 69
    assert "WEIR_URL" in errors
    assert "Traceback" not in errors


def read_until_closed(terminal: int) -> bytes:
    """All that was written to a terminal, when nobody holds it any more."""
    written = b""
    with contextlib.suppress(OSError):  # EIO: its last holder has ended
        while piece := os.read(terminal, 1 << 12):
            written += piece
    return written


async def test_a_terminal_sees_the_state_and_the_output_stays_clean(
    api: PostApi, tmp_path: Path
) -> None:
    generating = api.post("generating", caption="Fresh coffee" + EVIL)
    api.states = [api.post("queued"), *[generating] * 5, api.done("Fresh coffee")]
    ours, theirs = pty.openpty()
    try:
        process = await started(api, tmp_path, "espresso", errors=theirs)
        os.close(theirs)
        reading = asyncio.create_task(asyncio.to_thread(read_until_closed, ours))
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0
        screen = (await reading).decode()
    finally:
        os.close(ours)
    assert output.decode() == "Fresh coffee\n\npost-019ab0c2.png\n"
    assert "waiting for its turn" in screen
    assert re.search(r"being made: Fresh coffee\\x1b\[31m", screen)
    assert "\x1b[31mred" not in screen
