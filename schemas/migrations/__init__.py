"""ClickHouse's tables: numbered SQL files, each locked by its hash once it has landed."""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
LOCK: Final = FOLDER / "landed.toml"

_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_COMMENT: Final = re.compile(r"^\s*--.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, name, the SHA-256 of its bytes (hex), its statements in order."""

    version: int
    name: str
    sha256: str
    statements: tuple[str, ...]


class BrokenMigrations(Exception):
    """The files do not fit each other or the lock; the message says which and what to do."""


def load_migrations(folder: Path = FOLDER, lock: Path = LOCK) -> tuple[Migration, ...]:
    """All migrations by number. Raises BrokenMigrations for a gap, or an edited landed file."""
    migrations = []
    for file in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(file.name)
        if match is None:
            raise BrokenMigrations(f"{file.name}: name it like 0005_what_it_makes.sql")
        content = file.read_bytes()
        sql = _COMMENT.sub("", content.decode())
        migrations.append(
            Migration(
                version=int(match[1]),
                name=match[2],
                sha256=hashlib.sha256(content).hexdigest(),
                statements=tuple(part.strip() for part in sql.split(";") if part.strip()),
            )
        )
    if [migration.version for migration in migrations] != list(range(1, len(migrations) + 1)):
        raise BrokenMigrations("migrations must be numbered 0001, 0002, … without a gap")
    _check_lock(migrations, tomllib.loads(lock.read_text()))
    return tuple(migrations)


def _check_lock(migrations: list[Migration], landed: Mapping[str, str]) -> None:
    known = {f"{migration.version:04}_{migration.name}": migration for migration in migrations}
    for name, sha256 in landed.items():
        if name not in known:
            raise BrokenMigrations(f"{name}.sql has landed and is gone; bring it back")
        if known[name].sha256 != sha256:
            raise BrokenMigrations(
                f"{name}.sql has landed and was edited; undo that and write a new migration"
            )
    if missing := known.keys() - landed.keys():
        raise BrokenMigrations(
            f"{', '.join(sorted(missing))}: not in {LOCK.name}; `make lock-migrations` adds them"
        )


def landed_lines(folder: Path = FOLDER) -> str:
    """What `landed.toml` must say for the files as they are."""
    return "".join(
        f'{file.stem} = "{hashlib.sha256(file.read_bytes()).hexdigest()}"\n'
        for file in sorted(folder.glob("*.sql"))
    )


APPLIED_MIGRATIONS: Final = "SELECT version, any(sha256) FROM schema_migrations GROUP BY version"


def schema_problem(applied: Mapping[int, str], expected: tuple[Migration, ...]) -> str | None:
    """What is wrong with the applied migrations (version → SHA-256), or None when they fit."""
    for migration in expected:
        if migration.version not in applied:
            return f"migration {migration.version:04} is not applied; run `weir migrate`"
        if applied[migration.version] != migration.sha256:
            return (
                f"migration {migration.version:04} was applied with another content; "
                "this is not the database of this version"
            )
    if unknown := applied.keys() - {migration.version for migration in expected}:
        return (
            f"migration {max(unknown):04} is applied and not known here; run the newer version "
            "of Weir that applied it"
        )
    return None
