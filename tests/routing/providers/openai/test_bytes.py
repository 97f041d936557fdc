"""What vendors and servers really send, byte by byte: read whole, in pieces of 7 bytes and of one, and cut anywhere.

Each case stands for a form of public reports about gateways, servers and clients (vLLM, SGLang, llama.cpp, Ollama,
TGI, LM Studio, OpenRouter, MiniMax, DeepSeek, Groq, Workers AI and proxies before them). The forms that a test of their
own has in `test_reader.py` and its neighbours are not repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head
from routing.endpoints.chat.answer import check_answer, complete_answer
from routing.endpoints.chat.schema import ChatRequest
from routing.endpoints.chat.stream import ChatRelay
from routing.providers.base import End, MalformedAnswer
from routing.providers.openai.reader import OpenAIReader
from routing.wire.frames import Again

HEAD: Final = Head("chatcmpl-1", "m", 1, (), 5)
COUNTS: Final = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
COUNTED: Final = Usage(input=100, output=10)


@dataclass(frozen=True, slots=True)
class Said:
    """What a client has read."""

    text: str = "Hello there"
    finish: str = "stop"
    calls: tuple[tuple[str, str], ...] = ()
    thought: str = ""
    usage: Usage | None = None


@dataclass(slots=True)
class Broken:
    """What a client has read of an answer that was not whole, and why it was not."""

    text: str = ""
    why: str = ""


@dataclass(slots=True)
class _Client:
    """Adds up a stream's chunks."""

    text: str = ""
    thought: str = ""
    finish: str = ""
    calls: dict[int, list[str]] = field(default_factory=dict)

    def read(self, events: bytes) -> None:
        for event in filter(None, events.split(b"\n\n")):
            for choice in json.loads(event.removeprefix(b"data: "))["choices"] if b"[DONE]" not in event else ():
                self._add(choice["delta"])
                self.finish = choice["finish_reason"] or self.finish

    def _add(self, delta: dict[str, Any]) -> None:
        self.text += delta.get("content") or ""
        self.thought += delta.get("reasoning_content") or ""
        for call in delta.get("tool_calls") or ():
            said = self.calls.setdefault(call["index"], ["", ""])
            said[0] += call["function"].get("name") or ""
            said[1] += call["function"].get("arguments") or ""

    def said(self, usage: Usage | None) -> Said:
        calls = tuple((name, arguments) for name, arguments in self.calls.values())
        return Said(self.text, self.finish, calls, self.thought, usage)


def stream(data: bytes, size: int = 0, *, is_ended: bool = True) -> Said | Broken:
    """What a client reads of a stream in pieces of this size; whose connection breaks where it has not ended."""
    reader, relay, client = OpenAIReader(), ChatRelay(ChatRequest("m", []), HEAD, 10_000), _Client()
    reader.abbreviates = True
    pieces: list[bytes | None] = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    why = ""
    for piece in [*pieces, None] if is_ended else pieces:
        for event in reader.feed(piece) if not (why or relay.is_done) else ():
            if isinstance(event, dict):
                client.read(relay.relay(event))
            elif isinstance(event, Again):
                client.read(relay.again(event))
            elif isinstance(event, End):
                why, relay.is_done = str(event.error or ""), event.error is None
    is_doubtful = reader.is_doubtful and not (is_ended or relay.is_done)
    if why or is_doubtful or not relay.is_complete:
        return Broken(client.text, why)
    client.read(relay.closing(Bill(reader.usage or Usage(), {}, "0", {})))
    return client.said(reader.usage)


def whole(data: bytes) -> Said | Broken:
    """What a client reads of an answer that is not streamed."""
    reader = OpenAIReader()
    try:
        answer = reader.whole(data)
        check_answer(answer)
    except MalformedAnswer as error:
        return Broken(why=str(error))
    complete_answer(answer, HEAD)
    choice, message = answer["choices"][0], answer["choices"][0]["message"]
    called = [call["function"] for call in message.get("tool_calls") or ()]
    calls = tuple((function["name"], function["arguments"]) for function in called)
    thought = message.get("reasoning_content") or ""
    return Said(message["content"] or "", choice["finish_reason"], calls, thought, reader.usage)


def chunk(delta: Any, finish: Any = None, **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice], **members}


def events(*said: Any, end: bytes = b"data: [DONE]\n\n", between: str = "\n\n", name: str = "data: ") -> bytes:
    """Objects as JSON, texts as they are."""
    written = [name + (each if isinstance(each, str) else json.dumps(each)) + between for each in said]
    return "".join(written).encode() + end


def chosen(value: dict[str, Any], **members: Any) -> dict[str, Any]:
    """The chunk with other members of its choice."""
    return {**value, "choices": [{**value["choices"][0], **members}]}


def calling(*fragments: Any, finish: str | None = None) -> dict[str, Any]:
    return chunk({"tool_calls": list(fragments)}, finish)


def called(name: Any, arguments: Any = "", **members: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **members}


def more(arguments: str, **members: Any) -> dict[str, Any]:
    return {"function": {"arguments": arguments}, **members}


HELLO: Final = chunk({"role": "assistant", "content": "Hello"})
THERE: Final = chunk({"content": " there"})
STOP: Final = chunk({}, "stop")
CALLED: Final = chunk({}, "tool_calls")
USAGE: Final = chunk({}, choices=[], usage=COUNTS)
ALL: Final = (HELLO, THERE, STOP)
MARK: Final = b"\xef\xbb\xbf"
THIS: Final = Said()
PAID: Final = Said(usage=COUNTED)
F: Final = ("f", '{"a":1}')
G: Final = ("g", '{"b":2}')
CALL: Final = Said("", "tool_calls", (F,))
CALLS: Final = Said("", "tool_calls", (F, G))


