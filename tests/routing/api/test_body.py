"""Bodies: strict JSON that no two parsers can read differently, refused in time that grows with their size."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.api.body import (
    LARGE,
    MAX_DEPTH,
    MAX_NODES,
    DuplicateKey,
    InvalidJson,
    InvalidUnicode,
    JsonTooComplex,
    Outline,
    UnsupportedMediaType,
    _fathoming,
    _is_kept,
    _Reading,
    check_media_type,
    parse,
    parse_in_turns,
)
from routing.api.slices import pieces
from routing.endpoints.invalid import StringAboveMaxLength

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
scalar = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
value = st.recursive(scalar, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4))
members = st.dictionaries(text, value, max_size=6)


def written(value: Any, draw: Any) -> str:
    """The value as JSON text in one of the spellings that JSON allows."""
    ascii_only, spaced = draw(st.booleans()), draw(st.booleans())
    return json.dumps(value, ensure_ascii=ascii_only, separators=(" , ", " : ") if spaced else (",", ":"))


# --- what is read ----------------------------------------------------------------------------------------------------


@given(members, st.data())
def test_every_object_is_read_as_the_standard_library_reads_it(wanted: dict[str, Any], data: st.DataObject) -> None:
    raw = written(wanted, data.draw).encode()
    assert parse(raw) == json.loads(raw) == wanted


@given(st.binary(max_size=60) | st.text('{}[]":,\\u0031aeE+-. \n', max_size=60).map(str.encode))
def test_whatever_is_accepted_is_what_the_standard_library_reads(raw: bytes) -> None:
    try:
        body = parse(raw)
    except (InvalidJson, DuplicateKey, InvalidUnicode, JsonTooComplex):
        return
    assert json.dumps(body) == json.dumps(json.loads(raw))


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"{}", {}),
        (b' \t\r\n{"a":1} ', {"a": 1}),
        (b'{"a":-9223372036854775808,"b":9223372036854775807}', {"a": -(2**63), "b": 2**63 - 1}),
        (b'{"a":1e300,"b":0.1,"c":1E5}', {"a": 1e300, "b": 0.1, "c": 100000.0}),
        (b'{"a":":","b:":"\\u003a","c":"\\u003A"}', {"a": ":", "b:": ":", "c": ":"}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a":{"a":1},"b":[{"a":2},{"a":3}]}', {"a": {"a": 1}, "b": [{"a": 2}, {"a": 3}]}),
        (b'{"\\u0061":1}', {"a": 1}),
    ],
)
def test_unusual_spellings_are_read(raw: bytes, body: dict[str, Any]) -> None:
    assert parse(raw) == body


def count(value: Any) -> tuple[int, int]:
    """Values and pairs below a value."""
    if not isinstance(value, dict | list):
        return 0, 0
    inner = [count(item) for item in (value.values() if isinstance(value, dict) else value)]
    own_pairs = len(value) if isinstance(value, dict) else 0
    return len(value) + sum(values for values, _pairs in inner), own_pairs + sum(pairs for _values, pairs in inner)


@given(members, st.integers(1, 40), st.data())
def test_outline_is_the_same_in_whatever_pieces_it_is_read(
    wanted: dict[str, Any], size: int, data: st.DataObject
) -> None:
    raw = written(wanted, data.draw).encode()
    outline = Outline()
    for piece in pieces(raw, size):
        outline.add(piece)

    values, pairs = count(wanted)
    assert b"".join(pieces(raw, size)) == raw
    assert (outline.nodes, outline.pairs, outline.has_nul) == (1 + values, pairs, False)


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize(
    ("raw", "has_nul"),
    [(b'{"a":"\\u0000"}', True), (b'{"a":"\\\\u0000"}', False), (b'{"a":"\\\\\\u0000"}', True),
     (b'{"a":"\\"u0000"}', False)],
)  # fmt: skip
def test_nul_is_found_across_pieces(raw: bytes, size: int, has_nul: bool) -> None:
    outline = Outline()
    for piece in pieces(raw, size):
        outline.add(piece)
    assert outline.has_nul == has_nul


LARGE_BODIES = {
    "text": {"a": 'He said "no", [then] {left}: \\ done.\n' * 20_000},
    "many commas in a text": {"a": "1,2,[3]," * 500_000},
    "many values": {"a": [{"b": [1, 2.5, "x", None]}] * 25_000},
    "deep": {"a": [[[[[[[["x" * 600_000]]]]]]]]},
}


@pytest.mark.parametrize("wanted", LARGE_BODIES.values(), ids=LARGE_BODIES.keys())
def test_large_body_is_read_like_any_other(wanted: dict[str, Any]) -> None:
    raw = json.dumps(wanted, indent=1).encode()
    assert len(raw) > LARGE
    assert asyncio.run(parse_in_turns(raw)) == parse(raw) == wanted


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        (b'{"a":1,"b":"' + b"x" * LARGE + b'","a":1}', DuplicateKey),
        (b'{"a":"' + b"x" * LARGE + b'\\u0000"}', InvalidUnicode),
        (b'{"a":"' + b"x" * LARGE + b'\\ud800"}', InvalidUnicode),
        (b'{"b":"' + b"x" * LARGE + b'","a":9223372036854775808}', InvalidJson),
        (b'{"b":"' + b"x" * LARGE + b'","a":0.' + b"0" * 2_000_000 + b"}", InvalidJson),
        (b'{"b":"' + b"x" * LARGE + b'","a":NaN}', InvalidJson),
        (b'["' + b"x" * LARGE + b'"]', InvalidJson),
        (b'{"b":"' + b"x" * LARGE + b'","a":[1,]}', InvalidJson),
        (('{"a":"é' + "x" * 10_485_760 + '"}').encode(), StringAboveMaxLength),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_large_body_is_refused_like_any_other(raw: bytes, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        asyncio.run(parse_in_turns(raw))


# --- what is refused -------------------------------------------------------------------------------------------------


@given(members, text, value, value, st.data())
def test_duplicate_names_are_refused_wherever_they_are(
    other: dict[str, Any], name: str, first: Any, second: Any, data: st.DataObject
) -> None:
    pairs = [(key, inner) for key, inner in other.items() if key != name] + [(name, first), (name, second)]
    order = data.draw(st.permutations(pairs))
    inside = ",".join(f"{written(key, data.draw)}:{written(inner, data.draw)}" for key, inner in order)
    before, behind = data.draw(
        st.sampled_from([("", ""), ('{"outer":', "}"), ('{"list":[1,', "]}"), ('{"a":":","b":{"c":[[', "]]}}")])
    )
    with pytest.raises(DuplicateKey):
        parse(f"{before}{{{inside}}}{behind}".encode())


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":1,"b":"\\u003a","a":1}',
        b'{"a":1,"b":"\\u003A\\u003A","a":":"}',
        b'{"a":"x:y","a":"\\u003a\\u003a"}',
        b'{"":1,"":2}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":[{"b":1,"b":2}]}',
    ],
)
def test_duplicate_that_hides_is_refused(raw: bytes) -> None:
    with pytest.raises(DuplicateKey):
        parse(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"x"',
        b"5",
        b"{",
        b'{"a":1}x',
        b'{"a":1}{"a":1}',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":-1e999}',
        b'{"a":9223372036854775808}',
        b'{"a":-9223372036854775809}',
        b'{"a":18446744073709551615}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\n"}',
        b'{"a":"\\x"}',
        b'{"a":"\\ud8"}',
        b"// x\n{}",
    ],
)
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidJson):
        parse(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"\\ud800":1}',
        b'{"a":"\\u0000"}',
        b'{"\\u0000":1}',
        b'{"a":["\\u0000"]}',
    ],
)
def test_text_that_is_not_unicode_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidUnicode):
        parse(raw)


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def wide(nodes: int) -> bytes:
    return b'{"a":[' + b",".join([b"1"] * (nodes - 2)) + b"]}"


def test_depth_and_size_have_exact_bounds() -> None:
    assert parse(nested(MAX_DEPTH))
    assert parse(wide(MAX_NODES))
    with pytest.raises(JsonTooComplex):
        parse(nested(MAX_DEPTH + 1))
    with pytest.raises(JsonTooComplex):
        parse(wide(MAX_NODES + 1))


def conversation(messages: int, text: str = "x") -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text} for _message in range(messages)]}


def test_messages_of_a_conversation_are_not_looked_into_for_their_depth() -> None:
    body = conversation(1_000)
    body["messages"][500]["content"] = json.loads(b"[" * 100 + b"]" * 100)

    assert list(_fathoming(body, 2 + 1_000)) == []
    with pytest.raises(JsonTooComplex):
        list(_fathoming(body, 2 + 1_000 + 100))


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n\t", " : ")], ids=["tight", "usual", "wide"])
def test_one_look_shows_that_a_long_conversation_lost_nothing(separators: tuple[str, str]) -> None:
    body = conversation(1_000, "call me at 0123 456 789, or: 18446744073709551616")
    raw = json.dumps(body, separators=separators).encode()
    assert _is_kept(raw, parse(raw))


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        (b'{"a b":1, "ab":1, "a b":1}', DuplicateKey),
        (b'{"a": 18446744073709552000}', InvalidJson),
        (b'{"a": 1e19, "b": 10000000000000000000}', InvalidJson),
        (b'{"a": "\\u0000"}', InvalidUnicode),
        (b'{"a": "[[[[", "b": ' + b"[" * 64 + b"]" * 64 + b', "c": "]]]]"}', JsonTooComplex),
        (b'{"a": [' + b'{"b": "}"}, ' * 200 + b"[" * 63 + b"]" * 63 + b"]}", JsonTooComplex),
    ],
    ids=["duplicate", "too large", "too large beside a float", "nul", "deep between texts", "deep behind a list"],
)
def test_blanks_hide_nothing(raw: bytes, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        parse(raw)


def test_depth_behind_many_brackets_has_the_same_bound() -> None:
    many = b'{"t":"{[{["},' * 500
    assert parse(b'{"a":[' + many + b"[" * (MAX_DEPTH - 2) + b"]" * (MAX_DEPTH - 2) + b"]}")
    with pytest.raises(JsonTooComplex):
        parse(b'{"a":[' + many + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"]}")


@pytest.mark.parametrize(
    "raw",
    [
        nested(2000),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        wide(250_000),
        b'{"a":NaN,"b":' + wide(250_000) + b"}",
        b'{"x":' + b"[" * 980 + b"]" * 980 + b',"x":1}',
        b'{"x":[' + b"1," * 1_500_000 + b'1],"x":1}',
        b'{"x":[' + b'"",' * 5_000_000 + b'1],"x":1}',
        b'{"x":"\\u003a","y":' + nested(65) + b"}",
        b'"' * (4 * MAX_NODES + 2),
        b'{"a":' + b'"" ' * (2 * MAX_NODES + 1) + b"}",
    ],
)
def test_bomb_is_too_complex_whatever_else_it_is(raw: bytes) -> None:
    with pytest.raises(JsonTooComplex):
        parse(raw)


MANY_NAMES = b",".join(b'"k%d":1' % number for number in range(MAX_NODES - 10))


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"a":"' + b'\\"' * 10_000_000, id="a text without end"),
        pytest.param(b'{"a":"' + b"x" * 20_000_000, id="a long text without end"),
        pytest.param(b'"' * 20_000_000, id="quotes"),
        pytest.param(b"{" + b"]" * 20_000_000, id="closing brackets"),
        pytest.param(b"\\" * 20_000_000, id="backslashes"),
        pytest.param(b"{" + MANY_NAMES + b',"z":1' * 300_000 + b"}", id="a duplicate behind many names"),
        pytest.param(b'{"a":"' + b":" * 19_900_000 + b'","a":1}', id="a duplicate behind many colons"),
        pytest.param(b'{"a":"' + b"\\ud800" * 3_000_000 + b'"}', id="lone surrogates"),
    ],
)
def test_no_body_takes_long_to_refuse(raw: bytes) -> None:
    """Half a second is usual; what grows with the square of the length takes hours."""
    began = time.process_time()
    with pytest.raises((InvalidJson, DuplicateKey, InvalidUnicode, JsonTooComplex)):
        parse(raw)
    assert time.process_time() - began < 10


def test_many_levels_of_some_thousand_lists_are_looked_through_in_turns() -> None:
    """Of 3,000 lists on each of 60 levels, a level takes a millisecond: in one go they took 45."""
    raw = b'{"a":[%b]}' % b",".join([b"[" * 60 + b"]" * 60] * 3_000)
    assert len(raw) < LARGE
    assert sum(1 for _turn in _Reading(raw)) >= 60


# --- media types -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("application/json", ""),
        ("application/json; charset=utf-8", ""),
        ("Application/JSON;charset=UTF-8", ""),
        ('application/json; charset="utf-8"', "identity"),
        ("application/json; x=y", ""),
    ],
)
def test_plain_json_is_accepted(content_type: str, encoding: str) -> None:
    check_media_type(content_type, encoding)


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("", ""),
        ("text/plain", ""),
        ("application/jsonx", ""),
        ("application/x-www-form-urlencoded", ""),
        ("application/json; charset=latin-1", ""),
        ("application/json; charset=utf-16", ""),
        ("application/json", "gzip"),
        ("application/json", "br"),
    ],
)
def test_any_other_media_type_is_refused(content_type: str, encoding: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        check_media_type(content_type, encoding)
