"""The settings of what makes posts: OpenAI or the stub, its models, how patiently."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from schemas.media import MediaSettings
from schemas.prices import OWN_PRICES, read_prices


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError("must look like https://host/v1, or be empty for OpenAI's own")
    if parts.username or parts.password:
        raise ValueError("must hold no credentials: they belong in OPENAI_API_KEY")
    return value


def _key(value: SecretStr) -> SecretStr:
    key = value.get_secret_value().strip()
    if not key.isascii() or any(each.isspace() or not each.isprintable() for each in key):
        raise ValueError("is no API key: it holds spaces or other characters that none has")
    return SecretStr(key)


def _usable_prices(value: str) -> str:
    if value:
        read_prices(Path(value))
    return value


Model = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]


class GeneratorSettings(MediaSettings):
    """Environment of what makes posts; times in seconds."""

    api_key: Annotated[
        SecretStr,
        Field(alias="OPENAI_API_KEY", description="Not set: the stub answers."),
        AfterValidator(_key),
    ] = SecretStr("")
    base_url: Annotated[
        str,
        Field(alias="OPENAI_BASE_URL", description="Another server that speaks OpenAI's API."),
        AfterValidator(_http_url),
    ] = ""
    use_stub: Annotated[
        bool,
        Field(alias="OPENAI_USE_STUB", description="The stub answers, though there is a key."),
    ] = False
    text_model: Annotated[Model, Field(alias="WEIR_TEXT_MODEL")] = "gpt-6-luna"
    text_effort: Annotated[
        Literal["", "none", "minimal", "low", "medium", "high"],
        Field(
            alias="WEIR_TEXT_EFFORT",
            description="How much it reasons; empty for a model that does not.",
        ),
    ] = "low"
    image_model: Annotated[Model, Field(alias="WEIR_IMAGE_MODEL")] = "gpt-image-2.5-flare"
    image_quality: Annotated[
        Literal["low", "medium", "high", "xhigh", "max", "auto"],
        Field(alias="WEIR_IMAGE_QUALITY"),
    ] = "medium"
    text_timeout: Annotated[
        float,
        Field(alias="WEIR_TEXT_TIMEOUT", gt=0, le=600, description="Of one call for a caption."),
    ] = 30.0
    image_timeout: Annotated[
        float,
        Field(alias="WEIR_IMAGE_TIMEOUT", gt=0, le=600, description="Of one call for a picture."),
    ] = 120.0
    retries: Annotated[
        int,
        Field(
            alias="WEIR_OPENAI_RETRIES",
            ge=0,
            le=10,
            description="How often a call is repeated that may work the next time.",
        ),
    ] = 3
    prices_file: Annotated[
        str,
        Field(
            alias="WEIR_PRICES_FILE",
            description="Prices of models (TOML) in the place of Weir's own.",
        ),
        AfterValidator(_usable_prices),
    ] = ""
    stub_delay: Annotated[
        float,
        Field(alias="WEIR_STUB_DELAY", ge=0, le=600, description="How long the stub takes."),
    ] = 0.0
    stub_failures: Annotated[
        float,
        Field(
            alias="WEIR_STUB_FAILURES",
            ge=0,
            le=1,
            description="Which part of all posts fails with the stub; the same ones each time.",
        ),
    ] = 0.0

    @property
    def stubbed(self) -> bool:
        """Whether the stub answers."""
        return self.use_stub or not self.api_key.get_secret_value()

    @property
    def prices_path(self) -> Path:
        """The file to read: the operator's, else Weir's own."""
        return Path(self.prices_file) if self.prices_file else OWN_PRICES
