"""The key book: every API key that holds, in memory, as Kafka had it a moment ago."""

import asyncio
from time import monotonic
from typing import Final, Self

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from pydantic import ValidationError

from api.problems import unavailable
from schemas.api_keys import ApiKey, decode_key, hash_of
from schemas.servers import KafkaSettings
from schemas.topics import API_KEYS

log = structlog.get_logger()

MAX_KEYS: Final = 100_000
"""So many keys that hold are taken into memory, at some 1.5 kB each."""
RECONNECT_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
CONNECT_SECONDS: Final = 10.0
STOP_SECONDS: Final = 1.0
CHECK_SECONDS: Final = 1.0
"""How often Kafka is asked whether anything was missed, and how long it may take to say so. When
a connection hangs, a revocation is felt after both, and after stopping and connecting again."""
STALE_SECONDS: Final = 5.0
"""Within so much a revocation is felt; keys that were not checked for longer are a problem."""
_AT_ONCE: Final = 500
"""Messages that are taken before others on this event loop have a turn."""

# uvloop raises a RuntimeError for a write to a connection that the peer reset a moment ago.
_CONSUMER_ERRORS: Final = (KafkaError, OSError, RuntimeError)


class HeldKeys:
    """The keys that hold, by their hash; of a revoked one nothing is kept."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._by_hash: dict[str, ApiKey] = {}
        self._by_id: dict[str, ApiKey] = {}
        self._refused = False

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, secret_hash: str) -> ApiKey | None:
        return self._by_hash.get(secret_hash)

    def take(self, message_key: bytes | None, value: bytes | None) -> None:
        """Takes one message of `api-keys`: the last one about a key holds.

        Raises ValueError for one that cannot be read; then the key that it is about is dropped.
        """
        try:
            key_id, key = decode_key(message_key, value)
        except ValueError:
            # A newer release may have written it, to revoke the key.
            self._drop((message_key or b"").decode(errors="replace"))
            raise
        self._drop(key_id)
        if key is not None and key.revoked_at is None:
            self._add(key)

    def _drop(self, key_id: str) -> None:
        known = self._by_id.pop(key_id, None)
        if known is not None:
            self._by_hash.pop(known.secret_hash, None)

    def _add(self, key: ApiKey) -> None:
        if len(self._by_id) >= self._max_keys:
            if not self._refused:
                log.error(
                    "too many API keys: those beyond the limit do not work; revoke unused ones",
                    limit=self._max_keys,
                    first_refused=key.key_id,
                )
            self._refused = True
            return
        self._by_id[key.key_id] = key
        self._by_hash[key.secret_hash] = key


class _MadeAnew(Exception):
    """The topic ends before what was read of it: it is another one."""


class _Behind(Exception):
    """What Kafka had at the last check has not come."""


class _TopicMissing(Exception):
    """The topic is not on the cluster."""


class KeyBook:
    """Reads `api-keys` whole, then follows it; connects again for ever.

    While Kafka is away it goes on with what it knows. After each break it reads the topic anew, and
    puts what it read in place of what it knew once that is whole: a topic that was lost and made
    anew takes its keys with it.
    """

    def __init__(self, settings: KafkaSettings, *, max_keys: int = MAX_KEYS) -> None:
        self._servers = settings.bootstrap_servers
        # Written to by number too: keys stay in order whatever is done to the topic.
        self._partition = TopicPartition(settings.topic(API_KEYS.name), 0)
        self._max_keys = max_keys
        self._held: HeldKeys | None = None
        self._checked_at = monotonic()
        self._problem: str | None = "they are being read"
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read_for_ever())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    @property
    def ready(self) -> bool:
        """Whether the keys have been read whole once."""
        return self._held is not None

    def problem(self) -> str | None:
        """Why the keys are not known, or not those of the last 5 s; None when they are."""
        fresh = self._held is not None and monotonic() - self._checked_at < STALE_SECONDS
        return None if fresh else self._problem

    def find(self, presented: str) -> ApiKey | None:
        """The key, if it exists and is not revoked.

        Raises Problem (503) while the keys have not been read: whether it exists is not known then.
        """
        # A dictionary tells by its time how much of a hash it knows: nothing about the key.
        secret_hash = hash_of(presented)
        if self._held is None:
            raise unavailable(f"the API keys are not known yet: {self._problem}")
        return self._held.find(secret_hash)

    async def _read_for_ever(self) -> None:
        attempt = 0
        while True:
            try:
                await self._read()
            except _CONSUMER_ERRORS as error:
                reason = f"Kafka at {self._servers} cannot be reached: {type(error).__name__}"
            except (_MadeAnew, _Behind, _TopicMissing) as error:
                reason = str(error)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                reason = f"Kafka at {self._servers} cannot be reached"
            if self._problem is None:
                log.warning("API keys are read anew", reason=reason)
                attempt = 0
            self._problem = reason
            await asyncio.sleep(RECONNECT_SECONDS[min(attempt, len(RECONNECT_SECONDS) - 1)])
            attempt += 1

    async def _read(self) -> None:
        """Reads the topic from its beginning; returns never. Raises what ends it."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            request_timeout_ms=3_000,
            retry_backoff_ms=100,
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await consumer.start()
                if self._partition.topic not in await consumer.topics():
                    raise _TopicMissing(
                        f"topic {self._partition.topic} does not exist; run `weir topics`"
                    )
                begin = await consumer.beginning_offsets([self._partition])
                consumer.assign([self._partition])
                consumer.seek(self._partition, begin[self._partition])
            await self._follow(consumer)
        finally:
            # Gathered: aiokafka lets cancellations of its own tasks through, as if they were ours.
            await asyncio.gather(
                asyncio.wait_for(consumer.stop(), STOP_SECONDS), return_exceptions=True
            )

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        held = HeldKeys(self._max_keys)
        due = await self._end(consumer)
        whole = False
        checked_at, checked = monotonic(), -1
        while True:
            position: int = await consumer.position(self._partition)
            if not whole and position >= due:
                whole = True
                self._held, self._problem, self._checked_at = held, None, monotonic()
                log.info("API keys are read", keys=len(held))
            if monotonic() - checked_at > CHECK_SECONDS:
                if checked == position < due:
                    raise _Behind(f"Kafka at {self._servers} does not send what it has")
                end = await self._end(consumer)
                if position > end:
                    raise _MadeAnew(f"topic {self._partition.topic} was made anew")
                checked_at, checked = monotonic(), position
                if whole:
                    due, self._checked_at = end, checked_at
            fetched = await consumer.getmany(
                timeout_ms=int(1000 * CHECK_SECONDS / 4), max_records=_AT_ONCE
            )
            await asyncio.sleep(0)
            for record in fetched.get(self._partition, ()):
                try:
                    held.take(record.key, record.value)
                except ValueError as error:
                    log.error(  # noqa: TRY400 # a traceback would show what stood there
                        "a message on api-keys cannot be read; the key that it is about does not "
                        "work here: run one release everywhere, or create another key",
                        offset=record.offset,
                        reason=_reason(error),
                    )

    async def _end(self, consumer: AIOKafkaConsumer) -> int:
        async with asyncio.timeout(CHECK_SECONDS):
            end: int = (await consumer.end_offsets([self._partition]))[self._partition]
            return end


def _reason(error: ValueError) -> str:
    """What is wrong, without what stood there."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
            for each in error.errors(include_url=False, include_context=False, include_input=False)
        )
    return str(error) if type(error) is ValueError else type(error).__name__
