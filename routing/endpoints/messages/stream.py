"""A native stream on its way to the client: Anthropic's events as they came, but for what must be ours. Pure.

The id, the model's name and the usage are ours. The last counts are known when the stream has ended, so the event that
carries them, with the reason why the answer stopped, is held back until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

import orjson

from routing.endpoints.base import Bill, Head, to_json
from routing.endpoints.chat.identity import drop_names, is_in
from routing.endpoints.messages import events
from routing.endpoints.messages.answer import drop_hidden, public_usage
from routing.endpoints.messages.schema import MessagesRequest
from routing.endpoints.received import Received
from routing.providers.anthropic.pieces import GROWING
from routing.providers.base import MalformedAnswer
from routing.wire.frames import Again

_TEXTS: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""What a model has written, by the kind of delta; signatures and citations are none of it."""
_OF_EVENTS: Final = frozenset(("type", "index", "delta", "content_block", "message"))
_MOST_OPEN: Final = 1_024
_STOP: Final = ("stop_reason", "stop_sequence")


def words_of(event: Mapping[str, Any]) -> str:
    """The text of an event; empty if there is none."""
    delta = event.get("delta")
    text = delta.get("text") if type(delta) is dict else None
    return text if type(text) is str else ""


class MessagesRelay:
    """Turns an upstream's events into the client's."""

    takes_again = False

    def __init__(self, request: MessagesRequest, head: Head, most_output: int) -> None:
        self._head = head
        self._received = Received(most_output)
        self._last: dict[str, Any] = {}
        """The members of the event that tells how the answer ended, as far as they have come."""
        self._has_begun = False
        self._open: dict[Any, int] = {}
        """By the upstream's, our places of the blocks that have begun and not ended."""
        self._blocks = 0
        """How many have begun."""
        self._has_stopped = False
        self.is_done = False

    @property
    def is_past_cap(self) -> bool:
        return self._received.is_past_cap

    @property
    def is_complete(self) -> bool:
        """Anthropic's grammar has an end: without it, nothing is whole."""
        return self._has_stopped or (self.is_done and bool(self._last))

    def relay(self, event: dict[str, Any]) -> bytes:
        match event.get("type"):
            case "message_start":
                self._complete_start(event)
                if self._has_begun:
                    return b""
                self._has_begun = True
            case "message_delta":
                self._keep(event)
                return b""
            case "message_stop":
                self._has_stopped = True
                return b""
            case "content_block_start" | "content_block_delta" | "content_block_stop":
                return self._begin() + self._of_block(event)
        return self._begin() + self._written(event)

    def _begin(self) -> bytes:
        """The message's beginning, where the upstream has left it out."""
        if self._has_begun:
            return b""
        self._has_begun = True
        start: dict[str, Any] = {"type": "message_start", "message": {}}
        self._complete_start(start)
        return self._written(start)

    def _of_block(self, event: dict[str, Any]) -> bytes:
        """An event of a block, which has a place of its own, begins and ends, whatever the upstream says of that.

        Raises MalformedAnswer for the input of a call that never began, and where they would fill the memory.
        """
        index, out = event.get("index"), b""
        if event["type"] == "content_block_start":
            out = self._close(index)
            if len(self._open) >= _MOST_OPEN:
                raise MalformedAnswer("too many blocks")
            self._open[index] = self._blocks
            self._blocks += 1
        elif event["type"] == "content_block_stop":
            return self._close(index)
        else:
            self._count(event.get("delta"))
            if index not in self._open:
                out = self._of_block({"type": "content_block_start", "index": index, "content_block": _block_of(event)})
        event["index"] = self._open[index]
        return out + self._written(event)

    def _close(self, index: Any) -> bytes:
        place = self._open.pop(index, None)
        return b"" if place is None else events.close_block(place)

    def again(self, text: Again) -> NoReturn:
        raise NotImplementedError("every event comes whole")

    def _written(self, event: dict[str, Any]) -> bytes:
        out = events.as_it_is(event)
        if is_in(out, self._head.hidden):
            drop_hidden(event, _OF_EVENTS, self._head.hidden)
            if type(event.get("message")) is dict:
                drop_hidden(event["message"], _OF_STARTS, self._head.hidden)
            out = events.as_it_is(event)
        return out

    def _count(self, delta: Any) -> None:
        if type(delta) is dict and type(delta.get("type")) is str:
            text = delta.get(_TEXTS.get(delta["type"], ""))
            if type(text) is str:
                self._received.add(text)

    def _complete_start(self, event: dict[str, Any]) -> None:
        message = event.get("message")
        if type(message) is not dict:
            message = event["message"] = {}
        drop_names(message)
        message.update({"id": self._head.public_id, "type": "message", "role": "assistant", "model": self._head.model})
        message["content"] = []
        usage = message.get("usage")
        told = usage if type(usage) is dict else {}
        counts = {name: value for name, value in told.items() if type(value) is int and name.endswith("_tokens")}
        message["usage"] = {"input_tokens": self._head.expected_input, "output_tokens": 0, **counts}
        for name in _STOP:
            message.setdefault(name, None)

    def _keep(self, event: dict[str, Any]) -> None:
        """What is told twice is as it was told last; null tells nothing."""
        for name, value in event.items():
            if name == "delta":  # which the reader has made an object
                before = self._last.get("delta", {})
                told = {key: each for key, each in value.items() if each not in (None, "")}
                self._last["delta"] = {**before, **told}
            elif name not in ("type", "usage"):
                self._last[name] = value

    def received_tokens(self) -> int:
        return self._received.tokens()

    def cut(self) -> bytes:
        self.is_done = True
        self._last = {"delta": {"stop_reason": "max_tokens"}}
        return self._close_all()

    def closing(self, bill: Bill, explanation: Any = None) -> bytes:
        out = self._close_all()
        stop = {**dict.fromkeys(_STOP), **self._last.pop("delta", {})}
        beside = {name: value for name, value in self._last.items() if not is_in(to_json(value), self._head.hidden)}
        drop_names(beside)
        return out + events.end(stop, public_usage(bill), explanation, **beside)

    def _close_all(self) -> bytes:
        return b"".join([self._close(index) for index in list(self._open)])


