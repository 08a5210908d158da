"""Before a process starts: all that is wrong in one message, and a wait for what may come."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from time import monotonic
from typing import Final, NoReturn, TypeVar

from deploy.preflight.checks import AnyCheck, Ask, Listening, Needs, Problem
from deploy.preflight.settings import StartSettings
from deploy.preflight.unknown_settings import service_links, unknown_settings
from deploy.settings_kinds import known_names
from schemas.settings import EX_CONFIG, InvalidSettings, Settings, read_settings
from streams.health import NotListening, health_server
from streams.readiness import notify

RETRY_SECONDS: Final = 0.5

Say = Callable[[str], None]

S = TypeVar("S", bound=Settings)


def started(needs: Needs[S], say: Say) -> S:
    """The settings of a process that may start now.

    Otherwise writes every problem to standard error at once and ends the process with 78. Waits
    up to WEIR_START_TIMEOUT for what may pass, answers /healthz and /readyz meanwhile, and tells
    `say` once what it waits for. SIGTERM and Ctrl-C end the wait, and the process, at once: with
    0 one that would have run until then, with 128 and the signal one that has something to do.
    """
    kinds: tuple[type[Settings], ...] = (needs.settings, StartSettings)
    if _settings_problems(kinds):
        refuse(f"weir {needs.name} cannot start:", look_once(kinds, needs.checks))
    settings = read_settings(needs.settings)
    seconds = read_settings(StartSettings).start_timeout
    listening = needs.listening(settings) if needs.listening else None
    asks = [check.prepared() for check in needs.checks]
    problems = asyncio.run(_waited(asks, seconds, needs.name, listening, say))
    if problems:
        refuse(f"weir {needs.name} cannot start:", problems)
    if listening is not None:
        # Until the process has handlers of its own there is nothing to end but itself.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: _end(0))
    return settings


def look_once(kinds: Iterable[type[Settings]], checks: Iterable[AnyCheck]) -> list[str]:
    """Everything that is wrong now, each once: settings, then what else they let us look at."""
    asks: list[Ask] = []
    for check in checks:
        # What is wrong with its settings is said of them.
        with contextlib.suppress(InvalidSettings):
            asks.append(check.prepared())
    return [*_settings_problems(kinds), *asyncio.run(_first_look(asks))]


def refuse(heading: str, problems: Iterable[str]) -> NoReturn:
    """Ends the process with 78: a heading, and an indented line for each problem."""
    sys.stderr.write("\n  ".join([heading, *problems]) + "\n")
    raise SystemExit(EX_CONFIG)


def _settings_problems(kinds: Iterable[type[Settings]]) -> list[str]:
    """What is wrong with the environment as these kinds read it, and what in it nobody reads."""
    known = known_names()
    links = tuple(f"{name}: " for name in service_links(os.environ, known))
    wrong: dict[str, None] = {}
    for kind in kinds:
        try:
            read_settings(kind)
        except InvalidSettings as error:
            wrong |= dict.fromkeys(line.strip() for line in str(error).splitlines())
    # A port that Kubernetes has overwritten is named with its reason alone.
    return [each for each in wrong if not each.startswith(links)] + unknown_settings(
        os.environ, known
    )


async def _look(asks: Sequence[Ask]) -> list[Sequence[Problem]]:
    return list(await asyncio.gather(*(ask() for ask in asks)))


async def _first_look(asks: Sequence[Ask]) -> list[str]:
    _end_on_signals(once=False)
    return _texts(await _look(asks))


async def _waited(
    asks: Sequence[Ask], seconds: float, name: str, listening: Listening | None, say: Say
) -> list[str]:
    """What is still wrong after a wait; nothing: the process may start."""
    _end_on_signals(once=listening is None)
    deadline = monotonic() + seconds
    problems: dict[str, str] = {}

    async def not_ready() -> dict[str, str]:
        return problems

    async with AsyncExitStack() as stack:
        while True:
            found = await _look(asks)
            texts = _texts(found)
            left = deadline - monotonic()
            lasting = any(not each.passes for several in found for each in several)
            if not texts or lasting or left <= 0:
                return texts
            asks = [ask for ask, several in zip(asks, found, strict=True) if several]
            if not problems:
                say(f"waits up to {seconds:g} s: {'; '.join(texts)}")
                if listening is not None:
                    try:
                        await stack.enter_async_context(
                            health_server(
                                listening.host,
                                listening.port,
                                not_ready,
                                process=listening.process,
                                parts=(name,),
                                # The API's are not for who reaches this port.
                                metrics=False,
                            )
                        )
                    except NotListening as error:
                        return [str(error), *texts]
            problems[name] = f"waits for what it needs: {'; '.join(texts)}"
            notify(f"STATUS=waits {left:.0f} s more: {texts[0]}")
            await asyncio.sleep(min(RETRY_SECONDS, left))


def _texts(found: Iterable[Sequence[Problem]]) -> list[str]:
    return list(dict.fromkeys(each.text for several in found for each in several))


def _end_on_signals(*, once: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _end, 128 + number if once else 0)


def _end(code: int) -> None:
    # Nothing is begun that would have to be ended, and a name that is being looked up could hold
    # the process for long.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