def counting(**counts: Any) -> bytes:
    return events(*ALL, chunk({}, choices=[], usage=counts))


def ending(reason: Any) -> bytes:
    return events(HELLO, THERE, chunk({}, reason))


def lines(value: Any, name: bytes) -> bytes:
    """An event over several lines, each under a name or only the first."""
    first, *rest = json.dumps(value, indent=1).encode().split(b"\n")
    return b"data: " + first + b"\n" + b"".join(name + line + b"\n" for line in rest) + b"\n"


# --- A: an event that is no perfect chunk ----------------------------------------------------------------------------

NO_PERFECT_CHUNKS: Final[dict[str, tuple[bytes, Said]]] = {
    "choices of null": (events(*ALL, {**USAGE, "choices": [None]}), PAID),
    "choices an object": (events(*ALL, {**USAGE, "choices": {}}), PAID),
    "one choice that is no list": (events(*({**each, "choices": each["choices"][0]} for each in ALL), USAGE), PAID),
    "choices by number": (events(*({**each, "choices": {"0": each["choices"][0]}} for each in ALL), USAGE), PAID),
    "objects in texts": (events(*(json.dumps(json.dumps(each)) for each in (*ALL, USAGE))), PAID),
    "one object in a text": (events(HELLO, json.dumps(json.dumps(THERE)), STOP, USAGE), PAID),
    "chunks in one list": (events(HELLO, json.dumps([THERE, STOP, USAGE])), PAID),
    "objects behind each other": (events(HELLO, json.dumps(THERE) + " " + json.dumps(STOP), USAGE), PAID),
    "a comment as data": (events(HELLO, ": OPENROUTER PROCESSING", THERE, STOP), THIS),
    "delta in a list": (events(HELLO, chunk([{"content": " there"}]), STOP), THIS),
    "an error that says nothing": (events(*({**each, "error": {"code": 0, "message": ""}} for each in ALL)), THIS),
    "on its way": (events({"status": "processing", "message": "queued"}, *ALL), THIS),
    "counts alone": (events(*ALL, COUNTS), PAID),
    "counts in metadata": (events(*ALL, {"metadata": {"usage": COUNTS}}), PAID),
    "choices a text": (events(*ALL, {**USAGE, "choices": ""}), PAID),
    "empty objects": (events({}, HELLO, {}, THERE, STOP, USAGE), PAID),
    "null": (events(HELLO, "null", THERE, STOP), THIS),
    "signs of life": (events("ping", HELLO, "Keep-Alive", "undefined", THERE, "None", STOP), THIS),
    "signs of life in brackets": (events("[START]", HELLO, "[PING]", "<keepalive>", ".", THERE, "(ok)", STOP), THIS),
    "an object whose name was left out": (
        events(HELLO, end=b"") + json.dumps(THERE).encode() + b"\n\n" + events(STOP),
        THIS,
    ),
    "objects whose names were left out": (
        events(HELLO, end=b"")
        + b"".join(json.dumps(each).encode() + b"\n" for each in (THERE, STOP))
        + b"\n"
        + events(USAGE),
        PAID,
    ),
    "signs of life by the event's name": (
        b"event: open\ndata: connected to worker 3\n\n"
        + events(HELLO, end=b"event: Heartbeat\ndata: 12:00\n\n")
        + b"event: keepalive\n\n"
        + events(THERE, STOP),
        THIS,
    ),
    "a comma behind": (events(*(json.dumps(each) + "," for each in ALL)), THIS),
    "a comma behind the last member": (events(*(json.dumps(each)[:-1] + " ,}" for each in (*ALL, USAGE))), PAID),
    "a comma behind the last of a list": (events(HELLO, json.dumps(THERE)[:-2] + ", ]}", STOP), THIS),
    "a comma behind the last member, and one in a text": (
        events(json.dumps(chunk({"content": 'a,}"\\,]'}))[:-1] + ",}", STOP),
        Said('a,}"\\,]'),
    ),
    "a number": (events(HELLO, "1", THERE, STOP), THIS),
    "a text": (events(HELLO, '"ping"', THERE, STOP), THIS),
    "blanks": (events(HELLO, "  ", THERE, STOP), THIS),
    "a heartbeat": (events(HELLO, {"type": "heartbeat", "ts": 1}, THERE, STOP), THIS),
    "named end, empty": (events(*ALL, end=b"event: end\ndata:\n\n"), THIS),
    "named done, an object": (events(*ALL, end=b"event: done\ndata: {}\n\n"), THIS),
    "named close, words": (events(*ALL, end=b"event: close\ndata: Connection closed\n\n"), THIS),
    "the end in quotes": (events(*ALL, '"[DONE]"', end=b""), THIS),
    "the end in small letters": (events(*ALL, "[done]", end=b""), THIS),
    "the end without brackets": (events(*ALL, "DONE", end=b""), THIS),
    "the end in small letters, no reason": (events(HELLO, THERE, "[done]", end=b""), THIS),
    "the end in quotes, no reason": (events(HELLO, THERE, '"[DONE]"', end=b""), THIS),
    "the end without brackets, no reason": (events(HELLO, THERE, "DONE", end=b""), THIS),
    "the end behind a mark, no reason": (events(HELLO, THERE, end=b"data: " + MARK + b"[DONE]\n\n"), THIS),
    "the end of a text in C, no reason": (events(HELLO, THERE, "[DONE]\0", end=b""), THIS),
    "named end, no reason": (events(HELLO, THERE, end=b"event: end\ndata: end of stream\n\n"), THIS),
    "named done, an object, no reason": (events(HELLO, THERE, end=b"event: done\ndata: {}\n\n"), THIS),
    "named complete, the last chunk": (events(HELLO, THERE, end=b"event: complete\n") + events(STOP, USAGE), PAID),
    "words in front": (events("connected", {"message": "queued"}, '"queued"', HELLO, THERE, STOP), THIS),
    "words between": (events(HELLO, {"message": "still at it"}, '"still at it"', THERE, STOP), THIS),
    "a line of words between": (events(HELLO, end=b"still at it\n\n") + events(THERE, STOP), THIS),
    "codes that say all is well": (
        events(*({**each, "code": 0, "message": "Success", "base_resp": {"status_code": 0}} for each in ALL)),
        THIS,
    ),
    "the end as an object": (events(*ALL, {"done": True}, end=b""), THIS),
    "the end twice": (events(*ALL, "[DONE]"), THIS),
    "no finish reason": (events(HELLO, THERE), THIS),
    "metadata first": (events({"id": "x", "object": "chat.completion.chunk", "metadata": {"a": 1}}, *ALL), THIS),
    "a filter's words first": (events({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}, *ALL), THIS),
    "delta a text": (events(chunk("Hello"), chunk(" there"), STOP), THIS),
    "delta a list": (events(HELLO, THERE, chunk([], "stop")), THIS),
    "an empty choice": (events(HELLO, {**HELLO, "choices": [{}]}, THERE, STOP), THIS),
    "index null": (events(chosen(HELLO, index=None), THERE, STOP), THIS),
    "index 1": (events(*(chosen(each, index=1) for each in ALL)), THIS),
    "index -1": (events(*(chosen(each, index=-1) for each in ALL)), THIS),
    "ids and times": (b"id: 1\n" + events(HELLO, end=b"") + b"id: 2\nretry: 3\n" + events(THERE, STOP), THIS),
    "CR": (events(*ALL).replace(b"\n", b"\r"), THIS),
    "CRLF": (events(*ALL).replace(b"\n", b"\r\n"), THIS),
    "no blank lines": (events(*ALL, between="\n"), THIS),
    "no blank behind the colon": (events(*ALL, name="data:"), THIS),
    "a tab behind the colon": (events(*ALL, name="data:\t"), THIS),
    "capitals": (events(*ALL, name="DATA: "), THIS),
    "the name twice": (events(*ALL, "[DONE]", end=b"", name="data: data: "), THIS),
    "lines, each with a name": (b"".join(lines(each, b"data: ") for each in ALL) + b"data: [DONE]\n\n", THIS),
    "lines, the first with a name": (b"".join(lines(each, b"") for each in ALL) + b"data: [DONE]\n\n", THIS),
    "NUL between": (events(HELLO, end=b"\0") + events(THERE, STOP), THIS),
    "a page of HTML behind": (events(*ALL, USAGE, end=b"<html><body>502 Bad Gateway</body></html>"), PAID),
}

