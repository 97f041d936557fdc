"""Answers of generateContent, in its own format and in chat's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Head
from routing.endpoints.chat.schema import ChatRequest
from routing.endpoints.chat.stream import ChatRelay
from routing.endpoints.generate.stream import GenerateRelay
from routing.providers.base import END, End, MalformedAnswer
from routing.providers.gemini.reader import ChatReader, GenerateReader
from routing.providers.gemini.shapes import canonical

FIXTURES = Path(__file__).parent / "fixtures"
STREAMS = {path.stem: path.read_bytes() for path in sorted(FIXTURES.glob("*.sse"))}
HEAD = Head("gen-1", "public", 0)


def read(reader: GenerateReader, *pieces: bytes) -> list[Any]:
    return [event for piece in (*pieces, None) for event in reader.feed(piece)]


def event(**members: Any) -> bytes:
    return b"data: " + orjson.dumps(members) + b"\r\n\r\n"


def candidate(*parts: Any, **members: Any) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": list(parts)}, "index": 0, **members}


def chunks_of(name: str) -> list[Any]:
    """A documented stream's chunks, as JSON."""
    return [orjson.loads(each.removeprefix(b"data: ")) for each in STREAMS[name].split(b"\r\n\r\n")[:-1]]


def joined(events: list[Any], name: str) -> str:
    """What the deltas of the first choice say under a name."""
    deltas = [event["choices"][0]["delta"] for event in events if event["choices"]]
    return "".join(delta.get(name) or "" for delta in deltas)


# --- the documented streams ------------------------------------------------------------------------------------------


def test_text_is_chats_with_its_signature_and_its_counts() -> None:
    reader = ChatReader()
    events = read(reader, STREAMS["text"])

    assert joined(events, "content") == "Xin chào 👋 bạn"
    assert events[-1]["choices"][0]["finish_reason"] == "stop"
    assert events[-1]["choices"][0]["delta"]["reasoning_details"] == [
        {"type": "reasoning.encrypted", "data": "AY89a18iOcFus5wr5bW5", "format": "google-gemini-v1"}
    ]
    assert (reader.usage, reader.is_partial, reader.is_exact) == (Usage(input=4, output=9), False, True)


def test_thoughts_and_calls_are_chats() -> None:
    reader = ChatReader()
    events = read(reader, STREAMS["thoughts_and_calls"])
    calls = [call for event in events for call in event["choices"][0]["delta"].get("tool_calls", ())]

    assert joined(events, "reasoning_content") == "Two cities. Two calls."
    assert [(call["index"], call["id"], call["function"]["arguments"]) for call in calls] == [
        (0, "gp737npz", '{"city":"Huế"}'),
        (1, "gp737nq0", '{"city":"Đà Nẵng","days":2}'),
    ]
    assert [call.get("extra_content") for call in calls] == [{"google": {"thought_signature": "Es8CCswCAb4"}}, None]
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert reader.usage == Usage(input=60, output=51, reasoning=20)


@pytest.mark.parametrize("kind", [ChatReader, GenerateReader])
@pytest.mark.parametrize("name", STREAMS)
def test_stream_split_at_every_byte_gives_the_same(name: str, kind: type[GenerateReader]) -> None:
    data = STREAMS[name]
    whole = read(kind(), data)
    for place in range(len(data)):
        assert read(kind(), data[:place], data[place:]) == whole


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b": hello\r\n\r\n"], ids=["byte order mark", "comment"])
def test_what_stands_in_front_loses_nothing(mark: bytes) -> None:
    events = read(ChatReader(), mark + STREAMS["text"])
    assert joined([event for event in events if type(event) is dict], "content") == "Xin chào 👋 bạn"


@pytest.mark.parametrize("name", STREAMS)
def test_stream_that_is_cut_is_never_whole(name: str) -> None:
    events = STREAMS[name].split(b"\r\n\r\n")[:-1]
    for count in range(len(events) + 1):
        data = b"".join(each + b"\r\n\r\n" for each in events[:count])
        chat, native = ChatRelay(ChatRequest("m", []), HEAD, 99), GenerateRelay(1, HEAD, 99)
        for chunk in read(ChatReader(), data):
            chat.relay(chunk)
        for chunk in read(GenerateReader(), data):
            native.relay(chunk)
        is_whole = count == len(events)
        assert (chat.is_complete, native.is_complete) == (is_whole, is_whole)


