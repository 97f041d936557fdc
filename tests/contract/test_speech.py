"""POST /v1/audio/speech: sound as it comes, paid by characters or tokens."""

from __future__ import annotations

import base64
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests import upstream as up
from tests.callers import Caller, Stream
from tests.envelopes import assert_error, assert_refused
from tests.installation import DOLLAR, Offer, Shape, Tariff, Via
from tests.worlds import World

SOUND = bytes(range(256)) * 40
"""Begins with bytes that text has none of, and has those that begin JSON."""
SPEECH = "/v1/audio/speech"
TEXT = "Good morning, everybody!"


def by_character(millionths: int | None = None) -> Tariff:
    """So many millionths of a dollar a character; tokens cost nothing."""
    character = None if millionths is None else millionths * DOLLAR
    return Tariff(input=0, output=0, cached_input=None, character=character)


BY_LETTER = Shape(
    endpoints=("audio.speech",),
    price=by_character(15),
    vias=(Via(cost=by_character(10)), Via(cost=by_character(12))),
)
"""15 micro-dollars a character."""
SPOKEN_TOKENS = Shape(endpoints=("audio.speech",), price=Tariff(input=DOLLAR, output=12 * DOLLAR))


@pytest.fixture
def speaker(world: World) -> Offer:
    return world.offer(BY_LETTER)


@pytest.fixture
def counter(world: World) -> Offer:
    return world.offer(SPOKEN_TOKENS)


def sound(*parts: up.Step, kind: str = "audio/mpeg", **options: Any) -> up.Reply:
    """A chunked answer of sound."""
    start = up.head(200, [("content-type", kind), ("transfer-encoding", "chunked")])
    steps = tuple(up.framed(part) if isinstance(part, bytes) else part for part in parts)
    is_terminated = options.pop("is_terminated", True)
    return up.Reply((start, *steps, *((up.LAST_CHUNK,) if is_terminated else ())), **options)


def speak(caller: Caller, model: Offer, /, **members: Any) -> httpx.Response:
    return caller.client.post(SPEECH, json={"model": model.name, "input": TEXT, "voice": "alloy", **members})


def hear(caller: Caller, model: Offer, /, **members: Any) -> Stream:
    """The answer as it comes, also where it breaks off."""
    body = {"model": model.name, "input": TEXT, "voice": "alloy", **members}
    with caller.client.stream("POST", SPEECH, json=body) as response:
        return Stream.of(response)


def test_sound_comes_as_it_is_and_costs_its_characters(caller: Caller, speaker: Offer) -> None:
    caller.upstream.on(speaker.upstream, sound(SOUND[:100], up.Pause(0.3), SOUND[100:]))
    before = caller.available

    seen = hear(caller, speaker)

    record = caller.only_record()
    assert (seen.status, seen.headers["content-type"], seen.is_cut) == (200, "audio/mpeg", False)
    assert seen.raw == SOUND
    assert seen.arrivals[-1][0] - seen.arrivals[0][0] > 0.2
    assert (record.endpoint, record.usage.characters, record.cost) == ("audio.speech", len(TEXT), len(TEXT) * 15_000)
    assert (record.provider_cost, record.outcome, record.is_stream) == (len(TEXT) * 10_000, "success", True)
    assert caller.available == before - record.cost
    assert seen.headers["x-costrouter-model"] == speaker.name


@pytest.mark.parametrize(
    ("asked", "told", "shown"),
    [
        ({}, "application/octet-stream", "audio/mpeg"),
        ({"response_format": "opus"}, "application/octet-stream", "audio/opus"),
        ({"response_format": "wav"}, "audio/x-wav", "audio/x-wav"),
        ({"response_format": "pcm"}, "audio/pcm;rate=24000", "audio/pcm;rate=24000"),
        ({"response_format": "amr"}, "binary", "application/octet-stream"),
    ],
    ids=["mp3", "opus", "wav", "pcm", "another"],
)
def test_type_is_the_upstreams_or_the_formats(
    caller: Caller, speaker: Offer, asked: dict[str, Any], told: str, shown: str
) -> None:
    caller.upstream.on(speaker.upstream, sound(SOUND, kind=told))
    assert hear(caller, speaker, **asked).headers["content-type"] == shown


@pytest.mark.parametrize("beginning", [b"{", b"[", b" \t{", b"data: x\n\n", b": hi\n\n"])
def test_sound_that_looks_like_text_is_sound(caller: Caller, speaker: Offer, beginning: bytes) -> None:
    caller.upstream.on(speaker.upstream, sound(beginning, SOUND, kind="audio/pcm"))
    seen = hear(caller, speaker, response_format="pcm")
    assert (seen.raw, seen.is_cut) == (beginning + SOUND, False)


