"""`weir replay`: an access log as page views."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from deploy.access_log.batches import Batches, Reading
    from deploy.access_log.delivery import Patience
    from deploy.access_log.progress import Display
    from deploy.access_log.replay import Confirmed
    from deploy.access_log.visitors import VisitorIds

# sysexits.h, so that a script can tell what to do next.
EXIT_REJECTED = 1
EXIT_DATA = 65
EXIT_NO_INPUT = 66
EXIT_NOT_WEIR = 69
EXIT_TRY_AGAIN = 75
EXIT_CONFIGURATION = 78
_REDRAW_SECONDS = 0.2
_AGAIN = "Running the command again within 7 days is safe: nothing counts twice."


def replay(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="The log: plain or gzip, whatever its name; `-` is standard input.",
            show_default=False,
        ),
    ],
    url: Annotated[
        str | None,
        typer.Option(
            envvar="WEIR_URL",
            help="Where Weir is. Else the Weir of this machine: http://127.0.0.1:WEIR_API_PORT "
            "(8000).",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the origin, stored with each event.",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="Batches of 1,000 in flight at once.")
    ] = 4,
    give_up_after: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0, help="How long to try a batch that Weir does not confirm."
        ),
    ] = 120.0,
    visitor_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Secret key that visitor ids are made with; made on first use. "
            "Else `visitor-key` in WEIR_DATA_DIR (.weir).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Send an access log to Weir as page views.

    Takes Apache's common and combined format, and nginx's combined one. Every
    line has an event_id of its own that is the same each time: running the
    command again within 7 days, over the same or overlapping logs, changes no
    number. No address is stored: visitors of a day are told apart by a keyed
    hash of address and agent. Lines that are not log lines are counted, and
    the first few shown.

    Ends with
      0    every page view of the log is accepted
      1    Weir rejected some; the first few are shown
      65   there is no log line in it, or the gzip data is broken
      66   the file cannot be read
      69   what answers there is not Weir, or it does not let this in
      75   Weir did not confirm in time: run it again, nothing counts twice
      78   the visitor key cannot be used
      130  stopped by Ctrl-C: run it again, nothing counts twice
    """
    from deploy.access_log.batches import Batches
    from deploy.access_log.delivery import Patience
    from deploy.access_log.event_ids import EventIds
    from deploy.access_log.page_view import PageViews
    from deploy.access_log.progress import display_on
    from deploy.access_log.replay import Confirmed
    from deploy.access_log.settings import ReplaySettings
    from deploy.access_log.source import open_log
    from deploy.access_log.summary import summary
    from deploy.edge_client import authorization, checked_url
    from schemas.settings import read_settings_or_exit

    settings = read_settings_or_exit(ReplaySettings)
    address = checked_url(url) if url else settings.url
    visitors = _visitor_ids(visitor_key_file or settings.visitor_key_file)
    try:
        log = open_log(file)
    except OSError as error:
        _fail(EXIT_NO_INPUT, f"{file} cannot be read: {error.strerror}.")
    with log:
        batches = Batches(log, PageViews(EventIds(), visitors, source))
        confirmed = Confirmed()
        display = display_on(sys.stderr, log.size, os.environ.get("TERM"))
        started = time.monotonic()
        try:
            end = asyncio.run(
                _run(
                    batches,
                    confirmed,
                    display,
                    url=address,
                    headers=authorization(settings.token),
                    concurrency=concurrency,
                    patience=Patience(give_up_after),
                )
            )
        finally:
            display.close()
    for line in summary(batches.reading, confirmed, time.monotonic() - started):
        typer.echo(line)
    code, problem = _judged(end, batches.reading, confirmed, log.name)
    if problem:
        _fail(code, problem)
    raise typer.Exit(code)


async def _run(
    batches: "Batches",
    confirmed: "Confirmed",
    display: "Display",
    *,
    url: str,
    headers: dict[str, str],
    concurrency: int,
    patience: "Patience",
) -> signal.Signals | Exception | None:
    """Replay to the end; returns what ended it early, if anything did."""
    import aiohttp

    from deploy.access_log.delivery import Delivery, GaveUp, NotAccepted
    from deploy.access_log.replay import Replay
    from deploy.access_log.source import BrokenGzip

    caught: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        caught.append(number)
        running.stop()

    async def redraw() -> None:
        while True:
            display.update(confirmed)
            await asyncio.sleep(_REDRAW_SECONDS)

    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as http:
        delivery = Delivery(http, url, patience, on_wait=display.waiting)
        running = Replay(batches, delivery, confirmed, concurrency=concurrency)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop, number)
        drawing = asyncio.create_task(redraw())
        try:
            await running.run()
        except (GaveUp, NotAccepted, BrokenGzip, OSError) as error:
            return error
        finally:
            drawing.cancel()
    return caught[0] if caught else None


def _judged(
    end: signal.Signals | Exception | None, reading: "Reading", confirmed: "Confirmed", name: str
) -> tuple[int, str]:
    """The exit code, and what to tell the user beside the summary."""
    from deploy.access_log.delivery import GaveUp, NotAccepted, NotLetIn
    from deploy.access_log.shown import shown
    from deploy.access_log.source import BrokenGzip

    match end:
        case signal.Signals():
            return 128 + end, f"Stopped after {confirmed.answered:,} page views. {_AGAIN}"
        case GaveUp():
            return EXIT_TRY_AGAIN, f"Gave up: {shown(str(end))}. {_AGAIN}"
        case NotLetIn():
            return EXIT_NOT_WEIR, f"{shown(str(end))}. Set WEIR_TOKEN to a write key or a token."
        case NotAccepted():
            return EXIT_NOT_WEIR, f"{shown(str(end))}. Is that Weir? Set --url or WEIR_URL."
        case BrokenGzip():
            return EXIT_DATA, (
                f"{name}: the gzip data is broken at byte {end.position:,} ({end.reason}). "
                f"The {reading.lines:,} complete lines before the break were sent "
                f"({confirmed.answered:,} page views)."
            )
        case OSError():
            return EXIT_NO_INPUT, f"{name} cannot be read any further: {end.strerror}. {_AGAIN}"
    if reading.lines and reading.not_log_lines.count == reading.lines:
        return EXIT_DATA, f"{name} holds no line of an access log."
    if confirmed.rejected.count or reading.unacceptable.count:
        return EXIT_REJECTED, ""
    return 0, ""


def _visitor_ids(file: Path) -> "VisitorIds":
    from deploy.access_log.visitors import UnusableVisitorKey, VisitorIds, load_or_create_key

    try:
        return VisitorIds(load_or_create_key(file))
    except UnusableVisitorKey as error:
        _fail(EXIT_CONFIGURATION, f"{error}.")
    except OSError as error:
        _fail(
            EXIT_CONFIGURATION,
            f"The visitor key {file} can be neither read nor made: {error.strerror}. "
            "Name another place with --visitor-key-file.",
        )


def _fail(code: int, problem: str) -> NoReturn:
    typer.echo(f"weir replay: {problem}", err=True)
    raise typer.Exit(code)
