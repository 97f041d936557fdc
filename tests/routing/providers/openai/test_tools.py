"""Tool calls as vendors send them: added up as clients do, each is there once, whole, at places without a gap.

The forms are those of public bug reports; where the vendor is known, it is named.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import orjson
import pytest

from routing.providers.base import MalformedAnswer
from routing.providers.openai.tools import MOST_CALLS, ToolCalls, complete_calls, place_of, refuse_cut

ABSENT: Any = object()
F, G = ("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')


def part(
    index: Any = ABSENT, id_: Any = ABSENT, name: Any = ABSENT, arguments: Any = ABSENT, **members: Any
) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not ABSENT}
    made = {key: value for key, value in (("index", index), ("id", id_)) if value is not ABSENT}
    return {**made, "type": "function", **({"function": function} if function else {}), **members}


def relayed(*chunks: Any, calls: ToolCalls | None = None) -> list[dict[str, Any]]:
    calls = calls or ToolCalls()
    return [fragment for chunk in chunks for fragment in calls.complete(orjson.loads(orjson.dumps(chunk)))]


def added_up(fragments: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call, every string added to what came before; places must have no gap."""
    found: list[list[str]] = []
    for fragment in fragments:
        function = fragment["function"]
        assert fragment["index"] <= len(found)
        if fragment["index"] == len(found):
            assert fragment["id"]
            assert fragment["type"] == "function"
            found.append(["", "", ""])
        pieces = fragment.get("id", ""), function.get("name", ""), function["arguments"]
        found[fragment["index"]] = [old + new for old, new in zip(found[fragment["index"]], pieces, strict=True)]
    return [(id_, name, arguments) for id_, name, arguments in found]


