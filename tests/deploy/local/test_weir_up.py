"""`weir up` with its real parts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest

from tests.ports import free_ports
from tests.weir import Json

pytestmark = pytest.mark.services


class Weir:
    """A `weir up` on a folder, on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.ports = free_ports()
        self._folder = folder
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.commands", "up"],
                cwd=folder,
                env={
                    **os.environ,
                    **self.ports,
                    "KAFKA_BOOTSTRAP_SERVERS": "",
                    "CLICKHOUSE_URL": "",
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self._output.read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['WEIR_API_PORT']}"

    def token(self, user: str) -> str:
        """As `weir token` prints it in the folder where Weir runs."""
        command = [sys.executable, "-m", "deploy.commands", "token", "--user", user]
        return subprocess.run(
            command, cwd=self._folder, capture_output=True, text=True, check=True
        ).stdout.strip()

    def status(self, path: str, token: str | None = None) -> int:
        """What a GET is answered with."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            with urlopen(Request(self.url + path, headers=headers)) as answer:  # noqa: S310, our own
                return int(answer.status)
        except HTTPError as error:
            return error.code

    def json(self, path: str, token: str, document: object = None) -> Json:
        """The answer to a GET, or to a POST of a document."""
        body = None if document is None else json.dumps(document).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        with urlopen(Request(self.url + path, body, headers)) as answer:  # noqa: S310, our own
            return json.load(answer)

    def until_ready(self) -> list[psutil.Process]:
        """Wait for the line that says so, and return the processes of all parts."""
        end = time.monotonic() + 120
        while "Weir is ready" not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < end, self.text
            time.sleep(0.05)
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Weir]]:
    started: list[Weir] = []

    def start_weir() -> Weir:
        started.append(Weir(tmp_path))
        return started[-1]

    yield start_weir
    for weir in started:
        weir.process.kill()
        weir.process.wait()


def _none_is_left(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=5)
    return not alive


def _a_post_costs_a_credit_and_is_in_the_history(weir: Weir, token: str) -> None:
    post = weir.json("/social/post", token, {"prompt": "Our new espresso blend is here"})
    assert post["state"] == "done"
    assert post["caption"]
    with urlopen(post["image_url"]) as answer:  # noqa: S310, our own address
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.read().startswith(b"\x89PNG")
    end = time.monotonic() + 30
    while True:
        ledger = weir.json("/api/user/usage", token)["items"]
        history = weir.json("/social/posts", token)["items"]
        if ledger and history and history[0]["state"] == "done":
            break
        assert time.monotonic() < end, (ledger, history)
        time.sleep(0.1)
    assert [(each["credits"], each["reason"]) for each in ledger] == [(-1, "social post")]
    assert [each["id"] for each in history] == [post["id"]]


def test_it_becomes_ready_stops_cleanly_and_starts_again_on_its_data(
    start: Callable[[], Weir], tmp_path: Path
) -> None:
    weir = start()
    parts = weir.until_ready()
    assert len(parts) == 6
    with urlopen(f"{weir.url}/readyz") as answer:  # noqa: S310, our own address
        assert answer.status == 200
    for part in ("SINK", "QUOTAS", "SOCIAL"):
        port = weir.ports[f"WEIR_{part}_PORT"]
        with urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
            assert answer.status == 200
    for part in ("SINK", "QUOTAS", "SOCIAL", "API_METRICS"):
        with urlopen(f"http://127.0.0.1:{weir.ports[f'WEIR_{part}_PORT']}/metrics") as answer:
            assert b'weir_ready{part="kafka"} 1.0' in answer.read()
    assert weir.text.count("Weir is ready at") == 1
    assert weir.text.count("without STRIPE_API_KEY nothing is reported to Stripe") == 1
    assert f"Weir is ready at {weir.url}\n" in weir.text
    token = weir.token("alice")
    assert weir.status("/api/user/plan", token) == 200
    assert weir.status("/dead-letters", token) == 403
    assert weir.status("/dead-letters", "garbage") == 401
    assert weir.status("/dead-letters") == 200
    _a_post_costs_a_credit_and_is_in_the_history(weir, token)
    weir.process.send_signal(signal.SIGTERM)
    assert weir.process.wait(20) == 0
    assert "Stopping API, Social posts, Quotas, Sink, ClickHouse, Kafka" in weir.text
    assert "was killed" not in weir.text
    assert _none_is_left(parts)

    # On other ports, as the settings may be others the next time.
    weir = start()
    parts = weir.until_ready()
    assert weir.status("/api/user/plan", token) == 200
    [clickhouse] = [part for part in parts if "deploy.local.clickhouse" in part.cmdline()]
    clickhouse.kill()
    assert weir.process.wait(20) == 1
    assert "Weir stops: ClickHouse was ended by SIGKILL." in weir.text
    assert str(tmp_path / ".weir" / "logs" / "clickhouse.log") in weir.text
    assert _none_is_left(parts)
