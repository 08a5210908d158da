"""How each process reads its settings: from the environment, all errors at once."""

import sys
from typing import Final, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

EX_CONFIG: Final = 78
"""The exit code for settings that cannot be used (sysexits.h)."""


class Settings(BaseSettings):
    """Frozen settings of one process. Field aliases are the names in the environment."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, validate_default=True
    )


_Settings = TypeVar("_Settings", bound=BaseSettings)


class InvalidSettings(Exception):
    """The settings cannot be used; the message lists every problem, one a line."""


def read_settings(kind: type[_Settings]) -> _Settings:
    """Settings of this kind from the environment. Raises InvalidSettings."""
    try:
        return kind()
    except ValidationError as error:
        raise InvalidSettings("\n".join(_problems(error, kind))) from None


def read_settings_or_exit(kind: type[_Settings]) -> _Settings:
    """As `read_settings`; prints the problems and ends the process with 78."""
    try:
        return read_settings(kind)
    except InvalidSettings as error:
        sys.stderr.write(f"weir: these settings cannot be used:\n{error}\n")
        raise SystemExit(EX_CONFIG) from None


def _problems(error: ValidationError, kind: type[BaseSettings]) -> list[str]:
    # Neither values nor URLs: a setting may hold a password.
    problems = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(str(part) for part in item["loc"]) or "settings"
        # A default that does not fit is named by its field.
        field = kind.model_fields.get(name)
        name = (field and field.alias) or name
        problems.append(f"  {name}: {item['msg'].removeprefix('Value error, ')}")
    return problems
