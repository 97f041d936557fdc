"""What the public schemas require of a transcript (CreateTranscriptionResponse…): who leaves it out, or has it in
another form, is completed. Zeros stand for what nobody measured, `und` (ISO 639) for a language that nobody named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from routing.endpoints.chat.answer import NEVER
from routing.endpoints.members import are_whole, is_number, is_text, is_whole

Form = Callable[[Any], bool]

_OF_WORD: Final[Mapping[str, tuple[Form, Any]]] = {
    "word": (is_text, ""), "start": (is_number, 0.0), "end": (is_number, 0.0),
}  # fmt: skip
_OF_TOKEN: Final[Mapping[str, tuple[Form, Any]]] = {
    "token": (is_text, ""), "logprob": (is_number, NEVER), "bytes": (are_whole, ()),
}  # fmt: skip
_OF_LANGUAGE: Final[Mapping[str, tuple[Form, Any]]] = {"code": (is_text, "und")}
_OF_SEGMENT: Final[Mapping[str, tuple[Form, Any]]] = {
    "seek": (is_whole, 0), "start": (is_number, 0.0), "end": (is_number, 0.0), "text": (is_text, ""),
    "tokens": (are_whole, ()), "temperature": (is_number, 0.0), "avg_logprob": (is_number, 0.0),
    "compression_ratio": (is_number, 0.0), "no_speech_prob": (is_number, 0.0),
}  # fmt: skip
_OF_TURN: Final[Mapping[str, tuple[Form, Any]]] = {
    "type": (lambda value: value == "transcript.text.segment", "transcript.text.segment"), "start": (is_number, 0.0),
    "end": (is_number, 0.0), "text": (is_text, ""), "speaker": (is_text, "A"),
}  # fmt: skip
"""What one says, where speakers are told apart."""


def complete_transcript(answer: dict[str, Any], form: str | None, seconds: int) -> None:
    """Adds in place what the format that was asked for requires, and takes out what has no form."""
    _complete_lists(answer, "logprobs", _OF_TOKEN)
    _complete_lists(answer, "languages", _OF_LANGUAGE)
    _complete_lists(answer, "words", _OF_WORD)
    if form == "verbose_json":
        if not is_text(answer.get("language")):
            answer["language"] = "und"
        answer["duration"] = _seconds_of(answer.get("duration"), seconds)
        _complete_lists(answer, "segments", _OF_SEGMENT)
        for place, segment in enumerate(answer.get("segments", ())):
            segment["id"] = segment["id"] if is_whole(segment.get("id")) else place
    elif form == "diarized_json":
        answer["task"] = "transcribe"
        answer["duration"] = _seconds_of(answer.get("duration"), seconds)
        _complete_lists(answer, "segments", _OF_TURN)
        for place, segment in enumerate(answer.setdefault("segments", [])):
            segment["id"] = segment["id"] if is_text(segment.get("id")) else f"seg_{place:03}"


def complete_tokens_of(event: dict[str, Any]) -> None:
    """The same of an event."""
    _complete_lists(event, "logprobs", _OF_TOKEN)
    _complete_lists(event, "languages", _OF_LANGUAGE)


def _complete_lists(answer: dict[str, Any], name: str, members: Mapping[str, tuple[Form, Any]]) -> None:
    """Of a list what is an object, with its members; what is no list goes."""
    if name not in answer:
        return
    told = answer[name]
    if type(told) is not list:
        del answer[name]
        return
    answer[name] = [_completed(each, members) for each in told if type(each) is dict]


def _completed(told: dict[str, Any], members: Mapping[str, tuple[Form, Any]]) -> dict[str, Any]:
    fixed = {name: default for name, (is_formed, default) in members.items() if not is_formed(told.get(name))}
    return {**told, **fixed}


def _seconds_of(told: Any, seconds: int) -> float:
    """A number, or a text that is one (vLLM); else what was heard."""
    try:
        found = float(told) if is_text(told) or is_number(told) else float(seconds)
    except ValueError:
        return float(seconds)
    return found if 0 <= found < math.inf else float(seconds)