def test_silence_of_the_upstream_puts_nothing_between(caller: Caller, speaker: Offer) -> None:
    caller.upstream.on(speaker.upstream, sound(SOUND[:10], up.Pause(1.5), SOUND[10:]))
    assert hear(caller, speaker).raw == SOUND


def test_speech_is_asked_as_the_client_asked(caller: Caller, speaker: Offer) -> None:
    caller.upstream.on(speaker.upstream, sound(SOUND))

    hear(caller, speaker, instructions="Whisper.", speed=1.5, voice={"id": "voice_1"}, user=None)

    asked = caller.upstream.requests[-1]
    assert asked.path.endswith("/v1/audio/speech")
    assert asked.json == {
        "model": speaker.upstream, "input": TEXT, "voice": {"id": "voice_1"}, "instructions": "Whisper.", "speed": 1.5,
    }  # fmt: skip


def test_sound_that_breaks_off_never_looks_whole(caller: Caller, speaker: Offer) -> None:
    cut = sound(SOUND, up.Pause(0.1), end=up.End.RESET, is_terminated=False)
    caller.upstream.on(speaker.upstream, cut)

    seen = hear(caller, speaker, response_format="pcm")

    assert (seen.status, seen.is_cut, seen.raw) == (200, True, SOUND)
    record = caller.only_record()
    assert (record.outcome, record.usage_source) == ("upstream_error", "estimated")
    assert 0 < record.usage.characters < len(TEXT)
    assert record.cost == record.usage.characters * 15_000


NO_SOUND = {
    "an error": up.plain(500, {"error": {"message": "no"}}),
    "an error that looks well": up.plain(200, {"error": {"message": "no"}}),
    "JSON": up.plain(200, {"audio": "AAAA"}),
    "text": up.plain(200, b"no", content_type="text/html"),
    "nothing": up.plain(200, b"", content_type="audio/mpeg"),
    "an error as sound": up.plain(200, {"error": {"message": "no"}}, content_type="audio/mpeg"),
    "an error of no type": up.plain(200, {"detail": "no"}, content_type=""),
    "a page as sound": up.plain(200, b"<!DOCTYPE html><html>", content_type="application/octet-stream"),
    "cut before its first byte": up.Reply((up.head(200, [("content-type", "audio/mpeg")]),), up.End.RESET),
}


@pytest.mark.parametrize("broken", NO_SOUND.values(), ids=NO_SOUND.keys())
def test_what_fails_before_its_first_byte_is_tried_elsewhere(caller: Caller, speaker: Offer, broken: up.Reply) -> None:
    caller.upstream.on(speaker.upstreams[0], broken)
    caller.upstream.on(speaker.upstreams[1], sound(SOUND))

    assert hear(caller, speaker).raw == SOUND
    record = caller.only_record()
    assert (record.channel, len(record.attempts)) == (speaker.channels[1], 2)


def test_failure_of_all_is_an_error_in_json(caller: Caller, speaker: Offer) -> None:
    for upstream in speaker.upstreams:
        caller.upstream.on(upstream, NO_SOUND["an error that looks well"])
    before = caller.available

    response = speak(caller, speaker)

    assert_error(response, 502, "server_error", "upstream_error", param=None)
    assert (caller.only_record().cost, caller.available) == (0, before)


def test_client_that_leaves_stops_the_upstream_and_pays_for_what_came(caller: Caller, speaker: Offer) -> None:
    caller.upstream.on(speaker.upstream, sound(SOUND, up.HANG))
    body = {"model": speaker.name, "input": TEXT * 100, "voice": "alloy", "response_format": "pcm"}
    with (
        httpx.Client(base_url=caller.installation.gateway_url, headers=caller.authorization, timeout=10) as client,
        client.stream("POST", SPEECH, json=body) as response,
    ):
        next(response.iter_raw())

    record = caller.only_record(seconds=4)
    assert record.outcome == "client_gone"
    assert 0 < record.usage.characters < 100
    assert record.cost == record.usage.characters * 15_000
    assert caller.upstream.requests[-1].was_left_within(2)


USAGE = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}


def delta(data: bytes) -> bytes:
    return up.event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})


