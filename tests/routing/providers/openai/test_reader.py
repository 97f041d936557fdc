"""Events and answers that are no perfect ones: a good answer is never lost, a broken one never looks whole."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.providers.base import END, End, Event, MalformedAnswer
from routing.providers.openai import OpenAIReader

U = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
DONE = b"data: [DONE]\n\n"


def event(value: Any) -> bytes:
    return b"data: " + (value if type(value) is bytes else orjson.dumps(value)) + b"\n\n"


def chunk(delta: Any, finish: Any = None, **members: Any) -> dict[str, Any]:
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **members,
    }


def read(*parts: bytes, size: int = 0, answers: int = 1) -> tuple[list[Event], OpenAIReader]:
    """Everything that a reader makes of these bytes, in pieces of this size, and the reader."""
    data, reader = b"".join(parts), OpenAIReader(answers)
    pieces = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    events: list[Event] = []
    for piece in (*pieces, None):
        events += reader.feed(piece)
        if events and type(events[-1]) is End:
            break
    return events, reader


def deltas(events: list[Event]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in events if type(chunk) is dict for choice in chunk["choices"]]


def reasons(events: list[Event]) -> list[str | None]:
    return [choice.get("finish_reason") for chunk in events if type(chunk) is dict for choice in chunk["choices"]]


GOOD = (event(chunk({"content": "Hello"})), event(chunk({"content": " there"})), event(chunk({}, "stop")))
BETWEEN = {
    "choices null": event({"choices": None, "usage": U}),
    "usage alone": event({"usage": U}),
    "delta null": event(chunk(None, "stop")),
    "delta absent": event({"choices": [{"index": 0, "finish_reason": "stop"}]}),
    "a ping": b"event: ping\n" + event({"type": "ping"}),
    "an empty object": event({}),
    "empty data": b"data:\n\n",
    "blank data": b"data:   \n\n",
    "much blank data": b"data:" + b" " * 200 + b"\n\n",
    "data without a colon": b"data\n\n",
    "a comment": b": upstream https://host.example org-1\n\n",
    "id and retry alone": b"id: 7\nretry: 3000\n\n",
    "a metadata event": b"event: metadata\n" + event({"object": "trace", "id": "x"}),
    "place null": event({"choices": [{"index": None, "delta": {}, "finish_reason": "stop"}]}),
    "place as text": event({"choices": [{"index": "0", "delta": {}, "finish_reason": "stop"}]}),
    "choices empty": event({"object": "chat.completion.chunk", "choices": []}),
    "filter results": event({"prompt_filter_results": [{"prompt_index": 0}], "choices": []}),
}


@pytest.mark.parametrize("size", [0, 7, 1], ids=["whole", "7 bytes", "1 byte"])
@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN.keys())
def test_event_that_is_no_perfect_chunk_ends_nothing(between: bytes, size: int) -> None:
    events, reader = read(*GOOD, between, event({"choices": [], "usage": U}), DONE, size=size)

    assert "".join(delta.get("content", "") for delta in deltas(events)) == "Hello there"
    assert (events[-1], reader.usage, reader.is_partial) == (END, Usage(input=100, output=10), False)


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN.keys())
def test_nor_does_it_in_the_middle(between: bytes) -> None:
    if b"stop" in between:
        return_to = GOOD[:2]
        events, _reader = read(*return_to, between, DONE)
    else:
        events, _reader = read(GOOD[0], between, *GOOD[1:], DONE)

    assert "".join(delta.get("content", "") for delta in deltas(events)) == "Hello there"
    assert (reasons(events)[-1], events[-1]) == ("stop", END)


@pytest.mark.parametrize(
    "done", [b"data: [DONE] \n\n", b"data:[DONE]\n\n", b"data:  [DONE]\r\n\r\n", b"data: [DONE]\t\n\n"]
)
def test_end_is_recognised_with_white_space_around_it(done: bytes) -> None:
    assert read(*GOOD, done)[0][-1] is END


@pytest.mark.parametrize("last", [b"data: {broken\n\n", event({"error": {"message": "late"}}), b"event: error\n\n"])
def test_after_the_last_finish_reason_nothing_makes_it_a_failure(last: bytes) -> None:
    events, _reader = read(*GOOD, last)

    assert events[-1] is END


def test_usage_that_stands_in_the_event_of_a_late_error_counts() -> None:
    events, reader = read(*GOOD, event({"error": {"message": "late"}, "usage": U}))

    assert (events[-1], reader.usage) == (END, Usage(input=100, output=10))


@pytest.mark.parametrize(
    "broken",
    [
        event({"error": {"message": "worker limit"}}),
        event({"error": "worker limit"}),
        event({"error": {"message": "worker limit"}, "choices": []}),
        event(chunk({}, None, error={"message": "worker limit"})),
        b'event: error\ndata: {"error":{"message":"worker limit"}}\n\n',
        event([{"error": {"message": "worker limit"}}]),
        event({"object": "error", "error": {"message": "worker limit"}}),
        event({"object": "error", "message": "worker limit", "type": "internal_error", "code": 50001}),
    ],
)
def test_error_in_the_middle_ends_it_with_its_words(broken: bytes) -> None:
    events, _reader = read(*GOOD[:2], broken, *GOOD[2:], DONE)

    last = events[-1]
    assert type(last) is End
    assert str(last.error).endswith(": worker limit")


# --- finish reasons --------------------------------------------------------------------------------------------------


def test_empty_reason_is_none() -> None:
    events, _reader = read(event(chunk({"content": "a"}, "")), event(chunk({"content": "b"}, "")), GOOD[2], DONE)

    assert reasons(events) == [None, None, "stop"]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"), ("eos", "stop"), ("end_turn", "stop"), ("COMPLETE", "stop"), ("stop_sequence", "stop"),
        ("max_tokens", "length"), ("MAX_TOKENS", "length"), ("max_new_tokens", "length"), ("model_length", "length"),
        ("tool_use", "tool_calls"), ("TOOL_CALL", "tool_calls"), ("function_call", "function_call"),
        ("content_filtered", "content_filter"), ("SAFETY", "content_filter"), ("RECITATION", "content_filter"),
        ("sensitive", "content_filter"), ("guardrail_intervened", "content_filter"), (" stop ", "stop"),
        ("maxTokens", "length"), ("max-tokens", "length"), ("FINISH_REASON_MAX_TOKENS", "length"),
        ("tokenLimitReached", "length"), ("context_window_exceeded", "length"), ("incomplete", "length"),
        ("contentFiltered", "content_filter"), ("content_filter: RECITATION", "content_filter"),
        ("ERROR_TOXIC", "content_filter"), ("toolUse", "tool_calls"), ("</s>", "stop"), ("<|im_end|>", "stop"),
        ("FINISH_REASON_STOP", "stop"), ("stopped", "stop"), ({"type": "length"}, "length"), ("ERROR_LIMIT", "length"),
        ("token_limit_exceeded", "length"), ("maxTokensReached", "length"), ("output_truncated", "length"),
        ("risk", "content_filter"), ("violation", "content_filter"),
    ],
)  # fmt: skip
def test_other_vendors_words_keep_their_meaning(word: Any, reason: str) -> None:
    events, reader = read(GOOD[0], event(chunk({}, word)), DONE)
    whole = OpenAIReader().whole(orjson.dumps({"choices": [{"message": {"content": "a"}, "finish_reason": word}]}))

    assert reasons(events)[-1] == whole["choices"][0]["finish_reason"] == reason
    assert reader.remark == ""


@pytest.mark.parametrize(
    "word",
    ["error", "network_error", "ERROR", "internal_error", "MALFORMED_FUNCTION_CALL", "abort", "aborted", "cancelled",
     "timeout", "insufficient_system_resource", "failed", "UNEXPECTED_TOOL_CALL", "rate_limit", "killed", "unavailable",
     "FINISH_REASON_ERROR", "preempted", "evicted"],
)  # fmt: skip
def test_word_for_a_failure_is_a_failure(word: str) -> None:
    events, _reader = read(GOOD[0], event(chunk({}, word)), DONE)
    last = events[-1]

    assert type(last) is End
    assert word in str(last.error)
    with pytest.raises(ValueError, match=word):
        OpenAIReader().whole(orjson.dumps({"choices": [{"message": {"content": "a"}, "finish_reason": word}]}))


@pytest.mark.parametrize("word", ["wibble", 5, ["stop", "stop"], {"type": 5}, True])
def test_word_that_nobody_knows_says_nothing_and_is_remarked_on(word: Any) -> None:
    events, reader = read(GOOD[0], event(chunk({}, word)), DONE)

    assert (reasons(events)[-1:], events[-1]) in (([None], END), ([], END))
    assert ("wibble" in reader.remark) == (word == "wibble")


# --- tool calls ------------------------------------------------------------------------------------------------------


def call(id_: str | None = None, name: str | None = None, arguments: Any = None, **members: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    made: dict[str, Any] = {"type": "function", "function": function, **members}
    return made if id_ is None else {"id": id_, **made}


def calls(*fragments: Any) -> list[dict[str, Any]]:
    """The tool calls that the reader relays of chunks with these in their deltas."""
    events, _reader = read(*[event(chunk({"tool_calls": fragment})) for fragment in fragments], DONE)
    return [one for delta in deltas(events) for one in delta.get("tool_calls", ())]


def test_place_is_given_by_id_else_in_turn() -> None:
    first, second, third, last = calls(
        [call("a", "f", "[]"), call("b", "g", "[]")], [call("a", None, " ")], [call(None, None, "!")]
    )

    assert [one["index"] for one in (first, second, third, last)] == [0, 1, 0, 0]


def test_fragments_without_place_or_id_go_to_the_last_call() -> None:
    found = calls([call("a", "f", "")], [{"function": {"arguments": '{"x"'}}], [{"function": {"arguments": ":1}"}}])

    assert [(one["index"], one["function"].get("arguments")) for one in found] == [(0, ""), (0, '{"x"'), (0, ":1}")]


def test_fragment_with_a_name_begins_a_call() -> None:
    assert [
        one["index"] for one in calls([{"function": {"name": "f", "arguments": "[]"}}], [{"function": {"name": "g"}}])
    ] == [0, 1]


def test_whole_call_gets_what_it_lacks_and_later_fragments_lose_what_is_null() -> None:
    first, later = calls(
        [{"function": {"name": "f", "arguments": {"x": 1}}}],
        [{"index": 0, "id": None, "type": None, "function": {"name": None, "arguments": "{}"}}],
    )

    assert first["id"].startswith("call_")
    assert (first["type"], first["function"]) == ("function", {"name": "f", "arguments": '{"x":1}'})
    assert later == {"index": 0, "function": {"arguments": "{}"}}


@pytest.mark.parametrize("empty", [None, [], [None]])
def test_no_calls_are_no_calls(empty: Any) -> None:
    events, _reader = read(event(chunk({"content": "a", "tool_calls": empty})), event(chunk({}, "stop")), DONE)

    assert events[-1] is END
    assert not deltas(events)[0].get("tool_calls")


def test_one_call_that_is_no_list_is_taken_as_one() -> None:
    assert [one["index"] for one in calls(call("a", "f", "[]"))] == [0]


@pytest.mark.parametrize("odd", [5, "x", [5], ["x"], [[]]])
def test_what_is_no_call_breaks(odd: Any) -> None:
    last = read(event(chunk({"tool_calls": odd})), DONE)[0][-1]

    assert type(last) is End
    assert last.error is not None


def test_whole_answers_calls_are_completed_alike() -> None:
    message = {
        "content": None,
        "tool_calls": [
            {"function": {"name": "f", "arguments": {"x": 1}}},
            {"id": "b", "index": 1, "function": {"name": "g", "arguments": None}},
        ],
    }
    answer = OpenAIReader().whole(orjson.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]}))

    first, second = answer["choices"][0]["message"]["tool_calls"]
    assert first["id"].startswith("call_")
    assert (first["type"], first["function"]) == ("function", {"name": "f", "arguments": '{"x":1}'})
    assert second == {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}


# --- other forms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 7])
def test_one_leading_byte_order_mark_is_dropped(size: int) -> None:
    events, _reader = read(b"\xef\xbb\xbf", *GOOD, DONE, size=size)

    assert "".join(delta.get("content", "") for delta in deltas(events)) == "Hello there"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"upstream connect error\n\n", "upstream connect error"),
        (b'{"error":{"message":"worker limit"}}\n\n', "worker limit"),
        (b"<html><title>502 Bad Gateway</title></html>", "502 Bad Gateway"),
    ],
)
def test_lines_that_are_no_events_are_told_to_the_operator(body: bytes, words: str) -> None:
    last = read(body)[0][-1]

    assert type(last) is End
    assert words in str(last.error)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        (["a", "b"], "ab"),
        ([{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "b"}], "b"),
        ([], ""),
        ("a", "a"),
        (None, None),
    ],
)
def test_content_in_parts_is_joined(content: Any, text: str | None) -> None:
    answer = OpenAIReader().whole(
        orjson.dumps({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]})
    )

    assert answer["choices"][0]["message"]["content"] == text


def test_one_object_in_a_list_is_the_object() -> None:
    with pytest.raises(ValueError, match="Invalid value at 'x'"):
        OpenAIReader().whole(b'[{"error":{"code":400,"message":"Invalid value at \'x\'"}}]')


# --- what is no strict JSON, and text in other places ----------------------------------------------------------------

LOOSE = {
    "NaN": b'{"choices":[{"index":0,"delta":{"content":"x"},"logprobs":{"content":[{"logprob":NaN}]}}]}',
    "infinity": b'{"choices":[{"index":0,"delta":{"content":"x"},"logprobs":{"content":[{"logprob":-Infinity}]}}]}',
    "half an escaped letter": b'{"choices":[{"index":0,"delta":{"content":"x\\ud83d"}}]}',
    "half a letter": b'{"choices":[{"index":0,"delta":{"content":"x\xe1\xbb"}}]}',
    "a mark of its own": b'\xef\xbb\xbf{"choices":[{"index":0,"delta":{"content":"x"}}]}',
}


@pytest.mark.parametrize("data", LOOSE.values(), ids=LOOSE.keys())
def test_event_that_is_no_strict_json_loses_nothing(data: bytes) -> None:
    events, _reader = read(b"data: " + data + b"\n\n", *GOOD, DONE)

    text = "".join(delta.get("content", "") for delta in deltas(events))
    assert (text.replace("\N{REPLACEMENT CHARACTER}", ""), events[-1]) == ("xHello there", END)
    assert orjson.loads(orjson.dumps(events[0])) == events[0]


@pytest.mark.parametrize("data", LOOSE.values(), ids=LOOSE.keys())
def test_whole_answer_that_is_no_strict_json_is_read(data: bytes) -> None:
    answer = OpenAIReader().whole(data.replace(b'"delta"', b'"message"'))

    assert answer["choices"][0]["message"]["content"].startswith("x")


@pytest.mark.parametrize("body", [b"{", b"\xef\xbb\xbf", b"[" * 100_000, b'{"a":' * 100_000, b"NaN", b"\xff\xfe"])
def test_what_is_no_json_at_all_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        OpenAIReader().whole(body)


def test_text_of_a_completion_is_what_was_said() -> None:
    events, _reader = read(event({"choices": [{"index": 0, "text": "Hello", "finish_reason": None}]}), GOOD[2], DONE)
    answer = OpenAIReader().whole(orjson.dumps({"choices": [{"text": "Hello", "finish_reason": "stop"}]}))

    assert deltas(events)[0] == {"content": "Hello"}
    assert answer["choices"][0]["message"] == {"content": "Hello"}


def test_parts_of_a_stream_are_joined_and_thoughts_stay_apart() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}, {"type": "text", "text": "m"}]},
        {"type": "text", "text": "Hel"},
        "lo",
        {"type": "image_url"},
    ]
    events, _reader = read(event(chunk({"content": parts})), GOOD[2], DONE)

    assert deltas(events)[0] == {"content": "Hello", "reasoning_content": "hmm"}


@pytest.mark.parametrize("index", [True, 1.5, -1.0, 1e300, "x", "-1", "1000", "²", [], {}])
def test_choice_without_a_place_is_malformed(index: Any) -> None:
    events, _reader = read(event({"choices": [{"index": index, "delta": {"content": "x"}}]}))

    assert type(events[-1]) is End
    assert str(events[-1].error) == "a choice without a place"


@pytest.mark.parametrize("index", ["1", 1.0])
def test_places_may_come_as_text_or_as_floating_numbers(index: Any) -> None:
    first, second = chunk({"content": "x"}), chunk({"tool_calls": [{"index": index, "function": {"name": "f"}}]})
    second["choices"][0]["index"] = index
    events, _reader = read(event(first), event(second))

    said = events[1]
    assert type(said) is dict
    places = said["choices"][0]["index"], said["choices"][0]["delta"]["tool_calls"][0]["index"]
    assert [(place, type(place)) for place in places] == [(1, int), (0, int)]


@pytest.mark.parametrize("index", [None, "0", 1.0, [], "absent"])
def test_choices_of_a_whole_answer_have_their_places(index: Any) -> None:
    choice = {"message": {"content": "x"}, "finish_reason": "stop"}
    odd = {**choice, "index": index} if index != "absent" else choice
    answer = OpenAIReader(2).whole(orjson.dumps({"choices": [odd, odd]}))

    assert [each["index"] for each in answer["choices"]] == [0, 1]


# --- where text stands, and what it is -------------------------------------------------------------------------------


def text_of(events: list[Event]) -> str:
    return "".join(delta.get("content") or "" for delta in deltas(events))


@pytest.mark.parametrize("between", [b"null", b"[]", b'"ok"', b"1", b'{"choices": [null]}',
                                     b'{"choices": {}}'])  # fmt: skip
def test_event_that_says_nothing_is_skipped_wherever_it_comes(between: bytes) -> None:
    parts = [*GOOD[:2], GOOD[2], event({"choices": [], "usage": U})]
    for at in range(len(parts) + 1):
        events, reader = read(*parts[:at], event(between), *parts[at:], DONE)
        assert (text_of(events), events[-1]) == ("Hello there", END)
        assert reader.usage == Usage(input=100, output=10)


@pytest.mark.parametrize("nothing", [[], "", None])
def test_delta_that_is_nothing_is_empty(nothing: Any) -> None:
    events, _reader = read(event(chunk(nothing)), *GOOD, DONE)
    assert (text_of(events), events[-1]) == ("Hello there", END)


@pytest.mark.parametrize(
    ("content", "text"),
    [(42, "42"), (0.5, "0.5"), (False, None), ({"type": "text", "text": "a"}, "a"),
     ([{"type": "text", "text": {"value": "a"}}, "b"], "ab")],
)  # fmt: skip
def test_content_that_is_no_text_becomes_text_or_nothing(content: Any, text: str | None) -> None:
    events, _reader = read(event(chunk({"content": content})), GOOD[2], DONE)
    answer = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    whole = OpenAIReader().whole(orjson.dumps(answer))
    assert deltas(events)[0]["content"] == text
    assert whole["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize("name", ["refusal", "reasoning_content", "reasoning"])
@pytest.mark.parametrize(
    ("value", "text"), [(5, "5"), (False, None), (["a", {"text": "b"}], "ab"), ({"text": "a"}, "a")]
)
def test_other_texts_that_are_none_become_text_or_nothing(name: str, value: Any, text: str | None) -> None:
    events, _reader = read(event(chunk({"content": "x", name: value})), GOOD[2], DONE)
    whole = OpenAIReader().whole(orjson.dumps({"choices": [{"message": {"content": "x", name: value}}]}))
    assert deltas(events)[0][name] == whole["choices"][0]["message"][name] == text


@pytest.mark.parametrize(("depth", "text"), [(6, "hm"), (7, None), (1000, None), (1020, None)])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"text":', b"}")], ids=["lists", "objects"])
def test_text_that_lies_too_deep_is_none(depth: int, text: str | None, opening: bytes, closing: bytes) -> None:
    deep = opening * depth + b'"hm"' + closing * depth
    said = event(chunk({"content": "a", "reasoning_content": "@"})).replace(b'"@"', deep)
    events, _reader = read(said, GOOD[2], DONE)
    assert deltas(events)[0]["reasoning_content"] == text
    whole = OpenAIReader().whole(b'{"choices":[{"message":{"content":"a","reasoning_content":%b}}]}' % deep)
    assert whole["choices"][0]["message"]["reasoning_content"] == text


@pytest.mark.parametrize("call", ["f", {}, [], None])
def test_function_call_that_is_none_goes(call: Any) -> None:
    events, _reader = read(event(chunk({"content": "x", "function_call": call})), GOOD[2], DONE)
    whole = OpenAIReader().whole(orjson.dumps({"choices": [{"message": {"content": "x", "function_call": call}}]}))
    assert "function_call" not in deltas(events)[0]
    assert "function_call" not in whole["choices"][0]["message"]


def test_message_behind_deltas_is_not_said_twice() -> None:
    """MiniMax's last event, with the usage."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello there"}}
    last = {"object": "chat.completion", "choices": [choice], "usage": U}
    events, reader = read(event(chunk({"role": "assistant", "content": ""})), *GOOD[:2], event(last), DONE)
    assert (text_of(events), events[-1], reader.usage) == ("Hello there", END, Usage(input=100, output=10))


