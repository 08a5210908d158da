"""What the indexes say of packages, and which of it is accepted: no network, no clock."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

ACCEPTED: Final = Path(__file__).with_name("accepted.toml")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A package, what is known of it, and what would help."""

    package: str
    id: str
    says: str


@dataclass(slots=True)
class Told:
    """What was told of one lock; `silent`: why of these packages nothing was, '' for all."""

    findings: list[Finding] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)


class _Accepted(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    package: str
    id: str
    reason: Annotated[str, Field(min_length=10)]
    until: date


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    accepted: list[_Accepted] = []


class InvalidAccepted(Exception):
    """The list of accepted findings cannot be used; the message says why."""


def read_accepted(path: Path, today: date) -> set[tuple[str, str]]:
    """Package and id of what is accepted on this day. Raises InvalidAccepted."""
    try:
        found = _File.model_validate(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise InvalidAccepted(f"{path}: {error}") from None
    return {(each.package, each.id) for each in found.accepted if each.until >= today}


def open_findings(findings: Iterable[Finding], accepted: set[tuple[str, str]]) -> Sequence[Finding]:
    """Those that nobody has accepted, each once, in order."""
    return sorted({each for each in findings if (each.package, each.id) not in accepted})


class _Vulnerability(BaseModel):
    id: str
    fix_versions: list[str] = []


class _Dependency(BaseModel):
    name: str
    version: str = ""
    vulns: list[_Vulnerability] = []
    skip_reason: str = ""


class _PipAudit(BaseModel):
    dependencies: list[_Dependency]


def told_by_pip_audit(output: str) -> Told:
    """Of `pip-audit --format json`. Raises ValueError when it is none."""
    told = Told()
    for each in _PipAudit.model_validate_json(output).dependencies:
        if each.skip_reason:
            told.silent[each.name] = each.skip_reason
        for known in each.vulns:
            fixed = f"fixed in {', '.join(known.fix_versions)}" if known.fix_versions else "no fix"
            told.findings.append(Finding(each.name, known.id, f"{each.version}; {fixed}"))
    return told


def yanked_by_pip(errors: str) -> list[Finding]:
    """Of what pip warns about: versions that their publishers have withdrawn."""
    found = []
    for line, following in pairwise([*errors.splitlines(), ""]):
        _, is_there, candidate = line.partition("is a yanked version: '")
        if is_there:
            name, _, version = candidate.replace("'", "", 1).partition(" candidate (version ")
            why = following.removeprefix("Reason for being yanked: ")
            found.append(Finding(name, "yanked", f"{version.partition(' ')[0]}; {why}"))
    return found


class _Advisory(BaseModel):
    title: str = ""
    url: str = ""


class _NpmPackage(BaseModel):
    name: str
    severity: str
    # A name alone stands for the package through which the vulnerability comes in.
    via: list[_Advisory | str]


class _NpmAudit(BaseModel):
    vulnerabilities: dict[str, _NpmPackage]


def told_by_npm(output: str) -> Told:
    """Of `npm audit --json`. Raises ValueError when it is none: the index did not answer."""
    told = Told()
    for each in _NpmAudit.model_validate_json(output).vulnerabilities.values():
        for known in each.via:
            if isinstance(known, _Advisory):
                name = known.url.rpartition("/")[2]
                told.findings.append(Finding(each.name, name, f"{each.severity}; {known.title}"))
    return told
