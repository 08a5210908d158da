"""How each process reads its settings: environment, then secret files; all errors at once."""

import os
import sys
from pathlib import Path
from typing import Annotated, Final, TypeVar

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

EX_CONFIG: Final = 78
"""The exit code for settings that cannot be used (sysexits.h)."""

SECRETS_DIR: Final = "WEIR_SECRETS_DIR"


class Settings(BaseSettings):
    """Frozen settings of one process. Field aliases are the names in the environment."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, validate_default=True
    )

    secrets_folder: Annotated[
        str,
        Field(
            alias=SECRETS_DIR,
            description="A folder with files that are named like settings and hold their values; "
            "what the environment sets wins.",
        ),
    ] = ""

    @field_validator("secrets_folder")
    @classmethod
    def _is_a_folder(cls, path: str) -> str:
        if path and not Path(path).is_dir():
            raise ValueError(f"{path} is not a folder")
        return path

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003, the command line reads it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003, it knows no folder yet
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        folder = os.environ.get(SECRETS_DIR, "")
        if not (folder and Path(folder).is_dir()):
            return init_settings, env_settings
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=folder)


_Settings = TypeVar("_Settings", bound=BaseSettings)


class InvalidSettings(Exception):
    """The settings cannot be used; the message lists every problem, one a line."""


def read_settings(kind: type[_Settings]) -> _Settings:
    """Settings of this kind from environment and secret files. Raises InvalidSettings."""
    try:
        return kind()
    except ValidationError as error:
        raise InvalidSettings("\n".join(_problems(error, kind))) from None
    except (OSError, UnicodeDecodeError, SettingsError) as error:
        raise InvalidSettings(
            f"  {SECRETS_DIR}: a file in it cannot be read ({type(error).__name__})"
        ) from None


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
