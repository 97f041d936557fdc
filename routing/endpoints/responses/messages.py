"""A Responses request in chat's format: items as messages, everything else under chat's names.

What this says, what it leaves out and what it refuses by name stands in the tables of gaps.py.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from routing.endpoints.chat.pictures import address_of
from routing.endpoints.invalid import UnsupportedParameter
from routing.endpoints.responses import gaps
from routing.endpoints.responses.schema import (
    DRAWING,
    MORE_TOOLS,
    OUTPUTS,
    CustomCall,
    Drawing,
    Format,
    FunctionCall,
    Message,
    Part,
    Reasoning,
    ResponsesRequest,
    SearchCall,
)
from routing.endpoints.responses.tools import Callee, ChatTools, text_arguments
from routing.providers.openai.thoughts import is_ours, unpack

_DROPPED: Final = gaps.SAID | gaps.HINTS.keys() | gaps.EMPTY | gaps.REFUSED.keys()
_LOGPROBS: Final = "message.output_text.logprobs"


def chat_body(request: ResponsesRequest) -> dict[str, Any]:
    """Raises UnsupportedParameter for what chat's format cannot say. Members that nobody here knows travel on."""
    given = request.body
    if name := gaps.lacking(given):
        raise UnsupportedParameter(f"'{name}' cannot be said to this model's upstream.", param=name)
    tools = ChatTools(request)
    body = {name: value for name, value in given.items() if name not in _DROPPED}
    body["model"] = request.model
    body["messages"] = _Messages(tools).of(request)
    body.update((name, given[name]) for name in gaps.SAME if given.get(name) is not None)
    _say_tools(body, request, tools)
    _say_thinking(body, request)
    if request.top_logprobs or request.includes(_LOGPROBS):
        body["logprobs"] = True
        if request.top_logprobs:
            body["top_logprobs"] = request.top_logprobs
    return body


def _say_tools(body: dict[str, Any], request: ResponsesRequest, tools: ChatTools) -> None:
    functions, choice = tools.functions(request.tool_choice)
    if functions:
        body["tools"] = functions
        if choice is not None:
            body["tool_choice"] = choice
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls


def _say_thinking(body: dict[str, Any], request: ResponsesRequest) -> None:
    if request.reasoning is not None and request.reasoning.effort is not None:
        body["reasoning_effort"] = request.reasoning.effort
    text = request.text
    if text is not None:
        if text.verbosity is not None:
            body["verbosity"] = text.verbosity
        if text.format is not None and text.format.type != "text":
            body["response_format"] = _response_format(text.format)


def _response_format(format_: Format) -> dict[str, Any]:
    if format_.type == "json_object":
        return {"type": "json_object"}
    named = {"name": format_.name, "schema": format_.schema, "strict": format_.strict}
    schema = {**named, "description": format_.description}
    return {"type": "json_schema", "json_schema": {name: value for name, value in schema.items() if value is not None}}


