"""A generateContent request in chat's words. What they cannot say is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

import orjson

from routing.endpoints.generate import gaps, thoughts
from routing.endpoints.generate.schema import (
    Content,
    FunctionDeclaration,
    FunctionResponse,
    GenerateRequest,
    Part,
)
from routing.endpoints.generate.schemas import json_schema
from routing.endpoints.invalid import UnsupportedParameter
from routing.providers.gemini import signatures

_MOST_STOPS: Final = 4
"""platform.openai.com/docs/api-reference/chat/create: up to 4 sequences."""
_LOOSEST: Final = frozenset(("", "BLOCK_NONE", "OFF", "HARM_BLOCK_THRESHOLD_UNSPECIFIED"))
"""Thresholds that ask for no filter."""
_DETAIL: Final = {
    "MEDIA_RESOLUTION_LOW": "low",
    "MEDIA_RESOLUTION_HIGH": "high",
    "MEDIA_RESOLUTION_ULTRA_HIGH": "high",
}
_EFFORTS: Final = ((0, "none"), (1_024, "low"), (8_192, "medium"))
"""Up to which budget which effort is meant, as Google's own compatible endpoint has it (ai.google.dev/gemini-api/docs/
openai#thinking); above, the highest. A budget is a guide, which may be passed or not be used."""
_LEVELS: Final = frozenset(("minimal", "low", "medium", "high", "xhigh"))
_JSON: Final = "application/json"


def chat_body(request: GenerateRequest, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a chat completion; raises UnsupportedParameter."""
    gaps.check(body)
    config = body.get("generationConfig") or {}
    for setting in request.safety_settings or ():
        if setting.threshold not in _LOOSEST:
            _refuse("safetySettings")
    whole: dict[str, Any] = {"model": request.model, "messages": _messages(request)}
    whole.update({ours: config[name] for name, ours in gaps.AS_IT_IS.items() if name in config})
    if type(whole.get("top_k")) is float:
        whole["top_k"] = int(whole["top_k"])
    cap, stops = request.generation_config.max_output_tokens, request.generation_config.stop_sequences
    if cap is not None:
        whole["max_tokens"] = cap
    if stops:
        if len(stops) > _MOST_STOPS:
            _refuse("generationConfig.stopSequences")
        whole["stop"] = stops
    whole.update({**_tools(request), **_format(request), **_reasoning(request)})
    whole.update({name: body[name] for name in ("models", "provider", "usage") if name in body})
    return whole


def _refuse(name: str) -> NoReturn:
    raise gaps.refusal(name)


def _format(request: GenerateRequest) -> dict[str, Any]:
    config = request.generation_config
    kind = config.response_mime_type or "text/plain"
    if kind == "text/plain":
        return {}
    if kind != _JSON:
        _refuse("generationConfig.responseMimeType")
    if not request.has_schema:
        return {"response_format": {"type": "json_object"}}
    schema = config.response_json_schema
    if schema is None:
        schema = json_schema(config.response_schema)
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": schema}}}


def _reasoning(request: GenerateRequest) -> dict[str, Any]:
    config = request.generation_config.thinking_config
    if config is None:
        return {}
    if config.thinking_level:
        level = config.thinking_level.lower()
        if level == "thinking_level_unspecified":
            return {}
        if level not in _LEVELS:
            _refuse("generationConfig.thinkingConfig.thinkingLevel")
        return {"reasoning_effort": level}
    budget = config.thinking_budget
    if budget is None or budget < 0:
        return {}
    return {"reasoning_effort": next((word for most, word in _EFFORTS if budget <= most), "high")}


def _tools(request: GenerateRequest) -> dict[str, Any]:
    """Functions, and which of them may or must be called: those that may not are not shown."""
    functions = request.functions
    config = request.tool_config.function_calling_config if request.tool_config is not None else None
    if not functions:
        return {}
    choice = "auto"
    if config is not None:
        mode = config.mode.upper()
        if mode == "VALIDATED":
            _refuse("toolConfig.functionCallingConfig.mode")
        choice = {"ANY": "required", "NONE": "none"}.get(mode, "auto")
        if config.allowed_function_names:
            functions = [each for each in functions if each.name in config.allowed_function_names]
            if not functions:
                _refuse("toolConfig.functionCallingConfig.allowedFunctionNames")
    chosen = {} if choice == "auto" else {"tool_choice": choice}
    return {"tools": [{"type": "function", "function": _function(each)} for each in functions], **chosen}


def _function(declared: FunctionDeclaration) -> dict[str, Any]:
    schema = declared.parameters_json_schema
    if schema is None:
        schema = json_schema(declared.parameters)
    told = {"name": declared.name, "description": declared.description, "parameters": schema}
    return {name: value for name, value in told.items() if value not in (None, "")}


# --- messages --------------------------------------------------------------------------------------------------------


def _messages(request: GenerateRequest) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if request.system_instruction is not None:
        messages.append({"role": "system", "content": _text_of(request.system_instruction)})
    calls = _Calls()
    detail = _DETAIL.get(request.generation_config.media_resolution or "", "")
    for content in request.contents:
        if content.role == "model":
            messages.append(_said(content, calls))
        elif content.role == "system":
            messages.append({"role": "system", "content": _text_of(content)})
        else:
            messages += _asked(content, calls, detail)
    return messages


class _Calls:
    """Which call a function's response answers: by its id, else the first of that name that has no answer yet."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        self._count = 0

    def add(self, name: str, id_: str | None) -> str:
        self._count += 1
        id_ = id_ or f"call_{self._count}"
        self._open.append((name, id_))
        return id_

    def take(self, name: str, id_: str | None) -> str:
        for call in self._open:
            if call[1] == id_ or (not id_ and call[0] == name):
                self._open.remove(call)
                return call[1]
        raise UnsupportedParameter("A functionResponse must answer a preceding functionCall.", param="contents")


def _text_of(content: Content) -> str:
    """The text of a content that has nothing else; raises UnsupportedParameter."""
    if any(part.text is None for part in content.parts):
        _refuse("systemInstruction")
    return "\n\n".join(part.text or "" for part in content.parts)


def _said(content: Content, calls: _Calls) -> dict[str, Any]:
    texts: list[str] = []
    thought: list[tuple[str, str]] = []
    sealed: list[dict[str, Any]] = []
    called: list[dict[str, Any]] = []
    for part in content.parts:
        if part.function_call is not None:
            called.append(_call(part, calls))
        elif part.thought:
            thought.append((part.text or "", part.thought_signature or ""))
        elif part.text is not None:
            texts.append(part.text)
            if part.thought_signature:
                data = part.thought_signature
                sealed.append({"type": "reasoning.encrypted", "data": data, "format": signatures.FORMAT})
        else:
            _refuse("contents")
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or (None if called else "")}
    details = [*thoughts.details_of(thought), *sealed]
    if details:
        message["reasoning_details"] = details
    return {**message, "tool_calls": called} if called else message