# --- B: finish reasons -----------------------------------------------------------------------------------------------

CUT: Final = Said(finish="length")
NONE_YET: Final[tuple[Any, ...]] = ("null", "None", False, 0, [])
STOPS: Final[tuple[Any, ...]] = ("STOP", "Stop", "FinishReason.STOP", "OTHER", ["stop"], "unknown")
LENGTHS: Final[tuple[Any, ...]] = (
    "MAX_TOKENS", "FINISH_REASON_MAX_TOKENS", {"type": "length", "length": 5}, "FinishReason.LENGTH", "length.",
    "max_tokens_limit", "maxlength", "length_limit_reached", "hit_max_tokens", "out_of_tokens", "MAX_CONTEXT",
    "context_window", "repetition_truncation", "budget_exceeded", "max_model_len", "seq_len_exceeded", "context_full",
    "limit_reached", "maximum_tokens", "tokens_exhausted", "max_turns", "partial",
)  # fmt: skip
FILTERED: Final[tuple[Any, ...]] = (
    "SAFETY", "IMAGE_SAFETY", "safety_violation", "blocked_by_safety", "prohibited", "censored", "ContentFilter",
    "data_inspection_failed", "refused", "toxic", "content_policy", "unsafe", "harmful_content", "JAILBREAK",
    "MODEL_ARMOR", "inappropriate", "risk_control",
)  # fmt: skip
FAILED: Final[tuple[Any, ...]] = (
    "abort", "cancelled", "error", "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", {"type": "abort"}, "time_limit",
    "oom", "out_of_memory", "connection_lost", "unexpected_eof", "worker_died", "quota_exceeded", "deadline_exceeded",
    "internal", "broken", "terminated", "shutdown", "invalid", "expired", "time_out", "max_time", "bad_gateway",
    "engine_dead", "stalled", "dropped", "shutting_down", "panic", "fatal", "incomplete_response", "RESOURCE_EXHAUSTED",
    "retry",
)  # fmt: skip
REASONS: Final[dict[str, tuple[bytes, Said]]] = {
    "stop beside the last text": (events(HELLO, chunk({"content": " there"}, "stop"), USAGE), PAID),
    "length beside the last text": (events(HELLO, chunk({"content": " there"}, "length")), CUT),
    **{
        f"{said!r} in each": (events(*(chosen(each, finish_reason=said) for each in (HELLO, THERE)), STOP), THIS)
        for said in NONE_YET
    },
    **{f"{said!r}": (ending(said), THIS) for said in STOPS},
    **{f"{said!r}": (ending(said), CUT) for said in LENGTHS},
    **{f"{said!r}": (ending(said), Said(finish="content_filter")) for said in FILTERED},
    "beside the choices": (events(HELLO, THERE, chunk({}, finish_reason="stop")), THIS),
    "in the delta": (events(HELLO, THERE, chunk({"finish_reason": "stop"})), THIS),
    "under another name": (events(HELLO, THERE, chosen(chunk({}), stop_reason="stop")), THIS),
    "length beside the choices, under Anthropic's name": (
        events(HELLO, THERE, chunk({}, stop_reason="max_tokens")),
        CUT,
    ),
    "length under Ollama's name": (events(HELLO, THERE, chosen(chunk({}), done_reason="length")), CUT),
    "before the last text": (events(HELLO, STOP, THERE), THIS),
    "before all text": (events(chunk({"role": "assistant", "content": ""}, "stop"), HELLO, THERE), THIS),
    "twice before all text, and at the end": (events(STOP, STOP, HELLO, THERE, STOP, STOP, USAGE), PAID),
    "beside thoughts": (events(chunk({"reasoning_content": "hm"}, "stop"), HELLO, THERE, STOP), Said(thought="hm")),
    "length beside the choices": (events(HELLO, THERE, chunk({}, finish_reason="length")), CUT),
    "length in the delta": (events(HELLO, THERE, chunk({"finish_reason": "length"})), CUT),
    "length under Anthropic's name": (events(HELLO, THERE, chosen(chunk({}), stop_reason="max_tokens")), CUT),
    "the text that stopped it": (events(HELLO, THERE, chosen(STOP, stop_reason="error")), THIS),
    "length under OpenAI's old name": (
        events(HELLO, THERE, chosen(chunk({}), finish_details={"type": "max_tokens"})),
        CUT,
    ),
    "thought, and no more": (events(chunk({"reasoning_content": "hm"}), STOP), Said("", thought="hm")),
    "nothing said": (events(chunk({"role": "assistant", "content": ""}), STOP), Said("")),
}

