"""The meters: which events are billed, and what a unit costs; operators may replace the file."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from schemas.billing import MAX_VALUE, MeterName
from schemas.events import EventType
from schemas.operator_files import read_operator_file
from schemas.settings import Settings

OWN_METERS: Final = Path(__file__).with_name("meters.toml")


class MetersSettings(Settings):
    """Where the meters are."""

    meters_file: Annotated[
        str,
        Field(
            alias="WEIR_METERS_FILE",
            description="Meters (TOML) in the place of Weir's own.",
        ),
    ] = ""

    @property
    def meters_path(self) -> Path:
        """The file to read: the operator's, else Weir's own."""
        return Path(self.meters_file) if self.meters_file else OWN_METERS


class InvalidMeters(Exception):
    """The meters cannot be used; the message names the file and every problem, one a line."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Annotated[str, Field(min_length=1, max_length=64)]
    event_type: EventType
    value: Annotated[str, Field(max_length=64)] = ""
    most: Annotated[int, Field(ge=1, le=MAX_VALUE, strict=True)] = MAX_VALUE
    window: Annotated[int, Field(ge=0, le=86_400, strict=True)] = 0
    unit_amount: Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=18, decimal_places=12)]


class _MetersFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False)

    currency: Annotated[str, Field(pattern=r"^[a-z]{3}$")]
    meters: Annotated[dict[MeterName, _Entry], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Meter:
    """What of an event type is billed. `name` is Stripe's `event_name`.

    `value`: the member of metadata with an event's units, '': each is one; `most`: of one event.
    `window`: seconds that make one report, 0: each event does. `unit_amount`: hundredths of the
    currency.
    """

    name: str
    title: str
    event_type: str
    value: str
    most: int
    window: int
    unit_amount: Decimal

    @property
    def lookup_key(self) -> str:
        """The `lookup_key` of the meter's price at Stripe, and the id of its product there."""
        return f"weir_meter_{self.name}"


@dataclass(frozen=True, slots=True)
class Meters:
    """All meters, in the file's order; `currency` is a lower-case ISO 4217 code."""

    currency: str
    meters: Mapping[str, Meter]

    def of(self, event_type: str) -> tuple[Meter, ...]:
        """The meters that events of this type count for."""
        return tuple(each for each in self.meters.values() if each.event_type == event_type)


def read_meters(path: Path = OWN_METERS) -> Meters:
    """The meters in this file. Raises InvalidMeters."""
    found = read_operator_file(
        path, _MetersFile, invalid=InvalidMeters, setting="WEIR_METERS_FILE", what="meters"
    )
    return Meters(
        found.currency,
        MappingProxyType(
            {
                name: Meter(
                    name,
                    each.title,
                    each.event_type,
                    each.value,
                    each.most,
                    each.window,
                    each.unit_amount,
                )
                for name, each in found.meters.items()
            }
        ),
    )
