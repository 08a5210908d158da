"""`weir stripe`: sets up what is billed by at Stripe, and holds its totals against Weir's."""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from deploy.billing.answers import (
    account,
    known_meters,
    published,
    run,
    wait_for_the_sink,
    with_stripe,
)
from deploy.edge_answers import EXIT_FAILED, fail
from schemas.settings import EX_CONFIG

if TYPE_CHECKING:
    from stripe import StripeClient

    from deploy.billing.reconciliation import Reconciled
    from schemas.meters import Meters
    from schemas.stripe_account import StripeSettings

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_LIVE: Final = ("sk_live_", "rk_live_")

stripe = typer.Typer(
    help="Set up billing at Stripe, show use that waits, hold totals against Stripe's.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, a line for each.")]


@stripe.command()
def setup(
    live: Annotated[
        bool, typer.Option("--live", help="Also with a live key: in the account that bills.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make meters, products and prices in the account of STRIPE_API_KEY; safe to run again.

    From meters.toml and plans.toml. A price that differs is replaced by a new one; subscriptions
    on the old one keep it.

    \b
    Ends with
      0    all is there
      1    Stripe refused something, and why is said
      69   what answers is not Stripe
      75   Stripe cannot answer now: run it again
      78   STRIPE_API_KEY is not set, or is a live key without --live
    """
    from json import dumps

    from deploy.billing.account_setup import Done, set_up
    from schemas.plans import InvalidPlans, PlansSettings, read_catalogue
    from schemas.settings import read_settings_or_exit

    settings = account()
    if settings.stripe_key.get_secret_value().startswith(_LIVE) and not live:
        fail(
            "stripe",
            EX_CONFIG,
            "STRIPE_API_KEY is a live key; try with a key of a test account first, "
            "then give --live",
        )
    meters = known_meters()
    try:
        catalogue = read_catalogue(read_settings_or_exit(PlansSettings).plans_path)
    except InvalidPlans as error:
        fail("stripe", EX_CONFIG, str(error))

    def say(done: Done) -> None:
        if as_json:
            members = ("kind", "name", "id", "outcome", "note")
            typer.echo(dumps({name: getattr(done, name) for name in members}))
            return
        id_ = "" if done.id == done.name else f" ({done.id})"
        note = f": {done.note}" if done.note else ""
        typer.echo(f"{done.kind} {done.name}{id_} {done.outcome}{note}")

    async def work(client: "StripeClient") -> None:
        await set_up(client, meters, catalogue, say)

    run(with_stripe(settings, work))


@stripe.command()
def pending(
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="How many at most, the oldest use first.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """List users whose use of the last 35 days waits until Stripe's customer is known.

    \b
    Ends with
      0    they are listed
      1    ClickHouse has no tables of billing
      75   ClickHouse cannot be asked now
    """
    from deploy.billing.clickhouse_questions import opened_questions
    from deploy.billing.pending import read_pending
    from deploy.billing.totals_shown import pending_lines, print_pending
    from schemas.servers import ClickHouseSettings
    from schemas.settings import read_settings_or_exit

    settings = read_settings_or_exit(ClickHouseSettings)

    async def ask() -> tuple[bool, int]:
        with opened_questions(settings) as questions:
            found, in_all = read_pending(questions, datetime.now(UTC), limit)
        if as_json:
            for line in pending_lines(found):
                typer.echo(line)
        elif found:
            print_pending(found)
        else:
            typer.echo("Nothing waits.")
        return bool(found), in_all - len(found)

    some, more = run(ask())
    if more:
        typer.echo(f"… and {more:,} more; --limit shows more", err=True)
    if some:
        typer.echo(
            "It is reported when the customer becomes known: by a checkout that Weir opened, or "
            "by metadata.user_id of the customer or subscription at Stripe.",
            err=True,
        )


@stripe.command()
def reconcile(
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TIME",
            help="A day in UTC or a whole hour: 2026-11-24, 2026-11-24T09:00:00Z.",
            show_default=False,
        ),
    ],
    end: Annotated[
        str, typer.Option("--to", metavar="TIME", help="The end, not with it.", show_default=False)
    ],
    customer: Annotated[
        str, typer.Option(metavar="cus_…", help="Of one customer alone.", show_default=False)
    ] = "",
    meter: Annotated[
        str, typer.Option(metavar="NAME", help="Of one meter alone.", show_default=False)
    ] = "",
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Report what is missing, take back what is double or wrong."),
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Show rows that agree, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hold the events, the reports of them and Stripe's sums against each other.

    For each customer and meter, with what explains a difference. Hours that have ended less than 5
    minutes ago are left out.

    \b
    Ends with
      0    all agree
      1    some differ, also where --fix has sent what helps: run it again in some minutes. What
           is taken back for another value is reported by the second run. Or Stripe has none of
           the customers: is STRIPE_API_KEY of the account that the worker reports to?
      69   what answers is not Stripe
      75   Stripe, ClickHouse or Kafka cannot answer now, or the sink is behind: run it again
      78   STRIPE_API_KEY is not set
    """
    from deploy.billing.reconciliation import settled_end

    first, last = _hour(start, "--from"), _hour(end, "--to")
    if first >= last:
        raise typer.BadParameter("--from must be before --to.")
    if customer and not _is_customer(customer):
        raise typer.BadParameter("--customer is Stripe's id of it, cus_….")
    settings = account()
    meters = known_meters()
    names = _chosen(meters, meter)
    now = datetime.now(UTC)
    settled = settled_end(last, now)
    if first >= settled:
        raise typer.BadParameter(
            "--from must lie before the last whole hour that has ended 5 minutes ago or earlier."
        )
    if settled < last:
        typer.echo(f"Up to {settled:%Y-%m-%dT%H:%M:%SZ}: later use may be on its way.", err=True)
    found = run(_compared(settings, meters, names, first, settled, now, customer, fix=fix))
    _show(found, every=every, as_json=as_json)
    _end(found, fix=fix)


async def _compared(
    settings: "StripeSettings",
    meters: "Meters",
    names: list[str],
    start: datetime,
    end: datetime,
    now: datetime,
    customer: str,
    *,
    fix: bool,
) -> "Reconciled":
    from deploy.billing.clickhouse_questions import opened_questions
    from deploy.billing.reconciliation import reconcile as compared
    from deploy.billing.standing import Span
    from deploy.billing.stripe_totals import totals_of
    from schemas.servers import ClickHouseSettings
    from schemas.settings import read_settings_or_exit

    clickhouse = read_settings_or_exit(ClickHouseSettings)
    chosen = [meters.meters[name] for name in names]
    if fix:
        await wait_for_the_sink(chosen, now)

    async def work(client: "StripeClient") -> "Reconciled":
        totals = await totals_of(client, {each.name: each for each in chosen})
        with opened_questions(clickhouse) as questions:
            return await compared(questions, totals, meters, names, Span(start, end, now), customer)

    return await with_stripe(settings, work)


def _show(found: "Reconciled", *, every: bool, as_json: bool) -> None:
    from deploy.billing.totals_shown import finding_lines, print_reconciled, reconciled_lines

    if as_json:
        for line in reconciled_lines(found.rows, every=every):
            typer.echo(line)
        return
    if not found.rows:
        typer.echo("Nothing was used, and nothing reported.")
        return
    print_reconciled(found.rows, every=every)
    for line in finding_lines(found.rows):
        typer.echo(line)


def _end(found: "Reconciled", *, fix: bool) -> None:
    """Sends what helps where it is asked for, and ends with what is to be done next."""
    differing = [row for row in found.rows if row.differs]
    if not differing:
        return
    if not found.whole:
        typer.echo("There are more differences than one run looks at; run it again.", err=True)
    if found.of_other_account:
        fail("stripe", EXIT_FAILED, _other_account(len({row.customer_id for row in found.rows})))
    findings = [each for row in differing for each in row.findings]
    commands = [command for each in findings for command in each.commands]
    left = sum(not each.commands for each in findings)
    twice = sum(each.second_run for each in findings)
    if fix and commands:
        count = published(commands)
        typer.echo(
            f"{count:,} commands are sent to the billing worker. Run this again in some minutes, "
            "to see what came of them.",
            err=True,
        )
        if twice:
            typer.echo(
                f"{twice:,} reports are taken back whose use is to be reported again: a second run "
                "with --fix sends that, when Stripe has taken them back.",
                err=True,
            )
    elif commands:
        typer.echo(f"--fix sends {len(commands):,} commands that end differences.", err=True)
    if left:
        typer.echo(f"{left:,} differences cannot be fixed now; each says why.", err=True)
    raise typer.Exit(EXIT_FAILED)


def _other_account(customers: int) -> str:
    from deploy.billing.reconciliation import UNKNOWN

    return f"Stripe has none of the {customers:,} customers, so nothing is fixed: {UNKNOWN}"


def _chosen(meters: "Meters", name: str) -> list[str]:
    if name and name not in meters.meters:
        raise typer.BadParameter(f"--meter must be one of {', '.join(meters.meters)}.")
    return [name] if name else list(meters.meters)


def _is_customer(text: str) -> bool:
    from schemas.billing import CUSTOMER_PATTERN

    return re.fullmatch(CUSTOMER_PATTERN, text) is not None


def _hour(text: str, option: str) -> datetime:
    """The begin of an hour in UTC; a date is that of its day."""
    try:
        moment = datetime.fromisoformat(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter(f"{option} must look like 2026-11-24 or 2026-11-24T09:00:00Z.")
    moment = moment.astimezone(UTC)
    if moment.minute or moment.second or moment.microsecond:
        raise typer.BadParameter(f"{option} must be a whole hour in UTC: Stripe sums up by hours.")
    return moment
