"""Chooses among media types by a request's `Accept`."""

from collections.abc import Sequence

from fastapi import Request


def preferred(request: Request, offered: Sequence[str]) -> str:
    """The media type that is asked for most, by its name; the first of those offered if none is.

    Wildcards name nothing: `*/*` gets the first, and so do equal weights.
    """
    weights = dict.fromkeys(offered, 0.0)
    accept = ",".join(request.headers.getlist("accept"))
    for part in accept.lower().split(","):
        name, *options = (each.strip() for each in part.split(";"))
        if name in weights:
            weights[name] = _weight(options)
    return max(offered, key=lambda name: weights[name])


def _weight(options: Sequence[str]) -> float:
    for option in options:
        name, _, value = option.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
