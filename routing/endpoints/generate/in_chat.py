"""generateContent said in chat's format: what chat answers, whole or in pieces, in Google's words. Pure.

Chat's tool calls come bit by bit; Google's come whole, with their arguments as an object. So they wait for the end.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any, Final

import orjson

from billing.kinds import Usage
from routing.endpoints.base import Assembler, Bill, Head, Needs, Relay
from routing.endpoints.chat.answer import check_answer, estimate_output
from routing.endpoints.chat.assembler import ChatAssembler
from routing.endpoints.chat.carried import CarriedRelay, refuse_older_form
from routing.endpoints.chat.cited import Page, pages_in
from routing.endpoints.chat.pictures import Picture, pictures_in
from routing.endpoints.chat.stream import pieces_of, words_of
from routing.endpoints.generate import thoughts
from routing.endpoints.generate.answer import make_ours, public_usage, written
from routing.endpoints.generate.grounding import grounding_of
from routing.endpoints.generate.schema import GenerateRequest
from routing.endpoints.generate.stream import Ends
from routing.endpoints.generate.to_chat import chat_body
from routing.providers.base import MalformedAnswer
from routing.providers.gemini import signatures
from routing.providers.kept import KeptTexts
from routing.providers.openai.finish import GOOD_ENDS

_REASONS: Final = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}
"""By chat's finish reason; every other is a good end."""
_STOP: Final = "STOP"
_USUAL: Final = "image/png"
"""The kind of a picture whose address does not show it."""
_NO_BREAKS: Final = str.maketrans("\r\n", "  ")


