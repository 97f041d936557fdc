"""A chat answer as a message: whole, or a stream's chunks as its events. Pure.

Anthropic's grammar has one block open at a time, in order; chat's calls may come interleaved. So what belongs to a
later block waits until the open one is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from routing.endpoints.base import Bill, Head, to_json
from routing.endpoints.chat.carried import refuse_older_form
from routing.endpoints.chat.cited import pages_in
from routing.endpoints.chat.identity import is_in
from routing.endpoints.chat.pictures import Picture, link_to, pictures_in
from routing.endpoints.messages import events
from routing.endpoints.messages.answer import public_usage
from routing.endpoints.messages.schema import MessagesRequest
from routing.endpoints.received import Received
from routing.providers.base import MalformedAnswer
from routing.providers.openai.finish import GOOD_ENDS
from routing.wire.frames import Again
from routing.wire.wholeness import JsonScan

STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
"""By chat's finish reason."""
_MATCHED: Final = ("stop_reason", "matched_stop")
"""Where vLLM and SGLang say which stop sequence it was."""
_THOUGHTS: Final = ("reasoning_content", "reasoning")
_STOP: Final = {"finish_reason": "stop"}
"""The first reason that is more than this counts: some servers say it in every chunk."""
_LOST: Final = (
    "[The model answered with a picture ({kind}), for which a message has no place. /v1/chat/completions and "
    "/v1/responses deliver it.]"
)
_NO_ARGUMENTS: Final = frozenset(("", "null"))


def stop_of(choice: dict[str, Any], request: MessagesRequest, *, has_called: bool, has_refused: bool) -> dict[str, Any]:
    """Why the answer stopped, in Anthropic's words; no reason at all is an end like any."""
    reason = STOP_REASONS.get(choice.get("finish_reason") or "stop", "end_turn")
    sequence = None
    if reason == "tool_use" and not has_called:
        reason = "end_turn"
    if reason == "end_turn":
        sequence = next((text for text in map(choice.get, _MATCHED) if _is_sequence(text, request)), None)
        if sequence is not None:
            reason = "stop_sequence"
        elif has_called:
            reason = "tool_use"
        elif has_refused:
            reason = "refusal"
    return {"stop_reason": reason, "stop_sequence": sequence}


def _is_sequence(text: Any, request: MessagesRequest) -> bool:
    return type(text) is str and text in (request.stop_sequences or ())