BOTH = [F, G]
STREAMS: dict[str, tuple[list[Any], list[tuple[str, str, str]]]] = {
    "MiniMax by NIM: id and name in each fragment": (
        [[part(0, "a", "f", '{"x"')], [part(0, "a", "f", ":")], [part(0, "a", "f", "1}")]], [F],
    ),
    "the same without a place": ([[part(ABSENT, "a", "f", '{"x"')], [part(ABSENT, "a", "f", ":1}")]], [F]),
    "the name in each, the id in the first": ([[part(0, "a", "f", '{"x"')], [part(0, None, "f", ":1}")]], [F]),
    "the same without a place or an id": (
        [[part(ABSENT, "a", "f", '{"x"')], [part(ABSENT, ABSENT, "f", ":1}")]], [F],
    ),
    "the id in each, the name in the first": ([[part(0, "a", "f", '{"x"')], [part(0, "a", ABSENT, ":1}")]], [F]),
    "Gemini, Ollama: every call at 0": ([[part(0, *F)], [part(0, *G)]], BOTH),
    "every call at 0, in one chunk": ([[part(0, *F), part(0, *G)]], BOTH),
    "every call at 0, in fragments": (
        [[part(0, "a", "f", "")], [part(0, ABSENT, ABSENT, '{"x":1}')],
         [part(0, "b", "g", "")], [part(0, ABSENT, ABSENT, '{"y":2}')]], BOTH,
    ),
    "every call at 0, told apart by id, mixed": (
        [[part(0, "a", "f", '{"x"')], [part(0, "b", "g", '{"y"')],
         [part(0, "a", ABSENT, ":1}")], [part(0, "b", ABSENT, ":2}")]], BOTH,
    ),
    "every call at 0, the same function": (
        [[part(0, "a", "f", "")], [part(0, "b", "f", "")], [part(0, ABSENT, ABSENT, "{}")]],
        [("a", "f", ""), ("b", "f", "{}")],
    ),
    "mixed by id without a place": (
        [[part(ABSENT, "a", "f", '{"x"')], [part(ABSENT, "b", "g", '{"y"')],
         [part(ABSENT, "a", ABSENT, ":")], [part(ABSENT, ABSENT, ABSENT, "1}")], [part(ABSENT, "b", ABSENT, ":2}")]],
        BOTH,
    ),
    "mixed by place": (
        [[part(0, "a", "f", '{"x"'), part(1, "b", "g", '{"y"')],
         [part(1, ABSENT, ABSENT, ":2}"), part(0, ABSENT, ABSENT, ":1}")]], BOTH,
    ),
    "places from 1, as Anthropic's blocks have": ([[part(1, "a", "f", "")], [part(1, ABSENT, ABSENT, '{"x":1}')]], [F]),
    "a gap": ([[part(0, *F)], [part(2, "b", "g", '{"y":')], [part(2, ABSENT, ABSENT, "2}")]], BOTH),
    "reversed": ([[part(1, *F)], [part(0, *G)]], BOTH),
    "a negative place": ([[part(-1, "a", "f", "")], [part(-1, ABSENT, ABSENT, '{"x":1}')]], [F]),
    "a huge place": ([[part(10**6, *F)], [part(10**6 + 1, *G)]], BOTH),
    "places as text": ([[part("1", *F)], [part("0", "b", "g", "")], [part(0, ABSENT, ABSENT, '{"y":2}')]], BOTH),
    "a place as long text": ([[part("1234567", *F)], [part(1234567, ABSENT, ABSENT, " ")]], [("a", "f", '{"x":1} ')]),
    "floating places": ([[part(1.0, *F)], [part(0.0, "b", "g", "")], [part(0, ABSENT, ABSENT, '{"y":2}')]], BOTH),
    "places that are none": ([[part("x", *F)], [part(True, *G)], [part(1.5, None, None, " ")]],
                             [F, ("b", "g", '{"y":2} ')]),
    "a place in later fragments only": ([[part(ABSENT, *F), part(ABSENT, "b", "g", "")],
                                         [part(1, ABSENT, ABSENT, '{"y":2}')]], BOTH),
    "the id of an earlier call at a new place": ([[part(0, "a", "f", '{"x"')], [part(1, "a", ABSENT, ":1}")]], [F]),
    "another id in each fragment, no name (LM Studio)": (
        [[part(0, "a", "f", '{"x"')], [part(0, "z", None, ":1}")]], [F],
    ),
    "a name that comes late (Command-A on vLLM)": ([[part(0, "a", "", "")], [part(0, "a", "f", '{"x":1}')]], [F]),
    "a late name without a place": ([[part(ABSENT, "a", None, "")], [part(ABSENT, ABSENT, "f", '{"x":1}')]], [F]),
    "a late name under another id": ([[part(0, "a", None, "")], [part(0, None, "f", '{"x":1}')]], [F]),
    "a name in pieces": ([[part(0, "a", "get_", "")], [part(0, ABSENT, "tide", "{}")]], [("a", "get_tide", "{}")]),
    "a name of another call at the same place": (
        [[part(0, "a", "f", '{"x":1}')], [part(0, "a", "g", '{"y":2}')]], [F, ("?", "g", '{"y":2}')],
    ),
    "one id for calls at two places": (
        [[part(0, "a", "f", ""), part(1, "a", "f", "")], [part(1, ABSENT, ABSENT, "[2]")], [part(0, "a", None, "[1]")]],
        [("a", "f", "[1]"), ("?", "f", "[2]")],
    ),
    "one id for calls without places": (
        [[part(ABSENT, "a", "f", "[1]"), part(ABSENT, "a", "f", "[2]")]], [("a", "f", "[1]"), ("?", "f", "[2]")],
    ),
    "one function twice without ids": (
        [[part(ABSENT, "", "f", "[1]")], [part(ABSENT, "", "f", "[1]")]], [("?", "f", "[1]"), ("?", "f", "[1]")],
    ),
    "one function twice at one place without ids": (
        [[part(0, "", "f", "[1]")], [part(0, "", "f", "[2]")]], [("?", "f", "[1]"), ("?", "f", "[2]")],
    ),
    "one function twice without arguments yet": (
        [[part(ABSENT, "", "f", ""), part(ABSENT, "", "f", "")]], [("?", "f", ""), ("?", "f", "")],
    ),
    "the last chunk repeats the call (MiniMax)": (
        [[part(0, "a", "f", '{"x"')], [part(0, ABSENT, ABSENT, ":1}")], [part(ABSENT, "a", "f", '{"x": 1}\n')]], [F],
    ),
    "the same at another place": ([[part(1, *F)], [part(0, *F)]], [F]),
    "the last chunk repeats both": ([[part(0, *F)], [part(1, *G)], [part(0, *F), part(1, *G)]], BOTH),
    "the last chunk repeats it as an object": ([[part(0, *F)], [part(0, "a", "f", {"x": 1})]], [F]),
    "the name once more behind whole arguments": ([[part(0, *F)], [part(0, "a", "f", " ")]], [("a", "f", '{"x":1} ')]),
    "an empty object before the text": ([[part(0, "a", "f", {})], [part(0, ABSENT, ABSENT, '{"x":1}')]], [F]),
    "LiteLLM: an empty object as text before the text": (
        [[part(0, "a", "f", "{}")], [part(0, ABSENT, ABSENT, '{"x"')], [part(0, ABSENT, ABSENT, ":1}")]], [F],
    ),
    "an empty object, and what is none": ([[part(0, "a", "f", "{}")], [part(0, ABSENT, ABSENT, "x")]],
                                          [("a", "f", "{}x")]),
    "an empty object and a blank": ([[part(0, "a", "f", "{}")], [part(0, ABSENT, ABSENT, " ")]], [("a", "f", "{}")]),
    "an empty object twice": ([[part(0, "a", "f", "{}")], [part(0, "a", "f", "{}")]], [("a", "f", "{}")]),
    "two empty objects at 0": ([[part(0, ABSENT, "f", "{}")], [part(0, ABSENT, "g", "{}")]],
                               [("?", "f", "{}"), ("?", "g", "{}")]),
    "calls as JSON in a text": (['[{"index":0,"id":"a","function":{"name":"f","arguments":"{\\"x\\":1}"}}]'], [F]),
    "a function as JSON in a text": (
        [[{"index": 0, "id": "a", "function": '{"name":"f","arguments":"{\\"x\\":1}"}'}]], [F],
    ),
    "null before the text": ([[part(0, "a", "f", None)], [part(0, ABSENT, ABSENT, '{"x":1}')]], [F]),
    "an object": ([[part(0, "a", "f", {"x": 1})]], [F]),
    "a list": ([[part(0, "a", "f", [])]], [("a", "f", "[]")]),
    "function null later": ([[part(0, *F)], [{"index": 0, "function": None}]], [F]),
    "nothing first": ([[{}], {}, "", [None], [{"index": 0, "type": "function"}], [part(0, *F)]], [F]),
    "Workers AI: name and arguments beside the call": ([[{"name": "f", "arguments": {"x": 1}}]], [("?", *F[1:])]),
    "the same with an id and a place": ([[{"index": 0, "id": "a", "name": "f", "arguments": '{"x":1}'}]], [F]),
    "the same beside an empty function": ([[{"id": "a", "function": {}, "name": "f", "arguments": '{"x":1}'}]], [F]),
    "function is its name": ([[{"index": 0, "id": "a", "function": "f", "arguments": '{"x":1}'}]], [F]),
    "one call that is no list": ([part(0, *F)], [F]),
    "id and name as numbers": ([[part(0, 5, 6, "{}")], [part(0, 5, 6, " ")]], [("5", "6", "{}")]),
    "id and name that are none": ([[part(0, True, {}, "{}")]], [("?", "", "{}")]),
    "a late id": ([[part(0, ABSENT, "f", "")], [part(0, "late", ABSENT, '{"x":1}')]], [("?", *F[1:])]),
    "a late id without a place": ([[part(ABSENT, "", "f", "")], [part(ABSENT, "x", None, '{"x":1}')]], [("?", *F[1:])]),
    "a late id with the name": ([[part(0, ABSENT, "f", '{"x"')], [part(0, "late", "f", ":1}")]], [("?", *F[1:])]),
    "another id without a place, no name yet": (
        [[part(ABSENT, "a", "f", "[]")], [part(ABSENT, "b", None, "")], [part(ABSENT, ABSENT, "g", "{}")]],
        [("a", "f", "[]"), ("b", "g", "{}")],
    ),
    "a first id behind a call without one": (
        [[part(ABSENT, ABSENT, "f", "[]")], [part(ABSENT, "b", "g", "{}")]], [("?", "f", "[]"), ("b", "g", "{}")],
    ),
    "long ids and names": ([[part(0, "i" * 600, "n" * 600, "{")], [part(0, "i" * 600, "n" * 600, "}")]],
                           [("i" * 600, "n" * 600, "{}")]),
}  # fmt: skip


