"""Server-sent events in whatever pieces they come."""

from __future__ import annotations

import itertools
import re
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.wire.events import MAX_EVENT_BYTES, Comment, EventParser, EventTooLarge, Failure, Noise

SSE = (
    b': hello\n\ndata: {"a":"\xe1\xbb\x87"}\n\nevent: message\nid: 7\ndata:first\ndata: second\n\n'
    b"\n\nretry: 5\n\ndata: x\n: within\n\ndata: [DONE]\n\n"
)
EVENTS = [
    Comment(b": hello"),
    b'{"a":"\xe1\xbb\x87"}',
    b"first\nsecond",
    Comment(b": within"),
    b"x",
    b"[DONE]",
]


def parsed(*pieces: bytes) -> list[bytes]:
    parser = EventParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.finish()


# --- events ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 17, 10_000])
def test_events_are_the_same_however_the_bytes_are_cut(line_end: bytes, size: int) -> None:
    stream = SSE.replace(b"\n", line_end)
    assert parsed(*(stream[at : at + size] for at in range(0, len(stream), size))) == EVENTS


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_events_are_the_same_at_every_single_cut(line_end: bytes) -> None:
    stream = SSE.replace(b"\n", line_end)
    assert [parsed(stream[:at], stream[at:]) for at in range(len(stream) + 1)] == [EVENTS] * (len(stream) + 1)


@given(
    ends=st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=SSE.count(b"\n"), max_size=SSE.count(b"\n")),
    cuts=st.lists(st.integers(0, 2 * len(SSE)), max_size=12),
)
def test_line_ends_may_even_be_mixed(ends: list[bytes], cuts: list[int]) -> None:
    # A CR before a LF would be one line end, so a line end after CR is never a bare LF.
    for place in range(1, len(ends)):
        ends[place] = b"\r" if ends[place - 1] == b"\r" and ends[place] == b"\n" else ends[place]
    stream = b"".join(line + end for line, end in zip(SSE.split(b"\n"), [*ends, b""], strict=True))
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    assert parsed(*(stream[a:b] for a, b in itertools.pairwise(places))) == EVENTS


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_event_comes_out_with_its_last_byte(line_end: bytes) -> None:
    parser = EventParser()
    assert parser.feed(b"data: x" + line_end) == []
    assert parser.feed(line_end) == [b"x"]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"], ids=["none", "LF", "CR", "CRLF"])
def test_last_event_needs_no_blank_line(end: bytes) -> None:
    assert parsed(b"data: a\n\ndata: [DONE]" + end) == [b"a", b"[DONE]"]


def test_nothing_is_no_event() -> None:
    assert (parsed(), parsed(b""), parsed(b"\n\n\n"), parsed(b"event: x\n\n"), parsed(b"\r")) == ([], [], [], [], [])


@pytest.mark.parametrize(
    ("field", "data"),
    [
        (b"data:x", b"x"),
        (b"data: x", b"x"),
        (b"data:  x", b" x"),
        (b"data: x ", b"x "),
        (b"data:", b""),
        (b"data: a: b", b"a: b"),
    ],
)
def test_one_space_after_the_colon_belongs_to_the_field(field: bytes, data: bytes) -> None:
    assert parsed(field + b"\n\n") == [data]


def test_large_event_in_small_pieces_is_put_together_in_no_time() -> None:
    event = b"x" * 5_000_000
    stream = b"data: " + event + b"\r\n\r\n"
    began = time.process_time()
    assert parsed(*(stream[at : at + 4096] for at in range(0, len(stream), 4096))) == [event]
    assert time.process_time() - began < 0.5


def test_many_lines_of_one_large_event_cost_no_more_than_their_bytes() -> None:
    line = b"data: " + b"x" * 4000 + b"\r\n"
    began = time.process_time()
    events = parsed(*[line] * 2000, b"\r\n")
    assert len(events[0]) == 2000 * 4001 - 1
    assert time.process_time() - began < 0.5


def test_event_past_the_limit_is_refused() -> None:
    parser = EventParser()
    parser.feed(b"data: " + b"x" * (MAX_EVENT_BYTES - 10))
    with pytest.raises(EventTooLarge):
        parser.feed(b"x" * 10)


MOST = 16 * 1024 * 1024


@pytest.mark.parametrize("begun", [b"data: ", b'{"a": "'], ids=["event", "object"])
def test_bound_is_of_an_event_or_object_that_has_not_ended(begun: bytes) -> None:
    parser = EventParser()
    assert parser.feed(begun + b"x" * (MOST - len(begun))) == []
    with pytest.raises(EventTooLarge):
        parser.feed(b"x")


