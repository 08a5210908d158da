"""`make lock-migrations`: locks the migrations that are new, by their hash."""

import sys
import tomllib

from schemas.migrations import LOCK, landed_lines

HEAD = "# SHA-256 of each migration that has landed: such a file is never edited again.\n"


def main() -> None:
    """Adds lines for new files. Exits with 1, and changes nothing, when a landed one differs."""
    lines = landed_lines()
    now, landed = tomllib.loads(lines), tomllib.loads(LOCK.read_text())
    edited = [name for name, sha256 in landed.items() if now.get(name) != sha256]
    if edited:
        sys.exit(f"landed and edited or gone: {', '.join(edited)}; undo that, write a new one")
    LOCK.write_text(HEAD + lines)


main()
