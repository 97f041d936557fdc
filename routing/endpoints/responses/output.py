"""A chat answer as the items of a Response, and the events that tell of them as they grow.

The grammar of the events is OpenAI's (platform.openai.com/docs/api-reference/responses-streaming): an item is added,
its parts are added, grow and are done, it is done. Text and thoughts come one after the other; calls of tools may grow
side by side and are done at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from routing.endpoints.chat.cited import pages_in
from routing.endpoints.chat.pictures import link_to, pictures_in
from routing.endpoints.responses.schema import ResponsesRequest
from routing.endpoints.responses.tools import Callee, ChatTools, text_of_arguments
from routing.providers.base import MalformedAnswer
from routing.providers.openai.thoughts import pack

Emit = Callable[[str, dict[str, Any]], None]
"""Told of each event: its type, and its members, which change afterwards."""
_MOST_ITEMS: Final = 4096
_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""By chat's finish reason: why a Response is incomplete."""
_ENCRYPTED: Final = "reasoning.encrypted_content"


class Output:
    """The items so far. `hex_id` makes their ids unique."""

    def __init__(self, request: ResponsesRequest, hex_id: str, emit: Emit) -> None:
        self.items: list[dict[str, Any]] = []
        self._request = request
        self._tools = ChatTools(request)
        self._id = hex_id
        self._emit = emit
        self._open: _Message | _Thought | None = None
        self._calls: dict[int, _Call] = {}
        self._reason = ""

    @property
    def incomplete(self) -> str | None:
        """Why the Response is incomplete, None if it is complete."""
        return _INCOMPLETE.get(self._reason)

    def add(self, choice: dict[str, Any]) -> None:
        """A canonical chunk's choice; raises MalformedAnswer."""
        delta = choice["delta"]
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        details = delta.get("reasoning_details")
        if thought or details:
            self._think(thought if type(thought) is str else "", details if type(details) is list else [])
        logprobs = choice.get("logprobs")
        if delta.get("content"):
            self._message().say("output_text", delta["content"], logprobs)
        if delta.get("annotations"):
            self._message().cite(delta["annotations"])
        if delta.get("images"):
            self._draw(delta["images"])
        if delta.get("refusal"):
            self._message().say("refusal", delta["refusal"], None)
        for place, call in enumerate(_calls_in(delta)):
            self._call(call, place)
        self._reason = choice.get("finish_reason") or self._reason

    def cut(self) -> None:
        """The answer is ended at its cap."""
        self._reason = "length"

    def close(self) -> None:
        """Everything that is still open is done."""
        self._close_open()
        for call in self._calls.values():
            call.close(self._status)

    @property
    def _status(self) -> str:
        return "incomplete" if self.incomplete else "completed"

    def _close_open(self, status: str | None = None) -> None:
        if self._open is not None:
            self._open.close(status or self._status)
            self._open = None

    def _message(self) -> _Message:
        if not isinstance(self._open, _Message):
            self._close_open("completed")
            self._open = _Message(self)
        return self._open

    def _think(self, text: str, details: list[Any]) -> None:
        if not isinstance(self._open, _Thought):
            self._close_open("completed")
            self._open = _Thought(self, shows_summary=self._request.shows_summary)
        self._open.think(text, details)

    def _draw(self, images: Any) -> None:
        """Pictures as what their tool draws; the items have no place for the address of one, which is a text."""
        for picture in pictures_in(images):
            if picture.data:
                self._close_open("completed")
                _tell_picture(self, picture.data)
            else:
                self._message().say("output_text", link_to(picture.address), None)

    def _call(self, part: dict[str, Any], place: int) -> None:
        index = part.get("index", place)
        if type(index) is not int:
            raise MalformedAnswer("a tool call without a place")
        call = self._calls.get(index)
        if call is None:
            self._close_open("completed")
            for earlier in self._calls.values():
                earlier.begin()
            call = self._calls[index] = _Call(self)
        call.grow(part)

    # --- what items use ---

    def begin(self, kind: str, item: dict[str, Any]) -> int:
        """A new item's place; raises MalformedAnswer where they would fill the memory."""
        if len(self.items) >= _MOST_ITEMS:
            raise MalformedAnswer("too many items")
        place = len(self.items)
        self.items.append({"id": f"{kind}_{self._id}{place:04x}", **item})
        self.tell("response.output_item.added", place, {"item": self.items[place]}, has_item=False)
        return place

    def tell(self, event: str, place: int, members: dict[str, Any], *, has_item: bool = True) -> None:
        named = {"item_id": self.items[place]["id"]} if has_item else {}
        self._emit(event, {**named, "output_index": place, **members})

    def callee(self, flat: str) -> Callee:
        return self._tools.callee(flat)

    def is_name(self, flat: str) -> bool:
        """Whether nothing more can come of this name, as far as the request tells."""
        return self._tools.is_whole(flat)

    @property
    def shows_encrypted(self) -> bool:
        return self._request.includes(_ENCRYPTED)