def test_own_format_goes_on_as_it_came_but_for_the_counts() -> None:
    sent = chunks_of("thoughts_and_calls")
    shown = read(GenerateReader(), STREAMS["thoughts_and_calls"])
    assert shown == [{name: value for name, value in each.items() if name != "usageMetadata"} for each in sent]


# --- events that are no perfect chunks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        b'data: {"candidates":null,"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}}\r\n\r\n',
        b'data: {"usageMetadata":{"promptTokenCount":4}}\r\n\r\n',
        b'data: {"candidates":[{}]}\r\n\r\n',
        b'data: {"candidates":[{"content":null}]}\r\n\r\n',
        b'data: {"candidates":[{"content":{"role":"model"}}]}\r\n\r\n',
        b'data: {"modelVersion":"x"}\r\n\r\n',
        b"data:\r\n\r\n",
        b"data: []\r\n\r\n",
    ],
)
def test_event_that_says_nothing_ends_nothing(odd: bytes) -> None:
    first, rest = STREAMS["text"].split(b"\r\n\r\n", 1)
    reader = ChatReader()
    events = read(reader, first + b"\r\n\r\n" + odd + rest)
    assert (joined(events, "content"), reader.usage) == ("Xin chào 👋 bạn", Usage(input=4, output=9))


@pytest.mark.parametrize(
    "broken", [b"data: {broken\r\n\r\n", event(error={"code": 500, "message": "no"}), event(candidates=[5])]
)
def test_what_cannot_be_read_breaks_what_is_not_whole(broken: bytes) -> None:
    first, _rest = STREAMS["text"].split(b"\r\n\r\n", 1)
    *_events, last = read(ChatReader(), first + b"\r\n\r\n" + broken)
    assert isinstance(last, End)
    assert last.error


@pytest.mark.parametrize("noise", [b"data: {broken\r\n\r\n", b"data: [DONE] \r\n\r\n", event(error={"message": "no"})])
def test_nothing_behind_the_end_breaks_it(noise: bytes) -> None:
    *_events, last = read(ChatReader(), STREAMS["text"] + noise)
    assert last == END


def test_words_of_an_error_are_kept() -> None:
    (end,) = read(ChatReader(), event(error={"code": 503, "message": "worker limit", "status": "UNAVAILABLE"}))
    assert "worker limit" in str(end.error)


def test_numbers_that_json_has_not_are_read() -> None:
    data = b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]},"avgLogprobs":NaN}]}\r\n\r\n'
    assert joined(read(ChatReader(), data), "content") == "a"


# --- usage in its places ---------------------------------------------------------------------------------------------


def test_end_that_is_all_zero_takes_nothing_back() -> None:
    zero = {"promptTokenCount": 0, "candidatesTokenCount": 0, "totalTokenCount": 0}
    reader = ChatReader()
    read(
        reader,
        event(candidates=[candidate({"text": "a"})], usageMetadata={"promptTokenCount": 7, "candidatesTokenCount": 3}),
        event(candidates=[candidate(finishReason="STOP")], usageMetadata=zero),
    )
    assert reader.usage == Usage(input=7, output=3)


def test_counts_are_partial_until_the_end() -> None:
    reader = ChatReader()
    states = []
    told = {"promptTokenCount": 7, "candidatesTokenCount": 1}
    for piece in (
        event(candidates=[candidate({"text": "a"})]),
        event(candidates=[candidate({"text": "b"})], usageMetadata=told),
        event(candidates=[candidate({"text": "c"})]),
        event(candidates=[candidate(finishReason="STOP")]),
        event(usageMetadata={**told, "candidatesTokenCount": 3}),
    ):
        reader.feed(piece)
        states.append((reader.usage and reader.usage.output, reader.is_partial))
    assert states == [(None, False), (1, True), (1, True), (1, True), (3, False)]


