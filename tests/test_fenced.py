"""What is taken for a command of a document, and which outputs look like what it shows."""

from pathlib import Path

import pytest

from tests.fenced import Step, blocks, looks_like

TEXT = """\
# A page

```sh run
first \\
  --option
second
```

Words with `code`, and

```console needs-stripe
$ curl /one \\
    -d '[{"a": 1},
         {"b": 2}]'
{"id": 1}
$ curl /two
one line
another line
```

```
no language
```
"""


def test_blocks_say_where_they_are_and_what_they_need(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(TEXT)
    found = list(blocks(document))
    assert [(each.place, each.language, each.word) for each in found] == [
        ("page.md:3", "sh", "run"),
        ("page.md:11", "console", "needs-stripe"),
        ("page.md:21", "", ""),
    ]
    assert found[0].steps() == [Step("first \\\n  --option\nsecond\n")]
    assert found[1].steps() == [
        Step('curl /one \\\n    -d \'[{"a": 1},\n         {"b": 2}]\'', '{"id": 1}'),
        Step("curl /two", "one line\nanother line"),
    ]


@pytest.mark.parametrize(
    ("shown", "actual"),
    [
        ('{"id":"01a2-4","n":3}', '{"n": 7, "id": "99-x"}'),
        ('{"items":[{"path":"/","count":2}]}', '{"items":[{"path":"/","count":5},{}]}'),
        ('{"plan":"free","period":null}', '{"plan":"free","period":null}'),
        ("4,000 lines in 0.1 s (28,115/s)", "7 lines in 12.5 s (9/s)\n"),
        ("key_1syop is a key", "key_9zz8k is a key"),
        ('{"url":"/media/0c50….png",…}', '{"url":"/media/ffab.png","more":[]}'),
        ("user  meter\nu-42  conversions", "user meter\nu-7    conversions\n"),
        ("first …", "first this and that"),
    ],
)
def test_what_looks_alike(shown: str, actual: str) -> None:
    assert looks_like(shown, actual)


@pytest.mark.parametrize(
    ("shown", "actual"),
    [
        ('{"id":"01a2"}', '{"id":"01a2","more":1}'),
        ('{"id":"01a2","more":1}', '{"id":"01a2"}'),
        ('{"status":"ok"}', '{"status":"unavailable"}'),
        ('{"items":[{"count":2}]}', '{"items":[]}'),
        ('{"items":[]}', '{"items":[{"count":2}]}'),
        ('{"n":1}', '{"n":"1"}'),
        ('{"n":1}', '{"n":true}'),
        ('{"bot":false}', '{"bot":true}'),
        ("4,000 lines", "4,000 rows"),
        ("all is well", ""),
    ],
)
def test_what_does_not(shown: str, actual: str) -> None:
    assert not looks_like(shown, actual)
