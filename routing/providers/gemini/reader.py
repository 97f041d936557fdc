"""Reading an answer of generateContent, whole, as events, or as the list that a stream is without `alt=sse`.

A stream has no mark at its end: it is whole where every candidate has its finish reason, or the prompt was blocked.
Usage stands in each chunk, counted until there.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

import orjson

from routing.providers import digits
from routing.providers.base import Event, MalformedAnswer
from routing.providers.gemini import media, signatures
from routing.providers.gemini.grounding import Cited, annotation_of, cited_in
from routing.providers.gemini.shapes import canonical
from routing.providers.gemini.usage import usage_of
from routing.providers.gemini.words import blocked, finish_reason, is_said, own_word
from routing.providers.kept import KeptTexts
from routing.providers.openai import loose
from routing.providers.openai.failures import is_error, raise_failure, refuse_words, says_failure
from routing.providers.openai.reader import OpenAIReader
from routing.providers.openai.refusals import error_in, text_of
from routing.providers.openai.shapes import Several, objects_in, only_object, without_name
from routing.providers.openai.usage import object_of
from routing.providers.openai.wrapped import unwrapped

_MOST_CANDIDATES: Final = 128
_MOST_CALLS: Final = 1024
_FAR_AWAY: Final = {"NaN": -9999.0, "-Infinity": -9999.0, "Infinity": 9999.0}


class GenerateReader(OpenAIReader):
    """An answer in Google's own format: chunks and answers leave as they came, but for their usage."""

    # --- streams -----------------------------------------------------------------------------------------------------

    def _take_chunk(self, event: bytes, events: list[Event]) -> None:
        """Each chunk is read whole: its counts stand in it."""
        try:
            chunk = self.read_chunk(event)
        except Several as several:
            self._take_several(several, events)
            return
        if chunk is not None:
            events.append(chunk)
            self._has_begun = True

    def finish(self, events: list[Event]) -> None:
        """A stream has no other end: `STOP` alone, which was held back, is the answer of a model that says nothing."""
        super().finish(events)
        ends = self.ends
        if ends.early is not None and not ends.has_said:
            last = {"index": ends.early, "content": {"role": "model", "parts": []}, "finishReason": "STOP"}
            events.append(self.shown({"candidates": [last]}))
            ends.early = None

    def read_chunk(self, data: bytes) -> dict[str, Any] | None:
        """One chunk, None where there is nothing to show; raises MalformedAnswer."""
        value = _json_of(data)
        if type(value) is not dict:
            value = only_object(value)
        if value is None:
            return None
        value = unwrapped(value, "candidates")
        canonical(value)
        has_usage, is_over = self._take(value), self._note_ends(value)
        says = any(map(_says_something, value["candidates"])) or bool(blocked(value))
        if not says and text_of(error_in(value).get("message")):
            self.note_words(data)
        if has_usage:
            self.is_partial = not is_over
        elif says and self.usage is not None:
            self.is_partial = True
        return self.shown(value) if says else None

    def _note_ends(self, chunk: dict[str, Any]) -> bool:
        """Whether nothing is missing any more; raises MalformedAnswer for a candidate that failed."""
        ends = self.ends
        for candidate in chunk["candidates"]:
            reason = self._reason(candidate)
            says, speaks = _brings(candidate), _brings(candidate, is_thought=False)
            if ends.is_early(reason, speaks=speaks):
                ends.has_thought = ends.has_thought or says
                ends.early = candidate["index"]  # gateways put it into every chunk that has no text
                del candidate["finishReason"]
                continue
            if reason is not None or is_said(candidate.get("finishReason")):
                is_doubtful = says and reason == "stop"
                ends.note(candidate["index"], is_doubtful=is_doubtful, has_said=ends.has_begun)
            ends.has_said, ends.has_thought = ends.has_said or speaks, ends.has_thought or says
        if blocked(chunk) and not chunk["candidates"]:
            ends.finished.update(range(ends.answers))
        return ends.are_all

    def _reason(self, candidate: dict[str, Any]) -> str | None:
        said = candidate.get("finishReason")
        reason = finish_reason(said)
        if is_said(said):
            candidate["finishReason"] = own_word(str(said))
        if reason is None and is_said(said):
            self.ends.remark = f"a finish reason that nobody knows: {str(said)[:60]!r}"
        return reason

    def shown(self, chunk: dict[str, Any]) -> dict[str, Any]:
        """The chunk in the format that was asked for."""
        return chunk

    # --- whole answers -----------------------------------------------------------------------------------------------

    def whole(self, body: bytes) -> dict[str, Any]:
        answer = unwrapped(object_in(body), "candidates")
        canonical(answer)
        self._take(answer)
        if not answer["candidates"] and not blocked(answer):
            refuse_words(answer)
        for candidate in answer["candidates"]:
            self._reason(candidate)
            if not _says_something(candidate):
                raise MalformedAnswer("a candidate that says nothing, not even that it has ended")
        return self.shown_whole(answer)

    def shown_whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer in the format that was asked for."""
        return answer

    # --- both --------------------------------------------------------------------------------------------------------

    def _take(self, value: dict[str, Any]) -> bool:
        """Takes the usage out, and gives candidates their places; whether there was a usage.

        Raises MalformedAnswer for an error, whose usage counts, and for candidates that are none.
        """
        reported = object_of(value.pop("usageMetadata", None))
        usage = usage_of(reported, self.usage)
        if usage is not None:
            self.usage, self.reported = usage, reported
        if is_error(value.get("error")) or (not value.get("candidates") and says_failure(value)):
            raise_failure(value)
        value.pop("error", None)
        candidates = value["candidates"] = _list_of(value.get("candidates"))
        for place, candidate in enumerate(candidates):
            _complete(candidate, place)
            if self.ends.answers == 1 and len(candidates) == 1:
                candidate["index"] = 0  # the one that was asked for, whatever place it was given
        return usage is not None


class ChatReader(GenerateReader):
    """The same in chat's format."""

    def __init__(self, answers: int = 1) -> None:
        super().__init__(answers)
        self._called: dict[int, int] = {}
        """How many tools each candidate has called."""
        self._texts = KeptTexts()
        self._cited: dict[int, set[Cited]] = {}
        """By candidate, what was told of already: Google may say it in several chunks."""

    def shown(self, chunk: dict[str, Any]) -> dict[str, Any]:
        choices = [self._choice(candidate, "delta") for candidate in chunk["candidates"]]
        return {"object": "chat.completion.chunk", "choices": choices or self._refused(chunk, "delta")}

    def shown_whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        choices = [self._choice(candidate, "message") for candidate in answer["candidates"]]
        return {"object": "chat.completion", "choices": choices or self._refused(answer, "message")}

    def _refused(self, answer: dict[str, Any], kind: str) -> list[dict[str, Any]]:
        """A prompt that was blocked is answered by nobody, which in chat is a choice that says nothing."""
        if not blocked(answer):
            return []
        said: dict[str, Any] = {"content": None} if kind == "message" else {}
        return [{"index": i, kind: {**said}, "finish_reason": "content_filter"} for i in range(self.ends.answers)]

    def _choice(self, candidate: dict[str, Any], kind: str) -> dict[str, Any]:
        index = candidate["index"]
        said = _said(candidate["content"]["parts"])
        calls = said.get("tool_calls") or ()
        if kind == "delta":
            for call in calls:
                call["index"] = self._called.get(index, 0)
                self._called[index] = call["index"] + 1
                if call["index"] >= _MOST_CALLS:
                    raise MalformedAnswer("too many tool calls")
        else:
            said.setdefault("content", None)
        if said.get("content"):
            self._texts.add(index, said["content"])
        if candidate.get("groundingMetadata"):
            self._cite(index, said, candidate["groundingMetadata"], is_piece=kind == "delta")
        reason = finish_reason(candidate.get("finishReason"))
        if reason is None and is_said(candidate.get("finishReason")):
            reason = "stop"  # its end was said, in a word that is remarked
        if reason == "stop" and (calls or self._called.get(index)):
            reason = "tool_calls"
        choice = {"index": index, kind: said, "finish_reason": reason}
        logprobs = _logprobs(candidate.get("logprobsResult"))
        return {**choice, "logprobs": logprobs} if logprobs else choice

    def _cite(self, index: int, said: dict[str, Any], metadata: Any, *, is_piece: bool) -> None:
        """The pages that are new; in a piece each has its place, by which clients add deltas up."""
        told = self._cited.setdefault(index, set())
        found = [each for each in cited_in(metadata, self._texts.text(index)) if each not in told]
        annotations = [annotation_of(each) for each in found]
        if is_piece:
            annotations = [{"index": place, **each} for place, each in enumerate(annotations, len(told))]
        told.update(found)
        if annotations:
            said["annotations"] = annotations


