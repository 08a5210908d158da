"""Every version of every published schema, as a file that is not changed once it is there."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import orjson

from schemas.json_schemas import PUBLISHED, PublishedSchema

FOLDER: Final = Path(__file__).parent

# What a schema says beside what it allows: it may be said better without a new version.
_REMARKS: Final = frozenset({"$id", "title", "description", "examples"})
# Their members are names, of fields or of schemas, and no keywords.
_NAMED: Final = frozenset({"properties", "patternProperties", "$defs"})


def published_text(name: str, version: int, folder: Path = FOLDER) -> bytes:
    """A published document as it is served. Raises FileNotFoundError when it never was."""
    return (folder / f"{name}.v{version}.json").read_bytes()


def written(schema: PublishedSchema) -> bytes:
    """The bytes of the file that the model makes now."""
    return orjson.dumps(schema.document(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def allowed(schema: object, *, names: bool = False) -> object:
    """What a schema allows, without its remarks: two that are alike allow the same documents."""
    if isinstance(schema, dict):
        return {
            name: allowed(value, names=not names and name in _NAMED)
            for name, value in schema.items()
            if names or name not in _REMARKS
        }
    return [allowed(each) for each in schema] if isinstance(schema, list) else schema


def problems(
    schemas: Mapping[str, PublishedSchema] = PUBLISHED, folder: Path = FOLDER
) -> Iterator[str]:
    """Why `make lock-schemas` must not write: a version that is there allows other documents, or
    one is gone.
    """
    before = {file.stem for file in folder.glob("*.json")}
    now = {f"{schema.name}.v{each}" for schema in schemas.values() for each in schema.versions}
    for gone in sorted(before - now):
        yield f"{gone} was published and is gone; bring it back"
    newest = {f"{schema.name}.v{schema.version}": schema for schema in schemas.values()}
    for skipped in sorted(now - before - newest.keys()):
        yield f"{skipped} was never published; versions are 1, 2, … without a gap"
    for file, schema in newest.items():
        if file not in before:
            continue
        published = orjson.loads(published_text(schema.name, schema.version, folder))
        if allowed(published) != allowed(orjson.loads(written(schema))):
            yield (
                f"{schema.name} allows other documents than its published version "
                f"{schema.version}; undo that, or raise its version and run `make lock-schemas`"
            )
