"""The keys of an identity provider: fetched in the background, so that no request waits for them.

Keys that were fetched once stay usable while the provider is away. A token with an unknown key
makes them be fetched anew, at most once in some seconds however many such tokens come.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
import jwt
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from api.identity.tokens import VerificationKey
from api.problems import unavailable

log = structlog.get_logger()

REFRESH_SECONDS: Final = 300.0
RETRY_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
UNKNOWN_KEY_SECONDS: Final = 5.0
"""Unknown keys make no more than one fetch in so many seconds."""
FETCH_SECONDS: Final = 5.0
WAIT_SECONDS: Final = 3.0
"""So long a request with an unknown key waits for the fetch that it caused."""
MAX_BYTES: Final = 262_144
MAX_KEYS: Final = 100
MAX_KEY_ID_CHARACTERS: Final = 256
MIN_RSA_BITS: Final = 2_048

Keys = Mapping[str | None, VerificationKey]
Jwk = Mapping[str, Any]  # JSON of any shape


class Unusable(Exception):
    """What was fetched is no key set, or holds no key that can be used."""


class FetchedKeys:
    """The provider's key set, kept fresh by a task of its own."""

    def __init__(
        self,
        url: str,
        *,
        refresh: float = REFRESH_SECONDS,
        unknown_key: float = UNKNOWN_KEY_SECONDS,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        """Seconds: `refresh` between fetches, `unknown_key` between those for unknown keys."""
        self._url = url
        self._provider = urlsplit(url).netloc
        self._refresh = refresh
        self._unknown_key = unknown_key
        self._timer = timer
        self._keys: Keys = {}
        self._problem: str | None = "its keys are being fetched"
        self._wanted = asyncio.Event()
        self._fetched = asyncio.Event()
        self._fetching = True
        self._anew_from = timer()
        self._task: asyncio.Task[None] | None = None
        self.generation = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._fetch_for_ever())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def problem(self) -> str | None:
        """Why no token can be checked, or None."""
        if self._keys:
            return None
        return f"the identity provider {self._provider}: {self._problem}"

    def find(self, key_id: str | None) -> VerificationKey | None:
        """The key with this id; without one the only key there is."""
        return self._keys.get(key_id)

    async def find_anew(self, key_id: str | None) -> VerificationKey | None:
        """As `find`, after the fetch that is under way, or one of its own if it is time for one.

        While fetches fail they are made no sooner for it.

        Raises Problem (503) while there are no keys: nobody can say then whether a token is good.
        """
        if self._fetching or self._timer() >= self._anew_from:
            fetched = self._fetched
            # Set during a fetch it would cause another one right after that.
            if not self._fetching:
                self._wanted.set()
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await fetched.wait()
            except TimeoutError:
                pass
        if not self._keys:
            raise unavailable(f"tokens cannot be checked now; {self.problem()}", retry_after=5.0)
        return self.find(key_id)

    async def _fetch_for_ever(self) -> None:
        failures = 0
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                self._fetching = True
                self._wanted.clear()
                failures = 0 if await self._fetch(session) else failures + 1
                pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1] if failures else None
                self._fetching = False
                self._anew_from = self._timer() + max(self._unknown_key, pause or 0)
                self._fetched.set()
                self._fetched = asyncio.Event()
                try:
                    async with asyncio.timeout(pause or self._refresh):
                        await self._wanted.wait()
                except TimeoutError:
                    pass

    async def _fetch(self, session: aiohttp.ClientSession) -> bool:
        try:
            keys = key_set(await self._body(session))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = f"its keys cannot be fetched ({type(error).__name__})"
        except Unusable as error:
            problem = str(error)
        else:
            if self._problem is not None or keys.keys() != self._keys.keys():
                log.info("keys of the identity provider are fetched", keys=len(keys))
            if _differ(keys, self._keys):
                self._keys = keys
                self.generation += 1
            self._problem = None
            return True
        if problem != self._problem:
            log.warning(
                "no fresh keys of the identity provider", provider=self._provider, reason=problem
            )
        self._problem = problem
        return False

    async def _body(self, session: aiohttp.ClientSession) -> bytes:
        async with session.get(
            self._url, headers={"Accept": "application/json"}, allow_redirects=False
        ) as answer:
            if answer.status != 200:
                raise Unusable(f"its key set answers {answer.status}")
            body = bytearray()
            async for piece in answer.content.iter_chunked(65_536):
                body += piece
                if len(body) > MAX_BYTES:
                    raise Unusable(f"its key set is larger than {MAX_BYTES} bytes")
            return bytes(body)


def key_set(body: bytes) -> Keys:
    """The usable keys of a JSON Web Key Set by id; the only one is found without an id too."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Unusable("its key set is no JSON") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise Unusable("its key set has no list of keys")
    keys: dict[str | None, VerificationKey] = dict(_usable(entries[:MAX_KEYS]))
    if not keys:
        raise Unusable("its key set has no key for RS256 or ES256")
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))
    return keys


def _usable(entries: list[Any]) -> Iterator[tuple[str | None, VerificationKey]]:
    """Those for signatures by RS256 or ES256; a set may hold others beside them."""
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        key_id = entry.get("kid")
        if key_id is not None and not (
            isinstance(key_id, str) and len(key_id) <= MAX_KEY_ID_CHARACTERS
        ):
            continue
        key = _verification_key(entry)
        if key is not None:
            yield key_id, key


def _verification_key(entry: Jwk) -> VerificationKey | None:
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or operations != ["verify"]:
        return None
    algorithm = {"RSA": "RS256", "EC": "ES256"}.get(str(entry.get("kty")))
    if algorithm is None or entry.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(dict(entry), algorithm).key
    except Exception:  # noqa: BLE001 - members of any type and size: PyJWT raises what they cause
        return None
    # Public ones alone: who publishes a private key has none.
    if isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return VerificationKey(algorithm, key)
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return VerificationKey(algorithm, key)
    return None


def _differ(these: Keys, those: Keys) -> bool:
    return these.keys() != those.keys() or any(
        key.key != those[key_id].key for key_id, key in these.items()
    )
