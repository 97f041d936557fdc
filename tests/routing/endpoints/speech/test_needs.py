"""What speech may use: its text's characters, and the tokens of the slowest reading; what came of it when it broke."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import NOTHING, Usage
from routing.endpoints.base import Bill, Head, Needs
from routing.endpoints.speech import SPEECH
from routing.providers.base import MalformedAnswer
from tests.routing.endpoints.media import LEARNED, MODEL

TEXT = "Good morning, Hà Nội!" * 10


def needs(**members: Any) -> Needs:
    request = SPEECH.read({"model": "m", "input": TEXT, **members})
    return SPEECH.needs(request, {}, 400, MODEL, LEARNED, 1)


@pytest.mark.parametrize(("speed", "tokens"), [(None, 1_070), (1.0, 1_070), (4.0, 1_070), (0.25, 4_220), (0.5, 2_120)])
def test_characters_and_tokens_are_held(speed: float | None, tokens: int) -> None:
    asked = needs(speed=speed)
    assert (asked.beside, asked.uncapped, asked.cap) == (Usage(characters=210), tokens, 0)
    assert (asked.input_bound, asked.expected_input, asked.expected_output) == (200 + 256, 100, 280)
    assert asked.is_paid_in_tokens


def relayed(size: int, *, is_done: bool = False, **members: Any) -> Any:
    request = SPEECH.read({"model": "m", "input": TEXT, **members})
    relay: Any = SPEECH.relay(request, Head("speech-1", "m", 5), 100)
    relay.relay({"type": "speech.audio.delta", "audio": bytes(size)})
    relay.is_done = is_done
    return relay


@pytest.mark.parametrize(
    ("size", "form", "usage"),
    [
        (0, "pcm", NOTHING),
        (1, "pcm", Usage(input=100, output=1, output_audio=1, characters=1)),
        (48_000, "pcm", Usage(input=100, output=20, output_audio=20, characters=15)),
        (48_000, "wav", Usage(input=100, output=20, output_audio=20, characters=15)),
        (48_000, None, Usage(input=100, output=60, output_audio=60, characters=45)),
        (48_000, "opus", Usage(input=100, output=240, output_audio=240, characters=180)),
        (48_000, "flac", Usage(input=100, output=40, output_audio=40, characters=30)),
        (48_000, "amr", Usage(input=100, output=60, output_audio=60, characters=45)),
        (48_000_000, "pcm", Usage(input=100, output=1_070, output_audio=1_070, characters=210)),
    ],
    ids=["nothing", "a byte", "pcm", "wav", "mp3", "opus", "flac", "another", "no end"],
)
def test_part_of_the_sound_is_part_of_the_text(size: int, form: str | None, usage: Usage) -> None:
    assert SPEECH.received(relayed(size, response_format=form), needs()) == usage


def test_whole_sound_is_the_whole_text() -> None:
    assert SPEECH.received(relayed(100, is_done=True), needs()).characters == 210


def test_nothing_is_never_whole() -> None:
    relay = relayed(0, is_done=True)
    assert not relay.is_complete
    assert SPEECH.received(relay, needs()) == NOTHING


def test_prompt_is_every_character() -> None:
    assert SPEECH.prompt(needs()) == Usage(input=100, characters=210)
    short = SPEECH.needs(SPEECH.read({"model": "m", "input": "a"}), {}, 3, MODEL, LEARNED, 1)
    assert SPEECH.prompt(short) == Usage(input=1, characters=1)


@pytest.mark.parametrize(
    ("usage", "is_something"),
    [(NOTHING, False), (Usage(input=5), False), (Usage(characters=1), True), (Usage(output=1), True)],
    ids=["nothing", "a prompt", "characters", "tokens"],
)
def test_what_is_worth_paying_for(usage: Usage, is_something: bool) -> None:
    assert SPEECH.has_produced(usage) is is_something


def test_sound_in_events_is_as_long_as_its_bytes() -> None:
    request = SPEECH.read({"model": "m", "input": TEXT, "stream_format": "sse", "response_format": "pcm"})
    relay = SPEECH.relay(request, Head("speech-1", "m", 5), 100)
    relay.relay({"type": "speech.audio.delta", "audio": "A" * 64_000})
    assert relay.received_tokens() == 20
    assert not relay.is_complete


def test_wish_to_stream_is_granted_and_not_passed_on() -> None:
    body = {"model": "m", "input": TEXT, "stream": True}
    assert SPEECH.read(body).is_stream
    assert "stream" not in body


@pytest.mark.parametrize(
    ("members", "told", "found"),
    [
        ({}, b"audio/mpeg", b"audio/mpeg"),
        ({"response_format": "wav"}, b"audio/x-wav; rate=24000", b"audio/x-wav; rate=24000"),
        ({"response_format": "pcm"}, b"application/octet-stream", b"audio/pcm"),
        ({}, b"text/html", b"audio/mpeg"),
        ({"response_format": "amr"}, b"", b"application/octet-stream"),
        ({"response_format": "opus"}, b"audio/opus\r\nx: y", b"audio/opus"),
        ({"stream_format": "sse"}, b"text/event-stream", b""),
    ],
    ids=["the upstream's", "with its rate", "by the format", "no sound", "unknown", "a header within", "events"],
)
def test_sound_has_its_upstreams_type_or_its_formats(members: dict[str, Any], told: bytes, found: bytes) -> None:
    assert SPEECH.media(SPEECH.read({"model": "m", "input": TEXT, **members}), told) == found


BILL = Bill(Usage(input=3, output=4, characters=210), {}, "0.5", {"currency": "USD"})


def test_sound_is_handed_on_as_it_comes() -> None:
    relay: Any = SPEECH.relay(SPEECH.read({"model": "m", "input": TEXT}), Head("speech-1", "m", 5), 100)
    assert relay.relay({"type": "speech.audio.delta", "audio": b"\0\1"}) == b"\0\1"
    assert not relay.is_complete
    relay.is_done = True
    assert relay.is_complete
    assert relay.closing(BILL, {"route": 1}) == b""


def events() -> Any:
    request = SPEECH.read({"model": "m", "input": TEXT, "stream_format": "sse"})
    return SPEECH.relay(request, Head("speech-1", "m", 5), 100)


def test_events_are_the_sound_and_the_last_has_the_usage() -> None:
    relay = events()
    delta = relay.relay({"type": "speech.audio.delta", "audio": "aGk=", "at": "up.example"})
    assert orjson.loads(delta.removeprefix(b"data: ")) == {"type": "speech.audio.delta", "audio": "aGk="}
    assert relay.relay({"type": "speech.audio.info", "audio": "aGk="}) == b""
    assert (relay.is_complete, relay.received_tokens()) == (False, 1)
    assert relay.relay({"type": "speech.audio.done", "usage": {"at": "up.example"}}) == b""
    assert relay.is_complete
    assert orjson.loads(relay.closing(BILL).removeprefix(b"data: ")) == {
        "type": "speech.audio.done",
        "usage": {
            "input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "cost": 0.5, "cost_details": {"currency": "USD"},
        },
    }  # fmt: skip


@pytest.mark.parametrize("audio", [None, 5, ["aGk="]], ids=str)
def test_event_without_sound_is_malformed(audio: Any) -> None:
    with pytest.raises(MalformedAnswer):
        events().relay({"type": "speech.audio.delta", "audio": audio})


def test_what_is_whole_is_no_speech() -> None:
    with pytest.raises(MalformedAnswer):
        SPEECH.check(SPEECH.read({"model": "m", "input": TEXT}), {})


@pytest.mark.parametrize(
    ("form", "rate"),
    [("mp3", 16_000), ("opus", 4_000), ("aac", 16_000), ("flac", 24_000), ("wav", 48_000), ("pcm", 48_000)],
)
def test_sound_lasts_as_long_as_its_form_makes_it(form: str, rate: int) -> None:
    assert relayed(rate * 10_000, response_format=form).received_tokens() == 200_000
