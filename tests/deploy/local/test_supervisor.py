"""The supervisor over stand-in parts, as a process that is signalled like the real one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

Specification = list[tuple[str, list[str], list[str]]]


class Run:
    """One supervisor that runs, and what it and its parts have written so far."""

    def __init__(self, folder: Path, specification: Specification) -> None:
        self.folder = folder
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.deploy.local.stand_in_weir"),
                    *(str(folder), json.dumps(specification)),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    @property
    def trace(self) -> list[str]:
        """`start NAME`, `stop NAME` in the order in which they happened."""
        return [" ".join(line.split()[:2]) for line in self._lines() if line.split()[0] != "child"]

    @property
    def pids(self) -> list[int]:
        """The parts and what they started."""
        return [int(line.split()[2]) for line in self._lines() if len(line.split()) == 3]

    def until(self, holds: Callable[[], bool], deadline: float = 15) -> None:
        end = time.monotonic() + deadline
        while not holds():
            assert time.monotonic() < end, f"it did not come to it:\n{self.text}\n{self.trace}"
            time.sleep(0.01)

    def until_ready(self) -> None:
        self.until(lambda: "all are ready" in self.text)

    def until_none_lives(self) -> None:
        self.until(lambda: not any(map(_lives, self.pids)))

    def _lines(self) -> list[str]:
        trace = self.folder / "trace"
        return trace.read_text().splitlines() if trace.exists() else []


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[[Specification], Run]]:
    runs: list[Run] = []

    def run(specification: Specification) -> Run:
        runs.append(Run(tmp_path, specification))
        return runs[-1]

    yield run
    for each in runs:
        each.process.kill()
        each.process.wait()
        each.until_none_lives()


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


Supervise = Callable[[Specification], Run]
CHAIN: Specification = [
    ("kafka", [], []),
    ("topics", ["step"], ["kafka"]),
    ("sink", [], ["topics"]),
    ("api", ["with-child"], ["sink"]),
]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_parts_start_in_order_and_stop_in_reverse(supervise: Supervise, number: int) -> None:
    run = supervise(CHAIN)
    run.until_ready()
    run.process.send_signal(number)
    assert run.process.wait(10) == 0
    starts = ["start kafka", "start topics", "start sink", "start api"]
    assert run.trace == [*starts, "stop api", "stop sink", "stop kafka"]
    assert "Stopping API, SINK, KAFKA" in run.text
    run.until_none_lives()


def test_what_waits_for_a_part_that_is_not_ready_is_not_started(supervise: Supervise) -> None:
    run = supervise([("kafka", ["mute"], []), ("sink", [], ["kafka"])])
    run.until(lambda: "start kafka" in run.trace)
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(10) == 0
    assert run.trace == ["start kafka", "stop kafka"]
    assert "all are ready" not in run.text


def test_ctrl_c_is_obeyed_during_a_download(supervise: Supervise) -> None:
    run = supervise([("kafka", ["busy"], []), ("clickhouse", ["busy"], [])])
    run.until(lambda: run.text.count("downloading") == 2 or len(run.trace) == 2)
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(10) == 0
    assert sorted(run.trace[2:]) == ["stop clickhouse", "stop kafka"]


def test_a_crash_is_reported_with_its_reason_and_stops_the_rest(supervise: Supervise) -> None:
    run = supervise([("kafka", [], []), ("sink", ["fails"], ["kafka"])])
    assert run.process.wait(10) == 1
    assert "Weir stops: SINK ended with exit code 3." in run.text
    assert "  sink has a reason to fail" in run.text
    assert str(run.folder / "logs" / "sink.log") in run.text
    assert run.trace[-1] == "stop kafka"


def test_a_part_that_cannot_start_is_reported_by_what_it_says_is_wrong(
    supervise: Supervise,
) -> None:
    run = supervise([("sink", ["mute", "refuses"], [])])
    assert run.process.wait(10) == 1
    log = run.folder / "logs" / "sink.log"
    said = "\n  its server is away\n  its password is wrong"
    assert f"Weir stops: SINK cannot start ({log}):{said}\n" in run.text
    assert "says where it is" not in run.text


def test_a_part_killed_by_a_signal_is_reported_by_the_signal_s_name(supervise: Supervise) -> None:
    run = supervise([("kafka", [], []), ("sink", ["crashes"], ["kafka"])])
    assert run.process.wait(10) == 1
    assert "SINK was ended by SIGKILL" in run.text


def test_a_step_that_fails_stops_the_start(supervise: Supervise) -> None:
    run = supervise([("topics", ["step", "fails"], []), ("api", [], ["topics"])])
    assert run.process.wait(10) == 1
    assert "TOPICS ended with exit code 3" in run.text
    assert run.trace == ["start topics"]


def test_a_part_that_says_nothing_new_is_given_up(supervise: Supervise) -> None:
    run = supervise([("kafka", ["busy"], [])])
    assert run.process.wait(10) == 1
    assert "KAFKA is not ready; 2 s ago it was last heard of: downloading 1 of 2" in run.text
    assert run.trace[-1] == "stop kafka"


def test_parts_that_ignore_sigterm_are_killed_within_the_bound(supervise: Supervise) -> None:
    run = supervise([(name, ["deaf", "with-child"], []) for name in ("a", "b", "c")])
    run.until_ready()
    began = time.monotonic()
    run.process.terminate()
    # Each may take 1 s, all together 1.5 s.
    assert run.process.wait(10) == 0
    assert time.monotonic() - began < 3
    assert "C did not stop within 1 s and was killed" in run.text
    run.until_none_lives()


def test_a_second_ctrl_c_kills_at_once(supervise: Supervise) -> None:
    run = supervise([("a", ["deaf"], [])])
    run.until_ready()
    run.process.send_signal(signal.SIGINT)
    run.until(lambda: "Stopping" in run.text)
    began = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(10) == 130
    assert time.monotonic() - began < 0.9


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_no_part_outlives_a_supervisor_that_is_killed(supervise: Supervise) -> None:
    run = supervise([("a", ["deaf"], []), ("b", [], [])])
    run.until_ready()
    os.kill(run.process.pid, signal.SIGKILL)
    run.until_none_lives()
    assert len(run.pids) == 2


def test_a_part_that_asks_for_it_is_started_again(
    supervise: Callable[[Specification], Run],
) -> None:
    run = supervise([("first", ["starts-once-more"], []), ("second", [], [])])
    run.until(lambda: run.trace.count("start first") == 2)
    run.until_ready()
    assert "FIRST starts again" in run.text
    assert run.process.poll() is None
    assert "stop second" not in run.trace


def test_a_part_that_was_ready_outlives_a_server_that_is_away(supervise: Supervise) -> None:
    run = supervise([("first", ["starts-once-more", "refuses-later"], []), ("second", [], [])])
    run.until(lambda: run.trace.count("start first") == 8)
    run.until_ready()
    assert run.process.poll() is None
    assert "stop second" not in run.trace
    assert run.trace.count("start second") == 1


def test_a_step_may_take_long(supervise: Supervise) -> None:
    run = supervise([("tables", ["step", "long"], []), ("api", [], ["tables"])])
    run.until_ready()
    assert run.trace == ["start tables", "start api"]


def test_a_part_that_asks_too_often_has_failed(supervise: Callable[[Specification], Run]) -> None:
    run = supervise([("first", ["starts-for-ever"], [])])
    assert run.process.wait(15) == 1
    assert run.trace.count("start first") == 5
    assert "FIRST ended with exit code 75" in run.text


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_starts_again_and_again_leave_nothing_open(supervise: Supervise) -> None:
    run = supervise([("first", ["starts-once-more", "refuses-later"], []), ("second", [], [])])
    run.until(lambda: run.trace.count("start first") == 3)
    channels = len(sockets := _sockets(run))
    run.until(lambda: run.trace.count("start first") == 8)
    run.until_ready()
    assert len(_sockets(run)) <= channels, sockets


def _sockets(run: Run) -> list[str]:
    found = []
    for file in Path(f"/proc/{run.process.pid}/fd").iterdir():
        try:
            found.append(str(file.readlink()))
        except FileNotFoundError:
            continue
    return [each for each in found if each.startswith("socket:")]
