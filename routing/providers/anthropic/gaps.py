"""What chat says that Anthropic's format cannot, in one table, beside what is said and what is only a hint.

A request that asks for one of `GAPS` goes to another route, or is refused by the member's name. A member in neither
table is refused too: nothing is lost in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from routing.providers.anthropic import parts, tools


class Gap(NamedTuple):
    """`asks`: whether a value asks for what cannot be said; others ask for nothing, or are said."""

    asks: Callable[[Any], bool]
    why: str


SAID: Final = frozenset(
    ("model", "models", "provider", "usage", "messages", "stream", "stream_options", "max_tokens",
     "max_completion_tokens", "temperature", "top_p", "top_k", "parallel_tool_calls", "reasoning_effort", "reasoning",
     "thinking", "user", "safety_identifier", "cache_control", "include_reasoning")
)  # fmt: skip
"""Members that are said in Anthropic's words, or are the router's own."""

HINTS: Final[Mapping[str, str]] = {
    "seed": "determinism is not guaranteed (OpenAI's reference of the member)",
    "metadata": "kept with stored completions, and changes no answer",
    "store": "the same",
    "prompt_cache_key": "helps the vendor's cache, and changes no answer",
    "prompt_cache_retention": "the same",
    "prompt_cache_options": "the same",
}
"""Members that are left out, each with what its documentation says."""

GAPS: Final[Mapping[str, Gap]] = {
    "n": Gap(lambda n: n != 1, "one answer a request"),
    "logprobs": Gap(bool, "no log probabilities"),
    "top_logprobs": Gap(bool, "no log probabilities"),
    "logit_bias": Gap(bool, "no bias of tokens"),
    "frequency_penalty": Gap(bool, "no penalties"),
    "presence_penalty": Gap(bool, "no penalties"),
    "prediction": Gap(bool, "no predicted output"),
    "audio": Gap(bool, "text only"),
    "modalities": Gap(lambda kinds: set(kinds) != {"text"}, "text only"),
    "verbosity": Gap(lambda verbosity: verbosity != "medium", "no measure of length"),
    "web_search_options": Gap(lambda _options: True, "a tool of its own, with a price of its own"),
    "moderation": Gap(bool, "no moderation beside the answer"),
    "functions": Gap(bool, "OpenAI's older form of tools, whose answers have another shape"),
    "function_call": Gap(lambda choice: choice != "none", "the same"),
    "service_tier": Gap(lambda tier: tier not in TIERS, "tiers with prices of their own"),
    "response_format": Gap(lambda form: form.get("type") == "json_object", "JSON only by a schema"),
    "stop": Gap(lambda stop: not all(map(str.strip, stops_of(stop))), "no white space alone"),
    "tools": Gap(lambda tools: any(tool.get("type") != "function" for tool in tools), "functions only"),
    "tool_choice": Gap(lambda choice: not tools.is_sayable(choice), "auto, any, none, or one function"),
}

TIERS: Final[Mapping[str, str]] = {"auto": "auto", "default": "standard_only"}
"""Chat's tiers as Anthropic's (platform.claude.com/docs/en/api/service-tiers)."""


def lacking(body: Mapping[str, Any]) -> str:
    """The member that asks for what cannot be said; empty if there is none."""
    for name, value in body.items():
        if value is None or name in SAID or name in HINTS:
            continue
        gap = GAPS.get(name)
        if gap is None or gap.asks(value):
            return name
    return "" if all(map(_is_sayable, body["messages"])) else "messages"


def stops_of(stop: Any) -> list[str]:
    return [stop] if type(stop) is str else list(stop or ())


def _is_sayable(message: Mapping[str, Any]) -> bool:
    """Whether a message has parts that there are blocks for; sound, files elsewhere and older calls have none."""
    if message["role"] == "function" or message.get("function_call") or message.get("audio"):
        return False
    if any(call.get("type") != "function" or not call.get("function") for call in message.get("tool_calls") or ()):
        return False
    content = message.get("content")
    return type(content) is not list or all(map(parts.is_sayable, content))
