"""The path of one dead letter, told from those of actions on several."""

from typing import Final

from starlette.convertors import StringConvertor, register_url_convertor


class _NoAction(StringConvertor):
    """Whatever stands there but the words that are paths of their own."""

    regex = "(?!(?:replay|discard)(?:/|$))[^/]+"


register_url_convertor("no_action", _NoAction())

ONE: Final = "/dead-letters/{dead_letter_id:no_action}"
REPLAY_SEVERAL: Final = "/dead-letters/replay"
DISCARD_SEVERAL: Final = "/dead-letters/discard"
