r"""The grammar of a log line: Apache common and combined, nginx combined.

A line is text in the server's own escaping, and stays so: `\"`, `\\` and `\xNN` are kept as they
were logged, so that what Weir counts is what `awk` finds in the file. Bytes that are not UTF-8
become `\xnn`, which is how Apache itself writes them.

Accepted beside the three formats: fields after the agent (nginx's stock `main` format adds
`"$http_x_forwarded_for"`), ignored. Not accepted: a field before the address (`vhost_combined`),
for a wrong column would be taken for the address.
"""

import re
from typing import NamedTuple

from deploy.access_log.lines import MAX_LINE_BYTES

_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_MORE = r'(?: (?:"[^"\\]*(?:\\.[^"\\]*)*"|[^" ]+))*'
_METHOD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PROTOCOL = r"HTTP/[0-9](?:\.[0-9])?"
_LINE = re.compile(
    # Address, identity (of identd, unused), user. The bound on the user bounds the search, too.
    r"([^ ]+) [^ ]+ (-(?= \[)|(?!- ).{1,512}?) "
    r"\[([^]]{20} [+-][0-9]{4})\] "
    # Nearly every request is three plain words; taking them apart here halves the time.
    rf'(?:"({_METHOD}) ([^ \t"\\]+) ({_PROTOCOL})"|{_QUOTED})'
    r" ([0-9]{3}|-) ([0-9]{1,18}|-)"
    rf"(?: {_QUOTED} {_QUOTED}{_MORE})?",
    re.DOTALL,
)
_BLANKS = re.compile(r"[ \t]+")
_ONLY_METHOD = re.compile(_METHOD)
_ONLY_PROTOCOL = re.compile(_PROTOCOL)


class NotALogLine(Exception):
    """The line is in none of the formats."""


class NoRequest(Exception):
    """The line is a log line, but the client sent no HTTP request: `-`, or garbage."""


# A tuple, not a dataclass: one is made per line, and a frozen dataclass costs four times as much.
class LogLine(NamedTuple):
    """The fields of a line as they were logged; None where there are none.

    `request` is the whole request line, there only when it is not `method target protocol` alone.
    """

    address: str
    user: str
    time: str
    method: str
    target: str
    protocol: str | None
    request: str | None
    status: str
    size: str
    referrer: str | None
    agent: str | None


def decode(line: bytes) -> str:
    """Text of a line; different bytes stay different, and the text is always valid in JSON."""
    return line.decode("utf-8", "backslashreplace")


def parse(line: bytes) -> LogLine:
    """Split one line, without its line ending, into fields.

    Raises NotALogLine, or NoRequest for a log line without an HTTP request.
    """
    if len(line) > MAX_LINE_BYTES:
        raise NotALogLine
    match = _LINE.fullmatch(decode(line))
    if match is None:
        raise NotALogLine
    found = LogLine(*match.groups())
    return found if found.request is None else _with_request(found, found.request)


def _with_request(found: LogLine, request: str) -> LogLine:
    # Blanks split it, as they do in awk.
    parts = _BLANKS.split(request.strip(" \t"))
    if len(parts) < 2 or _ONLY_METHOD.fullmatch(parts[0]) is None:
        raise NoRequest
    if len(parts) > 2 and _ONLY_PROTOCOL.fullmatch(parts[-1]):
        method, target, protocol = parts[0], parts[1], parts[-1]
        is_plain = request == f"{method} {target} {protocol}"
        return found._replace(
            method=method,
            target=target,
            protocol=protocol,
            request=None if is_plain else request,
        )
    if len(parts) == 2 and parts[1].startswith("/"):  # HTTP/0.9
        return found._replace(method=parts[0], target=parts[1], request=None)
    raise NoRequest
