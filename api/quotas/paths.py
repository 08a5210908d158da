"""Where quotas are: paths of one's own account, and of another user's."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, Path
from pydantic import TypeAdapter, ValidationError
from starlette.convertors import Convertor, register_url_convertor

from api.problems import field_problem
from schemas.limits import MAX_NAME_CHARACTERS
from schemas.quotas import AccountUser

MINE: Final = "/api/user"


class _UserIdConvertor(Convertor[str]):
    """Any text: ids may hold slashes, as those that are URLs do. Line breaks too, to be refused."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("user_id", _UserIdConvertor())

OF_USER: Final = "/api/users/{user_id:user_id}"

_account_user: Final[TypeAdapter[str]] = TypeAdapter(AccountUser)


async def _checked(
    user_id: Annotated[
        str,
        Path(
            description="The user, as tokens name them in `sub`. Whether there is such a user "
            "cannot be told: one who never asked has an account that nothing was done with.",
            json_schema_extra={
                "minLength": 1,
                "maxLength": MAX_NAME_CHARACTERS,
                "pattern": r"^[^\x00-\x1f\x7f]+$",
            },
            examples=["u-42"],
        ),
    ],
) -> str:
    try:
        return _account_user.validate_python(user_id)
    except ValidationError:
        raise field_problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "user_id",
            f"user_id must be 1 to {MAX_NAME_CHARACTERS} characters, none of them a control "
            "character",
        ) from None


UserInPath = Annotated[str, Depends(_checked)]
"""The `user_id` of a path under OF_USER. Raises Problem: 422 for one that can be nobody's."""
