"""`weir quota`: shows a user's account, grants credits, gives them back, sets the plan."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deploy.edge_answers import Url, asked

if TYPE_CHECKING:
    from deploy.edge_client import EdgeClient, Json

quota = typer.Typer(
    help="Show a user's plan and credits, grant credits, give them back, set the plan.",
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
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@quota.command()
def show(user: User, url: Url = None, as_json: AsJson = False) -> None:
    r"""Show a user's plan, and what is used of it: exact at this moment.

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
    r"""Give a user credits beside those of the plan.

    \b
    Ends with
      0    they are granted
      1    they are not, and why is said
      69   what answers there is not Weir
      75   whether they are is not known: run it again with the key that is named
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
    r"""Give the credits of a spend back, once.

    \b
    Ends with
      0    they are given back
      1    they are not, and why is said
      69   what answers there is not Weir
      75   whether they are is not known: run it again with the key that is named
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
    r"""Put a user on a plan. What is used in the running period stays used.

    \b
    Ends with
      0    the user is on the plan
      1    the user is not, and why is said
      69   what answers there is not Weir
      75   whether the user is, is not known: run it again with the key that is named
    """
    if (period_start is None) != (period_end is None):
        raise typer.BadParameter("give --period-start and --period-end together, or neither.")
    period = None if period_start is None else {"start": period_start, "end": period_end}
    document = {"plan": plan, "period": period, "reason": reason}
    _print(_changed(url, key, "PUT", _path(user, "plan"), document), as_json=as_json)


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

    return asked("quota", url, change, again=f"\nRun it again with --key {name}: it is done once.")


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