_TEXTS_OF_BLOCKS: Final = {"text_delta": ("text", "text"), "thinking_delta": ("thinking", "thinking")}


def _block_of(event: dict[str, Any]) -> dict[str, Any]:
    """The block whose delta came without its beginning; raises MalformedAnswer for one that nobody can name."""
    delta = event.get("delta")
    kind, member = _TEXTS_OF_BLOCKS.get(str(delta.get("type")) if type(delta) is dict else "", ("", ""))
    if not kind:
        raise MalformedAnswer("a block that never began")
    return {"type": kind, member: "", **({"signature": ""} if kind == "thinking" else {})}


_OF_STARTS: Final = frozenset(
    ("id", "type", "role", "content", "model", "stop_reason", "stop_sequence", "stop_details", "usage")
)


# --- a stream as the whole message that it is -----------------------------------------------------------------------


class MessagesAssembler:
    """A whole message in the making, from a stream's events."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._inputs: dict[int, str] = {}
        self.is_complete = False

    def add(self, event: dict[str, Any]) -> None:
        """Raises MalformedAnswer for an event of another shape."""
        try:
            self._add(event)
        except (KeyError, TypeError, AttributeError, orjson.JSONDecodeError) as error:
            raise MalformedAnswer("an event of another shape") from error

    def _add(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "message_start":
                self._message.update(event["message"])
            case "content_block_start":
                self._blocks[event["index"]] = dict(event["content_block"])
            case "content_block_delta":
                self._grow(event["index"], event["delta"])
            case "content_block_stop" if event["index"] in self._inputs:
                self._blocks[event["index"]]["input"] = orjson.loads(self._inputs.pop(event["index"]) or "{}")
            case "message_delta":
                self._message.update({name: value for name, value in event["delta"].items() if value is not None})
            case "message_stop":
                self.is_complete = True

    def _grow(self, index: int, delta: dict[str, Any]) -> None:
        block, kind = self._blocks[index], delta["type"]
        if kind in GROWING:
            name, member = GROWING[kind]
            block[member] = (block.get(member) or "") + delta[name]
        elif kind == "input_json_delta":
            self._inputs[index] = self._inputs.get(index, "") + delta["partial_json"]
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]

    def answer(self) -> dict[str, Any]:
        return {**self._message, "content": [self._blocks[index] for index in sorted(self._blocks)]}
