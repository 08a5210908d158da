"""Every command in README and docs that is marked `run` works as it stands there.

They run in order, document by document, against one `weir up` on its default settings but for free
ports, in a folder that looks like a checkout. Where a document shows an output, that is what comes.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.fenced import RUN, RUNNABLE, blocks, looks_like
from tests.ports import free_ports
from tests.steps import Place, run, until_shown

CHECKOUT: Final = Path(__file__).parents[2]
README: Final = CHECKOUT / "README.md"
DOCUMENTS: Final = (README, *sorted((CHECKOUT / "docs").glob("*.md")))
_SETTINGS: Final = ("WEIR_", "KAFKA_", "CLICKHOUSE_", "STRIPE_", "OPENAI_", "OTEL_")
NEEDS: Final[Mapping[str, str]] = {
    "needs-clone": "begins in a clean clone: test_one_machine runs it there",
    "needs-docker": "starts containers",
    "needs-kubernetes": "talks to a cluster of Kubernetes",
    "needs-stripe": "talks to an account at Stripe",
    "needs-openai": "talks to OpenAI, and is paid for",
    "needs-servers": "is for servers that a machine alone does not have, or their settings",
    "needs-ids": "names something that was there where it was written",
    "needs-analyst": "asks as a user of ClickHouse's, which the local one does not have",
    "needs-application": "is a part of somebody else's program",
}
"""What a block may need that no test has, in words."""


def place_in(folder: Path) -> Place:
    """All that is in the repository, by links, with this environment's programs as `.venv`."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    for name in {line.partition("/")[0] for line in listed.splitlines()}:
        (folder / name).symlink_to(CHECKOUT / name)
    (folder / ".venv").mkdir()
    programs = Path(sys.executable).parent
    (folder / ".venv" / "bin").symlink_to(programs)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    return Place(folder, {**kept, **free_ports(), "PATH": f"{programs}:{os.environ['PATH']}"})


def access_log() -> str:
    """An access log in which what the README shows is asked for most."""
    line = '{host} - - [{time} +0000] "GET {path} HTTP/1.1" 200 512 "-" "{agent}"\n'
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
    paths = 3 * ["/favicon.ico"] + 2 * ["/"] + ["/pricing"]
    return "".join(
        line.format(
            host=f"192.0.2.{visit}", time=f"24/Nov/2026:09:30:0{number}", path=path, agent=agent
        )
        for visit in range(100)
        for number, path in enumerate(paths)
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A `weir up` for all documents together."""
    folder = tmp_path_factory.mktemp("documents")
    place = place_in(folder)
    (folder / "access.log").write_text(access_log())
    output = folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["weir", "up"],
            cwd=folder,
            env=place.environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while "Weir is ready" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.05)
        yield place
        process.terminate()
        assert process.wait(60) == 0, output.read_text()
    finally:
        if process.poll() is None:
            process.kill()


@pytest.mark.services
@pytest.mark.timeout(600)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: str(each.relative_to(CHECKOUT)))
def test_every_command_that_is_marked_works(running: Place, document: Path) -> None:
    (running.folder / "state").unlink(missing_ok=True)
    for block in blocks(document):
        if block.word == RUN:
            for step in block.steps():
                run(running, block, step)


@pytest.mark.services
def test_what_each_client_in_events_sends_is_counted_once(running: Place) -> None:
    """After the documents: events.md has sent by all of them."""
    for client in ("aiokafka", "confluent-kafka", "kcat", "cloudevents", "kcat-as-cloudevent"):
        question = f"curl -sf '{running.url}/analytics/summary?path=/from-{client}'"
        answer = f'{{"items":[{{"path":"/from-{client}","count":1,"visitors":0}}]}}'
        assert looks_like(answer, until_shown(running, question, answer))


def test_every_block_that_could_run_is_marked_or_says_what_it_needs() -> None:
    unknown = [
        f"{block.place} ```{block.language} {block.word}"
        for document in DOCUMENTS
        for block in blocks(document)
        if block.language in RUNNABLE and block.word not in {RUN, *NEEDS}
    ]
    assert unknown == [], f"mark it `{RUN}`, or with one of {', '.join(NEEDS)}"


def test_the_first_steps_and_most_of_the_commands_are_run() -> None:
    marked = [block for block in blocks(README) if block.word == RUN]
    assert "curl -X POST http://127.0.0.1:8000/analytics/events" in marked[0].text
    found = [block for document in DOCUMENTS for block in blocks(document)]
    runs = [block for block in found if block.word == RUN]
    assert len(runs) > len([block for block in found if block.word in NEEDS])