def test_counts_of_several_candidates_are_partial_until_all_have_ended() -> None:
    reader = GenerateReader(2)
    told = {"promptTokenCount": 7, "candidatesTokenCount": 1}
    reader.feed(event(candidates=[candidate({"text": "a"}, finishReason="STOP")], usageMetadata=told))
    one = reader.is_partial
    reader.feed(event(candidates=[candidate({"text": "a"}, index=1, finishReason="STOP")], usageMetadata=told))
    assert (one, reader.is_partial) == (True, False)


# --- how answers end -------------------------------------------------------------------------------------------------


def test_blocked_prompt_is_a_choice_that_says_nothing() -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}
    reader = ChatReader(2)
    (chunk,) = read(reader, event(**blocked))
    assert chunk["choices"] == [{"index": place, "delta": {}, "finish_reason": "content_filter"} for place in (0, 1)]
    assert ChatReader().whole(orjson.dumps(blocked))["choices"] == [
        {"index": 0, "message": {"content": None}, "finish_reason": "content_filter"}
    ]
    assert reader.usage == Usage(input=3)


def test_finish_reason_that_nobody_knows_is_an_end_and_a_remark() -> None:
    reader = ChatReader()
    (chunk,) = read(reader, event(candidates=[candidate({"text": "a"}, finishReason="NEWLY_MADE")]))
    assert chunk["choices"][0]["finish_reason"] == "stop"
    assert reader.remark == "a finish reason that nobody knows: 'NEWLY_MADE'"


def test_failed_end_breaks_a_stream_and_a_whole_answer() -> None:
    failed = {"candidates": [candidate({"text": "a"}, finishReason="MALFORMED_FUNCTION_CALL")]}
    (end,) = read(GenerateReader(), event(**failed))
    assert end.error
    with pytest.raises(MalformedAnswer, match="MALFORMED_FUNCTION_CALL"):
        GenerateReader().whole(orjson.dumps(failed))


# --- whole answers ---------------------------------------------------------------------------------------------------


def test_list_of_chunks_is_one_answer() -> None:
    chunks = chunks_of("thoughts_and_calls")
    reader = ChatReader()
    (choice,) = reader.whole(orjson.dumps(chunks))["choices"]
    assert choice["message"]["reasoning_content"] == "Two cities. Two calls."
    assert [call["id"] for call in choice["message"]["tool_calls"]] == ["gp737npz", "gp737nq0"]
    assert (choice["finish_reason"], reader.usage) == ("tool_calls", Usage(input=60, output=51, reasoning=20))


@pytest.mark.parametrize("count", range(4))
def test_list_that_is_cut_is_no_answer(count: int) -> None:
    chunks = chunks_of("thoughts_and_calls")
    with pytest.raises(MalformedAnswer):
        GenerateReader().whole(orjson.dumps(chunks[:count]))


def test_pictures_stand_beside_the_text() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    answer = ChatReader().whole(
        orjson.dumps({"candidates": [candidate({"text": "Look"}, picture, finishReason="STOP")]})
    )
    message = answer["choices"][0]["message"]
    assert message["images"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]


def test_probabilities_are_chats() -> None:
    result: dict[str, Any] = {
        "chosenCandidates": [{"token": "a", "logProbability": -0.5}],
        "topCandidates": [
            {"candidates": [{"token": "a", "logProbability": -0.5}, {"token": "b", "logProbability": -2}]}
        ],
    }
    answer = ChatReader().whole(orjson.dumps({"candidates": [candidate({"text": "a"}, logprobsResult=result)]}))
    (token,) = answer["choices"][0]["logprobs"]["content"]
    assert (token["token"], token["logprob"], token["bytes"]) == ("a", -0.5, [97])
    assert [(each["token"], each["logprob"]) for each in token["top_logprobs"]] == [("a", -0.5), ("b", -2)]

    result["chosenCandidates"].append({"token": "c", "logProbability": -1})
    (told,) = ChatReader().whole(orjson.dumps({"candidates": [candidate({"text": "ac"}, logprobsResult=result)]}))[
        "choices"
    ]
    assert [len(each["top_logprobs"]) for each in told["logprobs"]["content"]] == [2, 0]


