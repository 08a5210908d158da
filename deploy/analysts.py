"""Users of ClickHouse's for analysts: what they may read, and how much of it at once."""

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

MAX_ROWS: Final = 1_000_000
MAX_SECONDS: Final = 60
MAX_BYTES: Final = 4_000_000_000
MAX_QUERIES: Final = 4

# What tells the sink and the migrations where they are; nobody counts by it.
_INTERNAL: Final = frozenset({"known_ids", "schema_migrations"})
# By name, in whatever table, later ones too.
_PERSONAL: Final = frozenset(
    {
        "user_id",
        "visitor_id",
        "customer_id",
        "subscription_id",
        "metadata",
        "prompt",
        "variants.caption",
        "detail",
        "key",
        "payload",
        "headers",
    }
)
# Text that people wrote; the same name elsewhere is a word of ours.
_WRITTEN: Final = frozenset({("quota_decisions", "reason")})

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_RESERVED: Final = frozenset({"default"})

# Name of a table or view → names of its columns.
Tables = Mapping[str, Sequence[str]]


class InvalidName(ValueError):
    """A name that no user of ours may have; the message says what one looks like."""


@dataclass(frozen=True, slots=True)
class Analyst:
    """A user to be made: the password is shown once, ClickHouse gets its hash."""

    name: str
    password: str

    @classmethod
    def named(cls, name: str) -> "Analyst":
        """With a password of its own. Raises InvalidName.

        A fast hash is enough: nobody guesses 32 random bytes.
        """
        return cls(checked_name(name), secrets.token_urlsafe(32))


def checked_name(name: str) -> str:
    """The name, which then needs no quotation. Raises InvalidName."""
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise InvalidName(
            f"{name!r}: a letter from a to z, then letters, digits and _; at most 63, not `default`"
        )
    return name


def is_personal(table: str, column: str) -> bool:
    """Whether a column names or quotes people."""
    return column in _PERSONAL or (table, column) in _WRITTEN


def granting(analyst: Analyst, database: str, tables: Tables, *, personal: bool) -> Iterator[str]:
    """The statements that make the user, in order; the password is in none of them.

    `readonly = 2`: reading alone, though tools may set what they need. `MIN 1`, since 0 would be
    no limit at all.
    """
    hashed = sha256(analyst.password.encode()).hexdigest()
    yield (
        f"CREATE USER {analyst.name} IDENTIFIED WITH sha256_hash BY '{hashed}' "
        f"DEFAULT DATABASE `{database}` "
        "SETTINGS readonly = 2, "
        f"max_result_rows = {MAX_ROWS} MIN 1 MAX {MAX_ROWS}, "
        "result_overflow_mode = 'throw' CONST, "
        f"max_execution_time = {MAX_SECONDS} MIN 1 MAX {MAX_SECONDS}, "
        "timeout_overflow_mode = 'throw' CONST, "
        f"max_memory_usage = {MAX_BYTES} MIN 1 MAX {MAX_BYTES}, "
        f"max_concurrent_queries_for_user = {MAX_QUERIES} MIN 1 MAX {MAX_QUERIES}"
    )
    for table, columns in tables.items():
        if table in _INTERNAL:
            continue
        named = "" if personal else _listed(table, columns)
        if named is not None:
            yield f"GRANT SELECT{named} ON `{database}`.`{table}` TO {analyst.name}"


def _listed(table: str, columns: Iterable[str]) -> str | None:
    """The columns that name nobody, or None when there are none."""
    named = [f"`{column}`" for column in columns if not is_personal(table, column)]
    return f"({', '.join(named)})" if named else None


def revoking(name: str) -> str:
    """The statement that ends the user. Raises InvalidName."""
    return f"DROP USER {checked_name(name)}"


COLUMNS: Final = """
SELECT table, groupArray(name)
FROM (
    SELECT table, name FROM system.columns
    WHERE database = {database:String}
    -- A view that fills a table is nobody's to read.
    AND table NOT IN (
        SELECT name FROM system.tables
        WHERE database = {database:String} AND engine = 'MaterializedView'
    )
    ORDER BY table, position
)
GROUP BY table
ORDER BY table
"""
"""Which tables and views there are, with their columns in order."""
