"""What Stripe answers: JSON, its errors, and answers kept under an idempotency key."""

from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import orjson

# Answers are JSON of any shape.
Json = Any

DAY: Final = 86_400


class Refused(Exception):
    """Stripe's error object, to be answered with `status`."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        error: Json = {"message": message, "type": kind}
        if code is not None:
            error["code"] = code
        if param is not None:
            error["param"] = param
        self.body = orjson.dumps({"error": error})


class Answer(NamedTuple):
    status: int
    body: bytes


class _Kept(NamedTuple):
    path: str
    sent: str
    at: float
    answer: Answer


class KeptAnswers:
    """Answers by idempotency key, for a day; Stripe keeps errors of begun work too, 500 as well."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def find(self, key: str, path: str, sent: str, now: float) -> Answer | None:
        """The answer kept for this key.

        Raises Refused when the key was used with other parameters.
        """
        kept = self._kept.get(key)
        if kept is None:
            return None
        if now - kept.at >= DAY:
            del self._kept[key]
            return None
        if kept.path != path or (kept.sent != sent and _pairs(kept.sent) != _pairs(sent)):
            raise Refused(
                "Keys for idempotent requests can only be used with the same parameters they were "
                f"first used with. Try using a key other than '{key}' if you meant to execute a "
                "different request.",
                kind="idempotency_error",
            )
        return kept.answer

    def keep(self, key: str, path: str, sent: str, now: float, answer: Answer) -> None:
        self._kept[key] = _Kept(path, sent, now, answer)

    def forget(self) -> None:
        self._kept.clear()


def _pairs(sent: str) -> list[tuple[str, str]]:
    return sorted(parse_qsl(sent, keep_blank_values=True))
