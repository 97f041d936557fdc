"""What apps understand of an answer, each in its own format, whole or as a stream; every piece is checked on the way.

Whole answers, chunks and events are held against their vendors' public schemas and types.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests import generating, responding, schemas
from tests.callers import Caller
from tests.grammar import assert_valid_message, assert_whole, events_in
from tests.installation import Offer

PARAMETERS: Final = {"type": "object", "properties": {}}
NAMES: Final = ("get", "get_it", "get_weather")
"""Of the tools that every app offers."""


@dataclass
class Said:
    """What a client has understood."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    is_broken: bool = False
    """An error event came at the end, or an error instead of an answer."""
    arguments: list[str] = field(default_factory=list, compare=False)
    """Of the calls, to the letter, where the format carries them as a text."""
    counts: tuple[int, int, int] = field(default=(0, 0, 0), compare=False)
    """Tokens of the input, those of them that a cache had, and of the output."""


def _said(text: str, calls: Iterable[tuple[str, str]], counts: tuple[int, int, int]) -> Said:
    """With calls whose arguments are texts."""
    named = list(calls)
    parsed = [(name, json.loads(arguments)) for name, arguments in named]
    return Said(text, parsed, arguments=[arguments for _name, arguments in named], counts=counts)


# --- chat ------------------------------------------------------------------------------------------------------------


def chat(caller: Caller, model: Offer, *, is_stream: bool) -> Said:
    tools = [{"type": "function", "function": {"name": name, "parameters": PARAMETERS}} for name in NAMES]
    if is_stream:
        return _streamed_chat(caller, model, tools)
    response = caller.ask(model, tools=tools)
    if response.status_code != 200:
        return Said(is_broken=response.status_code == 502)
    assert schemas.faults(schemas.COMPLETION, response.json()) == []
    message = response.json()["choices"][0]["message"]
    functions = [call["function"] for call in message.get("tool_calls", ())]
    calls = [(each["name"], each["arguments"]) for each in functions]
    return _said(message["content"] or "", calls, _chats_counts(response.json()["usage"]))


def _streamed_chat(caller: Caller, model: Offer, tools: Any) -> Said:
    seen = caller.listen(model, tools=tools, stream_options={"include_usage": True})
    if seen.status != 200 or not seen.is_done:
        return Said(seen.text(), is_broken=seen.status == 502 or bool(seen.error["code"]))
    assert [fault for chunk in seen.chunks for fault in schemas.faults(schemas.CHUNK, chunk)] == []
    found: dict[int, list[str]] = {}
    for chunk in seen.chunks:
        for call in chunk["choices"][0]["delta"].get("tool_calls", ()) if chunk["choices"] else ():
            pieces = found.setdefault(call["index"], ["", ""])
            pieces[0] += call["function"].get("name", "")
            pieces[1] += call["function"].get("arguments", "")
    calls = [(name, arguments) for name, arguments in found.values()]
    return _said(seen.text(), calls, _chats_counts(seen.usages[-1]))


def _chats_counts(usage: Any) -> tuple[int, int, int]:
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    return usage["prompt_tokens"], cached, usage["completion_tokens"]


# --- messages --------------------------------------------------------------------------------------------------------


