"""`weir check`: whether all is as any process needs it, without starting anything."""

import asyncio
import os
from typing import TYPE_CHECKING

import typer

from schemas.settings import Settings

if TYPE_CHECKING:
    from deploy.preflight.checks import Listening


def check() -> None:
    """Check settings, files, Kafka with its topics, ClickHouse with its tables; start nothing.

    Looks once, and says what each process would refuse to start with. Beyond that it names
    topics whose settings differ from the registry, and what keeps running workers from their
    work.

    \b
    Ends with
      0    all is well
      1    a worker that runs is not ready
      78   a process could not start, or a topic differs
    """
    from deploy.local.identity import identity_made_here
    from deploy.preflight.kafka import EXACT_TOPICS, TOPICS
    from deploy.preflight.processes import API, BILLING, QUOTAS, SINK, SOCIAL, STRIPE_KEY
    from deploy.preflight.settings import StartSettings
    from deploy.preflight.start import look_once, refuse

    # Beside a Weir that `weir up` runs, its settings are those to check.
    os.environ.update(identity_made_here())
    # Whether there is billing, the key says; topics are looked at more closely.
    checks = dict.fromkeys(
        EXACT_TOPICS if each is TOPICS else each
        for checks_of_one in (
            API.checks,
            SINK.checks,
            QUOTAS.checks,
            SOCIAL.checks,
            BILLING.checks,
        )
        for each in checks_of_one
        if each is not STRIPE_KEY
    )
    kinds: tuple[type[Settings], ...] = (
        API.settings,
        SINK.settings,
        QUOTAS.settings,
        SOCIAL.settings,
        BILLING.settings,
        StartSettings,
    )
    problems = look_once(kinds, checks)
    workers = {
        name: address
        for name, address in (
            (SINK.name, SINK.answers_at()),
            (QUOTAS.name, QUOTAS.answers_at()),
            (SOCIAL.name, SOCIAL.answers_at()),
            (BILLING.name, BILLING.answers_at()),
        )
        if address is not None
    }
    not_ready = asyncio.run(_not_ready(workers))
    for problem in not_ready:
        typer.echo(problem, err=True)
    if problems:
        refuse("Weir cannot start:", problems)
    if not_ready:
        raise typer.Exit(1)
    typer.echo("settings, Kafka, topics, ClickHouse and tables are well")


async def _not_ready(workers: "dict[str, Listening]") -> list[str]:
    found = await asyncio.gather(
        *(_worker_problem(name, address) for name, address in workers.items())
    )
    return [each for each in found if each is not None]


async def _worker_problem(name: str, address: "Listening") -> str | None:
    """What a running worker says keeps it from its work; None when none runs that can be asked."""
    import aiohttp

    from deploy.local.settings import LocalSettings

    # Of `weir up` it has a port also where none is set.
    port = address.port or int(LocalSettings.model_fields[f"{name}_port"].default)
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://{address.host}:{port}/readyz") as answer,
        ):
            document = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    if isinstance(document, dict) and isinstance(document.get("not_ready"), dict):
        return "\n".join(f"{name}: {problem}" for problem in document["not_ready"].values())
    return None