def test_speech_in_events_ends_with_its_usage(caller: Caller, counter: Offer) -> None:
    done = up.event({"type": "speech.audio.done", "usage": USAGE})
    caller.upstream.on(counter.upstream, up.stream(delta(b"abc"), delta(b"def"), done))

    seen = hear(caller, counter, stream_format="sse")

    record = caller.only_record()
    *deltas, last = seen.events
    assert seen.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert [base64.b64decode(each["audio"]) for each in deltas] == [b"abc", b"def"]
    assert last["type"] == "speech.audio.done"
    assert {name: last["usage"][name] for name in USAGE} == USAGE
    assert last["usage"]["cost"] == Decimal(record.cost).scaleb(-9)
    assert record.cost == 14 * 1_000 + 101 * 12_000
    assert (record.usage_source, record.usage.output_audio, record.usage.characters) == ("upstream", 101, len(TEXT))


def test_speech_in_events_that_breaks_off_ends_in_an_error(caller: Caller, counter: Offer) -> None:
    caller.upstream.on(counter.upstream, up.stream(delta(bytes(4800)), end=up.End.RESET, is_terminated=False))

    seen = hear(caller, counter, stream_format="sse", response_format="pcm")

    assert seen.error["code"] == "upstream_error"
    record = caller.only_record()
    assert (record.outcome, record.usage_source, record.output_tokens) == ("upstream_error", "estimated", 2)
    assert record.cost == record.input_tokens * 1_000 + 2 * 12_000


def test_speech_in_events_without_its_end_is_no_success(caller: Caller, counter: Offer) -> None:
    caller.upstream.on(counter.upstream, up.stream(delta(b"abc")))
    assert hear(caller, counter, stream_format="sse").error["code"] == "upstream_error"
    assert caller.only_record().outcome == "upstream_error"


def test_sound_priced_in_tokens_is_estimated_by_its_length(caller: Caller, counter: Offer) -> None:
    caller.upstream.on(counter.upstream, sound(bytes(96_000), kind="audio/pcm"))

    hear(caller, counter, response_format="pcm")

    record = caller.only_record()
    assert (record.output_tokens, record.usage_source) == (40, "estimated")
    assert record.cost == record.input_tokens * 1_000 + 40 * 12_000


def test_hold_is_for_all_characters(world: World, speaker: Offer) -> None:
    poor = world.caller(funds="0.00030")
    with poor.nothing_changes():
        response = speak(poor, speaker)
    error = assert_error(response, 429, "insufficient_quota", "insufficient_quota")
    assert "this request can cost up to 0.00036 USD" in error["message"]


def test_speech_without_a_price_is_refused(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(endpoints=("audio.speech",), price=by_character()))
    with caller.nothing_changes():
        response = speak(caller, offer)
    error = assert_refused(response, 400, "unsupported_parameter", param="model")
    assert "has no price for characters" in error["message"]


@pytest.mark.parametrize(
    ("members", "param"),
    [({"input": ""}, "input"), ({"input": None}, "input"), ({"speed": 9}, "speed"), ({"voice": 5}, "voice"),
     ({"stream_format": "raw"}, "stream_format")],
    ids=["empty", "null", "too fast", "no voice", "another stream"],
)  # fmt: skip
def test_bad_speech_is_refused(caller: Caller, speaker: Offer, members: dict[str, Any], param: str) -> None:
    with caller.nothing_changes():
        response = speak(caller, speaker, **members)
    assert_error(response, 400, "invalid_request_error", response.json()["error"]["code"], param=param)


def test_memory_does_not_grow_with_the_sound(world: World, caller: Caller, speaker: Offer) -> None:
    megabyte = up.framed(SOUND * 100)
    start = up.head(200, [("content-type", "audio/mpeg"), ("transfer-encoding", "chunked")])
    caller.upstream.on(speaker.upstream, up.Reply((start, *(megabyte for _ in range(30)), up.LAST_CHUNK)))
    hear(caller, speaker, input="warm up")
    before, size = 0, 0

    with caller.client.stream(
        "POST", SPEECH, json={"model": speaker.name, "input": TEXT, "voice": "alloy"}
    ) as response:
        for data in response.iter_raw():
            before = before or world.gateway.resident_bytes
            size += len(data)
        grown = world.gateway.resident_bytes - before

    assert size == 30 * len(SOUND) * 100
    assert grown < 8 * 2**20


def test_the_official_sdk_speaks(caller: Caller, speaker: Offer, tmp_path: Path) -> None:
    caller.upstream.on(speaker.upstream, sound(SOUND))
    file = tmp_path / "speech.mp3"
    with (
        openai.OpenAI(base_url=f"{caller.installation.gateway_url}/v1", api_key=caller.secret, max_retries=0) as client,
        client.audio.speech.with_streaming_response.create(model=speaker.name, input=TEXT, voice="alloy") as response,
    ):
        response.stream_to_file(file)

    assert file.read_bytes() == SOUND
