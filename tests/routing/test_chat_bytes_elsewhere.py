"""The forms of chat's bytes for clients of the endpoints that are said in chat: they read what clients of chat read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import pytest

from billing.kinds import Usage
from routing.endpoints import ENDPOINTS
from routing.endpoints.base import Bill, Head
from routing.providers.base import End, MalformedAnswer
from routing.providers.openai.reader import OpenAIReader
from routing.wire.frames import Again
from tests.routing.providers.openai import test_bytes_of_servers as servers
from tests.routing.providers.openai.test_bytes import BROKEN, FAILURES, GOOD, Said

HEAD: Final = Head("x_" + "a" * 32, "lab/m", 1_700_000_000, expected_input=9)
Calls = dict[int, list[str]]


def shown(endpoint: str, data: bytes) -> tuple[list[Any], Usage | None]:
    """A client's events; raises MalformedAnswer where the answer is not whole."""
    asked = ENDPOINTS[endpoint]
    form = next(form for form in asked.over if form.name == "chat.completions")
    request = asked.read({**asked.smallest, "model": "lab/m"} | ({} if endpoint == "generate" else {"stream": True}))
    relay = form.relay(request, HEAD, 10_000)
    reader: Any = OpenAIReader()
    reader.abbreviates = relay.takes_again
    out = b""
    for event in (event for piece in (data, None) for event in (() if relay.is_done else reader.feed(piece))):
        if isinstance(event, dict):
            out += relay.relay(event)
        elif isinstance(event, Again):
            out += relay.again(event)
        elif isinstance(event, End):
            if event.error is not None:
                raise MalformedAnswer(str(event.error))
            relay.is_done = True
            break
    if not relay.is_complete:
        raise MalformedAnswer("the stream ended before the answer was whole")
    out += relay.closing(Bill(reader.usage or Usage(), reader.reported, "0", {}))
    lines = [line for line in out.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines], reader.usage


def of_messages(events: list[Any]) -> tuple[str, str, list[tuple[str, str]]]:
    text, calls = "", Calls()
    for event in events:
        if event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use":
            calls[event["index"]] = [event["content_block"]["name"], ""]
        elif event["type"] == "content_block_delta":
            text += event["delta"].get("text", "")
            if "partial_json" in event["delta"]:
                calls[event["index"]][1] += event["delta"]["partial_json"]
    finish = {
        "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls",
        "refusal": "content_filter",
    }[events[-2]["delta"]["stop_reason"]]  # fmt: skip
    return text, finish, [(name, arguments or "{}") for name, arguments in calls.values()]


def of_responses(events: list[Any]) -> tuple[str, str, list[tuple[str, str]]]:
    response = events[-1]["response"]
    messages = [item for item in response["output"] if item["type"] == "message"]
    said = [part.get("text", "") for item in messages for part in item["content"]]
    calls = [(item["name"], item["arguments"]) for item in response["output"] if item["type"] == "function_call"]
    if response["status"] == "incomplete":
        reason = response["incomplete_details"]["reason"]
        return "".join(said), "length" if reason == "max_output_tokens" else reason, calls
    return "".join(said), "tool_calls" if calls else "stop", calls


def of_generate(events: list[Any]) -> tuple[str, str, list[tuple[str, str]]]:
    candidates = [candidate for event in events for candidate in event["candidates"]]
    parts = [part for candidate in candidates for part in candidate["content"]["parts"]]
    called = [part["functionCall"] for part in parts if "functionCall" in part]
    calls = [(call["name"], json.dumps(call["args"], separators=(",", ":"))) for call in called]
    reason = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}[candidates[-1]["finishReason"]]
    finish = "tool_calls" if calls and reason == "stop" else reason
    return "".join(part.get("text", "") for part in parts), finish, calls


_NO_OBJECTS: Final = ("D: words for arguments", "D: half a call that the cap has cut")
"""What Google's format, whose arguments are an object, has no place for."""
_OLDER: Final = "D: in the older form"
"""Calls of functions, which nobody can offer in these formats."""
ALL_GOOD: Final = GOOD | {
    f"of servers, {name}": servers.GOOD[name]
    for name in servers.GOOD
    if name not in _NO_OBJECTS and not name.startswith(_OLDER)
}
CALLED_IN_OLDER_FORM: Final = {name: servers.GOOD[name] for name in servers.GOOD if name.startswith(_OLDER)}
ALL_BROKEN: Final = {**BROKEN, **FAILURES, **{f"of servers, {name}": data for name, data in servers.BROKEN.items()}}
READS: Final = {"messages": of_messages, "responses": of_responses, "generate": of_generate}
each_endpoint = pytest.mark.parametrize("endpoint", READS)


def read(endpoint: str, data: bytes) -> Said:
    events, usage = shown(endpoint, data)
    text, finish, calls = READS[endpoint](events)
    return Said(text, finish, tuple(calls), usage=usage)


@each_endpoint
@pytest.mark.parametrize(("data", "said"), ALL_GOOD.values(), ids=ALL_GOOD.keys())
def test_good_answer_is_not_lost(endpoint: str, data: bytes, said: Said) -> None:
    assert read(endpoint, data) == replace(said, thought="")


@each_endpoint
@pytest.mark.parametrize("data", ALL_BROKEN.values(), ids=ALL_BROKEN.keys())
def test_broken_answer_never_looks_whole(endpoint: str, data: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        read(endpoint, data)


@pytest.mark.parametrize("endpoint", ["messages", "generate"])
@pytest.mark.parametrize("name", CALLED_IN_OLDER_FORM)
def test_call_in_the_older_form_is_refused_where_it_would_be_lost(endpoint: str, name: str) -> None:
    with pytest.raises(MalformedAnswer, match="older form"):
        read(endpoint, CALLED_IN_OLDER_FORM[name][0])


@pytest.mark.parametrize("name", CALLED_IN_OLDER_FORM)
def test_call_in_the_older_form_is_one_of_responses(name: str) -> None:
    data, said = CALLED_IN_OLDER_FORM[name]
    is_cut = said.finish == "length"
    arguments = '{"a":1' if is_cut else '{"a":1}'
    assert read("responses", data) == Said("", "length" if is_cut else "tool_calls", (("f", arguments),))