def test_object_in_the_first_bytes_waits_for_none() -> None:
    assert EventParser().feed(b"{}") == [b"{}"]


# --- blocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "events"),
    [
        pytest.param(b'data: {"a":1}\ndata: {"b":2}\n\n', [b'{"a":1}', b'{"b":2}'], id="objects"),
        pytest.param(b'data: {"a":1}\ndata: [DONE] \n\n', [b'{"a":1}', b"[DONE] "], id="object, end"),
        pytest.param(b'data: {"a":\ndata: 1}\n\n', [b'{"a":\n1}'], id="an object in two"),
        pytest.param(b'data: {"a":1}\ndata: x\n\n', [b'{"a":1}\nx'], id="object and words"),
        pytest.param(b'data: {  \n "a":1\n}\n\n', [b'{  \n "a":1\n}'], id="an object, its first line named"),
        pytest.param(b'data: {\nid: 1\n "a":1\n}\n\n', [b'{\n "a":1\n}'], id="with a field among its lines"),
        pytest.param(b"data: x\n\0data: y\n\n", [b"x\ny"], id="NUL before the name"),
        pytest.param(b'x: 1\ndata: {"a":1}\n\n', [b'{"a":1}'], id="another field"),
    ],
)
def test_lines_of_a_block_are_one_event_or_one_each(block: bytes, events: list[bytes]) -> None:
    assert parsed(block) == events


@pytest.mark.parametrize(
    ("block", "data"),
    [
        (b"event: error\ndata: {\ndata: }\n\n", b"{\n}"),
        (b'event: error\ndata: {\n"a":1}\n\n', b'{\n"a":1}'),
        (b"event:  Error \n\n", b""),
        (b"event: fatal\ndata: x\n\n", b"x"),
    ],
    ids=["named lines", "lines", "nothing", "fatal"],
)
def test_event_that_is_called_an_error_is_one(block: bytes, data: bytes) -> None:
    (event,) = parsed(block)
    assert (type(event), event) == (Failure, data)


@pytest.mark.parametrize(
    ("block", "events"),
    [
        (b"event: ping\ndata: alive\n\n", [b": ping"]),
        (b": ok\nevent: Keep-Alive\ndata: 12:00\n\n", [b": ok", b": ping"]),
        (b"event: keepalive\n\n", [b": ping"]),
        (b'event: ping\ndata: {"type":"ping"}\n\n', [b'{"type":"ping"}']),
        (b"event: pings\ndata: x\n\n", [b"x"]),
    ],
    ids=["words", "a comment", "nothing", "an object", "another name"],
)
def test_words_of_an_event_that_is_a_sign_of_life_mean_nothing(block: bytes, events: list[bytes]) -> None:
    assert parsed(block) == events


@pytest.mark.parametrize(
    ("block", "events"),
    [
        (b"event: done\ndata: {}\n\n", [b"[DONE]"]),
        (b": ok\nevent: End\ndata: bye\n\n", [b": ok", b"[DONE]"]),
        (b"event: complete\n\n", [b"[DONE]"]),
        (b'event: complete\ndata: {"a":1}\n\n', [b'{"a":1}']),
    ],
    ids=["an empty object", "words", "nothing", "an object"],
)
def test_event_that_is_called_the_end_is_one_if_it_says_no_more(block: bytes, events: list[bytes]) -> None:
    assert parsed(block) == events


@pytest.mark.parametrize(
    ("block", "event"),
    [
        (b'event: a.b\ndata: {"x":1}\n\n', {"type": "a.b", "x": 1}),
        (b"event: a.b\ndata: { }\n\n", {"type": "a.b"}),
        (b'event: a.b\ndata: {"x":1,"type":"c"}\n\n', {"x": 1, "type": "c"}),
        (b'event: a.b\ndata: {"type":"c"}\n\n', {"type": "c"}),
        (b'event: a.b\ndata: {"x":{"type":"c"}}\n\n', {"type": "a.b", "x": {"type": "c"}}),
        (b'event: b.a\ndata: {"x":1}\n\n', {"x": 1}),
        (b"event: a.b\ndata: 5\n\n", 5),
    ],
    ids=["no type", "an empty object", "its own behind", "its own in front", "its own within", "no kind", "no object"],
)
def test_name_of_an_event_is_the_type_of_an_object_without_one(block: bytes, event: object) -> None:
    (data,) = EventParser(re.compile(rb"a\..")).feed(block)
    assert orjson.loads(data) == event


def test_noise_is_kept_as_far_as_it_may_be() -> None:
    (event,) = parsed(b"id: 1\n\t\n" + b"x" * 3_000 + b"\ny\n\n")
    assert (type(event), event) == (Noise, b"x" * 2_000)
