"""More of what vendors, servers and gateways send, byte by byte, read as in `test_bytes.py`.

From public reports and documentation: OpenWebUI before vLLM (`stop` behind each piece of a call), vLLM's parser for
Mistral (`"function": null` first), OCI through LiteLLM (another id in each piece), SGLang (a call's arguments begun
twice), DashScope, Ollama, llama.cpp, Workers AI, Baidu, Cohere and text-generation-inference in formats of their own,
OpenRouter (its upstream's words), Bedrock's `messageStop`, Tencent's and watsonx's counts, New API and One API (answers
in envelopes, codes that say that all is well).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import pytest

from billing.kinds import Usage
from routing.providers.openai.natives import in_openais
from routing.providers.openai.reader import OpenAIReader
from tests.routing.providers.openai.test_bytes import (
    ALL,
    BEGUN,
    CACHED,
    CALL,
    CALLED,
    CALLS,
    COUNTED,
    COUNTS,
    CUT,
    HELLO,
    PAID,
    SAYING,
    STOP,
    THERE,
    THIS,
    USAGE,
    WHOLE,
    WORDS,
    Broken,
    F,
    G,
    Said,
    answered,
    called,
    calling,
    chosen,
    chunk,
    counting,
    ending,
    events,
    more,
    stream,
    whole,
)

NAMED: Final = called("f", "", index=0, id="a", type="function")


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def dashscope(said: dict[str, Any]) -> dict[str, Any]:
    return {"output": said, "usage": {"input_tokens": 100, "output_tokens": 10}, "request_id": "r"}


def ollama(message: dict[str, Any], *, done: bool = False, **members: Any) -> dict[str, Any]:
    return {"model": "up", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": done, **members}


def baidu(result: str, **members: Any) -> dict[str, Any]:
    return {
        "id": "as-1",
        "object": "chat.completion",
        "result": result,
        "is_truncated": False,
        "usage": COUNTS,
        **members,
    }


def cohere(kind: str, **members: Any) -> bytes:
    return b"event: %b\n" % kind.encode() + events({"type": kind, **members}, end=b"")


def piece(kind: str, place: int = 0, **said: Any) -> bytes:
    return cohere(kind, index=place, delta={"message": said})


def coheres(*pieces: bytes, reason: str = "COMPLETE", **members: Any) -> bytes:
    usage = {
        "billed_units": {"input_tokens": 90, "output_tokens": 10},
        "tokens": {"input_tokens": 100, "output_tokens": 10},
    }
    last = cohere("message-end", delta={"finish_reason": reason, "usage": usage, **members})
    return b"".join([cohere("message-start", delta={"message": {"role": "assistant", "content": []}}), *pieces, last])


def calls_of_cohere(place: int, name: str, arguments: str) -> bytes:
    function = {"id": name, "type": "function", "function": {"name": name, "arguments": ""}}
    begun = piece("tool-call-start", place, tool_calls=function)
    rest = [piece("tool-call-delta", place, tool_calls=more(each)) for each in (arguments[:4], arguments[4:])]
    return b"".join([begun, *rest, cohere("tool-call-end", index=place)])


def token(text: str, **members: Any) -> dict[str, Any]:
    said = {"id": 1, "text": text, "logprob": -0.5, "special": text.startswith("<")}
    return {"index": 1, "token": said, "generated_text": None, "details": None, **members}


TEXTS: Final = (
    piece("content-start", content={"type": "text", "text": ""}),
    piece("content-delta", content={"text": "Hello"}),
    piece("content-delta", content={"text": " there"}),
    cohere("content-end", index=0),
)
OVER: Final = ollama(
    {"role": "assistant", "content": ""}, done=True, done_reason="stop", prompt_eval_count=100, eval_count=10
)
EMPTY: Final = Said("", "tool_calls", (("f", "{}"),))

# --- A: ends, envelopes, formats of their own ------------------------------------------------------------------------

ENDS: Final[dict[str, bytes]] = {
    **{
        f"the end as {value}": events(HELLO, THERE, value, end=b"")
        for value in (
            {"done": True}, {"is_end": True}, {"finished": True}, {"type": "done"}, {"event": "done"},
            {"data": "[DONE]"},
        )
    },
    **{
        f"the end as {said}": events(HELLO, THERE, said, end=b"")
        for said in ("[END]", "[EOS]", "[DONE].", "<DONE>", "'[DONE]'", "[ DONE ]", '["DONE"]', r"[DONE]\n",
                     r"[DONE]\n\n")
    },
    **{
        f"an event named {name}": events(HELLO, THERE, end=b"event: %b\ndata: {}\n\n" % name.encode())
        for name in ("stream-end", "finish", "message_end", "eos")
    },
    "the end as a line": events(HELLO, THERE, end=b"[DONE]\n\n"),
}  # fmt: skip
ENVELOPED: Final[dict[str, bytes]] = {
    **{
        f"in {name}": events(*({name: each} for each in (*ALL, USAGE)))
        for name in ("data", "result", "response", "output", "body", "payload", "chunk")
    },
    "in data, with a code": events(*({"code": 0, "msg": "ok", "data": each} for each in (*ALL, USAGE))),
    "in data, as a text": events(*({"code": 0, "data": json.dumps(each)} for each in (*ALL, USAGE))),
    "choices as a text": events(*({**each, "choices": json.dumps(each["choices"])} for each in (*ALL, USAGE))),
    "in three": events(*({"data": {"response": {"result": each}}} for each in (*ALL, USAGE))),
    "in two": events(*({"data": {"response": each}} for each in (*ALL, USAGE))),
}
NATIVES: Final[dict[str, tuple[bytes, Said]]] = {
    "DashScope's texts": (
        events(*(dashscope({"text": each, "finish_reason": "null"}) for each in ("Hello", " there")),
               dashscope({"text": "", "finish_reason": "stop"}), end=b""),
        PAID,
    ),
    "DashScope's messages": (
        events(*(dashscope({"choices": [{"message": {"content": each}, "finish_reason": "null"}]})
                 for each in ("Hello", " there")),
               dashscope({"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}), end=b""),
        replace(PAID, finish="length"),
    ),
    "Ollama's": (lines(ollama({"content": "Hello"}), ollama({"content": " there"}), OVER), PAID),
    "Ollama's, cut": (
        lines(ollama({"content": "Hello there"}), {**OVER, "done_reason": "length"}), replace(PAID, finish="length")
    ),
    "Ollama's of old": (
        lines(ollama({"content": "Hello there"}), {k: v for k, v in OVER.items() if k != "done_reason"}), PAID
    ),
    "Ollama's thoughts": (
        lines(ollama({"content": "", "thinking": "hm"}), ollama({"content": "Hello there"}), OVER),
        replace(PAID, thought="hm"),
    ),
    "Ollama's calls": (
        lines(ollama({"content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}), OVER),
        replace(CALL, usage=COUNTED),
    ),
    "Ollama's of texts": (
        lines({"response": "Hello", "done": False}, {"response": " there", "done": False},
              {"response": "", "done": True, "done_reason": "stop", "prompt_eval_count": 100, "eval_count": 10}),
        PAID,
    ),
    "llama.cpp's": (
        events({"content": "Hello", "stop": False}, {"content": " there", "stop": False},
               {"content": "", "stop": True, "stop_type": "eos", "tokens_evaluated": 100, "tokens_predicted": 10},
               end=b""),
        PAID,
    ),
    "llama.cpp's, cut": (
        events({"content": "Hello there", "stop": False}, {"content": "", "stop": True, "stop_type": "limit"}, end=b""),
        CUT,
    ),
    "llama.cpp's of old, cut": (
        events({"content": "Hello there", "stop": False}, {"content": "", "stop": True, "stopped_limit": True},
               end=b""),
        CUT,
    ),
    "Baidu's": (
        events(baidu("Hello", is_end=False), baidu(" there", is_end=False), baidu("", is_end=True), end=b""), PAID
    ),
    "Baidu's, cut": (
        events(baidu("Hello", is_end=False), baidu(" there", is_end=True, is_truncated=True), end=b""),
        replace(PAID, finish="length"),
    ),
    "Cohere's": (coheres(*TEXTS), PAID),
    "Cohere's, cut": (coheres(*TEXTS, reason="MAX_TOKENS"), replace(PAID, finish="length")),
    "Cohere's citations": (
        coheres(*TEXTS, piece("citation-start", citations={"start": 0, "end": 5}), cohere("citation-end")),
        PAID,
    ),
    "Cohere's thoughts": (
        coheres(piece("content-delta", content={"thinking": "hm"}), *TEXTS), replace(PAID, thought="hm")
    ),
    "Cohere's calls": (
        coheres(piece("tool-plan-delta", tool_plan="hm"), calls_of_cohere(0, *F), calls_of_cohere(1, *G),
                reason="TOOL_CALL"),
        replace(CALLS, thought="hm", usage=COUNTED),
    ),
    "text-generation-inference's": (
        events(token("Hello"), token(" there"),
               token("</s>", generated_text="Hello there", details={"finish_reason": "eos_token"}), end=b""),
        THIS,
    ),
    "text-generation-inference's, cut": (
        events(token("Hello"), token(" there", generated_text="Hello there", details={"finish_reason": "length"}),
               end=b""),
        CUT,
    ),
    "text-generation-inference's, without details": (
        events(token("Hello"), token(" there", generated_text="Hello there"), end=b""), THIS
    ),
    "Workers AI's": (
        events({"response": "Hello"}, {"response": " there", "p": "abc"}, {"response": "", "usage": COUNTS}), PAID
    ),
}  # fmt: skip
GLUED: Final[dict[str, tuple[bytes, Said]]] = {
    **{
        f"two on one line, {between!r} between": (
            events(HELLO, between.join(map(json.dumps, (THERE, STOP))), USAGE), PAID
        )
        for between in ("data: ", "data:", r"\n\ndata: ", " data: ", ",")
    },
    "all on one line": (events("data: ".join(map(json.dumps, (*ALL, USAGE)))), PAID),
    "a line's end behind each": (events(*(json.dumps(each) + r"\n\n" for each in (*ALL, USAGE))), PAID),
    **{
        f"the end behind {behind!r} on the line of the last": (
            events(HELLO, THERE, STOP, json.dumps(USAGE) + behind, end=b""), PAID
        )
        for behind in ("data: [DONE]", "[DONE]", " [DONE]", r"\n\ndata: [DONE]\n\n")
    },
    "the end on the line of the last text": (events(HELLO, json.dumps(THERE) + "data: [DONE]", end=b""), THIS),
    "something behind the end on its line": (events(HELLO, THERE, json.dumps(STOP) + "data: [DONE]", HELLO), THIS),
    "what looks like a name in a text": (
        events(chunk({"content": '{"a":1}data: {"b":2}'}), STOP), Said('{"a":1}data: {"b":2}')
    ),
}  # fmt: skip
QUIRKS: Final[dict[str, tuple[bytes, Said]]] = {
    "a state that nobody knows, and words": (
        events({**chunk({"role": "assistant"}), "status": "generating", "message": "4 of 9"}, *ALL),
        THIS,
    ),
    "states that say all is well": (
        events(
            *({**each, "status": state} for each, state in zip(ALL, ("in_progress", 200, "completed"), strict=True))
        ),
        THIS,
    ),
    **{
        f"an error of {value!r}": (events(*({**each, "error": value} for each in ALL)), THIS)
        for value in ("", "null", "none", False, {"code": "0", "message": "success"}, {"code": 200, "message": "OK"})
    },
    "stop behind each piece": (events(HELLO, STOP, THERE, STOP, STOP, USAGE), PAID),
    "two in one event": (
        events(HELLO, end=b"")
        + b"data: %b\ndata: [DONE]\n\n" % json.dumps(chunk({"content": " there"}, "stop")).encode(),
        THIS,
    ),
    "marks of lines in a text": (
        events(chunk({"content": "a\u2028b\u2029c\x85d\x0b"}), STOP).replace(
            rb"\u2028b\u2029c\u0085", "\u2028b\u2029c\x85".encode()
        ),
        Said("a\u2028b\u2029c\x85d\x0b"),
    ),
}

# --- B: finish reasons -----------------------------------------------------------------------------------------------

LENGTHS: Final[tuple[Any, ...]] = (
    ["length"], {"value": "length"}, {"name": "LENGTH"}, "too_long", "cutoff", "cut_off", "window_full", "over_length",
)  # fmt: skip
FILTERED: Final = (
    "hate",
    "illegal",
    "copyright",
    "ip_infringing",
    "security",
    "blacklist",
    "inspection",
    "audio_blocked",
)
FAILED: Final = (
    "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE", "too_many_requests", "kv_cache_full", "no_capacity",
    "out_of_resources", "stream_closed", "socket hang up", "reset_by_peer", "ECONNRESET", "none_available",
    "stopped_by_server", "server_stopped", "unhealthy", "throttled", "segfault", "corrupted", "stuck", "halted",
    "insufficient_balance", "out_of_credits", "unauthorized", "suspended", "bad_response", "max_retries", "http_502",
    "502", "500", "GOAWAY", "eof", "unfinished", "not_finished", "worker_restart", "SIGTERM",
)  # fmt: skip
REASONS: Final[dict[str, tuple[bytes, Said]]] = {
    **{f"{said!r}": (ending(said), CUT) for said in LENGTHS},
    **{f"{said!r}": (ending(said), Said(finish="content_filter")) for said in FILTERED},
    "length as OpenRouter's upstream has it": (
        events(HELLO, THERE, chosen(chunk({}), native_finish_reason="MAX_TOKENS")),
        CUT,
    ),
    **{
        f"{word!r} of OpenRouter's upstream beside ours": (
            events(chosen(HELLO, native_finish_reason=None), THERE, chosen(STOP, native_finish_reason=word)),
            THIS,
        )
        for word in ("completed", "end_turn", "STOP", "", None)
    },
    "what cut it, beside length": (
        events(HELLO, THERE, chosen(chunk({}, "length"), native_finish_reason="time_limit")),
        CUT,
    ),
    "length in camels": (events(HELLO, THERE, chosen(chunk({}), stopReason="max_tokens")), CUT),
    "length in camels, beside the choices": (events(HELLO, THERE, chunk({}, stopReason="max_tokens")), CUT),
    **{
        f"length in the delta as {name}": (events(HELLO, THERE, chunk({name: "max_tokens"})), CUT)
        for name in ("finishReason", "stop_reason", "done_reason")
    },
    "length in a message that says no more": (
        events(HELLO, THERE, {"choices": [{"index": 0, "message": {"finish_reason": "length"}}]}),
        CUT,
    ),
    **{
        f"length in {name}": (events(HELLO, THERE, {name: {"stop_reason": "max_tokens"}}), CUT)
        for name in ("message_stop", "messageStop")
    },
    "length in Bedrock's": (events(HELLO, THERE, {"messageStop": {"stopReason": "max_tokens"}}), CUT),
    "length beside no choices": (events(HELLO, THERE, {"choices": [], "finish_reason": "length"}), CUT),
    "stop beside no choices, then the usage": (
        events(HELLO, THERE, {"choices": [], "finish_reason": "stop"}, USAGE),
        PAID,
    ),
    "stop at place 3, length beside no choices": (
        events(*(chosen(each, index=3) for each in (HELLO, THERE)), {"choices": [], "finish_reason": "length"}),
        CUT,
    ),
}

# --- C: usage --------------------------------------------------------------------------------------------------------

THOUGHT: Final = Said(usage=Usage(input=100, output=10, reasoning=4))
USAGES: Final[dict[str, tuple[bytes, Said]]] = {
    **{
        f"counts as {read} and {written}": (counting(**{read: 100, written: 10}), PAID)
        for read, written in (
            ("PromptTokens", "CompletionTokens"), ("prompt_token", "completion_token"), ("input", "output"),
            ("n_prompt_tokens", "n_completion_tokens"), ("num_input_tokens", "num_output_tokens"),
            ("input_token_count", "output_token_count"), ("tokens_evaluated", "tokens_predicted"),
            ("prompt_tokens", "generated_tokens"), ("tokens_prompt", "tokens_completion"), ("prompt_n", "predicted_n"),
            ("PROMPT_TOKENS", "COMPLETION_TOKENS"),
        )
    },
    **{
        f"cached as {name}": (counting(**COUNTS, **{name: 90}), CACHED)
        for name in (
            "cachedPromptTokens", "prompt_cache_tokens", "input_cached_tokens", "cacheReadTokens", "cached_token_count",
            "prompt_tokens_from_cache", "prompt_cache_hit",
        )
    },
    **{
        f"cached in {name}": (counting(**COUNTS, **{name: {"cached_tokens": 90}}), CACHED)
        for name in ("prompt_tokens_detail", "input_details", "promptTokenDetails", "InputTokensDetails")
    },
    **{
        f"cached as {name} of the details": (counting(**COUNTS, prompt_tokens_details={name: 90}), CACHED)
        for name in ("cached", "cacheRead", "cached_token")
    },
    **{
        f"thought in {name}": (counting(**COUNTS, **{name: {"reasoning_tokens": 4}}), THOUGHT)
        for name in ("completion_tokens_detail", "output_details", "outputTokenDetails")
    },
    **{
        f"thought as {name}": (counting(**COUNTS, completion_tokens_details={name: 4}), THOUGHT)
        for name in ("thinking", "thought_tokens", "reasoning_output_tokens", "reasoningTokenCount")
    },
    "words that mean something else": (
        counting(**COUNTS, cached_tokens_cost=5, prompt_cost=3, cache_miss_tokens=7, total_time=9, audio_input_tokens=8,
                 cache_ttl_tokens=4, details_tokens={"cached_tokens": 90}, **{"cached_" + "a" * 60: 6}),
        PAID,
    ),
    "written as a cache's creation": (
        counting(**COUNTS, cacheCreationTokens=40), Said(usage=Usage(input=100, cache_write=40, output=10))
    ),
    "a prompt of nothing, and a total": (counting(prompt_tokens=0, completion_tokens=10, total_tokens=110), PAID),
    "a prompt of nothing, and no more in the total": (
        counting(prompt_tokens=0, completion_tokens=10, total_tokens=10), Said(usage=Usage(input=0, output=10))
    ),
    **{
        f"in the place {name}": (events(HELLO, THERE, {**STOP, name: COUNTS}), PAID)
        for name in ("tokenUsage", "usage_stats")
    },
    **{
        f"in {name}": (events(HELLO, THERE, {**STOP, name: {inner: COUNTS}}), PAID)
        for name, inner in (
            ("header", "usage"), ("payload", "usage"), ("extra", "usage"), ("extra_info", "usage"),
            ("response_metadata", "token_usage"), ("llm_output", "token_usage"), ("metadata", "tokenUsage"),
        )
    },
}  # fmt: skip

# --- D: calls --------------------------------------------------------------------------------------------------------

NO_CALLS: Final[tuple[Any, ...]] = (False, "null", "None", 0, {}, "[]", [{}])
TOOLS: Final[dict[str, tuple[bytes, Said]]] = {
    "stop behind each piece": (
        events(calling(NAMED), STOP, calling(more('{"a":', index=0)), STOP, calling(more("1}", index=0)), STOP, CALLED),
        CALL,
    ),
    "stop behind each piece, and no more": (
        events(calling(NAMED), STOP, calling(more('{"a":', index=0)), STOP, calling(more("1}", index=0)), STOP),
        CALL,
    ),
    "stop behind each piece but the last": (
        events(calling(NAMED), STOP, calling(more('{"a":', index=0)), STOP, calling(more("1}", index=0))),
        CALL,
    ),
    "stop behind a name, and no more": (events(calling(NAMED), STOP, USAGE), replace(EMPTY, usage=COUNTED)),
    "function null first": (
        events(calling({"id": "a", "index": 0, "type": "function", "function": None}),
               calling({"id": None, "index": 0, "function": {"name": "f", "arguments": '{"a":'}}),
               calling(more("1}", index=0)), CALLED),
        CALL,
    ),
    **{
        f"as {name}": (events(chunk({name: value}), CALLED), CALL)
        for name, value in {"tool_call": [WHOLE], "toolCalls": [WHOLE]}.items()
    },
    "as one tool_call": (events(chunk({"tool_call": WHOLE}), CALLED), CALL),
    "in a list of lists": (events(chunk({"tool_calls": [[WHOLE]]}), CALLED), CALL),
    "of Anthropic's": (events(calling({"type": "tool_use", "id": "a", "name": "f", "input": {"a": 1}}), CALLED), CALL),
    "arguments null, and parameters": (
        events(calling({"id": "a", "function": {"name": "f", "arguments": None, "parameters": {"a": 1}}}), CALLED), CALL
    ),
    **{
        f"none as {value!r}": (events(chunk({"content": "Hello", "tool_calls": value}), THERE, STOP), THIS)
        for value in NO_CALLS
    },
    "another id in each, the name empty": (
        events(calling(NAMED), calling(called("", '{"a":', index=0, id="b")),
               calling(called("", "1}", index=0, id="c")), CALLED),
        CALL,
    ),
    "places from 1": (events(calling(called(*F, index=1, id="a"), called(*G, index=2, id="b")), CALLED), CALLS),
    **{
        f"in the older form, {name}": (
            events(chunk({"function_call": {"name": "f"}}), chunk({"function_call": {"arguments": '{"a":'}}),
                   chunk({"function_call": {"arguments": rest}}), *behind),
            Said("", finish),
        )
        for name, rest, behind, finish in (
            ("whole", "1}", (chunk({}, "function_call"),), "function_call"), ("not ended", "1}", (), "function_call"),
            ("cut by the cap", "1", (chunk({}, "length"),), "length"),
        )
    },
    "half a call that the cap has cut": (
        events(calling(BEGUN), chunk({}, "length")), Said("", "length", (("f", '{"a":'),))
    ),
    "words for arguments": (
        events(calling(called("f", "abc", index=0, id="a")), CALLED), Said("", "tool_calls", (("f", "abc"),))
    ),
}  # fmt: skip
GOOD: Final = {
    f"{group}: {name}": case
    for group, cases in {
        "A end": {name: (data, THIS) for name, data in ENDS.items()},
        "A in": {name: (data, PAID) for name, data in ENVELOPED.items()},
        "A own": NATIVES, "A on": GLUED, "A": QUIRKS, "B": REASONS, "C": USAGES, "D": TOOLS,
    }.items()
    for name, case in cases.items()
}  # fmt: skip
BROKEN: Final[dict[str, bytes]] = {
    **{f"ended by {word!r}": ending(word) for word in FAILED},
    **{
        f"half a call, {name}": events(calling(BEGUN), *behind, end=end)
        for name, behind, end in (
            ("stop", (STOP,), b"data: [DONE]\n\n"),
            ("a reason", (CALLED,), b"data: [DONE]\n\n"),
            ("a reason and the usage", (CALLED, USAGE), b"data: [DONE]\n\n"),
            ("a reason and the usage, no end", (CALLED, USAGE), b""),
            ("a reason twice", (CALLED, CALLED), b"data: [DONE]\n\n"),
            ("the end as an object", ({"done": True},), b""),
        )
    },
    **{
        f"{word!r} of OpenRouter's upstream, {name}": events(HELLO, chosen(value, native_finish_reason=word))
        for word in ("error", "MALFORMED_FUNCTION_CALL")
        for name, value in {"alone": chunk({}), "beside a text": THERE, "beside stop": STOP}.items()
    },
    **{
        f"{state!r} beside {name}": events(HELLO, {**value, "status": state})
        for state in ("failed", "error", "CANCELLED")
        for name, value in {"no word": chunk({}), "stop": STOP, "no choices": {}}.items()
    },
    "two on one line, the second cut": events(HELLO, json.dumps(THERE) + "data: " + json.dumps(STOP)[:20]),
    "the end on the line of words": events(HELLO, "words [DONE]", end=b""),
    "the end on the line of a list": events(HELLO, json.dumps([THERE]) + "[DONE]", end=b""),
    "Baidu's without its end": events(baidu("Hello", is_end=False), end=b""),
    "Cohere's without its end": b"".join(TEXTS),
    "Cohere's error": coheres(*TEXTS, reason="ERROR", error=WORDS),
    "Cohere's error alone": coheres(*TEXTS, reason="", error=WORDS),
    "Cohere's time": coheres(*TEXTS, reason="TIMEOUT"),
    "text-generation-inference's without its end": events(token("Hello"), token(" there"), end=b""),
    "half of the second call": events(calling(WHOLE, called("g", '{"b"', index=1, id="b")), CALLED),
    **{
        f"half a call in the older form, {name}": events(chunk({"function_call": BEGUN["function"]}), *behind)
        for name, behind in {
            "its reason": (chunk({}, "function_call"),),
            "stop": (STOP,),
            "no reason": (),
            "a piece": (chunk({"function_call": {"arguments": '"x"'}}), chunk({}, "function_call")),
        }.items()
    },
    "arguments begun twice": events(
        calling(NAMED), calling(more('{"c": "x{"c": "x", "d": "y"}', index=None, id=None)), CALLED
    ),
    "stop behind a call without a name": events(calling({"index": 0, "id": "a", "function": None}), STOP),
    "Ollama's without its end": lines(ollama({"content": "Hello"}), ollama({"content": " there"})),
    "Ollama's error": lines(ollama({"content": "Hello"}), {"error": WORDS}),
    "length beside no choices, and nothing said": events({"choices": [], "finish_reason": "length"}),
    "in four envelopes": events(*({"data": {"data": {"data": {"data": each}}}} for each in (*ALL, USAGE))),
    "an envelope with an error": events(HELLO, {"error": {"message": WORDS}, "data": THERE}, STOP),
    "an end before all": events({"done": True}, end=b""),
}
FAILURES: Final[dict[str, Any]] = {
    "SGLang's reason": chunk({}, {"type": "abort", "message": WORDS, "status_code": 500}),
    "a state": {"status": "failed", "detail": WORDS},
    "beside a choice that says nothing": {**chunk({}), "status": "failed", "message": WORDS},
    "err": {"err": WORDS},
    "err_msg": {"err_code": 1, "err_msg": WORDS},
    "errmsg": {"errcode": 1, "errmsg": WORDS},
    "ret": {"ret": -1, "msg": WORDS},
    "ok": {"ok": False, "message": WORDS},
    "a kind": {"error_type": "overloaded", "message": WORDS},
    "what an upstream's upstream said": {
        "error": {"code": 502, "message": "Provider returned error", "metadata": {"raw": WORDS}}
    },
    "JSON in what an upstream's upstream said": {
        "error": {"message": "Provider returned error", "metadata": {"raw": json.dumps({"error": {"message": WORDS}})}}
    },
}
each_size = pytest.mark.parametrize("size", [0, 7, 1])


@pytest.mark.parametrize(("data", "said"), GOOD.values(), ids=GOOD.keys())
@each_size
def test_good_answer_is_not_lost(data: bytes, said: Said, size: int) -> None:
    assert stream(data, size) == said


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
@each_size
def test_broken_answer_never_looks_whole(data: bytes, size: int) -> None:
    assert isinstance(stream(data, size), Broken)


@pytest.mark.parametrize("value", FAILURES.values(), ids=FAILURES.keys())
@pytest.mark.parametrize(
    ("before", "end"),
    [(b"", b"data: [DONE]\n\n"), (events(HELLO, end=b""), b"data: [DONE]\n\n"), (events(HELLO, end=b""), b"")],
    ids=["first", "behind", "last"],
)
def test_words_of_an_upstream_that_fails_are_kept(value: Any, before: bytes, end: bytes) -> None:
    for data in (before + events(value, end=end), before + json.dumps(value).encode() + b"\n\n" + end):
        read = stream(data)
        assert isinstance(read, Broken)
        assert WORDS in read.why


@pytest.mark.parametrize(
    "value",
    [
        {"response": 5, "p": "a"}, {"response": "a", "other": 1}, {"stop": True, "content": 5},
        {"stop": 5, "content": "a"},
        {"result": "a"}, {"result": 5, "is_truncated": False}, {"output": {"text": 5, "finish_reason": "stop"}},
        {"text": "a"}, {"done": 1, "response": "a"}, {"done": True, "response": 5},
        {"delta": {"message": 5}, "type": "a"},
        {"delta": {"message": {}}, "type": 5}, {"message": SAYING, "finish_reason": None}, {"generated_text": 5},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_of_no_known_format_is_left_as_it_is(value: dict[str, Any]) -> None:
    assert in_openais(json.loads(json.dumps(value)), "delta") == value


def test_every_member_of_workers_ai_is_known() -> None:
    value = {"response": "a", "p": "b", "usage": COUNTS, "tool_calls": [WHOLE]}
    choice = {"index": 0, "delta": {"content": "a", "tool_calls": [WHOLE]}, "finish_reason": None}
    assert in_openais(value, "delta") == {"choices": [choice], "usage": COUNTS}


@pytest.mark.parametrize(
    ("word", "is_broken"), [("x" * 95 + "error", True), ("x" * 96 + "error", False)], ids=["100", "101"]
)
def test_word_of_an_end_is_looked_at_up_to_its_bound(word: str, is_broken: bool) -> None:
    read = stream(ending(word))
    assert isinstance(read, Broken) is is_broken
    assert not isinstance(read, Broken) or read.why == f"the upstream ended the answer with {'x' * 60!r}"


@pytest.mark.parametrize("size", [0, 7])
def test_connection_that_breaks_behind_a_reason_within_a_call_is_no_end(size: int) -> None:
    for reason in ("stop", "tool_calls"):
        data = events(calling(BEGUN), chunk({}, reason), USAGE, end=b"")
        assert isinstance(stream(data, size, is_ended=False), Broken)


# --- whole answers ---------------------------------------------------------------------------------------------------


def asking(arguments: Any, finish: str, name: str = "tool_calls") -> bytes:
    return answered({"content": None, name: [called("f", arguments, id="a", type="function")]}, finish)


HALF: Final = '{"a":'
PAID_CALL: Final = replace(CALL, usage=COUNTED)
WHOLE_ANSWERS: Final[dict[str, tuple[Any, Said]]] = {
    "DashScope's text": (dashscope({"text": "Hello there", "finish_reason": "stop"}), PAID),
    "DashScope's message": (
        dashscope({"choices": [{"message": SAYING, "finish_reason": "length"}]}), replace(PAID, finish="length")
    ),
    "Ollama's": ({**OVER, "message": SAYING}, PAID),
    "Ollama's of texts": ({"response": "Hello there", "done": True, "prompt_eval_count": 100, "eval_count": 10}, PAID),
    "llama.cpp's": (
        {"content": "Hello there", "stop": True, "stop_type": "limit", "tokens_evaluated": 100, "tokens_predicted": 10},
        replace(PAID, finish="length"),
    ),
    "Baidu's": (baidu("Hello there"), PAID),
    "Baidu's, cut": (baidu("Hello there", is_truncated=True), replace(PAID, finish="length")),
    "Baidu's reason": (baidu("Hello there", finish_reason="content_filter"), replace(PAID, finish="content_filter")),
    "Baidu's call": (
        baidu("", function_call={"name": "f", "arguments": "{}"}, finish_reason="function_call"),
        Said("", "function_call", usage=COUNTED),
    ),
    "Cohere's": (
        {"finish_reason": "MAX_TOKENS", "message": {"content": [{"type": "text", "text": "Hello there"}]},
         "usage": COUNTS},
        replace(PAID, finish="length"),
    ),
    "Cohere's calls": (
        {"finish_reason": "TOOL_CALL", "message": {"tool_plan": "hm", "tool_calls": [called(*F, id="a")]},
         "usage": COUNTS},
        replace(CALL, thought="hm", usage=COUNTED),
    ),
    "text-generation-inference's": (
        [{"generated_text": "Hello there", "details": {"finish_reason": "length"}}], CUT
    ),
    "text-generation-inference's, without details": ([{"generated_text": "Hello there"}], THIS),
    "length as OpenRouter's upstream has it": (
        {"choices": [{"message": SAYING, "native_finish_reason": "MAX_TOKENS"}]}, CUT
    ),
    "Workers AI's": ({"result": {"response": "Hello there", "usage": COUNTS}, "success": True, "errors": []}, PAID),
    "in a body": ({"statusCode": 200, "body": json.loads(answered(SAYING))}, PAID),
    "in a body, as a text": ({"statusCode": 200, "body": answered(SAYING).decode()}, PAID),
    "choices as a text": ({"choices": json.dumps([{"message": SAYING}]), "usage": COUNTS}, PAID),
    "parts, one of them null": (json.loads(answered({"content": [None, "Hello", {"text": " there"}]})), PAID),
    "an error that says that all is well": (
        json.loads(answered(SAYING, error={"code": 0, "message": "success"})), PAID
    ),
    "as tool_call": (json.loads(asking({"a": 1}, "tool_calls", "tool_call")), PAID_CALL),
    "as toolCalls": (json.loads(asking({"a": 1}, "tool_calls", "toolCalls")), PAID_CALL),
    "half a call that the cap has cut": (
        json.loads(asking(HALF, "length")), Said("", "length", (("f", HALF),), usage=COUNTED)
    ),
    "words for arguments": (
        json.loads(asking("abc", "stop")), Said("", "tool_calls", (("f", "abc"),), usage=COUNTED)
    ),
}  # fmt: skip


@pytest.mark.parametrize(("value", "said"), WHOLE_ANSWERS.values(), ids=WHOLE_ANSWERS.keys())
def test_good_whole_answer_is_not_lost(value: Any, said: Said) -> None:
    assert whole(json.dumps(value).encode()) == said


@pytest.mark.parametrize(
    "value",
    [
        {"choices": [{"message": SAYING, "finish_reason": "stop", "native_finish_reason": "error"}]},
        {"choices": [{"message": SAYING, "native_finish_reason": "error"}]},
        {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}], "status": "failed"},
        {"finish_reason": "ERROR", "message": SAYING},
        {"choices": [{"message": {"content": None}, "finish_reason": None}], "usage": COUNTS},
        {"choices": [{"message": {"role": "assistant", "content": ""}}]},
        {"choices": [{"message": {"content": [5]}, "finish_reason": "stop"}]},
        {
            "choices": [
                {"message": {"function_call": {"name": "f", "arguments": HALF}}, "finish_reason": "function_call"}
            ]
        },
    ],
    ids=["a word beside stop", "a word alone", "a state", "Cohere's", "null", "nothing", "a part", "half a call"],
)
def test_whole_answer_that_failed_is_none(value: Any) -> None:
    assert isinstance(whole(json.dumps(value).encode()), Broken)


@pytest.mark.parametrize("finish", ["stop", "tool_calls"])
def test_whole_answer_with_half_a_call_is_none(finish: str) -> None:
    assert isinstance(whole(asking(HALF, finish)), Broken)


@pytest.mark.parametrize("place", ["choice", "message"])
def test_usage_within_a_whole_answers_choice_is_read_and_taken_out(place: str) -> None:
    choice: dict[str, Any] = {"index": 0, "message": {**SAYING}, "finish_reason": "stop"}
    (choice if place == "choice" else choice["message"])["usage"] = COUNTS
    reader = OpenAIReader()

    answer = reader.whole(json.dumps({"choices": [choice]}).encode())

    assert reader.usage == COUNTED
    assert "usage" not in answer["choices"][0]
    assert "usage" not in answer["choices"][0]["message"]


@pytest.mark.parametrize(
    ("said", "is_partial"),
    [((HELLO, THERE), False), (({**HELLO, "usage": COUNTS}, THERE), True), ((*ALL, USAGE), False)],
    ids=["none", "before a text", "behind"],
)
def test_usage_is_partial_where_something_was_said_behind_it(said: tuple[Any, ...], is_partial: bool) -> None:
    reader = OpenAIReader()
    reader.feed(events(*said))

    assert reader.is_partial is is_partial
