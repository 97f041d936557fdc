"""Answers and events of the endpoints that are in no other format, with each of their members missing or odd in turn.

What comes of one is what its vendor says that it is, or no answer at all.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import struct
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final

import pytest

from billing.kinds import Usage
from routing.endpoints import ENDPOINTS
from routing.endpoints.base import Bill, Head
from routing.providers import ADAPTERS, read_options
from routing.providers.base import END, MalformedAnswer, UpstreamCall
from routing.providers.media import File
from tests import schemas, vendors
from tests.routing.test_mutated_bytes import ODD, paths_in

BILL: Final = Bill(Usage(input=12, output=5, seconds=3), {}, "0.5", {"currency": "USD"})
FILE: Final = File("a.wav", "audio/wav", b"RIFF")
JUDGED: Final = {
    "flagged": False,
    "categories": dict.fromkeys(schemas.CATEGORIES[:2], False) | dict.fromkeys(schemas.CATEGORIES[2:], True),
    "category_scores": dict.fromkeys(schemas.CATEGORIES, 0.5),
    "category_applied_input_types": {name: ["text"] for name in schemas.CATEGORIES[:2]},
}
SEGMENT: Final = {
    "id": 0, "seek": 0, "start": 0.0, "end": 1.5, "text": "Hi", "tokens": [5, 6], "temperature": 0.0,
    "avg_logprob": -0.5, "compression_ratio": 1.0, "no_speech_prob": 0.1,
}  # fmt: skip
VERBOSE: Final = {
    "task": "transcribe", "language": "english", "duration": 1.5, "text": "Hi", "segments": [SEGMENT],
    "words": [{"word": "Hi", "start": 0.0, "end": 1.5}],
}  # fmt: skip
LOGPROBS: Final = {
    "tokens": ["Hi"], "token_logprobs": [-0.5], "top_logprobs": [{"Hi": -0.5}], "text_offset": [0],
}  # fmt: skip
PICTURE: Final = {"b64_json": "aGk=", "revised_prompt": "A dot"}
PAINTED: Final = {"size": "1024x1024", "quality": "high", "background": "opaque", "output_format": "png"}

WHOLE: Final[dict[str, tuple[str, dict[str, Any], dict[str, Any]]]] = {
    "completions": ("completions", {}, {
        "choices": [{"text": "Hi", "index": 0, "finish_reason": "stop", "logprobs": LOGPROBS}],
    }),
    "completions, chat's probabilities": ("completions", {}, {
        "choices": [{"text": "Hi", "index": 0, "finish_reason": "stop", "logprobs": {
            "content": [{"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Hi", "logprob": -0.5}]}]
        }}],
    }),
    "embeddings": ("embeddings", {}, {"data": [{"index": 0, "embedding": [0.5, -1]}]}),
    "rerank": ("rerank", {}, {"results": [{"index": 0, "relevance_score": 0.5}]}),
    "moderations": ("moderations", {}, {"results": [JUDGED]}),
    "images": ("images.generations", {}, {"created": 5, "data": [PICTURE], **PAINTED}),
    "transcriptions": ("audio.transcriptions", {"file": FILE}, {
        "text": "Hi", "logprobs": [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}],
    }),
    "transcriptions, verbose": ("audio.transcriptions", {"file": FILE, "response_format": "verbose_json"}, VERBOSE),
    "translations, verbose": ("audio.translations", {"file": FILE, "response_format": "verbose_json"}, VERBOSE),
}  # fmt: skip
STREAMS: Final[dict[str, tuple[str, dict[str, Any], list[dict[str, Any]]]]] = {
    "completions": ("completions", {"stream": True}, [
        {"choices": [{"text": "Hi", "index": 0, "finish_reason": None, "logprobs": LOGPROBS}]},
        {"choices": [{"text": "", "index": 0, "finish_reason": "stop"}]},
    ]),
    "images": ("images.generations", {"stream": True}, [
        {"type": "image_generation.partial_image", **PAINTED, "created_at": 5, "b64_json": "aGk=",
         "partial_image_index": 0},
        {"type": "image_generation.completed", **PAINTED, "created_at": 5, "b64_json": "aGk="},
    ]),
    "speech": ("audio.speech", {"stream_format": "sse"}, [
        {"type": "speech.audio.delta", "audio": "aGk="}, {"type": "speech.audio.done"},
    ]),
    "transcriptions": ("audio.transcriptions", {"file": FILE, "stream": True}, [
        {"type": "transcript.text.delta", "delta": "Hi", "logprobs": [{"token": "Hi", "logprob": -0.5, "bytes": [72]}]},
        {"type": "transcript.text.done", "text": "Hi", "logprobs": [{"token": "Hi", "logprob": -0.5, "bytes": [72]}]},
    ]),
}  # fmt: skip


_UNKNOWN: Final = {"token_logprobs", "top_logprobs"}
"""Lists in which the public API itself has nulls, whatever its package says: of a prompt's first token."""