def test_stream_of_messages_is_said_in_full() -> None:
    def message(text: str, reason: str | None = None) -> bytes:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
        return event({"choices": [choice]})

    events, _reader = read(message("Hello"), message(" there"), message("", "stop"), DONE)
    assert text_of(events) == "Hello there"


@pytest.mark.parametrize("place", [1, 7, -1])
def test_one_answer_stands_at_the_first_place(place: int) -> None:
    parts = [{**chunk({"content": text}, reason)} for text, reason in (("Hello", None), (" there", "stop"))]
    for part in parts:
        part["choices"][0]["index"] = place
    events, _reader = read(*map(event, parts), DONE)
    assert {choice["index"] for each in events if type(each) is dict for choice in each["choices"]} == {0}
    whole = OpenAIReader().whole(orjson.dumps({"choices": [{"index": place, "message": {"content": "a"}}]}))
    assert whole["choices"][0]["index"] == 0


def test_several_answers_keep_their_places() -> None:
    second = chunk({"content": "b"}, "stop")
    second["choices"][0]["index"] = 1
    events, _reader = read(event(second), event(chunk({"content": "a"}, "stop")), DONE, answers=2)
    assert [choice["index"] for each in events if type(each) is dict for choice in each["choices"]] == [1, 0]


@pytest.mark.parametrize("size", [0, 7])
def test_letter_cut_in_two_between_chunks_is_one(size: int) -> None:
    halves = [event(b'{"choices":[{"index":0,"delta":{"content":"%b"}}]}' % text) for text in
              (rb"a\ud83d", rb"\ude00b\ud83d", rb"\ude00")]  # fmt: skip
    events, _reader = read(*halves, GOOD[2], DONE, size=size)
    assert text_of(events) == "a\U0001f600b\U0001f600"


