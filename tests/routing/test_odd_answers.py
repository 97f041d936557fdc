"""Answers and events of the endpoints that are in no other format, with each of their members missing or odd in turn.

What comes of one is what its vendor says that it is, or no answer at all.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final

import pytest

from billing.kinds import Usage
from routing.endpoints import ENDPOINTS
from routing.endpoints.base import Bill, Head
from routing.providers import ADAPTERS, read_options
from routing.providers.base import MalformedAnswer, UpstreamCall
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
        secret="", cap=10_000, answers=1, is_stream=is_stream, options=read_options("openai", {"endpoints": [name]}),
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
