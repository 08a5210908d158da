"""`weir stripe` run in this process, against a fake Stripe."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
from typer.testing import CliRunner

from deploy.commands.stripe import stripe
from tests.stripe_fake import KEY, FakeStripe, served
from tests.weir import Json


@dataclass(frozen=True)
class Ended:
    code: int
    output: str
    errors: str

    @property
    def lines(self) -> list[Json]:
        return [orjson.loads(line) for line in self.output.splitlines()]


@dataclass
class Account:
    """A fake Stripe, and the environment with which commands reach it."""

    fake: FakeStripe
    environment: dict[str, str]

    async def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
        done = await asyncio.to_thread(
            CliRunner().invoke,
            stripe,
            arguments,
            env={"COLUMNS": "80", **self.environment, **(environment or {})},
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        # Whatever happens, no key is shown.
        assert KEY not in done.output
        return Ended(done.exit_code, done.stdout, done.stderr)


@asynccontextmanager
async def opened_account(environment: Mapping[str, str]) -> AsyncIterator[Account]:
    fake = FakeStripe()
    async with served(fake) as base:
        settings = {"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": base}
        yield Account(fake, {**environment, **settings})
    assert fake.wrong == []