def _request(name: str, members: dict[str, Any]) -> Any:
    form = ENDPOINTS[name]
    return form.read({**form.smallest, "model": "lab/m", **members})


def _odd(value: Any) -> Iterator[Any]:
    """The value with each member in turn missing, and as each of what is odd; but for what stays as it is.

    Other vendors judge by other categories than OpenAI's.
    """
    for path in paths_in(value):
        for odd in (..., *ODD):
            if (odd in (None, [None]) and not _UNKNOWN.isdisjoint(path)) or (odd is ... and "categories" in path[:-1]):
                continue
            changed = deepcopy(value)
            *way, last = path
            inner = changed
            for step in way:
                inner = inner[step]
            if odd is ...:
                del inner[last]
            else:
                inner[last] = deepcopy(odd)
            yield changed


def _head(name: str) -> Head:
    return Head(ENDPOINTS[name].id_prefix + "a" * 32, "lab/m", 1_700_000_000, hidden=(b"host.example",))


def _reader(name: str, members: dict[str, Any], *, is_stream: bool) -> Any:
    form = ENDPOINTS[name]
    call = UpstreamCall(
        endpoint=name, path=form.path, body={**form.smallest, **members}, upstream_model="m", host="up.example",
        secret="", cap=form.smallest_cap and 10_000, answers=1, is_stream=is_stream,
        options=read_options("openai", {"endpoints": [name]}),
    )  # fmt: skip
    return ADAPTERS["openai"].open(call)


@pytest.mark.parametrize(("name", "members", "answer"), WHOLE.values(), ids=WHOLE.keys())
def test_answer_with_an_odd_member_is_its_vendors_or_none(
    name: str, members: dict[str, Any], answer: dict[str, Any]
) -> None:
    form, request, whole = ENDPOINTS[name], _request(name, members), 0
    for odd in (deepcopy(answer), *_odd(answer)):
        try:
            read = _reader(name, members, is_stream=False).whole(json.dumps(odd).encode())
            form.check(request, read)
            raw = form.complete(request, read, _head(name), BILL)
        except MalformedAnswer:
            continue
        vendors.assert_answer(name, raw)
        whole += 1
    assert whole


@pytest.mark.parametrize(("name", "members", "events"), STREAMS.values(), ids=STREAMS.keys())
def test_event_with_an_odd_member_is_its_vendors_or_none(
    name: str, members: dict[str, Any], events: list[dict[str, Any]]
) -> None:
    request, whole = _request(name, members), 0
    for odd in (deepcopy(events), *_odd(events)):
        with contextlib.suppress(MalformedAnswer):
            whole += vendors.assert_stream(name, _relayed(name, request, members, odd))
    assert whole


