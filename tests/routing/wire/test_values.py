"""JSON objects one behind the other, in whatever pieces they come."""

from __future__ import annotations

import pytest

from routing.wire.events import MAX_EVENT_BYTES, EventParser, EventTooLarge
from routing.wire.values import Values

OBJECTS = [b'{"a":{"b":[1,{}]}}', rb'{"a":"}]\"{[\\"}', b"{}", b'{"a":[[]],"b":"\xe1\xbb\x87"}']
FORMS = {
    "lines": b"\n".join(OBJECTS) + b"\n",
    "CRLF, blank lines": b"\r\n\r\n" + b"\r\n\r\n".join(OBJECTS),
    "nothing between": b"".join(OBJECTS),
    "list": b"[" + b",".join(OBJECTS) + b"]\n",
    "list over lines": b" [\n" + b"\n, ".join(OBJECTS) + b"\n]",
    "text sequence": b"".join(b"\x1e" + each + b"\n" for each in OBJECTS),
}


def found(data: bytes, size: int) -> tuple[list[bytes], Values]:
    values = Values()
    return [each for at in range(0, len(data), size) for each in values.feed(data[at : at + size])], values


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS.keys())
def test_objects_are_the_same_however_the_bytes_are_cut(data: bytes, size: int) -> None:
    objects, values = found(data, size)

    assert objects == OBJECTS
    assert (values.are_pieces, values.size, values.finish()) == (True, 0, b"")


@pytest.mark.parametrize(
    ("data", "are_pieces"),
    [
        (b'{"a":1}', False),
        (b'{"a":1}\n \r\n', False),
        (b'{"a":[{},{}]}', False),
        (b'{"a":{"b":1}', False),
        (b'[{"a":1', False),
        (b"[1,2]", False),
        (b"[]", False),
        (b"", False),
        (b'[{"a":1}', True),
        (b"{}\n{", True),
        (b"{}\n\ndata: x", True),
        (b"{}{}", True),
    ],
)
def test_one_object_is_no_piece_until_something_is_behind_it(data: bytes, are_pieces: bool) -> None:
    assert found(data, 10_000)[1].are_pieces is are_pieces


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"{}\ndata: x\n", b"data: x\n"),
        (b"{}\n[DONE]\n", b"[DONE]\n"),
        (b"[{}]\n{}", b""),
        (b"{}]", b"]"),
        (b"[[{}]]", b"[{}]]"),
        (b"{} \n", None),
        (b"[{},", None),
    ],
)
def test_what_is_no_object_ends_them(data: bytes, rest: bytes | None) -> None:
    assert found(data, 10_000)[1].rest == rest


def test_what_has_begun_and_not_ended_is_told() -> None:
    objects, values = found(b'{}\n{"a":"}', 3)

    assert (objects, values.size, values.finish(), values.size) == ([b"{}"], 7, b'{"a":"}', 0)


@pytest.mark.parametrize("size", [1, 5, 10_000])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n\n", b"\xef\xbb\xbf\r\n"])
def test_events_may_follow_objects(start: bytes, size: int) -> None:
    data = start + b'{"a":1}\n{"b":2}\n\ndata: {"c":3}\n\ndata: [DONE]\n\n'
    parser = EventParser()

    events = [each for at in range(0, len(data), size) for each in parser.feed(data[at : at + size])]

    assert events + parser.finish() == [b'{"a":1}', b'{"b":2}', b'{"c":3}', b"[DONE]"]


def test_object_that_is_cut_is_an_event_that_nobody_can_read() -> None:
    parser = EventParser()

    assert [*parser.feed(b'{"a":1}\n{"b"'), *parser.finish()] == [b'{"a":1}', b'{"b"']


def test_object_that_is_too_large_is_refused() -> None:
    parser = EventParser()
    parser.feed(b'{"a":"')

    with pytest.raises(EventTooLarge):
        parser.feed(b"x" * MAX_EVENT_BYTES)
