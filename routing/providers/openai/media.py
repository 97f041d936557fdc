"""Pictures and sound in OpenAI's formats: what is asked, and what an answer says and counts.

https://platform.openai.com/docs/api-reference/images/create and .../audio. Usage is of tokens, or of seconds; pictures
and characters are counted here, because every upstream's answer and request show them. Servers of the same format that
count nothing at all are many.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import orjson

from billing.kinds import Usage
from routing.providers.base import END, End, Event, MalformedAnswer, Reader, UpstreamCall
from routing.providers.media import File, encode
from routing.providers.openai.finish import finish_reason
from routing.providers.openai.reader import OpenAIReader
from routing.providers.openai.refusals import error_in, text_of
from routing.providers.openai.shapes import NO_NUMBERS
from routing.providers.openai.usage import usage_of
from routing.providers.recordings import expected_seconds

_EXTENSIONS: Final = frozenset(("models", "provider", "usage"))
"""The router's own members, never sent upstream."""
_TEXTS: Final = frozenset(("srt", "vtt"))
"""Formats of a transcript that are no JSON. Text is asked for as JSON, which tells how much was heard."""
_AUDIO_TOKENS_A_SECOND: Final = 10
"""One for 100 ms of what is heard (https://platform.openai.com/docs/guides/realtime-costs)."""
_LETTERS_A_SECOND: Final = 30
"""Nobody speaks faster: a transcript is of no shorter recording, whatever its file says."""
_MOST_SECONDS: Final = 10_000_000
_PAGE: Final = re.compile(rb'\s{0,20}(?:\{\s{0,20}"\w{1,40}"\s{0,20}:|<(?:!doctype|html|\?xml)\b)', re.IGNORECASE)
_NO_TEXT: Final = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_CUE: Final = re.compile(r"--> (?:(\d{1,4}):)?(\d{2}):(\d{2})[.,](\d{3})")
"""The end of a cue (WebVTT, section 4.1; SubRip has a comma)."""


def content(call: UpstreamCall) -> tuple[str, dict[str, Any] | tuple[bytes, ...]]:
    """The content type, and the client's body with the upstream's model: a form's pieces for a file, else a value."""
    body = {name: value for name, value in call.body.items() if name not in _EXTENSIONS and value is not None}
    body["model"] = call.upstream_model
    if body.get("response_format") == "text":  # the same words, with what they count
        body["response_format"] = "json"
    if any(type(value) is File for value in body.values()):
        return encode(body)
    return "application/json", body


class ImagesReader(OpenAIReader):
    """Pictures, whole or as events: what is partial comes before what is complete."""

    numbers = NO_NUMBERS

    def __init__(self, call: UpstreamCall) -> None:
        super().__init__()
        self._awaited = call.body.get("n") or 1
        self._count = 0
        self._tokens: Usage | None = None

    def whole(self, body: bytes) -> dict[str, Any]:
        answer = super().whole(body)
        data = answer.get("data")
        self._count = len(data) if type(data) is list else 0
        self._sum()
        return answer

    def feed(self, data: bytes | None) -> list[Event]:
        return _with_end(super().feed(data), self)

    def read_chunk(self, data: bytes) -> dict[str, Any] | None:
        event = _event_in(self, data)
        if event is not None and event.get("type") == "image_generation.completed":
            self._count += 1
            self.note_usage(event.pop("usage", None), is_total=True)
            if self._count >= self._awaited:
                self.ends.finished.add(0)
        return event

    def note_usage(self, reported: Any, *, is_total: bool) -> None:
        """Each picture of a stream tells its own."""
        usage = usage_of(reported)
        if usage is not None:
            details = reported.get("output_tokens_details")
            shown = details.get("image_tokens") if type(details) is dict else None
            shown = usage.output if type(shown) is not int else max(0, min(shown, usage.output))
            before = self._tokens or Usage()
            self._tokens = Usage(
                input=before.input + usage.input,
                cached_input=before.cached_input + usage.cached_input,
                output=before.output + usage.output,
                output_image=before.output_image + shown,
            )
            self.reported = reported
        self._sum()

    def _sum(self) -> None:
        """The pictures are counted by what came, so the count is exact."""
        if self._count:
            self.usage = msgspec.structs.replace(self._tokens or Usage(), images=self._count)