# --- C: usage --------------------------------------------------------------------------------------------------------

ZEROS: Final = dict.fromkeys(COUNTS, 0)
CACHED: Final = Said(usage=Usage(input=100, cached_input=90, output=10))
USAGES: Final[dict[str, tuple[bytes, Said]]] = {
    "floats": (counting(prompt_tokens=100.0, completion_tokens=10.0, total_tokens=110.0), PAID),
    "texts": (counting(prompt_tokens="100", completion_tokens="10", total_tokens="110"), PAID),
    "total null": (counting(**{**COUNTS, "total_tokens": None}), PAID),
    "details null": (counting(**COUNTS, prompt_tokens_details=None, completion_tokens_details=None), PAID),
    "details a list": (counting(**COUNTS, prompt_tokens_details=[]), PAID),
    "camels": (counting(promptTokens=100, completionTokens=10, totalTokens=110), PAID),
    "speeds beside": (counting(input_tokens=100, output_tokens=10, total_tokens=110, prompt_tps=2.2), PAID),
    "an empty one first": (events({**HELLO, "usage": {}}, THERE, STOP, USAGE), PAID),
    "zeros first": (events({**HELLO, "usage": ZEROS}, THERE, STOP, USAGE), PAID),
    "zeros last": (events(HELLO, THERE, {**STOP, "usage": COUNTS}, {**USAGE, "usage": ZEROS}), PAID),
    "null last": (events(HELLO, THERE, {**STOP, "usage": COUNTS}, {**USAGE, "usage": None}), PAID),
    "growing": (
        events(
            {**HELLO, "usage": {**COUNTS, "completion_tokens": 1, "total_tokens": 101}},
            {**THERE, "usage": {**COUNTS, "completion_tokens": 2, "total_tokens": 102}},
            {**STOP, "usage": COUNTS},
        ),
        PAID,
    ),
    "in the delta": (events(HELLO, THERE, chunk({"usage": COUNTS}, "stop")), PAID),
    "a list": (events(*ALL, {**USAGE, "usage": [COUNTS]}), PAID),
    "a list that grows": (events(*ALL, {**USAGE, "usage": [{**COUNTS, "completion_tokens": 1}, COUNTS]}), PAID),
    "a list of nothing": (events(*ALL, {**USAGE, "usage": [None]}), THIS),
    "JSON in a text": (events(*ALL, {**USAGE, "usage": json.dumps(COUNTS)}), PAID),
    "no JSON in a text": (events(*ALL, {**USAGE, "usage": "{"}), THIS),
    "in usage": (events(*ALL, {**USAGE, "usage": {"usage": COUNTS}}), PAID),
    "details in camels": (
        counting(promptTokens=100, completionTokens=10, promptTokensDetails={"cachedTokens": 90}),
        CACHED,
    ),
    "details in a list": (counting(**COUNTS, prompt_tokens_details=[{"cached_tokens": 90}]), CACHED),
    "in other places": (
        events(HELLO, {**THERE, "usage_info": {**COUNTS, "completion_tokens": 1}}, {**STOP, "token_usage": COUNTS}),
        PAID,
    ),
    **{
        f"in {name}": (events(HELLO, THERE, {**STOP, name: {"usage": COUNTS}}), PAID)
        for name in ("metadata", "meta", "nvext", "stats")
    },
    **{
        f"in {name}, alone": (events(*ALL, {name: {"usage": COUNTS}}), PAID)
        for name in ("data", "result", "response", "output", "stats")
    },
    "no prompt, but the total": (counting(completion_tokens=10, total_tokens=110), PAID),
    "a prompt that is null": (counting(prompt_tokens=None, completion_tokens=10, total_tokens=110), THIS),
    "no prompt, but what was in the cache and what was not": (
        counting(completion_tokens=10, prompt_cache_hit_tokens=90, prompt_cache_miss_tokens=10),
        CACHED,
    ),
    **{
        f"cached as {name}": (counting(**COUNTS, **{name: 90}), CACHED)
        for name in ("cache_read_tokens", "prompt_tokens_cached", "cache_hit_tokens", "cachedInputTokens")
    },
    **{
        f"cached as {name} of {details}": (counting(**COUNTS, **{details: {name: 90}}), CACHED)
        for details, name in (
            ("prompt_tokens_details", "cache_read_input_tokens"),
            ("prompt_token_details", "cached_tokens"),
            ("input_token_details", "cache_read"),
        )
    },
    "written to Alibaba's cache": (
        counting(
            **COUNTS,
            prompt_tokens_details={
                "cached_tokens": 50,
                "cache_creation_input_tokens": 40,
                "cache_creation": {"ephemeral_5m_input_tokens": 40},
            },
        ),
        Said(usage=Usage(input=100, cached_input=50, cache_write=40, output=10)),
    ),
    "thought, in Anthropic's word": (
        counting(**{**COUNTS, "total_tokens": 150}, completion_tokens_details={"thinking_tokens": 40}),
        Said(usage=Usage(input=100, output=50, reasoning=40)),
    ),
    "watsonx's words": (counting(input_token_count=100, generated_token_count=10), PAID),
    "in Groq's place": (events(HELLO, THERE, {**STOP, "x_groq": {"id": "r", "usage": COUNTS}}), PAID),
    "behind the end": (events(*ALL) + events(USAGE, end=b""), THIS),
    "cached under Anthropic's name": (counting(**COUNTS, cache_read_input_tokens=90), CACHED),
    "more cached than there is": (
        counting(**COUNTS, prompt_tokens_details={"cached_tokens": 500}),
        Said(usage=Usage(input=100, cached_input=100, output=10)),
    ),
    "reasoning beside": (counting(**COUNTS, reasoning_tokens=4), Said(usage=Usage(input=100, output=10, reasoning=4))),
    "less than nothing": (counting(prompt_tokens=100, completion_tokens=-1, total_tokens=99), THIS),
    "more than can be": (counting(prompt_tokens=10**12, completion_tokens=10, total_tokens=10**12 + 10), THIS),
    "truths": (counting(prompt_tokens=True, completion_tokens=True, total_tokens=2), THIS),
}

