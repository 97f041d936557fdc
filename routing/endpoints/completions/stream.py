"""A stream of text completions on its way to the client, and its parts put together. Pure: values in, bytes out."""

from __future__ import annotations

from typing import Any, NoReturn

import orjson

from routing.endpoints.base import Bill, Head
from routing.endpoints.chat.answer import public_usage
from routing.endpoints.completions.answer import REASONS, complete_logprobs, echoed_bytes, top_of
from routing.endpoints.completions.schema import CompletionsRequest
from routing.endpoints.received import BYTES_PER_TOKEN, least_tokens_of, tokens_of
from routing.providers.base import MalformedAnswer
from routing.wire.events import DONE
from routing.wire.frames import Again


class CompletionsRelay:
    """Turns an upstream's chunks into the client's."""

    takes_again = False

    def __init__(self, request: CompletionsRequest, head: Head, most_output: int) -> None:
        self._ours = top_of(head)
        self._shows_usage = request.wants_usage
        self._each = {**self._ours, "usage": None} if self._shows_usage else self._ours
        self._choices = request.choices
        self._echoes = echoed_bytes(request)
        """By choice, the bytes of the prompt that are still to come back."""
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._pieces = 0
        self._bytes = 0
        self._most_output = most_output
        self.is_done = False
        self.is_past_cap = False

    @property
    def is_complete(self) -> bool:
        """Every choice has its finish reason, or has begun, the upstream said that it is done and something came."""
        if len(self._finished) >= self._choices:
            return True
        return self.is_done and len(self._begun) >= self._choices and bool(self._pieces or self._finished)

    def relay(self, chunk: dict[str, Any]) -> bytes:
        choices = [self._complete(choice) for choice in chunk["choices"]]
        if self._bytes > self._most_output * BYTES_PER_TOKEN:
            self.is_past_cap = least_tokens_of(self._pieces, self._bytes) > self._most_output
        return _event({**self._each, "choices": choices})

    def _complete(self, choice: dict[str, Any]) -> dict[str, Any]:
        index, text = max(0, choice["index"]), choice["text"]
        self._begun.add(index)
        if text:
            self._count(index, len(text.encode()))
        reason = choice.get("finish_reason")
        if reason is not None:
            reason = reason if reason in REASONS else "stop"
            self._finished.add(index)
        return {
            "text": text,
            "index": index,
            "logprobs": complete_logprobs(choice.get("logprobs")),
            "finish_reason": reason,
        }

    def _count(self, index: int, size: int) -> None:
        """What comes back of the prompt is no output."""
        if 0 <= index < len(self._echoes) and self._echoes[index]:
            echoed = min(size, self._echoes[index])
            self._echoes[index] -= echoed
            size -= echoed
        if size:
            self._pieces += 1
            self._bytes += size

    def again(self, text: Again) -> NoReturn:
        raise NotImplementedError("every chunk comes whole")

    def received_tokens(self) -> int:
        return tokens_of(self._pieces, self._bytes)

    def cut(self) -> bytes:
        self.is_done = True
        return self._finish("length")

    def closing(self, bill: Bill, explanation: Any = None) -> bytes:
        """The usage chunk if it was asked for, the explanation if it was, [DONE]."""
        out = self._finish("stop")
        if not self._shows_usage and explanation is None:
            return out + DONE
        last: dict[str, Any] = {**self._ours, "choices": []}
        if self._shows_usage:
            last["usage"] = public_usage(bill)
        if explanation is not None:
            last["costrouter"] = explanation
        return out + _event(last) + DONE

    def _finish(self, reason: str) -> bytes:
        """The finish reasons that are still to come."""
        unfinished = sorted(self._begun - self._finished)
        self._finished.update(unfinished)
        ends = [{"text": "", "index": index, "logprobs": None, "finish_reason": reason} for index in unfinished]
        return _event({**self._each, "choices": ends}) if ends else b""


def _event(chunk: dict[str, Any]) -> bytes:
    try:
        return b"data: " + orjson.dumps(chunk) + b"\n\n"
    except orjson.JSONEncodeError as error:
        raise MalformedAnswer("the chunk is nested too deep") from error


class CompletionsAssembler:
    """One answer in the making."""

    def __init__(self, choices: int) -> None:
        self._wanted = choices
        self._top: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: dict[str, Any]) -> None:
        for part in chunk["choices"]:
            index = part["index"]
            whole = self._choices.setdefault(index, {"index": index, "text": "", "finish_reason": None})
            whole["text"] += part["text"]
            whole["finish_reason"] = part.get("finish_reason") or whole["finish_reason"]
            found = complete_logprobs(part.get("logprobs"))
            if found is not None:
                lists = whole.setdefault("logprobs", {})
                for name, values in found.items():
                    lists[name] = lists.get(name, []) + values
        self._top.update(chunk)

    @property
    def is_complete(self) -> bool:
        finished = [choice for choice in self._choices.values() if choice["finish_reason"] is not None]
        return len(finished) >= self._wanted

    def answer(self) -> dict[str, Any]:
        return {**self._top, "choices": [self._choices[index] for index in sorted(self._choices)]}
