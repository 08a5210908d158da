"""Who asks the Weir of this machine: everybody on it, and by secrets that it keeps itself."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, model_validator

from api.identity.settings import MIN_SECRET_BYTES, TokenSettings
from api.settings import ApiSettings
from deploy.secret_files import read_or_create_secret
from schemas.settings import InvalidSettings, read_settings


class GivenIdentity(TokenSettings):
    """What the user has set, and where this machine keeps what it made itself."""

    auth: Annotated[str, Field(alias="WEIR_AUTH")] = ""
    visitor_secret: Annotated[SecretStr, Field(alias="WEIR_VISITOR_SECRET")] = SecretStr("")
    data_dir: Annotated[Path, Field(alias="WEIR_DATA_DIR")] = Path(".weir")

    @property
    def names_keys(self) -> bool:
        """Whether it is set what tokens are checked with."""
        return bool(self.jwks_url or self.jwt_secret.get_secret_value())

    @property
    def secret_file(self) -> Path:
        """Holds the secret that tokens are signed with where none is set."""
        return self.data_dir.expanduser() / "jwt-secret"

    @property
    def visitor_secret_file(self) -> Path:
        """Holds the secret that visitors of websites are named with where none is set."""
        return self.data_dir.expanduser() / "visitor-secret"


class CompletedApiSettings(ApiSettings):
    """The API's settings as they are once `weir up` has added what it makes itself."""

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, values: dict[str, object]) -> dict[str, object]:
        if not values.get("WEIR_AUTH"):
            values["WEIR_AUTH"] = "local"
        if not (values.get("WEIR_JWT_SECRET") or values.get("WEIR_JWKS_URL")):
            # In the place of the one that is made when all else is well.
            values["WEIR_JWT_SECRET"] = "-" * MIN_SECRET_BYTES
        return values


def local_identity(given: GivenIdentity) -> dict[str, str]:
    """The API's environment beside what is set: local, and a secret that is made once.

    Raises NotASecret, and OSError where the file can be neither read nor made.
    """
    environment = {} if given.auth else {"WEIR_AUTH": "local"}
    if not given.names_keys:
        environment["WEIR_JWT_SECRET"] = read_or_create_secret(given.secret_file).hex()
    return environment


def local_visitor_secret(given: GivenIdentity) -> dict[str, str]:
    """The API's environment beside what is set: one secret, so that a visitor keeps the day's name.

    Raises as `local_identity` does.
    """
    if given.visitor_secret.get_secret_value():
        return {}
    return {"WEIR_VISITOR_SECRET": read_or_create_secret(given.visitor_secret_file).hex()}


def identity_made_here() -> dict[str, str]:
    """The same where `weir up` has been and nothing else is set; otherwise nothing."""
    try:
        given = read_settings(GivenIdentity)
    except InvalidSettings:
        return {}
    if given.auth or given.names_keys or not given.secret_file.exists():
        return {}
    return {"WEIR_AUTH": "local"}