def thoughts_of(said: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What was thought, in pieces: `text`, the `signature` that ends one, or what is `redacted`.

    OpenRouter says a text twice, as it is and in its details; the details' is taken where it stands alone.
    """
    text = next((said[name] for name in _THOUGHTS if type(said.get(name)) is str and said[name]), "")
    details = said.get("reasoning_details")
    entries = [each for each in details if type(each) is dict] if type(details) is list else []
    has_texts = any(each.get("type") == "reasoning.text" and each.get("text") for each in entries)
    if text and not has_texts:
        yield "text", text
    for each in entries:
        kind = each.get("type")
        if kind == "reasoning.text" and type(each.get("text")) is str and each["text"]:
            yield "text", each["text"]
        if kind == "reasoning.summary" and not text and type(each.get("summary")) is str:
            yield "text", each["summary"]
        if type(each.get("signature")) is str and each["signature"]:
            yield "signature", each["signature"]
        if kind == "reasoning.encrypted" and type(each.get("data")) is str:
            yield "redacted", each["data"]


# --- whole -----------------------------------------------------------------------------------------------------------


def complete(request: MessagesRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any) -> bytes:
    """The whole message; raises MalformedAnswer for calls that are none."""
    choice = answer["choices"][0]
    said = choice["message"]
    is_cut = choice.get("finish_reason") == "length"
    thoughts = list(_thought_blocks(said)) if request.shows_thoughts else []
    texts: list[dict[str, Any]] = [
        {"type": "text", "text": said[name]} for name in ("content", "refusal") if said.get(name)
    ]
    cited = _citations_in(said.get("annotations"))
    if cited and texts:
        texts[0]["citations"] = cited
    elif cited:
        texts.append({"type": "text", "text": "", "citations": cited})
    shown = [{"type": "text", "text": _words_for(each, head)} for each in pictures_in(said.get("images"))]
    calls = [_call_block(call, is_cut=is_cut) for call in said.get("tool_calls") or ()]
    stop = stop_of(choice, request, has_called=bool(calls), has_refused=bool(said.get("refusal")))
    message: dict[str, Any] = {"id": head.public_id, "type": "message", "role": "assistant", "model": head.model}
    message |= {"content": [*thoughts, *texts, *shown, *calls], **stop, "usage": public_usage(bill)}
    return to_json(message if explanation is None else {**message, "costrouter": explanation})


def check_calls(answer: dict[str, Any]) -> None:
    """Raises MalformedAnswer for calls that are none, or of the older form."""
    choice = answer["choices"][0]
    refuse_older_form(choice["message"])
    for call in choice["message"].get("tool_calls") or ():
        _call_block(call, is_cut=choice.get("finish_reason") == "length")


def _citations_in(annotations: Any) -> list[dict[str, Any]]:
    """The pages that are cited. The index is what Anthropic's own search would know them again by: there is none."""
    kind = {"type": "web_search_result_location", "encrypted_index": ""}
    return [
        {**kind, "url": page.url, "title": page.title or None, "cited_text": page.words}
        for page in pages_in(annotations)
    ]


def _words_for(picture: Picture, head: Head) -> str:
    """What is said in place of a picture, for which Anthropic's answers have none: its link, or that it came."""
    if picture.address and not is_in(picture.address.encode(), head.hidden):
        return link_to(picture.address)
    return _LOST.format(kind=picture.kind or "image")


def _thought_blocks(said: dict[str, Any]) -> Iterator[dict[str, Any]]:
    thought: dict[str, Any] | None = None
    for kind, piece in thoughts_of(said):
        if kind == "redacted":
            if thought is not None:
                yield thought
            yield {"type": "redacted_thinking", "data": piece}
            thought = None
            continue
        if thought is None or (kind == "text" and thought["signature"]):
            if thought is not None:
                yield thought
            thought = {"type": "thinking", "thinking": "", "signature": ""}
        thought["thinking" if kind == "text" else "signature"] += piece
    if thought is not None:
        yield thought


def _call_block(call: Any, *, is_cut: bool) -> dict[str, Any]:
    function = call.get("function") if type(call) is dict else None
    if type(function) is not dict or type(function.get("name")) is not str or type(call.get("id")) is not str:
        raise MalformedAnswer("a tool call that is none")
    return {"type": "tool_use", "id": call["id"], "name": function["name"], "input": _input(function, is_cut=is_cut)}


def _input(function: dict[str, Any], *, is_cut: bool) -> Any:
    """The arguments, byte by byte as they came; an object, as the public schema has it. Cut ones are none."""
    arguments = function.get("arguments") or ""
    if type(arguments) is not str:
        raise MalformedAnswer("a tool call's arguments are no text")
    if arguments.strip() in _NO_ARGUMENTS:
        return {}
    try:
        if type(orjson.loads(arguments)) is dict:
            return orjson.Fragment(arguments)
    except orjson.JSONDecodeError:
        pass
    if is_cut:
        return {}
    raise MalformedAnswer("a tool call's arguments are no object")


# --- in pieces -------------------------------------------------------------------------------------------------------


class _Block:
    """One block on its way: what of it may not be written yet waits here."""

    __slots__ = ("has_input", "index", "is_named", "kind", "opening", "scan", "waiting")

    def __init__(self, kind: str, opening: dict[str, Any]) -> None:
        self.kind = kind
        self.opening = opening
        self.index = -1
        """Its place, once it is open."""
        self.scan = JsonScan() if kind == "tool_use" else None
        self.has_input = False
        self.is_named = self.scan is None
        """Its beginning is known: a call's name may come in pieces, until its arguments do."""
        self.waiting: list[tuple[str, str, Any]] = []

    @property
    def may_end(self) -> bool:
        return self.scan is None or self.scan.is_whole

    def follow(self, scan: JsonScan, piece: str) -> None:
        """A piece of a call's arguments; raises MalformedAnswer where they are no object, as in a whole answer."""
        if not self.has_input and piece.strip():
            self.has_input = True
            if piece.lstrip()[0] != "{":
                raise MalformedAnswer("a tool call's arguments are no object")
        scan.add(piece)


class _Blocks:
    """The blocks of a message in order, one of them open."""

    def __init__(self) -> None:
        self._open: _Block | None = None
        self._later: list[_Block] = []
        self._next = 0

    @property
    def latest(self) -> _Block | None:
        return self._later[-1] if self._later else self._open

    @property
    def are_whole(self) -> bool:
        return all(block.may_end for block in (self._open, *self._later) if block is not None)

    def begin(self, block: _Block) -> bytes:
        """Opens it if the one before can end, else has it wait."""
        self._later.append(block)
        return self.advance()

    def add(self, block: _Block, kind: str, name: str, text: Any) -> bytes:
        """A piece of a block's; raises MalformedAnswer for one of a block that has ended."""
        if block.scan is not None:
            block.follow(block.scan, text)
        if block is self._open:
            out = events.delta(block.index, kind, name, text)
            return out + self.advance() if self._later else out
        if block.index < 0:
            block.is_named = bool(block.opening.get("name", True))
            block.waiting.append((kind, name, text))
            return self.advance()
        if text.strip():
            raise MalformedAnswer("a tool call went on after its end")
        return b""

    def advance(self) -> bytes:
        """Goes on to the next block as long as the open one can end."""
        out = []
        while self._later and (self._open is None or self._open.may_end):
            if not (self._later[0].is_named or len(self._later) > 1):
                break
            out.append(self._turn(self._later.pop(0)))
        return b"".join(out)

    def _turn(self, block: _Block) -> bytes:
        """Opens a block; raises MalformedAnswer for a call that has no name."""
        if not block.opening.get("name", True):
            raise MalformedAnswer("a tool was called without a name")
        closing = b"" if self._open is None else events.close_block(self._open.index)
        block.index, self._next = self._next, self._next + 1
        self._open = block
        pieces = [events.delta(block.index, *piece) for piece in block.waiting]
        block.waiting.clear()
        return b"".join((closing, events.open_block(block.index, block.opening), *pieces))

    def finish(self) -> bytes:
        """Whatever waits and has a name, whole or not, and the end of the last block."""
        out = [self._turn(block) for block in self._later if block.opening.get("name", True)]
        self._later.clear()
        if self._open is not None:
            out.append(events.close_block(self._open.index))
            self._open = None
        return b"".join(out)


class InChatRelay:
    """Turns an upstream's chat chunks into a message's events."""

    takes_again = True

    def __init__(self, request: MessagesRequest, head: Head, most_output: int) -> None:
        self._request = request
        self._head = head
        self._shows_thoughts = request.shows_thoughts
        self._received = Received(most_output)
        self._blocks = _Blocks()
        self._calls: dict[int, _Block] = {}
        self._cited: list[dict[str, Any]] = []
        """What was cited before its text came, or behind the end of that."""
        self._has_begun = False
        self._has_said = False
        self._has_refused = False
        self._ended: dict[str, Any] | None = None
        """The choice that had a finish reason first."""
        self.is_done = False

    @property
    def is_past_cap(self) -> bool:
        return self._received.is_past_cap

    @property
    def is_complete(self) -> bool:
        """There is a finish reason, or the upstream said that it is done, something was said and no call is cut.

        A good reason beside a call that is not whole may be in every chunk of its server's: then only the end is one.
        """
        if self._ended is not None:
            return self.is_done or self._blocks.are_whole or self._ended["finish_reason"] not in GOOD_ENDS
        return self.is_done and self._has_said and self._blocks.are_whole

    def relay(self, chunk: dict[str, Any]) -> bytes:
        out = [] if self._has_begun else [self._begin()]
        for choice in chunk["choices"]:
            if choice.get("index", 0) == 0:  # one was asked for
                out += self._say(choice["delta"])
                if choice.get("finish_reason") is not None and (self._ended or _STOP)["finish_reason"] == "stop":
                    self._ended = {name: value for name, value in choice.items() if name != "delta"}
        return b"".join(out)

    def again(self, text: Again) -> bytes:
        return self._text(text.decode())

    def _begin(self) -> bytes:
        self._has_begun = True
        expected = {"input_tokens": self._head.expected_input, "output_tokens": 0}
        return events.begin(self._head, {**expected, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0})

    def _say(self, delta: dict[str, Any]) -> Iterator[bytes]:
        content = delta.get("content")
        if len(delta) > 1 or content is None:
            for kind, piece in thoughts_of(delta):
                yield self._think(kind, piece)
        if content:
            yield self._text(content)
        if delta.get("refusal"):
            self._has_refused = True
            yield self._text(delta["refusal"])
        for picture in pictures_in(delta.get("images")):
            yield self._show(picture)
        if delta.get("annotations"):
            self._cited += _citations_in(delta["annotations"])
            yield self._cite()
        if delta.get("tool_calls"):
            for fragment in delta["tool_calls"]:
                yield self._call(fragment)
        refuse_older_form(delta)

    def _text(self, text: str) -> bytes:
        self._has_said = True
        self._received.add(text)
        block, out = self._blocks.latest, b""
        if block is None or block.kind != "text":
            block, out = self._new("text", {"type": "text", "text": ""})
            out += self._cite()
        return out + self._blocks.add(block, "text_delta", "text", text)

    def _cite(self) -> bytes:
        """What is cited, beside the text that stands last; one that has ended takes no more: it waits for another."""
        block = self._blocks.latest
        if block is None or block.kind != "text":
            return b""
        told = [self._blocks.add(block, "citations_delta", "citation", each) for each in self._cited]
        self._cited.clear()
        return b"".join(told)

    def _show(self, picture: Picture) -> bytes:
        """What stands in place of a picture is a text of its own, which no model has written."""
        self._has_said = True
        block, out = self._new("shown", {"type": "text", "text": ""})
        return out + self._blocks.add(block, "text_delta", "text", _words_for(picture, self._head))

    def _think(self, kind: str, piece: str) -> bytes:
        if kind == "text":
            self._received.add(piece)
        if not self._shows_thoughts:
            return b""
        if kind == "redacted":
            return self._blocks.begin(_Block("redacted_thinking", {"type": "redacted_thinking", "data": piece}))
        block, out = self._blocks.latest, b""
        if block is None or block.kind not in ("thinking", "signed") or (kind == "text" and block.kind == "signed"):
            block, out = self._new("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if kind == "text":
            return out + self._blocks.add(block, "thinking_delta", "thinking", piece)
        block.kind = "signed"  # which ends what was thought
        return out + self._blocks.add(block, "signature_delta", "signature", piece)

    def _new(self, kind: str, opening: dict[str, Any]) -> tuple[_Block, bytes]:
        """A new block and, if it is its turn, its beginning."""
        block = _Block(kind, opening)
        return block, self._blocks.begin(block)

    def _call(self, fragment: dict[str, Any]) -> bytes:
        """A piece of a call, which says its id and its name first."""
        function = fragment.get("function")
        if type(function) is not dict:
            raise MalformedAnswer("a call of a tool that nobody offered")
        out, block = b"", self._calls.get(fragment["index"])
        if block is None:
            name = function.get("name") or ""
            block, out = self._new(
                "tool_use", {"type": "tool_use", "id": fragment.get("id") or "", "name": name, "input": {}}
            )
            self._calls[fragment["index"]] = block
            self._has_said = True
        elif function.get("name") and block.index < 0:
            block.opening["name"] += function["name"]
            if block.waiting:  # its arguments came first
                block.is_named = True
                out += self._blocks.advance()
        arguments = function.get("arguments")
        if arguments:
            self._received.add(arguments)
            out += self._blocks.add(block, "input_json_delta", "partial_json", arguments)
        return out

    def received_tokens(self) -> int:
        return self._received.tokens()

    def cut(self) -> bytes:
        self.is_done = True
        self._ended = self._ended or {"finish_reason": "length"}
        return b""

    def closing(self, bill: Bill, explanation: Any = None) -> bytes:
        out = b""
        if self._cited:
            _block, out = self._new("text", {"type": "text", "text": ""})
            out += self._cite()
        stop = stop_of(
            self._ended or {}, self._request, has_called=bool(self._calls), has_refused=self._has_refused
        )  # fmt: skip
        return out + self._blocks.finish() + events.end(stop, public_usage(bill), explanation)
