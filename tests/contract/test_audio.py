"""POST /v1/audio/...: speech as it comes, recordings in forms; paid by characters, seconds or tokens."""

from __future__ import annotations

import base64
import json
import struct
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests import upstream as up
from tests.callers import Caller, Stream, decoded
from tests.envelopes import assert_error, assert_refused
from tests.installation import DOLLAR, Offer, Shape, Tariff, Via
from tests.worlds import World

SOUND = bytes(range(256)) * 40
"""Begins with bytes that text has none of, and has those that begin JSON."""
SPEECH = "/v1/audio/speech"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"
TEXT = "Good morning, everybody!"


def free(*, second: int | None = None, character: int | None = None) -> Tariff:
    """Of a model that tokens cost nothing of."""
    return Tariff(input=0, output=0, cached_input=None, second=second, character=character)


BY_LETTER = Shape(
    endpoints=("audio.speech",),
    price=free(character=15 * DOLLAR),
    vias=(Via(cost=free(character=10 * DOLLAR)), Via(cost=free(character=12 * DOLLAR))),
)
"""15 micro-dollars a character."""
SPOKEN_TOKENS = Shape(endpoints=("audio.speech",), price=Tariff(input=DOLLAR, output=12 * DOLLAR))
BY_SECOND = Shape(
    endpoints=("audio.transcriptions", "audio.translations"),
    price=free(second=100 * DOLLAR),
    vias=(Via(cost=free(second=50 * DOLLAR)), Via(cost=free(second=60 * DOLLAR))),
)
"""A tenth of a milli-dollar a second."""
HEARD_TOKENS = Shape(endpoints=("audio.transcriptions",), price=Tariff(input=2 * DOLLAR, output=10 * DOLLAR))


@pytest.fixture
def speaker(world: World) -> Offer:
    return world.offer(BY_LETTER)


@pytest.fixture
def counter(world: World) -> Offer:
    return world.offer(SPOKEN_TOKENS)


@pytest.fixture
def listener(world: World) -> Offer:
    return world.offer(BY_SECOND)


@pytest.fixture
def token_listener(world: World) -> Offer:
    return world.offer(HEARD_TOKENS)


# --- speech ----------------------------------------------------------------------------------------------------------


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
        seen = Stream(response.status_code, response.headers)
        try:
            for data in response.iter_raw():
                seen.raw += data
                seen.arrivals.append((time.monotonic(), data))
        except httpx.RemoteProtocolError:
            seen.is_cut = True
    return seen


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
    offer = world.offer(Shape(endpoints=("audio.speech",), price=free()))
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
            before = before or resident(world)
            size += len(data)
        grown = resident(world) - before

    assert size == 30 * len(SOUND) * 100
    assert grown < 8 * 2**20


def resident(world: World) -> int:
    """Bytes of memory that the gateway's worker has."""
    (worker,) = world.gateway.pids
    pages = Path(f"/proc/{worker}/statm").read_text().split()[1]
    return int(pages) * 4096


# --- recordings ------------------------------------------------------------------------------------------------------


def wav(seconds: float) -> bytes:
    size = int(seconds * 32_000)
    head = ("<4sI8sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVEfmt ", 16, 1, 1, 16_000, 32_000, 2, 16, b"data", size)
    return struct.pack(*head) + bytes(size)


SAID = "Good morning, everybody!"
DURATION = {"type": "duration", "seconds": 3}
TOKENS = {
    "type": "tokens",
    "input_tokens": 14,
    "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
    "output_tokens": 31,
    "total_tokens": 45,
}


def send(
    caller: Caller, model: Offer, /, path: str = TRANSCRIPTIONS, data: bytes = b"", more: Any = None, **fields: Any
) -> httpx.Response:
    files = {"file": ("speech.wav", data or wav(2), "audio/wav")}
    return caller.client.post(path, data={"model": model.name, **fields, **(more or {})}, files=files)


def told(text: str = SAID, usage: Any = None, **members: Any) -> up.Reply:
    return up.plain(200, {"text": text, **members} if usage is None else {"text": text, **members, "usage": usage})


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS])
def test_recording_costs_its_seconds(caller: Caller, listener: Offer, path: str) -> None:
    caller.upstream.on(listener.upstream, told(usage=DURATION))
    before = caller.available

    response = send(caller, listener, path=path)

    body, record = decoded(response.content), caller.only_record()
    assert body["text"] == SAID
    assert body["usage"]["type"] == "duration"
    assert (body["usage"]["seconds"], body["usage"]["cost"]) == (3, Decimal("0.0003"))
    assert (record.usage.seconds, record.cost, record.provider_cost) == (3, 300_000, 150_000)
    assert (record.usage_source, record.endpoint) == ("upstream", path.removeprefix("/v1/").replace("/", "."))
    assert caller.available == before - record.cost
    assert caller.upstream.requests[-1].path.endswith(path)


