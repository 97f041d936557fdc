"""Answers of pictures and sound, read as servers of OpenAI's formats send them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.providers.base import End, MalformedAnswer, Reader, UpstreamCall
from routing.providers.media import File
from routing.providers.openai import OPENAI
from tests.routing.providers.test_recordings import wav

FILE = File("a.wav", "audio/wav", wav(2))
BODIES: dict[str, dict[str, Any]] = {
    "images.generations": {"model": "m", "prompt": "The sea"},
    "audio.speech": {"model": "m", "input": "Hello", "stream_format": "sse"},
    "audio.transcriptions": {"model": "m", "file": FILE},
    "audio.translations": {"model": "m", "file": FILE},
}


def call(endpoint: str, **members: Any) -> UpstreamCall:
    path = "/" + endpoint.replace(".", "/")
    body = {**BODIES[endpoint], **members}
    return UpstreamCall(endpoint, path, body, "up", "h", "sk", cap=0, answers=1, is_stream=bool(members.get("stream")))


def reader(endpoint: str, **members: Any) -> Reader:
    return OPENAI.open(call(endpoint, **members))


def event(**members: Any) -> bytes:
    return b"data: " + orjson.dumps(members) + b"\n\n"


TOKENS = {"input_tokens": 14, "output_tokens": 31, "total_tokens": 45}
STREAMS: dict[str, tuple[str, dict[str, Any], bytes, Usage]] = {
    "pictures": (
        "images.generations",
        {"n": 2},
        event(type="image_generation.partial_image", b64_json="AA")
        + event(type="image_generation.completed", b64_json="AB", usage=TOKENS)
        + event(type="image_generation.completed", b64_json="AC", usage=TOKENS),
        Usage(input=28, output=62, output_image=62, images=2),
    ),
    "speech": (
        "audio.speech",
        {},
        event(type="speech.audio.delta", audio="AAAA") + event(type="speech.audio.done", usage=TOKENS),
        Usage(input=14, output=31, output_audio=31, characters=5),
    ),
    "a transcript": (
        "audio.transcriptions",
        {},
        event(type="transcript.text.delta", delta="Biển")
        + event(type="transcript.text.done", text="Biển", usage=TOKENS),
        Usage(input=14, output=31, seconds=2),
    ),
    "a transcript that counts nothing": (
        "audio.transcriptions",
        {},
        event(type="transcript.text.done", text="Hi"),
        Usage(seconds=2),
    ),
}


@pytest.mark.parametrize(("endpoint", "members", "stream", "usage"), STREAMS.values(), ids=STREAMS.keys())
def test_stream_is_the_same_wherever_it_is_cut(
    endpoint: str, members: dict[str, Any], stream: bytes, usage: Usage
) -> None:
    whole = reader(endpoint, **members)
    expected = whole.feed(stream)

    assert expected[-1] == End()
    assert whole.usage == usage
    for place in range(1, len(stream)):
        halves = reader(endpoint, **members)
        assert [*halves.feed(stream[:place]), *halves.feed(stream[place:])] == expected
        assert halves.usage == usage


@pytest.mark.parametrize(("endpoint", "members", "stream", "usage"), STREAMS.values(), ids=STREAMS.keys())
def test_nothing_behind_the_last_event_makes_a_failure_of_it(
    endpoint: str, members: dict[str, Any], stream: bytes, usage: Usage
) -> None:
    read = reader(endpoint, **members)
    events = [*read.feed(stream), *read.feed(b"data: [DONE]\n\n"), *read.feed(None)]
    assert all(each.error is None for each in events if isinstance(each, End))
    assert read.usage == usage


FAILURES = {
    "an error": event(error={"message": "Busy."}),
    "an event named so": b'event: error\ndata: {"message": "Busy."}\n\n',
    "a type of error": event(type="error", message="Busy."),
    "no type": event(b64_json="AA", message="Busy."),
    "no JSON": b"data: Busy.\n\n",
}


@pytest.mark.parametrize("endpoint", ["images.generations", "audio.speech", "audio.transcriptions"])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_failure_in_a_stream_is_one(endpoint: str, failure: bytes) -> None:
    (end,) = reader(endpoint).feed(failure)
    assert isinstance(end, End)
    assert "Busy." in str(end.error)


def test_sound_is_its_bytes_and_their_end() -> None:
    read = reader("audio.speech", stream_format="audio")
    assert read.feed(b'{"') == [{"type": "speech.audio.delta", "audio": b'{"'}]
    assert read.feed(b"") == []
    assert read.feed(None) == [End()]
    assert read.usage is None


@pytest.mark.parametrize("body", [b'{"audio": "AAAA"}', b'{"error": {"message": "x"}}', b"<html>"])
def test_what_is_whole_is_no_speech(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        reader("audio.speech", stream_format="audio").whole(body)


IMAGES_USAGE = {
    "pictures alone": (None, Usage(images=2)),
    "tokens": (
        {**TOKENS, "input_tokens_details": {"text_tokens": 14}},
        Usage(input=14, output=31, output_image=31, images=2),
    ),
    "tokens by what they are": (
        {**TOKENS, "output_tokens_details": {"image_tokens": 30, "text_tokens": 1}},
        Usage(input=14, output=31, output_image=30, images=2),
    ),
    "more than all": (
        {**TOKENS, "output_tokens_details": {"image_tokens": 99}},
        Usage(input=14, output=31, output_image=31, images=2),
    ),
    "text": ("many", Usage(images=2)),
}  # fmt: skip


@pytest.mark.parametrize(("told", "usage"), IMAGES_USAGE.values(), ids=IMAGES_USAGE.keys())
def test_pictures_are_counted_beside_their_tokens(told: Any, usage: Usage) -> None:
    read = reader("images.generations", n=2)
    read.whole(orjson.dumps({"data": [{"b64_json": "AA"}] * 2, **({"usage": told} if told else {})}))
    assert (read.usage, read.is_exact) == (usage, True)


@pytest.mark.parametrize(
    ("answer", "seconds", "is_exact"),
    [
        ({"text": "Hi", "usage": {"type": "duration", "seconds": 9}}, 9, True),
        ({"text": "Hi", "usage": {"type": "duration", "seconds": 8.2}}, 9, True),
        ({"text": "Hi", "duration": 8.01}, 9, True),
        ({"text": "Hi", "duration": "8.50"}, 9, True),
        ({"text": "Hi", "duration": "long"}, 2, False),
        ({"text": "Hi", "duration": -3}, 2, False),
        ({"text": "Hi", "duration": 1e12}, 2, False),
        ({"text": "Hi", "usage": {"type": "duration", "seconds": 0}}, 2, False),
        ({"text": "Hi", "usage": "none"}, 2, False),
        ({"text": "H" * 61}, 3, False),
        ({"text": "H" * 60}, 2, False),
    ],
    ids=[
        "usage", "a part", "duration", "as text", "no number", "below zero", "for ever", "zero", "no usage",
        "more text", "text",
    ],
)  # fmt: skip
def test_seconds_of_a_transcript(answer: dict[str, Any], seconds: int, is_exact: bool) -> None:
    read = reader("audio.transcriptions")
    read.whole(orjson.dumps(answer))
    assert (read.usage, read.is_exact) == (Usage(seconds=seconds), is_exact)


@pytest.mark.parametrize(("heard", "seconds"), [(10, 1), (11, 2), (0, 2), (None, 2)])
def test_tokens_that_were_heard_say_how_long(heard: int | None, seconds: int) -> None:
    read = reader("audio.transcriptions")
    read.whole(orjson.dumps({"text": "Hi", "usage": {**TOKENS, "input_token_details": {"audio_tokens": heard}}}))
    assert read.usage == Usage(input=14, input_audio=heard or 0, output=31, seconds=seconds)


SUBTITLES = {
    "srt": ("1\n00:00:00,000 --> 01:02:03,000\nHi\n", 3_723),
    "a part of a second": ("1\n00:00:00,000 --> 00:00:03,001\nHi\n", 4),
    "vtt": ("WEBVTT\n\n00:00.000 --> 00:05.000\nHi\n\n00:05.000 --> 01:07.000\nHo\n", 67),
    "shorter than the file": ("1\n00:00:00,000 --> 00:00:01,000\nHi\n", 2),
    "none": ("WEBVTT\n", 2),
}


@pytest.mark.parametrize(("text", "seconds"), SUBTITLES.values(), ids=SUBTITLES.keys())
def test_subtitles_say_how_long(text: str, seconds: int) -> None:
    read = reader("audio.transcriptions", response_format="srt")
    assert read.whole(text.encode()) == {"text": text}
    assert (read.usage, read.is_exact) == (Usage(seconds=seconds), False)


@pytest.mark.parametrize("body", [b'{"error": {"message": "Busy."}}', b' {"detail": "Busy."}'])
def test_error_in_place_of_subtitles_is_one(body: bytes) -> None:
    with pytest.raises(MalformedAnswer, match="Busy"):
        reader("audio.transcriptions", response_format="vtt").whole(body)


def test_words_that_begin_like_an_object_are_words() -> None:
    assert reader("audio.transcriptions", response_format="vtt").whole(b"{ whispers }") == {"text": "{ whispers }"}


def test_recording_is_sent_in_pieces_of_which_one_is_the_file() -> None:
    asked = OPENAI.request(call("audio.transcriptions", response_format="text", models=["b"], language=None))
    assert dict(asked.headers)["content-type"].startswith("multipart/form-data; boundary=")
    assert any(piece is FILE.data for piece in asked.pieces)
    sent = asked.body + b"".join(asked.pieces)
    assert b'name="response_format"\r\n\r\njson\r\n' in sent
    assert b'name="models' not in sent
    assert b'name="language"' not in sent


def test_speech_is_asked_for_in_json() -> None:
    asked = OPENAI.request(call("audio.speech", provider={"sort": "price"}))
    assert orjson.loads(asked.body) == {"model": "up", "input": "Hello", "stream_format": "sse"}
    assert (asked.pieces, dict(asked.headers)["authorization"]) == ((), "Bearer sk")
