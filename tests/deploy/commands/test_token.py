"""`weir token`: prints what a Weir with the same secret takes."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from api.identity.principal import Principal, Role
from api.identity.tokens import InvalidToken, SharedSecret, TokenCheck
from deploy.secret_files import read_or_create_secret

SECRET: Final = "s" * 40


def weir_token(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    return subprocess.run(
        [sys.executable, "-m", "deploy.commands", "token", *arguments],
        cwd=folder,
        env=clean | {"PYTHONPATH": str(Path(__file__).parents[3])} | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


async def principal(
    printed: str, secret: str = SECRET, *, later: float = 0, audience: str = "", issuer: str = ""
) -> Principal:
    check = TokenCheck(
        SharedSecret(secret), issuer=issuer, audience=audience, clock=lambda: time.time() + later
    )
    return await check.principal(printed.strip())


async def test_it_names_the_user_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    printed = weir_token(tmp_path, "--user", "alice", WEIR_JWT_SECRET=SECRET)
    assert (printed.returncode, printed.stderr, printed.stdout.count("\n")) == (0, "", 1)
    assert await principal(printed.stdout) == Principal("alice", frozenset({Role.USER}))
    await principal(printed.stdout, later=11.9 * 3600)
    with pytest.raises(InvalidToken, match="expired"):
        await principal(printed.stdout, later=12.1 * 3600)


async def test_roles_issuer_and_audience_are_those_that_are_asked_for(tmp_path: Path) -> None:
    arguments = ("--user", "root", "--role", "admin", "--role", "analyst", "--expires", "30m")
    printed = weir_token(
        tmp_path,
        *arguments,
        WEIR_JWT_SECRET=SECRET,
        WEIR_JWT_ISSUER="https://weir.example.com",
        WEIR_JWT_AUDIENCE="weir",
    ).stdout
    named = await principal(printed, issuer="https://weir.example.com", audience="weir")
    assert named == Principal("root", frozenset({Role.ADMIN, Role.ANALYST}))
    with pytest.raises(InvalidToken, match="expired"):
        await principal(printed, later=1900, issuer="https://weir.example.com", audience="weir")


async def test_it_signs_with_what_weir_up_made_in_the_data_folder(tmp_path: Path) -> None:
    secret = read_or_create_secret(tmp_path / "data" / "jwt-secret").hex()
    printed = weir_token(tmp_path, "--user", "alice", WEIR_DATA_DIR="data")
    assert (await principal(printed.stdout, secret)).subject == "alice"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "does not exist. Start Weir once with `make up`"),
        ({"WEIR_JWKS_URL": "https://login.example.com/keys"}, "the identity provider"),
        ({"WEIR_JWT_SECRET": "short"}, "WEIR_JWT_SECRET"),
    ],
)
def test_without_a_secret_it_says_what_to_do(
    tmp_path: Path, environment: dict[str, str], said: str
) -> None:
    failed = weir_token(tmp_path, "--user", "alice", **environment)
    assert (failed.returncode, failed.stdout) == (78, "")
    assert said in failed.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--user", ""),
        ("--user", "a\nb"),
        ("--user", "a" * 257),
        ("--user", "alice", "--role", "root"),
        ("--user", "alice", "--expires", "0s"),
        ("--user", "alice", "--expires", "10"),
        ("--user", "alice", "--expires", "366d"),
        (),
    ],
)
def test_what_makes_no_token_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    refused = weir_token(tmp_path, *arguments, WEIR_JWT_SECRET=SECRET)
    assert (refused.returncode, refused.stdout) == (2, "")