class _Messages:
    """The messages so far. What one turn of the model said, in however many items, is one message."""

    def __init__(self, tools: ChatTools) -> None:
        self._tools = tools
        self._all: list[dict[str, Any]] = []
        self._shown: list[dict[str, Any]] = []
        """What tools have shown besides text, or the model has drawn: their messages have no place for it."""

    def of(self, request: ResponsesRequest) -> list[dict[str, Any]]:
        """Raises UnsupportedParameter."""
        if request.instructions:
            self._instruct(request.instructions)
        for index, (kind, item) in enumerate(request.items):
            self._add(kind, item, f"input[{index}]")
        self._show()
        for message in self._all:
            if message["role"] == "assistant" and not message.get("tool_calls") and message["content"] is None:
                message["content"] = ""
        return self._all

    def _add(self, kind: str, item: Any, at: str) -> None:
        if kind not in OUTPUTS:
            self._show()
        if kind == "message":
            self._say(item, at)
        elif kind == "reasoning":
            self._think(item)
        elif kind in OUTPUTS:
            self._return(item.call_id, _content(item.output, at))
        elif kind in MORE_TOOLS:
            if kind == "tool_search_output":
                self._find(item.call_id, [name for tool in item.tools for name in _names(tool)])
        elif kind == DRAWING:
            self._draw(item)
        elif kind in {"function_call", "custom_tool_call", "tool_search_call"}:
            self._call(item)
        else:
            raise UnsupportedParameter(
                f"Items of type '{kind[:64]}' cannot be said to this model's upstream.",
                param=f"{at}.type",
                kept="Items of such a type cannot be said to this model's upstream.",
            )

    def _return(self, call_id: str, content: Any) -> None:
        """What a tool returned: text in its message, pictures and files behind."""
        if type(content) is list:
            others = [part for part in content if part["type"] != "text"]
            if others:
                self._shown += [{"type": "text", "text": f"The result of {call_id}:"}, *others]
                texts = [part["text"] for part in content if part["type"] == "text"]
                content = "\n".join(texts or ["The result follows."])
        self._all.append({"role": "tool", "tool_call_id": call_id, "content": content})

    def _draw(self, item: Drawing) -> None:
        """What the model has drawn: chat has no place for it in the model's own turn, so it comes behind."""
        if item.result:
            picture = {"type": "image_url", "image_url": {"url": address_of(item.result)}}
            self._shown += [{"type": "text", "text": "The picture that was drawn:"}, picture]

    def _show(self) -> None:
        if self._shown:
            self._all.append({"role": "user", "content": self._shown})
            self._shown = []

    def _say(self, message: Message, at: str) -> None:
        if message.role == "assistant":
            self._answer(message)
        elif message.role == "user":
            self._all.append({"role": "user", "content": _content(message.content, at)})
        else:
            self._instruct(_joined(_content(message.content, at)))

    def _instruct(self, content: Any) -> None:
        """Instructions that follow each other are one message: many models take no more, and know no developer."""
        last = self._all[-1] if self._all else None
        if last is not None and last["role"] == "system" and type(last["content"]) is type(content) is str:
            last["content"] = f"{last['content']}\n\n{content}"
        else:
            self._all.append({"role": "system", "content": content})

    def _turn(self) -> dict[str, Any]:
        """The model's turn that is on."""
        if not self._all or self._all[-1]["role"] != "assistant":
            self._all.append({"role": "assistant", "content": None})
        return self._all[-1]

    def _answer(self, message: Message) -> None:
        turn = self._turn()
        content = message.content
        parts = [Part("output_text", content)] if isinstance(content, str) else content
        said = "".join(part.text or "" for part in parts if part.type != "refusal")
        if said or turn["content"] is None:
            turn["content"] = said if turn["content"] is None else f"{turn['content']}\n\n{said}"
        refused = "".join(part.refusal or "" for part in parts if part.type == "refusal")
        if refused:
            turn["refusal"] = refused

    def _think(self, item: Reasoning) -> None:
        """Another vendor's encrypted thoughts mean nothing to a chat upstream: they are left out."""
        turn = self._turn()
        thoughts = item.content or item.summary or []
        text = "\n\n".join(thought.text for thought in thoughts)
        if text:
            turn["reasoning_content"] = "\n\n".join(filter(None, (turn.get("reasoning_content"), text)))
        if item.encrypted_content is not None and is_ours(item.encrypted_content):
            details = unpack(item.encrypted_content)
            if details:
                turn["reasoning_details"] = [*turn.get("reasoning_details", ()), *details]

    def _call(self, item: FunctionCall | CustomCall | SearchCall) -> None:
        if isinstance(item, SearchCall):
            callee, arguments = Callee("tool_search", "tool_search"), orjson.dumps(item.arguments or {}).decode()
        elif isinstance(item, CustomCall):
            callee, arguments = Callee("custom", item.name, item.namespace), text_arguments(item.input)
        else:
            callee, arguments = Callee("function", item.name, item.namespace), item.arguments
        function = {"name": callee.flat, "arguments": arguments}
        call = {"id": item.call_id or callee.flat, "type": "function", "function": function}
        self._turn().setdefault("tool_calls", []).append(call)

    def _find(self, call_id: str | None, names: list[str]) -> None:
        """What the client's search has found: the tools stand among the request's now."""
        content = orjson.dumps({"tools": names}).decode()
        self._all.append({"role": "tool", "tool_call_id": call_id or "tool_search", "content": content})


def _names(tool: Any) -> list[str]:
    """What a found tool's functions are called."""
    if tool.type == "namespace":
        return [Callee("function", inner.name or "", tool.name).flat for inner in tool.tools or ()]
    return [tool.name or tool.type]


def _content(parts: str | list[Part], at: str) -> Any:
    """Parts in chat's words; a single text is one."""
    if isinstance(parts, str):
        return parts
    said = [_part(part, f"{at}.content[{index}]") for index, part in enumerate(parts)]
    if len(said) == 1 and said[0]["type"] == "text":
        return said[0]["text"]
    return said or ""


def _joined(content: Any) -> Any:
    """Parts that are all text as one text."""
    if type(content) is list and all(part["type"] == "text" for part in content):
        return "\n\n".join([part["text"] for part in content])
    return content


def _part(part: Part, at: str) -> dict[str, Any]:
    """Raises UnsupportedParameter."""
    if part.type in {"input_text", "output_text", "text"}:
        return {"type": "text", "text": part.text or ""}
    if part.type == "input_image":
        detail = {} if part.detail is None else {"detail": part.detail}
        return {"type": "image_url", "image_url": {"url": part.image_url, **detail}}
    if part.type == "input_file" and part.file_data is not None:
        return {"type": "file", "file": {"filename": part.filename or "file", "file_data": part.file_data}}
    what = "file_url" if part.type == "input_file" else "type"
    raise UnsupportedParameter(
        f"Parts of type '{part.type[:64]}' cannot be said to this model's upstream.",
        param=f"{at}.{what}",
        kept="Parts of such a type cannot be said to this model's upstream.",
    )
