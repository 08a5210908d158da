"""TOML files that operators may put in the place of Weir's own: every problem is said at once."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

_Content = TypeVar("_Content", bound=BaseModel)


def read_operator_file(
    path: Path,
    content: type[_Content],
    *,
    invalid: type[Exception],
    setting: str,
    what: str,
) -> _Content:
    """What the file holds; numbers with a point are Decimal, as they are written.

    Raises `invalid`, whose message names the file and every problem, one a line. `setting` is the
    variable that names the file, `what` the name of Weir's own content, such as "plans".
    """
    try:
        return content.model_validate(
            tomllib.loads(path.read_bytes().decode(), parse_float=Decimal)
        )
    except OSError as error:
        raise invalid(
            f"{path}: cannot be read ({error.strerror}); name a readable file by {setting}, or "
            f"unset it to use Weir's own {what}"
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise invalid(f"{path}: is not TOML: {error}") from None
    except ValidationError as error:
        raise invalid(
            "\n".join(
                f"{path}: {'.'.join(map(str, item['loc']))}: {item['msg']}"
                for item in error.errors(include_url=False, include_context=False)
            )
        ) from None
