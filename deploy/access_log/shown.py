"""Text of strangers, made safe to print: what is in a log may hold escape codes."""

SHOWN_CHARACTERS = 160


def shown(text: str | bytes) -> str:
    r"""`text` in one line of printable characters; others as `\x1b`, what is too long cut."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    cut = text[:SHOWN_CHARACTERS]
    escaped = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in cut
    )
    return escaped + ("…" if len(text) > len(cut) else "")