def object_in(body: bytes) -> dict[str, Any]:
    """The answer in a body, also where it came as a stream's chunks in a list; raises MalformedAnswer."""
    value = _json_of(body)
    if type(value) is list and value:
        value = merged(value)
    if type(value) is not dict:
        raise MalformedAnswer("the answer is not a JSON object")
    return value


def _json_of(data: bytes) -> Any:
    """As loosely as it may be written, None where it says nothing; raises MalformedAnswer for what cannot be read."""
    try:
        value = orjson.loads(data)
        if b"functionCall" in data or b"function_call" in data:
            value = digits.exact(data, value)
    except orjson.JSONDecodeError as error:
        if loose.says_nothing(data):
            return None
        value = loose.without_halves(loose.loosely(data, _FAR_AWAY.__getitem__))
        if value is None and (objects := objects_in(without_name(data))):
            raise Several(objects) from None
        if value is None:
            raise MalformedAnswer(f"the answer is not JSON: {data[:120].decode('utf-8', 'replace')}") from error
    return loose.strictly(value.encode("utf-8", "replace")) if type(value) is str else value


def merged(chunks: list[Any]) -> dict[str, Any]:
    """A stream's chunks as one answer; raises MalformedAnswer for what are none, or an error among them.

    Each candidate says what all of it said, one after the other, and ends as it ended: where one does not, they are no
    answer.
    """
    answer: dict[str, Any] = {}
    found: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        if type(chunk) is not dict:
            raise MalformedAnswer("a list of what is no answer")
        if is_error(chunk.get("error")):
            raise_failure(chunk)
        canonical(chunk)
        for place, candidate in enumerate(_list_of(chunk.get("candidates"))):
            _complete(candidate, place)
            before = found.setdefault(candidate["index"], {"content": {"role": "model", "parts": []}})
            parts = before["content"]["parts"] + candidate["content"]["parts"]
            before.update({**candidate, "content": {**candidate["content"], "parts": parts}})
        reported = chunk.get("usageMetadata")
        if usage_of(reported) is None:
            chunk = {name: value for name, value in chunk.items() if name != "usageMetadata"}
        answer.update(chunk)
    if not all(is_said(each.get("finishReason")) for each in found.values()):
        raise MalformedAnswer("the stream ended before the answer was whole")
    return {**answer, "candidates": [found[index] for index in sorted(found)]}


