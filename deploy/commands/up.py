"""`weir up`: all of Weir on this machine, in the foreground."""

import asyncio
import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from deploy.local.settings import LocalSettings


def up() -> None:
    """Start Kafka, ClickHouse, the workers and the API on this machine, and stay until Ctrl-C.

    Fetches what is missing, keeps its data in WEIR_DATA_DIR (.weir). With
    KAFKA_BOOTSTRAP_SERVERS or CLICKHOUSE_URL set, that server is used instead of a local one.
    A file `.env` in the current directory adds to the environment.

    \b
    Ends with
      0    stopped by Ctrl-C or SIGTERM
      1    a part failed, a port is in use, or Weir runs already on this folder
      78   settings cannot be used, or a file that they name
      130  killed by a second Ctrl-C
    """
    try:
        code = _up()
    except KeyboardInterrupt:
        # Pressed before anything was started.
        code = 0
    raise typer.Exit(code)


def _up() -> int:
    from deploy.local.clickhouse.settings import EmbeddedClickHouseSettings
    from deploy.local.data_dir import DataDirError, owned
    from deploy.local.identity import (
        CompletedApiSettings,
        GivenIdentity,
        local_identity,
        local_visitor_secret,
    )
    from deploy.local.ports import is_free
    from deploy.local.settings import LocalSettings
    from deploy.preflight.files import METERS, PAGES, PLANS
    from deploy.preflight.processes import BILLING, QUOTAS, SINK, SOCIAL
    from deploy.preflight.settings import StartSettings
    from deploy.preflight.start import look_once, refuse
    from deploy.secret_files import NotASecret
    from schemas.settings import read_settings

    kinds = (
        LocalSettings,
        GivenIdentity,
        EmbeddedClickHouseSettings,
        CompletedApiSettings,
        SINK.settings,
        QUOTAS.settings,
        SOCIAL.settings,
        BILLING.settings,
        StartSettings,
    )
    # Of all parts, before the first one is started; servers are looked at when they are there.
    if problems := look_once(kinds, (PLANS, METERS, PAGES)):
        refuse("weir up cannot start:", problems)
    settings, given = read_settings(LocalSettings), read_settings(GivenIdentity)
    try:
        with owned(settings.folder, settings.api_url):
            taken = [
                f"Port {port} for {title} is in use. Stop what listens there, or set {setting}."
                for setting, (title, port) in settings.ports().items()
                if not is_free(port)
            ]
            if taken:
                sys.stderr.write("\n".join(taken) + "\n")
                return 1
            identity = local_identity(given) | local_visitor_secret(given)
            return asyncio.run(_supervise(settings, identity))
    except DataDirError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except NotASecret as error:
        sys.stderr.write(
            f"{error}: put the right file back, or delete it: then tokens (jwt-secret), or the "
            "names of today's visitors (visitor-secret), end.\n"
        )
        return 1


async def _supervise(settings: "LocalSettings", identity: dict[str, str]) -> int:
    from rich.console import Console

    from deploy.local.display import display_for
    from deploy.local.parts import weir_parts
    from deploy.local.supervisor import Supervisor
    from deploy.preflight.processes import NOT_REPORTED

    display = display_for(Console())
    if settings.kafka_elsewhere:
        display.say(f"Kafka: using {settings.kafka_elsewhere} (KAFKA_BOOTSTRAP_SERVERS)")
    if settings.clickhouse_elsewhere.get_secret_value():
        display.say(f"ClickHouse: using {settings.clickhouse_host} (CLICKHOUSE_URL)")

    def on_ready() -> None:
        display.say(f"Weir is ready at {settings.api_url}")
        if not settings.bills:
            display.say(f"Billing: {NOT_REPORTED}.")
        display.say(
            f"Data and logs are in {settings.data_dir}. Ctrl-C stops Weir and keeps them; "
            "a second Ctrl-C kills it at once."
        )

    parts = weir_parts(settings, identity)
    code = await Supervisor(parts, settings.folder / "logs", display).run(on_ready)
    if code == 0:
        display.say("Weir has stopped.")
    return code
