"""A chat answer as a message: whole, and as a stream in Anthropic's grammar."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head
from routing.endpoints.messages.in_chat import InChat
from routing.endpoints.messages.schema import MessagesRequest, read
from routing.providers.base import MalformedAnswer
from routing.providers.openai.reader import OpenAIReader
from routing.wire.frames import Again
from tests import upstream as up
from tests.grammar import assert_valid_message, assert_whole, begun, events_in

FORM = InChat()
HEAD = Head("msg_0", "lab/m", 1_700_000_000, (b"hidden.example",), expected_input=9)
USED = Usage(input=100, cached_input=30, cache_write=20, cache_write_1h=5, output=40, reasoning=10)
BILL = Bill(USED, {}, "0.5", {"currency": "USD"})
ROLE = up.chunk({"role": "assistant", "content": None})


def asked(**members: Any) -> MessagesRequest:
    return read({"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}], **members})


THINKING: dict[str, Any] = {"thinking": {"type": "adaptive"}}


def said(content: Any) -> dict[str, Any]:
    return up.chunk({"content": content})


def call(index: int, arguments: str, name: str = "", id_: str = "") -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return up.chunk({"tool_calls": [{"index": index, "function": function, **({"id": id_} if id_ else {})}]})


def relayed(chunks: list[dict[str, Any]], *, most: int = 1000, is_done: bool = False, **members: Any) -> bytes:
    """What the client gets of these chunks, up to the end if they are whole."""
    relay = FORM.relay(asked(**members), HEAD, most)
    out = b"".join(relay.relay(orjson.loads(orjson.dumps(chunk))) for chunk in chunks)
    relay.is_done = is_done
    return out + (relay.closing(BILL) if relay.is_complete else b"")


def message_of(chunks: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
    return assert_whole(events_in(relayed(chunks, **members)))


def blocks(message: dict[str, Any]) -> list[tuple[str, Any]]:
    members = {"text": "text", "thinking": "thinking", "tool_use": "arguments", "redacted_thinking": "data"}
    return [(block["type"], block[members[block["type"]]]) for block in message["content"]]


def test_text_is_one_block_of_a_message_of_ours() -> None:
    message = message_of([ROLE, said("One"), said(" two"), up.FINISH])
    assert blocks(message) == [("text", "One two")]
    assert (message["id"], message["model"], message["role"]) == ("msg_0", "lab/m", "assistant")
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)


def test_usage_counts_what_the_cache_gave_and_took_beside_the_input() -> None:
    usage = message_of([said("a"), up.FINISH])["usage"]
    assert usage == {
        "input_tokens": 50,
        "cache_read_input_tokens": 30,
        "cache_creation_input_tokens": 20,
        "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5},
        "output_tokens": 40,
        "output_tokens_details": {"thinking_tokens": 10},
        "cost": 0.5,
        "cost_details": {"currency": "USD"},
    }


def test_the_first_event_tells_the_estimate_of_the_input() -> None:
    first = events_in(relayed([ROLE]))
    assert [event["type"] for event in first] == ["message_start"]
    assert (first[0]["message"]["usage"]["input_tokens"], first[0]["message"]["usage"]["output_tokens"]) == (9, 0)


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "end_turn"),  # nothing was called
        ("function_call", "end_turn"),
        ("content_filter", "refusal"),
    ],
)
def test_stop_reason_is_told_in_anthropics_words(finish: str, reason: str) -> None:
    chunks = [said("a"), up.chunk({}, finish_reason=finish)]
    assert message_of(chunks)["stop_reason"] == reason
    whole = up.completion("a", finish_reason=finish)
    assert completed(whole)["stop_reason"] == reason


@pytest.mark.parametrize("name", ["stop_reason", "matched_stop"])
@pytest.mark.parametrize(
    ("told", "reason", "sequence"),
    [
        ("END", "stop_sequence", "END"),
        ("other", "end_turn", None),
        (128_009, "end_turn", None),
        (None, "end_turn", None),
    ],
)
def test_stop_sequence_is_told_where_the_upstream_tells_it(name: str, told: Any, reason: str, sequence: Any) -> None:
    last = up.chunk({}, finish_reason="stop")
    last["choices"][0][name] = told
    message = message_of([said("a"), last], stop_sequences=["END"])
    assert (message["stop_reason"], message["stop_sequence"]) == (reason, sequence)


def test_call_that_ends_in_stop_is_a_use_of_a_tool() -> None:
    assert message_of([call(0, "{}", "f", "c1"), up.FINISH])["stop_reason"] == "tool_use"
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert completed(up.completion(None, message={"tool_calls": calls}))["stop_reason"] == "tool_use"


def test_refusal_is_text_and_the_reason() -> None:
    message = message_of([up.chunk({"refusal": "No."}), up.FINISH])
    assert (blocks(message), message["stop_reason"]) == ([("text", "No.")], "refusal")
    whole = completed(up.completion(None, message={"refusal": "No."}))
    assert (blocks(whole), whole["stop_reason"]) == ([("text", "No.")], "refusal")


def test_arguments_are_byte_equal_and_calls_follow_the_text() -> None:
    pieces = ['{ "a" :', ' 1.0, "b": "\\u00e9', '", "c": 12345678901234567890}']
    chunks = [said("Well"), call(0, "", "f", "c1"), *(call(0, piece) for piece in pieces), up.FINISH]
    message = message_of(chunks)
    assert blocks(message) == [("text", "Well"), ("tool_use", "".join(pieces))]
    assert (message["content"][1]["id"], message["content"][1]["name"]) == ("c1", "f")


def test_calls_that_come_interleaved_go_out_one_after_the_other() -> None:
    chunks = [
        call(0, "", "f", "c1"),
        call(1, "", "g", "c2"),
        call(0, '{"a"'),
        call(1, '{"b"'),
        call(2, '{"c": 3}', "h", "c3"),
        call(0, ": 1}"),
        call(1, ": 2}"),
        up.FINISH,
    ]
    message = message_of(chunks)
    assert blocks(message) == [("tool_use", '{"a": 1}'), ("tool_use", '{"b": 2}'), ("tool_use", '{"c": 3}')]
    assert [block["name"] for block in message["content"]] == ["f", "g", "h"]


def test_call_is_written_as_it_comes_and_not_held_back() -> None:
    relay = FORM.relay(asked(), HEAD, 1000)
    relay.relay(call(0, '{"a"', "f", "c1"))
    assert b'"partial_json":": 1"' in relay.relay(call(0, ": 1"))
    assert b'"name":"g"' in relay.relay(call(0, "}")) + relay.relay(call(1, "{", "g", "c2"))


def test_name_in_pieces_is_one_name() -> None:
    message = message_of([call(0, "", "get_", "c1"), call(0, "", "weather"), call(0, "{}"), up.FINISH])
    assert message["content"][0]["name"] == "get_weather"


def test_text_behind_a_call_is_a_block_of_its_own() -> None:
    message = message_of([call(0, "{}", "f", "c1"), said("Done"), up.FINISH])
    assert blocks(message) == [("tool_use", "{}"), ("text", "Done")]


def test_text_amid_a_call_waits_for_its_end() -> None:
    message = message_of([call(0, '{"a"', "f", "c1"), said("Mm"), said("h"), call(0, ":1}"), up.FINISH])
    assert blocks(message) == [("tool_use", '{"a":1}'), ("text", "Mmh")]


@pytest.mark.parametrize("pieces", [["[1]"], ['"x"'], ["5"], [" ", "\n[", "]"]], ids=str)
def test_arguments_that_are_no_object_break_a_stream(pieces: list[str]) -> None:
    relay = FORM.relay(asked(), HEAD, 1000)
    relay.relay(call(0, "", "f", "c1"))
    with pytest.raises(MalformedAnswer, match="no object"):
        [relay.relay(call(0, piece)) for piece in pieces]


def test_blanks_before_an_object_are_its_own() -> None:
    message = message_of([call(0, " ", "f", "c1"), call(0, "\n{"), call(0, "}"), up.chunk({}, finish_reason="stop")])
    assert blocks(message) == [("tool_use", " \n{}")]


def test_more_arguments_behind_whole_ones_are_a_broken_answer() -> None:
    relay = FORM.relay(asked(), HEAD, 1000)
    for chunk in (call(0, "{}", "f", "c1"), call(1, "{", "g", "c2"), call(0, "\n ")):
        relay.relay(chunk)
    with pytest.raises(MalformedAnswer):
        relay.relay(call(0, "x"))


SIGNED = [
    up.chunk({"reasoning_content": "Let me"}),
    up.chunk({"reasoning_content": " see"}),
    up.chunk({"reasoning_details": [{"type": "reasoning.text", "signature": "sig=="}]}),
    up.chunk({"reasoning_details": [{"type": "reasoning.encrypted", "data": "enc"}]}),
    said("Four"),
    up.FINISH,
]


def test_thoughts_are_blocks_with_their_signature() -> None:
    message = message_of(SIGNED, **THINKING)
    assert blocks(message) == [("thinking", "Let me see"), ("redacted_thinking", "enc"), ("text", "Four")]
    assert message["content"][0]["signature"] == "sig=="


def test_thoughts_behind_a_signature_are_another_block() -> None:
    again = [*SIGNED[:3], *SIGNED[:3], *SIGNED[4:]]
    assert blocks(message_of(again, **THINKING)) == [("thinking", "Let me see")] * 2 + [("text", "Four")]


def test_text_that_is_told_twice_is_one_thought() -> None:
    twice = up.chunk({"reasoning": "Hm", "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]})
    assert blocks(message_of([twice, said("a"), up.FINISH], **THINKING))[0] == ("thinking", "Hm")
    summed = up.chunk({"reasoning": "Hm", "reasoning_details": [{"type": "reasoning.summary", "summary": "Hm"}]})
    assert blocks(message_of([summed, said("a"), up.FINISH], **THINKING))[0] == ("thinking", "Hm")


def test_thought_that_stands_alone_in_its_details_is_one() -> None:
    for detail in ({"type": "reasoning.summary", "summary": "Hm"}, {"type": "reasoning.text", "text": "Hm"}):
        alone = up.chunk({"content": "a", "reasoning_details": [detail]})
        assert blocks(message_of([alone, up.FINISH], **THINKING)) == [("thinking", "Hm"), ("text", "a")]


def test_thought_and_words_in_one_chunk_are_two_blocks() -> None:
    signed = [{"type": "reasoning.text", "text": "", "signature": "sig"}]
    both = up.chunk({"content": "a", "reasoning": "Hm", "reasoning_details": signed})
    message = message_of([both, up.FINISH], **THINKING)
    assert blocks(message) == [("thinking", "Hm"), ("text", "a")]
    assert message["content"][0]["signature"] == "sig"
    two = up.chunk({"content": "a", "reasoning_content": "Hm"})
    assert blocks(message_of([two, up.FINISH], **THINKING)) == [("thinking", "Hm"), ("text", "a")]


@pytest.mark.parametrize(
    "thinking",
    [None, {"type": "disabled"}, {"type": "adaptive", "display": "omitted"}],
    ids=["not asked for", "disabled", "omitted"],
)
def test_thoughts_that_nobody_wants_to_see_are_left_out_and_counted(thinking: Any) -> None:
    members = {} if thinking is None else {"thinking": thinking}
    assert blocks(message_of(SIGNED, **members)) == [("text", "Four")]
    relay = FORM.relay(asked(**members), HEAD, 1000)
    relay.relay(SIGNED[0])
    assert relay.received_tokens() == 1


@pytest.mark.parametrize("cut", range(9))
def test_cut_at_any_chunk_is_no_whole_answer(cut: int) -> None:
    chunks = [ROLE, said("One"), call(0, "", "f", "c1"), call(0, '{"a"'), call(1, "{}", "g", "c2"), call(0, ":1}")]
    chunks = [*chunks, call(0, " "), said("!"), said("?"), up.FINISH]
    relay = FORM.relay(asked(), HEAD, 1000)
    events = events_in(b"".join(relay.relay(chunk) for chunk in chunks[:cut]))
    assert not relay.is_complete
    assert not {"message_delta", "message_stop"} & {event["type"] for event in events}
    begun(events)


def test_done_without_a_reason_is_an_end_only_if_what_came_is_whole() -> None:
    assert events_in(relayed([said("a")], is_done=True))[-1]["type"] == "message_stop"
    assert events_in(relayed([call(0, "{}", "f", "c1")], is_done=True))[-1]["type"] == "message_stop"
    for chunks in ([ROLE], [call(0, '{"a"', "f", "c1")]):
        assert "message_stop" not in {event["type"] for event in events_in(relayed(chunks, is_done=True))}


def test_answer_cut_at_the_cap_says_so() -> None:
    relay = FORM.relay(asked(), HEAD, 4)
    out = relay.relay(said("a text of many more tokens than four, surely: there is no doubt about it"))
    assert relay.is_past_cap
    message = assert_whole(events_in(out + relay.cut() + relay.closing(BILL)))
    assert message["stop_reason"] == "max_tokens"


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}]},
        {"function_call": {"name": "f", "arguments": "{}"}},
    ],
    ids=["custom", "older form"],
)
def test_call_of_what_nobody_offered_is_a_broken_answer(delta: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        FORM.relay(asked(), HEAD, 1000).relay(up.chunk(delta))


def test_stream_split_at_every_byte_gives_the_same_message() -> None:
    raw = b"".join(map(up.event, [*SIGNED[:5], call(0, '{"é": 1}', "f", "c1"), up.FINISH])) + up.DONE
    whole = _read([raw])
    assert all(_read([raw[:at], raw[at:]]) == whole for at in range(1, len(raw)))


def test_chunks_that_differ_in_their_text_alone_are_said_as_any() -> None:
    raw = [up.event(said(word)) for word in ("One", " two", " thr\u00e9\u00e9", " four")]
    raw = [*raw, up.event(up.FINISH), up.DONE]
    assert _read(raw, abbreviates=True) == _read(raw)


def _read(pieces: list[bytes], *, abbreviates: bool = False) -> bytes:
    reader, relay = OpenAIReader(), FORM.relay(asked(**THINKING), HEAD, 1000)
    reader.abbreviates = abbreviates
    events = [event for piece in [*pieces, None] for event in reader.feed(piece)]
    assert any(type(event) is Again for event in events) is abbreviates
    out = b""
    for event in events:
        if type(event) is Again:
            out += relay.again(event)
        elif type(event) is dict:
            out += relay.relay(event)
    assert relay.is_complete
    return out + relay.closing(BILL)


# --- whole -----------------------------------------------------------------------------------------------------------


def completed(answer: dict[str, Any], explanation: Any = None, **members: Any) -> dict[str, Any]:
    request = asked(**members)
    FORM.check(request, answer)
    message: dict[str, Any] = orjson.loads(FORM.complete(request, answer, HEAD, BILL, explanation))
    assert_valid_message(message)
    for block in message["content"]:
        if block["type"] == "tool_use":
            block["arguments"] = orjson.dumps(block["input"]).decode()
    return message


def test_whole_answer_is_a_whole_message() -> None:
    thoughts = [
        {"type": "reasoning.text", "text": "Let", "signature": ""},
        {"type": "reasoning.text", "text": " me", "signature": "sig"},
        {"type": "reasoning.encrypted", "data": "enc"},
        {"type": "reasoning.text", "text": "And"},
    ]
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]
    extra = {"reasoning_details": thoughts, "reasoning_content": "Let me", "tool_calls": calls}
    message = completed(up.completion("Four", message=extra, finish_reason="tool_calls"), **THINKING)
    assert blocks(message) == [
        ("thinking", "Let me"),
        ("redacted_thinking", "enc"),
        ("thinking", "And"),
        ("text", "Four"),
        ("tool_use", '{"a":1}'),
    ]
    assert (message["content"][0]["signature"], message["usage"]["input_tokens"]) == ("sig", 50)
    assert (message["id"], message["model"], message["stop_sequence"]) == ("msg_0", "lab/m", None)


def test_explanation_stands_beside() -> None:
    assert completed(up.completion("a"), {"why": 1})["costrouter"] == {"why": 1}
    relay = FORM.relay(asked(), HEAD, 1000)
    out = relay.relay(up.FINISH) + relay.closing(BILL, {"why": 1})
    assert events_in(out)[-2]["costrouter"] == {"why": 1}


def test_input_is_byte_equal_to_the_arguments() -> None:
    arguments = '{ "n": 1.0, "big": 12345678901234567890123, "é": "\\u00e9" }'
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    answer = up.completion(None, message={"tool_calls": calls}, finish_reason="tool_calls")
    assert f'"input":{arguments}'.encode() in FORM.complete(asked(), answer, HEAD, BILL)


@pytest.mark.parametrize("arguments", ["", " ", "null", "{}"])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    assert completed(up.completion(None, message={"tool_calls": calls}))["content"][0]["input"] == {}


@pytest.mark.parametrize("arguments", ['{"a"', "[1]", '"x"', "5", "x"])
def test_arguments_that_are_no_object_are_a_broken_answer_unless_they_were_cut(arguments: str) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    with pytest.raises(MalformedAnswer):
        completed(up.completion(None, message={"tool_calls": calls}, finish_reason="tool_calls"))
    cut = completed(up.completion(None, message={"tool_calls": calls}, finish_reason="length"))
    assert (cut["content"][0]["input"], cut["stop_reason"]) == ({}, "max_tokens")


@pytest.mark.parametrize(
    "broken",
    [
        {"function": {"name": "f", "arguments": "{}"}},
        {"id": "c1", "function": {"arguments": "{}"}},
        {"id": "c1", "function": {"name": "f", "arguments": 5}},
        {"id": "c1"},
        "f",
    ],
)
def test_call_that_is_none_is_a_broken_answer(broken: Any) -> None:
    with pytest.raises(MalformedAnswer):
        FORM.check(asked(), up.completion(None, message={"tool_calls": [broken]}))


def test_nothing_of_the_upstream_is_in_a_message() -> None:
    answer = up.completion("a", system_fingerprint="hidden.example", x_host="hidden.example")
    answer["choices"][0]["message"]["node"] = "hidden.example"
    assert b"hidden.example" not in FORM.complete(asked(), answer, HEAD, BILL)
    chunk = up.chunk({"content": "a", "node": "hidden.example"}, x="hidden.example")
    assert b"hidden.example" not in FORM.relay(asked(), HEAD, 1000).relay(chunk)


def test_whole_call_in_the_older_form_is_malformed() -> None:
    said = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    with pytest.raises(MalformedAnswer, match="older form"):
        FORM.check(asked(), {"choices": [{"index": 0, "message": said, "finish_reason": "function_call"}]})


# --- what comes oddly ------------------------------------------------------------------------------------------------


def test_other_choices_are_nobodys() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "length"}]}
    bare = {"choices": [{"delta": {"content": "b"}, "finish_reason": None}]}
    message = message_of([said("a"), other, bare, up.FINISH])
    assert (blocks(message), message["stop_reason"]) == ([("text", "ab")], "end_turn")


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        (["stop", "length"], "max_tokens"),
        (["stop", "stop", "content_filter"], "refusal"),
        (["length", "stop"], "max_tokens"),
        (["length", "content_filter"], "max_tokens"),
        (["stop", None], "end_turn"),
    ],
    ids=str,
)
def test_first_reason_that_is_more_than_stop_is_it(reasons: list[Any], told: str) -> None:
    message = message_of([up.chunk({"content": "a"}, finish_reason=reason) for reason in reasons])
    assert (blocks(message), message["stop_reason"]) == ([("text", "a" * len(reasons))], told)


def test_reason_that_chat_has_not_is_an_end_like_any() -> None:
    assert completed(up.completion("a", finish_reason="odd"))["stop_reason"] == "end_turn"
    assert message_of([said("a"), up.chunk({}, finish_reason="odd")])["stop_reason"] == "end_turn"


def test_name_is_not_told_again_once_its_call_is_open() -> None:
    again = [call(0, '{"a"', "f", "c1"), call(0, ":1}", "f"), call(1, "{}", "g", "c2"), up.FINISH]
    assert [block["name"] for block in message_of(again)["content"]] == ["f", "g"]


def test_call_that_waits_has_its_name_in_pieces_too() -> None:
    chunks = [
        call(0, '{"a"', "f", "c1"), call(1, "", "get_", "c2"), call(1, "", "it"), call(1, '{"b":2}'), call(0, ":1}"),
        up.FINISH,
    ]  # fmt: skip
    message = message_of(chunks)
    assert [block["name"] for block in message["content"]] == ["f", "get_it"]
    assert blocks(message) == [("tool_use", '{"a":1}'), ("tool_use", '{"b":2}')]


def test_name_that_comes_behind_the_arguments_is_waited_for() -> None:
    relay = FORM.relay(asked(), HEAD, 1000)
    out = relay.relay(call(0, "{}", "", "c1"))
    assert b"tool_use" not in out
    out += relay.relay(call(0, "", "f"))
    assert b'"name":"f"' in out
    out += relay.relay(up.FINISH) + relay.closing(BILL)
    assert blocks(assert_whole(events_in(out))) == [("tool_use", "{}")]


def test_call_without_a_name_breaks_what_follows_it_and_is_left_out_at_the_end() -> None:
    relay = FORM.relay(asked(), HEAD, 1000)
    relay.relay(call(0, "{}", "", "c1"))
    with pytest.raises(MalformedAnswer, match="without a name"):
        relay.relay(said("a"))
    alone = message_of([said("a"), call(0, "", "", "c1"), up.FINISH], is_done=True)
    assert blocks(alone) == [("text", "a")]


def test_whatever_waits_is_told_at_the_end_whole_or_not() -> None:
    chunks = [call(0, '{"a"', "f", "c1"), said("Mm"), up.chunk({}, finish_reason="length")]
    out = events_in(relayed(chunks))
    assert [each["content_block"]["type"] for each in out if each["type"] == "content_block_start"] == [
        "tool_use", "text",
    ]  # fmt: skip
    assert [each["index"] for each in out if each["type"] == "content_block_stop"] == [0, 1]
    assert out[-2]["delta"]["stop_reason"] == "max_tokens"


def test_end_that_is_told_without_a_reason_waits_for_calls_to_be_whole() -> None:
    halves = [call(0, "{}", "f", "c1"), call(1, '{"a"', "g", "c2")]
    assert "message_stop" not in {each["type"] for each in events_in(relayed(halves, is_done=True))}
    whole = [*halves, call(1, ":1}")]
    assert events_in(relayed(whole, is_done=True))[-1]["type"] == "message_stop"


def test_cut_keeps_the_reason_that_was_told() -> None:
    for reason, told in ((None, "max_tokens"), ("content_filter", "refusal")):
        relay = FORM.relay(asked(), HEAD, 1000)
        out = relay.relay(up.chunk({"content": "a"}, finish_reason=reason))
        assert relay.cut() == b""
        assert relay.is_complete
        assert events_in(out + relay.closing(BILL))[-2]["delta"]["stop_reason"] == told


@pytest.mark.parametrize(
    ("detail", "thought"),
    [
        ({"type": "reasoning.text", "text": 5}, []),
        ({"type": "reasoning.text", "text": "t"}, [("thinking", "t")]),
        ({"type": "reasoning.summary", "summary": 5}, []),
        ({"type": "reasoning.encrypted", "data": 5}, []),
        ({"type": "reasoning.encrypted", "data": "d"}, [("redacted_thinking", "d")]),
        ({"type": "other", "text": "t"}, []),
        ("odd", []),
    ],
    ids=str,
)
def test_details_of_another_form_are_no_thoughts(detail: Any, thought: list[Any]) -> None:
    chunk = up.chunk({"content": "a", "reasoning_details": [detail]})
    assert blocks(message_of([chunk, up.FINISH], **THINKING)) == [*thought, ("text", "a")]
    whole = completed(up.completion("a", message={"reasoning_details": [detail]}), **THINKING)
    assert blocks(whole) == [*thought, ("text", "a")]


def test_thoughts_come_whole_as_they_come_in_pieces() -> None:
    details = [
        {"type": "reasoning.text", "text": "a", "signature": "s"}, {"type": "reasoning.text", "text": "b"},
        {"type": "reasoning.encrypted", "data": "d"}, {"type": "reasoning.encrypted", "data": "e"},
        {"type": "reasoning.text", "signature": "t"}, {"type": "reasoning.text", "text": "c"},
    ]  # fmt: skip
    chunks = [*(up.chunk({"reasoning_details": [each]}) for each in details), said("z"), up.FINISH]
    streamed = message_of(chunks, **THINKING)["content"]
    whole = completed(up.completion("z", message={"reasoning_details": details}), **THINKING)["content"]
    assert streamed == whole
    assert [(block["type"], block.get("thinking"), block.get("signature")) for block in whole[:6]] == [
        ("thinking", "a", "s"), ("thinking", "b", ""), ("redacted_thinking", None, None),
        ("redacted_thinking", None, None), ("thinking", "", "t"), ("thinking", "c", ""),
    ]  # fmt: skip
