"""`weir asyncapi`: what lies on Kafka, as a document for programs."""

import sys


def asyncapi() -> None:
    """Print the AsyncAPI 3 document of all topics (JSON), without starting anything."""
    import orjson

    from schemas.async_api import async_api_document

    text = orjson.dumps(async_api_document(), option=orjson.OPT_INDENT_2)
    sys.stdout.write(text.decode() + "\n")
