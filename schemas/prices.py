"""What the use of a model costs at list price, read from a file that operators may replace."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from schemas.operator_files import read_operator_file

OWN_PRICES: Final = Path(__file__).with_name("prices.toml")

_SNAPSHOT: Final = re.compile(r"-20\d\d-\d\d-\d\d$")

Dollars = Annotated[Decimal, Field(ge=0, le=1_000_000, description="For a million tokens.")]


class InvalidPrices(ValueError):
    """The prices cannot be used; the message names the file and every problem, one a line."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one call used. `input` and `output` are all of them; the others say which kind."""

    input: int
    output: int
    cached_input: int = 0
    cache_write: int = 0
    image_input: int = 0


class Price(BaseModel):
    """Of one model, in US dollars for a million tokens: so in millionths of a dollar for one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Dollars
    output: Dollars
    cached_input: Dollars | None = None
    cache_write: Dollars | None = None
    image_input: Dollars | None = None

    def micros(self, tokens: Tokens) -> int:
        """The cost in millionths of a US dollar, rounded to the nearest."""
        kinds = (
            (tokens.cached_input, self.cached_input),
            (tokens.cache_write, self.cache_write),
            (tokens.image_input, self.image_input),
        )
        special = [(count, price) for count, price in kinds if price is not None]
        plain = max(0, tokens.input - sum(count for count, _ in special))
        cost = plain * self.input + tokens.output * self.output
        cost += sum((count * price for count, price in special), Decimal(0))
        return int(cost.to_integral_value(ROUND_HALF_UP))


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of all models that are listed."""

    models: Mapping[str, Price]

    def micros(self, model: str, tokens: Tokens) -> int | None:
        """The cost in millionths of a US dollar; None: the model is not listed."""
        price = self.models.get(model) or self.models.get(_SNAPSHOT.sub("", model))
        return None if price is None else price.micros(tokens)


class _PricesFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    models: dict[str, Price]


def read_prices(path: Path = OWN_PRICES) -> Prices:
    """The prices in this file. Raises InvalidPrices."""
    content = read_operator_file(
        path, _PricesFile, invalid=InvalidPrices, setting="WEIR_PRICES_FILE", what="prices"
    )
    return Prices(MappingProxyType(content.models))