@pytest.mark.parametrize(("chunks", "right"), STREAMS.values(), ids=STREAMS)
def test_calls_add_up(chunks: list[Any], right: list[tuple[str, str, str]]) -> None:
    calls = ToolCalls()
    found = added_up(relayed(*chunks, calls=calls) + calls.held())

    given = [id_ for id_, _name, _arguments in right]
    assert [
        ("?" if known == "?" and id_.startswith("call_") and len(id_) == len("call_") + 24 else id_, name, arguments)
        for known, (id_, name, arguments) in zip(given, found, strict=True)
    ] == right
    assert len({id_ for id_, _name, _arguments in found}) == len(found)


def test_id_type_and_name_are_said_once() -> None:
    first, second = relayed([part(0, "a", "f", "{")], [part(0, "a", "f", "}")])

    assert first == {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}
    assert second == {"index": 0, "function": {"arguments": "}"}}


@pytest.mark.parametrize("again", [part(0, *F), part(0, "a"), part(0), {}, part(0, "", "", ""), {"x": None}])
def test_fragments_that_say_nothing_new_are_left_out(again: dict[str, Any]) -> None:
    assert len(relayed([part(0, *F)], [again])) == 1


@pytest.mark.parametrize("place", [{"index": 0}, {}])
def test_signature_alone_goes_out_with_a_function(place: dict[str, int]) -> None:
    """Gemini's; the OpenAI SDK's stream helper asserts that every fragment has a function."""
    signature = {"extra_content": {"google": {"thought_signature": "s"}}}

    assert relayed([part(0, *F)], [{**place, **signature}])[1] == {
        "index": 0, "function": {"arguments": ""}, **signature,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["FUNCTION", "tool_call", "", None, 5, "custom"])