class SpeechReader(OpenAIReader):
    """Speech as events; the request says how many characters it has."""

    def __init__(self, call: UpstreamCall) -> None:
        super().__init__()
        self._characters = len(call.body["input"])

    def feed(self, data: bytes | None) -> list[Event]:
        return _with_end(super().feed(data), self)

    def read_chunk(self, data: bytes) -> dict[str, Any] | None:
        event = _event_in(self, data)
        if event is not None and event.get("type") == "speech.audio.done":
            self.note_usage(event.pop("usage", None), is_total=True)
            self.ends.finished.add(0)
        return event

    def note_usage(self, reported: Any, *, is_total: bool) -> None:
        usage = usage_of(reported)
        if usage is not None:
            self.usage = Usage(
                input=usage.input, output=usage.output, output_audio=usage.output, characters=self._characters
            )
            self.reported = reported

    def whole(self, body: bytes) -> dict[str, Any]:
        """What is whole is no speech: raises MalformedAnswer, with the upstream's words."""
        raise MalformedAnswer(f"no speech came, but: {str(super().whole(body))[:300]}")


class SoundReader(SpeechReader):
    """Speech as sound: its bytes as they come, to the end of the answer."""

    def feed(self, data: bytes | None) -> list[Event]:
        if data is None:
            return [END]
        if not data:
            return []
        if not self._has_begun and _is_page(data):
            return [End(f"no speech came, but: {data[:300].decode()}")]
        self._has_begun = True
        return [{"type": "speech.audio.delta", "audio": data}]


