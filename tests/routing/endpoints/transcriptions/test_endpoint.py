"""A transcript on its way to the client: as a text, as JSON, as events; its usage, and what of the upstream goes."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head
from routing.endpoints.transcriptions import TRANSCRIPTIONS
from routing.providers.base import MalformedAnswer
from routing.providers.media import File
from routing.providers.recordings import expected_seconds
from tests import vendors

HEAD: Final = Head("transcribe-1", "lab/a", 5, hidden=(b"up.example",))
COST: Final = {"cost": 0.5, "cost_details": {"currency": "USD"}}
IN_SECONDS: Final = {"type": "duration", "seconds": 3, **COST}
IN_TOKENS: Final = {
    "type": "tokens", "input_tokens": 30, "input_token_details": {"text_tokens": 2, "audio_tokens": 28},
    "output_tokens": 5, "total_tokens": 35, **COST,
}  # fmt: skip
HEARD: Final = Usage(seconds=3)
COUNTED: Final = Usage(input=30, input_audio=28, output=5)


def asked(**members: Any) -> Any:
    return TRANSCRIPTIONS.read({"model": "m", "file": File("a.wav", "audio/wav", b"RIFF"), **members})


def bill(usage: Usage) -> Bill:
    return Bill(usage, {}, "0.5", {"currency": "USD"})


def whole(answer: dict[str, Any], usage: Usage = HEARD, explanation: Any = None, **members: Any) -> Any:
    request = asked(**members)
    TRANSCRIPTIONS.check(request, answer)
    raw = TRANSCRIPTIONS.complete(request, answer, HEAD, bill(usage), explanation)
    vendors.assert_answer("audio.transcriptions", raw)
    return orjson.loads(raw)


@pytest.mark.parametrize(("usage", "told"), [(HEARD, IN_SECONDS), (COUNTED, IN_TOKENS)], ids=["seconds", "tokens"])
def test_whole_transcript_has_its_usage(usage: Usage, told: dict[str, Any]) -> None:
    assert whole({"text": "Hi"}, usage) == {"text": "Hi", "usage": told}


def test_verbose_transcript_lasts_as_long_as_was_heard() -> None:
    found = whole({"text": "Hi"}, response_format="verbose_json")
    assert (found["duration"], found["language"]) == (3.0, "und")


def test_what_names_the_upstream_goes_but_for_the_models_own_words() -> None:
    answer = {"text": "Hi up.example", "at": "up.example", "x_groq": {"id": "r"}, "beside": 5}
    found = whole(answer)
    assert (found["text"], "at" in found, "x_groq" in found, found["beside"]) == ("Hi up.example", False, False, 5)


def test_name_and_model_are_ours_where_there_are_some() -> None:
    found = whole({"text": "Hi", "id": "hidden", "model": "hidden-voxtral"})
    assert (found["id"], found["model"]) == ("transcribe-1", "lab/a")
    segment = {"type": "transcript.text.segment", "id": "seg_1", "text": "Hi up.example", "start": 0.0, "end": 1.0}
    out = relay().relay({**segment, "speaker": "A", "model": "hidden-voxtral", "at": "up.example"})
    assert orjson.loads(out.removeprefix(b"data: ")) == {**segment, "speaker": "A", "model": "lab/a"}


def test_explanation_is_told_where_it_is_asked_for() -> None:
    assert "costrouter" not in whole({"text": "Hi"})
    assert whole({"text": "Hi"}, explanation={"route": 1})["costrouter"] == {"route": 1}


@pytest.mark.parametrize("form", ["text", "srt", "vtt"])
@pytest.mark.parametrize("text", ["Hi", "Hi\n", "Hi\n\n\n"])
def test_text_is_text_and_ends_with_its_line(form: str, text: str) -> None:
    request = asked(response_format=form)
    assert TRANSCRIPTIONS.complete(request, {"text": text}, HEAD, bill(HEARD)) == b"Hi\n"
    assert TRANSCRIPTIONS.media(request, b"application/json") == b"text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "members", [{}, {"response_format": "json"}, {"response_format": "text", "stream": "true"}], ids=str
)
def test_json_and_events_are_no_text(members: dict[str, Any]) -> None:
    assert TRANSCRIPTIONS.media(asked(**members), b"text/plain") == b""


@pytest.mark.parametrize("text", [None, 5, ["Hi"]], ids=str)
def test_answer_without_a_text_is_malformed_and_silence_is_none(text: Any) -> None:
    with pytest.raises(MalformedAnswer):
        TRANSCRIPTIONS.check(asked(), {"text": text})
    assert whole({"text": ""})["text"] == ""


def relay() -> Any:
    return TRANSCRIPTIONS.relay(asked(stream="true"), HEAD, 100)


@pytest.mark.parametrize(("usage", "told"), [(HEARD, IN_SECONDS), (COUNTED, IN_TOKENS)], ids=["seconds", "tokens"])
def test_stream_is_its_texts_and_the_last_has_the_usage(usage: Usage, told: dict[str, Any]) -> None:
    relayed, delta = relay(), {"type": "transcript.text.delta", "delta": "Hé"}
    out = relayed.relay({**delta, "request_id": "r"})
    assert orjson.loads(out.removeprefix(b"data: ")) == delta
    assert (relayed.received_tokens(), relayed.is_complete) == (1, False)
    assert relayed.relay({"type": "transcript.text.done", "text": "Hé" * 9, "request_id": "r"}) == b""
    assert (relayed.received_tokens(), relayed.is_complete) == (1, True)
    end = relayed.closing(bill(usage))
    assert vendors.assert_stream("audio.transcriptions", out + end) == 2
    assert orjson.loads(end.removeprefix(b"data: ")) == {
        "type": "transcript.text.done", "text": "Hé" * 9, "usage": told,
    }  # fmt: skip


def test_bytes_of_a_stream_are_counted() -> None:
    relayed = relay()
    for text in ("éé", "é", "abc"):
        relayed.relay({"type": "transcript.text.delta", "delta": text})
    assert relayed.received_tokens() == 3
    relayed.relay({"type": "transcript.text.segment", "text": "abcd"})
    assert relayed.received_tokens() == 4


def test_events_of_other_kinds_are_left_out() -> None:
    assert relay().relay({"type": "transcript.usage", "delta": 5}) == b""


@pytest.mark.parametrize(
    "event",
    [
        {"type": "transcript.text.delta"}, {"type": "transcript.text.delta", "text": "Hi"},
        {"type": "transcript.text.done", "delta": "Hi"}, {"type": "transcript.text.done", "text": 5},
    ],
    ids=str,
)  # fmt: skip
def test_event_without_its_text_is_malformed(event: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        relay().relay(event)


def test_whole_transcript_as_a_stream_is_the_same() -> None:
    relayed = relay()
    out = b"".join([relayed.relay(piece) for piece in TRANSCRIPTIONS.pieces({"text": "Hi there"})])
    assert [TRANSCRIPTIONS.words(piece) for piece in TRANSCRIPTIONS.pieces({"text": "Hi"})] == ["Hi", ""]
    assert relayed.is_complete
    assert vendors.assert_stream("audio.transcriptions", out + relayed.closing(bill(HEARD))) == 2
    assert relayed.last["text"] == "Hi there"


@pytest.mark.parametrize("delta", [None, 5, ["Hi"]], ids=str)
def test_words_of_what_cannot_be_read_are_none(delta: Any) -> None:
    assert TRANSCRIPTIONS.words({"delta": delta}) == ""


def test_channel_is_tested_with_a_fifth_of_a_second_of_silence() -> None:
    file = TRANSCRIPTIONS.smallest["file"]
    assert (file.data[:4], file.data[8:16], set(file.data[44:])) == (b"RIFF", b"WAVEfmt ", {0})
    size, samples = int.from_bytes(file.data[4:8], "little"), int.from_bytes(file.data[40:44], "little")
    rate = int.from_bytes(file.data[24:28], "little")
    assert (len(file.data), len(file.data) - 44, samples / 2 / rate) == (size + 8, samples, 0.2)
    assert file.data[20:24] == b"\1\0\1\0"  # PCM, one channel
    assert file.data[28:36] == b"\0\x7d\0\0\2\0\x10\0"  # bytes a second, of a sample; bits of one
    assert file.data[16:20] == b"\x10\0\0\0"
    assert expected_seconds(file.data) == 1