def test_type_is_function(kind: Any) -> None:
    call = part(0, *F, type=kind)

    assert relayed([call])[0]["type"] == "function"
    assert complete_calls([call])[0]["type"] == "function"


def test_custom_calls_pass() -> None:
    first = {"index": 3, "id": "a", "type": "custom", "custom": {"name": "c", "input": "{}"}}
    later = [{"index": 3, "id": "a", "custom": {"name": "c", "input": "{}"}}], [{"index": 3, "x": 1}]
    calls = ToolCalls()

    assert relayed([first], *later, calls=calls) == [
        {**first, "index": 0},
        {"index": 0, "custom": {"input": "{}"}},
        {"index": 0, "x": 1},
    ]
    assert calls.rest() == []


def test_custom_call_may_begin_with_its_type_alone() -> None:
    assert relayed([{"id": "a", "type": "custom"}]) == [
        {"index": 0, "id": "a", "type": "custom", "custom": {"input": ""}}
    ]


def test_empty_object_is_said_at_the_end_and_once() -> None:
    calls = ToolCalls()

    assert relayed([part(0, "a", "f", "{}")], calls=calls)[0]["function"] == {"name": "f", "arguments": ""}
    assert calls.rest() == [{"index": 0, "function": {"arguments": "{}"}}]
    assert calls.rest() == calls.held() == []


@pytest.mark.parametrize("empty", [ABSENT, None, "", {}])
def test_calls_without_arguments_have_an_empty_object_at_the_end(empty: Any) -> None:
    calls = ToolCalls()
    fragments = relayed([part(0, *F)], [part(1, "b", "g", empty)], calls=calls)

    assert added_up(fragments + calls.rest()) == [F, ("b", "g", "{}")]
    assert calls.rest() == []


@pytest.mark.parametrize("odd", [5, "x", [5], [[]], True])
def test_what_is_no_call_is_malformed(odd: Any) -> None:
    with pytest.raises(MalformedAnswer):
        ToolCalls().complete(odd)


def test_calls_are_bounded() -> None:
    calls = ToolCalls()
    relayed([part(at, f"{at}", "f", "{}") for at in range(MOST_CALLS)], calls=calls)

    assert MOST_CALLS == 1024
    with pytest.raises(MalformedAnswer, match="too many tool calls"):
        calls.complete([part(MOST_CALLS, "x", "f", "{}")])


def test_arguments_nested_too_deep_are_malformed() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]

    with pytest.raises(MalformedAnswer, match="too deep"):
        complete_calls([{"id": "a", "function": {"name": "f", "arguments": deep}}])


