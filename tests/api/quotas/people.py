"""Users and admins who ask a Weir about quotas, each with a token of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import orjson

from tests.api.identity.credentials import bearer, signed
from tests.api.requests import JSON, Answer, ask
from tests.weir import Json, Weir

PLAN: Final = "/api/user/plan"
KEY: Final = "Idempotency-Key"


@dataclass(frozen=True)
class Person:
    """Who asks, and what they may do."""

    weir: Weir
    user_id: str
    roles: tuple[str, ...] = ("user",)

    @property
    def headers(self) -> dict[str, str]:
        # The Weir that asks here expects no audience.
        token = signed(self.weir, sub=self.user_id, roles=list(self.roles), aud=None)
        return dict(bearer(token))

    async def ask(
        self,
        method: str,
        path: str,
        document: Json = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer; bytes are sent as they are."""
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        if document is None:
            return await ask(self.weir, method, path, None, {**self.headers, **(headers or {})})
        return await ask(self.weir, method, path, body, {**JSON, **self.headers, **(headers or {})})

    async def spend(self, count: Json = 1, key: str | None = None) -> Answer:
        return await self.ask("POST", PLAN, {"count": count}, None if key is None else {KEY: key})

    async def plan(self) -> Json:
        answer = await self.ask("GET", PLAN)
        assert answer.status == 200, answer.body
        return answer.json

    async def used(self) -> int:
        return int((await self.plan())["quota_used"])


def somebody(weir: Weir) -> Person:
    """A user whom no test knows yet."""
    return Person(weir, f"user-{uuid4().hex[:12]}")


def an_admin(weir: Weir) -> Person:
    return Person(weir, "root", ("admin",))