def test_signed_thoughts_are_told_whole() -> None:
    parts = [{"text": "one ", "thought": True}, {"text": "two", "thought": True, "thoughtSignature": "c2ln"}]
    answer = ChatReader().whole(orjson.dumps({"candidates": [candidate(*parts, {"text": "x"})]}))
    message = answer["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("x", "one two")
    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "text": "one ", "format": "google-gemini-v1"},
        {"type": "reasoning.text", "text": "two", "format": "google-gemini-v1", "signature": "c2ln"},
    ]


def test_call_without_an_id_gets_one_and_without_arguments_none() -> None:
    answer = ChatReader().whole(orjson.dumps({"candidates": [candidate({"functionCall": {"name": "f"}})]}))
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert re.fullmatch("call_[0-9a-f]{24}", call["id"])
    assert call["function"] == {"name": "f", "arguments": "{}"}


# --- contents in other shapes ----------------------------------------------------------------------------------------

SAID = {"text": "Hello"}
THERE = {"text": " there"}


@pytest.mark.parametrize(
    "content",
    [
        [{"role": "model", "parts": [SAID, THERE]}],
        [{"role": "model", "parts": [SAID]}, {"role": "model", "parts": [THERE]}],
        [{"role": "model", "parts": SAID}, None, {"role": "model"}, {"parts": [THERE]}],
        [SAID, THERE],
        ["Hello", " there"],
        [{"text": "Hello there"}],
        {"text": "Hello there"},
        {"role": "model", "text": "Hello there"},
        "Hello there",
    ],
    ids=str,
)
def test_content_is_read_as_a_list_or_as_its_part(content: Any) -> None:
    answer = {"candidates": [{"content": content, "finishReason": "STOP"}]}
    assert joined(read(ChatReader(), event(**answer)), "content") == "Hello there"
    (choice,) = ChatReader().whole(orjson.dumps(answer))["choices"]
    assert choice["message"]["content"] == "Hello there"
    parts = GenerateReader().whole(orjson.dumps(answer))["candidates"][0]["content"]["parts"]
    assert "".join(part["text"] for part in parts) == "Hello there"


@pytest.mark.parametrize("content", [[], [None], {}, None, "", [{"role": "model"}]], ids=str)
def test_content_that_says_nothing_is_empty(content: Any) -> None:
    answer = {"candidates": [{"content": content, "finishReason": "STOP"}]}
    (candidate_,) = GenerateReader().whole(orjson.dumps(answer))["candidates"]
    assert candidate_["content"] == {"role": "model", "parts": []}


@pytest.mark.parametrize("content", [5, [5], [[SAID]], {"parts": 5}], ids=str)
def test_content_that_is_none_is_no_answer(content: Any) -> None:
    answer = {"candidates": [{"content": content, "finishReason": "STOP"}]}
    with pytest.raises(MalformedAnswer):
        GenerateReader().whole(orjson.dumps(answer))


@pytest.mark.parametrize("arguments", [[], [{}], 5, "5", "[]", '{"a":'], ids=str)
@pytest.mark.parametrize("kind", [GenerateReader, ChatReader])
def test_call_whose_arguments_are_no_object_is_none(arguments: Any, kind: type[GenerateReader]) -> None:
    answer = {"candidates": [candidate({"functionCall": {"name": "f", "args": arguments}}, finishReason="STOP")]}
    assert read(kind(), event(**answer))[-1].error
    with pytest.raises(MalformedAnswer, match="no object"):
        kind().whole(orjson.dumps(answer))