def test_dearest_second_that_a_client_wants_is_heeded(caller: Caller, listener: Offer) -> None:
    with caller.nothing_changes():
        response = send(caller, listener, more={"provider[max_cost]": "0.0001"})
    assert_error(response, 404, "invalid_request_error", "no_matching_route")


def test_recording_goes_upstream_as_it_came(caller: Caller, listener: Offer) -> None:
    caller.upstream.on(listener.upstream, told(usage=DURATION))
    data = b"\r\n--" + bytes(range(256)) * 5000

    send(
        caller, listener, data=data, language="en", temperature="0.5", hotwords="sea",
        more={"timestamp_granularities[]": ["word", "segment"], "response_format": "verbose_json"},
    )  # fmt: skip

    asked = caller.upstream.requests[-1]
    boundary = (asked.header("content-type") or "").partition("boundary=")[2].encode()
    parts = [part.strip(b"\r\n") for part in asked.body.split(b"--" + boundary)]
    sent = {part.partition(b"\r\n\r\n")[0].decode(): part.partition(b"\r\n\r\n")[2] for part in parts}
    names = [head.partition('name="')[2].partition('"')[0] for head in sent]
    assert [name for name in names if name] == [
        "model", "language", "temperature", "hotwords", "timestamp_granularities[]", "response_format", "file",
    ]  # fmt: skip
    (file,) = [value for head, value in sent.items() if 'filename="speech.wav"' in head]
    assert file == data
    assert asked.body.count(b'name="timestamp_granularities[]"\r\n\r\n') == 2
    assert int(asked.header("content-length") or 0) == len(asked.body)
    assert listener.upstream.encode() in asked.body
    assert listener.name.encode() not in asked.body


def test_tokens_of_a_recording_cost_theirs(caller: Caller, token_listener: Offer) -> None:
    caller.upstream.on(token_listener.upstream, told(usage=TOKENS))

    body = decoded(send(caller, token_listener).content)

    record = caller.only_record()
    assert record.cost == 14 * 2_000 + 31 * 10_000
    assert (record.usage.input_audio, record.usage.seconds) == (10, 1)
    assert {name: body["usage"][name] for name in TOKENS} == TOKENS
    assert body["usage"]["cost"] == Decimal(record.cost).scaleb(-9)


@pytest.mark.parametrize(
    ("reply", "seconds", "source"),
    [
        (told(duration=42.7, language="english"), 43, "upstream"),
        (told(duration="7.0"), 7, "upstream"),
        (told(), 2, "estimated"),
        (told("word " * 60), 10, "estimated"),
        (told(usage=TOKENS), 1, "upstream"),
        (told(""), 2, "estimated"),
    ],
    ids=["a duration", "as text", "nothing", "more words than it lasts", "tokens", "silence"],
)
def test_seconds_are_told_or_the_files(
    caller: Caller, listener: Offer, reply: up.Reply, seconds: int, source: str
) -> None:
    caller.upstream.on(listener.upstream, reply)
    assert send(caller, listener).status_code == 200
    record = caller.only_record()
    assert (record.usage.seconds, record.usage_source, record.cost) == (seconds, source, seconds * 100_000)


SUBTITLES = "1\n00:00:00,000 --> 00:00:04,500\nGood morning, everybody!\n"
CUES = "WEBVTT\n\n00:00.000 --> 00:04.500\nGood morning, everybody!\n"


@pytest.mark.parametrize(
    ("wanted", "reply", "asked", "shown", "seconds"),
    [
        ("text", told(usage=DURATION), "json", SAID + "\n", 3),
        ("srt", up.plain(200, SUBTITLES.encode(), content_type="text/plain"), "srt", SUBTITLES, 5),
        ("vtt", up.plain(200, CUES.encode(), content_type="text/plain"), "vtt", CUES, 5),
    ],
    ids=["text", "srt", "vtt"],
)
def test_text_is_no_json(
    caller: Caller, listener: Offer, wanted: str, reply: up.Reply, asked: str, shown: str, seconds: int
) -> None:
    caller.upstream.on(listener.upstream, reply)

    response = send(caller, listener, response_format=wanted)

    assert (response.headers["content-type"], response.text) == ("text/plain; charset=utf-8", shown)
    assert f'name="response_format"\r\n\r\n{asked}\r\n'.encode() in caller.upstream.requests[-1].body
    record = caller.only_record()
    assert record.usage.seconds == seconds
    assert Decimal(response.headers["x-costrouter-cost"]) == Decimal(record.cost).scaleb(-9)


