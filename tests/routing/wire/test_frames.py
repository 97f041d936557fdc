"""The bytes around a text, and what else may stand between them."""

from __future__ import annotations

import json

import pytest

from routing.wire.frames import Again, Frame

CHUNK = b'{"id":"a","choices":[{"delta":{"content":"one"},"finish_reason":null}]}'


def frame() -> Frame:
    found = Frame.around(b"content", CHUNK)
    assert found is not None
    return found


def with_text(text: bytes) -> bytes:
    return CHUNK.replace(b'"one"', b'"' + text + b'"')


@pytest.mark.parametrize(
    "text", [b"two", b"a", b" ", "xin chào".encode(), "\N{GRINNING FACE}".encode(), b"one", b"x" * 10_000, b"\x7f"]
)
def test_plain_text_is_told_as_it_stands(text: bytes) -> None:
    found = frame().text_in(with_text(text))
    assert (type(found), found) == (Again, text)
    assert json.loads(frame().with_text(text)) == json.loads(with_text(text))


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(with_text(b""), id="no text"),
        pytest.param(with_text(rb"\n"), id="an escape"),
        pytest.param(with_text(rb"a\""), id="an escaped quote"),
        pytest.param(with_text(b'a","x":"'), id="another member"),
        pytest.param(with_text(b"a\nb"), id="a control character"),
        pytest.param(with_text(b"\xff"), id="no UTF-8"),
        pytest.param(with_text(b"\xed\xa0\x80"), id="half a letter"),
        pytest.param(CHUNK.replace(b'"a"', b'"b"'), id="another beginning"),
        pytest.param(CHUNK.replace(b"null", b'"stop"'), id="another end"),
        pytest.param(CHUNK + b" ", id="more behind it"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_anything_else_is_to_be_parsed(event: bytes) -> None:
    assert frame().text_in(event) is None


def test_beginning_and_end_do_not_overlap() -> None:
    found = Frame.around(b"content", b'{"content":"x"}{"content":'.replace(b'}{"content":', b"}"))
    assert found is not None
    assert found.text_in(b'{"content":"}') is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"delta":{}}', id="no member"),
        pytest.param(b'{"content":null}', id="no text"),
        pytest.param(rb'{"content":"a\n"}', id="an escape in it"),
        pytest.param(b'{"content":"a","x":{"content":"b"}}', id="two members"),
        pytest.param(b'{"content":"a","x":{"content":[]}}', id="two members, one no text"),
        pytest.param(b'{"contents":"a"}', id="another name"),
        pytest.param(b'{"content":"a', id="cut"),
    ],
)
def test_what_is_not_there_once_has_no_frame(text: bytes) -> None:
    assert Frame.around(b"content", text) is None


def test_member_within_a_text_is_none() -> None:
    text = json.dumps({"x": 'say "content":"no"', "content": "yes"}).encode()
    found = Frame.around(b"content", text)
    assert found is not None
    assert json.loads(found.with_text(b"more")) == {"x": 'say "content":"no"', "content": "more"}
