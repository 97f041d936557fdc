"""Streams for Google's clients, of either kind of upstream, and whole answers."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill, Form, Head, Needs, Relay
from routing.endpoints.generate import GENERATE
from routing.endpoints.generate.schema import read
from routing.providers.base import MalformedAnswer

(IN_CHAT,) = GENERATE.over
HEAD = Head("gen-1", "public/model", 0, hidden=(b"host.example",))
BILL = Bill(Usage(input=7, cached_input=2, output=5, reasoning=3), {}, "0.10", {})
USAGE = {
    "promptTokenCount": 7, "candidatesTokenCount": 2, "totalTokenCount": 12, "cachedContentTokenCount": 2,
    "thoughtsTokenCount": 3, "cost": 0.1, "costDetails": {},
}  # fmt: skip
END = b"\r\n\r\n"


def request(**members: Any) -> Any:
    return read({"model": "m", "contents": [{"parts": [{"text": "Hi"}]}], **members})


def relay(form: Form, most: int = 1000, **members: Any) -> Relay:
    return form.relay(request(**members), HEAD, most)


def shown(data: bytes) -> list[Any]:
    assert not data or data.endswith(END)
    return [orjson.loads(each.removeprefix(b"data: ")) for each in data.split(END) if each]


def chunk(*parts: Any, **members: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "index": 0, **members}]}


def delta(index: int = 0, finish: str | None = None, **members: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": members, "finish_reason": finish}]}


def fragment(text: str, index: int = 0, **function: Any) -> dict[str, Any]:
    return delta(tool_calls=[{"index": index, "id": f"c{index}", "function": {"arguments": text, **function}}])


def ended(stream: Relay) -> Any:
    (last,) = shown(stream.closing(BILL))
    return last


# --- its own format --------------------------------------------------------------------------------------------------


def test_end_waits_for_the_usage() -> None:
    stream = relay(GENERATE)
    (first,) = shown(
        stream.relay({**chunk({"text": "a"}), "modelVersion": "theirs", "responseId": "x", "region": "eu"})
    )
    assert first == {**chunk({"text": "a"}), "modelVersion": "public/model", "responseId": "gen-1"}
    assert (stream.relay(chunk({"text": "b"}, finishReason="STOP")), stream.is_complete) == (b"", True)
    assert ended(stream) == {
        **chunk({"text": "b"}, finishReason="STOP"), "modelVersion": "public/model", "responseId": "gen-1",
        "usageMetadata": USAGE,
    }  # fmt: skip


def test_what_comes_behind_the_end_is_not_lost() -> None:
    stream = relay(GENERATE)
    stream.relay(chunk({"text": "a"}, finishReason="STOP"))
    assert stream.relay(chunk({"text": "b"})) == b""
    assert ended(stream)["candidates"] == chunk({"text": "a"}, {"text": "b"}, finishReason="STOP")["candidates"]


def test_stream_is_whole_when_every_candidate_has_ended() -> None:
    stream = relay(GENERATE, generationConfig={"candidateCount": 2})
    stream.relay(chunk({"text": "a"}, finishReason="STOP"))
    one = stream.is_complete
    stream.relay({"candidates": [{**chunk({"text": "b"}, finishReason="STOP")["candidates"][0], "index": 1}]})
    assert (one, stream.is_complete) == (False, True)


@pytest.mark.parametrize(("form", "name"), [(GENERATE, "candidates"), (IN_CHAT, "choices")], ids=["own", "chat"])
def test_stream_whose_upstream_is_done_is_no_whole_one_without_every_candidate(form: Form, name: str) -> None:
    stream = relay(form, generationConfig={"candidateCount": 2})
    own = {"content": {"parts": [{"text": "a"}]}, "delta": {"content": "a"}, "finish_reason": None}
    stream.relay({name: [{**own, "index": 0}]})
    stream.is_done = True
    before = stream.is_complete
    stream.relay({name: [{**own, "index": 1}]})
    assert (before, stream.is_complete) == (False, True)


@pytest.mark.parametrize(("count", "is_whole"), [(0, False), (1, False), (2, True), (3, True)])
@pytest.mark.parametrize(("form", "name"), [(GENERATE, "candidates"), (IN_CHAT, "choices")], ids=["own", "chat"])
def test_answer_has_as_many_candidates_as_were_asked_for(form: Form, name: str, count: int, is_whole: bool) -> None:
    answer = {name: [{"content": {"parts": []}, "message": {"content": "a"}}] * count}
    with nullcontext() if is_whole else pytest.raises(MalformedAnswer, match=name):
        form.check(request(generationConfig={"candidateCount": 2}), answer)


def test_end_that_an_upstream_says_apart_is_one() -> None:
    stream = relay(GENERATE)
    stream.is_done = True
    nothing = stream.is_complete
    stream.relay(chunk({"text": "a"}))
    assert (nothing, stream.is_complete) == (False, True)
    assert ended(stream)["candidates"][0]["finishReason"] == "STOP"


def test_blocked_prompt_is_the_whole_stream() -> None:
    stream = relay(GENERATE)
    assert stream.relay({"candidates": [], "promptFeedback": {"blockReason": "SAFETY"}}) == b""
    assert stream.is_complete
    last = ended(stream)
    assert ("candidates" in last, last["promptFeedback"]) == (False, {"blockReason": "SAFETY"})


@pytest.mark.parametrize("form", [GENERATE, IN_CHAT], ids=["own", "chat"])
def test_stream_past_its_cap_is_cut_there(form: Form) -> None:
    stream = relay(form, most=10)
    for _ in range(60):
        stream.relay(chunk({"text": "word "}) if form is GENERATE else delta(content="word "))
    assert stream.is_past_cap
    assert (stream.cut(), stream.is_complete) == (b"", True)
    assert ended(stream)["candidates"][0]["finishReason"] == "MAX_TOKENS"


def test_received_tokens_are_of_what_was_written() -> None:
    stream = relay(GENERATE)
    for part in ({"text": "one"}, {"text": "two", "thought": True}, {"text": ""}, {"inlineData": {"data": "A" * 900}}):
        stream.relay(chunk(part))
    assert stream.received_tokens() == 2
    stream.relay(chunk({"functionCall": {"name": "f" * 100, "args": {"a": "b" * 100}}}))
    assert 40 < stream.received_tokens() < 60


def test_what_names_the_upstream_is_left_out() -> None:
    told = chunk({"text": "a"}, groundingMetadata={"at": "https://host.example/x"})
    (first,) = shown(relay(GENERATE).relay({**told, "somethingNew": "host.example", "createTime": "now"}))
    assert first == {**chunk({"text": "a"}), "createTime": "now", "modelVersion": "public/model", "responseId": "gen-1"}


def test_words_of_a_chunk_are_its_text() -> None:
    assert GENERATE.words(chunk({"text": "a"}, {"text": "b"})) == "ab"
    assert GENERATE.words({"candidates": []}) == ""


# --- over chat -------------------------------------------------------------------------------------------------------


def test_text_goes_out_as_it_comes() -> None:
    stream = relay(IN_CHAT)
    (first,) = shown(stream.relay(delta(content="a", role="assistant")))
    assert first == {**chunk({"text": "a"}), "modelVersion": "public/model", "responseId": "gen-1"}
    assert stream.relay(delta()) == b""
    assert (stream.relay(delta(finish="length")), stream.is_complete) == (b"", True)
    assert ended(stream)["candidates"] == chunk(finishReason="MAX_TOKENS")["candidates"]


@pytest.mark.parametrize(
    ("reason", "shown_as"),
    [
        ("stop", "STOP"),
        ("length", "MAX_TOKENS"),
        ("content_filter", "SAFETY"),
        ("tool_calls", "STOP"),
        ("function_call", "STOP"),
    ],
)
def test_ends_are_googles(reason: str, shown_as: str) -> None:
    stream = relay(IN_CHAT)
    stream.relay(delta(content="a", finish=reason))
    assert ended(stream)["candidates"][0]["finishReason"] == shown_as


SHOWN: dict[str, Any] = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
HIDDEN: dict[str, Any] = {"generationConfig": {"thinkingConfig": {"thinkingBudget": 100}}}


@pytest.mark.parametrize(("members", "thought"), [(SHOWN, [{"text": "why", "thought": True}]), (HIDDEN, []), ({}, [])])
def test_thoughts_are_marked_and_shown_to_who_asks_for_them(members: dict[str, Any], thought: list[Any]) -> None:
    (first,) = shown(relay(IN_CHAT, **members).relay(delta(reasoning_content="why", content="so")))
    assert first["candidates"][0]["content"]["parts"] == [*thought, {"text": "so"}]
    answer = completed(whole({"content": "so", "reasoning_content": "why"}), **members)
    assert answer["candidates"][0]["content"]["parts"] == [*thought, {"text": "so"}]


def test_calls_in_pieces_are_whole_at_the_end() -> None:
    stream = relay(IN_CHAT)
    pieces = (
        fragment("", name="f"),
        fragment('{"a"', 0),
        fragment("{", 1, name="g"),
        fragment(": 1.50}"),
        fragment("}", 1),
    )
    assert [stream.relay(piece) for piece in pieces] == [b""] * 5
    stream.relay(delta(finish="tool_calls"))
    data = stream.closing(BILL)
    assert b'"args":{"a": 1.50}' in data
    assert [part["functionCall"] for part in shown(data)[0]["candidates"][0]["content"]["parts"]] == [
        {"id": "c0", "name": "f", "args": {"a": 1.5}},
        {"id": "c1", "name": "g", "args": {}},
    ]


def test_call_that_the_cap_cut_is_left_out() -> None:
    stream = relay(IN_CHAT)
    stream.relay(fragment('{"a"', name="f"))
    stream.relay(delta(finish="length"))
    assert ended(stream)["candidates"] == chunk(finishReason="MAX_TOKENS")["candidates"]


@pytest.mark.parametrize("text", ["[]", "{]"])
def test_call_that_is_none_breaks_a_stream_that_calls_itself_whole(text: str) -> None:
    stream = relay(IN_CHAT)
    stream.relay(fragment(text, name="f"))
    with pytest.raises(MalformedAnswer):
        stream.relay(delta(finish="tool_calls"))


@pytest.mark.parametrize("text", ['{"a"', "5"])
def test_stream_that_calls_itself_whole_is_not_as_long_as_a_call_is_cut(text: str) -> None:
    stream = relay(IN_CHAT)
    stream.relay(fragment(text, name="f"))
    stream.relay(delta(finish="tool_calls"))
    stream.is_done = True
    assert not stream.is_complete


def test_call_goes_on_behind_a_finish_reason_that_stands_in_every_chunk() -> None:
    stream = relay(IN_CHAT)
    for piece in (fragment('{"a"', name="f"), fragment(":1}")):
        piece["choices"][0]["finish_reason"] = "tool_calls"
        stream.relay(piece)
    assert stream.is_complete
    (part,) = ended(stream)["candidates"][0]["content"]["parts"]
    assert part["functionCall"]["args"] == {"a": 1}


def test_call_that_goes_on_behind_its_finish_reason_is_said_at_the_end() -> None:
    stream = relay(IN_CHAT)
    stream.relay(fragment('{"a"', name="f"))
    stream.relay(delta(finish="tool_calls", content="so"))
    stream.relay(fragment(":1}"))
    (candidate,) = ended(stream)["candidates"]
    text, part = candidate["content"]["parts"]
    assert (text, part["functionCall"]["args"], candidate["finishReason"]) == ({"text": "so"}, {"a": 1}, "STOP")


def test_arguments_over_several_lines_stay_within_one_event() -> None:
    stream = relay(IN_CHAT)
    stream.relay(fragment('{\n "a":\r\n  1.50\n\n}', name="f"))
    stream.relay(delta(finish="tool_calls"))
    data = stream.closing(BILL)
    assert data.count(b"\n") == data.count(b"\r") == END.count(b"\n")
    assert b"1.50" in data
    assert shown(data)[0]["candidates"][0]["content"]["parts"][0]["functionCall"]["args"] == {"a": 1.5}


def test_call_without_an_end_is_said_where_the_upstream_is_done() -> None:
    stream = relay(IN_CHAT)
    stream.relay(fragment('{"a":1}', name="f"))
    before = stream.is_complete
    stream.is_done = True
    assert (before, stream.is_complete) == (False, True)
    (candidate,) = ended(stream)["candidates"]
    assert (candidate["finishReason"], candidate["content"]["parts"][0]["functionCall"]["args"]) == ("STOP", {"a": 1})


def test_explanation_stands_in_the_last_chunk() -> None:
    stream = relay(IN_CHAT)
    stream.relay(delta(content="a", finish="stop"))
    (last,) = shown(stream.closing(BILL, {"why": "cheap"}))
    assert last["costrouter"] == {"why": "cheap"}


# --- whole -----------------------------------------------------------------------------------------------------------


def whole(message: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop", **members}]}


def completed(answer: dict[str, Any], form: Form = IN_CHAT, **members: Any) -> Any:
    return orjson.loads(form.complete(request(**members), answer, HEAD, BILL))


def test_whole_chat_answer_is_googles() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""},
            "extra_content": {"google": {"thought_signature": "c2ln"}}}  # fmt: skip
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    message = {"content": "a", "refusal": None, "reasoning_content": "why", "tool_calls": [call], "images": [image, 5]}
    answer = completed(whole(message), **SHOWN)
    assert answer["candidates"][0]["content"]["parts"] == [
        {"text": "why", "thought": True},
        {"text": "a"},
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "c2ln"},
    ]
    assert answer["usageMetadata"] == USAGE
    assert completed(whole({"content": "a"}), isList=True)[0]["responseId"] == "gen-1"


def test_refusal_is_text() -> None:
    assert completed(whole({"content": None, "refusal": "no"}))["candidates"][0]["content"]["parts"] == [{"text": "no"}]


def test_probabilities_are_googles() -> None:
    token = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -2}]}
    result = completed(whole({"content": "a"}, logprobs={"content": [token]}))["candidates"][0]["logprobsResult"]
    assert result == {
        "chosenCandidates": [{"token": "a", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "b", "logProbability": -2}]}],
    }


@pytest.mark.parametrize("call", [5, {}, {"function": {"name": 5}}, {"function": {"name": "f", "arguments": "["}}])
def test_whole_call_that_is_none_is_no_answer(call: Any) -> None:
    with pytest.raises(MalformedAnswer):
        completed(whole({"content": None, "tool_calls": [call]}))


def test_answer_without_a_candidate_is_none() -> None:
    with pytest.raises(MalformedAnswer):
        GENERATE.check(request(), {"candidates": []})
    GENERATE.check(request(), {"candidates": [], "promptFeedback": {"blockReason": "SAFETY"}})


def test_output_that_nobody_counted_is_estimated() -> None:
    needs = Needs(0, True, 0, 11, 0, 0, False, 1, 0, frozenset(), 0)
    assert GENERATE.estimate(chunk({"text": "abcde"}), needs) == Usage(input=11, output=2)
    assert IN_CHAT.estimate(whole({"content": "abcde"}), needs) == Usage(input=11, output=2)


def test_call_in_the_older_form_is_malformed_whole_and_in_pieces() -> None:
    called: dict[str, Any] = {"function_call": {"name": "f", "arguments": "{}"}}
    answer = {"choices": [{"message": {"content": None, **called}, "finish_reason": "function_call"}]}
    with pytest.raises(MalformedAnswer, match="older form"):
        IN_CHAT.complete(request(), answer, HEAD, BILL)
    with pytest.raises(MalformedAnswer, match="older form"):
        relay(IN_CHAT).relay(delta(**called))


def test_answer_that_was_blocked_on_its_way_is_not_whole() -> None:
    stream = relay(GENERATE)
    stream.relay(chunk({"text": "so"}))
    stream.relay({"candidates": [], "promptFeedback": {"blockReason": "SAFETY"}})
    last = ended(stream)
    assert (last["candidates"][0]["finishReason"], last["promptFeedback"]) == ("SAFETY", {"blockReason": "SAFETY"})
