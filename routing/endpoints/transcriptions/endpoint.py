"""POST /v1/audio/transcriptions and /v1/audio/translations as endpoints.

A model is priced by the second of what is heard, by tokens, or by both. Where the upstream counts neither, seconds are
what it says of the recording, else what the file says of itself (routing/providers/recordings.py).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from billing.kinds import NOTHING, Usage
from routing.endpoints.base import Bill, Head, Learned, ModelFacts, Needs, to_json
from routing.endpoints.chat.identity import drop_names, is_in
from routing.endpoints.events import EventRelay, with_cost
from routing.endpoints.plain import Unassembled
from routing.endpoints.transcriptions.answer import complete_tokens_of, complete_transcript
from routing.endpoints.transcriptions.schema import TranscriptionRequest, read_transcription, read_translation
from routing.providers.base import MalformedAnswer
from routing.providers.media import File
from routing.providers.recordings import expected_seconds, most_seconds

_HEARD_A_SECOND: Final = 10
"""Tokens: one for 100 ms of what is heard (https://platform.openai.com/docs/guides/realtime-costs)."""
_SAID_A_SECOND: Final = 4
"""Tokens: of English at three words a second."""
_SAID_A_SECOND_AT_MOST: Final = 12
_BYTES_OF_A_TOKEN: Final = 4
_SAYS: Final = frozenset(
    ("task", "language", "languages", "duration", "text", "words", "segments", "logprobs", "usage", "costrouter",
     "type", "delta", "id", "start", "end", "speaker")
)  # fmt: skip
"""Members of the public schemas; the model's own words may hold anything."""
_TEXT: Final = b"text/plain; charset=utf-8"
_SILENCE: Final = File(
    "silence.wav",
    "audio/wav",
    struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 6436, b"WAVEfmt ", 16, 1, 1, 16_000, 32_000, 2, 16, b"data", 6400)
    + bytes(6400),
)
"""A fifth of a second; OpenAI's takes nothing below a tenth."""


class Transcriptions(Unassembled):
    smallest_cap = 0
    smallest: Mapping[str, Any] = {"file": _SILENCE}

    def __init__(self, name: str, id_prefix: str, path: str, read: Callable[[dict[str, Any]], Any]) -> None:
        self.name = name
        self.id_prefix = id_prefix
        self.path = path
        self._read = read

    def read(self, body: dict[str, Any]) -> TranscriptionRequest:
        request: TranscriptionRequest = self._read(body)
        return request

    def needs(
        self,
        request: TranscriptionRequest,
        body: dict[str, Any],
        body_bytes: int,
        model: ModelFacts,
        learned: Learned,
        tenant_id: int,
    ) -> Needs:
        """Raises nothing: how long a recording may be is the upstream's to judge."""
        data, words = request.file.data, len((request.prompt or "").encode())
        expected, most = expected_seconds(data), most_seconds(data)
        return Needs(
            text_bytes=words,
            is_all_text=False,
            input_bound=most * _HEARD_A_SECOND + int(words / learned.dense_bytes_per_token(model.name)) + 1,
            expected_input=expected * _HEARD_A_SECOND,
            expected_output=expected * _SAID_A_SECOND,
            beside=Usage(seconds=most),
            expected_beside=Usage(seconds=expected),
            uncapped=most * _SAID_A_SECOND_AT_MOST,
            is_paid_in_tokens=True,
        )

    def has_produced(self, usage: Usage) -> bool:
        """Also of silence, in which there is nothing to write down."""
        return bool(usage.seconds or usage.input or usage.output)

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        return self.prompt(needs)

    def prompt(self, needs: Needs) -> Usage:
        return Usage(input=needs.expected_input, seconds=needs.expected_input // _HEARD_A_SECOND)

    def received(self, relay: Any, needs: Needs) -> Usage:
        """Of a stream that broke off: what had been written down, and the seconds in which that is said."""
        tokens = relay.received_tokens()
        if not tokens:
            return NOTHING
        seconds = min(needs.expected_input // _HEARD_A_SECOND, math.ceil(tokens / _SAID_A_SECOND))
        return Usage(input=seconds * _HEARD_A_SECOND, output=tokens, seconds=seconds)

    def media(self, request: TranscriptionRequest, told: bytes) -> bytes:
        return _TEXT if request.is_text and not request.is_stream else b""

    def words(self, chunk: Mapping[str, Any]) -> str:
        said = chunk.get("delta")
        return said if type(said) is str else ""

    def check(self, request: TranscriptionRequest, answer: dict[str, Any]) -> None:
        """A text, which is empty where nobody speaks."""
        if type(answer.get("text")) is not str:
            raise MalformedAnswer("the answer has no text")

    def complete(
        self, request: TranscriptionRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        if request.is_text:
            text: str = answer["text"]
            return text.rstrip("\n").encode() + b"\n"
        _clear(answer, head)
        if "id" in answer:
            answer["id"] = head.public_id
        complete_transcript(answer, request.response_format, bill.usage.seconds)
        told = {} if explanation is None else {"costrouter": explanation}
        return to_json({**answer, "usage": _usage(bill), **told})

    def pieces(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        text = answer["text"]
        return [
            {"type": "transcript.text.delta", "delta": text},
            {"type": "transcript.text.done", "text": text},
        ]

    def relay(self, request: TranscriptionRequest, head: Head, most_output: int) -> TranscriptRelay:
        return TranscriptRelay(head)


class TranscriptRelay(EventRelay):
    """A transcript as events; the last one repeats all of it."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self._head = head
        self._said = 0

    def relay(self, chunk: dict[str, Any]) -> bytes:
        """Raises MalformedAnswer for an event without text. Events of other kinds are left out."""
        kind = chunk["type"]
        if not kind.startswith("transcript.text."):
            return b""
        said = chunk.get("delta" if kind.endswith(".delta") else "text")
        if type(said) is not str:
            raise MalformedAnswer("an event has no text")
        _clear(chunk, self._head)
        complete_tokens_of(chunk)
        if kind.endswith(".done"):
            self.last = chunk
            return b""
        self._said += len(said.encode())
        return self.write(chunk)

    def usage(self, bill: Bill) -> dict[str, Any]:
        return _usage(bill)

    def received_tokens(self) -> int:
        return -(-self._said // _BYTES_OF_A_TOKEN)


def _clear(answer: dict[str, Any], head: Head) -> None:
    """Takes out in place what names the upstream, of an answer or an event; its model is ours."""
    drop_names(answer)
    if "model" in answer:
        answer["model"] = head.model
    for name in answer.keys() - _SAYS:
        if is_in(to_json(answer[name]), head.hidden):
            del answer[name]


def _usage(bill: Bill) -> dict[str, Any]:
    """In tokens where the upstream counted them, else in seconds (TranscriptTextUsageTokens, -Duration)."""
    usage = bill.usage
    if not usage.input:
        return with_cost({"type": "duration", "seconds": usage.seconds}, bill)
    return with_cost(
        {
            "type": "tokens",
            "input_tokens": usage.input,
            "input_token_details": {
                "text_tokens": usage.input - usage.input_audio, "audio_tokens": usage.input_audio
            },
            "output_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
        },
        bill,
    )  # fmt: skip


TRANSCRIPTIONS: Final = Transcriptions(
    "audio.transcriptions", "transcribe-", "/audio/transcriptions", read_transcription
)
TRANSLATIONS: Final = Transcriptions("audio.translations", "translate-", "/audio/translations", read_translation)
