"""A whole chat completion: its canonical shape, and what the public schema requires that upstreams leave out.

The tables are those of OpenAI's public API description (CreateChatCompletionResponse).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from routing.endpoints.base import Bill, Head
from routing.endpoints.chat import identity
from routing.endpoints.chat.wholeness import JsonScan
from routing.providers.base import MalformedAnswer

_TIERS: Final = frozenset((None, "auto", "default", "flex", "scale", "priority"))
_WRAPPING: Final = frozenset(("role", "id", "type", "index", "format", "name_space", "signature"))
"""Members around text that no model wrote."""
FINISH_REASONS: Final = frozenset(("stop", "length", "tool_calls", "content_filter", "function_call"))
_NEVER_NULL: Final = frozenset(("tool_calls", "function_call", "annotations"))
BYTES_PER_TOKEN: Final = 4
"""Of English text, by OpenAI's rule of thumb; used only where an upstream does not count."""


def check_answer(answer: dict[str, Any]) -> None:
    """Raises MalformedAnswer unless there is a choice, and a message in each."""
    choices = answer.get("choices")
    if type(choices) is not list or not choices:
        raise MalformedAnswer("the answer has no choices")
    for choice in choices:
        if type(choice) is not dict or type(choice.get("message")) is not dict:
            raise MalformedAnswer("a choice has no message")


def estimate_output(answer: Mapping[str, Any]) -> int:
    """Output tokens of an answer whose upstream did not say."""
    written = sum(estimate_strings(choice["message"]) for choice in answer["choices"])
    return -(-written // BYTES_PER_TOKEN)


def complete_top(answer: dict[str, Any]) -> None:
    """Leaves out what the schema has no place for, and what names the upstream."""
    if answer.get("system_fingerprint", "") is None:
        del answer["system_fingerprint"]
    if "service_tier" in answer and answer["service_tier"] not in _TIERS:
        del answer["service_tier"]
    if not identity.NAMES.isdisjoint(answer):
        identity.drop_names(answer)


def _absent_reason(message: dict[str, Any]) -> str:
    """Where no reason was given: raises MalformedAnswer unless what came is whole."""
    calls = message.get("tool_calls")
    if not calls:
        return "stop"
    for call in calls:
        function = call.get("function")
        scan = JsonScan()
        scan.add(function.get("arguments", "") if type(function) is dict else "{}")
        if not scan.is_whole:
            raise MalformedAnswer("the answer ended in the middle of a tool call")
    return "tool_calls"


def estimate_strings(value: Any) -> int:
    """Bytes of the text in a value, the wrapper around it left out."""
    if type(value) is str:
        return len(value.encode())
    if type(value) is dict:
        return sum([estimate_strings(inner) for name, inner in value.items() if name not in _WRAPPING])
    return sum(map(estimate_strings, value)) if type(value) is list else 0


def complete_answer(answer: dict[str, Any], head: Head) -> None:
    """Makes a whole answer ours, and adds in place what the public schema requires and the upstream left out."""
    answer["id"] = head.public_id
    answer["object"] = "chat.completion"
    answer["model"] = head.model
    if type(answer.get("created")) is not int:
        answer["created"] = head.created
    complete_top(answer)
    for index, choice in enumerate(answer["choices"]):
        choice.setdefault("index", index)
        if choice.setdefault("logprobs", None) is not None:
            complete_logprobs(choice["logprobs"])
        message = choice["message"]
        reason = choice.get("finish_reason")
        if type(reason) is not str or reason not in FINISH_REASONS:
            choice["finish_reason"] = _absent_reason(message)
        message["role"] = "assistant"
        message.setdefault("content", None)
        message.setdefault("refusal", None)
        if not _NEVER_NULL.isdisjoint(message):
            drop_nulls(message)


def drop_nulls(message: dict[str, Any]) -> None:
    """Leaves out what the public schema allows to be absent but not to be null; `content` and `refusal` may be."""
    for name in _NEVER_NULL.intersection(message):
        if message[name] is None:
            del message[name]


def complete_logprobs(logprobs: Any) -> None:
    if type(logprobs) is dict:
        logprobs.setdefault("content", None)
        logprobs.setdefault("refusal", None)


def public_usage(bill: Bill) -> dict[str, Any]:
    """The usage object for the client: OpenAI's fields, what else the upstream reported, and the exact cost."""
    usage, reported = bill.usage, bill.reported
    prompt, completion = reported.get("prompt_tokens_details"), reported.get("completion_tokens_details")
    public = {
        **reported,
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {**(_integers(prompt) if prompt else {}), "cached_tokens": usage.cached_input},
        "completion_tokens_details": {
            **(_integers(completion) if completion else {}),
            "reasoning_tokens": usage.reasoning,
        },
        "cost": orjson.Fragment(bill.cost),  # digit by digit
        "cost_details": bill.details,
    }
    if None in reported.values():
        public = {name: value for name, value in public.items() if value is not None}
    return public


def _integers(details: Any) -> dict[str, int]:
    if type(details) is not dict:
        return {}
    return {name: value for name, value in details.items() if type(value) is int}