def _list_of(candidates: Any) -> list[dict[str, Any]]:
    if not candidates:
        return []
    if type(candidates) is not list or any(type(each) is not dict for each in candidates):
        raise MalformedAnswer("candidates that are none")
    return candidates


def _complete(candidate: dict[str, Any], place: int) -> None:
    """Gives a candidate its place, and a content with parts; raises MalformedAnswer for what is none."""
    index = candidate.setdefault("index", place)
    if type(index) is not int or not 0 <= index < _MOST_CANDIDATES:
        raise MalformedAnswer("a candidate without a place")
    content = candidate.get("content")
    if content is None:
        content = candidate["content"] = {}
    if type(content) is not dict:
        raise MalformedAnswer("a candidate's content that is none")
    content.setdefault("role", "model")
    parts = content.get("parts")
    if parts is None:
        parts = content["parts"] = []
    if type(parts) is not list or any(type(part) is not dict for part in parts):
        raise MalformedAnswer("a candidate's parts that are none")


def _says_something(candidate: Mapping[str, Any]) -> bool:
    return is_said(candidate.get("finishReason")) or _brings(candidate)


def _brings(candidate: Mapping[str, Any], *, is_thought: bool = True) -> bool:
    """Whether a part says anything; `is_thought`: thoughts are something."""
    parts = candidate["content"]["parts"]
    return any(any(part.values()) for part in parts if is_thought or not part.get("thought"))


def _said(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The members of a message, or of a delta, that say what the parts say."""
    said: dict[str, Any] = {}
    for part in parts:
        text, signature = _text(part.get("text")), _text(part.get("thoughtSignature"))
        address = media.address_of(part)
        if part.get("functionCall"):
            said.setdefault("tool_calls", []).append(_call(part["functionCall"], signature))
            continue
        if text:
            name = "reasoning_content" if part.get("thought") else "content"
            said[name] = said.get(name, "") + text
        if address:
            said.setdefault("images", []).append({"type": "image_url", "image_url": {"url": address}})
    details = signatures.details_of(parts)
    return {**said, "reasoning_details": details} if details else said


def _text(value: Any) -> str:
    return value if type(value) is str else ""


def _call(call: dict[str, Any], signature: str) -> dict[str, Any]:
    """A call with its arguments as text; raises MalformedAnswer for those that cannot be one."""
    try:
        text = orjson.dumps(call.get("args", {})).decode()
    except orjson.JSONEncodeError as error:
        raise MalformedAnswer("a function call's arguments are nested too deep") from error
    id_ = _text(call.get("id")) or f"call_{secrets.token_hex(12)}"
    told = {"id": id_, "type": "function", "function": {"name": call["name"], "arguments": text}}
    return {**told, **signatures.beside_call(signature)} if signature else told


def _logprobs(result: Any) -> dict[str, Any] | None:
    """What the public schema has for the tokens that were chosen, and for those that were nearly."""
    chosen = result.get("chosenCandidates") if type(result) is dict else None
    if type(chosen) is not list:
        return None
    others = result.get("topCandidates")
    tops = [_list_of(each.get("candidates")) if type(each) is dict else [] for each in others] if others else []
    tokens = [_token(each) for each in chosen if type(each) is dict]
    for place, token in enumerate(tokens):
        token["top_logprobs"] = [_token(each) for each in tops[place]] if place < len(tops) else []
    return {"content": tokens, "refusal": None}


def _token(candidate: Mapping[str, Any]) -> dict[str, Any]:
    token = _text(candidate.get("token"))
    return {"token": token, "logprob": candidate.get("logProbability"), "bytes": list(token.encode())}
