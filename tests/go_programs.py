"""Programs that tests need and that only exist as Go modules: built once into .cache.

`python -m tests.go_programs` builds all of them, so that no test waits for it.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

CACHE: Final = Path(__file__).parents[1] / ".cache"
BUILD_SECONDS: Final = 600
"""Helm takes two and a half minutes on two cores that do nothing else."""


class NoGo(Exception):
    """There is no `go` here to build with."""


@dataclass(frozen=True)
class GoProgram:
    """A program by the package that makes it, in a version of its module."""

    name: str
    package: str
    version: str

    @property
    def path(self) -> Path:
        return CACHE / f"{self.name}-{self.version}" / self.name

    def build(self) -> Path:
        """The program, built unless it is there. Raises NoGo, and what `go install` says."""
        if self.path.exists():
            return self.path
        go = shutil.which("go")
        if go is None:
            raise NoGo(f"{self.name} is a Go module, and there is no go here to build it with")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Another of pytest's processes may be at it.
        with (self.path.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.path.exists():
                making = self.path.parent / "making"
                subprocess.run(
                    [go, "install", f"{self.package}@{self.version}"],
                    env={**os.environ, "GOBIN": str(making), "GOFLAGS": "-mod=mod"},
                    check=True,
                    timeout=BUILD_SECONDS,
                )
                # Whole, or not there at all.
                (making / self.name).rename(self.path)
        return self.path


STRIPE_MOCK: Final = GoProgram("stripe-mock", "github.com/stripe/stripe-mock", "v0.203.0")
HELM: Final = GoProgram("helm", "helm.sh/helm/v3/cmd/helm", "v3.22.0")


def required_go_program(program: GoProgram) -> Path:
    """The program. Without go the test is skipped; where `.ci/run` runs it, it fails."""
    try:
        return program.build()
    except NoGo as missing:
        if os.environ.get("WEIR_TEST_PROGRAMS") == "required":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


def main() -> None:
    for program in (STRIPE_MOCK, HELM):
        try:
            print(program.build())
        except NoGo as missing:
            sys.exit(f"{missing}")


if __name__ == "__main__":
    main()