def test_transcript_says_nothing_of_the_upstream(caller: Caller, listener: Offer) -> None:
    host = f"127.0.0.1:{caller.upstream.port}"
    segments = [{"id": 0, "start": 0.0, "end": 2.0, "text": SAID}]
    hidden: dict[str, Any] = {
        "x_groq": {"id": "req"},
        "region": "eu",
        "source": f"http://{host}/",
        "vad": {"speech": 1.5},
    }
    caller.upstream.on(listener.upstream, told(usage=DURATION, segments=segments, duration=3.0, **hidden))

    body = send(caller, listener, response_format="verbose_json").json()

    assert body.keys() == {"text", "segments", "duration", "vad", "usage"}
    assert body["segments"] == segments


NO_TEXT = {
    "an error": up.plain(500, {"error": {"message": "no"}}),
    "an error that looks well": up.plain(200, {"error": {"message": "no"}}),
    "no text": up.plain(200, {"usage": DURATION}),
    "null": up.plain(200, {"text": None}),
    "no JSON": up.plain(200, b"<html>"),
    "cut": up.Reply((up.head(200, [("content-length", "1000")]) + b'{"text"',), up.End.RESET),
}


@pytest.mark.parametrize("broken", NO_TEXT.values(), ids=NO_TEXT.keys())
def test_transcript_that_fails_is_tried_elsewhere(caller: Caller, listener: Offer, broken: up.Reply) -> None:
    caller.upstream.on(listener.upstreams[0], broken)
    caller.upstream.on(listener.upstreams[1], told(usage=DURATION))

    assert send(caller, listener).json()["text"] == SAID
    record = caller.only_record()
    assert (record.channel, len(record.attempts), record.cost) == (listener.channels[1], 2, 300_000)


def test_transcript_that_fails_everywhere_is_free(caller: Caller, listener: Offer) -> None:
    for upstream in listener.upstreams:
        caller.upstream.on(upstream, NO_TEXT["an error that looks well"])
    before = caller.available
    response = send(caller, listener, response_format="srt")
    assert_error(response, 502, "server_error", "upstream_error", param=None)
    assert (caller.only_record().cost, caller.available) == (0, before)


def listen(caller: Caller, model: Offer, **fields: Any) -> Stream:
    files = {"file": ("speech.wav", wav(2), "audio/wav")}
    data = {"model": model.name, "stream": "true", **fields}
    with caller.client.stream("POST", TRANSCRIPTIONS, data=data, files=files) as response:
        seen = Stream(response.status_code, response.headers)
        for piece in response.iter_raw():
            seen.raw += piece
    return seen


def said(text: str, **members: Any) -> bytes:
    return up.event({"type": "transcript.text.delta", "delta": text, **members})


DONE = up.event({"type": "transcript.text.done", "text": SAID, "usage": TOKENS})


def test_transcript_is_streamed_with_its_usage_at_the_end(caller: Caller, token_listener: Offer) -> None:
    caller.upstream.on(token_listener.upstream, up.stream(said("Good "), said("morning!"), DONE))

    seen = listen(caller, token_listener)

    record = caller.only_record()
    *deltas, last = seen.events
    assert [each["delta"] for each in deltas] == ["Good ", "morning!"]
    assert (last["type"], last["text"]) == ("transcript.text.done", SAID)
    assert {name: last["usage"][name] for name in TOKENS} == TOKENS
    assert last["usage"]["cost"] == Decimal(record.cost).scaleb(-9)
    assert (record.cost, record.usage_source) == (14 * 2_000 + 31 * 10_000, "upstream")


def test_transcript_that_breaks_off_ends_in_an_error_and_costs_what_came(caller: Caller, listener: Offer) -> None:
    cut = up.stream(said("Good "), end=up.End.RESET, is_terminated=False)
    caller.upstream.on(listener.upstream, cut)

    seen = listen(caller, listener)

    assert seen.error["code"] == "upstream_error"
    record = caller.only_record()
    assert (record.outcome, record.usage.seconds, record.cost) == ("upstream_error", 1, 100_000)