def _relayed(name: str, request: Any, members: dict[str, Any], events: list[Any]) -> bytes:
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    relay, reader = ENDPOINTS[name].relay(request, _head(name), 10_000), _reader(name, members, is_stream=True)
    told = [event for piece in (data, None) for event in reader.feed(piece)]
    raw = b"".join([relay.relay(event) for event in told if type(event) is dict])
    relay.is_done = True
    return raw + (relay.closing(BILL) if relay.is_complete else b"")


# --- what real servers send beside that ------------------------------------------------------------------------------


def _answered(name: str, body: bytes, **members: Any) -> Any:
    """What the client gets of an upstream's body; raises MalformedAnswer."""
    form, request, reader = ENDPOINTS[name], _request(name, members), _reader(name, members, is_stream=False)
    answer = reader.whole(body)
    form.check(request, answer)
    return json.loads(form.complete(request, answer, _head(name), BILL))


def _vectors(*vectors: Any, **of_each: list[Any]) -> bytes:
    data = [
        {"embedding": vector, **{name: told[place] for name, told in of_each.items()}}
        for place, vector in enumerate(vectors)
    ]
    return json.dumps({"data": data, "usage": {"prompt_tokens": 7}}).encode()


def _packed(*floats: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(floats)}f", *floats)).decode()


TWO: Final = {"input": ["a", "b"]}
NO_VECTORS: Final[dict[str, tuple[bytes, dict[str, Any]]]] = {
    "NaN": (_vectors([0.5, math.nan]), {}),
    "minus infinity": (_vectors([-math.inf, 0.5]), {}),
    "NaN in base64 for numbers": (_vectors(_packed(0.5, math.nan)), {"encoding_format": "float"}),
    "NaN in base64": (_vectors(_packed(0.5, math.nan)), {"encoding_format": "base64"}),
    "different lengths": (_vectors([0.5, 1.0], [0.5]), TWO),
    "one place that is missing": (_vectors([0.5], [0.7], index=[1, None]), TWO),
}


@pytest.mark.parametrize("case", NO_VECTORS)
def test_vectors_that_are_none_are_no_answer(case: str) -> None:
    body, members = NO_VECTORS[case]
    with pytest.raises(MalformedAnswer):
        _answered("embeddings", body, **members)


@pytest.mark.parametrize(
    ("body", "members", "vectors"),
    [
        (_vectors([0.5], [0.7], index=[None, None]), TWO, [[0.5], [0.7]]),
        (_vectors([0.5], [0.7], index=[1, 0]), TWO, [[0.7], [0.5]]),
        (_vectors([0.5, 1.0]), {"dimensions": 3}, [[0.5, 1.0]]),
        (_vectors(_packed(0.5, 1.0)), {"dimensions": 3}, [[0.5, 1.0]]),
        (_vectors([5, -3]), {"dimensions": 16, "output_dtype": "binary"}, [[5, -3]]),
        (_vectors([5, -3]), {"dimensions": 16, "embedding_type": "binary"}, [[5, -3]]),
    ],
    ids=[
        "places that are null",
        "swapped",
        "fewer than asked",
        "the same in base64",
        "packed by Voyage",
        "packed by Jina",
    ],
)
def test_vectors_are_in_their_places_whatever_dimensions_the_upstream_has(
    body: bytes, members: dict[str, Any], vectors: list[Any]
) -> None:
    """Many models have one length and pass over `dimensions`: that is between client and model."""
    told = _answered("embeddings", body, **members)["data"]
    assert [each["index"] for each in told] == [*range(len(told))]
    assert [each["embedding"] for each in told] == vectors


def _ranked(*scores: Any, name: str = "relevance_score") -> bytes:
    results = [{"index": place, name: score} for place, score in enumerate(scores)]
    return json.dumps({"results": results}).encode()


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["relevance_score", "score"])
def test_score_that_is_no_number_is_no_answer(name: str, score: float) -> None:
    with pytest.raises(MalformedAnswer):
        _answered("rerank", _ranked(0.5, score, name=name), documents=["a", "b"])


