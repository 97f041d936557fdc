"""A chat stream on its way to the client. Pure: values in, bytes out.

A chunk is relayed as it came but for what must be ours: the id, the model's public name, and what the public schema
requires.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from routing.endpoints.base import Bill, Head
from routing.endpoints.chat.answer import (
    THOUGHTS,
    WRAPPING,
    complete_logprobs,
    complete_top,
    drop_nulls,
    estimate_strings,
    public_usage,
    reason_beside,
)
from routing.endpoints.chat.identity import drop_hidden, drop_names
from routing.endpoints.chat.schema import ChatRequest
from routing.endpoints.received import BYTES_PER_TOKEN, least_tokens_of, tokens_of
from routing.providers.base import MalformedAnswer
from routing.providers.openai.finish import GOOD_ENDS, OURS
from routing.wire.events import DONE
from routing.wire.frames import Again, Frame
from routing.wire.wholeness import JsonScan

_USUAL_OF_CHOICE: Final = len(("index", "delta", "finish_reason", "logprobs"))
_FUNCTION: Final = -1
"""The place of a function call in OpenAI's older form, of which there is one."""


def words_of(chunk: Mapping[str, Any]) -> str:
    """The text of a chunk's first choice; empty if there is none."""
    choices = chunk.get("choices")
    delta = choices[0].get("delta") if type(choices) is list and choices and type(choices[0]) is dict else None
    content = delta.get("content") if type(delta) is dict else None
    return content if type(content) is str else ""


def pieces_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """A whole answer as chunks: what each choice says, and how it ended."""
    top = {name: value for name, value in answer.items() if name != "choices"}
    said, ended = [], []
    for index, choice in enumerate(answer["choices"]):
        place = {"index": choice.get("index", index)}
        delta = dict(choice["message"])
        if type(delta.get("tool_calls")) is list:
            delta["tool_calls"] = [{"index": at, **call} for at, call in enumerate(delta["tool_calls"])]
        said.append({**place, "delta": delta, "logprobs": choice.get("logprobs"), "finish_reason": None})
        ended.append({**place, "delta": {}, "finish_reason": choice.get("finish_reason")})
    return [{**top, "choices": [each]} for each in (*said, *ended)]