def test_half_a_letter_is_never_passed_on() -> None:
    events, _reader = read(event(rb'{"choices":[{"index":0,"delta":{"content":"a\ude00"}}]}'), GOOD[2], DONE)
    assert text_of(events) == "a\ufffd"


def test_control_characters_inside_of_text_are_read() -> None:
    raw = b'{"choices":[{"index":0,"delta":{"content":"a\tb"}}]}'
    events, _reader = read(event(raw), GOOD[2], DONE)
    assert text_of(events) == "a\tb"
    whole = OpenAIReader().whole(b'\xef\xbb\xbf\xef\xbb\xbf{"choices":[{"message":{"content":"a\tb"}}]}')
    assert whole["choices"][0]["message"]["content"] == "a\tb"


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("field", [b"data: ", b"Data: ", b"DATA:"])
def test_later_event_may_begin_with_a_mark_and_its_field_in_capitals(start: bytes, field: bytes) -> None:
    later = start + field + orjson.dumps(chunk({"content": " there"})) + b"\n\n"
    events, _reader = read(GOOD[0], later, GOOD[2], DONE)
    assert (text_of(events), events[-1]) == ("Hello there", END)


def test_entries_of_lists_get_their_places_one_after_the_other() -> None:
    """By which clients add deltas up: the openai package raises without them."""
    first, second = ({"annotations": [{"type": "url_citation"}], "content": ""} for _ in range(2))
    told = {"reasoning_details": [{"index": 5, "text": "hm"}, {"text": "h"}], "content": ""}
    events, _reader = read(*map(event, map(chunk, (first, second, told))), GOOD[2], DONE)
    lists = [delta.get("annotations", delta.get("reasoning_details")) for delta in deltas(events)[:3]]
    assert [[entry["index"] for entry in each or ()] for each in lists] == [[0], [1], [5, 0]]


