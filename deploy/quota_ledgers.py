"""Rebuilds accounts from their ledgers, or checks that the two agree, one user after the other."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from deploy.access_log.shown import shown
from deploy.edge_client import EdgeClient, Json, Refused

PAGE: Final = "1000"
FAILURES: Final = 3
"""After so many users in a row that Weir cannot answer about now, it is not about the users."""

Task = Literal["rebuild", "check"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one user: the answer, or why there is none, and whether to try again."""

    user_id: str
    answer: Json | None
    problem: str = ""
    try_again: bool = False

    @property
    def good(self) -> bool:
        return self.answer is not None and bool(self.answer.get("agrees", True))


async def of_user(client: EdgeClient, task: Task, user_id: str) -> Json:
    """The API's answer. Raises as EdgeClient does."""
    path = f"/api/users/{quote(user_id, safe='')}"
    if task == "check":
        return await client.get(f"{path}/ledger")
    return await client.post(f"{path}/rebuild", None)


async def of_all(client: EdgeClient, task: Task) -> AsyncIterator[Outcome]:
    """The same for each user with a ledger; ends early when Weir cannot answer at all now."""
    in_a_row = 0
    async for user_id in _users(client):
        try:
            yield Outcome(user_id, await of_user(client, task, user_id))
            in_a_row = 0
        except Refused as error:
            away = error.status == 503
            in_a_row = in_a_row + 1 if away else 0
            yield Outcome(user_id, None, str(error), try_again=away)
            if in_a_row == FAILURES:
                return


async def _users(client: EdgeClient) -> AsyncIterator[str]:
    cursor: dict[str, str] = {}
    while True:
        page = await client.get("/api/users", {"limit": PAGE, **cursor})
        for item in page["items"]:
            yield item["user_id"]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


def line_of(outcome: Outcome) -> str:
    """What came of a user, in a line."""
    user, answer = shown(outcome.user_id), outcome.answer
    if answer is None:
        return f"{user}: {shown(outcome.problem)}"
    if "agrees" in answer:
        ledger, account = answer["ledger"], answer["account"]
        if answer["agrees"]:
            return f"{user}: {ledger['changes']:,} changes add up to the account."
        return (
            f"{user}: the ledger says {ledger['quota_used']:,} credits used on "
            f"{shown(ledger['plan'])} and {ledger['top_up_credits_left']:,} left of top-ups; the "
            f"account says {account['quota_used']:,} of {account['limit']:,} used on "
            f"{shown(account['plan'])}. `weir quota rebuild` makes it what the ledger says."
        )
    return (
        f"{user}: was {_standing(answer['before'])}; is {_standing(answer['after'])} "
        f"({answer['changes']:,} changes, {answer['remembered']:,} of them remembered)."
    )


def _standing(account: Json) -> str:
    return f"on {shown(account['plan'])}, {account['quota_used']:,} of {account['limit']:,} used"
