"""`weir replay` as a process, against a server that speaks the edge's contract."""

import errno
import gzip
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.access_log.edge_stub import Answer, Event, edge, unavailable

pytestmark = pytest.mark.services

REPOSITORY = Path(__file__).parents[3]
COMMAND = (
    "import typer; from deploy.commands.replay import replay; "
    "app = typer.Typer(); app.command()(replay); app()"
)
DEADLINE_SECONDS = 30.0
CONTROL_CHARACTERS = {chr(code) for code in range(32)} - {"\n"}


def log_lines(count: int, path: str = "/page/{n}") -> bytes:
    return b"".join(
        (
            f"192.0.2.{n % 250} - - [17/May/2015:10:{n // 60 % 60:02}:{n % 60:02} +0000] "
            f'"GET {path.format(n=n)} HTTP/1.1" 200 {n} "-" "Mozilla/5.0"\n'
        ).encode()
        for n in range(count)
    )


class Replay:
    """Runs the command in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("WEIR_")
        } | {"PYTHONPATH": str(REPOSITORY), "WEIR_DATA_DIR": str(folder / "data"), "COLUMNS": "200"}

    def start(
        self, *arguments: str, stdin: int | None = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments, stdin=subprocess.PIPE) as process:
            try:
                out, err = process.communicate(stdin or b"", timeout=DEADLINE_SECONDS)
            finally:
                process.kill()
        return subprocess.CompletedProcess(
            process.args, process.returncode, out.decode(), err.decode()
        )


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    return Replay(tmp_path)


def written(folder: Path, data: bytes, name: str = "access.log") -> str:
    file = folder / name
    file.write_bytes(data)
    return str(file)


def eventually(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    waiting = threading.Event()
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        waiting.wait(0.01)


def test_the_real_log_arrives_whole_and_twice_with_the_same_ids(
    replay: Replay, access_log: Path
) -> None:
    counted = Counter(
        line.split()[6].split(b"?")[0].decode()
        for line in gzip.decompress(access_log.read_bytes()).splitlines()
    )
    with edge() as server:
        first = replay.run(str(access_log), "--url", server.url)
        ids = [event["event_id"] for event in server.accepted]
        assert first.returncode == 0, first.stderr
        assert "4,000 lines read, 4,000 page views accepted" in first.stdout
        assert Counter(server.paths()) == counted
        assert len(set(ids)) == 4000
        assert replay.run(str(access_log), "--url", server.url).returncode == 0
        again = [event["event_id"] for event in server.accepted][4000:]
        assert sorted(map(str, again)) == sorted(map(str, ids))


def test_batches_keep_to_the_limits_of_the_edge(replay: Replay) -> None:
    long = "/" + "x" * 1900 + "{n}"
    with edge() as server:
        file = written(replay.folder, log_lines(2500) + log_lines(1000, long))
        done = replay.run(file, "--url", server.url)
    assert done.returncode == 0, done.stderr
    assert len(server.accepted) == 3500
    assert max(len(events) for events in server.requests) == 1000


def test_gzip_comes_by_content_from_a_file_and_from_standard_input(replay: Replay) -> None:
    packed = gzip.compress(log_lines(3)) + gzip.compress(log_lines(2, "/more/{n}"))
    with edge() as server:
        assert replay.run(written(replay.folder, packed), "--url", server.url).returncode == 0
        assert replay.run("-", "--url", server.url, stdin=packed).returncode == 0
        assert replay.run("-", "--url", server.url, stdin=log_lines(1)).returncode == 0
    assert Counter(server.paths()) == {
        "/page/0": 3, "/page/1": 2, "/page/2": 2, "/more/0": 2, "/more/1": 2,
    }  # fmt: skip


def test_a_refused_batch_goes_out_again_with_the_same_ids(replay: Replay) -> None:
    def twice_away(number: int, _events: list[Event]) -> Answer | None:
        return unavailable() if number < 2 else None

    with edge(twice_away) as server:
        done = replay.run(written(replay.folder, log_lines(10)), "--url", server.url)
    assert done.returncode == 0
    assert server.requests[0] == server.requests[1] == server.requests[2]
    assert len(server.accepted) == 10
    assert "waiting for Weir" in done.stderr
    assert "503 (Kafka is away: try again)" in done.stderr


def test_it_gives_up_with_a_word_when_weir_stays_away(replay: Replay) -> None:
    with edge(lambda _number, _events: unavailable()) as server:
        done = replay.run(
            written(replay.folder, log_lines(10)), "--url", server.url, "--give-up-after", "1"
        )
    assert done.returncode == 75
    assert len(server.requests) > 1
    assert "Running the command again within 7 days is safe" in done.stderr
    assert "0 page views accepted" in done.stdout


def test_it_waits_for_a_server_that_is_not_there_yet(replay: Replay) -> None:
    file = written(replay.folder, log_lines(10))
    with socket.socket() as reserved:
        # Bound but not listening: connections are refused, and nobody else gets the port.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        process = replay.start(file, "--url", f"http://127.0.0.1:{port}")
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            reserved.close()
            with edge(port=port) as server:
                process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
    assert said == f"waiting for Weir: 127.0.0.1:{port}: Connection refused\n".encode()
    assert process.returncode == 0
    assert len(server.accepted) == 10


def test_it_sends_the_token_that_is_set(replay: Replay) -> None:
    file = written(replay.folder, log_lines(10))
    with edge() as server:
        replay.run(file, "--url", server.url)
        replay.environment["WEIR_TOKEN"] = "weir_w_abc"
        result = replay.run(file, "--url", server.url)
    assert result.returncode == 0
    assert server.authorizations == [None, "Bearer weir_w_abc"]


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_let_in_is_told_what_to_set(replay: Replay, status: int) -> None:
    refusal = Answer(status, {"title": "Refused", "detail": "send others"})
    with edge(lambda _number, _events: refusal) as server:
        result = replay.run(written(replay.folder, log_lines(10)), "--url", server.url)
    assert result.returncode == 69
    assert f"answered {status} (Refused: send others). Set WEIR_TOKEN" in result.stderr


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "käse"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(replay: Replay, token: str) -> None:
    replay.environment["WEIR_TOKEN"] = token
    result = replay.run(written(replay.folder, log_lines(1)))
    assert result.returncode == 78
    assert "WEIR_TOKEN" in result.stderr
    assert token not in result.stderr


def test_rejected_events_are_shown_with_line_field_and_reason(replay: Replay) -> None:
    data = log_lines(1) + log_lines(1, "/reject-me") + log_lines(1, "/" + "x" * 2048)
    with edge() as server:
        some = replay.run(written(replay.folder, data), "--url", server.url)
        all_of_them = replay.run(
            written(replay.folder, log_lines(7, "/reject-me/{n}")), "--url", server.url
        )
    assert some.returncode == 1
    assert "1 page views accepted" in some.stdout
    assert "1 rejected by Weir" in some.stdout
    assert "  line 2: path: is \\x1b[31mnot liked" in some.stdout
    assert "  line 3: path: has 2,049 characters" in some.stdout
    assert all_of_them.returncode == 1
    assert "7 rejected by Weir" in all_of_them.stdout
    assert "and 2 more" in all_of_them.stdout


def test_lines_that_are_none_are_counted_and_shown_without_their_escape_codes(
    replay: Replay,
) -> None:
    data = b"hello\x1b]0;owned\x07\n" + log_lines(1) + b"\xff\n" * 6
    tls = b'192.0.2.1 - - [17/May/2015:10:00:00 +0000] "\\x16\\x03\\x01" 400 226 "-" "-"\n'
    with edge() as server:
        done = replay.run(written(replay.folder, data + tls), "--url", server.url)
    assert done.returncode == 0
    assert "7 not log lines" in done.stdout
    assert "  line 1: hello\\x1b]0;owned\\x07" in done.stdout
    assert "  and 2 more" in done.stdout
    assert "1 without an HTTP request" in done.stdout
    assert not CONTROL_CHARACTERS & set(done.stdout + done.stderr)


def test_a_file_without_one_log_line_is_an_error_and_an_empty_one_is_not(replay: Replay) -> None:
    with edge() as server:
        none = replay.run(written(replay.folder, b"a\nb\n"), "--url", server.url)
        empty = replay.run(written(replay.folder, b""), "--url", server.url)
    assert none.returncode == 65
    assert "holds no line of an access log" in none.stderr
    assert empty.returncode == 0
    assert server.requests == []


def test_what_cannot_be_read_is_said(replay: Replay) -> None:
    missing = replay.run("nowhere.log", "--url", "http://127.0.0.1:1")
    folder = replay.run(str(replay.folder), "--url", "http://127.0.0.1:1")
    assert missing.returncode == 66
    assert "nowhere.log cannot be read: No such file or directory" in missing.stderr
    assert folder.returncode == 66
    assert "Traceback" not in missing.stderr + folder.stderr


def test_a_broken_gzip_sends_the_lines_before_the_break(replay: Replay) -> None:
    packed = gzip.compress(log_lines(5000))
    with edge() as server:
        done = replay.run(written(replay.folder, packed[: len(packed) // 2]), "--url", server.url)
    sent = len(server.accepted)
    assert done.returncode == 65
    assert 0 < sent < 5000
    assert f"The {sent:,} complete lines before the break were sent" in done.stderr
    assert set(server.paths()) == {f"/page/{n}" for n in range(sent)}


def test_an_address_that_is_not_weir_is_said_at_once(replay: Replay) -> None:
    file = written(replay.folder, log_lines(1))
    with edge() as server:
        elsewhere = replay.run(file, "--url", f"{server.url}/other")
    with edge(lambda _number, _events: Answer(202, {"hello": "world"})) as server:
        stranger = replay.run(file, "--url", server.url)
    nonsense = replay.run(file, "--url", "ftp://127.0.0.1")
    assert elsewhere.returncode == 69
    assert "answered 404 (Not Found: no such page)" in elsewhere.stderr
    assert stranger.returncode == 69
    assert nonsense.returncode == 2


def test_weir_is_where_the_environment_says(replay: Replay) -> None:
    file = written(replay.folder, log_lines(1))
    with edge() as server:
        replay.environment["WEIR_API_PORT"] = server.url.rsplit(":", 1)[1]
        assert replay.run(file).returncode == 0
        replay.environment |= {"WEIR_API_PORT": "1", "WEIR_URL": server.url}
        assert replay.run(file).returncode == 0
    assert len(server.accepted) == 2


def test_no_more_requests_are_under_way_than_asked_for(replay: Replay) -> None:
    lock = threading.Lock()
    under_way = 0
    most = 0
    full = threading.Barrier(3, timeout=DEADLINE_SECONDS)

    def slow(number: int, _events: list[Event]) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        if number < 3:
            full.wait()  # so the first three do meet
        with lock:
            under_way -= 1

    with edge(slow) as server:
        done = replay.run(
            written(replay.folder, log_lines(9000)), "--url", server.url, "--concurrency", "3"
        )
    assert done.returncode == 0, done.stderr
    assert most == 3
    assert len(server.accepted) == 9000


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_what_was_confirmed(
    replay: Replay, number: signal.Signals, code: int
) -> None:
    never = threading.Event()

    def first_only(request: int, _events: list[Event]) -> None:
        if request > 0:
            never.wait(DEADLINE_SECONDS)

    with edge(first_only) as server:
        process = replay.start(
            written(replay.folder, log_lines(9000)), "--url", server.url, "--concurrency", "1"
        )
        try:
            eventually(lambda: len(server.requests) == 2)
            process.send_signal(number)
            out, err = process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
            never.set()
    assert process.returncode == code
    assert b"1,000 page views accepted" in out
    assert b"Stopped after 1,000 page views" in err
    assert b"Traceback" not in err


def test_a_signal_ends_it_while_standard_input_says_nothing(replay: Replay) -> None:
    with edge() as server:
        process = replay.start("-", "--url", server.url, stdin=subprocess.PIPE)
        try:
            assert process.stdin is not None
            process.stdin.write(log_lines(1001))
            process.stdin.flush()
            eventually(lambda: len(server.accepted) == 1000)
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE_SECONDS) == 130
        finally:
            process.kill()
            process.communicate()


def test_a_terminal_gets_a_bar_and_anything_else_gets_no_escape_codes(replay: Replay) -> None:
    file = written(replay.folder, log_lines(10))
    with edge() as server:
        plain = replay.run(file, "--url", server.url)
        terminal, inside = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, file, "--url", server.url],
            cwd=replay.folder,
            env=replay.environment | {"TERM": "xterm-256color"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=inside,
        )
        os.close(inside)
        try:
            drawn = _everything(terminal)
            process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
            os.close(terminal)
    assert process.returncode == 0
    assert b"\x1b[" in drawn
    assert b"page views" in drawn
    assert not CONTROL_CHARACTERS & set(plain.stdout + plain.stderr)


def _everything(terminal: int) -> bytes:
    seen = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # how Linux says that the other end is closed
                raise
            return seen
        if not piece:
            return seen
        seen += piece


def test_no_address_leaves_the_machine_and_the_key_is_private(replay: Replay) -> None:
    with edge() as server:
        assert replay.run(written(replay.folder, log_lines(5)), "--url", server.url).returncode == 0
    assert "192.0.2." not in repr(server.requests)
    key = replay.folder / "data" / "visitor-key"
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_visitor_key_that_is_none_is_said(replay: Replay) -> None:
    file = written(replay.folder, log_lines(1))
    key = written(replay.folder, b"secret words\n", "key")
    done = replay.run(file, "--url", "http://127.0.0.1:1", "--visitor-key-file", key)
    assert done.returncode == 78
    assert "is not a visitor key" in done.stderr
    assert "secret words" not in done.stderr