# --- D: calls --------------------------------------------------------------------------------------------------------

WHOLE: Final = called(*F, index=0, id="a", type="function")
BEGUN: Final = called("f", '{"a":', index=0, id="a", type="function")
TOOLS: Final[dict[str, tuple[bytes, Said]]] = {
    "content null": (events(chunk({"role": "assistant", "content": None}), calling(WHOLE), CALLED), CALL),
    "with the finish reason": (events(calling(WHOLE, finish="tool_calls")), CALL),
    "ended as text": (events(calling(WHOLE), STOP), CALL),
    "not ended": (events(calling(WHOLE)), CALL),
    "behind text": (events(HELLO, calling(WHOLE), STOP), replace(CALL, text="Hello")),
    "arguments null first": (
        events(
            calling(called("f", None, index=0, id="a")), calling(more('{"a":', index=0), more("1}", index=0)), CALLED
        ),
        CALL,
    ),
    "name in each": (events(calling(BEGUN), calling(called("f", "1}", index=0, id="a")), CALLED), CALL),
    "empty names later": (events(calling(BEGUN), calling(called("", "1}", index=0, id="", type="")), CALLED), CALL),
    "index a text": (events(calling({**WHOLE, "index": "0"}), CALLED), CALL),
    "index from 1": (events(calling({**WHOLE, "index": 1}), CALLED), CALL),
    "index null later": (events(calling(BEGUN), calling(more("1}", index=None)), CALLED), CALL),
    "two at one index": (events(calling(WHOLE), calling(called(*G, index=0, id="b")), CALLED), CALLS),
    "two without index or id": (events(calling(called(*F), called(*G)), CALLED), CALLS),
    "two in turns": (
        events(
            calling(called("f", "", index=0, id="a")),
            calling(called("g", "", index=1, id="b")),
            calling(more('{"a":', index=0), more('{"b":', index=1)),
            calling(more("2}", index=1), more("1}", index=0)),
            CALLED,
        ),
        CALLS,
    ),
    "arguments an object": (events(calling({**WHOLE, "function": {"name": "f", "arguments": {"a": 1}}}), CALLED), CALL),
    "null among them": (events(calling(None, WHOLE), CALLED), CALL),
    "an empty object first": (
        events(
            calling(called("f", "{}", index=0, id="a")), calling(more('{"a":', index=0), more("1}", index=0)), CALLED
        ),
        CALL,
    ),
    "an empty object": (
        events(calling(called("f", "{}", index=0, id="a")), CALLED),
        replace(CALL, calls=(("f", "{}"),)),
    ),
    "an empty object, not ended": (
        events(calling(called("f", "{}", index=0, id="a"))),
        replace(CALL, calls=(("f", "{}"),)),
    ),
    "an empty object, cut": (
        events(calling(called("f", "{}", index=0, id="a")), chunk({}, "length")),
        Said("", "length", (("f", "{}"),)),
    ),
    "JSON in a text": (events(chunk({"tool_calls": json.dumps([WHOLE])}), CALLED), CALL),
    "by number": (events(chunk({"tool_calls": {"0": WHOLE}}), CALLED), CALL),
    "arguments under another name": (
        events(calling({"id": "a", "function": {"name": "f", "args": {"a": 1}}}), CALLED),
        CALL,
    ),
    "a reason in each piece": (
        events(calling(BEGUN, finish="tool_calls"), calling(more("1}", index=0), finish="tool_calls")),
        CALL,
    ),
    "beside the delta": (events(chosen(chunk({}), tool_calls=[WHOLE]), CALLED), CALL),
    "said twice": (events(calling(WHOLE), calling(WHOLE), CALLED), CALL),
    "another id in each": (events(calling(BEGUN), calling(more("1}", index=0, id="z")), CALLED), CALL),
    "no calls in each": (
        events(chunk({"content": "Hello", "tool_calls": []}), chunk({"content": " there", "tool_calls": []}), STOP),
        THIS,
    ),
}

