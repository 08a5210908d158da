"""Every example in the OpenAPI document is what the schema beside it says."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from api.app import create_app
from api.settings import ApiSettings

# The document is JSON of any shape; tests look into it.
Json = Any


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Json:
    folder = str(tmp_path_factory.mktemp("openapi"))
    settings = ApiSettings.model_validate(
        {"WEIR_AUTH": "local", "WEIR_JWT_SECRET": "examples" * 8, "WEIR_DATA_DIR": folder}
    )
    return create_app(settings).openapi()


def examples(part: Json, place: str = "") -> Iterator[tuple[str, Json, Json]]:
    """Where each example stands, the schema that it is of, and the example.

    `example` and `examples` of a parameter or a content, and `examples` within a schema.
    """
    if isinstance(part, list):
        for number, each in enumerate(part):
            yield from examples(each, f"{place}/{number}")
    if not isinstance(part, dict):
        return
    schema = part.get("schema", part)
    if isinstance(shown := part.get("examples"), dict) and "schema" in part:
        for name, each in shown.items():
            yield f"{place}/examples/{name}", schema, each["value"]
    elif isinstance(shown, list):
        for number, each in enumerate(shown):
            yield f"{place}/examples/{number}", schema, each
    if "example" in part and not place.endswith("/properties"):
        yield f"{place}/example", schema, part["example"]
    for name, each in part.items():
        if name not in ("examples", "example", "default"):
            yield from examples(each, f"{place}/{name}")


def test_every_example_is_valid(document: Json) -> None:
    found = list(examples(document))
    assert len(found) > 40
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    wrong = []
    for place, schema, example in found:
        whole = {**schema, "components": document["components"]}
        validator = jsonschema.Draft202012Validator(whole, format_checker=checker)
        wrong += [f"{place}: {error.message}" for error in validator.iter_errors(example)]
    assert wrong == []
