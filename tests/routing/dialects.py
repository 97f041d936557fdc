"""What servers of Anthropic's, Google's and the Responses API's formats really send, and what a client has read of it.

Each case stands for a form of public reports about gateways and servers (vLLM, SGLang, llama.cpp, LM Studio, LiteLLM,
Z.ai, Bedrock, Rapid-MLX, CLIProxyAPI and proxies that encode twice). Chat's own forms are those of
`tests/routing/providers/openai/test_bytes.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from openai import omit
from openai._models import construct_type
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent

from billing.kinds import Usage
from routing.endpoints import ENDPOINTS
from routing.endpoints.base import Bill, Head
from routing.providers import ADAPTERS, read_options
from routing.providers.base import End, MalformedAnswer, UpstreamCall

HEAD: Final = Head("resp_" + "a" * 32, "lab/m", 1_700_000_000, expected_input=9)
TOOLS: Final = {"f": '{"a":1}', "g": '{"b":2}'}
COUNTED: Final = Usage(input=100, output=10)
CACHED: Final = Usage(input=100, cached_input=90, output=10)
MARK: Final = b"\xef\xbb\xbf"
WORDS: Final = "worker limit"


@dataclass(frozen=True, slots=True)
class Said:
    """What a client has read."""

    text: str = "Hello there"
    finish: str = "stop"
    calls: tuple[tuple[str, str], ...] = ()
    usage: Usage | None = COUNTED


CALL: Final = Said("", "tool_calls", (("f", TOOLS["f"]),))
CALLS: Final = Said("", "tool_calls", tuple(TOOLS.items()))
EMPTY_CALL: Final = Said("", "tool_calls", (("f", "{}"),))
CUT: Final = Said(finish="length")


# --- reading ---------------------------------------------------------------------------------------------------------


def exchange(provider: str, endpoint: str) -> tuple[Any, Any, Any]:
    """A form, a request in it, and a reader of its answer."""
    form, adapter = ENDPOINTS[endpoint], ADAPTERS[provider]
    options = read_options(provider, {"endpoints": [endpoint]} if provider == "openai" else {})
    body = {**form.smallest, "model": "lab/m"}
    call = UpstreamCall(
        endpoint=form.name, path=form.path, body=body, upstream_model="m", host="up.example", secret="", cap=10_000,
        answers=1, is_stream=True, options=options,
    )  # fmt: skip
    return form, form.read(body), adapter.open(call)


def streamed(provider: str, endpoint: str, data: bytes, size: int = 0) -> tuple[bytes, Usage | None]:
    """The client's bytes, and what was counted; raises MalformedAnswer where the answer is not whole."""
    form, request, reader = exchange(provider, endpoint)
    relay = form.relay(request, HEAD, 10_000)
    pieces: list[bytes | None] = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    out = b""
    for event in (event for piece in (*pieces, None) for event in (() if relay.is_done else reader.feed(piece))):
        if isinstance(event, dict):
            out += relay.relay(event)
        elif isinstance(event, End):
            if event.error is not None:
                raise MalformedAnswer(event.error)
            relay.is_done = True
            break
    if not relay.is_complete:
        raise MalformedAnswer("the stream ended before the answer was whole")
    return out + relay.closing(_bill(reader)), reader.usage


def whole(provider: str, endpoint: str, data: bytes) -> tuple[Any, Usage | None]:
    form, request, reader = exchange(provider, endpoint)
    answer = reader.whole(data)
    form.check(request, answer)
    return orjson.loads(form.complete(request, answer, HEAD, _bill(reader))), reader.usage


def _bill(reader: Any) -> Bill:
    return Bill(reader.usage or Usage(), reader.reported, "0", {})


def data_in(raw: bytes) -> list[Any]:
    blocks = raw.replace(b"\r\n", b"\n").split(b"\n\n")
    lines = [line for block in blocks for line in block.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines if b"[DONE]" not in line]


def in_chat(provider: str, data: bytes, size: int = 0) -> Said:
    """What a client of chat reads of a stream."""
    raw, usage = streamed(provider, "chat.completions", data, size)
    text, finish, calls = "", "", dict[int, list[str]]()
    for choice in (choice for chunk in data_in(raw) for choice in chunk["choices"]):
        text += choice["delta"].get("content") or ""
        finish = choice["finish_reason"] or finish
        for call in choice["delta"].get("tool_calls", ()):
            said = calls.setdefault(call["index"], ["", "", ""])
            said[0] += call["function"].get("name") or ""
            said[1] += call["function"].get("arguments") or ""
            said[2] += call.get("id") or ""
    assert all(id_ for _name, _arguments, id_ in calls.values())
    return Said(text, finish, tuple((name, arguments) for name, arguments, _id in calls.values()), usage)