# --- G: an upstream's words ------------------------------------------------------------------------------------------

WORDS: Final = "worker limit"
FAILURES: Final[dict[str, bytes]] = {
    "error": events({"error": {"message": WORDS}}),
    "error a text": events({"error": WORDS}),
    "detail": events({"detail": WORDS}),
    "code and message": events({"code": 500, "message": WORDS}),
    "an object called error": events({"object": "error", "message": WORDS, "type": "x", "code": 400}),
    "an event called error": b"event: error\ndata: worker limit\n\n",
    "an event called error, over lines": b"event: error\n" + lines({"message": WORDS}, b""),
    "error's code and words": events({"error_code": 336, "error_msg": WORDS}),
    "MiniMax's": events({"base_resp": {"status_code": 1008, "status_msg": WORDS}, "choices": None}),
    "a list of errors": events({"errors": [{"message": WORDS}]}),
    "no success": events({"success": False, "message": WORDS}),
    "a status": events({"status": "error", "message": WORDS}),
    "plain words": b"worker limit reached\n",
    "Spark's": events({"header": {"code": 10012, "message": WORDS}}),
    "Tencent's": events({"Response": {"Error": {"Code": "x", "Message": WORDS}}}),
    "in an envelope": events({"code": 0, "data": {"error": {"message": WORDS}}}),
    "no status": events({"status": False, "message": WORDS}),
    "a message alone": events({"message": WORDS}),
    "in a text": events(json.dumps(json.dumps({"error": {"message": WORDS}}))),
    "in a delta": events(HELLO, chunk({"error": {"message": WORDS}})),
    "a choice's error": events({**chunk({"content": ""}, "error"), "error": {"code": 502, "message": WORDS}}),
}
BROKEN: Final[dict[str, bytes]] = {
    **{f"ended by {word!r}": ending(word) for word in FAILED},
    "no end": events(HELLO, THERE, end=b""),
    "usage and no end": events(HELLO, THERE, USAGE, end=b""),
    "thought and no end": events(chunk({"reasoning_content": "hm"})),
    "nothing": events(),
    "a call cut": events(calling(BEGUN)),
    "a reason before all text, and no end": events(chunk({"role": "assistant"}, "stop"), HELLO, end=b""),
    "a reason beside thoughts, and no end": events(chunk({"reasoning_content": "hm"}, "stop"), HELLO, end=b""),
    "a failure under Anthropic's name": events(HELLO, chosen(chunk({}), stop_reason="error")),
    "an error whose name was left out": events(HELLO, end=b'{"error":{"message":"worker limit"}}\n\n')
    + events(THERE, STOP),
    "a failure beside the choices": events(HELLO, chunk({}, finish_reason="error")),
    "a failure beside no choices": events(HELLO, {"choices": [], "finish_reason": "error"}),
    "a call without a name": events(calling({"index": 0, "id": "a", **more("{}")}), CALLED),
    "a page of HTML within": events(HELLO, end=b"<html><body>502 Bad Gateway</body></html>\n\n"),
    "an error within": events(HELLO, {"error": {"message": WORDS, "code": 504}}),
    "words behind, and no reason": events(HELLO, {"message": WORDS}),
    "a text behind, and no reason": events(HELLO, json.dumps(WORDS)),
    "a line of words behind, and no reason": events(HELLO, end=b"worker limit\n\ndata: [DONE]\n\n"),
    "why Groq stopped": events(HELLO, {**STOP, "x_groq": {"id": "r", "error": WORDS}}),
    "MiniMax's, beside a choice": events(HELLO, {**chunk({}), "base_resp": {"status_code": 1, "status_msg": WORDS}}),
    "Tencent's, beside a choice": events(HELLO, {**chunk({}), "ErrorMsg": {"Msg": WORDS, "Code": 5000}}),
    "a code beside a choice": events(HELLO, {**chunk({"content": ""}), "code": 500, "message": WORDS}),
    "a reason in each piece of a call that is cut": events(calling(BEGUN, finish="tool_calls"), end=b""),
    "a reason in each piece of a call, and an error": events(
        calling(BEGUN, finish="tool_calls"), {"error": {"message": WORDS}}
    ),
    "a call without a name, and no reason": events(calling({"index": 0, "id": "a", **more("{}")})),
    "a word within": events(HELLO, "timeout", THERE, STOP),
    "signs of life alone": events("ping", "ping"),
    "signs of life for an end": events(HELLO, THERE, "ping", end=b""),
}

# --- H, J: marks, and values that the schema does not know -----------------------------------------------------------

