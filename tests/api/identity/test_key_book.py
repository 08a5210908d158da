"""The key book: what it finds, and how soon it knows what changed on Kafka."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from structlog.testing import capture_logs

from api.following import TopicFollower
from api.identity.key_book import STALE_SECONDS, HeldKeys, KeyBook
from api.problems import Problem
from deploy.api_keys import write_key
from schemas.api_keys import ApiKey, create_key
from schemas.key_messages import AnyKey
from schemas.servers import KafkaSettings
from schemas.sites import create_site
from tests.services import Services, local_services
from tests.weir import Weir, throwaway_weir

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def message(key: AnyKey) -> tuple[bytes, bytes]:
    return key.message_key.encode(), key.model_dump_json().encode()


def revoked(key: ApiKey) -> ApiKey:
    return key.model_copy(update={"revoked_at": NOW})


def test_the_last_message_about_a_key_holds() -> None:
    held = HeldKeys()
    _, key = create_key("read", "report", NOW)
    held.take(*message(key))
    assert held.find(key.secret_hash) == key
    renamed = key.model_copy(update={"name": "report of 2026"})
    held.take(*message(renamed))
    assert held.find(key.secret_hash) == renamed
    held.take(*message(revoked(key)))
    assert held.find(key.secret_hash) is None
    assert len(held) == 0


def test_a_key_that_was_deleted_by_hand_is_not_found() -> None:
    held = HeldKeys()
    _, key = create_key("read", "report", NOW)
    held.take(*message(key))
    held.take(key.key_id.encode(), None)
    assert held.find(key.secret_hash) is None


def test_sites_are_held_beside_keys_and_not_taken_for_them() -> None:
    held = HeldKeys(max_keys=2)
    _, key = create_key("write", "shop", NOW)
    site = create_site("shop", ("https://shop.example",), NOW)
    held.take(*message(key))
    held.take(*message(site))
    assert held.find_site(site.site_id) == site
    assert held.find_site(key.key_id) is None
    assert held.find(site.site_id) is None
    assert held.find(key.secret_hash) == key
    moved = site.model_copy(update={"origins": ("https://moved.example",)})
    held.take(*message(moved))
    assert held.find_site(site.site_id) == moved
    held.take(*message(site.model_copy(update={"revoked_at": NOW})))
    assert held.find_site(site.site_id) is None
    # They count together.
    held.take(*message(site))
    third = create_site("third", ("https://third.example",), NOW)
    held.take(*message(third))
    assert held.find_site(third.site_id) is None
    with pytest.raises(ValueError, match=r"."):
        held.take(site.site_id.encode(), b"{}")
    assert held.find_site(site.site_id) is None
    held.take(key.key_id.encode(), None)
    assert held.find(key.secret_hash) is None
    assert len(held) == 0


def of_a_newer_release(key: ApiKey) -> bytes:
    document = {**key.model_dump(mode="json"), "revoked_by": "root"}
    return json.dumps(document).encode()


def test_a_key_ends_with_a_message_about_it_that_cannot_be_read() -> None:
    """It may be a revocation."""
    _, key = create_key("read", "report", NOW)
    _, other = create_key("read", "another", NOW)
    values = (of_a_newer_release(revoked(key)), b"{}", b"", b"\xff", message(other)[1])
    for value in values:
        held = HeldKeys()
        held.take(*message(key))
        held.take(*message(other))
        with pytest.raises(ValueError, match=r"."):
            held.take(key.key_id.encode(), value)
        assert held.find(key.secret_hash) is None
        assert held.find(other.secret_hash) == other
        held.take(*message(key))
        assert held.find(key.secret_hash) == key


def test_a_message_about_no_key_changes_nothing() -> None:
    held = HeldKeys()
    _, key = create_key("read", "report", NOW)
    held.take(*message(key))
    for message_key in (None, b"", b"\xff", key.key_id.encode() + b"\xff"):
        with pytest.raises(ValueError, match=r"."):
            held.take(message_key, of_a_newer_release(revoked(key)))
    assert held.find(key.secret_hash) == key


def test_keys_beyond_the_limit_do_not_work_and_the_log_says_so_once() -> None:
    held = HeldKeys(max_keys=2)
    keys = [create_key("read", "report", NOW)[1] for _ in range(4)]
    with capture_logs() as logs:
        for key in keys:
            held.take(*message(key))
    assert [held.find(key.secret_hash) is not None for key in keys] == [True, True, False, False]
    [line] = logs
    assert line["log_level"] == "error"
    assert line["first_refused"] == keys[2].key_id
    # Who is known stays known, and a revoked one makes room.
    held.take(*message(keys[0]))
    held.take(*message(revoked(keys[1])))
    held.take(*message(keys[3]))
    assert [held.find(key.secret_hash) is not None for key in keys] == [True, False, False, True]


def test_before_all_keys_are_read_it_says_that_it_cannot_know() -> None:
    book = KeyBook(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    assert not book.ready
    assert book.problem() is not None
    with pytest.raises(Problem) as caught:
        book.find(create_key("read", "report", NOW)[0])
    assert caught.value.status == 503
    assert caught.value.headers["Retry-After"] == "1"
    with pytest.raises(Problem) as caught:
        book.find_site("site_aaaaaaaaaaaaaaaa")
    assert caught.value.status == 503


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def weir(services: Services, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Weir]:
    async with throwaway_weir(services, tmp_path_factory.mktemp("keys")) as shared:
        yield shared


async def until(condition: Callable[[], bool], within: float = 20) -> float:
    """How many seconds it took until the condition held."""
    start = monotonic()
    while not condition():
        assert monotonic() - start < within
        await asyncio.sleep(0.005)
    return monotonic() - start


async def created(weir: Weir, name: str = "report") -> tuple[str, ApiKey]:
    presented, key = create_key("read", name, datetime.now(UTC))
    await write_key(weir.kafka, key)
    return presented, key


@pytest.mark.services
async def test_every_process_feels_a_new_key_and_a_revocation_within_5_s(weir: Weir) -> None:
    before, old = await created(weir)
    async with KeyBook(weir.kafka) as one, KeyBook(weir.kafka) as two:
        await until(lambda: one.ready and two.ready)
        assert one.find(before) == two.find(before) == old
        assert one.problem() is None
        assert one.find(before[:-1]) is None

        after, new = await created(weir)
        assert await until(lambda: one.find(after) == two.find(after) == new) < 5
        await write_key(weir.kafka, revoked(old))
        assert await until(lambda: one.find(before) is None and two.find(before) is None) < 5
        assert one.find(after) == new
    async with KeyBook(weir.kafka) as three:
        await until(lambda: three.ready)
        assert (three.find(before), three.find(after)) == (None, new)


@pytest.mark.services
async def test_what_cannot_be_read_ends_its_key_and_is_logged_without_its_contents(
    weir: Weir,
) -> None:
    ended, key = await created(weir)
    bad = [(key.key_id.encode(), b'{"secret": "s3cret"}'), (b"\xff", b"s3cret"), (b"", b"{}")]
    await weir.produce("api-keys", bad)
    presented, good = await created(weir)
    with capture_logs() as logs:
        async with KeyBook(weir.kafka) as book:
            await until(lambda: book.ready)
            assert book.find(presented) == good
            assert book.find(ended) is None
    unreadable = [line for line in logs if "cannot be read" in line["event"]]
    assert len(unreadable) == len(bad)
    assert all(line["log_level"] == "error" for line in unreadable)
    assert "s3cret" not in str(logs)


@pytest.mark.services
async def test_a_connection_that_hangs_hides_a_revocation_for_less_than_5_s(
    weir: Weir, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[AIOKafkaConsumer] = []
    follow = TopicFollower._follow

    async def watched(
        self: TopicFollower, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
    ) -> None:
        followed.append(consumer)
        await follow(self, consumer, ends)

    monkeypatch.setattr(TopicFollower, "_follow", watched)
    presented, key = await created(weir)
    async with KeyBook(weir.kafka) as book:
        await until(lambda: book.ready)
        # As when packets are lost: nothing comes any more, and nobody says so.
        for connection in followed[0]._client._conns.values():
            connection._writer.transport.pause_reading()
        await write_key(weir.kafka, revoked(key))
        assert await until(lambda: book.find(presented) is None and book.problem() is None) < 5
        assert len(followed) == 2


@pytest.mark.services
async def test_without_its_topic_it_says_what_to_do(weir: Weir) -> None:
    settings = weir.kafka.model_copy(update={"topic_prefix": "nowhere."})
    async with KeyBook(settings) as book:
        await until(lambda: "run `weir topics`" in (book.problem() or ""))
        assert "nowhere.api-keys" in (book.problem() or "")
        assert not book.ready


@pytest.mark.services
async def test_while_kafka_is_away_it_goes_on_with_what_it_knows(
    tmp_path: Path,
) -> None:
    # Of its own: what others started on the shared one would have to start again.
    async with (
        local_services(tmp_path / "services") as services,
        throwaway_weir(services, tmp_path) as weir,
    ):
        await _kafka_is_killed(weir, services)


async def _kafka_is_killed(weir: Weir, services: Services) -> None:
    presented, key = await created(weir)
    async with KeyBook(weir.kafka) as book:
        await until(lambda: book.ready)
        await services.kafka.kill()
        try:
            await until(lambda: book.problem() is not None)
            assert "cannot be reached" in (book.problem() or "")
            assert book.find(presented) == key
            async with KeyBook(weir.kafka) as started_now:
                await until(lambda: "cannot be reached" in (started_now.problem() or ""))
                with pytest.raises(Problem):
                    started_now.find(presented)
        finally:
            await services.kafka.start()
        await until(lambda: book.problem() is None)
        assert book.find(presented) == key
        await write_key(weir.kafka, revoked(key))
        assert await until(lambda: book.find(presented) is None) < STALE_SECONDS


@pytest.mark.services
async def test_keys_are_gone_with_a_topic_that_is_made_anew(weir: Weir) -> None:
    lost, _ = await created(weir)
    async with KeyBook(weir.kafka) as book:
        await until(lambda: book.ready)
        assert book.find(lost) is not None
        await weir.drop_topics()
        await weir.prepare()
        presented, key = await created(weir)
        await until(lambda: book.find(presented) == key)
        assert book.find(lost) is None