def test_model_that_does_not_stream_answers_all_the_same(caller: Caller, listener: Offer) -> None:
    caller.upstream.on(listener.upstream, told(usage=DURATION))

    seen = listen(caller, listener)

    assert [each["type"] for each in seen.events] == ["transcript.text.delta", "transcript.text.done"]
    assert caller.only_record().cost == 300_000


def test_subtitles_are_never_streamed(caller: Caller, listener: Offer) -> None:
    caller.upstream.on(listener.upstream, up.plain(200, SUBTITLES.encode(), content_type="text/plain"))
    assert send(caller, listener, stream="true", response_format="srt").text == SUBTITLES
    assert b'name="stream"' not in caller.upstream.requests[-1].body


def form(*parts: tuple[str, bytes], end: bytes = b"--x--\r\n") -> bytes:
    return b"".join(b"--x\r\ncontent-disposition: form-data; " + head.encode() + b"\r\n\r\n" + data + b"\r\n"
                    for head, data in parts) + end  # fmt: skip


FILE = ('name="file"; filename="a.wav"', wav(0.2))
FORM = "multipart/form-data; boundary=x"
BAD_FORMS = {
    "JSON": (b"{}", "application/json", 415, "unsupported_media_type", None),
    "no boundary": (form(FILE), "multipart/form-data", 415, "unsupported_media_type", None),
    "no end": (form(FILE, end=b""), FORM, 400, "invalid_form", None),
    "nothing": (b"", FORM, 400, "invalid_form", None),
    "no parts": (form(), FORM, 400, "missing_required_parameter", "model"),
    "no file": (form(('name="model"', b"MODEL")), FORM, 400, "missing_required_parameter", "file"),
    "no model": (form(FILE), FORM, 400, "missing_required_parameter", "model"),
    "a field as file": (form(('name="model"', b"MODEL"), ('name="file"', b"x")), FORM, 400, "invalid_type", "file"),
    "an empty file": (
        form(('name="model"', b"MODEL"), ('name="file"; filename="a"', b"")), FORM, 400, "invalid_request", "file",
    ),
    "two files": (
        form(FILE, ('name="model"', b"MODEL"), ('name="prompt"; filename="b"', b"x")), FORM, 400, "invalid_type",
        "prompt",
    ),
    "twice": (form(FILE, ('name="model"', b"MODEL"), ('name="model"', b"b")), FORM, 400, "duplicate_key", None),
    "no text": (form(FILE, ('name="model"', b"\xff")), FORM, 400, "invalid_unicode", None),
    "NUL": (form(FILE, ('name="model"', b"a\0")), FORM, 400, "invalid_unicode", None),
    "two ways": (form(FILE, ('name="a[]"', b"1"), ('name="a[b]"', b"1")), FORM, 400, "invalid_form", None),
    "files in a list": (form(FILE, ('name="a[]"; filename="b"', b"1")), FORM, 400, "invalid_form", None),
    "a model that is a file": (
        form(FILE, ('name="model"; filename="b"', b"1")), FORM, 400, "invalid_type", "model",
    ),
    "brackets": (form(FILE, ('name="a]b["', b"1")), FORM, 400, "invalid_form", None),
    "no name": (form(FILE, ("x", b"1")), FORM, 400, "invalid_form", None),
    "too many parts": (form(FILE, *[('name="a[]"', b"1")] * 200), FORM, 400, "invalid_form", None),
    "too hot": (
        form(FILE, ('name="model"', b"MODEL"), ('name="temperature"', b"2")), FORM, 400, "decimal_above_max_value",
        "temperature",
    ),
    "another format": (
        form(FILE, ('name="model"', b"MODEL"), ('name="response_format"', b"pdf")), FORM, 400, None, "response_format",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "status", "code", "param"), BAD_FORMS.values(), ids=BAD_FORMS.keys())
def test_bad_form_is_refused(
    caller: Caller, listener: Offer, body: bytes, kind: str, status: int, code: str | None, param: str | None
) -> None:
    body = body.replace(b"MODEL", listener.name.encode())
    with caller.nothing_changes():
        response = caller.client.post(TRANSCRIPTIONS, content=body, headers={"content-type": kind})
    said_code = response.json()["error"]["code"]
    assert_error(response, status, "invalid_request_error", said_code, param=param)
    assert code in {None, "invalid_request", said_code}


def test_translation_is_not_streamed(caller: Caller, listener: Offer) -> None:
    with caller.nothing_changes():
        response = send(caller, listener, path=TRANSLATIONS, stream="true")
    assert_error(response, 400, "invalid_request_error", response.json()["error"]["code"], param="stream")