def _call(part: Part, calls: _Calls) -> dict[str, Any]:
    function = part.function_call
    assert function is not None  # noqa: S101 - the caller has looked
    arguments = orjson.dumps(function.args or {}).decode()
    id_ = calls.add(function.name, function.id)
    told = {"id": id_, "type": "function", "function": {"name": function.name, "arguments": arguments}}
    return {**told, **signatures.beside_call(part.thought_signature)} if part.thought_signature else told


def _asked(content: Content, calls: _Calls, detail: str) -> list[dict[str, Any]]:
    """What functions returned comes first: it answers what was called before."""
    returned: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for part in content.parts:
        if part.function_response is not None:
            message = _returned(part.function_response, calls)
            returned.append(message)
            others += _shown_by(part.function_response, message["tool_call_id"], detail)
    others += [_shown(part, detail) for part in content.parts if part.function_response is None]
    if not others:
        return returned or [{"role": "user", "content": ""}]
    if all(part["type"] == "text" for part in others) and len(others) == 1:
        return [*returned, {"role": "user", "content": others[0]["text"]}]
    return [*returned, {"role": "user", "content": others}]


def _returned(function: FunctionResponse, calls: _Calls) -> dict[str, Any]:
    response = function.response
    output = response.get("output")
    is_text = type(output) is str and len(response) == 1
    content = output if is_text else orjson.dumps(response).decode()
    if function.parts and not response:
        content = "The result follows."
    return {"role": "tool", "tool_call_id": calls.take(function.name, function.id), "content": content}


def _shown_by(function: FunctionResponse, call_id: str, detail: str) -> list[dict[str, Any]]:
    """What a function has shown besides, for which chat's message of its result has no place: it comes behind."""
    shown = [_shown(part, detail) for part in function.parts or ()]
    return [{"type": "text", "text": f"The result of {call_id}:"}, *shown] if shown else []


def _shown(part: Part, detail: str) -> dict[str, Any]:
    """`detail`: of pictures that have none of their own."""
    if part.media_resolution is not None:
        detail = _DETAIL.get(part.media_resolution.level, "")
    if part.text is not None:
        return {"type": "text", "text": part.text}
    if part.file_data is not None:
        return _image(part.file_data.file_uri, detail)
    if part.inline_data is None or part.function_call is not None:
        _refuse("contents")
    kind, data = part.inline_data.mime_type.lower(), thoughts.standard(part.inline_data.data)
    address = f"data:{kind};base64,{data}"
    if kind.startswith("image/"):
        return _image(address, detail)
    if kind != "application/pdf":
        _refuse("contents")
    return {"type": "file", "file": {"filename": "document.pdf", "file_data": address}}


def _image(address: str, detail: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address, **({"detail": detail} if detail else {})}}
