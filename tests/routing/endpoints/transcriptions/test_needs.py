"""What recordings may use: twice the seconds that they say, and tokens for each; what came of a stream that broke."""

from __future__ import annotations

from typing import Any

import pytest

from billing.kinds import NOTHING, Usage
from routing.endpoints.base import Head, Needs
from routing.endpoints.transcriptions import TRANSCRIPTIONS
from routing.providers.media import File
from tests.routing.endpoints.media import LEARNED, MODEL
from tests.routing.providers.test_recordings import wav

TEN_SECONDS = File("a.wav", "audio/wav", wav(10))


def needs(**members: Any) -> Needs:
    request = TRANSCRIPTIONS.read({"model": "m", "file": TEN_SECONDS, **members})
    return TRANSCRIPTIONS.needs(request, {}, 400, MODEL, LEARNED, 1)


def test_seconds_and_tokens_are_held() -> None:
    asked = needs()
    assert (asked.beside, asked.uncapped, asked.cap) == (Usage(seconds=20), 240, 0)
    assert (asked.input_bound, asked.expected_input, asked.expected_output) == (201, 100, 40)
    assert asked.is_paid_in_tokens


def test_words_that_help_are_input_too() -> None:
    assert needs(prompt="Hà Nội" * 10).input_bound == 201 + 45


def test_prompt_is_the_whole_recording() -> None:
    assert TRANSCRIPTIONS.prompt(needs()) == Usage(input=100, seconds=10)


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ("", NOTHING),
        ("Good", Usage(input=10, output=1, seconds=1)),
        ("word " * 16, Usage(input=50, output=20, seconds=5)),
        ("word " * 17, Usage(input=60, output=22, seconds=6)),
        ("word " * 400, Usage(input=100, output=500, seconds=10)),
    ],
    ids=["nothing", "a word", "twenty tokens", "more", "more than it lasts"],
)
def test_part_of_the_text_is_part_of_the_recording(said: str, usage: Usage) -> None:
    request = TRANSCRIPTIONS.read({"model": "m", "file": TEN_SECONDS, "stream": "true"})
    relay: Any = TRANSCRIPTIONS.relay(request, Head("transcribe-1", "m", 5), 100)
    relay.relay({"type": "transcript.text.delta", "delta": said})
    assert TRANSCRIPTIONS.received(relay, needs()) == usage


@pytest.mark.parametrize(
    ("usage", "is_something"),
    [(NOTHING, False), (Usage(seconds=1), True), (Usage(input=1), True), (Usage(output=1), True)],
    ids=["nothing", "seconds", "silence in tokens", "tokens"],
)
def test_what_is_worth_paying_for(usage: Usage, is_something: bool) -> None:
    assert TRANSCRIPTIONS.has_produced(usage) is is_something


@pytest.mark.parametrize("form", ["srt", "vtt", "verbose_json"])
def test_what_is_never_streamed_does_not_ask_for_it(form: str) -> None:
    body = {"model": "m", "file": TEN_SECONDS, "stream": "true", "response_format": form}
    assert not TRANSCRIPTIONS.read(body).is_stream
    assert "stream" not in body