@pytest.mark.parametrize(
    ("choice", "reason"),
    [({"finish_reason": None, "finishReason": "MAX_TOKENS"}, "length"), ({"finishReason": "STOP"}, "stop"),
     ({"finish_reason": "stop", "finishReason": "MAX_TOKENS"}, "stop")],
)  # fmt: skip
def test_finish_reason_in_camel_case(choice: dict[str, Any], reason: str) -> None:
    events, _reader = read(GOOD[0], event({"choices": [{"index": 0, "delta": {}, **choice}]}), DONE)
    whole = OpenAIReader().whole(orjson.dumps({"choices": [{"message": {"content": "a"}, **choice}]}))
    assert reasons(events)[-1] == whole["choices"][0]["finish_reason"] == reason
    assert "finishReason" not in whole["choices"][0] or choice.get("finish_reason")


def test_events_without_the_blank_lines_between_are_read_one_by_one() -> None:
    lines = b"".join(part.replace(b"\n\n", b"\n") for part in (*GOOD, event({"choices": [], "usage": U}), DONE))
    events, reader = read(lines, b"\n")
    assert (text_of(events), events[-1], reader.usage) == ("Hello there", END, Usage(input=100, output=10))


def test_event_of_several_lines_is_one() -> None:
    pretty = orjson.dumps(chunk({"content": "Hello"}), option=orjson.OPT_INDENT_2)
    events, _reader = read(b"".join(b"data: " + line + b"\n" for line in pretty.split(b"\n")), b"\n", GOOD[2], DONE)
    assert (text_of(events), events[-1]) == ("Hello", END)


