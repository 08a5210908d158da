"""What is shown where no terminal is."""

import io

from deploy.access_log.batches import Refusal, RefusalTally
from deploy.access_log.progress import LINE_EVERY_SECONDS, PlainLines
from deploy.access_log.replay import Confirmed
from deploy.access_log.shown import SHOWN_CHARACTERS, shown


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_comes_every_few_seconds_with_count_rate_and_share() -> None:
    out, clock = io.StringIO(), Clock()
    lines = PlainLines(out, 2000, clock)
    state = Confirmed(accepted=9999, bytes_read=500)
    state.rejected.add(Refusal(1, "path", "bad"))
    for _ in range(100):
        lines.update(state)
    assert out.getvalue() == ""
    clock.now += LINE_EVERY_SECONDS
    lines.update(state)
    lines.update(state)
    assert out.getvalue() == "10,000 page views sent, 2,000/s, 25% of the file\n"


def test_of_standard_input_only_counts_are_shown() -> None:
    out, clock = io.StringIO(), Clock()
    lines = PlainLines(out, None, clock)
    clock.now += 10
    lines.update(Confirmed(accepted=50))
    assert out.getvalue() == "50 page views sent, 5/s\n"


def test_a_reason_to_wait_is_said_once() -> None:
    out = io.StringIO()
    lines = PlainLines(out, None)
    for reason in (None, "away\x1b[2J", "away\x1b[2J", None, None):
        lines.waiting(reason)
    assert out.getvalue() == "waiting for Weir: away\\x1b[2J\nWeir answers again\n"


def test_only_the_first_refusals_are_kept() -> None:
    tally = RefusalTally()
    for number in range(1000):
        tally.add(Refusal(number, "path", "bad"))
    assert (tally.count, len(tally.first)) == (1000, 5)


def test_text_of_strangers_is_one_printable_line() -> None:
    text = "\x1b]0;x\x07\r\n\t\x85\u202e\u2028\ud800é\x00"
    assert shown(text) == r"\x1b]0;x\x07\r\n\t\x85\u202e\u2028\ud800é\x00"
    assert shown(b"\xff\xc3\xa9") == r"\xffé"
    assert shown("x" * 10_000) == "x" * SHOWN_CHARACTERS + "…"