@pytest.mark.parametrize("members", [{"top_k": 2}, {"top_n": 2}, {"top_n": 2, "top_k": 3}, {"top_n": None, "top_k": 2}])
@pytest.mark.parametrize("name", ["relevance_score", "score"])
def test_as_many_results_as_were_asked_for_by_either_name_are_an_answer(name: str, members: dict[str, Any]) -> None:
    told = _answered("rerank", _ranked(0.1, 0.9, name=name), documents=["a", "b", "c"], **members)
    assert told["results"] == [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]


COHERES: Final[dict[str, tuple[dict[str, Any], int | None]]] = {
    "billed": ({"billed_units": {"input_tokens": 7, "search_units": 1}, "tokens": {"input_tokens": 9}}, 7),
    "read": ({"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 9, "output_tokens": 0}}, 9),
    "searches alone": ({"billed_units": {"search_units": 1}}, None),
    "no objects": ({"billed_units": 5, "tokens": [7]}, None),
}


@pytest.mark.parametrize("case", COHERES)
def test_tokens_that_coheres_answer_tells_are_counted(case: str) -> None:
    meta, tokens = COHERES[case]
    reader = _reader("rerank", {}, is_stream=False)
    reader.whole(json.dumps({"results": [{"index": 0, "relevance_score": 0.5}], "meta": meta}).encode())
    assert (reader.usage and reader.usage.input) == tokens


@pytest.mark.parametrize(
    ("flagged", "is_so"), [("true", True), (1, True), ("True", True), ("false", False), (None, False), (0, False)]
)
def test_harm_that_is_told_in_another_form_is_harm(flagged: Any, is_so: bool) -> None:
    body = {"results": [{"flagged": flagged, "categories": {"hate": False}, "category_scores": {"hate": math.nan}}]}
    (result,) = _answered("moderations", json.dumps(body).encode())["results"]
    assert (result["flagged"], result["category_scores"]) == (is_so, {"hate": 0.0})


@pytest.mark.parametrize("url", ["/images/1.png", "file:///etc/passwd", "javascript:alert(1)", ""])
def test_picture_that_nobody_can_open_is_none(url: str) -> None:
    with pytest.raises(MalformedAnswer):
        _answered("images.generations", json.dumps({"data": [{"url": url}]}).encode())


def test_picture_in_base64_is_that_and_no_address() -> None:
    body = json.dumps({"data": [{"b64_json": "data:image/png;base64,aGk="}]}).encode()
    assert _answered("images.generations", body)["data"] == [{"b64_json": "aGk="}]
    assert _answered("images.generations", json.dumps({"data": [{"url": "data:image/png;base64,aGk="}]}).encode())


def test_picture_of_another_kind_is_not_counted() -> None:
    reader = _reader("images.generations", {"stream": True}, is_stream=True)
    reader.feed(b'data: {"type":"image_edit.completed","b64_json":"aGk="}\n\n')
    assert (reader.usage, reader.is_finished) == (None, False)


def test_numbers_of_a_transcript_that_are_none_are_zeros() -> None:
    segment = {"id": 0, "start": 0, "end": math.nan, "avg_logprob": math.nan}
    body = json.dumps({"text": "Hi", "duration": math.nan, "segments": [segment]}).encode()
    told = _answered("audio.transcriptions", body, file=FILE, response_format="verbose_json")
    assert (told["duration"], told["segments"][0]["end"], told["segments"][0]["avg_logprob"]) == (3.0, 0.0, 0.0)


@pytest.mark.parametrize("page", [
    b'{"error": {"message": "x"}}', b'{"detail":"x"}', b' \n{ "a" : 5', b"<!DOCTYPE html><html>", b"<html>x</html>",
    b"<?xml version='1.0'?>",
])  # fmt: skip
def test_page_where_sound_should_be_is_none(page: bytes) -> None:
    (end,) = _reader("audio.speech", {}, is_stream=True).feed(page)
    assert "no speech came" in end.error


@pytest.mark.parametrize("sound", [b'{"', b"<", b"ID3\x04", b'{"a":\x00\x01', b"<html\xff\xfb", b"RIFF", b"\x00" * 9])
def test_sound_that_begins_like_a_page_is_sound(sound: bytes) -> None:
    reader = _reader("audio.speech", {}, is_stream=True)
    assert reader.feed(sound) == [{"type": "speech.audio.delta", "audio": sound}]
    assert reader.feed(b'{"error": 5}')[0]["audio"] == b'{"error": 5}'


def test_speech_in_events_that_is_no_sound_is_not_whole() -> None:
    raw = _relayed("audio.speech", _request("audio.speech", {"stream_format": "sse"}), {"stream_format": "sse"},
                   [{"type": "speech.audio.done"}])  # fmt: skip
    assert raw == b""


HEARD: Final = {"file": FILE, "stream": True}
CHUNKS: Final = [
    {"object": "transcription.chunk", "choices": [{"delta": {"content": "Good "}}]},
    {"object": "transcription.chunk", "choices": [{"delta": {"content": "morning"}, "finish_reason": "stop"}]},
    {"object": "transcription.chunk", "choices": [],
     "usage": {"prompt_tokens": 14, "completion_tokens": 3, "total_tokens": 17}},
]  # fmt: skip
VLLMS: Final = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in CHUNKS)


def _heard(data: bytes) -> tuple[Any, list[Any]]:
    reader = _reader("audio.transcriptions", HEARD, is_stream=True)
    return reader, [event for piece in (data, None) for event in reader.feed(piece)]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_transcript_in_chunks_is_one_of_events(size: int) -> None:
    data = VLLMS + b"data: [DONE]\n\n"
    reader = _reader("audio.transcriptions", HEARD, is_stream=True)
    events: list[Any] = []
    for at in range(0, len(data), size):
        events += reader.feed(data[at : at + size])
    assert events == [
        {"type": "transcript.text.delta", "delta": "Good "}, {"type": "transcript.text.delta", "delta": "morning"},
        {"type": "transcript.text.done", "text": "Good morning"}, END,
    ]  # fmt: skip
    assert (reader.usage.input, reader.usage.output) == (14, 3)


def test_transcript_in_chunks_without_an_end_is_cut() -> None:
    _read, events = _heard(VLLMS)
    assert [each["type"] for each in events] == ["transcript.text.delta"] * 2


@pytest.mark.parametrize("choice", [{"delta": 5}, {}, 5, {"delta": {"content": "x"}, "finish_reason": "error"}])
def test_chunk_that_is_no_transcript_is_none(choice: Any) -> None:
    _read, events = _heard(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")
    assert events[-1].error


def test_seconds_that_mistral_tells_are_counted() -> None:
    reader = _reader("audio.transcriptions", {"file": FILE}, is_stream=False)
    usage = {"prompt_audio_seconds": 203, "prompt_tokens": 4, "completion_tokens": 635, "total_tokens": 3264}
    reader.whole(json.dumps({"text": "Hi", "usage": usage}).encode())
    assert reader.usage.seconds == 203


def test_completion_that_says_nothing_is_one() -> None:
    body = json.dumps({"choices": [{"text": "", "index": 0, "finish_reason": "stop"}]}).encode()
    assert _answered("completions", body)["choices"][0]["text"] == ""


def test_text_of_a_completion_under_chats_name_is_its_text() -> None:
    body = json.dumps({"choices": [{"content": "Hi", "index": 0, "finish_reason": "stop"}]}).encode()
    assert _answered("completions", body)["choices"][0]["text"] == "Hi"
    event = {"choices": [{"content": "Hi", "index": 0, "finish_reason": None}]}
    end = {"choices": [{"text": "", "index": 0, "finish_reason": "stop"}]}
    raw = _relayed("completions", _request("completions", {"stream": True}), {"stream": True}, [event, end])
    assert b'"text":"Hi"' in raw