WHOLE: dict[str, tuple[Any, list[tuple[str, str, str]]]] = {
    "one that is no list": (part(0, *F), [F]),
    "none": ("", []),
    "no calls": (["x", None, {}, {"index": 0, "type": "function"}, {"function": {}}], []),
    "arguments absent": ([part(0, "a", "f")], [("a", "f", "{}")]),
    "arguments null": ([part(0, "a", "f", None)], [("a", "f", "{}")]),
    "arguments are an empty object": ([part(0, "a", "f", {})], [("a", "f", "{}")]),
    "arguments are empty": ([part(0, "a", "f", "")], [("a", "f", "{}")]),
    "arguments are null as text": ([part(0, "a", "f", "null")], [("a", "f", "{}")]),
    "arguments are parameters": ([{"id": "a", "function": {"name": "f", "parameters": {"x": 1}}}], [F]),
    "arguments are the input": ([{"id": "a", "function": {"name": "f", "input": {"x": 1}}}], [F]),
    "arguments are an object": ([part(0, "a", "f", {"x": 1})], [F]),
    "calls in a text": ('[{"id":"a","function":{"name":"f","arguments":{"x":1}}}]', [F]),
    "flat": ([{"name": "f", "arguments": {"x": 1}}], [("?", *F[1:])]),
    "numbers": ([part(0, 5, 6, "{}")], [("5", "6", "{}")]),
    "one id twice": ([part(0, *F), part(1, *F)], [F, ("?", *F[1:])]),
}


@pytest.mark.parametrize(("calls", "right"), WHOLE.values(), ids=WHOLE)
def test_whole_answers_calls_are_read_alike(calls: Any, right: list[tuple[str, str, str]]) -> None:
    found = complete_calls(calls)

    assert all("index" not in call and call["type"] == "function" for call in found)
    assert [
        ("?" if known[0] == "?" and call["id"].startswith("call_") else call["id"],
         call["function"].get("name", ""), call["function"]["arguments"])
        for known, call in zip(right, found, strict=True)
    ] == right  # fmt: skip


@pytest.mark.parametrize("call", [{"id": "a"}, {"function": {"arguments": "{}"}, "id": "a"}, {"x": 1}], ids=str)
def test_whole_answers_call_without_a_name_is_none(call: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        complete_calls([call])


def test_whole_custom_calls_and_what_stands_beside_are_kept() -> None:
    custom = {"id": "a", "type": "custom", "custom": {"name": "c", "input": "raw"}, "x": 1}

    assert complete_calls([dict(custom)]) == [custom]


@pytest.mark.parametrize(("index", "place"), [("0", 0), ("999", 999), (0.0, 0), (1023.0, 1023)])
def test_places_of_choices(index: Any, place: int) -> None:
    assert place_of(index, "a choice") == place


@pytest.mark.parametrize("index", ["1000", 1024.0, -1.0, 0.5, "x", "²", None])
def test_places_that_choices_cannot_have(index: Any) -> None:
    with pytest.raises(MalformedAnswer, match="a choice without a place"):
        place_of(index, "a choice")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"{\\"a\\":1}"', '{"a":1}'),
        (' "{\\"a\\":1}"', '{"a":1}'),
        ('"[1]"', '"[1]"'),
        ('"abc"', '"abc"'),
        ('"{"', '"{"'),
    ],
    ids=["an object", "behind a blank", "a list", "a word", "no JSON"],
)
def test_arguments_written_as_a_text_once_more_are_the_object(written: str, meant: str) -> None:
    calls = ToolCalls()

    whole = relayed([part(0, "a", "f", written)], calls=calls) + calls.rest()
    in_pieces = relayed([part(0, "a", "f", written[:3])], [part(0, None, None, written[3:])])
    [call] = complete_calls([{"id": "a", "function": {"name": "f", "arguments": written}}])

    assert added_up(whole) == added_up(in_pieces) == [("a", "f", meant)]
    assert call["function"]["arguments"] == meant


@pytest.mark.parametrize(
    ("arguments", "is_cut"),
    [("{", True), ('{"a":"', True), ('{"a":[1}', True), ("{}", False), ("[]", False), ("abc", False), ("", False)],
)
def test_arguments_that_have_begun_and_not_ended_are_refused(arguments: str, is_cut: bool) -> None:
    calls = ToolCalls()
    relayed([part(0, "a", "f", arguments)], calls=calls)
    refusal: Any = pytest.raises(MalformedAnswer, match="middle of a tool call") if is_cut else nullcontext()

    with refusal:
        calls.refuse_open()
    with refusal:
        refuse_cut([{"id": "a", "function": {"name": "f", "arguments": arguments}}])