class TranscriptReader(OpenAIReader):
    """What was heard, as JSON, as text, or as events; counted in tokens or in seconds.

    vLLM's events are chunks as chat's are, and its end is OpenAI's (docs.vllm.ai, transcriptions API).
    """

    numbers = NO_NUMBERS

    def __init__(self, call: UpstreamCall) -> None:
        super().__init__()
        self._file: File = call.body["file"]
        self._is_text = call.body.get("response_format") in _TEXTS
        self._said: list[str] = []
        """In chunks, which have no event that repeats them all."""

    def whole(self, body: bytes) -> dict[str, Any]:
        answer = {"text": _text_in(body)} if self._is_text else super().whole(body)
        if self.usage is None and type(answer.get("text")) is str:
            self._measure(answer)
        return answer

    def feed(self, data: bytes | None) -> list[Event]:
        events = super().feed(data)
        if self._said and events and events[-1] is END and not self.is_finished:
            done = {"type": "transcript.text.done", "text": "".join(self._said)}
            if self.usage is None:
                self._measure(done)
            events[-1:] = [done, END]
        return _with_end(events, self)

    def read_chunk(self, data: bytes) -> dict[str, Any] | None:
        event = _event_in(self, data, self._of_chunk)
        if event is not None and event.get("type") == "transcript.text.done":
            self.note_usage(event.pop("usage", None), is_total=True)
            if self.usage is None and type(event.get("text")) is str:
                self._measure(event)
            self.ends.finished.add(0)
        return event

    def _of_chunk(self, chunk: dict[str, Any]) -> dict[str, Any] | None:
        """A chunk as an event; raises MalformedAnswer for a choice that is none, or that failed."""
        self.note_usage(chunk.get("usage"), is_total=True)
        text = ""
        for choice in chunk["choices"]:
            delta = choice.get("delta") if type(choice) is dict else None
            if type(delta) is not dict:
                raise MalformedAnswer("a choice has no delta")
            finish_reason(choice.get("finish_reason"))
            text += text_of(delta.get("content"))
        self._said.append(text)
        return {"type": "transcript.text.delta", "delta": text} if text else None

    def note_usage(self, reported: Any, *, is_total: bool) -> None:
        """Tokens or seconds; of tokens that are heard there is a fixed number in a second."""
        if type(reported) is not dict:
            return
        usage = usage_of({**reported, "input_tokens_details": reported.get("input_token_details")})
        seconds = _whole_seconds(reported.get("seconds", reported.get("prompt_audio_seconds")))  # the latter: Mistral
        if usage is not None:
            heard = usage.input_audio
            seconds = seconds or (-(-heard // _AUDIO_TOKENS_A_SECOND) if heard else expected_seconds(self._file.data))
            self.usage = Usage(input=usage.input, input_audio=heard, output=usage.output, seconds=seconds)
        elif seconds:
            self.usage = Usage(seconds=seconds)
        if self.usage is not None:
            self.reported = reported

    def _measure(self, answer: Mapping[str, Any]) -> None:
        """The upstream counts nothing: by the duration or the times it says, else by the file."""
        seconds = _whole_seconds(answer.get("duration"))
        self.is_exact = bool(seconds)
        if not seconds:
            text = str(answer["text"])
            said = max(math.ceil(len(text) / _LETTERS_A_SECOND), _last_cue(text) if self._is_text else 0)
            seconds = max(expected_seconds(self._file.data), said)
        self.usage = Usage(seconds=seconds)


def _event_in(
    reader: OpenAIReader, data: bytes, of_chunk: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None
) -> dict[str, Any] | None:
    """An event's object, None where it says nothing; raises MalformedAnswer for an error, or what has no type.

    `of_chunk` reads what comes as chat's chunks do, where it may.
    """
    event = reader.object_in(data)
    if event is None:
        return None
    if of_chunk is not None and type(event.get("choices")) is list and not event.get("error"):
        return of_chunk(event)
    if event.get("error") or event.get("type") == "error" or type(event.get("type")) is not str:
        words = text_of(error_in(event).get("message")) or str(event)
        raise MalformedAnswer(f"an error came instead of an answer: {words[:300]}")
    return event


def _is_page(data: bytes) -> bool:
    """Whether what should be sound begins as an object of JSON or a page does, and is all text: no sound is."""
    return bool(_PAGE.match(data)) and data.isascii() and not _NO_TEXT.search(data)


def _with_end(events: list[Event], reader: OpenAIReader) -> list[Event]:
    """Nothing is waited for behind the last event: many servers say no [DONE] there."""
    if reader.is_finished and not (events and events[-1] is END):
        events.append(END)
    return events


def _text_in(body: bytes) -> str:
    """A transcript that is plain text; raises MalformedAnswer for an error in its place."""
    text = body.decode("utf-8", "replace")
    if text.lstrip()[:1] == "{":
        try:
            error = error_in(orjson.loads(body))
        except orjson.JSONDecodeError:
            return text
        raise MalformedAnswer(f"an error came instead of an answer: {(text_of(error.get('message')) or text)[:300]}")
    return text


def _whole_seconds(value: Any) -> int:
    """A duration as whole seconds, a part of one as one; 0 for what is none."""
    try:
        seconds = float(value) if type(value) in (int, float, str) else 0.0
    except ValueError:
        return 0
    return math.ceil(seconds) if 0 < seconds <= _MOST_SECONDS else 0


def _last_cue(text: str) -> int:
    """The end of the last cue of subtitles, in whole seconds; 0 without any."""
    ends = _CUE.findall(text[-2000:])
    if not ends:
        return 0
    hours, minutes, seconds, thousandths = ends[-1]
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + 1 if thousandths != "000" else whole


def _speech(call: UpstreamCall) -> Reader:
    return SpeechReader(call) if call.body.get("stream_format") == "sse" else SoundReader(call)


READERS: Final[dict[str, Callable[[UpstreamCall], Reader]]] = {
    "images.generations": ImagesReader,
    "audio.speech": _speech,
    "audio.transcriptions": TranscriptReader,
    "audio.translations": TranscriptReader,
}
"""By endpoint, who reads its answers."""