class InChat:
    """The format."""

    name = "chat.completions"
    path = "/chat/completions"

    words = staticmethod(words_of)
    pieces = staticmethod(pieces_of)

    def body(self, request: GenerateRequest, body: dict[str, Any]) -> Mapping[str, Any]:
        return chat_body(request, body)

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        return Usage(input=needs.expected_input, output=estimate_output(answer))

    def check(self, request: GenerateRequest, answer: dict[str, Any]) -> None:
        check_answer(answer, request.choices)

    def complete(
        self, request: GenerateRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        shows = request.shows_thoughts
        candidates = [_candidate(choice, place, shows=shows) for place, choice in enumerate(answer["choices"])]
        whole: dict[str, Any] = {"candidates": candidates, "usageMetadata": public_usage(bill)}
        make_ours(whole, head)
        if explanation is not None:
            whole["costrouter"] = explanation
        return b"[%b]" % written(whole, head) if request.is_list else written(whole, head)

    def relay(self, request: GenerateRequest, head: Head, most_output: int) -> Relay:
        return InChatRelay(request, head, most_output)

    def assembler(self, request: GenerateRequest) -> Assembler:
        return ChatAssembler(request.choices)


class InChatRelay(CarriedRelay):
    """A chat stream for a client of Google's."""

    def __init__(self, request: GenerateRequest, head: Head, most_output: int) -> None:
        super().__init__(request.model, request.choices, head, most_output)
        self._shows_thoughts = request.shows_thoughts
        self._ends = Ends(head, request.choices)
        self._calls: dict[int, ChatAssembler] = {}
        """By choice, its tool calls as far as they have come."""
        self._texts = KeptTexts()
        self._pages: dict[int, list[Page]] = {}
        """By choice, what it cites."""

    @property
    def is_complete(self) -> bool:
        return super().is_complete and all(map(self._chat.has_whole_calls, self._calls))

    def relay(self, chunk: dict[str, Any]) -> bytes:
        self._chat.relay(chunk)
        candidates = [self._candidate(choice) for choice in chunk["choices"]]
        return self._ends.take({"candidates": [each for each in candidates if each is not None]})

    def _candidate(self, choice: dict[str, Any]) -> dict[str, Any] | None:
        """None for a piece that says nothing yet; raises MalformedAnswer."""
        index, delta, reason = choice["index"], choice["delta"], choice["finish_reason"]
        refuse_older_form(delta)
        if delta.get("tool_calls"):
            calls = self._calls.setdefault(index, ChatAssembler(1))
            calls.add({"choices": [{"index": 0, "delta": {"tool_calls": delta["tool_calls"]}}]})
        if delta.get("content"):
            self._texts.add(index, delta["content"])
        if delta.get("annotations"):
            self._pages.setdefault(index, []).extend(pages_in(delta["annotations"]))
        parts = _parts(delta, shows=self._shows_thoughts)
        if reason is not None and (reason not in GOOD_ENDS or self._chat.has_whole_calls(index)):
            parts += self._called(index, is_cut=reason not in GOOD_ENDS)
        if not parts and reason is None:
            return None
        return _with_end({"content": {"role": "model", "parts": parts}, "index": index}, choice)

    def _called(self, index: int, *, is_cut: bool) -> list[dict[str, Any]]:
        calls = self._calls.pop(index, None)
        return _call_parts(calls.answer()["choices"][0]["message"], is_cut=is_cut) if calls is not None else []

    def cut(self) -> bytes:
        self._chat.cut()
        self._end(_REASONS["length"])
        return b""

    def closing(self, bill: Bill, explanation: Any = None) -> bytes:
        self._end(_STOP)
        for index, pages in self._pages.items():
            self._ends.ground(index, grounding_of(pages, self._texts.text(index)))
        return self._ends.closing(bill, explanation)

    def _end(self, reason: str) -> None:
        """Ends what has not said itself why it ended, with the calls that are whole."""
        for index in list(self._calls):
            parts = self._called(index, is_cut=True)
            self._ends.hold({"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": index})
        self._ends.end(reason)


def _candidate(choice: dict[str, Any], place: int, *, shows: bool) -> dict[str, Any]:
    """`shows`: what was thought."""
    message = choice["message"]
    said = _parts(message, shows=shows)
    parts = [*said, *_call_parts(message, is_cut=choice.get("finish_reason") == "length")]
    index = choice.get("index", place)
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": index}
    pages = list(pages_in(message.get("annotations")))
    if pages:
        at = next((at for at, part in enumerate(said) if not part.get("thought")), 0)
        candidate["groundingMetadata"] = grounding_of(pages, message.get("content") or "", at)
    return _with_end(candidate, {**choice, "finish_reason": choice.get("finish_reason") or "stop"})


def _with_end(candidate: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
    """The candidate with its finish reason, if there is one, and the probabilities of its tokens."""
    if choice["finish_reason"] is not None:
        candidate["finishReason"] = _REASONS.get(choice["finish_reason"], _STOP)
    logprobs = choice.get("logprobs")
    tokens = logprobs.get("content") if type(logprobs) is dict else None
    if type(tokens) is list and tokens:
        told = [each for each in tokens if type(each) is dict]
        others = [{"candidates": list(map(_token, _others_of(each)))} for each in told]
        candidate["logprobsResult"] = {"chosenCandidates": list(map(_token, told)), "topCandidates": others}
    return candidate


def _others_of(token: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    told = token.get("top_logprobs")
    return [each for each in told if type(each) is dict] if type(told) is list else []


def _token(token: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": token.get("token"), "logProbability": token.get("logprob")}


def _parts(said: Mapping[str, Any], *, shows: bool) -> list[dict[str, Any]]:
    """What a message or a delta says, but for its calls."""
    parts = list(thoughts.parts_of(said, are_shown=shows))
    parts += [{"text": said[name]} for name in ("content", "refusal") if type(said.get(name)) is str and said[name]]
    return parts + [_shown(picture) for picture in pictures_in(said.get("images"))]


def _shown(picture: Picture) -> dict[str, Any]:
    if picture.data:
        return {"inlineData": {"mimeType": picture.kind, "data": picture.data}}
    kind, _encoding = mimetypes.guess_type(picture.address.partition("?")[0])
    return {"fileData": {"mimeType": kind or _USUAL, "fileUri": picture.address}}


def _call_parts(message: Mapping[str, Any], *, is_cut: bool) -> list[dict[str, Any]]:
    """The calls with their arguments as they came; raises MalformedAnswer for those that are none.

    `is_cut`: the answer was ended in the middle, perhaps of a call, which is then left out.
    """
    refuse_older_form(message)
    parts = []
    for call in message.get("tool_calls") or ():
        function = call.get("function") if type(call) is dict else None
        if type(function) is not dict or type(function.get("name")) is not str:
            raise MalformedAnswer("a tool call that is none")
        arguments = _arguments(function.get("arguments"))
        if arguments is None:
            if is_cut:
                continue
            raise MalformedAnswer("a tool call's arguments are no object")
        part: dict[str, Any] = {"functionCall": {"id": call.get("id"), "name": function["name"], "args": arguments}}
        signature = signatures.of_call(call)
        parts.append({**part, "thoughtSignature": signature} if signature else part)
    return parts


def _arguments(text: Any) -> Any:
    """The object, digit by digit as it came; None where there is none.

    Its line breaks go, which would end a line of an event: in JSON none stands within a text.
    """
    if not text or (type(text) is str and not text.strip()):
        return {}
    try:
        is_object = type(text) is str and type(orjson.loads(text)) is dict
    except orjson.JSONDecodeError:
        return None
    return orjson.Fragment(text.translate(_NO_BREAKS)) if is_object else None