def whole_in_chat(provider: str, data: bytes) -> Said:
    answer, usage = whole(provider, "chat.completions", data)
    choice = answer["choices"][0]
    calls = choice["message"].get("tool_calls", ())
    assert all(call["id"] for call in calls)
    called = tuple((call["function"]["name"], call["function"]["arguments"]) for call in calls)
    return Said(choice["message"]["content"] or "", choice["finish_reason"], called, usage)


_STATES: Final = {"completed": "stop", "incomplete": "length"}


def in_responses(data: bytes, size: int = 0) -> Said:
    """What a client of responses reads, through OpenAI's own helper, which raises for what is out of order."""
    raw, usage = streamed("openai", "responses", data, size)
    state: ResponseStreamState[Any] = ResponseStreamState(text_format=omit, input_tools=omit)
    events = data_in(raw)
    for event in events:
        made: Any = construct_type(type_=ResponseStreamEvent, value=event)
        state.handle_event(made)
    deltas = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    said = _said(events[-1]["response"], usage)
    assert deltas == said.text
    return said


def _said(response: Any, usage: Usage | None) -> Said:
    Response.model_validate(response)
    texts = [part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"]]
    calls = [(item["name"], item["arguments"]) for item in response["output"] if item["type"] == "function_call"]
    finish = _STATES[response["status"]]
    return Said("".join(texts), "tool_calls" if calls and finish == "stop" else finish, tuple(calls), usage)


def whole_in_responses(data: bytes) -> Said:
    return _said(*whole("openai", "responses", data))


def events(*said: Any, end: bytes = b"") -> bytes:
    """Objects as JSON under their types' names, texts as they are."""
    written = [each if isinstance(each, bytes) else _event(each) for each in said]
    return b"".join(written) + end


def _event(value: Any) -> bytes:
    name = f"event: {value['type']}\n" if isinstance(value, dict) and "type" in value else ""
    return (name + "data: " + (value if isinstance(value, str) else json.dumps(value)) + "\n\n").encode()


def twice(value: Any) -> str:
    """Encoded twice."""
    return json.dumps(json.dumps(value))


# --- Anthropic's -----------------------------------------------------------------------------------------------------


def begins(usage: Any = None) -> dict[str, Any]:
    message: dict[str, Any] = {"id": "m", "type": "message", "role": "assistant", "content": []}
    told = {"input_tokens": 100, "output_tokens": 1} if usage is None else usage
    return {"type": "message_start", "message": {**message, "usage": told}}


def opens(index: Any = 0, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block or {"type": "text", "text": ""}}


def brings(delta: Any, index: Any = 0) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def text(words: str, index: Any = 0) -> dict[str, Any]:
    return brings({"type": "text_delta", "text": words}, index)


def piece(arguments: Any, index: Any = 0) -> dict[str, Any]:
    return brings({"type": "input_json_delta", "partial_json": arguments}, index)


def closes(index: Any = 0) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ends(reason: Any = "end_turn", usage: Any = None) -> dict[str, Any]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": delta, "usage": usage or {"output_tokens": 10}}


STOP: Final = {"type": "message_stop"}
MESSAGE: Final = (begins(), opens(), text("Hello"), text(" there"), closes(), ends(), STOP)
TOOL: Final = {"type": "tool_use", "id": "t", "name": "f", "input": {}}


def within(value: Any) -> bytes:
    return events(*MESSAGE[:3], value, *MESSAGE[3:])


def calling(*pieces: Any, **block: Any) -> bytes:
    return events(begins(), opens(0, **{**TOOL, **block}), *pieces, closes(), ends("tool_use"), STOP)


ANTHROPICS: Final[dict[str, tuple[bytes, Said]]] = {
    "A: as it should be": (events(*MESSAGE), Said()),
    "A: encoded twice": (events(*map(twice, MESSAGE)), Said()),
    "A: lists of one": (events(*(json.dumps([each]) for each in MESSAGE)), Said()),
    "A: a mark": (MARK + events(*MESSAGE), Said()),
    "A: a mark in Latin letters": ("ï»¿".encode() + events(*MESSAGE), Said()),
    "A: null": (within("null"), Said()),
    "A: signs of life": (events(*MESSAGE[:3], "ping", "undefined", *MESSAGE[3:]), Said()),
    "A: a comma behind": (events(*(json.dumps(each) + "," for each in MESSAGE)), Said()),
    "A: an error that says nothing": (events(*({**each, "error": {}} for each in MESSAGE)), Said()),
    "A: places as texts": (events(begins(), opens("0"), text("Hello there", "0"), closes("0"), ends(), STOP), Said()),
    "A: places as floats": (events(begins(), opens(0.0), text("Hello there", 0.0), closes(0.0), ends(), STOP), Said()),
    "A: no places": (events(begins(), opens(None), text("Hello there", None), closes(None), ends(), STOP), Said()),
    "A: a delta without a kind": (within(brings({"text": ","})), Said("Hello, there")),
    "A: a delta of another kind": (within(brings({"type": "text", "text": ","})), Said("Hello, there")),
    "A: a delta that is a text": (within(brings(",")), Said("Hello, there")),
    "A: a delta that is null": (within(brings(None)), Said()),
    "A: text in the block's beginning": (
        events(begins(), opens(0, type="text", text="Hello there"), closes(), ends(), STOP), Said(),
    ),
    "B: the reason beside the delta": (
        events(*MESSAGE[:5],
               {"type": "message_delta", "stop_reason": "max_tokens", "usage": {"output_tokens": 10}}, STOP),
        CUT,
    ),
    "B: null first": (events(*MESSAGE[:5], ends(None), ends(), STOP), Said()),
    "C: a list": (
        events(begins([{"input_tokens": 100, "output_tokens": 1}]), *MESSAGE[1:5], ends(usage=[{"output_tokens": 10}]),
               STOP),
        Said(),
    ),
    "C: none until the end (Z.ai)": (
        events(begins({"input_tokens": 0, "output_tokens": 0}), *MESSAGE[1:5],
               ends(usage={"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 10}), STOP),
        Said(usage=CACHED),
    ),
    "C: Bedrock's metrics alone": (
        events(begins([]), *MESSAGE[1:5], {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
               {**STOP, "amazon-bedrock-invocationMetrics": {"inputTokenCount": 100, "outputTokenCount": 10}}),
        Said(),
    ),
    "D: pieces": (calling(piece('{"a"'), piece(":1}")), CALL),
    "D: an empty object first": (calling(piece("{}"), piece('{"a":1}')), CALL),
    "D: an empty object": (calling(piece("{}")), EMPTY_CALL),
    "D: nothing": (calling(), EMPTY_CALL),
    "D: an object": (calling(piece({"a": 1})), CALL),
    "D: under another name": (calling(brings({"type": "input_json_delta", "input": '{"a":1}'})), CALL),
    "D: without a kind": (calling(brings({"partial_json": '{"a":1}'})), CALL),
    "D: quoted twice": (calling(piece(json.dumps('{"a":1}'))), CALL),
    "D: no id": (calling(piece('{"a":1}'), id=None), CALL),
    "D: an id that is a number": (calling(piece('{"a":1}'), id=5), CALL),
    "D: one id for two": (
        events(begins(), opens(0, **TOOL), piece('{"a":1}'), closes(), opens(1, **{**TOOL, "name": "g"}),
               piece('{"b":2}', 1), closes(1), ends("tool_use"), STOP),
        CALLS,
    ),
    "D: no places": (
        events(begins(), opens(None, **TOOL), piece('{"a":1}', None), closes(None),
               opens(None, **{**TOOL, "id": "u", "name": "g"}), piece('{"b":2}', None), closes(None),
               ends("tool_use"), STOP),
        CALLS,
    ),
}  # fmt: skip


def message(content: Any = "Hello there", reason: Any = "end_turn", **members: Any) -> dict[str, Any]:
    usage = {"input_tokens": 100, "output_tokens": 10}
    return {
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": reason,
        "usage": usage,
        **members,
    }


WHOLE_ANTHROPICS: Final[dict[str, tuple[Any, Said]]] = {
    "A: a text": (message(), Said()),
    "A: one block": (message({"type": "text", "text": "Hello there"}), Said()),
    "A: null among the blocks": (message([None, {"type": "text", "text": "Hello there"}]), Said()),
    "A: texts for blocks": (message(["Hello", " there"]), Said()),
    "A: a block without a type": (message([{"text": "Hello there"}]), Said()),
    "A: encoded twice": (json.dumps(message()), Said()),
    "A: a list": ([message()], Said()),
    "A: an error that says nothing": (message(error={}), Said()),
    "C: a list": (message(usage=[{"input_tokens": 100, "output_tokens": 10}]), Said()),
    "C: a text": (message(usage='{"input_tokens":100,"output_tokens":10}'), Said()),
    "D: no id": (message([{**TOOL, "id": None, "input": {"a": 1}}], "tool_use"), CALL),
    "D: a number": (message([{**TOOL, "id": 5, "input": {"a": 1}}], "tool_use"), CALL),
    "D: one id for two": (
        message([{**TOOL, "input": {"a": 1}}, {**TOOL, "name": "g", "input": {"b": 2}}], "tool_use"), CALLS,
    ),
    "D: quoted twice": (message([{**TOOL, "input": json.dumps('{"a":1}')}], "tool_use"), CALL),
}  # fmt: skip

# --- Google's --------------------------------------------------------------------------------------------------------

COUNTS: Final = {"promptTokenCount": 100, "candidatesTokenCount": 10, "totalTokenCount": 110}


def candidate(*parts: Any, **members: Any) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": list(parts)}, "index": 0, **members}


def chunk(*candidates: Any, **members: Any) -> dict[str, Any]:
    return {"candidates": list(candidates), **members}


HELLO, THERE = chunk(candidate({"text": "Hello"})), chunk(candidate({"text": " there"}))
LAST: Final = chunk(candidate(finishReason="STOP"), usageMetadata=COUNTS)
NOTHING: Final = chunk(candidate(finishReason="STOP"))
CHUNKS: Final = (HELLO, THERE, LAST)
SNAKES: Final = {"prompt_token_count": 100, "candidates_token_count": 10, "total_token_count": 110}


def saying(content: Any, **members: Any) -> bytes:
    return events(chunk({"content": content, **members}), LAST)


def counted(usage: Any) -> bytes:
    return events(HELLO, THERE, chunk(candidate(finishReason="STOP"), usageMetadata=usage))


def called(call: Any, name: str = "functionCall") -> bytes:
    return events(chunk(candidate({name: call})), LAST)


def ended(reason: Any) -> bytes:
    return events(HELLO, THERE, chunk(candidate(finishReason=reason), usageMetadata=COUNTS))


GOOGLES: Final[dict[str, tuple[bytes, Said]]] = {
    "A: as it should be": (events(*CHUNKS), Said()),
    "A: encoded twice": (events(*map(twice, CHUNKS)), Said()),
    "A: lists of one": (events(*(json.dumps([each]) for each in CHUNKS)), Said()),
    "A: a list of all": (events(json.dumps(CHUNKS)), Said()),
    "A: signs of life": (events(HELLO, "ping", "Keep-Alive", THERE, LAST), Said()),
    "A: a comma behind": (events(*(json.dumps(each) + "," for each in CHUNKS)), Said()),
    "A: an error that says nothing": (events(*({**each, "error": {}} for each in CHUNKS)), Said()),
    "A: null among the candidates": (events(HELLO, chunk(None), THERE, LAST), Said()),
    "A: one candidate that is no list": (
        events(*({**each, "candidates": each["candidates"][0]} for each in CHUNKS)), Said(),
    ),
    "A: content a text": (saying("Hello there"), Said()),
    "A: content an empty text": (events(HELLO, chunk({"content": ""}), THERE, LAST), Said()),
    "A: content a list": (saying([{"parts": [{"text": "Hello there"}]}]), Said()),
    "A: content an empty list": (events(HELLO, chunk({"content": []}), THERE, LAST), Said()),
    "A: one part that is no list": (saying({"parts": {"text": "Hello there"}}), Said()),
    "A: parts an empty object": (events(HELLO, chunk({"content": {"parts": {}}}), THERE, LAST), Said()),
    "A: texts for parts": (saying({"parts": ["Hello", None, " there"]}), Said()),
    "A: a number for a text": (saying({"parts": [{"text": 5}]}), Said("5")),
    "A: index null": (saying({"parts": [{"text": "Hello there"}]}, index=None), Said()),
    "A: index a text": (saying({"parts": [{"text": "Hello there"}]}, index="0"), Said()),
    "A: index 1": (
        events(*(chunk({**each["candidates"][0], "index": 1}, usageMetadata=COUNTS) for each in CHUNKS)), Said(),
    ),
    "A: underscores": (
        events(HELLO, THERE, {"candidates": [{"finish_reason": "STOP"}], "usage_metadata": SNAKES}), Said(),
    ),
    "B: STOP before all text (CLIProxyAPI)": (events(NOTHING, NOTHING, *CHUNKS), Said()),
    "B: STOP alone": (events(LAST), Said("")),
    "B: a number": (ended(2), CUT),
    "B: no number that is known": (ended(99), Said()),
    "C: floats": (counted({name: float(count) for name, count in COUNTS.items()}), Said()),
    "C: a list": (counted([COUNTS]), Said()),
    "C: a text": (counted(json.dumps(COUNTS)), Said()),
    "C: OpenAI's words": (counted({"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}), Said()),
    "C: OpenAI's place": (
        events(HELLO, THERE, {**NOTHING, "usage": {"prompt_tokens": 100, "completion_tokens": 10}}), Said(),
    ),
    "C: in the candidate": (events(HELLO, THERE, chunk(candidate(finishReason="STOP", usageMetadata=COUNTS))), Said()),
    "D: arguments a text": (called({"name": "f", "args": '{"a":1}'}), CALL),
    "D: arguments an empty text": (called({"name": "f", "args": ""}), EMPTY_CALL),
    "D: OpenAI's name for them": (called({"name": "f", "arguments": {"a": 1}}), CALL),
    "D: underscores": (called({"name": "f", "args": {"a": 1}}, "function_call"), CALL),
}  # fmt: skip
GENERATED: Final = chunk(candidate({"text": "Hello there"}, finishReason="STOP"), usageMetadata=COUNTS)
WHOLE_GOOGLES: Final[dict[str, tuple[Any, Said]]] = {
    "A: encoded twice": (json.dumps(GENERATED), Said()),
    "A: one candidate that is no list": ({**GENERATED, "candidates": GENERATED["candidates"][0]}, Said()),
    "A: null among the candidates": ({**GENERATED, "candidates": [None, *GENERATED["candidates"]]}, Said()),
    "A: an error that says nothing": ({**GENERATED, "error": {"code": 0}}, Said()),
    "B: a number": (chunk(candidate({"text": "Hello there"}, finishReason=2), usageMetadata=COUNTS), CUT),
    "C: underscores": (
        {"candidates": GENERATED["candidates"], "usage_metadata": SNAKES}, Said(),
    ),
}  # fmt: skip

# --- the Responses API's ---------------------------------------------------------------------------------------------

USED: Final = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
PART: Final = {"type": "output_text", "text": "Hello there", "annotations": []}
ITEM: Final = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [PART]}
CALLED: Final = {
    "type": "function_call", "id": "c", "call_id": "k", "name": "f", "arguments": '{"a":1}', "status": "completed",
}  # fmt: skip


def response(output: Any = (ITEM,), **members: Any) -> dict[str, Any]:
    return {"id": "r", "object": "response", "status": "completed", "output": output, "usage": USED, **members}


def told(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **members}


def at(kind: str, **members: Any) -> dict[str, Any]:
    return told(kind, item_id="m", output_index=0, content_index=0, **members)


CREATED: Final = told("created", response=response([], status="in_progress", usage=None))
DONE: Final = told("completed", response=response())
STREAM: Final = (
    CREATED,
    told("in_progress", response=response([], status="in_progress", usage=None)),
    told("output_item.added", output_index=0, item={**ITEM, "status": "in_progress", "content": []}),
    at("content_part.added", part={**PART, "text": ""}),
    at("output_text.delta", delta="Hello"),
    at("output_text.delta", delta=" there"),
    at("output_text.done", text="Hello there"),
    at("content_part.done", part=PART),
    told("output_item.done", output_index=0, item=ITEM),
    DONE,
)
DELTAS: Final = STREAM[4:6]


def lacking(*kinds: str) -> bytes:
    return events(*(each for each in STREAM if each["type"].removeprefix("response.") not in kinds))


def apart(**members: Any) -> bytes:
    """With other places."""
    return events(*({**each, **{name: members[name] for name in members if name in each}} for each in STREAM))


def without(*names: str) -> bytes:
    return events(*({name: value for name, value in each.items() if name not in names} for each in STREAM))


def of_call(item: Mapping[str, Any], *between: dict[str, Any]) -> bytes:
    added = told("output_item.added", output_index=0, item={**CALLED, "arguments": "", "status": "in_progress"})
    return events(CREATED, added, *between, told("completed", response=response([item])))


def arguments(what: str, **members: Any) -> dict[str, Any]:
    return told(f"function_call_arguments.{what}", item_id="c", output_index=0, **members)


RESPONSES: Final[dict[str, tuple[bytes, Said]]] = {
    "A: as it should be": (events(*STREAM), Said()),
    "A: encoded twice": (events(*map(twice, STREAM)), Said()),
    "A: lists of one": (events(*(json.dumps([each]) for each in STREAM)), Said()),
    "A: the end of chat's": (events(*STREAM, end=b"data: [DONE]\n\n"), Said()),
    **{
        f"A: lacks {name}": (lacking(*name.split()), Said())
        for name in (
            "created", "in_progress", "created in_progress", "output_item.added", "content_part.added",
            "output_text.done", "content_part.done", "output_item.done", "output_item.added content_part.added",
            "output_text.done content_part.done output_item.done",
        )
    },
    "A: deltas alone": (events(*DELTAS, DONE), Said()),
    "A: the text at its end alone": (events(CREATED, STREAM[6], DONE), Said()),
    "A: the item alone": (events(CREATED, STREAM[8], DONE), Said()),
    "A: the end alone": (events(DONE), Said()),
    "A: no output in the end (vLLM)": (events(*STREAM[:-1], told("completed", response=response([]))), Said()),
    "A: output null in the end": (events(*STREAM[:-1], told("completed", response=response(None))), Said()),
    "A: no output, no items": (events(CREATED, *DELTAS, told("completed", response=response([]))), Said()),
    "A: no places": (without("output_index", "content_index", "item_id"), Said()),
    "A: places null": (apart(output_index=None, content_index=None), Said()),
    "A: places as texts": (apart(output_index="0", content_index="0"), Said()),
    "A: places from 1": (apart(output_index=1), Said()),
    "A: other ids of the item": (apart(item_id="z"), Said()),
    "A: created says nothing": (events(told("created"), *STREAM[1:]), Said()),
    "A: a ping": (events(*STREAM[:5], {"type": "ping"}, *STREAM[5:]), Said()),
    "A: limits (Codex)": (events({"type": "codex.rate_limits", "rate_limits": {}}, *STREAM), Said()),
    "A: signs of life": (events(*STREAM[:5], "ping", "undefined", *STREAM[5:]), Said()),
    "A: blank data": (events(*STREAM[:5], b"data:  \n\n", *STREAM[5:]), Said()),
    "A: a delta that is null": (events(*STREAM[:5], at("output_text.delta", delta=None), *STREAM[5:]), Said()),
    "A: done for completed": (events(*STREAM[:-1], told("done", response=response())), Said()),
    "B: another word": (events(*STREAM[:-1], told("completed", response=response(status="COMPLETED"))), Said()),
    "B: incomplete": (
        events(*STREAM[:-1], told("incomplete", response=response(status="incomplete", incomplete_details={}))), CUT,
    ),
    "B: incomplete, by its status alone": (
        events(*STREAM[:-1], told("completed", response=response(status="incomplete"))), CUT,
    ),
    "C: a list": (events(*STREAM[:-1], told("completed", response=response(usage=[USED]))), Said()),
    "C: beside": (events(*STREAM[:-1], told("completed", response=response(usage=None), usage=USED)), Said()),
    "D: whole": (
        of_call(CALLED, arguments("delta", delta='{"a":1}'), arguments("done", arguments='{"a":1}')), CALL,
    ),
    "D: no deltas": (of_call(CALLED, arguments("done", arguments='{"a":1}')), CALL),
    "D: nothing between": (of_call(CALLED), CALL),
    "D: deltas of a call that nobody added": (
        events(CREATED, arguments("delta", delta="{"), told("completed", response=response([CALLED]))), CALL,
    ),
    "D: a delta that is an object": (of_call(CALLED, arguments("delta", delta={"a": 1})), CALL),
    "D: arguments an object": (of_call({**CALLED, "arguments": {"a": 1}}), CALL),
    "D: no ids in the end": (of_call({name: CALLED[name] for name in ("type", "name", "arguments")}), CALL),
    "D: no output in the end": (
        events(CREATED, told("output_item.added", output_index=0, item={**CALLED, "arguments": ""}),
               arguments("delta", delta='{"a":1}'), told("completed", response=response([]))),
        CALL,
    ),
}  # fmt: skip
WHOLE_RESPONSES: Final[dict[str, tuple[Any, Said]]] = {
    "A: encoded twice": (json.dumps(response()), Said()),
    "A: a list": ([response()], Said()),
    "A: the text alone": ({"output_text": "Hello there", "usage": USED}, Said()),
    "A: one item that is no list": (response(ITEM), Said()),
    "A: null among the items": (response([None, ITEM]), Said()),
    "A: an item without a type": (response([{"content": "Hello there"}]), Said()),
    "A: content a text": (response([{"type": "message", "content": "Hello there"}]), Said()),
    "A: content one part": (response([{**ITEM, "content": PART}]), Said()),
    "A: a part of chat's": (response([{**ITEM, "content": [{"type": "text", "text": "Hello there"}]}]), Said()),
    "A: an error that says nothing": (response(error={"code": None}), Said()),
    "B: status null": (response(status=None), Said()),
    "B: another word": (response(status="success"), Said()),
    "D: arguments an object": (response([{**CALLED, "arguments": {"a": 1}}]), CALL),
    "D: no arguments": (response([{**CALLED, "arguments": None}]), EMPTY_CALL),
    "D: empty arguments": (response([{**CALLED, "arguments": ""}]), EMPTY_CALL),
    "D: no ids": (response([{name: CALLED[name] for name in ("type", "name", "arguments")}]), CALL),
    "J: thoughts that say little": (response([{"type": "reasoning", "summary": None, "content": "hm"}, ITEM]), Said()),
    **{
        f"J: {name} {value!r}": (response(**{name: value}), Said())
        for name, value in {
            "service_tier": "on_demand", "temperature": "1", "text": [], "metadata": [], "reasoning": "high",
            "tools": {}, "tool_choice": "any", "truncation": "", "created_at": "1", "parallel_tool_calls": 1,
            "max_output_tokens": "5", "background": 0, "instructions": 5, "top_logprobs": "", "user": 5,
        }.items()
    },
    **{
        f"J: {name} {value!r}": (response([{**ITEM, "content": [{**PART, name: value}]}]), Said())
        for name, value in {"annotations": [{"type": "x"}], "logprobs": [{"token": "a"}]}.items()
    },
}  # fmt: skip


def named(*said: dict[str, Any]) -> bytes:
    """Events whose kind stands in their names alone."""
    return b"".join(
        b"event: %b\ndata: %b\n\n"
        % (each["type"].encode(), orjson.dumps({name: value for name, value in each.items() if name != "type"}))
        for each in said
    )


ANTHROPICS.update(
    {
        "A: kinds in the events' names alone": (named(*MESSAGE), Said()),
        "A: a block that says nothing of itself": (
            events(begins(), {"type": "content_block_start", "index": 0}, *MESSAGE[2:]),
            Said(),
        ),
        "A: a comma behind the last member": (events(*(json.dumps(each)[:-1] + ",}" for each in MESSAGE)), Said()),
        "A: words between": (within({"message": "still at it"}), Said()),
        "A: no last event": (events(*MESSAGE[:-1]), Said()),
        "B: the reason under other names": (
            events(*MESSAGE[:5], {**ends(), "delta": {"stopReason": "max_tokens"}}, STOP),
            CUT,
        ),
        "B: the reason under chat's name": (
            events(*MESSAGE[:5], {**ends(), "delta": {"finish_reason": "length"}}, STOP),
            CUT,
        ),
        "D: kinds in the events' names alone": (
            named(begins(), opens(0, **TOOL), piece('{"a":1}'), closes(), ends("tool_use"), STOP),
            CALL,
        ),
    }
)
GOOGLES.update(
    {
        "A: a comma behind the last member": (events(*(json.dumps(each)[:-1] + ",}" for each in CHUNKS)), Said()),
        "A: words between": (events(HELLO, {"message": "still at it"}, THERE, LAST), Said()),
        "B: a prompt that was blocked, with underscores": (
            events({"prompt_feedback": {"block_reason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 100}}),
            Said("", "content_filter", usage=Usage(input=100)),
        ),
        "C: no prompt, but the total": (counted({"candidatesTokenCount": 10, "totalTokenCount": 110}), Said()),
        "C: a prompt that the end forgets": (
            events(
                {**HELLO, "usageMetadata": {**COUNTS, "candidatesTokenCount": 1, "totalTokenCount": 101}},
                THERE,
                {**NOTHING, "usageMetadata": {"candidatesTokenCount": 10, "totalTokenCount": 110}},
            ),
            Said(),
        ),
        "D: Anthropic's name for arguments": (called({"name": "f", "input": {"a": 1}}), CALL),
        "D: Cohere's name for them": (called({"name": "f", "parameters": {"a": 1}}), CALL),
    }
)
RESPONSES.update(
    {
        "A: kinds in the events' names alone": (named(*STREAM), Said()),
        "A: an end that says nothing": (events(*STREAM[:-1], {**told("completed"), "usage": USED}), Said()),
        "A: an end that is null": (events(*STREAM[:-1], told("completed", response=None, usage=USED)), Said()),
        "A: beginnings that are null": (
            events(*STREAM[:2], told("output_item.added", item=None), at("content_part.added", part=None), *STREAM[4:]),
            Said(),
        ),
        "A: a comma behind the last member": (events(*(json.dumps(each)[:-1] + ",}" for each in STREAM)), Said()),
    }
)
STREAMS: Final = {
    **{f"anthropic, {name}": ("anthropic", *case) for name, case in ANTHROPICS.items()},
    **{f"gemini, {name}": ("gemini", *case) for name, case in GOOGLES.items()},
    **{f"responses, {name}": ("openai", *case) for name, case in RESPONSES.items()},
}
WHOLE: Final = {
    **{f"anthropic, {name}": ("anthropic", *case) for name, case in WHOLE_ANTHROPICS.items()},
    **{f"gemini, {name}": ("gemini", *case) for name, case in WHOLE_GOOGLES.items()},
    **{f"responses, {name}": ("openai", *case) for name, case in WHOLE_RESPONSES.items()},
}
BROKEN: Final[dict[str, tuple[str, bytes]]] = {
    "anthropic, a call without a name": ("anthropic", calling(piece("{}"), name=None)),
    "anthropic, an empty name": ("anthropic", calling(piece("{}"), name="")),
    "anthropic, a place that is none": ("anthropic", events(begins(), opens([1]))),
    "anthropic, no end": ("anthropic", events(*MESSAGE[:4])),
    "anthropic, words behind, and no reason": (
        "anthropic",
        events(*MESSAGE[:4], {"message": WORDS}, end=b"data: [DONE]\n\n"),
    ),
    "anthropic, a line behind, and no reason": (
        "anthropic",
        events(*MESSAGE[:4], b"worker limit\n\n", end=b"data: [DONE]\n\n"),
    ),
    **{
        f"anthropic, half a call's input, {reason}, {name}": (
            "anthropic",
            events(begins(), opens(0, **TOOL), piece('{"a":'), *behind, ends(reason), STOP),
        )
        for reason in ("tool_use", "end_turn")
        for name, behind in (("its block ended", (closes(),)), ("its block not ended", ()))
    },
    "responses, half a call's arguments": ("openai", of_call({**CALLED, "arguments": '{"a":'})),
    "gemini, STOP before a text that is cut": ("gemini", events(NOTHING, HELLO)),
    "gemini, STOP beside a thought, and a text that is cut": (
        "gemini",
        events(chunk(candidate({"text": "hm", "thought": True}, finishReason="STOP")), HELLO),
    ),
    "gemini, an error beside a candidate": ("gemini", events({**HELLO, "error": {"message": "no"}}, LAST)),
    "gemini, words behind, and no reason": ("gemini", events(HELLO, {"message": WORDS}, end=b"data: [DONE]\n\n")),
    "gemini, parts that are none": ("gemini", events(chunk({"content": {"parts": [5]}}), LAST)),
    "gemini, a call that is none": ("gemini", called("f")),
    "gemini, a call without a name": ("gemini", called({"name": "", "args": {}})),
    "gemini, a text that is no object": ("gemini", called({"name": "f", "args": "{"})),
    "gemini, a failure by its number": ("gemini", ended(10)),
    "responses, no end": ("openai", events(*STREAM[:-1])),
    **{
        f"responses, {word} at the end": (
            "openai",
            events(*STREAM[:-1], told("completed", response=response(status=word))),
        )
        for word in ("failed", "cancelled", "expired", "error")
    },
    "responses, a call without a name": ("openai", of_call({**CALLED, "name": ""})),
}


def read(provider: str, data: bytes, size: int = 0) -> Said:
    return in_responses(data, size) if provider == "openai" else in_chat(provider, data, size)
