"""The Response object: what it repeats of its request, and what the public schema requires of it.

The tables are those of OpenAI's public API description (Response, ResponseUsage, OutputItem).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from routing.endpoints.base import Bill, Head
from routing.endpoints.chat.answer import public_counts
from routing.endpoints.chat.identity import drop_names, is_in
from routing.endpoints.responses.schema import ResponsesRequest
from routing.providers.base import MalformedAnswer

_REPEATED: Final = ("max_output_tokens", "max_tool_calls", "prompt_cache_key", "safety_identifier", "top_logprobs")
"""As they were asked, null if they were not."""
_KNOWN: Final = frozenset(
    (
        *_REPEATED, "id", "object", "created_at", "completed_at", "status", "error", "incomplete_details",
        "instructions", "metadata", "model", "output", "parallel_tool_calls", "previous_response_id", "reasoning",
        "service_tier", "store", "temperature", "text", "tool_choice", "tools", "top_p", "truncation", "usage", "user",
        "background",
    )
)  # fmt: skip


def response_of(request: ResponsesRequest, head: Head, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    """A whole Response but for its usage. `output` is not copied."""
    body = request.body
    text = body.get("text") or {}
    thinking = body.get("reasoning") or {}
    response: dict[str, Any] = {
        "id": head.public_id,
        "object": "response",
        "created_at": head.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions,
        "model": head.model,
        "output": output,
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": thinking.get("effort"), "summary": thinking.get("summary")},
        "service_tier": "default",
        "store": False,  # nothing is kept here, whatever was asked
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "tool_choice": "auto" if request.tool_choice is None else request.tool_choice,
        "tools": [_tool(tool) for tool in body.get("tools") or ()],
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "truncation": request.truncation or "disabled",
        "metadata": request.metadata or {},
    }
    response.update((name, getattr(request, name)) for name in _REPEATED)
    if request.user is not None:
        response["user"] = request.user
    return response


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A function with what the public schema requires of one."""
    if tool.get("type") != "function":
        return tool
    return {**tool, "parameters": tool.get("parameters"), "strict": tool.get("strict")}


def complete_native(request: ResponsesRequest, response: dict[str, Any], head: Head) -> dict[str, Any]:
    """An upstream's Response as ours: what it left out is added, what names it goes."""
    output = response.get("output")
    output = [_complete_item(item) for item in output] if type(output) is list else []
    ours = response_of(request, head, "in_progress", output)
    drop_names(response)
    told = {name: value for name, value in response.items() if value is not None}
    created = told.get("created_at")
    fixed = {name: ours[name] for name in ("id", "object", "model", "output", "store", "previous_response_id")}
    whole = {**ours, **told, **fixed, "created_at": created if type(created) in {int, float} else head.created}
    if is_in(orjson.dumps(whole, default=str), head.hidden):
        whole = {name: value for name, value in whole.items() if name in _KNOWN}
    return whole


def _complete_item(item: Any) -> dict[str, Any]:
    """Adds in place what the public schema requires; raises MalformedAnswer for what is no item."""
    if type(item) is not dict or type(item.get("type")) is not str:
        raise MalformedAnswer("an item of the output is none")
    if item["type"] == "message":
        item.setdefault("status", "completed")
        for part in item.get("content") or ():
            complete_part(part)
    elif item["type"] == "reasoning":
        item.setdefault("summary", [])
        for name in ("content", "status", "encrypted_content"):  # absent, never null
            if name in item and item[name] is None:
                del item[name]
    return item


complete_item = _complete_item


def complete_part(part: Any) -> None:
    """Adds in place what the public schema requires of a text."""
    if type(part) is dict and part.get("type") == "output_text":
        if type(part.get("annotations")) is not list:
            part["annotations"] = []
        if type(part.get("logprobs")) is not list:
            part["logprobs"] = []


def check_response(response: Mapping[str, Any]) -> None:
    """Raises MalformedAnswer unless it is a Response that has an output."""
    output = response.get("output")
    if type(output) is not list or not all(type(item) is dict and type(item.get("type")) is str for item in output):
        raise MalformedAnswer("the answer has no output")


def public_usage(bill: Bill) -> dict[str, Any]:
    """The usage object for the client: OpenAI's fields, what else the upstream counted, and the exact cost."""
    usage, reported = bill.usage, bill.reported
    told_in = reported.get("input_tokens_details") or reported.get("prompt_tokens_details")
    told_out = reported.get("output_tokens_details") or reported.get("completion_tokens_details")
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {
            **public_counts(told_in),
            "cached_tokens": usage.cached_input,
            "cache_write_tokens": usage.cache_write,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {**public_counts(told_out), "reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
        "cost": orjson.Fragment(bill.cost),  # digit by digit
        "cost_details": bill.details,
    }
