"""ClickHouse's errors as its HTTP interface answers them."""

import re
from typing import Final

_CODE: Final = re.compile(r"Code: (\d+)")
# The engine repeats the head of an error that it passes on.
_REPEATED: Final = re.compile(r"(?:Code: \d+\. DB::Exception: )+(?=Code: )")
# Speaks of the file in which an insert's data comes to the engine; clients sent no file.
_NOT_THE_CLIENTS: Final = re.compile(
    r"\(in file/uri /(?:proc/self|dev)/fd/\d+\):? ?|: data for INSERT was parsed from file"
)

# As ClickHouse's own handler answers a code; every other code is a 500. 202 is a 500 there too,
# which tells clients to give up, and a 503 here, which tells them to come again.
_STATUS: Final[dict[int, int]] = {
    194: 401,
    **dict.fromkeys((192, 193, 497, 512, 516), 403),
    **dict.fromkeys((6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123), 400),
    **dict.fromkeys((167, 168, 223, 321, 376, 427, 441, 675, 676), 400),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511), 404),
    159: 408,
    229: 413,
    779: 415,
    48: 501,
    **dict.fromkeys((76, 202, 209, 439), 503),
}


class ClickHouseError(Exception):
    """An error with ClickHouse's code; its text is the whole line that a client reads."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return _STATUS.get(self.code, 500)


def refusal(code: int, name: str, text: str) -> ClickHouseError:
    """An error of this process, worded as the engine words its own."""
    return ClickHouseError(code, f"Code: {code}. DB::Exception: {text} ({name})")


def from_engine(exception: BaseException) -> ClickHouseError:
    """The engine's exception, whose code is only in its text."""
    text = str(exception).strip()
    match = _CODE.search(text)
    if match is None:
        return refusal(1002, "UNKNOWN_EXCEPTION", text)
    message = _NOT_THE_CLIENTS.sub("", text[match.start() :])
    return ClickHouseError(int(match.group(1)), _REPEATED.sub("", message))
