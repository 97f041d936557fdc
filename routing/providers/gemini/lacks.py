"""What requests in OpenAI's formats ask for and the Gemini API cannot be asked for.

A member that is in none of the tables is nobody's that Google knows: it is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from routing.providers.gemini import media

_MOST_CANDIDATES: Final = 8
_MOST_STOPS: Final = 5
"""ai.google.dev/api/generate-content#GenerationConfig"""
_INT32: Final = 2**31

_SAID: Final = frozenset(
    ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs",
     "max_tokens", "max_completion_tokens", "reasoning_effort", "reasoning")
)  # fmt: skip
"""What every value of can be said."""
_HINTS: Final = frozenset(
    ("user", "safety_identifier", "metadata", "prompt_cache_key", "prompt_cache_retention", "prediction")
)
"""Who asks, how to find it again, what may make it quicker: an answer is none the worse without."""
_NOT_ASKED: Final = frozenset(
    ("model", "models", "provider", "usage", "stream", "stream_options", "service_tier", "modalities", "messages")
)
"""The gateway's own, and what its endpoint has checked to say nothing beyond the default."""


def of_chat(body: Mapping[str, Any]) -> str:
    """The first member of a chat body that cannot be said; empty if all can."""
    for name, value in body.items():
        if value is None or name in _SAID or name in _HINTS or name in _NOT_ASKED:
            continue
        is_sayable = _CHECKS.get(name)
        if is_sayable is None or not is_sayable(value, body):
            return name
    return "" if all(map(_is_message, body["messages"])) else "messages"


def of_embeddings(body: Mapping[str, Any]) -> str:
    """The same of a body that asks for embeddings: of texts, which Google has a length for and nothing else."""
    known = {"input", "dimensions", "encoding_format", "user", *_NOT_ASKED}
    unknown = [name for name, value in body.items() if value is not None and name not in known]
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


def _are_functions(tools: Any, _body: Mapping[str, Any]) -> bool:
    return all(tool["type"] == "function" for tool in tools)


def _is_choice(choice: Any, _body: Mapping[str, Any]) -> bool:
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


_CHECKS: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], bool]]] = {
    "n": lambda value, _body: value <= _MOST_CANDIDATES,
    "stop": lambda value, _body: type(value) is str or len(value) <= _MOST_STOPS,
    "seed": lambda value, _body: -_INT32 <= value < _INT32,
    "tools": _are_functions,
    "tool_choice": _is_choice,
    "parallel_tool_calls": lambda value, body: bool(value) or not body.get("tools"),
    "response_format": lambda _value, _body: True,
    "logit_bias": lambda value, _body: not value,
    "store": lambda value, _body: not value,
    "verbosity": lambda value, _body: value == "medium",
}
"""What some values of can be said; the others ask for what Google has no word for."""
