import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local.kafka import JarError, LocalKafka
from deploy.local.kafka.broker import KafkaFailedError
from deploy.local.kafka.jars import fetch, jar_folder, read_lock, verify
from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port


@pytest.fixture
def jars(tmp_path: Path) -> tuple[Path, Path]:
    """A lock of two jars, and the folder that holds them."""
    lock = tmp_path / "jars.lock"
    contents = {"org/one/a/1/a-1.jar": b"first", "org/two/b/2/b-2.jar": b"second"}
    lock.write_text("".join(f"{_sha256(data)}  {path}\n" for path, data in contents.items()))
    folder = jar_folder(lock, tmp_path)
    folder.mkdir(parents=True)
    for path, data in contents.items():
        (folder / path.rsplit("/", 1)[-1]).write_bytes(data)
    return lock, folder


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_locked_jars_are_used_without_a_download(jars: tuple[Path, Path], tmp_path: Path) -> None:
    lock, folder = jars
    assert fetch(lambda _: None, lock, tmp_path) == [folder / "a-1.jar", folder / "b-2.jar"]


def test_a_changed_jar_is_refused_by_name(jars: tuple[Path, Path], tmp_path: Path) -> None:
    lock, folder = jars
    (folder / "b-2.jar").write_bytes(b"second, with something added")
    with pytest.raises(JarError, match=r"b-2\.jar has SHA-256 .* Delete .*jars-"):
        fetch(lambda _: None, lock, tmp_path)


def test_a_jar_that_the_lock_does_not_name_is_refused(
    jars: tuple[Path, Path], tmp_path: Path
) -> None:
    lock, folder = jars
    (folder / "c-3.jar").write_bytes(b"stowaway")
    with pytest.raises(JarError, match=r"c-3\.jar is not in the lock"):
        fetch(lambda _: None, lock, tmp_path)


def test_a_missing_jar_is_the_only_one_to_fetch(jars: tuple[Path, Path]) -> None:
    lock, folder = jars
    (folder / "a-1.jar").unlink()
    assert [jar.name for jar in verify(folder, read_lock(lock))] == ["a-1.jar"]


def test_a_line_that_is_no_sum_is_refused_with_its_number(tmp_path: Path) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text(f"{'0' * 64}  org/one/a/1/a-1.jar\nnonsense\n")
    with pytest.raises(JarError, match=r"jars\.lock:2 is not"):
        read_lock(lock)


def test_the_committed_lock_names_kafka_and_no_jar_twice() -> None:
    names = [jar.name for jar in read_lock()]
    assert "kafka_2.13-4.3.1.jar" in names
    assert len(names) == len(set(names))


class _Mirror(ThreadingHTTPServer):
    """A Maven mirror on loopback that answers 503 to as many requests as it is told."""

    def __init__(self, files: dict[str, bytes], failures: int) -> None:
        super().__init__(("127.0.0.1", 0), _MirrorHandler)
        self.files = files
        self.failures = failures


class _MirrorHandler(BaseHTTPRequestHandler):
    server: _Mirror

    def do_GET(self) -> None:
        data = self.server.files.get(self.path)
        if self.server.failures:
            self.server.failures -= 1
            self.send_error(503)
        elif data is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, its own name
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Mirror]:
    """The mirror that jgo's settings name; it has no files yet."""
    with _Mirror({}, failures=0) as server:
        settings = tmp_path / "jgo.conf"
        settings.write_text(f"[repositories]\ncentral = http://127.0.0.1:{server.server_port}\n")
        monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.services
def test_a_download_is_tried_again_when_the_mirror_fails(
    jars: tuple[Path, Path], tmp_path: Path, mirror: _Mirror
) -> None:
    lock, folder = jars
    (folder / "a-1.jar").unlink()
    mirror.files["/org/one/a/1/a-1.jar"] = b"first"
    mirror.failures = 1
    said: list[str] = []
    fetch(said.append, lock, tmp_path)
    assert (folder / "a-1.jar").read_bytes() == b"first"
    assert said == ["downloading jar 1 of 1, 0 MB"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.services
def test_a_jar_that_was_changed_on_the_way_is_refused_and_not_kept(
    jars: tuple[Path, Path], tmp_path: Path, mirror: _Mirror
) -> None:
    lock, folder = jars
    (folder / "a-1.jar").unlink()
    mirror.files["/org/one/a/1/a-1.jar"] = b"something else"
    with pytest.raises(JarError, match=r"a-1\.jar was downloaded with SHA-256"):
        fetch(lambda _: None, lock, tmp_path)
    assert not (folder / "a-1.jar").exists()


Start = Callable[[int], Awaitable[tuple[LocalKafka, ManagedProcess]]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a broker on the same folder at each call, on the port that it is given."""
    started: list[ManagedProcess] = []

    async def start_broker(port: int) -> tuple[LocalKafka, ManagedProcess]:
        kafka = LocalKafka(tmp_path / "kafka", port)
        kafka.prepare()
        process = ManagedProcess("kafka", kafka.command(), log=tmp_path / "kafka.log")
        process.start()
        started.append(process)
        await kafka.wait_ready(60, lambda: process.running)
        return kafka, process

    yield start_broker
    for process in started:
        process.kill()
        await process.wait()


async def _produce(kafka: LocalKafka, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, acks="all", enable_idempotence=True
    )
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait("events", value, key=b"same")
    finally:
        await producer.stop()


async def _stored(kafka: LocalKafka) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partition = TopicPartition("events", 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        values: list[bytes] = []
        while len(values) < end:
            values.append((await consumer.getone()).value)
        return values
    finally:
        await consumer.stop()


async def _create_topic(kafka: LocalKafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic("events", 1, 1)])
    finally:
        await admin.close()


@pytest.mark.services
async def test_acknowledged_messages_survive_sigkill_and_another_port(start: Start) -> None:
    kafka, process = await start(free_port())
    await _create_topic(kafka)
    await _produce(kafka, [b"one", b"two"])

    process.kill()
    assert await process.wait() == -9
    kafka, process = await start(free_port())
    assert await _stored(kafka) == [b"one", b"two"]

    await _produce(kafka, [b"three"])
    assert await process.stop(deadline=5) == 143  # Java's exit code for SIGTERM, not a kill
    kafka, process = await start(free_port())
    assert await _stored(kafka) == [b"one", b"two", b"three"]


@pytest.mark.services
async def test_an_ended_broker_is_not_waited_for(tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path, free_port())
    with pytest.raises(KafkaFailedError, match="ended before it was ready"):
        await kafka.wait_ready(60, alive=lambda: False)


@pytest.mark.services
async def test_a_broker_that_never_answers_is_given_up_in_time(tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path, free_port())
    with pytest.raises(KafkaFailedError, match=r"not ready within 0 s"):
        await kafka.wait_ready(0.2)
