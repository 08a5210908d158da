r"""The grammar: what is a log line, and that every field comes out as it was logged."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.access_log.combined import LogLine, NoRequest, NotALogLine, parse
from deploy.access_log.lines import MAX_LINE_BYTES

START = b"192.0.2.7 - - [17/May/2015:10:05:03 +0000] "
LINE = START + b'"GET /a HTTP/1.1" 200 12 "http://example.org/" "Mozilla/5.0"'


def escaped(text: str) -> str:
    """As Apache writes a field between quotes."""
    return "".join(
        "\\" + character
        if character in '"\\'
        else character
        if character.isprintable()
        else "".join(f"\\x{byte:02x}" for byte in character.encode())
        for character in text
    )


words = st.text(st.characters(codec="utf-8", exclude_characters=" \t\n"), min_size=1)
tokens = st.text("!#$%&'*+.^_`|~09AZaz-", min_size=1)
addresses = st.one_of(st.ip_addresses().map(str), st.just("host.example.org"))
users = st.one_of(st.just("-"), st.from_regex(r"[a-z@.]{1,20}( [a-z]{1,9})?", fullmatch=True))
sizes = st.one_of(st.just("-"), st.integers(0, 10**18 - 1).map(str))
quoted = st.text(st.characters(codec="utf-8", exclude_characters="\n")).map(escaped)


@given(
    address=addresses,
    user=users,
    moment=st.datetimes().map(lambda day: f"{day.day:02}/May/2015:10:05:03 -0730"),
    method=tokens,
    target=words.map(escaped),
    protocol=st.sampled_from(["HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/2", "HTTP/3"]),
    status=st.integers(100, 999).map(str),
    size=sizes,
    fields=st.one_of(st.none(), st.tuples(quoted, quoted)),
)
def test_every_field_of_a_written_line_is_read_back(
    address: str,
    user: str,
    moment: str,
    method: str,
    target: str,
    protocol: str,
    status: str,
    size: str,
    fields: tuple[str, str] | None,
) -> None:
    line = f'{address} - {user} [{moment}] "{method} {target} {protocol}" {status} {size}'
    if fields is not None:
        line += f' "{fields[0]}" "{fields[1]}"'
    referrer, agent = fields or (None, None)
    assert parse(line.encode()) == LogLine(
        address, user, moment, method, target, protocol, None, status, size, referrer, agent
    )


@given(st.binary(max_size=200))
def test_any_bytes_are_a_log_line_or_none(data: bytes) -> None:
    for line in (data, START + data, LINE[:-12] + data):
        with contextlib.suppress(NotALogLine, NoRequest):
            parse(line)


def test_addresses_of_ipv6_are_read() -> None:
    assert parse(LINE.replace(b"192.0.2.7", b"2001:db8::1")).address == "2001:db8::1"


def test_fields_after_the_agent_are_left_aside() -> None:
    assert parse(LINE + b' "203.0.113.9" 0.005 "-"') == parse(LINE)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        LINE[:-1],
        LINE + b"x",
        LINE + b' "unfinished',
        LINE + b"\n",
        b"www.example.org:80 " + LINE,
        START + b'"GET /a HTTP/1.1" 200',
        START + b'"GET /a HTTP/1.1" 20 12',
        START + b'"GET /a HTTP/1.1" 200 12 "-"',
        START + b'"GET /a" b HTTP/1.1" 200 12',
        LINE.replace(b"+0000", b"UTC"),
        LINE + b" " + b"x" * MAX_LINE_BYTES,
    ],
)
def test_what_no_server_writes_is_no_log_line(line: bytes) -> None:
    with pytest.raises(NotALogLine):
        parse(line)


@pytest.mark.parametrize(
    "request_line",
    [b"-", b"", b"\\x16\\x03\\x01\\x02", b"\\x16 / HTTP/1.1", b"quit now", b"GET", b"GET HTTP/1.1"],
)
def test_garbage_is_a_log_line_without_a_request(request_line: bytes) -> None:
    with pytest.raises(NoRequest):
        parse(START + b'"' + request_line + b'" 400 226 "-" "-"')


def test_a_target_with_blanks_is_cut_where_awk_cuts_it_and_kept_whole_beside() -> None:
    found = parse(START + b'"GET /a b?c HTTP/1.1" 400 226 "-" "-"')
    assert (found.target, found.protocol) == ("/a", "HTTP/1.1")
    assert found.request == "GET /a b?c HTTP/1.1"


def test_the_oldest_protocol_has_no_name() -> None:
    found = parse(START + b'"GET /a" 200 12')
    assert (found.method, found.target, found.protocol, found.request) == ("GET", "/a", None, None)


def test_escapes_stay_as_logged() -> None:
    found = parse(START + rb'"GET /\xc3\xa9\"x HTTP/1.1" 200 12 "-" "a \"b\" \\"')
    assert (found.target, found.agent) == (r"/\xc3\xa9\"x", r"a \"b\" \\")
    assert found.request is None


def test_bytes_that_are_no_utf8_stay_different() -> None:
    agents = {parse(LINE.replace(b"Mozilla", bytes([byte]))).agent for byte in range(128, 256)}
    assert len(agents) == 128
    assert r"\xff/5.0" in agents
    assert parse(LINE.replace(b"Mozilla", "Möbius".encode())).agent == "Möbius/5.0"


def test_a_long_line_of_decoys_is_refused_in_time() -> None:
    # Each decoy looks like the end of the user's name; the search must not start over at each.
    decoy = b'u [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "-" '
    started = time.process_time()
    with pytest.raises(NotALogLine):
        parse(b"h - " + decoy * (MAX_LINE_BYTES // len(decoy) - 1) + b'"')
    assert time.process_time() - started < 2.0  # 14 s where it does