ODD: Final[dict[str, tuple[bytes, Said]]] = {
    "a mark": (MARK + events(*ALL), THIS),
    "two marks": (MARK + MARK + events(*ALL), THIS),
    "a mark before each event": (b"".join(MARK + events(each, end=b"") for each in ALL) + b"data: [DONE]\n\n", THIS),
    "a mark before each object": (events(*ALL).replace(b"data: {", b"data: " + MARK + b"{"), THIS),
    "blank lines first": (b"\n\n\r\n" + events(*ALL), THIS),
    "a comment first": (b": ok\n\n" + events(*ALL), THIS),
    "a line of nothing first": (b"OK\n" + events(*ALL), THIS),
    "a mark in Latin letters": ("ï»¿".encode() + events(*ALL), THIS),
    "a blank without width": ("\u200b".encode() + events(*ALL), THIS),
    "a letter in two": (events(chunk({"content": "\ud83d"}), chunk({"content": "\ude00"}), STOP), Said("\U0001f600")),
    "a bare control": (events(chunk({"content": "X"}), STOP).replace(b'"X"', b'"a\tb"'), Said("a\tb")),
    "errors of null": (events({**HELLO, "error": None}, {**THERE, "error": {}}, STOP), THIS),
    "role empty": (events(chunk({"role": "", "content": "Hello"}), THERE, STOP), THIS),
    "role null": (events(chunk({"role": None, "content": "Hello"}), THERE, STOP), THIS),
    "role of another": (events(chunk({"role": "ai", "content": "Hello"}), THERE, STOP), THIS),
    "content as parts": (events(chunk({"content": [{"type": "text", "text": "Hello"}]}), THERE, STOP), THIS),
    "content an object": (events(chunk({"content": {"text": "Hello"}}), THERE, STOP), THIS),
    "content a number": (events(chunk({"content": 1}), chunk({"content": "!"}), STOP), Said("1!")),
    "a thought's summary": (
        events(chunk({"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}]}), *ALL),
        Said(thought="hm"),
    ),
    "citations that are none": (events(HELLO, chunk({"annotations": {}}), THERE, STOP), THIS),
    "content null first": (events(chunk({"content": None}), HELLO, THERE, STOP), THIS),
    "messages for deltas": (
        events(*({"choices": [{"index": 0, "message": each["choices"][0]["delta"]}]} for each in (HELLO, THERE)), STOP),
        THIS,
    ),
    "texts for deltas": (events(*({"choices": [{"text": each}]} for each in ("Hello", " there")), STOP), THIS),
    "a whole answer as an event": (
        events({"choices": [{"message": {"content": "Hello there"}, "finish_reason": "stop"}], "usage": COUNTS}),
        PAID,
    ),
    "thoughts beside": (
        events(chunk({"reasoning_content": "hm", "content": ""}), HELLO, THERE, STOP), Said(thought="hm")
    ),
    "thoughts null": (events(chunk({"reasoning_content": None, "content": "Hello"}), THERE, STOP), THIS),
    "a tier nobody knows": (events({**HELLO, "service_tier": "on_demand"}, THERE, STOP), THIS),
}  # fmt: skip
GOOD: Final = {
    f"{group}: {name}": case
    for group, cases in {
        "A": NO_PERFECT_CHUNKS, "B": REASONS, "C": USAGES, "D": TOOLS, "HJ": ODD,
    }.items()
    for name, case in cases.items()
}  # fmt: skip
each_good = pytest.mark.parametrize(("data", "said"), GOOD.values(), ids=GOOD.keys())


@each_good
@pytest.mark.parametrize("size", [0, 7, 1])
def test_good_answer_is_not_lost(data: bytes, said: Said, size: int) -> None:
    assert stream(data, size) == said


@each_good
def test_cut_answer_never_looks_whole_with_less(data: bytes, said: Said) -> None:
    """But for what comes behind a finish reason, which nobody can miss."""
    assert {cut for cut in _cuts(data) if _looks_whole_with_less(data[:cut], said)} <= _behind_its_reason(data)


def _cuts(data: bytes) -> Iterable[int]:
    return range(1, len(data), 1 + len(data) // 50)


def _looks_whole_with_less(data: bytes, said: Said) -> bool:
    read = [stream(data), stream(data, is_ended=False)]
    return any(isinstance(each, Said) and (each.text, each.calls) != (said.text, said.calls) for each in read)


def _behind_its_reason(data: bytes) -> set[int]:
    """Where the case that has text behind its finish reason may be cut."""
    reason = data.find(json.dumps(STOP).encode())
    return set(_cuts(data)) if 0 <= reason < data.find(b"there") else set()


@pytest.mark.parametrize("data", FAILURES.values(), ids=FAILURES.keys())
@pytest.mark.parametrize("size", [0, 7, 1])
def test_words_of_an_upstream_that_fails_are_kept(data: bytes, size: int) -> None:
    read = stream(data, size)
    assert isinstance(read, Broken)
    assert WORDS in read.why


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("size", [0, 7, 1])
def test_broken_answer_never_looks_whole(data: bytes, size: int) -> None:
    assert isinstance(stream(data, size), Broken)


# --- whole answers ---------------------------------------------------------------------------------------------------


def answered(message: Any, finish: Any = "stop", **members: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps(
        {"id": "x", "object": "chat.completion", "choices": [choice], "usage": COUNTS, **members}
    ).encode()


SAYING: Final = {"role": "assistant", "content": "Hello there"}
WHOLE_ANSWERS: Final[dict[str, tuple[bytes, Said]]] = {
    "a mark": (MARK + answered(SAYING), PAID),
    "NUL behind": (answered(SAYING) + b"\n\0", PAID),
    "blank lines first": (b"   \n\n" + answered(SAYING), PAID),
    "in a list": (b"[" + answered(SAYING) + b"]", PAID),
    "no finish reason": (answered(SAYING, None), PAID),
    "a text for a message": (json.dumps({"choices": [{"text": "Hello there"}], "usage": COUNTS}).encode(), PAID),
    "a delta for a message": (json.dumps({"choices": [{"delta": SAYING, "finish_reason": "stop"}]}).encode(), THIS),
    "choices by number": (json.dumps({"choices": {"0": {"message": SAYING}}}).encode(), THIS),
    "one choice that is no list": (json.dumps({"choices": {"message": SAYING}}).encode(), THIS),
    "a choice that is null": (json.dumps({"choices": [None, {"message": SAYING}]}).encode(), THIS),
    "a text where the message should be": (answered("Hello there"), PAID),
    "encoded twice": (json.dumps(answered(SAYING).decode()).encode(), PAID),
    "encoded twice, a mark": (MARK + json.dumps(answered(SAYING).decode()).encode(), PAID),
    "blanks before a mark": (b"\n" + MARK + answered(SAYING), PAID),
    "UTF-16": (answered(SAYING).decode().encode("utf-16"), PAID),
    "signs of life first": (b": OPENROUTER PROCESSING\n\n" * 3 + answered(SAYING), PAID),
    "an error that says nothing": (answered(SAYING, error={"code": 0, "message": ""}), PAID),
    "the reason beside the choices": (answered(SAYING, None, finish_reason="length"), replace(PAID, finish="length")),
    "Anthropic's name of the reason": (
        json.dumps({"choices": [{"message": SAYING, "stop_reason": "max_tokens"}], "usage": COUNTS}).encode(),
        replace(PAID, finish="length"),
    ),
    "usage a list": (answered(SAYING, usage=[COUNTS]), PAID),
    "usage as JSON in a text": (answered(SAYING, usage=json.dumps(COUNTS)), PAID),
    "parts under another name": (answered({"content": [{"type": "text", "content": "Hello there"}]}), PAID),
    "a part that was thought": (
        answered({"content": [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "Hello there"}]}),
        replace(PAID, thought="hm"),
    ),
    "thoughts an object": (
        answered({**SAYING, "reasoning_content": {"content": "hm"}}),
        replace(PAID, thought="hm"),
    ),
    "a function that is none": (answered({**SAYING, "function_call": {"name": None, "arguments": None}}), PAID),
    "calls beside the message": (
        json.dumps({"choices": [{"message": {}, "tool_calls": [called(*F)], "finish_reason": "stop"}]}).encode(),
        CALL,
    ),
    "calls ended as text": (
        answered({"content": None, "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"a": 1}}}]}),
        replace(CALL, usage=COUNTED),
    ),
    "no calls ended as some": (answered({**SAYING, "tool_calls": []}, "tool_calls"), PAID),
    "a comma behind the last member": (answered(SAYING)[:-1] + b",\n}", PAID),
    "calls by number": (
        answered({"content": None, "tool_calls": {"0": called(*F)}}, "tool_calls"),
        replace(CALL, usage=COUNTED),
    ),
    "a code that says all is well": (answered(SAYING, base_resp={"status_code": 0, "status_msg": ""}, code=0), PAID),
}
NO_ANSWERS: Final[dict[str, bytes]] = {
    "a failure's word": answered(SAYING, "error"),
    "a failure under Anthropic's name": json.dumps({"choices": [{"message": SAYING, "stop_reason": "error"}]}).encode(),
    "an error, encoded twice": json.dumps(json.dumps({"error": {"message": "no"}})).encode(),
    "words alone": json.dumps({"message": "no"}).encode(),
    "no choices": json.dumps({"choices": [], "usage": COUNTS}).encode(),
    "a failure beside a choice that says nothing": answered(
        {"content": ""}, base_resp={"status_code": 1027, "status_msg": "no"}
    ),
    "cut": answered(SAYING)[:-9],
    "two": answered(SAYING) + b"\n" + answered(SAYING),
    **{
        f"a call without a name, {name}": answered(
            {"content": "Hello", "tool_calls": [{"id": "a", **call}]}, "tool_calls"
        )
        for name, call in {
            "absent": more("{}"),
            "null": called(None, "{}"),
            "empty": called("", "{}"),
            "nothing but an id": {"type": "function"},
            "of a kind of its own": {"type": "custom", "custom": {"input": "x"}},
        }.items()
    },
}


@pytest.mark.parametrize(("data", "said"), WHOLE_ANSWERS.values(), ids=WHOLE_ANSWERS.keys())
def test_good_whole_answer_is_not_lost(data: bytes, said: Said) -> None:
    assert whole(data) == said


@pytest.mark.parametrize("data", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_broken_whole_answer_never_looks_whole(data: bytes) -> None:
    assert isinstance(whole(data), Broken)


# --- the first piece of lines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "is_piece"),
    [
        (HELLO, True),
        (chunk({"role": "assistant", "content": ""}), True),
        (STOP, False),  # perhaps all that is said
        ({"choices": [{"message": SAYING}]}, False),
        ({"choices": [{"message": SAYING, "delta": {}}]}, False),
        ({"choices": []}, False),
        ({"choices": None}, False),
        ({"data": HELLO}, False),
        ({"error": {"message": WORDS}}, False),
    ],
    ids=["text", "role", "finish reason", "message", "both", "no choices", "null", "wrapped", "error"],
)
def test_object_that_only_a_stream_has_is_a_piece(value: Any, is_piece: bool) -> None:
    assert OpenAIReader().is_piece(json.dumps(value).encode()) is is_piece


def test_what_is_no_json_is_no_piece() -> None:
    assert not OpenAIReader().is_piece(b"{'choices': []}")
