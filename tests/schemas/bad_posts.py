"""What a post must not be asked for, and the sentence that says so wherever it was asked for."""

from typing import Final

_A_TAG: Final = "language must be a BCP 47 tag of a language, such as en, de or pt-BR"
_HOW_MANY: Final = "variants must be a whole number from 1 to 4"
_A_TONE: Final = (
    "tone must be 'friendly', 'professional', 'playful', 'inspiring', 'witty' or 'informative'"
)

BAD_POSTS: Final[list[tuple[dict[str, object], str]]] = [
    ({"prompt": ""}, "prompt must say what the post is about; it is empty"),
    ({"prompt": " \n\t"}, "prompt must say what the post is about; it is blank"),
    ({"prompt": 7}, "prompt must be a string: it must say what the post is about"),
    ({"prompt": "x" * 10_001}, "prompt is longer than 10000 characters; shorten it"),
    (
        {"prompt": "bell \x07"},
        "prompt must not hold control characters (line breaks and tabs may be)",
    ),
    ({"language": "zh_CN"}, _A_TAG),
    ({"language": "e"}, _A_TAG),
    ({"language": "en-" + "x" * 40}, _A_TAG),
    ({"language": 7}, _A_TAG),
    ({"variants": 0}, _HOW_MANY),
    ({"variants": 5}, _HOW_MANY),
    ({"variants": 1.5}, _HOW_MANY),
    ({"variants": "2"}, _HOW_MANY),
    ({"variants": 10**40}, _HOW_MANY),
    (
        {"platform": "myspace"},
        "platform must be 'instagram', 'x', 'linkedin', 'facebook', 'tiktok' or 'pinterest'",
    ),
    (
        {"tone": "angry"},
        "tone must be 'friendly', 'professional', 'playful', 'inspiring', 'witty' or 'informative'",
    ),
]
