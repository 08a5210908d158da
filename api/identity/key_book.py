"""The key book: every API key and site that holds, in memory, as Kafka had it a moment ago."""

from time import monotonic
from typing import Final, Self

import structlog
from pydantic import ValidationError

from api.following import Record, TopicFollower
from api.problems import unavailable
from schemas.api_keys import ApiKey, hash_of
from schemas.key_messages import AnyKey, decode_key
from schemas.servers import KafkaSettings
from schemas.sites import Site
from schemas.topics import API_KEYS

log = structlog.get_logger()

MAX_KEYS: Final = 100_000
"""So many keys and sites that hold are taken into memory, at some 1.5 kB each."""
CHECK_SECONDS: Final = 1.0
"""How long Kafka, which is asked every second, may take to say whether anything was missed. When
a connection hangs, a revocation is felt after both, and after stopping and connecting again."""
STALE_SECONDS: Final = 5.0
"""Within so much a revocation is felt; keys that were not checked for longer are a problem."""


class HeldKeys:
    """The keys that hold, by their hash, and the sites; of a revoked one nothing is kept."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._by_hash: dict[str, ApiKey] = {}
        self._by_id: dict[str, AnyKey] = {}
        self._refused = False

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, secret_hash: str) -> ApiKey | None:
        return self._by_hash.get(secret_hash)

    def find_site(self, site_id: str) -> Site | None:
        found = self._by_id.get(site_id)
        return found if isinstance(found, Site) else None

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
        if isinstance(known, ApiKey):
            self._by_hash.pop(known.secret_hash, None)

    def _add(self, key: AnyKey) -> None:
        if len(self._by_id) >= self._max_keys:
            if not self._refused:
                log.error(
                    "too many API keys: those beyond the limit do not work; revoke unused ones",
                    limit=self._max_keys,
                    first_refused=key.message_key,
                )
            self._refused = True
            return
        self._by_id[key.message_key] = key
        if isinstance(key, ApiKey):
            self._by_hash[key.secret_hash] = key


class KeyBook:
    """Reads `api-keys` whole, then follows it; connects again for ever.

    While Kafka is away it goes on with what it knows. After each break it reads the topic anew, and
    puts what it read in place of what it knew once that is whole: a topic that was lost and made
    anew takes its keys with it.
    """

    def __init__(self, settings: KafkaSettings, *, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._held: HeldKeys | None = None
        self._being_read = HeldKeys(max_keys)
        self._follower = TopicFollower(
            settings,
            [API_KEYS.name],
            self._take,
            start="beginning",
            # Written to by number too: keys stay in order whatever is done to the topic.
            partition=0,
            anew=True,
            began=self._begin,
            caught_up=self._use,
            patience=CHECK_SECONDS,
        )

    async def __aenter__(self) -> Self:
        await self._follower.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._follower.__aexit__(*exception)

    @property
    def ready(self) -> bool:
        """Whether the keys have been read whole once."""
        return self._held is not None

    def problem(self) -> str | None:
        """Why the keys are not known, or not those of the last 5 s; None when they are."""
        fresh = monotonic() - self._follower.checked_at < STALE_SECONDS
        return None if fresh else self._follower.problem()

    def find(self, presented: str) -> ApiKey | None:
        """The key, if it exists and is not revoked.

        Raises Problem (503) while the keys have not been read: whether it exists is not known then.
        """
        # A dictionary tells by its time how much of a hash it knows: nothing about the key.
        secret_hash = hash_of(presented)
        return self._read_whole().find(secret_hash)

    def find_site(self, site_id: str) -> Site | None:
        """The site, if it exists and is not revoked. Raises Problem (503) as `find` does."""
        return self._read_whole().find_site(site_id)

    def _read_whole(self) -> HeldKeys:
        if self._held is None:
            raise unavailable(f"the API keys are not known yet: {self._follower.problem()}")
        return self._held

    def _begin(self) -> None:
        self._being_read = HeldKeys(self._max_keys)

    def _use(self) -> None:
        self._held = self._being_read
        log.info("API keys are read", keys=len(self._held))

    def _take(self, record: Record) -> None:
        try:
            self._being_read.take(record.key, record.value)
        except ValueError as error:
            log.error(  # noqa: TRY400 # a traceback would show what stood there
                "a message on api-keys cannot be read; the key that it is about does not "
                "work here: run one release everywhere, or create another key",
                offset=record.offset,
                reason=_reason(error),
            )


def _reason(error: ValueError) -> str:
    """What is wrong, without what stood there."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
            for each in error.errors(include_url=False, include_context=False, include_input=False)
        )
    return str(error) if type(error) is ValueError else type(error).__name__
