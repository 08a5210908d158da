"""Names in the environment that look like Weir's and are not."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

PREFIX: Final = "WEIR_"

# What Kubernetes adds for a Service named weir-…: _SERVICE_HOST, _SERVICE_PORT and one for each
# named port, _PORT, and four for each port number.
_SERVICE_LINK: Final = re.compile(
    r"WEIR_\w+_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?)"
)
_LINK_PORT: Final = re.compile(r"WEIR_\w+_PORT")
_LINK_ADDRESS: Final = re.compile(r"(?:tcp|udp|sctp)://\S+:\d+")


def service_links(environment: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """The names that Kubernetes has set, one of Weir's own among them if its value shows it."""
    settings = frozenset(known)
    return sorted(
        name
        for name, value in environment.items()
        if (_SERVICE_LINK.fullmatch(name) and name not in settings)
        or (_LINK_PORT.fullmatch(name) and _LINK_ADDRESS.fullmatch(value))
    )


def unknown_settings(environment: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """A sentence for each name that begins like a setting of Weir and is none. No values."""
    settings = frozenset(known)
    links = service_links(environment, settings)
    # Names of settings are read without regard to case.
    unknown = sorted(
        name
        for name in environment.keys() - set(links)
        if name.upper().startswith(PREFIX) and name.upper() not in settings
    )
    problems = [_unknown(name, settings) for name in unknown]
    if links:
        problems.append(
            f"{', '.join(links)}: looks like what Kubernetes sets for a Service; set "
            "enableServiceLinks: false in the pod's specification"
        )
    return problems


def _unknown(name: str, settings: frozenset[str]) -> str:
    nearest = get_close_matches(name.upper(), sorted(settings), n=1, cutoff=0.75)
    hint = (
        f"did you mean {nearest[0]}?"
        if nearest
        else "take it away, docs/operations.md lists what there is"
    )
    return f"{name} is not a setting of Weir; {hint}"
