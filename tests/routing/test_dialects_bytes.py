"""Servers of Anthropic's, Google's and the Responses API's formats, in pieces of 7 bytes, cut (`dialects.py`)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import orjson
import pytest

from routing.providers.base import MalformedAnswer
from tests.routing.dialects import (
    BROKEN,
    CALLED,
    COUNTED,
    HELLO,
    LAST,
    MESSAGE,
    NOTHING,
    STOP,
    STREAMS,
    TOOL,
    WHOLE,
    WORDS,
    Said,
    begins,
    brings,
    calling,
    candidate,
    chunk,
    closes,
    data_in,
    ended,
    ends,
    events,
    exchange,
    message,
    opens,
    piece,
    read,
    response,
    streamed,
    text,
    whole,
    whole_in_chat,
    whole_in_responses,
    within,
)

each_stream = pytest.mark.parametrize(("provider", "data", "said"), STREAMS.values(), ids=STREAMS.keys())


@each_stream
@pytest.mark.parametrize("size", [0, 7])
def test_good_stream_is_not_lost(provider: str, data: bytes, said: Said, size: int) -> None:
    assert read(provider, data, size) == said


@each_stream
def test_cut_stream_never_looks_whole_with_less(provider: str, data: bytes, said: Said) -> None:
    """But for Google's, where a model that says nothing says so as it begins."""
    for cut in range(1, len(data), 1 + len(data) // 20):
        try:
            found = read(provider, data[:cut])
        except MalformedAnswer:
            continue
        assert (found.text, found.calls) in {(said.text, said.calls), *_NOTHINGS.get(provider, ())}


_NOTHINGS: Final = {"gemini": [("", ())]}


@pytest.mark.parametrize(("provider", "value", "said"), WHOLE.values(), ids=WHOLE.keys())
def test_good_answer_is_not_lost(provider: str, value: Any, said: Said) -> None:
    data = orjson.dumps(value)
    assert (whole_in_responses(data) if provider == "openai" else whole_in_chat(provider, data)) == said


@pytest.mark.parametrize(("provider", "data"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_stream_never_looks_whole(provider: str, data: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        read(provider, data)


@pytest.mark.parametrize(
    ("provider", "value"),
    [
        ("anthropic", message([{**TOOL, "name": ""}], "tool_use")),
        ("anthropic", message(5)),
        ("openai", response([{**CALLED, "name": None}])),
        ("openai", response(status="queued")),
        ("openai", response(["x"])),
        ("openai", []),
        ("anthropic", message([{**TOOL, "input": '{"a":'}], "tool_use")),
        ("openai", response([{**CALLED, "arguments": '{"a":'}])),
    ],
    ids=[
        "a call without a name",
        "content a number",
        "an item without a name",
        "queued",
        "no item",
        "nothing",
        "half an input",
        "half of the arguments",
    ],
)
def test_broken_answer_never_looks_whole(provider: str, value: Any) -> None:
    with pytest.raises(MalformedAnswer):
        whole(provider, "responses" if provider == "openai" else "chat.completions", orjson.dumps(value))


FAILURES: Final = {
    "a message alone": {"message": WORDS},
    "an error": {"error": {"message": WORDS}},
    "Spark's": {"header": {"code": 10012, "message": WORDS}},
    "in an envelope": {"code": 0, "data": {"error": {"message": WORDS}}},
    "encoded twice": json.dumps({"error": {"message": WORDS}}),
    "a list": [{"error": {"message": WORDS}}],
    "a problem": {"type": "about:blank", "title": WORDS, "status": 503},
}
each_failure = pytest.mark.parametrize("value", FAILURES.values(), ids=FAILURES.keys())
each_provider = pytest.mark.parametrize("provider", ["anthropic", "gemini", "openai"])


@each_provider
@each_failure
def test_words_of_an_upstream_that_fails_are_kept(provider: str, value: Any) -> None:
    with pytest.raises(MalformedAnswer, match=WORDS):
        read(provider, events(json.dumps(value)))
    with pytest.raises(MalformedAnswer, match=WORDS):
        whole(provider, "responses" if provider == "openai" else "chat.completions", orjson.dumps(value))


@each_provider
@pytest.mark.parametrize("line", [b"worker limit\n", b"<html>worker limit</html>"], ids=["words", "a page"])
def test_line_that_is_no_event_is_told_where_nothing_else_comes(provider: str, line: bytes) -> None:
    with pytest.raises(MalformedAnswer, match=WORDS):
        read(provider, line)


@pytest.mark.parametrize(
    ("chunks", "is_doubtful", "is_finished", "remark"),
    [
        ([chunk(candidate({"text": "a"}, finishReason="STOP"))], True, True, ""),
        ([chunk(candidate({"text": "a"}, finishReason="MAX_TOKENS"))], False, True, ""),
        ([HELLO, chunk(candidate({"text": "a"}, finishReason="STOP"))], False, True, ""),
        (
            [chunk(candidate({"text": "hm", "thought": True})), chunk(candidate({"text": "a"}, finishReason="STOP"))],
            False, True, "",
        ),
        ([HELLO, NOTHING], False, True, ""),
        ([HELLO, chunk()], False, False, ""),
        (
            [HELLO, chunk(candidate(finishReason="W" * 70))], False, True,
            f"a finish reason that nobody knows: {'W' * 60!r}",
        ),
    ],
    ids=["beside the first text", "cut", "beside the last", "behind a thought", "alone", "none", "unknown"],
)  # fmt: skip
def test_googles_end_is_believed_where_it_can_be(
    chunks: list[Any], is_doubtful: bool, is_finished: bool, remark: str
) -> None:
    _form, _request, reader = exchange("gemini", "chat.completions")
    reader.feed(events(*chunks))

    assert (reader.is_doubtful, reader.is_finished, reader.remark) == (is_doubtful, is_finished, remark)


@pytest.mark.parametrize("value", [[chunk(5), chunk(5)], [chunk(candidate(5)), LAST]], ids=["candidates", "parts"])
def test_googles_list_of_what_is_none_is_no_answer(value: Any) -> None:
    with pytest.raises(MalformedAnswer):
        whole("gemini", "chat.completions", orjson.dumps(value))


def test_googles_words_that_are_kept_are_cut() -> None:
    with pytest.raises(MalformedAnswer, match=f": {'x' * 120}$"):
        whole("gemini", "chat.completions", b"x" * 130)


def in_messages(data: bytes) -> tuple[list[str], str, list[Any], str]:
    """What a client of messages reads of a stream: the events' types, the text, the calls' input, and how it ended."""
    raw, _usage = streamed("anthropic", "messages", data)
    found = data_in(raw)
    assert [each["index"] for each in found if each["type"] == "content_block_start"] == [
        each["index"] for each in found if each["type"] == "content_block_stop"
    ]
    deltas = [each["delta"] for each in found if each["type"] == "content_block_delta"]
    words = "".join(delta.get("text", "") for delta in deltas)
    pieces = "".join(delta.get("partial_json", "") for delta in deltas)
    return (
        [each["type"] for each in found],
        words,
        [json.loads(pieces)] if pieces else [],
        found[-2]["delta"]["stop_reason"],
    )


GRAMMAR: Final = [each["type"] for each in MESSAGE]
NATIVE: Final[dict[str, bytes]] = {
    "no beginning": events(*MESSAGE[1:]),
    "a beginning that says nothing": events({"type": "message_start", "message": None}, *MESSAGE[1:]),
    "two beginnings": events(MESSAGE[0], *MESSAGE),
    "a block without its beginning": events(begins(), *MESSAGE[2:]),
    "a block without its end": events(*MESSAGE[:4], *MESSAGE[5:]),
    "deltas that say nothing": within(brings(None)),
    "a text that is null": within(brings({"type": "text_delta", "text": None})),
    "an event without a type": within({"x": 1}),
    "another server's word": events(*MESSAGE[:5], ends("stop"), STOP),
    "an empty reason first": events(*MESSAGE[:5], ends(""), ends(), STOP),
}
NATIVE_CALLS: Final[dict[str, bytes]] = {
    "an empty object first": calling(piece("{}"), piece('{"a":1}')),
    "quoted twice": calling(piece('"{\\"a\\":'), piece('1}"')),
    "ended as text": events(begins(), opens(0, **TOOL), piece('{"a":1}'), closes(), ends(), STOP),
}


@pytest.mark.parametrize("data", NATIVE.values(), ids=NATIVE.keys())
def test_native_text_leaves_in_anthropics_grammar(data: bytes) -> None:
    assert in_messages(data) == (GRAMMAR, "Hello there", [], "end_turn")


@pytest.mark.parametrize("data", NATIVE_CALLS.values(), ids=NATIVE_CALLS.keys())
def test_native_call_leaves_with_its_input(data: bytes) -> None:
    assert in_messages(data)[1:] == ("", [{"a": 1}], "tool_use")


@pytest.mark.parametrize("reason", ["tool_use", "end_turn"])
def test_native_answer_with_half_a_calls_input_is_none(reason: str) -> None:
    begun = (begins(), opens(0, **TOOL), piece('{"a":'))
    for behind in ((closes(),), ()):
        with pytest.raises(MalformedAnswer):
            streamed("anthropic", "messages", events(*begun, *behind, ends(reason), STOP))


def test_native_blocks_have_places_of_their_own() -> None:
    twice_at_0 = events(begins(), opens(), text("Hello"), closes(), opens(), text(" there"), closes(), ends(), STOP)

    raw, _usage = streamed("anthropic", "messages", twice_at_0)

    assert [each["index"] for each in data_in(raw) if "index" in each] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("word", "own"),
    [("MAX_TOKENS", "max_tokens"), ("content_filter", "refusal"), ("length", "max_tokens"), ("refusal", "refusal"),
     ("nobody knows", "end_turn")],
)  # fmt: skip
def test_native_answer_ends_in_a_word_of_anthropics(word: str, own: str) -> None:
    assert whole("anthropic", "messages", orjson.dumps(message(reason=word)))[0]["stop_reason"] == own


@pytest.mark.parametrize("input_", ['{"a":1}', '"{\\"a\\":1}"', {"a": 1}])
def test_native_whole_call_has_an_object(input_: Any) -> None:
    answer, _usage = whole("anthropic", "messages", orjson.dumps(message([{**TOOL, "input": input_}], "tool_use")))

    assert answer["content"][0]["input"] == {"a": 1}


@pytest.mark.parametrize(
    ("word", "own"),
    [("stop", "STOP"), ("FINISH_REASON_MAX_TOKENS", "MAX_TOKENS"), ("content_filter", "SAFETY"), (2, "MAX_TOKENS"),
     ("RECITATION", "RECITATION"), ("A_NEW_ONE", "A_NEW_ONE")],
)  # fmt: skip
def test_native_candidate_ends_in_a_word_of_googles(word: Any, own: str) -> None:
    last = data_in(streamed("gemini", "generate", ended(word))[0])[-1]

    assert last["candidates"][0]["finishReason"] == own


def test_native_message_keeps_its_grammar() -> None:
    raw, usage = streamed("anthropic", "messages", calling(piece('{"a":1}'), id=None))

    found = data_in(raw)
    assert found[1]["content_block"]["id"].startswith("toolu_")
    assert [each["type"] for each in found] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip
    assert usage == COUNTED


def test_native_candidate_leaves_in_googles_own_shape() -> None:
    raw, _usage = streamed("gemini", "generate", events(NOTHING, chunk({"content": "Hello there"}), LAST))

    first, last = data_in(raw)
    assert first["candidates"] == [{"content": {"parts": [{"text": "Hello there"}], "role": "model"}, "index": 0}]
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert replace(Said(), text=first["candidates"][0]["content"]["parts"][0]["text"]) == Said()


# --- text completions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 7])
@pytest.mark.parametrize("provider", ["openai", "llamacpp"])
def test_text_completion_that_says_nothing_is_whole(provider: str, size: int) -> None:
    data = b'data: {"choices":[{"index":0,"text":"","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    raw, _usage = streamed(provider, "completions", data, size)
    choices = [choice for each in data_in(raw) for choice in each["choices"]]
    assert ("".join(choice["text"] for choice in choices), choices[-1]["finish_reason"]) == ("", "stop")


def test_text_completion_that_comes_as_a_call_is_none() -> None:
    call = b'{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}'
    data = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[%b]}}]}\n\ndata: [DONE]\n\n' % call
    with pytest.raises(MalformedAnswer):
        streamed("openai", "completions", data)
