"""Asks two servers in turn, in windows too short for the machine to change between them.

`python -m bench.paired_load URL_A URL_B BODY CONNECTIONS WINDOWS SECONDS`, in a process of its own.
A window is a closed loop on one of them, right before or after one on the other; what is
reported is the median over the pairs, which a busy neighbour disturbs little.
"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import uvloop

from bench.http_load import Measured, run_load


@dataclass(frozen=True)
class Paired:
    """Medians over the windows: requests/s and p50 in ms of each, and of the pairs' ratios.

    `answers_a` and `answers_b` are all that each gave, those of the first turn too.
    """

    rate_a: float
    rate_b: float
    ratio: float
    p50_a: float
    p50_b: float
    p50_difference: float
    answers_a: int
    answers_b: int


async def run_pairs(
    urls: tuple[str, str], body: bytes, connections: int, windows: int, seconds: float
) -> Paired:
    pairs: list[tuple[Measured, Measured]] = []
    answers = [0, 0]
    for turn in range(windows + 1):
        measured: dict[int, Measured] = {}
        # Who comes first changes, so that whatever drifts favours neither.
        for which in (0, 1) if turn % 2 else (1, 0):
            measured[which] = await run_load(urls[which], body, connections, seconds)
            answers[which] += sum(measured[which].statuses.values())
        # The first turn warms up.
        if turn:
            pairs.append((measured[0], measured[1]))
    return Paired(
        median(a.rate for a, _ in pairs),
        median(b.rate for _, b in pairs),
        median(b.rate / a.rate for a, b in pairs),
        median(a.p50 for a, _ in pairs),
        median(b.p50 for _, b in pairs),
        median(b.p50 - a.p50 for a, b in pairs),
        *answers,
    )


async def paired_load(
    urls: tuple[str, str],
    body: bytes,
    *,
    connections: int,
    windows: int,
    seconds: float,
    folder: Path,
) -> Paired:
    """Runs it in a process of its own and returns what it measured."""
    file = folder / "body.json"
    file.write_bytes(body)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.paired_load", *urls, str(file)),
        *(str(connections), str(windows), str(seconds)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 4 * windows * seconds + 60)
    return Paired(**json.loads(output))


def main() -> None:
    url_a, url_b, file, connections, windows, seconds = sys.argv[1:]
    body = Path(file).read_bytes()
    found = uvloop.run(
        run_pairs((url_a, url_b), body, int(connections), int(windows), float(seconds))
    )
    sys.stdout.write(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
