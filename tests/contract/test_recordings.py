"""POST /v1/audio/transcriptions and /v1/audio/translations: recordings in forms, paid by seconds or tokens."""

from __future__ import annotations

import json
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from tests import upstream as up
from tests.callers import Caller, Stream, decoded
from tests.envelopes import assert_error, assert_refused
from tests.installation import DOLLAR, Offer, Shape, Tariff, Via
from tests.waiting import eventually
from tests.worlds import World

TRANSCRIPTIONS = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"
TOKENS_FREE = Tariff(input=0, output=0, cached_input=None)


def by_second(millionth: int) -> Tariff:
    """So many millionths of a dollar a second; tokens cost nothing."""
    return replace(TOKENS_FREE, second=millionth * DOLLAR)


BY_SECOND = Shape(
    endpoints=("audio.transcriptions", "audio.translations"),
    price=by_second(100),
    vias=(Via(cost=by_second(50)), Via(cost=by_second(60))),
)
"""A tenth of a milli-dollar a second."""
HEARD_TOKENS = Shape(endpoints=("audio.transcriptions",), price=Tariff(input=2 * DOLLAR, output=10 * DOLLAR))


@pytest.fixture
def listener(world: World) -> Offer:
    return world.offer(BY_SECOND)


@pytest.fixture
def token_listener(world: World) -> Offer:
    return world.offer(HEARD_TOKENS)


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

    assert body.keys() == {"text", "segments", "duration", "language", "vad", "usage"}
    (segment,) = body["segments"]
    assert {name: segment[name] for name in segments[0]} == segments[0]


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
    "no text": (form(FILE, ('name="model"', b"\xff")), FORM, 400, "invalid_unicode", "model"),
    "NUL": (form(FILE, ('name="model"', b"a\0")), FORM, 400, "invalid_unicode", "model"),
    "file without its name": (form(('name="file"', b"RIFF\xff")), FORM, 400, "invalid_unicode", "file"),
    "no text of an odd name": (form(FILE, ('name="a b"', b"\xff")), FORM, 400, "invalid_unicode", None),
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
    offer = world.offer(Shape(endpoints=("audio.transcriptions",), price=TOKENS_FREE))
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
    """While the upstream listens; what its coming and going took besides is given back within seconds."""
    is_measured = threading.Event()
    caller.upstream.on(listener.upstream, up.Reply((up.Until(is_measured), *told(usage=DURATION).steps)))
    data = wav(1) + bytes(15 * 2**20)
    before = world.gateway.resident_bytes
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(send, caller, listener, data=data)
        caller.upstream.wait_for(listener.upstream, seconds=30)
        is_held_once = eventually(lambda: world.gateway.resident_bytes - before < 1.5 * len(data), seconds=30)
        is_measured.set()

        assert asked.result().status_code == 200
    assert is_held_once


def test_the_official_sdk_listens(caller: Caller, listener: Offer) -> None:
    caller.upstream.on(listener.upstream, told(usage=DURATION))
    recording = ("speech.wav", wav(2), "audio/wav")
    with openai.OpenAI(
        base_url=f"{caller.installation.gateway_url}/v1", api_key=caller.secret, max_retries=0
    ) as client:
        heard = client.audio.transcriptions.create(model=listener.name, file=recording)
        text = client.audio.transcriptions.create(model=listener.name, file=recording, response_format="text")
        with pytest.warns(DeprecationWarning, match="deprecated"):
            translated = client.audio.translations.create(model=listener.name, file=recording)

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
