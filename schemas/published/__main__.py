"""`make lock-schemas`: writes the published schemas that are new, or are described better."""

import sys

from schemas.json_schemas import PUBLISHED
from schemas.published import FOLDER, problems, written


def main() -> None:
    """Writes the newest version of each. Exits with 1, and changes nothing, where one may not."""
    if found := list(problems()):
        sys.exit("\n".join(found))
    for name, schema in PUBLISHED.items():
        (FOLDER / f"{name}.v{schema.version}.json").write_bytes(written(schema))


main()
