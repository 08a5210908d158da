"""Every command in README and docs that is marked `run` works as it stands there.

They run in order, document by document, against one `weir up` on its default settings but for free
ports, in a folder that looks like a checkout. Where a document shows an output, that is what comes.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import clickhouse_connect
import pytest

from deploy.local.settings import LocalSettings
from tests.fenced import RUNNABLE, Block, Step, blocks, looks_like
from tests.ports import free_ports
from tests.programs import required_program

CHECKOUT: Final = Path(__file__).parents[2]
README: Final = CHECKOUT / "README.md"
DOCUMENTS: Final = (README, *sorted((CHECKOUT / "docs").glob("*.md")))
RUN: Final = "run"
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

STEP_SECONDS: Final = 60
SEEN_WITHIN: Final = 30.0
"""Seconds until what was sent is in an answer; the sink waits for more before it stores."""

_SETTINGS: Final = ("WEIR_", "KAFKA_", "CLICKHOUSE_", "STRIPE_", "OPENAI_", "OTEL_")
# A question may be asked again, until what was sent before is in its answer.
_QUESTION: Final = re.compile(r"^curl (?!.*\s(?:-d|-X|-T|--data\S*)\s)", re.DOTALL)
_PROBLEM: Final = re.compile(r'"status":\s*[45]\d\d|"status":\s*"rejected"|"errors":')
# Keeps what a step sets for those that follow it in its document.
_SHELL: Final = """
[ -f {state} ] && . {state}
trap 'export -p > {state}' EXIT
set -aeuo pipefail
{command}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that looks like a checkout, where a Weir runs, and the environment for it."""

    folder: Path
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.environment['WEIR_API_PORT']}"

    def here(self, text: str) -> str:
        """The text with this Weir's ports in the place of the default ones."""
        ports = {
            str(field.default): self.environment[field.alias]
            for field in LocalSettings.model_fields.values()
            if field.alias is not None and field.alias.endswith("_PORT")
        }
        return re.sub(
            r"\b(127\.0\.0\.1:|localhost:|port=)(\d+)\b",
            lambda found: f"{found[1]}{ports.get(found[2], found[2])}",
            text,
        )


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
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: each.parent.name + "-" + each.stem)
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
        answer = f'{{"items":[{{"path":"/from-{client}","count":1,"visitors":1}}]}}'
        until_shown(running, question, answer.replace('"visitors":1', '"visitors":0'))


def run(place: Place, block: Block, step: Step) -> None:
    """Runs one step; it must end well, and say what its document shows."""
    command = place.here(step.command)
    for program in ("kcat", "curl"):
        if re.search(rf"\b{program}\b", command):
            required_program(program)
    match block.language:
        case "python":
            said = ended_well(place, block.place, [sys.executable, "-c", command])
        case "sql":
            said = ""
            ask_clickhouse(place, command)
        case _ if step.output and _QUESTION.match(command):
            said = until_shown(place, command, step.output)
        case _:
            said = ended_well(place, block.place, shell(command))
    if step.output:
        assert looks_like(step.output, said), f"{block.place} shows {step.output}, and is {said}"
    else:
        assert not _PROBLEM.search(said), f"{block.place}: {said}"


def shell(command: str) -> list[str]:
    return ["bash", "-c", _SHELL.format(state="./state", command=command)]


def ended_well(place: Place, name: str, command: list[str]) -> str:
    done = subprocess.run(
        command,
        cwd=place.folder,
        env=place.environment,
        # Who types a command that asks whether it may says that it may.
        input="y\n",
        capture_output=True,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{name}: {command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def until_shown(place: Place, command: str, shown: str) -> str:
    """What a question is answered when it is as shown, or at the end of a time."""
    deadline = time.monotonic() + SEEN_WITHIN
    while not looks_like(shown, said := ended_well(place, "a question", shell(command))):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return said


def ask_clickhouse(place: Place, question: str) -> None:
    port = int(place.environment["WEIR_CLICKHOUSE_PORT"])
    with clickhouse_connect.get_client(host="127.0.0.1", port=port, database="weir") as client:
        client.query(question)


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
