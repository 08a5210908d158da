"""The table of one partition, which this worker owns: what was reported, and what waits."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from streams.billing.reports import Report, below, read_report, report_key
from streams.group.table import KeyedStore
from streams.group.table_lane import TableLane

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Ledger:
    """`lane` changes it; what was changed is found in `store` once that is confirmed."""

    lane: TableLane
    store: KeyedStore

    def report(self, report_id: UUID) -> Report | None:
        """The report as it stands, changes on their way included."""
        value = self.lane.get(report_key(report_id))
        return None if value is None else read_report(value)

    def first(self, prefix: bytes, most: int) -> list[tuple[bytes, bytes]]:
        """The first entries whose keys begin so, and are confirmed."""
        return list(below(self.store.scan(self.lane.partition, prefix, most), prefix))

    def all(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """All of them."""
        after = prefix
        while found := list(below(self.store.scan(self.lane.partition, after, _PAGE), prefix)):
            yield from found
            after = found[-1][0]
