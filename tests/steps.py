"""Runs what documents tell their readers to run, in a folder and beside a Weir of its own."""

import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import clickhouse_connect

from deploy.local.settings import LocalSettings
from tests.fenced import Block, Step, looks_like
from tests.programs import required_program

STEP_SECONDS: Final = 60
SEEN_WITHIN: Final = 30.0
"""Seconds until what was sent is in an answer; the sink waits for more before it stores."""

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
