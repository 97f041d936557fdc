"""Anthropic's answers and events as chat's: text, tool calls, thoughts, and why it ended.

Thoughts are text in `reasoning_content` and, with what makes them valid to hand back, entries of `reasoning_details`
(openrouter.ai/docs/use-cases/reasoning-tokens). Blocks of tools that run at Anthropic's are not shown.
"""

from __future__ import annotations

from itertools import count
from typing import Any, Final

import msgspec
import orjson

from routing.providers.anthropic.messages import FORMAT
from routing.providers.anthropic.reader import AnthropicReader
from routing.providers.base import Event, MalformedAnswer
from routing.providers.openai.finish import GOOD_ENDS
from routing.providers.openai.refusals import text_of
from routing.providers.openai.tools import ToolCalls, complete_calls, refuse_cut

_ENDS: Final = frozenset(("content_block_stop", "message_delta"))
_EMPTY: Final = "{} \t\r\n"
_MOST_OPEN: Final = 1_024
"""Blocks that are open at once; Anthropic has one."""


class _Input(msgspec.Struct):
    input: msgspec.Raw = msgspec.Raw()


class _Inputs(msgspec.Struct):
    content: list[_Input]


_RAW: Final = msgspec.json.Decoder(_Inputs)


class _Call:
    """A tool call whose arguments come in pieces."""

    __slots__ = ("first", "has_arguments", "place")

    def __init__(self, place: int, first: Any) -> None:
        self.place = place
        self.first = first
        """The arguments that came with the beginning, which count if no pieces follow."""
        self.has_arguments = False


class ChatReader(AnthropicReader):
    """One answer in chat's format."""

    def __init__(self, remark: str = "") -> None:
        super().__init__(remark)
        self._open: dict[Any, _Call | None] = {}
        """By index, the blocks that are open; None for those that are no calls of the client's tools."""
        self._numbers = count()
        """Of calls, among themselves."""
        self._tools = ToolCalls()
        self._thoughts = 0
        self._citations = 0
        self._has_shown = False

    def show(self, event: dict[str, Any]) -> list[Event]:
        kind, index = event.get("type"), event.get("index")
        finish = None
        if kind == "content_block_delta":
            said = self._of_delta(index, event["delta"])
        elif kind == "content_block_start":
            said = self._of_start(index, event.get("content_block"))
        elif kind == "content_block_stop":
            said = self._rest_of(self._open.pop(index, None))
        elif kind == "message_delta":
            said, finish = self._of_end(event["delta"]), self.finish
        else:
            return []
        self._complete_calls(said, is_end=kind in _ENDS)
        if not said and finish is None:
            return []
        self._has_shown = True
        return [
            {
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": said, "finish_reason": finish}],
            }
        ]

    def refuse_cut(self) -> None:
        self._tools.refuse_open()

    def _complete_calls(self, said: dict[str, Any], *, is_end: bool) -> None:
        """Calls as everywhere else, with what waited for the end of their block."""
        calls = self._tools.complete(said.pop("tool_calls", []))
        if is_end:
            calls += self._tools.held()
        if calls:
            said["tool_calls"] = calls

    def _of_start(self, index: Any, block: Any) -> dict[str, Any]:
        """What a block begins with. The first one says that there is an answer, even if it has no word yet."""
        if type(block) is not dict:
            raise MalformedAnswer("a block that is none")
        if len(self._open) >= _MOST_OPEN:
            raise MalformedAnswer("too many blocks")
        kind = block.get("type")
        said: dict[str, Any] = {} if self._has_shown else {"content": ""}
        self._open[index] = None
        if kind == "tool_use":
            call = self._open[index] = _Call(next(self._numbers), block["input"])
            function = {"name": text_of(block.get("name")), "arguments": ""}
            said["tool_calls"] = [
                {"index": call.place, "id": text_of(block.get("id")), "type": "function", "function": function}
            ]
        elif kind == "text":
            said |= self._of_delta(index, {"type": "text_delta", "text": block.get("text")})
            said |= self._numbered(_cited_by([block]))
        elif kind == "thinking":
            self._thoughts += 1
            said |= self._of_thought(text_of(block.get("thinking")), text_of(block.get("signature")))
        elif kind == "redacted_thinking":
            self._thoughts += 1
            said["reasoning_details"] = [_sealed(block, self._thoughts - 1)]
        return said

    def _of_delta(self, index: Any, delta: dict[str, Any]) -> dict[str, Any]:
        kind = delta.get("type")
        if kind == "text_delta":
            text = text_of(delta.get("text"))
            return {"content": text} if text else {}
        if kind == "input_json_delta":
            return self._of_arguments(index, text_of(delta.get("partial_json")))
        if kind == "thinking_delta":
            return self._of_thought(text_of(delta.get("thinking")), "")
        if kind == "signature_delta":
            return self._of_thought("", text_of(delta.get("signature")))
        if kind == "citations_delta":
            return self._numbered(_cited_by([{"citations": [delta.get("citation")]}]))
        return {}

    def _numbered(self, said: dict[str, Any]) -> dict[str, Any]:
        """What is cited, each with its place: clients add deltas up by that."""
        for annotation in said.get("annotations", ()):
            annotation["index"] = self._citations
            self._citations += 1
        return said

    def _of_arguments(self, index: Any, piece: str) -> dict[str, Any]:
        if index not in self._open:
            raise MalformedAnswer("arguments of a tool call that never began")
        call = self._open[index]
        if call is None or not piece:
            return {}
        call.has_arguments = True
        return _arguments(call, piece)

    def _of_thought(self, text: str, signature: str) -> dict[str, Any]:
        if not text and not signature:
            return {}
        detail = _detail(max(self._thoughts - 1, 0))
        said: dict[str, Any] = {"reasoning_details": [detail]}
        if text:
            detail["text"] = said["reasoning_content"] = text
        if signature:
            detail["signature"] = signature
        return said

    def _rest_of(self, call: _Call | None) -> dict[str, Any]:
        """Arguments that did not come in pieces; none at all are an empty object."""
        if call is None or call.has_arguments:
            return {}
        call.has_arguments = True
        return _arguments(call, _json_of(call.first))

    def _of_end(self, delta: dict[str, Any]) -> dict[str, Any]:
        """What is still open when the reason for the end comes, and the words of a refusal."""
        said: dict[str, Any] = {}
        if self._is_stopped:
            rests = [self._rest_of(call) for call in self._open.values()]
            calls = [each for rest in rests if rest for each in rest["tool_calls"]]
            self._open.clear()
            said = {"tool_calls": calls} if calls else {}
        refusal = _refusal_of(delta)
        return {**said, "refusal": refusal} if refusal else said

    def whole(self, body: bytes) -> dict[str, Any]:
        answer = super().whole(body)
        message = _message_of(answer, _inputs_of(body, answer))
        if self.finish in GOOD_ENDS:
            refuse_cut(message.get("tool_calls", []))
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self.finish,
        }
        return {"object": "chat.completion", "choices": [choice]}


