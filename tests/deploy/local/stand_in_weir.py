"""`python -m tests.deploy.local.stand_in_weir FOLDER JSON`: the supervisor over stand-ins.

The JSON is a list of `[name, words, after]`.
"""

import asyncio
import json
import sys
from pathlib import Path

from rich.console import Console

from deploy.local.display import display_for
from deploy.local.parts import Part
from deploy.local.supervisor import Supervisor

_PART = str(Path(__file__).with_name("stand_in_part.py"))


def main(folder: Path, specification: str) -> int:
    parts = [
        Part(
            name=name,
            title=name.upper(),
            command=[sys.executable, _PART, name, str(folder / "trace"), *words],
            stop_deadline=1.0,
            after=tuple(after),
            once="step" in words,
            restarts="starts-once-more" in words or "starts-for-ever" in words,
        )
        for name, words, after in json.loads(specification)
    ]
    display = display_for(Console())
    # A busy machine takes longer to start a part than a test wants to wait for one that is silent.
    silent = 2.0 if "busy" in specification or "long" in specification else 10.0
    supervisor = Supervisor(
        parts,
        folder / "logs",
        display,
        silent_seconds=silent,
        stop_seconds=1.5,
        refused_seconds=0.1,
    )
    return asyncio.run(supervisor.run(lambda: display.say("all are ready")))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