@pytest.mark.parametrize(("reason", "arguments"), [("tool_calls", "{}"), ("stop", "{}"), ("length", "")])
def test_call_without_arguments_has_none_when_it_ends_well(reason: str, arguments: str) -> None:
    function = {"name": "f", "arguments": {}}
    begun = event(chunk({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": function}]}))
    events, _reader = read(begun, event(chunk({}, reason)), DONE)
    calls = [call for delta in deltas(events) for call in delta.get("tool_calls", ())]
    assert "".join(call["function"]["arguments"] for call in calls) == arguments


# --- at the bounds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "is_doubtful"),
    [
        ([chunk({"content": "a"}, "stop")], True),
        ([chunk({"role": "assistant", "content": ""}), chunk({"content": "a"}, "stop")], True),
        ([chunk({"content": "a"}), chunk({"content": "b"}, "stop")], False),
        ([chunk({"reasoning_content": "a"}), chunk({"content": "b"}, "stop")], False),
        ([chunk({"content": "a"}), chunk({"content": "b"}, "stop"), chunk({"content": "c"}, "stop")], True),
        ([chunk({"content": "a"}, "stop"), chunk({}, "stop")], False),
        ([chunk({"content": "a"}, "length")], False),
        ([chunk({"content": "a"}), chunk({}, "stop")], False),
        ([chunk({"content": "a"}, "stop", usage=U)], True),
        ([chunk({"content": "a"}, "stop"), {"choices": [], "usage": U}], False),
    ],
    ids=["first", "behind the role", "last", "behind thoughts", "twice", "then alone", "another", "alone", "with usage",
         "usage behind"],
)  # fmt: skip
def test_reason_beside_the_first_text_or_a_second_one_is_doubted(chunks: list[Any], is_doubtful: bool) -> None:
    reader = OpenAIReader()
    reader.feed(b"".join(map(event, chunks)))
    assert (reader.is_doubtful, reader.is_finished) == (is_doubtful, True)


def test_reasoning_of_several_totals_is_added_too() -> None:
    reader = OpenAIReader(2)
    for reasoning in (3, 4):
        told = {**U, "completion_tokens_details": {"reasoning_tokens": reasoning}}
        reader.feed(event({"choices": [], "usage": told}))
    assert reader.usage == Usage(input=100, output=20, reasoning=7)


@pytest.mark.parametrize("beside", [[], [chunk({"content": "b"}, "stop")["choices"][0]]], ids=["alone", "a choice"])
def test_counts_in_groqs_place_end_the_doubt_where_they_come_alone(beside: list[Any]) -> None:
    reader = OpenAIReader()
    reader.feed(event(chunk({"content": "a"}, "stop")) + event({"choices": beside, "x_groq": {"usage": U}}))
    assert (reader.is_doubtful, reader.usage) == (bool(beside), Usage(input=100, output=10))


def test_first_line_that_is_no_event_is_remarked() -> None:
    line = "x" * 70
    _events, reader = read(line.encode() + b"\n\nanother\n\n", *GOOD, DONE)
    assert reader.remark == f"a line that is no event's: {'x' * 60!r}"

    _events, reader = read(event(chunk({}, "w" * 70)), b"a line\n\n", *GOOD, DONE)
    assert reader.remark == f"a finish reason that nobody knows: {'w' * 60!r}"


def test_letter_is_joined_beside_what_is_no_text() -> None:
    first = b'data: {"choices":[{"delta":{"content":"\\ud83d","n":5,"e":"","z":null}}]}\n\n'
    second = b'data: {"choices":[{"delta":{"content":"\\ude00"}}]}\n\n'
    events, _reader = read(first, second, GOOD[2], DONE)
    assert "".join(delta.get("content", "") for delta in deltas(events)) == "\U0001f600"
    assert deltas(events)[0]["n"] == 5


def test_choices_own_reason_goes_before_its_deltas() -> None:
    events, _reader = read(GOOD[0], event(chunk({"finish_reason": "length"}, "stop")), DONE)
    assert reasons(events) == [None, "stop"]


def test_whole_choice_with_a_message_needs_no_reason() -> None:
    body = {"choices": [{"delta": {}, "message": {"content": "a"}, "finish_reason": None}]}
    assert OpenAIReader().whole(orjson.dumps(body))["choices"][0]["message"]["content"] == "a"


@pytest.mark.parametrize(
    ("answers", "totals", "output"), [(1, 1, 10), (1, 2, 9), (2, 1, 10), (2, 2, 19), (2, 3, 8), (3, 3, 27)]
)
def test_totals_of_several_answers_are_added_once_each(answers: int, totals: int, output: int) -> None:
    reader = OpenAIReader(answers)
    for number in range(totals):
        reader.feed(event({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 10 - number}}))
    assert reader.usage == Usage(input=100, output=output)


def test_count_within_a_choice_is_no_total() -> None:
    reader = OpenAIReader(2)
    reader.feed(event({"choices": [{"index": 0, "delta": {}, "usage": U}]}) * 2)
    assert reader.usage == Usage(input=100, output=10)


def test_answers_past_the_most_have_no_end() -> None:
    reader = OpenAIReader(2)
    reader.feed(b"".join(event({"choices": [{"index": at, "delta": {}, "finish_reason": "stop"}]}) for at in (0, 128)))
    assert not reader.is_finished
    reader.feed(event({"choices": [{"index": 127, "delta": {}, "finish_reason": "stop"}]}))
    assert reader.is_finished


def test_end_with_as_many_blanks_as_it_may_have() -> None:
    assert read(*GOOD, b"data:  [DONE]" + b" " * 9 + b"\n\n")[0][-1] is END


@pytest.mark.parametrize("letter", ["\U00010000", "\U0010fc00", "\U0010ffff"], ids=ascii)
def test_first_half_of_a_letter_waits_for_the_second(letter: str) -> None:
    first, second = (f"\\u{half:04x}" for half in memoryview(letter.encode("utf-16-le")).cast("H"))
    halves = [b'{"choices":[{"delta":{"content":"%b"}}]}' % half.encode() for half in (f"a{first}", f"{second}b")]
    assert [delta["content"] for delta in deltas(read(*map(event, halves))[0])] == ["a", f"{letter}b"]


def test_what_is_no_json_is_told_as_far_as_it_may_be() -> None:
    events, _reader = read(event(b"{" + b"x" * 200))
    assert isinstance(events[0], End)
    assert str(events[0].error) == "the answer is not JSON: {" + "x" * 119


@pytest.mark.parametrize(
    ("value", "is_shown"),
    [
        ({"object": "chat.completion.chunk"}, True),
        ({"object": "chat.completion.chunk", "prompt_filter_results": []}, True),
        ({"prompt_filter_results": []}, True),
        ({"object": "ping"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_event_without_choices_is_shown_where_it_is_a_chunk(value: dict[str, Any], is_shown: bool) -> None:
    assert [type(each) for each in read(event(value))[0]] == [dict] * is_shown


def test_choices_that_are_none_end_the_answer() -> None:
    events, _reader = read(event({"choices": {"a": 1}}))
    assert isinstance(events[0], End)


def test_whole_answer_that_is_called_an_error_is_one() -> None:
    choice = {"message": {"content": "Hello"}, "finish_reason": "stop"}
    with pytest.raises(MalformedAnswer, match="worker limit"):
        OpenAIReader().whole(orjson.dumps({"object": "error", "message": "worker limit", "choices": [choice]}))


@pytest.mark.parametrize(("written", "value"), [(b"NaN", -9999.0), (b"-Infinity", -9999.0), (b"Infinity", 9999.0)])
def test_logarithm_of_what_never_happens_is_openais(written: bytes, value: float) -> None:
    answer = OpenAIReader().whole(b'{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"x":%b}' % written)
    assert answer["x"] == value
