"""Reads docker-compose.yml as Compose does: merged with its override, with variables filled in."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from tests.weir import Json

CHECKOUT: Final = Path(__file__).parents[3]
COMPOSE: Final = CHECKOUT / "docker-compose.yml"
OVERRIDE: Final = CHECKOUT / "docker-compose.override.yml"
REFERENCE: Final = re.compile(r"\$\{(?P<name>[A-Z_]+)(?:(?P<kind>:[-?])(?P<rest>[^}]*))?\}")

Document = dict[str, Json]


class NotSet(Exception):
    """A variable without a default is needed."""


def loaded(file: Path) -> Document:
    """The file with its anchors and merges resolved."""
    document = yaml.safe_load(file.read_text())
    assert isinstance(document, dict)
    return document


def filled_in(document: Json, variables: Mapping[str, str]) -> Json:
    """The document with each `${…}` replaced. Raises NotSet."""
    match document:
        case dict():
            return {key: filled_in(value, variables) for key, value in document.items()}
        case list():
            return [filled_in(value, variables) for value in document]
        case str():
            return REFERENCE.sub(lambda match: _value(match, variables), document)
        case _:
            return document


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name, kind, rest = match["name"], match["kind"], match["rest"] or ""
    if variables.get(name):
        return variables[name]
    if kind == ":-":
        return rest
    raise NotSet(f"{name}: {rest}")


def merged(base: Document, override: Document) -> Document:
    """Both, as Compose merges files: mappings by key, ports, volumes and networks added."""
    result = dict(base)
    for key, value in override.items():
        there = result.get(key)
        if isinstance(there, dict) and isinstance(value, dict):
            result[key] = merged(there, value)
        elif isinstance(there, list) and key in {"ports", "volumes", "networks", "tmpfs"}:
            result[key] = [*there, *(each for each in value if each not in there)]
        else:
            result[key] = value
    return result


def environment_of(service: Document, variables: Mapping[str, str]) -> dict[str, str]:
    """What a container of the service gets: a name without a value only where it is set."""
    given = filled_in(service.get("environment", {}), variables)
    return {
        name: variables[name] if value is None else str(value)
        for name, value in given.items()
        if value is not None or name in variables
    }
