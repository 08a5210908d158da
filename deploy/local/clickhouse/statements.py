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
_SETTING = re.compile(rb"\s+\w+\s*=")
_INFILE = re.compile(rb"\s+INFILE\b", re.IGNORECASE)
_STOPPING = frozenset((b"SHUTDOWN", b"KILL"))
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
    `SETTINGS` and `FORMAT`; `settings` is then what stood between these two, and `data` what
    follows in the same text. `format` is the one that the statement names, None if it names none.
    `has_result`: it answers rows, be they none. `blockwise`: its result is nothing but rows, so
    that it can be written block by block. `outfile`, `infile`: it asks for a file of the server.
    `stops_process`: it ends the process of the server. `format_start`: where FORMAT stands in
    `sql` of a query, None if nowhere.
    """

    kind: Kind
    sql: bytes
    format: str | None
    data: bytes
    outfile: bool = False
    has_result: bool = False
    blockwise: bool = True
    settings: bytes = b""
    infile: bool = False
    stops_process: bool = False
    format_start: int | None = None


def parse_statement(text: bytes) -> Statement:
    """Take apart one statement, which for an INSERT may be followed by its data."""
    tokens = _Words(text)
    first = tokens.next_word(at_any_depth=True)
    if first == b"INSERT":
        return _parse_insert(text, tokens)
    format_, outfile, blockwise, stops_process = None, False, True, False
    format_start: int | None = None
    previous, before = first, 0
    while (word := tokens.next_word()) is not None:
        if previous == b"FORMAT":
            format_, format_start = tokens.text.decode("ascii"), before
        elif previous == b"INTO" and word == b"OUTFILE":
            outfile = True
        elif word in _NOT_BLOCKWISE:
            blockwise = False
        elif previous == b"SYSTEM" and word in _STOPPING:
            stops_process = True
        previous, before = word, tokens.start
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
        stops_process=stops_process,
        format_start=format_start,
    )


def _parse_insert(text: bytes, tokens: "_Words") -> Statement:
    previous, before, infile = None, 0, False
    head_end: int | None = None
    while (word := tokens.next_word()) is not None:
        if head_end is None and word == b"SETTINGS" and _SETTING.match(text, tokens.end):
            head_end = tokens.start
        if previous == b"FORMAT":
            return Statement(
                Kind.INSERT_DATA,
                text[: before if head_end is None else head_end],
                tokens.text.decode("ascii"),
                _skip_gap(text[tokens.end :]),
                settings=b"" if head_end is None else text[head_end:before],
                infile=infile,
            )
        if word == b"VALUES":
            return Statement(
                Kind.INSERT_DATA,
                text[: tokens.start if head_end is None else head_end],
                "Values",
                text[tokens.end :].lstrip(),
                settings=b"" if head_end is None else text[head_end : tokens.start],
                infile=infile,
            )
        if word in _SELECTS and not (word == b"FROM" and _INFILE.match(text, tokens.end)):
            return Statement(Kind.OTHER, text, None, b"")
        infile |= previous == b"FROM" and word == b"INFILE"
        previous, before = word, tokens.start
    return Statement(
        Kind.INSERT_DATA,
        text if head_end is None else text[:head_end],
        None,
        b"",
        settings=b"" if head_end is None else text[head_end:],
        infile=infile,
    )


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
