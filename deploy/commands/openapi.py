"""`weir openapi`: what can be asked over HTTP, as a document for programs."""

import sys
from tempfile import TemporaryDirectory


def openapi() -> None:
    """Print the OpenAPI 3.1 document of the API (JSON), without starting anything."""
    import orjson
    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

    from api.app import create_app
    from api.settings import ApiSettings

    class Defaults(ApiSettings):
        """Whatever the environment says: which routes there are does not depend on it."""

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],  # noqa: ARG003
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings,)

    # An application makes the folder of its pictures.
    with TemporaryDirectory() as folder:
        settings = Defaults.model_validate({"WEIR_AUTH": "local", "WEIR_DATA_DIR": folder})
        document = create_app(settings).openapi()
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
