"""Programs that tests need beside Python: named when they are missing, required in CI."""

import os
import shutil

import pytest


def required_program(name: str, *, package: str | None = None) -> str:
    """The program's path. Without it the test is skipped; where `.ci/run` runs it, it fails.

    `package`: Debian's, where it has another name.
    """
    path = shutil.which(name)
    if path is None:
        missing = f"{name} is not installed (Debian and Ubuntu: apt-get install {package or name})"
        if os.environ.get("WEIR_TEST_PROGRAMS") == "required":
            pytest.fail(missing)
        pytest.skip(missing)
    return path