def _calls_in(delta: dict[str, Any]) -> list[dict[str, Any]]:
    calls = delta.get("tool_calls")
    found = [call for call in calls if type(call) is dict] if type(calls) is list else []
    if type(delta.get("function_call")) is dict:  # OpenAI's older form: there is one
        found.append({"index": -1, "function": delta["function_call"]})
    return found


class _Message:
    def __init__(self, output: Output) -> None:
        self._output = output
        self._content: list[dict[str, Any]] = []
        self._place = output.begin(
            "msg", {"type": "message", "status": "in_progress", "role": "assistant", "content": []}
        )
        self._kind = ""
        self._pieces: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def say(self, kind: str, text: Any, logprobs: Any) -> None:
        if type(text) is not str:
            return
        self._begin_part(kind)
        self._pieces.append(text)
        if kind == "refusal":
            self._tell("response.refusal.delta", {"delta": text})
            return
        told = _logprobs_of(logprobs)
        self._logprobs += told
        self._tell("response.output_text.delta", {"delta": text, "logprobs": [_without_bytes(each) for each in told]})

    def cite(self, annotations: Any) -> None:
        """Where what is said has come from; chat has a form for web pages alone."""
        for page in pages_in(annotations):
            places = {"start_index": page.start, "end_index": page.end}
            annotation = {"type": "url_citation", "url": page.url, "title": page.title, **places}
            self._begin_part("output_text")
            self._annotations.append(annotation)
            told = {"annotation_index": len(self._annotations) - 1, "annotation": annotation}
            self._tell("response.output_text.annotation.added", told)

    def _begin_part(self, kind: str) -> None:
        if kind != self._kind:
            self._close_part()
            self._kind = kind
            self._tell("response.content_part.added", {"part": self._part("")})

    def _part(self, text: str) -> dict[str, Any]:
        if self._kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "annotations": self._annotations, "logprobs": self._logprobs, "text": text}

    def _close_part(self) -> None:
        if not self._kind:
            return
        text = "".join(self._pieces)
        if self._kind == "refusal":
            self._tell("response.refusal.done", {"refusal": text})
        else:
            told = [_without_bytes(each) for each in self._logprobs]
            self._tell("response.output_text.done", {"text": text, "logprobs": told})
        part = self._part(text)
        self._tell("response.content_part.done", {"part": part})
        self._content.append(part)
        self._kind, self._pieces, self._logprobs, self._annotations = "", [], [], []

    def _tell(self, event: str, members: dict[str, Any]) -> None:
        self._output.tell(event, self._place, {"content_index": len(self._content), **members})

    def close(self, status: str) -> None:
        self._close_part()
        item = self._output.items[self._place]
        item.update(status=status, content=self._content)
        self._output.tell("response.output_item.done", self._place, {"item": item}, has_item=False)


class _Thought:
    """What was thought: as a summary where one was asked for, else as the text that it is."""

    def __init__(self, output: Output, *, shows_summary: bool) -> None:
        self._output = output
        self._is_summary = shows_summary
        self._place = output.begin("rs", {"type": "reasoning", "summary": []})
        self._pieces: list[str] = []
        self._details: list[dict[str, Any]] = []

    def think(self, text: str, details: list[Any]) -> None:
        told = [dict(detail) for detail in details if type(detail) is dict]
        for detail in told:
            self._keep(detail)
        text = text or "".join(_text_in(detail) for detail in told)
        if not text:
            return
        if not self._pieces:
            added = "response.reasoning_summary_part.added" if self._is_summary else "response.content_part.added"
            self._tell(added, {"part": self._part("")})
        self._pieces.append(text)
        self._tell(f"{self._event}.delta", {"delta": text})

    def _keep(self, detail: dict[str, Any]) -> None:
        """A text that goes on is the same one until it is signed; each piece may have a place of its own."""
        detail.pop("index", None)
        last = self._details[-1] if self._details else None
        if (
            last is not None
            and detail.get("type") == last.get("type") == "reasoning.text"
            and not last.get("signature")
        ):
            last["text"] = _text_in(last) + _text_in(detail)
            last.update((name, value) for name, value in detail.items() if name != "text" and value is not None)
        else:
            self._details.append(detail)

    @property
    def _event(self) -> str:
        return "response.reasoning_summary_text" if self._is_summary else "response.reasoning_text"

    def _part(self, text: str) -> dict[str, Any]:
        return {"type": "summary_text" if self._is_summary else "reasoning_text", "text": text}

    def _tell(self, event: str, members: dict[str, Any]) -> None:
        place = "summary_index" if self._is_summary else "content_index"
        self._output.tell(event, self._place, {place: 0, **members})

    def close(self, _status: str) -> None:
        item = self._output.items[self._place]
        if self._pieces:
            text = "".join(self._pieces)
            self._tell(f"{self._event}.done", {"text": text})
            done = "response.reasoning_summary_part.done" if self._is_summary else "response.content_part.done"
            self._tell(done, {"part": self._part(text)})
            item["summary" if self._is_summary else "content"] = [self._part(text)]
        if self._details and self._output.shows_encrypted:
            item["encrypted_content"] = pack(self._details)
        self._output.tell("response.output_item.done", self._place, {"item": item}, has_item=False)


