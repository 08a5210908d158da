"""The header `Prefer` (RFC 7240): whether, and how long, a client waits for a post."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Header, Request

NAME: Final = "Prefer"


@dataclass(frozen=True, slots=True)
class Preference:
    """`wait`: seconds. `applied`: what `Preference-Applied` says; '' when nothing was asked."""

    wait: float
    applied: str


def preference_of(request: Request, longest: float) -> Preference:
    """What the client prefers; what is not understood is ignored, as the RFC says."""
    wait, applied = longest, ""
    for line in request.headers.getlist(NAME):
        for each in line.split(","):
            name, _, value = each.split(";")[0].strip().partition("=")
            value = value.strip().strip('"')
            if name.strip().lower() == "respond-async":
                return Preference(0.0, "respond-async")
            if name.strip().lower() == "wait" and value.isdigit() and len(value) < 7:
                wait = min(longest, float(value))
                applied = f"wait={int(value)}" if wait == float(value) else ""
    return Preference(wait, applied)


async def documented_preference(
    prefer: Annotated[  # for the document alone
        str | None,
        Header(
            alias=NAME,
            description="`respond-async`: answer 202 as soon as the credits are taken. `wait=10`: "
            "wait so many seconds at most.",
            examples=["respond-async"],
        ),
    ] = None,
) -> None:
    """A route's dependency, which documents the header."""
