"""llama.cpp's server: OpenAI's formats, but it counts differently.

It can count a stream's tokens as it goes (`timings_per_token`); of several choices it counts all in a stream, each in
a total of its own, and one in a whole answer. Facts of its server's README and of recorded exchanges.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from billing.kinds import Usage
from routing.providers.base import MOST_TOKENS, Reader, Refusal, UpstreamCall, UpstreamRequest
from routing.providers.openai import OpenAI, OpenAIReader
from routing.providers.openai.completions import CompletionsReader
from routing.providers.openai.refusals import text_of

_TIMINGS: Final = "timings_per_token"
_BYTES_PER_TOKEN: Final = 4
"""Of English text, by OpenAI's rule of thumb; used only for the choices that were not counted."""
_TOO_LONG: Final = re.compile(rb'"message" ?: ?"input (?:\(\d{1,9} tokens\) )?is too large to process')
_MOST_SEARCHED: Final = 1000


class LlamaCpp(OpenAI):
    label = "llama.cpp"
    within = "openai"

    def recognises(self, headers: Mapping[bytes, bytes]) -> bool:
        return headers.get(b"server") == b"llama.cpp"

    def prefers_stream(self, answers: int, *, is_met: bool) -> bool:
        return answers > 1

    def request(self, call: UpstreamCall) -> UpstreamRequest:
        if call.is_stream and self._counts(call) and _TIMINGS not in call.body:
            call = msgspec.structs.replace(call, body={**call.body, _TIMINGS: True})
        return super().request(call)

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes, call: UpstreamCall) -> Refusal:
        """A text to be made a vector of that is longer than its batch it calls a fault of its own."""
        is_too_long = status == 500 and _TOO_LONG.search(body[:_MOST_SEARCHED]) is not None
        return super().refusal(400 if is_too_long else status, headers, body, call)

    @staticmethod
    def _counts(call: UpstreamCall) -> bool:
        """Whether its own way of counting is that of the endpoint."""
        return bool(call.cap) and call.endpoint != "responses"

    def open(self, call: UpstreamCall) -> Reader:
        if not self._counts(call):
            return super().open(call)
        kind = LlamaCppCompletionsReader if call.endpoint == "completions" else LlamaCppReader
        return kind(call.answers, shows_timings=_TIMINGS in call.body)


class LlamaCppReader(OpenAIReader):
    def __init__(self, answers: int, *, shows_timings: bool) -> None:
        super().__init__(answers)
        self._shows_timings = shows_timings
        self._is_told = False
        """Usage has come, which says more than the timings."""

    def read_chunk(self, data: bytes) -> dict[str, Any] | None:
        chunk = super().read_chunk(data)
        if chunk is not None and "timings" in chunk:
            if not self._is_told and self.ends.answers == 1:
                self._note_timings(chunk["timings"])
            if not self._shows_timings:
                del chunk["timings"]
        return chunk

    def _note_timings(self, timings: Any) -> None:
        """The running count of a stream with one choice; the total behind the answer replaces it."""
        if type(timings) is dict:
            cached, fresh, output = (timings.get(name) for name in ("cache_n", "prompt_n", "predicted_n"))
            if type(cached) is not int or type(fresh) is not int or type(output) is not int:
                return
            if min(cached, fresh, output) >= 0 and cached + fresh + output <= MOST_TOKENS:
                self.usage, self.is_partial = Usage(input=cached + fresh, cached_input=cached, output=output), False

    def note_usage(self, reported: Any, *, is_total: bool) -> None:
        before = self.usage
        super().note_usage(reported, is_total=is_total)
        self._is_told = self._is_told or self.usage is not before

    def whole(self, body: bytes) -> dict[str, Any]:
        """The counts are the upstream's own only where one choice was asked for, or log probabilities count all."""
        answer = super().whole(body)
        timings, choices = answer.get("timings"), answer.get("choices")
        if self.usage is None or self.ends.answers == 1 or type(timings) is not dict or type(choices) is not list:
            return answer
        if timings.get("predicted_n") == self.usage.output:  # it counted one of them
            self._count_all(self.usage, choices)
        return answer

    def _count_all(self, usage: Usage, choices: list[Any]) -> None:
        counts = [_tokens_of(choice) for choice in choices if type(choice) is dict]
        output = max(usage.output, sum(count for count, _is_exact in counts))
        self.usage = msgspec.structs.replace(usage, output=output)
        self.is_exact = all(is_exact for _count, is_exact in counts)


class LlamaCppCompletionsReader(CompletionsReader, LlamaCppReader):
    """The same of text completions."""


def _tokens_of(choice: dict[str, Any]) -> tuple[int, bool]:
    """A choice's output tokens, and whether they were counted (by its log probabilities) or estimated."""
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if type(logprobs) is dict else None
    if content:
        return len(content), True
    message = choice.get("message")
    text = text_of(message.get("content")) if type(message) is dict else ""
    return -(-len(text.encode()) // _BYTES_PER_TOKEN), False


LLAMACPP: Final = LlamaCpp()
