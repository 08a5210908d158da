"""The catalogue of plans: what each allows, read from a file that operators may replace."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from schemas.operator_files import read_operator_file
from schemas.quotas import PlanName
from schemas.settings import Settings

OWN_CATALOGUE: Final = Path(__file__).with_name("plans.toml")
MAX_PLAN_LIMIT: Final = 1_000_000_000_000
"""Credits of a plan in one period; far below 2**53, with top-ups too."""


class PlansSettings(Settings):
    """Where the catalogue is."""

    plans_file: Annotated[
        str,
        Field(
            alias="WEIR_PLANS_FILE",
            description="A catalogue of plans (TOML) in the place of Weir's own.",
        ),
    ] = ""

    @property
    def plans_path(self) -> Path:
        """The file to read: the operator's, else Weir's own."""
        return Path(self.plans_file) if self.plans_file else OWN_CATALOGUE


class InvalidPlans(Exception):
    """The catalogue cannot be used; the message names the file and every problem, one a line."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan allows: `limit` credits a period, and the features that it unlocks.

    `price`: a month, in hundredths of the catalogue's currency; 0: it is not sold.
    """

    name: str
    title: str
    limit: int
    unlocks: tuple[str, ...] = ()
    price: int = 0

    @property
    def lookup_key(self) -> str:
        """The `lookup_key` of the plan's price at Stripe."""
        return f"weir_{self.name}_monthly"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All plans, in the file's order; `version` as the file says, `default` one of `plans`."""

    version: int
    default: str
    plans: Mapping[str, Plan]
    currency: str = "usd"

    def plan(self, name: str) -> Plan | None:
        """The plan of this name; None: it is not, or no longer, offered."""
        return self.plans.get(name)

    def plan_or_default(self, name: str) -> Plan:
        """The plan by which an account on `name` is measured: the default when it is gone."""
        return self.plans.get(name) or self.plans[self.default]


class _PlanEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    title: Annotated[str, Field(min_length=1, max_length=64)]
    limit: Annotated[int, Field(ge=0, le=MAX_PLAN_LIMIT)]
    unlocks: list[PlanName] = []
    price: Annotated[int, Field(ge=0, le=100_000_000)] = 0

    @field_validator("unlocks")
    @classmethod
    def _each_once(cls, words: list[str]) -> list[str]:
        if twice := sorted({word for word in words if words.count(word) > 1}):
            raise ValueError(f"names {', '.join(twice)} more than once")
        return words


class _CatalogueFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    version: Annotated[int, Field(ge=1, lt=1 << 31)]
    currency: Annotated[str, Field(pattern=r"^[a-z]{3}$")] = "usd"
    plans: Annotated[dict[PlanName, _PlanEntry], Field(min_length=1)]
    # After the plans, which it is checked against.
    default: PlanName

    @field_validator("default")
    @classmethod
    def _is_a_plan(cls, name: str, info: ValidationInfo) -> str:
        plans = info.data.get("plans")
        if plans is not None and name not in plans:
            raise ValueError(f"{name} is not among the plans ({', '.join(plans)})")
        return name


def read_catalogue(path: Path = OWN_CATALOGUE) -> Catalogue:
    """The catalogue in this file. Raises InvalidPlans."""
    entries = read_operator_file(
        path, _CatalogueFile, invalid=InvalidPlans, setting="WEIR_PLANS_FILE", what="plans"
    )
    return Catalogue(
        version=entries.version,
        default=entries.default,
        currency=entries.currency,
        plans=MappingProxyType(
            {
                name: Plan(name, plan.title, plan.limit, tuple(plan.unlocks), plan.price)
                for name, plan in entries.plans.items()
            }
        ),
    )
