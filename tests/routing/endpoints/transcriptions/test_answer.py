"""What a transcript is completed with, and what of it goes."""

from __future__ import annotations

from typing import Any, Final

import pytest

from routing.endpoints.transcriptions.answer import complete_tokens_of, complete_transcript

MEASURED: Final = {
    "seek": 0, "start": 0.0, "end": 0.0, "text": "", "tokens": (), "temperature": 0.0, "avg_logprob": 0.0,
    "compression_ratio": 0.0, "no_speech_prob": 0.0,
}  # fmt: skip


def completed(form: str | None, **answer: Any) -> dict[str, Any]:
    complete_transcript(answer, form, 7)
    return answer


def test_verbose_transcript_has_what_the_schema_requires() -> None:
    assert completed("verbose_json", text="Hi") == {"text": "Hi", "language": "und", "duration": 7.0}
    told = {"text": "Hi", "language": "en", "duration": 1.5, "segments": [{"id": 4, **MEASURED, "text": "Hi"}]}
    assert completed("verbose_json", **told) == told


def test_segments_are_completed_and_numbered() -> None:
    segments = [{"id": "a", "start": 1, "x": 2}, "none", {"id": 9, "tokens": ["a"], "avg_logprob": float("inf")}]
    found = completed("verbose_json", segments=segments)["segments"]
    assert found == [{**MEASURED, "id": 0, "start": 1, "x": 2}, {**MEASURED, "id": 9}]


@pytest.mark.parametrize(
    ("told", "duration"),
    [(0, 0.0), (2, 2.0), ("3.5", 3.5), ("long", 7.0), ("inf", 7.0), ("nan", 7.0), (-1, 7.0), (None, 7.0), (True, 7.0)],
)
def test_duration_is_a_number_or_what_was_heard(told: Any, duration: float) -> None:
    for form in ("verbose_json", "diarized_json"):
        assert completed(form, duration=told)["duration"] == duration


def test_what_speakers_said_is_completed() -> None:
    turn = {"type": "transcript.text.segment", "start": 0.0, "end": 0.0, "text": "", "speaker": "A"}
    assert completed("diarized_json", text="Hi") == {
        "text": "Hi",
        "task": "transcribe",
        "duration": 7.0,
        "segments": [],
    }
    found = completed("diarized_json", task="x", segments=[{"id": "s", "speaker": "B"}, {"id": 5, "type": "x"}])
    assert found["task"] == "transcribe"
    assert found["segments"] == [{**turn, "id": "s", "speaker": "B"}, {**turn, "id": "seg_001"}]


@pytest.mark.parametrize("form", [None, "json"])
def test_plain_transcript_is_given_nothing(form: str | None) -> None:
    assert completed(form, text="Hi", segments=5) == {"text": "Hi", "segments": 5}


def test_lists_have_their_members_or_go() -> None:
    assert completed(None, words="x", languages=None, logprobs={}) == {}
    event = {"logprobs": [{"token": "a", "logprob": None, "bytes": [97]}, {}, 5], "languages": [{"code": 1}]}
    complete_tokens_of(event)
    assert event == {
        "logprobs": [
            {"token": "a", "logprob": -9999.0, "bytes": [97]}, {"token": "", "logprob": -9999.0, "bytes": ()},
        ],
        "languages": [{"code": "und"}],
    }  # fmt: skip
