"""What requests in OpenAI's formats ask for and the Gemini API cannot be asked for.

A request that asks for one of `GAPS` goes to another route, or is refused by the member's name. A member in none of the
tables is nobody's that Google knows, and is refused too: nothing is lost in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from routing.providers.gemini import media

_MOST_CANDIDATES: Final = 8
_MOST_STOPS: Final = 5
"""ai.google.dev/api/generate-content#GenerationConfig"""
_INT32: Final = 2**31


class Gap(NamedTuple):
    """`asks`: whether a value, in its body, asks for what cannot be said; others ask for nothing, or are said."""

    asks: Callable[[Any, Mapping[str, Any]], bool]
    why: str


SAID: Final = frozenset(
    ("model", "models", "provider", "usage", "messages", "stream", "stream_options", "service_tier", "modalities",
     "temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs",
     "max_tokens", "max_completion_tokens", "reasoning_effort", "reasoning", "response_format")
)  # fmt: skip
"""What every value of can be said; or the gateway's own; or what chat has checked to say nothing beyond the usual."""
HINTS: Final[Mapping[str, str]] = {
    "user": "who asks",
    "safety_identifier": "the same",
    "metadata": "kept with stored completions, and changes no answer",
    "prompt_cache_key": "helps the vendor's cache, and changes no answer",
    "prompt_cache_retention": "the same",
    "prompt_cache_options": "the same",
    "cache_control": "the same, of Anthropic",
    "prediction": "makes an answer quicker, and not another",
}
"""Members that are left out, each with why."""
EMBEDDINGS_SAID: Final = frozenset(
    ("model", "models", "provider", "usage", "input", "dimensions", "encoding_format", "user")
)
"""Of a request for embeddings. Google is not told who asks."""


def of_chat(body: Mapping[str, Any]) -> str:
    """The first member of a chat body that cannot be said; empty if all can."""
    for name, value in body.items():
        if value is None or name in SAID or name in HINTS:
            continue
        gap = GAPS.get(name)
        if gap is None or gap.asks(value, body):
            return name
    return "" if all(map(_is_message, body["messages"])) else "messages"


def of_embeddings(body: Mapping[str, Any]) -> str:
    """The same of a body that asks for embeddings: of texts, which Google has a length for and nothing else."""
    unknown = [name for name, value in body.items() if value is not None and name not in EMBEDDINGS_SAID]
    if unknown:
        return unknown[0]
    asked = body["input"]
    return "" if type(asked) is str or type(asked[0]) is str else "input"


def _is_message(message: Mapping[str, Any]) -> bool:
    if message.get("function_call") or message.get("audio") or message["role"] == "function":
        return False
    parts = message.get("content")
    kinds = _PARTS[message["role"]]
    return (type(parts) is not list or all(_is_part(part, kinds) for part in parts)) and all(
        map(_is_call, message.get("tool_calls") or ())
    )


_TEXTS: Final = frozenset(("text",))
_PARTS: Final = {
    "system": _TEXTS,
    "developer": _TEXTS,
    "tool": _TEXTS,
    "assistant": _TEXTS | {"refusal"},
    "user": _TEXTS | {"image_url", "file"},
}


def _is_part(part: Mapping[str, Any], kinds: frozenset[str]) -> bool:
    return part["type"] in kinds and (part["type"] in {"text", "refusal"} or media.part_of(part) is not None)


def _is_call(call: Mapping[str, Any]) -> bool:
    """Arguments are an object there, not a text."""
    function = call.get("function")
    if not function:
        return False
    try:
        return type(orjson.loads(function["arguments"].strip() or "{}")) is dict
    except orjson.JSONDecodeError:
        return False


def _are_functions(tools: Any) -> bool:
    return all(tool["type"] == "function" for tool in tools)


def _is_choice(choice: Any) -> bool:
    """Also of some functions among all (OpenAI's `allowed_tools`)."""
    if type(choice) is str:
        return True
    if choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools")
        tools = allowed.get("tools") if type(allowed) is dict else None
        return type(tools) is list and all(map(_names_function, tools))
    return _names_function(choice)


def _names_function(tool: Any) -> bool:
    function = tool.get("function") if type(tool) is dict else None
    return type(function) is dict and type(function.get("name")) is str


GAPS: Final[Mapping[str, Gap]] = {
    "n": Gap(lambda value, _body: value > _MOST_CANDIDATES, "eight candidates at most"),
    "stop": Gap(lambda value, _body: type(value) is not str and len(value) > _MOST_STOPS, "five sequences at most"),
    "seed": Gap(lambda value, _body: not -_INT32 <= value < _INT32, "a number of 32 bits"),
    "tools": Gap(lambda value, _body: not _are_functions(value), "functions only"),
    "tool_choice": Gap(lambda value, _body: not _is_choice(value), "auto, any, none, or functions by name"),
    "parallel_tool_calls": Gap(lambda value, body: not value and bool(body.get("tools")), "as many calls as it likes"),
    "logit_bias": Gap(lambda value, _body: bool(value), "no bias of tokens"),
    "store": Gap(lambda value, _body: bool(value), "nothing to be fetched later"),
    "verbosity": Gap(lambda value, _body: value != "medium", "no measure of length"),
    "audio": Gap(lambda value, _body: bool(value), "text only"),
    "moderation": Gap(lambda value, _body: bool(value), "no moderation beside the answer"),
    "web_search_options": Gap(lambda _value, _body: True, "a tool of its own, with a price of its own"),
    "functions": Gap(lambda value, _body: bool(value), "OpenAI's older form of tools, whose answers differ"),
    "function_call": Gap(lambda value, _body: value != "none", "the same"),
}
"""What some values of ask for more than there are words for."""
