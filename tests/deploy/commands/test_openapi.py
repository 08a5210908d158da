"""`weir openapi`: the API's document, wherever it is printed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import orjson
import pytest

from api.app import create_app
from api.settings import ApiSettings

SETTINGS: Final = ("WEIR_", "KAFKA_", "CLICKHOUSE_", "STRIPE_", "OPENAI_", "AWS_")


def weir_openapi(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    return subprocess.run(
        [sys.executable, "-m", "deploy.commands", "openapi"],
        cwd=folder,
        env=clean | {"PYTHONPATH": str(Path(__file__).parents[3])} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WEIR_AUTH": "required"},
        {"WEIR_AUTH": "required", "WEIR_API_HOST": "0.0.0.0"},  # noqa: S104 - nothing listens
        {"WEIR_PAGES_DIR": "not-built", "WEIR_PLANS_FILE": "not-there"},
        {"WEIR_OIDC_AUTHORITY": "not a URL", "WEIR_JWT_SECRET": "short"},
        {"WEIR_MEDIA_URL": "not a URL", "CLICKHOUSE_URL": "not a URL"},
    ],
    ids=lambda each: ",".join(each) or "nothing",
)
def test_it_prints_the_same_document_whatever_is_set(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    app = create_app(
        ApiSettings.model_validate({"WEIR_AUTH": "local", "WEIR_DATA_DIR": str(tmp_path / "own")})
    )
    folder = tmp_path / "empty"
    folder.mkdir()
    printed = weir_openapi(folder, **environment)
    assert (printed.returncode, printed.stderr) == (0, "")
    document = orjson.loads(printed.stdout)
    assert document == orjson.loads(orjson.dumps(app.openapi()))
    assert document["openapi"].startswith("3.1")
    assert "/pages/settings" in document["paths"]
    assert list(folder.iterdir()) == [], "it leaves something behind"


def test_every_reference_of_the_document_leads_somewhere(tmp_path: Path) -> None:
    document = orjson.loads(weir_openapi(tmp_path).stdout)
    schemas = document["components"]["schemas"]

    def references(part: object) -> set[str]:
        match part:
            case {"$ref": str(reference)}:
                return {reference}
            case dict():
                return set().union(*map(references, part.values()))
            case list():
                return set().union(*map(references, part))
            case _:
                return set()

    found = references(document)
    assert found
    assert found <= {f"#/components/schemas/{name}" for name in schemas}
