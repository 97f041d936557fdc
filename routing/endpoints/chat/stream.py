"""A chat stream on its way to the client. Pure: bytes and values in, bytes and values out.

An event is relayed as it came but for what must be ours: the id, the model's public name, and what the public schema
requires. Usage is taken out wherever it appears and shown only to a client that asked for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import orjson

from billing.kinds import Usage
from routing.providers.base import MOST_TOKENS, MalformedAnswer
from routing.wire.events import DONE

_FINISH_REASONS: Final = frozenset(("stop", "length", "tool_calls", "content_filter", "function_call"))
_NEVER_NULL: Final = frozenset(("tool_calls", "function_call", "annotations", "role"))
_BYTES_PER_TOKEN: Final = 4
_MOST_CALLS: Final = 1024
_LONGEST_TOKEN: Final = 12
"""Upstreams whose content chunks are shorter on average than this send one token a chunk."""


def written(value: Any) -> bytes:
    """The value as JSON; raises MalformedAnswer for what is nested deeper than can be written."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise MalformedAnswer("the answer is nested too deep") from error


class Tally:
    """What a stream has used so far, from whatever its upstream tells."""

    def __init__(self, choices: int, read_usage: Callable[[Any], Usage | None]) -> None:
        self._choices = choices
        self._read_usage = read_usage
        self._totals = 0
        self.reported: Usage | None = None
        self.reported_fields: dict[str, Any] = {}
        """The last usage object as the upstream wrote it."""
        self.timed: Usage | None = None
        """llama.cpp's running count."""
        self.deltas = 0
        self.delta_bytes = 0

    def note_usage(self, reported: Any, *, is_total: bool) -> None:
        """The last valid figures win; totals that come one a choice (llama.cpp with n > 1) are summed.

        Such totals each name the whole prompt, so only the output is added.
        """
        usage = self._read_usage(reported)
        if usage is None:
            return
        if is_total and self._choices > 1:
            self._totals += 1
            if self.reported is not None and 1 < self._totals <= self._choices:
                before = self.reported
                usage = msgspec.structs.replace(
                    usage, output=before.output + usage.output, reasoning=before.reasoning + usage.reasoning
                )
        self.reported = usage
        self.reported_fields = reported

    def note_timings(self, timings: Any) -> None:
        if type(timings) is dict:
            cached, fresh, output = (timings.get(name) for name in ("cache_n", "prompt_n", "predicted_n"))
            if type(cached) is not int or type(fresh) is not int or type(output) is not int:
                return
            if min(cached, fresh, output) >= 0 and cached + fresh + output <= MOST_TOKENS:
                self.timed = Usage(input=cached + fresh, cached_input=cached, output=output)

    def note_delta(self, delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            if value and name != "role":
                self.delta_bytes += len(value) if type(value) is str else len(written(value))
                self.deltas += 1
                return

    def received_tokens(self) -> int:
        """Output tokens received so far: a chunk is a token where chunks are short, else four bytes are."""
        if self.timed is not None and self._choices == 1:
            return self.timed.output
        if self.delta_bytes <= self.deltas * _LONGEST_TOKEN:
            return self.deltas
        return -(-self.delta_bytes // _BYTES_PER_TOKEN)


class ChatRelay:
    """Turns an upstream's chunks into the client's."""

    def __init__(
        self,
        *,
        public_id: str,
        model: str,
        created: int,
        shows_usage: bool,
        strips_timings: bool,
        tally: Tally,
        choices: int,
    ) -> None:
        self._ours = {"id": public_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._each: dict[str, Any] = {**self._ours, "usage": None} if shows_usage else self._ours
        """What every chunk gets; where the client asked for usage, only the last one has figures."""
        self._shows_usage = shows_usage
        self._strips_timings = strips_timings
        self._tally = tally
        self._choices = choices
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self.is_done = False
        """The upstream said [DONE]."""

    @property
    def is_complete(self) -> bool:
        """Whether the answer is whole: the upstream said so, or every choice has its finish reason."""
        return self.is_done or len(self._finished) >= self._choices

    def relay(self, chunk: dict[str, Any]) -> bytes:
        """The event for the client, b"" if there is nothing to show; raises MalformedAnswer."""
        choices = chunk["choices"]
        reported = chunk.pop("usage", None)
        if reported is not None:
            self._tally.note_usage(reported, is_total=not choices)
        timings = chunk.get("timings")
        if timings is not None:
            self._tally.note_timings(timings)
            if self._strips_timings:
                del chunk["timings"]
        if reported is not None and not any(map(_says_something, choices)):
            return b""
        for choice in choices:
            self._complete(choice)
        chunk.update(self._each)
        if chunk.get("system_fingerprint", "") is None:
            del chunk["system_fingerprint"]
        try:
            return b"data: " + orjson.dumps(chunk) + b"\n\n"
        except orjson.JSONEncodeError as error:
            raise MalformedAnswer("the chunk is nested too deep") from error

    def _complete(self, choice: dict[str, Any]) -> None:
        """Adds what the public schema requires of a choice, and counts what it brings; raises MalformedAnswer."""
        index = choice.setdefault("index", 0)
        if type(index) is not int:
            raise MalformedAnswer("a choice has no index")
        delta = choice["delta"]
        if index not in self._begun:
            self._begun.add(index)
            delta["role"] = "assistant"
        if None in delta.values():
            _drop_nulls(delta)
        if delta:
            self._tally.note_delta(delta)
        if choice.get("logprobs") is not None:
            _complete_logprobs(choice["logprobs"])
        reason = choice.setdefault("finish_reason", None)
        if reason is not None:
            self._finished.add(index)
            if type(reason) is not str or reason not in _FINISH_REASONS:
                choice["finish_reason"] = "stop"

    def closing(self, usage: dict[str, Any], explanation: Any = None) -> bytes:
        """The end of a complete answer: the usage chunk if it was asked for, the explanation if it was, [DONE]."""
        unfinished = sorted(self._begun - self._finished)
        out = self._finish(unfinished) if unfinished else b""
        if not self._shows_usage and explanation is None:
            return out + DONE
        chunk = {**self._ours, "choices": []}
        if self._shows_usage:
            chunk["usage"] = usage
        if explanation is not None:
            chunk["costrouter"] = explanation
        return out + b"data: " + orjson.dumps(chunk) + b"\n\n" + DONE

    def _finish(self, unfinished: list[int]) -> bytes:
        """The finish reasons that an upstream which said [DONE] left out."""
        choices = [{"index": index, "delta": {}, "finish_reason": "stop"} for index in unfinished]
        return b"data: " + orjson.dumps({**self._each, "choices": choices}) + b"\n\n"


def _says_something(choice: dict[str, Any]) -> bool:
    """Whether a choice beside a usage is more than its carrier."""
    return choice.get("finish_reason") is not None or any(
        value for name, value in choice["delta"].items() if name != "role"
    )


def complete_answer(answer: dict[str, Any], *, public_id: str, model: str, created: int) -> None:
    """Makes a whole answer ours, and adds in place what the public schema requires and the upstream left out."""
    answer["id"] = public_id
    answer["object"] = "chat.completion"
    answer["model"] = model
    if type(answer.get("created")) is not int:
        answer["created"] = created
    if answer.get("system_fingerprint", "") is None:
        del answer["system_fingerprint"]
    for index, choice in enumerate(answer["choices"]):
        choice.setdefault("index", index)
        if choice.setdefault("logprobs", None) is not None:
            _complete_logprobs(choice["logprobs"])
        reason = choice.get("finish_reason")
        if type(reason) is not str or reason not in _FINISH_REASONS:
            choice["finish_reason"] = "stop"
        message = choice["message"]
        message["role"] = "assistant"
        message.setdefault("content", None)
        message.setdefault("refusal", None)
        _drop_nulls(message)


def _drop_nulls(message: dict[str, Any]) -> None:
    """Leaves out what the public schema allows to be absent but not to be null; `content` and `refusal` may be."""
    for name in _NEVER_NULL.intersection(message):
        if message[name] is None:
            del message[name]


def _complete_logprobs(logprobs: Any) -> None:
    if type(logprobs) is dict:
        logprobs.setdefault("content", None)
        logprobs.setdefault("refusal", None)


class Assembler:
    """Builds a whole answer from a stream's chunks.

    Some requests go upstream as streams although the client wants JSON: for several choices, llama.cpp's server counts
    them all in a stream, and one of them in a whole answer.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._top: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: dict[str, Any]) -> None:
        reported = chunk.pop("usage", None)
        if reported is not None:
            self._tally.note_usage(reported, is_total=not chunk["choices"])
        self._tally.note_timings(chunk.pop("timings", None))
        for part in chunk.pop("choices"):
            self._add_choice(part)
        self._top.update(chunk)

    def _add_choice(self, part: dict[str, Any]) -> None:
        index = part.get("index", 0)
        if type(index) is not int:
            raise MalformedAnswer("a choice has no index")
        choice = self._choices.setdefault(
            index, {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}
        )
        self._tally.note_delta(part["delta"])
        for name, value in part["delta"].items():
            if name == "tool_calls":
                _merge_calls(choice["message"].setdefault("tool_calls", []), value or [])
            elif name != "role":
                choice["message"][name] = _joined(choice["message"].get(name), value)
        if part.get("finish_reason") is not None:
            choice["finish_reason"] = part["finish_reason"]
        logprobs = part.get("logprobs")
        if type(logprobs) is dict:
            whole = choice.setdefault("logprobs", {})
            for name, value in logprobs.items():
                whole[name] = _joined(whole.get(name), value)

    def is_complete(self, choices: int) -> bool:
        finished = [choice for choice in self._choices.values() if choice["finish_reason"] is not None]
        return len(finished) >= choices

    def answer(self) -> dict[str, Any]:
        choices = [self._choices[index] for index in sorted(self._choices)]
        answer = {**self._top, "choices": choices}
        if self._tally.reported_fields:
            answer["usage"] = self._tally.reported_fields
        return answer


def _joined(before: Any, value: Any) -> Any:
    """Text and lists grow, anything else is replaced, null changes nothing."""
    if value is None:
        return before
    if before is not None and type(before) is type(value) and type(value) in (str, list):
        return before + value
    return value


def _merge_calls(calls: list[dict[str, Any]], parts: Any) -> None:
    """Tool calls come in pieces: the name first, then the arguments bit by bit, told apart by their index.

    Raises MalformedAnswer for anything else.
    """
    if type(parts) is not list or any(type(part) is not dict for part in parts):
        raise MalformedAnswer("a tool call that is none")
    for part in parts:
        index = part.get("index", len(calls))
        if type(index) is not int or not 0 <= index < _MOST_CALLS:
            raise MalformedAnswer("a tool call without a place")
        while len(calls) <= index:
            calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call, function = calls[index], part.get("function")
        for name in ("id", "type"):
            if part.get(name):
                call[name] = part[name]
        for name, value in function.items() if type(function) is dict else ():
            call["function"][name] = _joined(call["function"].get(name), value)


def public_usage(usage: Usage, reported: dict[str, Any], cost: str, cost_details: dict[str, Any]) -> dict[str, Any]:
    """The usage object for the client: OpenAI's fields, what else the upstream reported, and the exact cost.

    `cost` is a plain decimal number, put into the JSON digit by digit.
    """
    public = {**reported}
    if None in public.values():
        public = {name: value for name, value in reported.items() if value is not None}
    public["prompt_tokens"] = usage.input
    public["completion_tokens"] = usage.output
    public["total_tokens"] = usage.input + usage.output
    prompt, completion = public.get("prompt_tokens_details"), public.get("completion_tokens_details")
    public["prompt_tokens_details"] = {**_integers(prompt), "cached_tokens": usage.cached_input}
    public["completion_tokens_details"] = {**_integers(completion), "reasoning_tokens": usage.reasoning}
    public["cost"] = orjson.Fragment(cost)
    public["cost_details"] = cost_details
    return public


def _integers(details: Any) -> dict[str, int]:
    if type(details) is not dict:
        return {}
    return {name: value for name, value in details.items() if type(value) is int}
