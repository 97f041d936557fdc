"""The Response object: what it repeats of its request, and what the public schema requires of it.

The tables are those of OpenAI's public API description (Response, ResponseUsage, OutputItem).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from routing.endpoints.base import Bill, Head, to_json
from routing.endpoints.chat.answer import complete_tokens, public_counts
from routing.endpoints.chat.identity import drop_names, is_in
from routing.endpoints.responses.schema import ResponsesRequest
from routing.providers.base import MalformedAnswer
from routing.providers.openai.tools import json_of

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


def hex_of(head: Head) -> str:
    """What makes the ids of a Response's items unique."""
    return head.public_id.rpartition("_")[2]


def complete_native(request: ResponsesRequest, response: dict[str, Any], head: Head) -> dict[str, Any]:
    """An upstream's Response as ours: what it left out is added, what has another form than the schema's, or names
    the upstream, goes.

    Raises MalformedAnswer for an item that is none.
    """
    items = response.get("output")
    items = items if type(items) is list else []
    output = [complete_item(item, place, hex_of(head)) for place, item in enumerate(items)]
    ours = response_of(request, head, "in_progress", output)
    drop_names(response)
    told = {name: value for name, value in response.items() if value is not None and _is_formed(name, value)}
    fixed = {name: ours[name] for name in ("id", "object", "model", "output", "store", "previous_response_id")}
    whole = {**ours, **told, **fixed, "error": None}
    if whole["status"] == "incomplete":
        whole["incomplete_details"] = _why_incomplete(whole["incomplete_details"])
    if is_in(to_json(whole), head.hidden):
        whole = {name: value for name, value in whole.items() if name in _KNOWN}
    return whole


_NUMBERS: Final = (int, float)
_FORMS: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("created_at", "completed_at", "temperature", "top_p"), lambda value: type(value) in _NUMBERS),
    **dict.fromkeys(("max_output_tokens", "max_tool_calls", "top_logprobs"), lambda value: type(value) is int),
    **dict.fromkeys(("status", "user", "safety_identifier", "prompt_cache_key"), lambda value: type(value) is str),
    **dict.fromkeys(("parallel_tool_calls", "background"), lambda value: type(value) is bool),
    **dict.fromkeys(("reasoning", "text", "incomplete_details"), lambda value: type(value) is dict and value),
    "instructions": lambda value: type(value) in (str, list),
    "tools": lambda value: type(value) is list,
    "tool_choice": lambda value: type(value) is dict or value in ("none", "auto", "required"),
    "truncation": lambda value: value in ("auto", "disabled"),
    "service_tier": lambda value: value in ("auto", "default", "flex", "scale", "priority"),
    "metadata": lambda value: type(value) is dict and all(type(each) is str for each in value.values()),
}
"""Members whose form the schema prescribes; others have no form, or are ours."""


def _is_formed(name: str, value: Any) -> bool:
    return name not in _FORMS or bool(_FORMS[name](value))


def _why_incomplete(told: Any) -> dict[str, str]:
    reason = told.get("reason") if type(told) is dict else None
    return {"reason": "content_filter" if reason == "content_filter" else "max_output_tokens"}


_PREFIXES: Final = {"message": "msg", "function_call": "fc", "reasoning": "rs", "custom_tool_call": "ctc"}
_STATES: Final = ("in_progress", "completed", "incomplete")
_NULLS: Final = ("content", "status", "encrypted_content")
"""Of thoughts: absent, never null."""
_CITED: Final[Mapping[str, Any]] = {
    "url_citation": {"url": str, "title": str, "start_index": int, "end_index": int},
    "file_citation": {"file_id": str, "index": int, "filename": str},
    "container_file_citation": {
        "container_id": str, "file_id": str, "start_index": int, "end_index": int, "filename": str,
    },
    "file_path": {"file_id": str, "index": int},
}  # fmt: skip
"""What the schema requires of an annotation, by its type."""


def complete_item(item: Any, place: int, hex_id: str) -> dict[str, Any]:
    """Adds in place what the public schema requires; raises MalformedAnswer for what is no item."""
    if type(item) is dict and "type" not in item and "content" in item:
        item["type"] = "message"
    if type(item) is not dict or type(item.get("type")) is not str:
        raise MalformedAnswer("an item of the output is none")
    kind = item["type"]
    if type(item.get("id")) is not str or not item["id"]:
        item["id"] = f"{_PREFIXES.get(kind, 'item')}_{hex_id}{place:04x}"
    if kind == "message":
        item["role"] = "assistant"
        _complete_state(item)
        item["content"] = [complete_part(part) for part in _parts_of(item.get("content"), "output_text")]
    elif kind == "function_call":
        _complete_call(item)
    elif kind == "reasoning":
        _complete_thought(item)
    return item


def _complete_state(item: dict[str, Any]) -> None:
    if item.get("status") not in _STATES:
        item["status"] = "completed"


def _complete_call(item: dict[str, Any]) -> None:
    """Raises MalformedAnswer for a call without a name: nobody could answer it."""
    if type(item.get("name")) is not str or not item["name"]:
        raise MalformedAnswer("a tool was called without a name")
    if type(item.get("call_id")) is not str or not item["call_id"]:
        item["call_id"] = f"call_{item['id'].rpartition('_')[2]}"
    _complete_state(item)
    arguments = item.get("arguments")
    if type(arguments) is not str:
        item["arguments"] = json_of(arguments or {})
    elif not arguments.strip() and item["status"] == "completed":
        item["arguments"] = "{}"


def _complete_thought(item: dict[str, Any]) -> None:
    if type(item.get("summary")) is not list:
        item["summary"] = []
    for name in _NULLS:
        if name in item and item[name] is None:
            del item[name]
    if "content" in item:
        item["content"] = _parts_of(item["content"], "reasoning_text")
    if item.get("status", "completed") not in _STATES:
        del item["status"]


def _parts_of(content: Any, kind: str) -> list[Any]:
    """A text, or one part, where a list of parts should be."""
    if type(content) is str:
        return [{"type": kind, "text": content}]
    parts = [content] if type(content) is dict else content if type(content) is list else []
    return [{"type": kind, "text": part} if type(part) is str else part for part in parts if part is not None]


def complete_part(part: Any) -> dict[str, Any]:
    """Adds in place what the public schema requires of a text; raises MalformedAnswer for what is no part."""
    if type(part) is not dict:
        raise MalformedAnswer("a part of the output that is none")
    if part.get("type") in (None, "text"):
        part["type"] = "output_text"
    if part["type"] == "output_text":
        if type(part.get("text")) is not str:
            part["text"] = ""
        annotations = part.get("annotations")
        part["annotations"] = [each for each in annotations if _is_cited(each)] if type(annotations) is list else []
        part["logprobs"] = logprobs_of(part.get("logprobs"))
    return part


def _is_cited(annotation: Any) -> bool:
    required = _CITED.get(str(annotation.get("type"))) if type(annotation) is dict else None
    return required is not None and all(type(annotation.get(name)) is kind for name, kind in required.items())


def logprobs_of(told: Any) -> list[dict[str, Any]]:
    """The tokens, as the public schema has them, whose bytes are never null."""
    tokens = complete_tokens(told) or []
    for token in tokens:
        token["top_logprobs"] = complete_tokens(token.get("top_logprobs")) or []
        for each in (token, *token["top_logprobs"]):
            if each["bytes"] is None:
                each["bytes"] = list(each["token"].encode())
    return tokens


def check_response(response: Mapping[str, Any]) -> None:
    """Raises MalformedAnswer unless it is a Response that has an output."""
    if type(response.get("output")) is not list:
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
