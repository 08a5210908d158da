"""Kafka's jars: fetched by jgo, and used only when they are the ones in the lock."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from deploy.local.places import CACHE

if TYPE_CHECKING:
    from jgo.maven import MavenContext

ENDPOINT = "org.apache.kafka:kafka_2.13:4.3.1+org.slf4j:slf4j-simple:1.7.36@kafka.Kafka"
LOCK = Path(__file__).with_name("jars.lock")

_ATTEMPTS = 4
_TIMEOUT_SECONDS = 30

T = TypeVar("T")
Progress = Callable[[str], None]


class JarError(Exception):
    """A jar cannot be had, or is not the locked one. The message says what to do."""


@dataclass(frozen=True, slots=True)
class LockedJar:
    """One line of the lock: a jar's SHA-256 sum and its path in a Maven repository."""

    sha256: str
    path: str

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def coordinates(self) -> tuple[str, str, str]:
        """Maven group, artifact and version."""
        *group, artifact, version, _ = self.path.split("/")
        return ".".join(group), artifact, version


def read_lock(lock: Path = LOCK) -> list[LockedJar]:
    """Return the locked jars, sorted by path. Raises JarError on a line that is none."""
    jars = []
    for number, line in enumerate(lock.read_text().splitlines(), start=1):
        sha256, _, path = line.partition("  ")
        if len(sha256) != 64 or path.count("/") < 3:
            msg = f"{lock}:{number} is not `sha256  path`. Write it anew with `make lock`."
            raise JarError(msg)
        jars.append(LockedJar(sha256, path))
    return sorted(jars, key=lambda jar: jar.path)


def jar_folder(lock: Path = LOCK, cache: Path = CACHE) -> Path:
    """Return the folder for exactly the jars of this lock; another lock has another folder."""
    return cache / "kafka" / f"jars-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"


def verify(folder: Path, jars: list[LockedJar]) -> list[LockedJar]:
    """Return the jars that `folder` does not have yet.

    Raises JarError, naming every one, when a jar is there that the lock does not name or
    whose content is not the locked one.
    """
    locked = {jar.name: jar for jar in jars}
    missing = dict(locked)
    wrong = []
    for path in sorted(folder.glob("*.jar")):
        jar = locked.get(path.name)
        if jar is None:
            wrong.append(f"{path.name} is not in the lock")
        elif (found := _sha256(path)) != jar.sha256:
            wrong.append(f"{path.name} has SHA-256 {found}, the lock says {jar.sha256}")
        missing.pop(path.name, None)
    if wrong:
        raise JarError(
            f"Kafka is not started, its jars are not the locked ones: {'; '.join(wrong)}. "
            f"Delete {folder} and start again: they are then downloaded anew."
        )
    return list(missing.values())


def fetch(progress: Progress, lock: Path = LOCK, cache: Path = CACHE) -> list[Path]:
    """Return the paths of all jars, downloaded where missing, each equal to its lock.

    Raises JarError when one cannot be downloaded, or is not what the lock says.
    """
    jars = read_lock(lock)
    folder = jar_folder(lock, cache)
    missing = verify(folder, jars)
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        # What is half downloaded never carries a jar's final name.
        with tempfile.TemporaryDirectory(prefix="download-", dir=folder.parent) as temporary:
            context = _maven(Path(temporary))
            megabytes = 0.0
            for done, jar in enumerate(missing):
                progress(f"downloading jar {done + 1} of {len(missing)}, {megabytes:.0f} MB")
                downloaded = _download(context, jar)
                megabytes += downloaded.stat().st_size / 1e6
                downloaded.replace(folder / jar.name)
    return [folder / jar.name for jar in jars]


def write_lock(progress: Progress, lock: Path = LOCK, cache: Path = CACHE) -> int:
    """Resolve `ENDPOINT` with all it needs, write the lock, return the number of jars.

    Raises JarError when the repository does not answer.
    """
    from jgo.parse import Endpoint

    (cache / "kafka").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lock-", dir=cache / "kafka") as temporary:
        repository = Path(temporary)
        context = _maven(repository)
        wanted = [
            context.create_dependency(replace(coordinate, scope="compile"))
            for coordinate in Endpoint.parse(ENDPOINT).coordinates
        ]
        progress("resolving what Kafka needs")
        given, needed = _patiently("Kafka's jars", lambda: context.resolver.resolve(wanted))
        runtime = [one for one in needed if one.scope in ("compile", "runtime")]
        lines = []
        for number, dependency in enumerate([*given, *runtime], start=1):
            progress(f"downloading jar {number} of {len(given) + len(runtime)}")
            path = _patiently(str(dependency.artifact), dependency.artifact.resolve)
            lines.append(f"{_sha256(path)}  {path.relative_to(repository).as_posix()}\n")
    lock.write_text("".join(sorted(lines, key=lambda line: line.split("  ")[1])))
    return len(lines)


def _maven(repository: Path) -> "MavenContext":
    """Return jgo's view of Maven Central, or of the mirror in the user's jgo settings."""
    # requests, which jgo uses, does not read the variable that everything else reads.
    if "SSL_CERT_FILE" in os.environ:
        os.environ.setdefault("REQUESTS_CA_BUNDLE", os.environ["SSL_CERT_FILE"])
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    return MavenContext(
        repo_cache=repository,
        remote_repos={"central": MAVEN_CENTRAL_URL} | GlobalSettings.load().repositories,
        timeout=_TIMEOUT_SECONDS,
    )


def _download(context: "MavenContext", jar: LockedJar) -> Path:
    group, artifact, version = jar.coordinates
    wanted = context.project(group, artifact).at_version(version).artifact()

    def attempt() -> Path:
        # What an attempt before this one left half written would pass for the whole.
        if wanted.cached_path is not None:
            wanted.cached_path.unlink(missing_ok=True)
        return wanted.resolve()

    path = _patiently(jar.name, attempt)
    if (found := _sha256(path)) != jar.sha256:
        raise JarError(
            f"{jar.name} was downloaded with SHA-256 {found}, the lock says {jar.sha256}. "
            "It was changed on the way: look at the proxy or the Maven mirror in use, "
            "then start again."
        )
    return path


def _patiently(what: str, action: Callable[[], T]) -> T:
    """Run `action`, again after a failure of the network, `_ATTEMPTS` times at most."""
    import requests

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return action()
        # jgo says with a RuntimeError that no repository answered with the file.
        except (requests.RequestException, RuntimeError) as error:
            if attempt == _ATTEMPTS:
                raise JarError(
                    f"{what} cannot be downloaded ({error}). Check the connection, or name a "
                    "mirror as `central` under [repositories] in jgo's settings file "
                    "(JGO_CONFIG_FILE), then start again."
                ) from error
            time.sleep(2 ** (attempt - 1))
    raise AssertionError("unreachable")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
