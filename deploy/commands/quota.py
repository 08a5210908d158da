"""`weir quota`: shows and changes a user's account, and holds it against its ledger."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deploy.edge_answers import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_TRY_AGAIN,
    Url,
    asked,
    fail,
)

if TYPE_CHECKING:
    from deploy.edge_client import EdgeClient, Json
    from deploy.quota_ledgers import Task

quota = typer.Typer(
    help="Show and change a user's plan and credits, rebuild them from the ledger.",
    no_args_is_help=True,
)

User = Annotated[str, typer.Argument(metavar="USER", help="As in tokens.", show_default=False)]
Reason = Annotated[
    str | None, typer.Option(help="What it is for, for the ledger.", show_default=False)
]
Key = Annotated[
    str | None,
    typer.Option(
        help="Names this one change: run again with the same key it is done once. "
        "Else one is made up.",
        show_default=False,
    ),
]
OneUser = Annotated[
    str | None, typer.Argument(metavar="USER", help="As in tokens.", show_default=False)
]
All = Annotated[bool, typer.Option("--all", help="Everybody with a ledger, instead of one user.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@quota.command()
def show(user: User, url: Url = None, as_json: AsJson = False) -> None:
    """Show a user's plan, and what is used of it: exact at this moment.

    \b
    Ends with
      0    it is shown
      1    the API refused the question
      69   what answers there is not Weir
      75   Weir cannot answer now
    """
    _print(asked("quota", url, lambda client: client.get(_path(user, "plan"))), as_json=as_json)


@quota.command()
def grant(
    user: User,
    count: Annotated[int, typer.Argument(metavar="CREDITS", show_default=False)],
    lasts: Annotated[
        Literal["period", "used"],
        typer.Option(help="Until the running period ends, or until they are used."),
    ] = "period",
    reason: Reason = None,
    key: Key = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Give a user credits beside those of the plan.

    \b
    Ends with
      0    they are granted
      1    they are not, and why is said
      69   what answers there is not Weir
      75   whether they are is not known: run it again with the key that is named
      130  interrupted; the same holds
    """
    document = {"count": count, "lasts": lasts, "reason": reason}
    _print(_changed(url, key, "POST", _path(user, "top-ups"), document), as_json=as_json)