def _tell_picture(output: Output, data: str) -> None:
    """A picture in base64, whose item begins and ends at once."""
    place = output.begin("ig", {"type": "image_generation_call", "status": "in_progress", "result": None})
    for state in ("in_progress", "generating", "completed"):
        output.tell(f"response.image_generation_call.{state}", place, {})
    output.items[place].update(status="completed", result=data)
    output.tell("response.output_item.done", place, {"item": output.items[place]}, has_item=False)


class _Call:
    """One call. It is told of once its tool is known; a custom tool's text, and a search, once they are whole.

    A name may come in pieces, until the arguments do.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._callee: Callee | None = None
        self._name = ""
        self._place = -1
        self._call_id = ""
        self._pieces: list[str] = []

    def grow(self, part: dict[str, Any]) -> None:
        """Raises MalformedAnswer for a call of another kind: functions alone were offered."""
        if part.get("custom"):
            raise MalformedAnswer("a call of a tool that nobody offered")
        function = part.get("function")
        function = function if type(function) is dict else {}
        if type(part.get("id")) is str:
            self._call_id = self._call_id or part["id"]
        arguments = function.get("arguments")
        arguments = arguments if type(arguments) is str else ""
        if self._callee is None:
            self._name += function["name"] if type(function.get("name")) is str else ""
            if (arguments or self._output.is_name(self._name)) and self.begin():
                arguments = "".join((*self._pieces, arguments))
                self._pieces = []
        if not arguments:
            return
        self._pieces.append(arguments)
        if self._callee is not None and self._callee.kind == "function":
            self._output.tell("response.function_call_arguments.delta", self._place, {"delta": arguments})

    def begin(self) -> bool:
        """Tells of it, if it has a name and was not told of yet; whether it did."""
        if self._callee is not None or not self._name:
            return False
        self._begin(self._output.callee(self._name))
        return True

    def _begin(self, callee: Callee) -> None:
        self._callee = callee
        named: dict[str, Any] = {"call_id": self._call_id or f"call_{len(self._output.items)}"}
        if callee.kind != "tool_search":
            named["name"] = callee.name
        if callee.namespace:
            named["namespace"] = callee.namespace
        if callee.kind == "custom":
            self._place = self._output.begin("ctc", {"type": "custom_tool_call", **named, "input": ""})
        elif callee.kind == "tool_search":
            searching = {"execution": "client", "arguments": {}, "status": "in_progress"}
            self._place = self._output.begin("tsc", {"type": "tool_search_call", **named, **searching})
        else:
            self._place = self._output.begin(
                "fc", {"type": "function_call", "status": "in_progress", **named, "arguments": ""}
            )

    def close(self, status: str) -> None:
        self.begin()
        if self._callee is None:
            return  # without a name it is no call
        item, arguments = self._output.items[self._place], "".join(self._pieces)
        if self._callee.kind == "custom":
            text = item["input"] = text_of_arguments(arguments)
            self._output.tell("response.custom_tool_call_input.delta", self._place, {"delta": text})
            self._output.tell("response.custom_tool_call_input.done", self._place, {"input": text})
        elif self._callee.kind == "tool_search":
            item.update(arguments=_object_in(arguments), status=status)
        else:
            item.update(arguments=arguments, status=status)
            done = {"name": self._callee.name, "arguments": arguments}
            self._output.tell("response.function_call_arguments.done", self._place, done)
        self._output.tell("response.output_item.done", self._place, {"item": item}, has_item=False)


def _text_in(detail: dict[str, Any]) -> str:
    text = detail.get("text")
    return text if type(text) is str else ""


def _object_in(arguments: str) -> dict[str, Any]:
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return {}
    return value if type(value) is dict else {}


def _logprobs_of(logprobs: Any) -> list[dict[str, Any]]:
    """Chat's log probabilities of a piece of text; the words are the same."""
    tokens = logprobs.get("content") if type(logprobs) is dict else None
    told = [token for token in tokens if type(token) is dict] if type(tokens) is list else []
    return [
        {**_with_bytes(token), "top_logprobs": [*map(_with_bytes, token.get("top_logprobs") or ())]} for token in told
    ]


def _with_bytes(token: dict[str, Any]) -> dict[str, Any]:
    """Where chat may say null, the public schema has the bytes of the token."""
    return token if token.get("bytes") is not None else {**token, "bytes": list(token["token"].encode())}


def _without_bytes(token: dict[str, Any]) -> dict[str, Any]:
    others = token.get("top_logprobs")
    return {
        "token": token.get("token"),
        "logprob": token.get("logprob"),
        "top_logprobs": [
            {"token": other.get("token"), "logprob": other.get("logprob")}
            for other in (others if type(others) is list else ())
            if type(other) is dict
        ],
    }