def messages(caller: Caller, model: Offer, *, is_stream: bool) -> Said:
    tools = [{"name": name, "input_schema": PARAMETERS} for name in NAMES]
    asked = {"model": model.name, "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], "tools": tools}
    response = caller.client.post("/v1/messages", json={**asked, "stream": is_stream})
    if response.status_code != 200:
        return Said(is_broken=response.status_code == 502)
    arguments = []
    if is_stream:
        events = events_in(response.content)
        if events[-1]["type"] == "error":
            return Said(is_broken=True)
        message = assert_whole(events)
        arguments = [block["arguments"] for block in message["content"] if block["type"] == "tool_use"]
    else:
        message = response.json()
        assert_valid_message(message)
    text = "".join(block["text"] for block in message["content"] if block["type"] == "text")
    calls = [(block["name"], block["input"]) for block in message["content"] if block["type"] == "tool_use"]
    return Said(text, calls, arguments=arguments, counts=_messages_counts(message["usage"]))


def _messages_counts(usage: Any) -> tuple[int, int, int]:
    cached = usage.get("cache_read_input_tokens") or 0
    return usage["input_tokens"] + cached, cached, usage["output_tokens"]


# --- responses -------------------------------------------------------------------------------------------------------


def responses(caller: Caller, model: Offer, *, is_stream: bool) -> Said:
    tools = [{"type": "function", "name": name, "parameters": PARAMETERS} for name in NAMES]
    if is_stream:
        heard = responding.listen(caller, model, tools=tools)
        if heard.status != 200 or heard.kinds[-1] == "error":
            return Said(is_broken=True)
        responding.assert_grammar(heard)
        answer = heard.response
    else:
        response = responding.respond(caller, model, tools=tools)
        if response.status_code != 200:
            return Said(is_broken=response.status_code == 502)
        answer = response.json()
    responding.assert_response(answer)
    texts = [part["text"] for item in answer["output"] if item["type"] == "message" for part in item["content"]]
    calls = [(item["name"], item["arguments"]) for item in answer["output"] if item["type"] == "function_call"]
    usage = answer["usage"]
    cached = usage["input_tokens_details"]["cached_tokens"]
    return _said("".join(texts), calls, (usage["input_tokens"], cached, usage["output_tokens"]))


# --- Google's --------------------------------------------------------------------------------------------------------


def google(caller: Caller, model: Offer, *, is_stream: bool) -> Said:
    tools = [{"functionDeclarations": [{"name": name, "parameters": PARAMETERS} for name in NAMES]}]
    action = "streamGenerateContent?alt=sse" if is_stream else "generateContent"
    response = generating.generate(caller, model, action, tools=tools)
    if response.status_code != 200:
        return Said(is_broken=response.status_code == 502)
    chunks = generating.chunks_of(response) if is_stream else [response.json()]
    if "error" in chunks[-1]:
        return Said(is_broken=True)
    for chunk in chunks:
        generating.validated(chunk)
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    calls = [(part["functionCall"]["name"], part["functionCall"]["args"]) for part in parts if "functionCall" in part]
    text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    return Said(text, calls, counts=_googles_counts(chunks[-1]["usageMetadata"]))


def _googles_counts(usage: Any) -> tuple[int, int, int]:
    written = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
    return usage["promptTokenCount"], usage.get("cachedContentTokenCount", 0), written


# --- completions -----------------------------------------------------------------------------------------------------


def completions(caller: Caller, model: Offer, *, is_stream: bool) -> Said:
    """Has no tools."""
    body = {"model": model.name, "prompt": "Hi", "max_tokens": 50}
    if is_stream:
        asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
        return _streamed_text(caller.client.post("/v1/completions", json=asked))
    response = caller.client.post("/v1/completions", json=body)
    if response.status_code != 200:
        return Said(is_broken=response.status_code == 502)
    assert schemas.faults(schemas.TEXT_COMPLETION, response.json()) == []
    return Said(response.json()["choices"][0]["text"], counts=_chats_counts(response.json()["usage"]))


def _streamed_text(response: httpx.Response) -> Said:
    if response.status_code != 200:
        return Said(is_broken=response.status_code == 502)
    blocks = [block.removeprefix("data: ") for block in response.text.split("\n\n") if block.startswith("data: ")]
    if blocks[-1] != "[DONE]":
        return Said(is_broken="error" in json.loads(blocks[-1]))
    chunks = [json.loads(block) for block in blocks[:-1]]
    assert [fault for chunk in chunks for fault in schemas.faults(schemas.TEXT_CHUNK, chunk)] == []
    text = "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])
    return Said(text, counts=_chats_counts(chunks[-1]["usage"]))


Client = Callable[..., Said]
CLIENTS: Final[list[Client]] = [chat, messages, responses, google]
"""Those whose requests can be said in chat's format."""