@quota.command()
def refund(
    user: User,
    spend_id: Annotated[
        str, typer.Argument(metavar="SPEND_ID", help="From the ledger.", show_default=False)
    ],
    count: Annotated[
        int | None, typer.Option(help="So many of its credits. Else all.", show_default=False)
    ] = None,
    reason: Reason = None,
    key: Key = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Give the credits of a spend back, once.

    \b
    Ends with
      0    they are given back
      1    they are not, and why is said
      69   what answers there is not Weir
      75   whether they are is not known: run it again with the key that is named
      130  interrupted; the same holds
    """
    document = {"spend_id": spend_id, "count": count, "reason": reason}
    answer = _changed(url, key, "POST", _path(user, "refunds"), document)
    if not as_json:
        typer.echo(f"{answer['refunded']:,} credits are given back.")
    _print(answer, as_json=as_json)


@quota.command("set-plan")
def set_plan(
    user: User,
    plan: Annotated[str, typer.Argument(metavar="PLAN", show_default=False)],
    period_start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Of the subscription's running period, such as 2026-11-24T09:30:00Z, together "
            "with --period-end. Else periods are calendar months in UTC.",
            show_default=False,
        ),
    ] = None,
    period_end: Annotated[
        str | None, typer.Option(metavar="TIME", help="Its end.", show_default=False)
    ] = None,
    reason: Reason = None,
    key: Key = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Put a user on a plan. What is used in the running period stays used.

    \b
    Ends with
      0    the user is on the plan
      1    the user is not, and why is said
      69   what answers there is not Weir
      75   whether the user is, is not known: run it again with the key that is named
      130  interrupted; the same holds
    """
    if (period_start is None) != (period_end is None):
        raise typer.BadParameter("give --period-start and --period-end together, or neither.")
    period = None if period_start is None else {"start": period_start, "end": period_end}
    document = {"plan": plan, "period": period, "reason": reason}
    _print(_changed(url, key, "PUT", _path(user, "plan"), document), as_json=as_json)


@quota.command()
def rebuild(
    user: OneUser = None, every: All = False, url: Url = None, as_json: AsJson = False
) -> None:
    """Make accounts again what their ledgers in ClickHouse say, after Kafka's data was lost.

    It needs a quotas worker and a sink that run, and is safe to run again at any time.

    \b
    Ends with
      0    all are what their ledgers say
      1    some are not, and why is said
      69   what answers there is not Weir
      75   Weir cannot do it now: run it again
    """
    _each("rebuild", user, url, every=every, as_json=as_json)


@quota.command()
def check(
    user: OneUser = None, every: All = False, url: Url = None, as_json: AsJson = False
) -> None:
    """Check that the ledger adds up to the account; changes nothing.

    \b
    Ends with
      0    all agree
      1    some do not, and how is said
      69   what answers there is not Weir
      75   Weir cannot answer now
    """
    _each("check", user, url, every=every, as_json=as_json)


def _each(task: "Task", user: str | None, url: str | None, *, every: bool, as_json: bool) -> None:
    from json import dumps

    from deploy.quota_ledgers import Outcome, line_of, of_all, of_user

    if (user is not None) == every:
        raise typer.BadParameter("name a user, or --all.")

    good = failed = 0
    try_again = False

    def report(outcome: Outcome) -> None:
        nonlocal good, failed, try_again
        good += outcome.good
        failed += not outcome.good
        try_again |= outcome.try_again
        if as_json and outcome.answer is not None:
            typer.echo(dumps(outcome.answer))
        else:
            typer.echo(line_of(outcome), err=not outcome.good)

    async def all_or_one(client: "EdgeClient") -> None:
        if user is not None:
            report(Outcome(user, await of_user(client, task, user)))
            return
        async for outcome in of_all(client, task):
            report(outcome)

    asked("quota", url, all_or_one, again=". Run it again")
    if every:
        done = "rebuilt" if task == "rebuild" else "agree"
        typer.echo(f"{good:,} {done}, {failed:,} not", err=as_json)
    if try_again:
        raise typer.Exit(EXIT_TRY_AGAIN)
    raise typer.Exit(EXIT_FAILED if failed else 0)


def _changed(
    url: str | None,
    key: str | None,
    method: Literal["POST", "PUT"],
    path: str,
    document: Mapping[str, object],
) -> "Json":
    """The account after a change. What is None in the document is left to the API."""
    from uuid import uuid4

    name = key or str(uuid4())
    headers = {"Idempotency-Key": name}
    given = {member: value for member, value in document.items() if value is not None}

    def change(client: "EdgeClient") -> "Awaitable[Json]":
        send: Callable[..., Awaitable[Json]] = client.put if method == "PUT" else client.post
        return send(path, given, headers)

    again = f"\nRun it again with this, and it is done once: --key {name}"
    try:
        return asked("quota", url, change, again=again)
    except KeyboardInterrupt:
        fail("quota", EXIT_INTERRUPTED, f"interrupted; whether it was done is not known.{again}")


def _path(user: str, what: str) -> str:
    from urllib.parse import quote

    return f"/api/users/{quote(user, safe='')}/{what}"


def _print(account: "Json", *, as_json: bool) -> None:
    from json import dumps

    from deploy.access_log.shown import shown

    if as_json:
        typer.echo(dumps(account))
        return
    user, plan = shown(account["user_id"]), shown(account["plan"])
    typer.echo(
        f"{user} is on {plan}: {account['quota_used']:,} of {account['limit']:,} credits used, "
        f"{account['remaining']:,} remain."
    )
    typer.echo(f"The period runs from {account['period_start']} to {account['resets_at']}.")
