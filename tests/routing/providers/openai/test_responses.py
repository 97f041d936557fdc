"""OpenAI's Responses API upstream: what goes up, and what is read of what comes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import orjson
import pytest

from billing.kinds import Usage
from routing.providers.base import END, End, MalformedAnswer, UpstreamCall
from routing.providers.llamacpp import LLAMACPP
from routing.providers.openai import OPENAI
from routing.providers.openai.options import OpenAIOptions
from routing.providers.openai.responses import ResponsesReader
from routing.providers.openai.thoughts import pack
from routing.wire.events import Comment

USED = {
    "input_tokens": 12, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 17,
}  # fmt: skip
COUNTED = Usage(input=12, cached_input=4, output=5, reasoning=2)


def call(*, is_stream: bool = False, **body: Any) -> UpstreamCall:
    return UpstreamCall(
        endpoint="responses", path="/responses", body={"model": "public", "input": "a", **body},
        upstream_model="up/gpt", host="api.openai.com", secret="s3cret", cap=50, answers=1, is_stream=is_stream,
    )  # fmt: skip


@pytest.mark.parametrize("adapter", [OPENAI, LLAMACPP], ids=["openai", "llamacpp"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_request_is_the_clients_but_for_what_must_be_ours(adapter: Any, is_stream: bool) -> None:
    asked = adapter.request(call(is_stream=is_stream, store=True, tools=None, models=["n"], provider={}, usage={}, x=1))
    streams = {"stream": True} if is_stream else {}
    assert asked.path == "/responses"
    assert ("authorization", "Bearer s3cret") in asked.headers
    assert orjson.loads(asked.body) == {
        "model": "up/gpt", "input": "a", "max_output_tokens": 50, "store": False, "x": 1, **streams,
    }  # fmt: skip


def test_thoughts_of_ours_do_not_go_up() -> None:
    ours = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": pack([{"type": "reasoning.text"}])}
    theirs = {**ours, "encrypted_content": "gAAAA"}
    sent = orjson.loads(OPENAI.request(elsewhere(call(input=[ours, theirs]))).body)["input"]
    assert sent == [{"type": "reasoning", "id": "rs", "summary": []}, theirs]


def elsewhere(asked: UpstreamCall) -> UpstreamCall:
    """The same at a server that nothing is known of."""
    return msgspec.structs.replace(asked, host="gpu.example")


BARE = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
TOLD = [{**BARE, "encrypted_content": "gAAAA"}, {**BARE, "content": [{"type": "reasoning_text", "text": "Hm."}]}]
SAID = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}


@pytest.mark.parametrize("vendor", ["openai", "azure"])
def test_thought_that_would_have_been_kept_does_not_go_up(vendor: str) -> None:
    """The vendor keeps nothing, as it is told, and refuses a request that names what it has not kept."""
    options = OpenAIOptions(vendor=vendor)
    asked = msgspec.structs.replace(call(input=[BARE, *TOLD, SAID]), options=options)
    assert orjson.loads(OPENAI.request(asked).body)["input"] == [*TOLD, SAID]


def test_thoughts_alone_go_up_and_others_servers_get_them_all() -> None:
    assert orjson.loads(OPENAI.request(call(input=[BARE])).body)["input"] == [BARE]
    asked = elsewhere(call(input=[BARE, *TOLD, SAID]))
    assert orjson.loads(OPENAI.request(asked).body)["input"] == [BARE, *TOLD, SAID]


def event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


DELTA = event("response.output_text.delta", delta="a")
LAST = event("response.completed", response={"id": "r", "output": [], "usage": USED})
WHOLE = event("response.created", response={"id": "r"}) + b": ping\n\n" + DELTA + LAST + b"data: [DONE]\n\n"


@pytest.mark.parametrize("place", range(len(WHOLE)))
def test_events_are_the_same_however_they_are_cut(place: int) -> None:
    reader = ResponsesReader()
    events = reader.feed(WHOLE[:place])
    events += reader.feed(WHOLE[place:]) if END not in events else []
    assert [each if type(each) is not dict else each["type"] for each in events] == [
        "response.created", Comment(b": ping"), "response.output_text.delta", "response.completed", END,
    ]  # fmt: skip
    assert (reader.usage, reader.reported, reader.is_partial, reader.is_exact) == (COUNTED, USED, False, True)
    last = events[3]
    assert type(last) is dict
    assert "usage" not in last["response"]


def test_last_event_may_lack_its_blank_line() -> None:
    reader = ResponsesReader()
    assert reader.feed(LAST.rstrip()) == []
    assert [type(each) for each in reader.feed(None)] == [dict, End]


def test_usage_that_came_before_more_is_partial() -> None:
    reader = ResponsesReader()
    reader.feed(event("response.in_progress", response={"usage": USED}) + DELTA)
    assert (reader.usage, reader.is_partial) == (COUNTED, True)
    reader.feed(LAST)
    assert not reader.is_partial


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": -1, "output_tokens": 5}, "12"])
def test_usage_that_cannot_be_believed_is_none(usage: Any) -> None:
    reader = ResponsesReader()
    reader.feed(event("response.completed", response={"output": [], "usage": usage}))
    assert (reader.usage, dict(reader.reported)) == (None, {})


BROKEN = {
    "failed": event("response.failed", response={"error": {"code": "server_error", "message": "boom"}, "usage": USED}),
    "error": event("error", message="boom", code="x"),
    "nested error": b'event: error\ndata: {"type":"error","error":{"message":"boom"}}\n\n',
    "plain error": b'data: {"error":{"message":"boom"}}\n\n',
    "named error": b"event: error\ndata: boom\n\n",
    "line": b'{"error":{"message":"boom"}}\n\n',
    "no JSON": b"data: {boom\n\n",
    "no object": b'data: ["boom"]\n\n',
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_failure_ends_the_stream(broken: bytes) -> None:
    reader = ResponsesReader()
    first, last = reader.feed(DELTA + broken)
    assert type(first) is dict
    assert isinstance(last, End)
    assert last.error


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"event: error\ndata: boom\n\n", "an error came instead of an answer: boom"),
        (b"data: {" + b"x" * 200 + b"\n\n", "the answer is not JSON: {" + "x" * 119),
    ],
    ids=["named an error", "no JSON"],
)
def test_words_of_a_failure_are_told_as_far_as_they_may_be(data: bytes, told: str) -> None:
    assert ResponsesReader().feed(data) == [End(told)]


def test_usage_beside_a_failure_counts() -> None:
    reader = ResponsesReader()
    reader.feed(BROKEN["failed"])
    assert reader.usage == COUNTED


def test_event_without_a_name_says_nothing() -> None:
    assert ResponsesReader().feed(b'data: {"ping":1}\n\n') == []


def test_whole_answer_is_read_with_its_usage() -> None:
    reader = ResponsesReader()
    answer = reader.whole(orjson.dumps({"status": "completed", "output": [], "error": None, "usage": USED}))
    assert answer == {"status": "completed", "output": [], "error": None}
    assert (reader.usage, reader.told_cost) == (COUNTED, None)


@pytest.mark.parametrize(
    "body",
    [
        {"status": "failed", "output": []},
        {"status": "in_progress", "output": []},
        {"output": [], "error": {"message": "boom"}},
        {"detail": "boom"},
        [],
    ],
    ids=["failed", "unfinished", "error", "other words", "list"],
)
def test_whole_answer_that_failed_is_none(body: Any) -> None:
    with pytest.raises(MalformedAnswer):
        ResponsesReader().whole(orjson.dumps(body))


def test_reader_is_the_endpoints() -> None:
    assert type(OPENAI.open(call())) is type(LLAMACPP.open(call())) is ResponsesReader


def test_json_that_is_none_by_the_letter_is_read_as_what_it_means() -> None:
    (event_,) = ResponsesReader().feed(b'data: {"type":"response.output_text.delta","delta":"a","x":NaN}\n\n')
    assert event_ == {"type": "response.output_text.delta", "delta": "a", "x": 0.0}


# --- as other servers write them -------------------------------------------------------------------------------------

BEGUN = event("response.output_item.added", output_index=0, item={**SAID, "arguments": ""})
ENDED = event("response.completed", response={"usage": USED})


def arguments(*pieces: str, **members: Any) -> bytes:
    kind = "response.function_call_arguments.delta"
    return b"".join(event(kind, **{"output_index": 0, "item_id": "fc", "delta": each, **members}) for each in pieces)


@pytest.mark.parametrize(
    ("pieces", "is_whole"), [(('{"a":', "1}"), True), (('{"a":', "1"), False), (("{",), False), (("words",), True)]
)
@pytest.mark.parametrize("members", [{}, {"output_index": [0]}, {"item_id": None}], ids=str)
def test_half_a_call_behind_which_nothing_is_told_is_no_end(
    pieces: tuple[str, ...], is_whole: bool, members: dict[str, Any]
) -> None:
    events = ResponsesReader().feed(BEGUN + arguments(*pieces, **members) + ENDED)
    assert (events[-1] == END) is is_whole


def test_half_a_call_that_is_told_whole_at_the_end_or_cut_is_an_end() -> None:
    for kind, output in (("completed", [SAID]), ("incomplete", [])):
        last = event(f"response.{kind}", response={"status": kind, "output": output})
        assert ResponsesReader().feed(BEGUN + arguments("{") + last)[-1] == END


def test_two_calls_each_have_their_arguments() -> None:
    events = ResponsesReader().feed(BEGUN + arguments("{") + arguments("{}", output_index=1, item_id="g") + ENDED)
    assert type(events[-1]) is End
    assert events[-1].error


def test_error_in_a_response_that_is_completed_is_one() -> None:
    last = event("response.completed", response={"status": "completed", "output": [], "error": {"message": "boom"}})
    (end,) = ResponsesReader().feed(last)
    assert type(end) is End
    assert "boom" in str(end.error)


@pytest.mark.parametrize("between", [b"data: ", rb"\n\ndata: ", b" "])
@pytest.mark.parametrize("end", [(), (b"[DONE]",)], ids=["", "done"])
def test_events_on_one_line_are_several(between: bytes, end: tuple[bytes, ...]) -> None:
    objects = [each.partition(b"data: ")[2].strip() for each in (DELTA, DELTA, LAST)]
    events = ResponsesReader().feed(b"data: " + between.join([*objects, *end]) + b"\n\n" + DELTA)
    assert [each["type"] if type(each) is dict else each for each in events] == [
        "response.output_text.delta", "response.output_text.delta", "response.completed", END,
    ]  # fmt: skip


def test_end_on_the_line_of_an_event_is_one() -> None:
    events = ResponsesReader().feed(DELTA.rstrip() + b"data: [DONE]\n\n")
    assert [type(each) for each in events] == [dict, End]


@pytest.mark.parametrize("end", ["[DONE]", "      [DONE]      ", '"[DONE]"', "data: [DONE]", "[done]", "[END]"])
def test_end_in_chats_words_is_one_however_it_is_written(end: str) -> None:
    events = ResponsesReader().feed(DELTA + f"data: {end}\n\n".encode() + DELTA)
    assert [type(each) for each in events] == [dict, End]
    assert events[-1] == END


@pytest.mark.parametrize("answer", [{"choices": [{"message": {"content": "a"}}]}, {"status": "completed"}], ids=str)
def test_whole_answer_without_output_is_none(answer: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer, match="no output"):
        ResponsesReader().whole(orjson.dumps(answer))


@pytest.mark.parametrize("behind", [b"", b"data: [DONE]\n\n"], ids=["nothing", "an end"])
@pytest.mark.parametrize("status", ["completed", "incomplete", None])
def test_whole_response_as_one_event_is_the_last_one(status: str | None, behind: bytes) -> None:
    """Of servers that answer at once, and write that as events all the same."""
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Four."}]}
    whole = {"id": "resp_1", "object": "response", "status": status, "output": [item], "usage": USED}
    reader = ResponsesReader()
    events = [*reader.feed(b"data: " + orjson.dumps(whole) + b"\n\n" + behind), *reader.feed(None)]
    assert [each["type"] for each in events if type(each) is dict] == [f"response.{status or 'completed'}"]
    assert (events[-1], reader.usage) == (END, COUNTED)


def test_whole_response_that_failed_is_an_error() -> None:
    failed = {"object": "response", "status": "failed", "output": [], "error": {"message": "out of memory"}}
    events = ResponsesReader().feed(b"data: " + orjson.dumps(failed) + b"\n\n")
    assert isinstance(events[-1], End)
    assert "out of memory" in str(events[-1].error)
