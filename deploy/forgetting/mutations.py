"""Has ClickHouse rewrite tables, and waits for that, however long it takes.

No answer is waited for: a large table takes longer than any request may.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from deploy.billing.clickhouse_questions import Parameters, Questions

SECONDS: Final = 3_600.0
"""How long one mutation may take."""

STEP: Final = 0.2
SAID_EVERY: Final = 10.0

# Mutations of a table are done one after the other: those of a run that was killed come first.
UNDONE: Final = """
SELECT count(), sum(parts_to_do), countIf(latest_fail_reason != '')
FROM system.mutations
WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done
"""


class StillRewriting(Exception):
    """A mutation is not done; the message says what to do."""


class Mutations:
    """Of one ClickHouse. Methods raise as Questions do."""

    def __init__(
        self,
        questions: Questions,
        *,
        cluster: bool,
        say: Callable[[str], None],
        seconds: float = SECONDS,
    ) -> None:
        self._questions = questions
        self._cluster = cluster
        self._say = say
        self._seconds = seconds

    async def run(self, table: str, statement: str, parameters: Parameters) -> None:
        """Returns when no replica has the old rows. Raises StillRewriting."""
        if self._cluster:
            # Who waits there needs no right on every server's tables of the system.
            # Rows of other tables, which a condition may name, are not the same on all of them for
            # a moment: a replica that differs then takes the part of another.
            settings = "mutations_sync = 2, allow_nondeterministic_mutations = 1"
            self._questions.command(f"{statement} SETTINGS {settings}", parameters)
            return
        self._questions.command(f"{statement} SETTINGS mutations_sync = 0", parameters)
        deadline = monotonic() + self._seconds
        says_at = monotonic() + SAID_EVERY
        while True:
            [[undone, parts, failing]] = self._questions.rows(UNDONE, {"table": table})
            if not undone:
                return
            if monotonic() > deadline:
                why = "cannot rewrite (system.mutations says why)" if failing else "still rewrites"
                raise StillRewriting(
                    f"ClickHouse {why} table {table} after {self._seconds:,.0f} s; it goes on by "
                    "itself, so run this again later"
                )
            if monotonic() > says_at:
                self._say(f"table {table}: {parts:,} parts are to be rewritten")
                says_at = monotonic() + SAID_EVERY
            await asyncio.sleep(STEP)