@pytest.mark.parametrize("between", [b"data: ", b"\\r\\n\\r\\ndata: ", b" "])
def test_chunks_on_one_line_are_several(between: bytes) -> None:
    chunks = [orjson.dumps({"candidates": [candidate(part)]}) for part in (SAID, THERE)]
    last = orjson.dumps({"candidates": [candidate(finishReason="MAX_TOKENS")]})
    for end in ((), (b"[DONE]",)):
        events = read(ChatReader(), b"data: " + between.join([*chunks, last, *end]) + b"\r\n\r\n")
        told = [each for each in events if type(each) is dict]
        assert joined(told, "content") == "Hello there"
        assert told[-1]["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("name", ["functionCall", "function_call"])
def test_numbers_of_a_call_go_on_digit_by_digit(name: str) -> None:
    number = b"123456789012345678901234567890"
    called = b'{"content":{"parts":[{"%b":{"name":"f","args":{"n":%b}}}]},"finishReason":"STOP"}' % (
        name.encode(),
        number,
    )
    body = b'{"candidates":[%b]}' % called
    assert number in orjson.dumps(GenerateReader().whole(body))
    (choice,) = ChatReader().whole(body)["choices"]
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == f'{{"n":{number.decode()}}}'


def test_failure_between_chunks_ends_the_stream() -> None:
    failed = event(code=503, message="worker limit")
    events = read(ChatReader(), event(candidates=[candidate(SAID)]), failed)
    assert [type(each) for each in events][:2] == [dict, End]
    assert "worker limit" in events[1].error


def test_thought_beside_an_early_end_is_something_before_the_last() -> None:
    thought, said = ({"text": "hm", "thought": True}, {"text": "Hello"})
    reader = ChatReader()
    read(reader, *(event(candidates=[candidate(part, finishReason="STOP")]) for part in (thought, said)))
    assert (reader.is_finished, reader.is_doubtful) == (True, False)


def test_chunk_of_a_list_whose_counts_are_none_is_told_but_for_them() -> None:
    first = {"candidates": [candidate(SAID)], "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3}}
    last = {"candidates": [candidate(finishReason="STOP")], "usageMetadata": {}, "responseId": "r"}
    reader = GenerateReader()
    assert reader.whole(orjson.dumps([first, last]))["responseId"] == "r"
    assert reader.usage == Usage(input=7, output=3)


# --- at the bounds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("index", "is_read"), [(0, True), (127, True), (128, False), (-1, False), (1.5, True)])
def test_place_of_a_candidate_has_bounds(index: Any, is_read: bool) -> None:
    told = event(candidates=[candidate(SAID, index=index), candidate(SAID, index=0)])
    assert (type(GenerateReader(2).feed(told)[0]) is dict) is is_read


def test_numbers_that_json_has_not_stand_for_what_never_and_what_always_happens() -> None:
    said = b'{"content":{"parts":[{"text":"a"}]},"a":NaN,"b":-Infinity,"c":Infinity,"finishReason":"STOP"}'
    (told,) = GenerateReader().whole(b'{"candidates":[%b]}' % said)["candidates"]
    assert (told["a"], told["b"], told["c"]) == (-9999.0, -9999.0, 9999.0)


@pytest.mark.parametrize("place", [1, 3])
def test_one_candidate_is_the_first_whatever_place_it_has(place: int) -> None:
    one = event(candidates=[candidate(SAID, index=place, finishReason="STOP")])
    assert [each["candidates"][0]["index"] for each in read(GenerateReader(), one)] == [0]
    assert [each["candidates"][0]["index"] for each in read(GenerateReader(4), one)] == [place]
    both = event(candidates=[candidate(SAID, index=place), candidate(SAID, index=0)])
    assert [each["index"] for each in read(GenerateReader(), both)[0]["candidates"]] == [place, 0]


def test_calls_of_a_candidate_are_bounded() -> None:
    calls = [{"functionCall": {"name": "f", "args": {}}}] * 1_024
    (most,) = read(ChatReader(), event(candidates=[candidate(*calls)]))
    assert most["choices"][0]["delta"]["tool_calls"][-1]["index"] == 1_023
    (last,) = ChatReader().feed(event(candidates=[candidate(*calls, calls[0])]))
    assert last == End("too many tool calls")


@pytest.mark.parametrize(
    ("number", "reason"), [(1, "STOP"), (10, "MALFORMED_FUNCTION_CALL"), (11, "number 11"), (-1, "number -1")]
)
def test_finish_reason_by_its_number_is_a_word(number: int, reason: str) -> None:
    value: dict[str, Any] = {"candidates": [{"finishReason": number}]}
    canonical(value)
    assert value["candidates"][0]["finishReason"] == reason


def test_finish_reason_that_is_no_number_of_any_is_no_end() -> None:
    chunks = [event(candidates=[candidate(part, finishReason=0)]) for part in (SAID, THERE)]
    reader = ChatReader()
    events = read(reader, *chunks)
    assert (joined(events, "content"), reader.is_finished, reader.remark) == ("Hello there", False, "")


@pytest.mark.parametrize("candidates", [[5], ["a"], "a", 5], ids=str)
def test_list_of_chunks_whose_candidates_are_none_is_no_answer(candidates: Any) -> None:
    with pytest.raises(MalformedAnswer):
        GenerateReader().whole(orjson.dumps([{"candidates": candidates}, {"candidates": [candidate(SAID)]}]))


def test_words_in_place_of_candidates_are_kept_unless_the_prompt_was_blocked() -> None:
    with pytest.raises(MalformedAnswer, match="worker limit"):
        GenerateReader().whole(b'{"message":"worker limit"}')
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "message": "worker limit"}
    assert GenerateReader().whole(orjson.dumps(blocked))["candidates"] == []


def test_prompt_that_is_blocked_beside_a_candidate_is_no_end_of_it() -> None:
    told = event(candidates=[candidate(SAID)], promptFeedback={"blockReason": "SAFETY"})
    reader = GenerateReader()
    reader.feed(told)
    assert not reader.is_finished
    assert GenerateReader().feed(event(promptFeedback={"blockReason": "SAFETY"})) != []


@pytest.mark.parametrize(
    ("text", "said"), [(5, "5"), (0.5, "0.5"), (None, ""), ({"text": "a"}, ""), (["a"], ""), (True, "")]
)
def test_text_of_a_part_is_one_or_none(text: Any, said: str) -> None:
    answer = orjson.dumps({"candidates": [candidate({"text": text}, finishReason="STOP")]})
    assert GenerateReader().whole(answer)["candidates"][0]["content"]["parts"] == [{"text": said}]


# --- as client libraries write them ----------------------------------------------------------------------------------


UNDERSCORED = orjson.dumps(
    {
        "candidates": [
            None,
            {
                "content": {
                    "parts": [{"function_call": {"name": "f", "arguments": {"a": 1}}, "thought_signature": "s"}]
                },
                "finish_reason": 2,
            },
        ],
        "usage_metadata": {"prompt_token_count": 7, "candidates_token_count": 3, "total_token_count": 10},
    }
)


def test_members_with_underscores_are_read_as_its_own() -> None:
    reader = GenerateReader()
    (only,) = reader.whole(UNDERSCORED)["candidates"]
    call = {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "s"}
    assert (only["content"]["parts"], only["finishReason"]) == ([call], "MAX_TOKENS")
    assert reader.usage == Usage(input=7, output=3)


def test_members_with_underscores_are_read_as_chats() -> None:
    (choice,) = ChatReader().whole(UNDERSCORED)["choices"]
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert choice["finish_reason"] == "length"


def test_block_reason_with_underscores_is_one() -> None:
    told = ChatReader().whole(b'{"prompt_feedback":{"block_reason":"SAFETY"}}')
    assert told["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize("name", ["", None, 5, ["f"]], ids=str)
def test_call_without_a_name_is_none(name: Any) -> None:
    answer = {"candidates": [candidate({"functionCall": {"name": name, "args": {}}}, finishReason="STOP")]}
    with pytest.raises(MalformedAnswer, match="without a name"):
        GenerateReader().whole(orjson.dumps(answer))


@pytest.mark.parametrize("kind", [GenerateReader, ChatReader])
@pytest.mark.parametrize("call", ["f", ["f"], 5], ids=str)
def test_call_that_is_none_is_no_answer(call: Any, kind: type[GenerateReader]) -> None:
    with pytest.raises(MalformedAnswer, match="call that is none"):
        kind().whole(orjson.dumps({"candidates": [candidate({"functionCall": call}, finishReason="STOP")]}))


@pytest.mark.parametrize(("index", "place"), [("1", 1), ("00015", 1), ("x", 0), (None, 0), (1.5, 0)])
def test_place_that_is_a_text_is_a_number(index: Any, place: int) -> None:
    one = candidate(SAID, index=index, finishReason="STOP")
    assert GenerateReader(2).whole(orjson.dumps({"candidates": [one]}))["candidates"][0]["index"] == place
