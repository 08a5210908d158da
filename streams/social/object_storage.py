"""Objects of the media store, read and written with a patience that ends."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, TypeVar

import structlog
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore

from streams.failures import Retryable

log = structlog.get_logger()

ATTEMPTS: Final = 4
FIRST_PAUSE_SECONDS: Final = 0.2

_Answer = TypeVar("_Answer")


class ObjectStorage:
    """One store. Every method raises Retryable when the store did not do it after all attempts."""

    def __init__(self, store: ObjectStore, first_pause: float = FIRST_PAUSE_SECONDS) -> None:
        self._store = store
        self._first_pause = first_pause

    async def read(self, path: str) -> bytes | None:
        """The whole object; None: there is none."""

        async def read() -> bytes | None:
            try:
                answer = await self._store.get_async(path)
                return bytes(await answer.bytes_async())
            except FileNotFoundError:
                return None

        return await self._patiently("read", path, read)

    async def create(self, path: str, content: bytes) -> bool:
        """Writes it where nothing is yet. False: something is, and stays.

        An attempt whose answer was lost may have written it: who gets False reads what is there.
        """

        async def create() -> bool:
            try:
                await self._store.put_async(path, content, mode="create")
            except AlreadyExistsError:
                return False
            return True

        return await self._patiently("create", path, create)

    async def write(self, path: str, content: bytes) -> None:
        """Writes it, also over what is there."""

        async def write() -> None:
            await self._store.put_async(path, content, use_multipart=False)

        await self._patiently("write", path, write)

    async def delete(self, paths: list[str]) -> None:
        """Deletes those that are there."""

        async def delete() -> None:
            try:
                await self._store.delete_async(paths)
            except FileNotFoundError:
                # One is gone, which says nothing of the others.
                for path in paths:
                    await self._delete_one(path)

        await self._patiently("delete", paths[0], delete)

    async def folders(self, path: str) -> list[str]:
        """The folders right below this one, as whole paths."""

        async def folders() -> list[str]:
            answer = await self._store.list_with_delimiter_async(path)
            return list(answer["common_prefixes"])

        return await self._patiently("list", path, folders)

    async def below(self, path: str, *, limit: int) -> list[str]:
        """Paths of objects anywhere below this folder, no more than `limit`."""

        async def below() -> list[str]:
            found: list[str] = []
            async for chunk in self._store.list(path, chunk_size=min(limit, 1_000)):
                found += [item["path"] for item in chunk]
                if len(found) >= limit:
                    break
            return found[:limit]

        return await self._patiently("list", path, below)

    async def older(self, path: str, than: datetime, *, limit: int) -> list[str]:
        """Objects anywhere below this folder, written last before `than`, of the first `limit`."""

        async def older() -> list[str]:
            found: list[str] = []
            seen = 0
            async for chunk in self._store.list(path, chunk_size=1_000):
                found += [item["path"] for item in chunk if item["last_modified"] < than]
                seen += len(chunk)
                if seen >= limit:
                    break
            return found

        return await self._patiently("list", path, older)

    async def _delete_one(self, path: str) -> None:
        try:
            await self._store.delete_async(path)
        except FileNotFoundError:
            return

    async def _patiently(
        self, verb: str, path: str, attempt: Callable[[], Awaitable[_Answer]]
    ) -> _Answer:
        for number in range(1, ATTEMPTS + 1):
            try:
                return await attempt()
            except (BaseError, OSError) as error:
                # Its text may hold the store's whole answer; its class says enough.
                kind = type(error).__name__
                log.warning("media store", verb=verb, path=path, error=kind, attempt=number)
                if number == ATTEMPTS:
                    raise Retryable(
                        f"the media store could not {verb} {path} ({kind}); check WEIR_MEDIA_URL, "
                        "its credentials and its space"
                    ) from error
            await asyncio.sleep(self._first_pause * 2 ** (number - 1))
        raise AssertionError("the last attempt returns or raises")
