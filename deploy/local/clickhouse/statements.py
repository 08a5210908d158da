"""Finds in a SQL text what the HTTP protocol must know before the engine sees it.

Only tokens are looked at; whether the statement is valid is the engine's to say.
"""

import re
from dataclasses import dataclass
from enum import Enum

# One token of ClickHouse SQL. Quoted text and comments are single tokens, so that a keyword
# or a bracket inside them is never taken for one of the statement. The engine escapes inside
# quotes both by a backslash and by doubling the quote.
_TOKEN = re.compile(
    rb"""
      (?P<space>\s+|--[^\n]*|\#[!\ ][^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<heredoc>\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))
    | (?P<quoted>'(?:[^'\\]|\\.|'')*(?:'|\Z)
               |"(?:[^"\\]|\\.|"")*(?:"|\Z)
               |`(?:[^`\\]|\\.|``)*(?:`|\Z))
    | (?P<word>[A-Za-z_]\w*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_SELECTS = frozenset((b"SELECT", b"WITH", b"FROM"))
_RESULTS = _SELECTS | {b"SHOW", b"DESCRIBE", b"DESC", b"EXISTS", b"EXPLAIN", b"CHECK", b"KILL"}
_NOT_BLOCKWISE = frozenset((b"TOTALS", b"EXTREMES", b"OUTPUT_FORMAT_JSON_ARRAY_OF_ROWS"))
_OPENING = frozenset(b"([{")
_CLOSING = frozenset(b")]}")


class Kind(Enum):
    """How a statement has to be run."""

    SELECT = "select"
    INSERT_DATA = "insert data"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL text taken apart.

    `sql` is what the engine is given: all of the text, or for `Kind.INSERT_DATA` the part before
    `FORMAT`. `format` is the format that the statement names, None if it names none. `data` is
    what follows in the same text (inserts only). `outfile` says that it asks for a file on the
    machine of the server. `has_result` says that it answers rows, be they none;
    `blockwise` that its
    result is nothing but rows, so that it can be written block by block.
    """

    kind: Kind
    sql: bytes
    format: str | None
    data: bytes
    outfile: bool = False
    has_result: bool = False
    blockwise: bool = True


def parse_statement(text: bytes) -> Statement:
    """Take apart one statement, which for an INSERT may be followed by its data."""
    tokens = _Words(text)
    first = tokens.next_word(at_any_depth=True)
    if first == b"INSERT":
        return _parse_insert(text, tokens)
    format_, outfile, blockwise = None, False, True
    previous = first
    while (word := tokens.next_word()) is not None:
        if previous == b"FORMAT":
            format_ = tokens.text.decode("ascii")
        elif previous == b"INTO" and word == b"OUTFILE":
            outfile = True
        elif word in _NOT_BLOCKWISE:
            blockwise = False
        previous = word
    if tokens.only_comments:
        return Statement(Kind.OTHER, b"", None, b"")
    selects = first in _SELECTS
    return Statement(
        Kind.SELECT if selects else Kind.OTHER,
        text,
        format_,
        b"",
        outfile=outfile,
        has_result=selects or first in _RESULTS,
        blockwise=blockwise,
    )


def _parse_insert(text: bytes, tokens: "_Words") -> Statement:
    previous, before = None, 0
    while (word := tokens.next_word()) is not None:
        if previous == b"FORMAT":
            data = text[tokens.end :]
            # The real server takes exactly one line end (or blanks) off before the data.
            return Statement(
                Kind.INSERT_DATA, text[:before], tokens.text.decode("ascii"), _skip_gap(data)
            )
        if word == b"VALUES":
            return Statement(
                Kind.INSERT_DATA, text[: tokens.start], "Values", text[tokens.end :].lstrip()
            )
        if word in _SELECTS:
            return Statement(Kind.OTHER, text, None, b"")
        previous, before = word, tokens.start
    return Statement(Kind.INSERT_DATA, text, None, b"")


def _skip_gap(data: bytes) -> bytes:
    """The data after `FORMAT X`: blanks, at most one semicolon and one line end are no data."""
    match = re.match(rb"[ \t\r]*;?[ \t\r]*\n?", data)
    return data[match.end() :] if match else data


class _Words:
    """Walks over the words of a statement that stand outside brackets, quotes and comments."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self.start = 0
        self.end = 0
        self.text = b""
        self.only_comments = True
        self._depth = 0

    def next_word(self, *, at_any_depth: bool = False) -> bytes | None:
        """The next word in upper case, None at the end; by default outside of brackets."""
        while match := _TOKEN.match(self._source, self.end):
            self.start, self.end = match.span()
            self.only_comments &= match.lastgroup == "space"
            if match.lastgroup == "other":
                character = self._source[self.start]
                if character in _OPENING:
                    self._depth += 1
                elif character in _CLOSING:
                    self._depth -= 1
            elif match.lastgroup == "word" and (at_any_depth or self._depth == 0):
                self.text = match.group()
                return self.text.upper()
        return None
