"""Chooses among media types by a request's `Accept`."""

from collections.abc import Sequence


def preferred(accept: str, offered: Sequence[str]) -> str:
    """The media type that is asked for most, by its name; the first of those offered if none is.

    Wildcards name nothing: `*/*` gets the first.
    """
    weights = dict.fromkeys(offered, 0.0)
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