class ChatRelay:
    """Turns an upstream's chunks into the client's."""

    takes_again = True

    def __init__(self, request: ChatRequest, head: Head, most_output: int) -> None:
        ours = {"id": head.public_id, "object": "chat.completion.chunk", "created": head.created, "model": head.model}
        self._ours = ours
        self._hidden = head.hidden
        self._shows_usage = request.wants_usage
        self._each: dict[str, Any] = {**ours, "usage": None} if self._shows_usage else ours
        """What every chunk gets; where the client asked for usage, only the last one has figures."""
        self._usual_members = len(self._each) + len(("choices",))
        self._choices = request.choices
        self._begun: set[int] = set()
        self._finished: dict[int, str] = {}
        """The finish reason of each choice that has one."""
        self._calls: dict[int, dict[int, JsonScan]] = {}
        """By choice and place: the arguments of tool calls, as far as they have come."""
        self._held: set[int] = set()
        """Choices that said `stop` beside a text: some servers say it in every chunk, so it goes out at the end."""
        self._deltas = 0
        self._thoughts = 0
        """Deltas that said nothing beside what was thought."""
        self._delta_bytes = 0
        self._most_output = most_output
        self._surely_within = most_output * BYTES_PER_TOKEN
        """So many bytes are no more tokens than allowed, however they come."""
        self._last = b""
        """The chunk before, as it was written."""
        self._frame: Frame | None = None
        """What was around its text; None as long as nobody has asked."""
        self.is_past_cap = False
        self.is_done = False

    @property
    def is_complete(self) -> bool:
        """Every choice has its finish reason, or has begun, the upstream said that it is done and no tool call is cut.

        A good reason beside a call that is not whole may be in every chunk of its server's: then only the end is one.
        """
        if len(self._finished) >= self._choices:
            return self.is_done or all(map(self.has_whole_calls, self._called_well()))
        has_answered = self._deltas > self._thoughts or bool(self._finished)
        has_begun = len(self._begun) >= self._choices
        unfinished = self._begun - self._finished.keys()
        return self.is_done and has_answered and has_begun and all(map(self.has_whole_calls, unfinished))

    def _called_well(self) -> list[int]:
        """The choices with calls that have come to a good end."""
        return [index for index in self._calls if self._finished.get(index) in GOOD_ENDS]

    def has_whole_calls(self, index: int) -> bool:
        """Whether no call of a choice is cut."""
        return all(scan.is_whole for scan in self._calls.get(index, {}).values())

    def relay(self, chunk: dict[str, Any]) -> bytes:
        before = self._deltas, self._delta_bytes
        for choice in chunk["choices"]:
            self._complete(choice)
        if self._delta_bytes > self._surely_within:
            self._look_at_cap()
        chunk.update(self._each)
        if len(chunk) > self._usual_members:
            complete_top(chunk)
        try:
            out = orjson.dumps(chunk)
        except orjson.JSONEncodeError as error:
            self._deltas, self._delta_bytes = before
            raise MalformedAnswer("the chunk is nested too deep") from error
        for word in self._hidden:  # as `is_in` does, without its call
            if word in out:
                drop_hidden(chunk, self._hidden)
                out = orjson.dumps(chunk)
                break
        self._last, self._frame = out, None
        return b"data: " + out + b"\n\n"

    def again(self, text: Again) -> bytes:
        """Of a chunk that is text and no more: whatever is hidden from clients stood in the one before it."""
        frame = self._frame
        if frame is None:
            frame = self._frame = Frame.around(b"content", self._last)
            assert frame is not None  # noqa: S101 - who says `Again` has seen that the text stands there once
        self._deltas += 1
        self._delta_bytes += len(text) if text.isascii() else len(text.decode())
        if self._delta_bytes > self._surely_within:
            self._look_at_cap()
        return b"data: " + frame.with_text(text) + b"\n\n"

    def _look_at_cap(self) -> None:
        self.is_past_cap = least_tokens_of(self._deltas, self._delta_bytes) > self._most_output

    def _complete(self, choice: dict[str, Any]) -> None:
        """Adds what the public schema requires of a choice, and counts what it brings; raises MalformedAnswer."""
        index, delta = choice["index"], choice["delta"]
        if index not in self._begun:
            self._begun.add(index)
            delta["role"] = "assistant"
        content = delta.get("content")
        if content and len(delta) == 1:
            self._deltas += 1
            self._delta_bytes += len(content)
        else:
            self._complete_delta(index, delta)
        if choice.get("logprobs") is not None:
            complete_logprobs(choice)
        if choice.setdefault("finish_reason", None) is not None:
            self._finish_choice(index, choice, delta)
        if len(choice) > _USUAL_OF_CHOICE:
            drop_names(choice)

    def _finish_choice(self, index: int, choice: dict[str, Any], delta: dict[str, Any]) -> None:
        """The first reason that is more than `stop` is the choice's: some servers say one in every chunk."""
        reason = choice["finish_reason"]
        if type(reason) is not str or reason not in OURS:
            reason = "stop"
        reason = reason_beside(reason, self._absent_reason(index))
        before = self._finished.get(index)
        if before in (None, "stop"):
            self._finished[index] = reason
        if self._finished[index] == before and index not in self._held and delta.get("content"):
            choice["finish_reason"] = None  # it went out; only a chunk that says nothing more may say it again
            return
        is_held = self._finished[index] == "stop" and bool(delta.get("content"))
        choice["finish_reason"] = None if is_held else self._finished[index]
        if is_held:
            self._held.add(index)
        else:
            self._held.discard(index)

    def _complete_delta(self, index: int, delta: dict[str, Any]) -> None:
        """The same of what is more than a piece of text, or nothing."""
        if None in delta.values():
            drop_nulls(delta)
        if "role" in delta:
            delta["role"] = "assistant"
        drop_names(delta)
        said = {name: value for name, value in delta.items() if value and name not in WRAPPING}
        has_shown = bool(delta.get("images"))
        if said or has_shown:
            self._deltas += 1
            self._thoughts += said.keys() <= THOUGHTS and not has_shown
            texts = dict.fromkeys(value for value in said.values() if type(value) is str)  # some say a thought twice
            self._delta_bytes += sum(map(len, texts))
            has_thought = any(type(said.get(name)) is str for name in THOUGHTS)  # its details say it once more
            others = [each for name, each in said.items() if not (has_thought and name in THOUGHTS)]
            self._delta_bytes += sum([estimate_strings(each) for each in others if type(each) is not str])
        if delta.get("tool_calls"):
            self._follow(index, delta["tool_calls"])
        if delta.get("function_call"):
            self._follow(index, [{"index": _FUNCTION, "function": delta["function_call"]}])

    def _follow(self, index: int, fragments: Any) -> None:
        calls = self._calls.setdefault(index, {})
        for fragment in fragments if type(fragments) is list else ():
            function = fragment.get("function") if type(fragment) is dict else None
            if type(function) is dict and type(function.get("arguments")) is str:
                place = fragment.get("index")
                if type(place) is int:
                    calls.setdefault(place, JsonScan()).add(function["arguments"])

    def received_tokens(self) -> int:
        return tokens_of(self._deltas, self._delta_bytes)

    def cut(self) -> bytes:
        unfinished = sorted(self._begun - self._finished.keys())
        reasons = dict.fromkeys(unfinished, "length")
        self._finished.update(reasons)
        self.is_done = True
        return self._finish(reasons | self._take_held())

    def closing(self, bill: Bill, explanation: Any = None) -> bytes:
        """The usage chunk if it was asked for, the explanation if it was, [DONE]."""
        unfinished = sorted(self._begun - self._finished.keys())
        reasons = {index: self._absent_reason(index) for index in unfinished}
        out = self._finish(reasons | self._take_held())
        if not self._shows_usage and explanation is None:
            return out + DONE
        chunk = {**self._ours, "choices": []}
        if self._shows_usage:
            chunk["usage"] = public_usage(bill)
        if explanation is not None:
            chunk["costrouter"] = explanation
        return out + b"data: " + orjson.dumps(chunk) + b"\n\n" + DONE

    def _absent_reason(self, index: int) -> str:
        calls = self._calls.get(index)
        if not calls:
            return "stop"
        return "function_call" if _FUNCTION in calls else "tool_calls"

    def _take_held(self) -> dict[int, str]:
        held = {index: self._finished[index] for index in sorted(self._held)}
        self._held.clear()
        return held

    def _finish(self, reasons: dict[int, str]) -> bytes:
        """The finish reasons that an upstream which said [DONE] left out, or that were held back."""
        if not reasons:
            return b""
        choices = [{"index": index, "delta": {}, "finish_reason": reason} for index, reason in reasons.items()]
        return b"data: " + orjson.dumps({**self._each, "choices": choices}) + b"\n\n"
