"""Asks the API for a command, and ends the process with what its answer means where it is none."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Final, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from deploy.edge_client import EdgeClient

# sysexits.h, as `weir replay` uses them.
EXIT_FAILED: Final = 1
EXIT_NOT_WEIR: Final = 69
EXIT_TRY_AGAIN: Final = 75
EXIT_INTERRUPTED: Final = 130

_Result = TypeVar("_Result")

Url = Annotated[
    str | None,
    typer.Option(
        envvar="WEIR_URL",
        help="Where Weir is. Else the Weir of this machine: http://127.0.0.1:WEIR_API_PORT (8000).",
        show_default=False,
    ),
]


def asked(
    command: str,
    url: str | None,
    question: "Callable[[EdgeClient], Awaitable[_Result]]",
    *,
    again: str = "",
) -> _Result:
    """The answer to `weir COMMAND`; when there is none, the process ends and says why.

    `again` is added where it may be asked again, or has to be to know what became of it.
    """
    from deploy.access_log.shown import shown
    from deploy.edge_client import EdgeClient, EdgeSettings, NoAnswer, Refused, checked_url
    from schemas.settings import read_settings_or_exit

    settings = read_settings_or_exit(EdgeSettings)
    address = checked_url(url) if url else settings.url

    async def ask() -> _Result:
        async with EdgeClient(address, settings.token) as client:
            return await question(client)

    try:
        return asyncio.run(ask())
    except NoAnswer as error:
        code, problem = EXIT_NOT_WEIR, str(error)
        if again and error.in_doubt:
            code, problem = EXIT_TRY_AGAIN, f"{problem} What became of it is not known.{again}"
    except Refused as error:
        code, problem = EXIT_FAILED, shown(str(error))
        if error.status == 503 or (again and error.status >= 500):
            code, problem = EXIT_TRY_AGAIN, f"{problem}{again}"
        elif error.status == 401:
            problem += ". WEIR_TOKEN says which credentials are sent"
    return fail(command, code, problem)


def fail(command: str, code: int, problem: str) -> NoReturn:
    """Ends the process with this code."""
    sys.stderr.write(f"weir {command}: {problem}\n")
    raise typer.Exit(code)