def _message_of(answer: dict[str, Any], inputs: list[str]) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = answer["content"]
    texts = [text_of(block.get("text")) for block in blocks if block.get("type") == "text"]
    calls = [
        {
            "id": text_of(block.get("id")),
            "type": "function",
            "function": {"name": text_of(block.get("name")), "arguments": arguments},
        }
        for block, arguments in zip(blocks, inputs, strict=True)
        if block.get("type") == "tool_use"
    ]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    if calls:
        message["tool_calls"] = complete_calls(calls)
    thoughts = [text_of(block.get("thinking")) for block in blocks if block.get("type") == "thinking"]
    if any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    details = _details_of(blocks)
    if details:
        message["reasoning_details"] = details
    message |= _cited_by(blocks)
    refusal = _refusal_of(answer)
    return {**message, "refusal": refusal} if refusal else message


def _details_of(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    for block in blocks:
        if block.get("type") == "thinking":
            text, signature = text_of(block.get("thinking")), text_of(block.get("signature"))
            details.append({**_detail(len(details)), "text": text, **({"signature": signature} if signature else {})})
        elif block.get("type") == "redacted_thinking":
            details.append(_sealed(block, len(details)))
    return details


def _detail(place: int) -> dict[str, Any]:
    return {"type": "reasoning.text", "format": FORMAT, "index": place}


def _sealed(block: dict[str, Any], place: int) -> dict[str, Any]:
    return {"type": "reasoning.encrypted", "format": FORMAT, "index": place, "data": text_of(block.get("data"))}


def _arguments(call: _Call, piece: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": call.place, "function": {"arguments": piece}}]}


def _inputs_of(body: bytes, answer: dict[str, Any]) -> list[str]:
    """Each block's input as the upstream wrote it, byte by byte: numbers may have more digits than we can hold."""
    blocks = answer["content"]
    try:
        raw = [bytes(each.input).decode() for each in _RAW.decode(body).content]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raw = []
    if len(raw) != len(blocks):
        raw = [""] * len(blocks)
    told = zip(raw, blocks, strict=True)  # an empty object may stand beside the arguments themselves
    return [text if text.strip(_EMPTY) and text.startswith("{") else _json_of(each.get("input")) for text, each in told]


def _json_of(value: Any) -> str:
    """Arguments as a text; some write them as one already."""
    if type(value) is str and value.strip():
        return value
    try:
        return orjson.dumps(value or {}).decode()
    except orjson.JSONEncodeError as error:
        raise MalformedAnswer("a tool call's arguments are nested too deep") from error


def _cited_by(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    cited = [block["citations"] for block in blocks if type(block.get("citations")) is list]
    annotations = [found for each in cited for citation in each if (found := _annotation_of(citation))]
    return {"annotations": annotations} if annotations else {}


def _annotation_of(citation: Any) -> dict[str, Any] | None:
    """A web page that is cited; chat has no form for places in documents."""
    if type(citation) is not dict or type(citation.get("url")) is not str:
        return None
    cited = {"url": citation["url"], "title": text_of(citation.get("title")), "start_index": 0, "end_index": 0}
    return {"type": "url_citation", "url_citation": cited}


def _refusal_of(place: dict[str, Any]) -> str:
    """Why the model's guards stopped it, in words."""
    details = place.get("stop_details")
    if type(details) is not dict or details.get("type") != "refusal":
        return ""
    return text_of(details.get("explanation"))
