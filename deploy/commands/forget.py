"""`weir forget`: erases a user from ClickHouse and Kafka's compacted topics, and proves it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from deploy.edge_answers import EXIT_FAILED, EXIT_TRY_AGAIN, fail

if TYPE_CHECKING:
    from deploy.billing.clickhouse_questions import Questions
    from deploy.forgetting.erasing import Erasing, Found
    from deploy.forgetting.subject import Subject

_COMMAND: Final = "forget"


def forget(
    user: Annotated[str, typer.Argument(metavar="USER", help="The user's id.", show_default=False)],
    visitor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Erase what this visitor did without being signed in, too; several, each by "
            "--visitor.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what there is, and erase nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Erase it, for ever.")] = False,
    wait: Annotated[
        float,
        typer.Option(
            min=1, max=86_400, metavar="SECONDS", help="How long each worker may take to catch up."
        ),
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, a line for each.")] = False,
) -> None:
    """Erase a user from ClickHouse, the media store and Kafka's compacted topics, and prove it.

    It needs the workers that run here, and is safe to run again at any time. Counts stay.

    \b
    Ends with
      0    every place was looked at afterwards, and is empty
      1    something is left, and where is said: does the user still send?
      2    neither --yes nor --dry-run was given
      75   a server or worker is away or behind: run it again
      78   settings cannot be used
    """
    if not (dry_run or yes):
        raise typer.BadParameter(
            "erasing cannot be undone: give --yes, or --dry-run to see what there is."
        )
    _must_be_an_id(user)
    visitors = tuple(dict.fromkeys(visitor or ()))
    asyncio.run(_run(user, visitors, dry_run=dry_run, wait=wait, as_json=as_json))


def _must_be_an_id(user: str) -> None:
    from pydantic import TypeAdapter, ValidationError

    from schemas.limits import MAX_NAME_CHARACTERS
    from schemas.quotas import AccountUser

    try:
        TypeAdapter[str](AccountUser).validate_python(user)
    except ValidationError:
        # What it says quotes the id.
        raise typer.BadParameter(
            f"USER must be an id: 1 to {MAX_NAME_CHARACTERS} characters, none of them a control "
            "character."
        ) from None


async def _run(
    user: str, visitors: tuple[str, ...], *, dry_run: bool, wait: float, as_json: bool
) -> None:
    from aiokafka.errors import KafkaError

    from deploy.billing.clickhouse_questions import ClickHouseAway, TablesMissing
    from deploy.forgetting.broker import TopicsMissing
    from deploy.forgetting.erasing import Found, NotNow
    from deploy.forgetting.mutations import StillRewriting
    from schemas.media import MediaNotUsable
    from streams.failures import Retryable

    try:
        async with _opened(user, visitors, wait) as (erasing, questions):
            found = Found(await erasing.look()) if dry_run else await erasing.erase()
            _show(found, as_json=as_json)
            _advise(erasing.subject, questions, dry_run=dry_run)
    except (TopicsMissing, TablesMissing) as error:
        fail(_COMMAND, EXIT_FAILED, str(error))
    except (NotNow, StillRewriting, ClickHouseAway, Retryable, MediaNotUsable) as error:
        fail(_COMMAND, EXIT_TRY_AGAIN, f"{error}. Nothing is proved yet")
    except (KafkaError, OSError) as error:
        fail(
            _COMMAND,
            EXIT_TRY_AGAIN,
            f"Kafka cannot be asked ({type(error).__name__}). Is it running? Check "
            "KAFKA_BOOTSTRAP_SERVERS or WEIR_KAFKA_PORT, and run this again",
        )
    if not dry_run and not found.is_proved:
        fail(
            _COMMAND,
            EXIT_FAILED,
            "something of the user is left, or came meanwhile. Stop what sends it, and run this "
            "again",
        )


@asynccontextmanager
async def _opened(
    user: str, visitors: tuple[str, ...], wait: float
) -> "AsyncIterator[tuple[Erasing, Questions]]":
    from deploy.billing.answers import known_meters
    from deploy.billing.clickhouse_questions import opened_questions
    from deploy.forgetting.broker import opened_broker
    from deploy.forgetting.customers import with_customers
    from deploy.forgetting.erasing import Erasing, Groups
    from deploy.forgetting.mutations import Mutations
    from deploy.forgetting.posts import Posts
    from deploy.forgetting.subject import Subject
    from schemas.media import MediaSettings, open_media
    from schemas.settings import read_settings_or_exit
    from streams.billing.settings import BillingSettings
    from streams.quotas.settings import QuotasSettings
    from streams.sink.settings import SinkSettings
    from streams.social.object_storage import ObjectStorage
    from streams.social.settings import SocialSettings

    settings = read_settings_or_exit(SinkSettings)
    groups = Groups(
        settings.group,
        read_settings_or_exit(QuotasSettings).group,
        read_settings_or_exit(SocialSettings).group,
        read_settings_or_exit(BillingSettings).group,
    )
    meters = known_meters()
    storage = ObjectStorage(open_media(read_settings_or_exit(MediaSettings)))
    with opened_questions(settings) as questions:
        subject = with_customers(questions, Subject(user, visitors), meters)
        async with opened_broker(settings) as broker:
            erasing = Erasing(
                subject,
                questions,
                Mutations(questions, cluster=bool(settings.clickhouse_cluster), say=_say),
                broker,
                Posts(storage, questions, subject),
                meters,
                groups,
                seconds=wait,
                say=_say,
            )
            yield erasing, questions


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _show(found: "Found", *, as_json: bool) -> None:
    from deploy.forgetting.shown import json_lines, print_places

    after = found.after or None
    if as_json:
        for line in json_lines(found.before, after):
            typer.echo(line)
    else:
        print_places(found.before, after)


def _advise(subject: "Subject", questions: "Questions", *, dry_run: bool) -> None:
    """What is not erased here, and what to do about it."""
    from deploy.access_log.shown import shown
    from deploy.forgetting.shown import ageing, at_stripe
    from deploy.forgetting.tables import MENTIONED, SEEN_AS, mentions

    said = list(at_stripe(subject))
    if dry_run:
        seen = [str(row[0]) for row in questions.rows(SEEN_AS, subject.by_name())]
        if left := [each for each in seen if each not in subject.visitors]:
            said.append(
                "The user was seen as these visitors, whose other events stay unless --visitor "
                f"names them: {', '.join(shown(each) for each in left)}"
            )
    [[mentioned]] = questions.rows(MENTIONED, mentions(subject))
    if mentioned:
        said.append(
            f"{mentioned:,} counts are of paths or referrers that hold the id. They stay, as all "
            "counts do: name routes, not people, in paths"
        )
    if not dry_run:
        said.append("What was written to Kafka before goes by itself:")
        said += [f"  {line}" for line in ageing(datetime.now(UTC))]
    for line in said:
        _say(line)
