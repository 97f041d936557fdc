"""POST /v1/audio/speech as an endpoint: sound as it comes, or as events that end with the usage.

Sound tells no usage and has no place for an error. Characters are counted by the request; tokens of sound that nobody
has counted are estimated by its length. A stream that breaks off is paid for by what had come of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from billing.kinds import NOTHING, Usage
from routing.endpoints.base import Bill, Head, Learned, ModelFacts, Needs, Relay
from routing.endpoints.events import EventRelay, with_cost
from routing.endpoints.plain import Unassembled
from routing.endpoints.speech.schema import SpeechRequest, read
from routing.providers.base import MalformedAnswer

_TYPES: Final = {
    "mp3": b"audio/mpeg", "opus": b"audio/opus", "aac": b"audio/aac", "flac": b"audio/flac", "wav": b"audio/wav",
    "pcm": b"audio/pcm",
}  # fmt: skip
_SOUND: Final = re.compile(rb"audio/[\w.+-]{1,60}(;[ \w.=+-]{1,60})?", re.ASCII)
_RATES: Final = {"mp3": 16_000, "opus": 4_000, "aac": 16_000, "flac": 24_000, "wav": 48_000, "pcm": 48_000}
"""Bytes a second as OpenAI sends them: 128 kbit/s, or 24 kHz of 16 bits in one channel."""
_TOKENS_A_SECOND: Final = 20
"""One for 50 ms of what is said (https://platform.openai.com/docs/guides/realtime-costs)."""
_LETTERS_A_SECOND: Final = 15
"""Of English read at its usual speed."""
_TOKENS_OF_A_LETTER_AT_MOST: Final = 5
"""Chinese is read at four to five characters a second."""


class Speech(Unassembled):
    name = "audio.speech"
    id_prefix = "speech-"
    path = "/audio/speech"
    streams = True
    smallest_cap = 0
    smallest: Mapping[str, Any] = {"input": "Hi", "voice": "alloy"}

    read = staticmethod(read)

    def needs(
        self,
        request: SpeechRequest,
        body: dict[str, Any],
        body_bytes: int,
        model: ModelFacts,
        learned: Learned,
        tenant_id: int,
    ) -> Needs:
        letters, slowness = len(request.input), 1 / min(1.0, request.speed or 1.0)
        return Needs(
            text_bytes=body_bytes,
            is_all_text=False,
            input_bound=int(body_bytes / learned.dense_bytes_per_token(model.name)) + model.prompt_overhead,
            expected_input=max(1, int(body_bytes / learned.bytes_per_token(model.name))),
            expected_output=letters * _TOKENS_A_SECOND // _LETTERS_A_SECOND,
            beside=Usage(characters=letters),
            uncapped=math.ceil(letters * _TOKENS_OF_A_LETTER_AT_MOST * slowness) + _TOKENS_A_SECOND,
            is_paid_in_tokens=True,
        )

    def has_produced(self, usage: Usage) -> bool:
        return bool(usage.output or usage.characters)

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        return self.prompt(needs)

    def prompt(self, needs: Needs) -> Usage:
        return Usage(input=needs.expected_input, characters=needs.beside.characters)

    def received(self, relay: Any, needs: Needs) -> Usage:
        """All characters of an answer that is whole, else as many as are spoken in what has come."""
        tokens = min(relay.received_tokens(), needs.uncapped)
        if not tokens:
            return NOTHING
        spoken = needs.beside.characters
        if not relay.is_complete:
            spoken = min(spoken, -(-tokens * _LETTERS_A_SECOND // _TOKENS_A_SECOND))
        return Usage(input=needs.expected_input, output=tokens, output_audio=tokens, characters=spoken)

    def media(self, request: SpeechRequest, told: bytes) -> bytes:
        """The upstream's, where it is one of sound; else that of the format which was asked for."""
        if request.has_events:
            return b""
        if _SOUND.fullmatch(told):
            return told
        return _TYPES.get(request.response_format or "mp3", b"application/octet-stream")

    def check(self, request: SpeechRequest, answer: dict[str, Any]) -> None:
        raise MalformedAnswer("what is whole is no speech")

    def complete(
        self, request: SpeechRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        raise NotImplementedError("never whole")

    def relay(self, request: SpeechRequest, head: Head, most_output: int) -> Relay:
        return SpeechRelay(request) if request.has_events else SoundRelay(request)


class SpeechRelay(EventRelay):
    """Sound in events, each with some of it."""

    def __init__(self, request: SpeechRequest) -> None:
        super().__init__()
        self._rate = _RATES.get(request.response_format or "mp3", _RATES["mp3"])
        self._size = 0

    @property
    def is_complete(self) -> bool:
        return self.last is not None and self._size > 0

    def relay(self, chunk: dict[str, Any]) -> bytes:
        """Raises MalformedAnswer for an event without sound. Events of other kinds are left out."""
        if chunk["type"] == "speech.audio.done":
            self.last = {"type": "speech.audio.done"}
            return b""
        if chunk["type"] != "speech.audio.delta":
            return b""
        if type(chunk.get("audio")) is not str:
            raise MalformedAnswer("an event has no sound")
        self._size += len(chunk["audio"]) * 3 // 4
        return self.write({"type": "speech.audio.delta", "audio": chunk["audio"]})

    def usage(self, bill: Bill) -> dict[str, Any]:
        usage = bill.usage
        counts = {"input_tokens": usage.input, "output_tokens": usage.output}
        return with_cost({**counts, "total_tokens": usage.input + usage.output}, bill)

    def received_tokens(self) -> int:
        """By how long it sounds."""
        return -(-self._size * _TOKENS_A_SECOND // self._rate)


class SoundRelay(SpeechRelay):
    """Sound alone: its bytes as they come. It is whole when the upstream's answer is."""

    @property
    def is_complete(self) -> bool:
        return self.is_done and self._size > 0

    def relay(self, chunk: dict[str, Any]) -> bytes:
        data: bytes = chunk["audio"]
        self._size += len(data)
        return data

    def closing(self, bill: Bill, explanation: Any = None) -> bytes:
        return b""


SPEECH: Final = Speech()