def test_form_beyond_the_limit_is_refused(caller: Caller, listener: Offer) -> None:
    with caller.nothing_changes():
        response = send(caller, listener, data=bytes(20 * 2**20))
    assert_error(response, 413, "invalid_request_error", "request_too_large")


def test_recording_is_held_for_twice_its_length(world: World, listener: Offer) -> None:
    poor = world.caller(funds="0.0003")
    with poor.nothing_changes():
        response = send(poor, listener)
    error = assert_error(response, 429, "insufficient_quota", "insufficient_quota")
    assert "this request can cost up to 0.0004 USD" in error["message"]


def test_recording_without_a_price_is_refused(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(endpoints=("audio.transcriptions",), price=free()))
    with caller.nothing_changes():
        response = send(caller, offer)
    error = assert_refused(response, 400, "unsupported_parameter", param="model")
    assert "has no price for seconds" in error["message"]


def test_repeated_form_is_one_request_whatever_its_boundary(caller: Caller, listener: Offer) -> None:
    caller.upstream.on(listener.upstream, told(usage=DURATION))
    key = {"idempotency-key": "one-recording"}
    files = {"file": ("speech.wav", wav(2), "audio/wav")}
    data = {"model": listener.name, "response_format": "text"}

    first = caller.client.post(TRANSCRIPTIONS, data=data, files=files, headers=key)
    caller.wait_until_settled()
    second = caller.client.post(TRANSCRIPTIONS, data=data, files=files, headers=key)
    other = caller.client.post(TRANSCRIPTIONS, data={**data, "language": "en"}, files=files, headers=key)

    assert (first.status_code, second.status_code) == (200, 200)
    assert second.headers["idempotent-replayed"] == "true"
    assert (second.text, second.headers["content-type"]) == (first.text, first.headers["content-type"])
    assert_error(other, 422, "invalid_request_error", "idempotency_key_mismatch")
    assert len(caller.records) == 1


def test_memory_holds_a_recording_once(world: World, caller: Caller, listener: Offer) -> None:
    caller.upstream.on(listener.upstream, up.Reply((up.Pause(1.5), *told(usage=DURATION).steps)))
    data = wav(1) + bytes(15 * 2**20)
    before = resident(world)
    answers: list[int] = []
    peaks = [0]

    def ask() -> None:
        answers.append(send(caller, listener, data=data).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.9)
    peaks.append(resident(world) - before)
    thread.join()

    assert answers == [200]
    assert max(peaks) < 2.5 * len(data)


def test_the_official_sdk_speaks_and_listens(caller: Caller, speaker: Offer, listener: Offer, tmp_path: Path) -> None:
    caller.upstream.on(speaker.upstream, sound(SOUND))
    caller.upstream.on(listener.upstream, told(usage=DURATION))
    file = tmp_path / "speech.mp3"
    recording = ("speech.wav", wav(2), "audio/wav")
    with openai.OpenAI(
        base_url=f"{caller.installation.gateway_url}/v1", api_key=caller.secret, max_retries=0
    ) as client:
        with client.audio.speech.with_streaming_response.create(
            model=speaker.name, input=TEXT, voice="alloy"
        ) as response:
            response.stream_to_file(file)
        heard = client.audio.transcriptions.create(model=listener.name, file=recording)
        text = client.audio.transcriptions.create(model=listener.name, file=recording, response_format="text")
        with pytest.warns(DeprecationWarning, match="deprecated"):
            translated = client.audio.translations.create(model=listener.name, file=recording)

    assert file.read_bytes() == SOUND
    assert (heard.text, text, translated.text) == (SAID, SAID + "\n", SAID)


def test_the_official_sdk_streams_a_transcript(caller: Caller, token_listener: Offer) -> None:
    caller.upstream.on(token_listener.upstream, up.stream(said("Good "), DONE))
    with openai.OpenAI(
        base_url=f"{caller.installation.gateway_url}/v1", api_key=caller.secret, max_retries=0
    ) as client:
        events = list(
            client.audio.transcriptions.create(
                model=token_listener.name, file=("a.wav", wav(2)), stream=True,
                extra_body={"provider": {"sort": "price"}},
            )
        )  # fmt: skip

    assert [event.type for event in events] == ["transcript.text.delta", "transcript.text.done"]
    assert b'name="provider' not in caller.upstream.requests[-1].body
    assert json.loads(events[-1].to_json())["usage"]["total_tokens"] == 45
