"""An upstream that serves every endpoint in every dialect, as shortly as it can: what the gateway asks, it gets."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from tests import generating
from tests import upstream as up
from tests.contract.test_completions import TOTAL, piece
from tests.contract.test_moderations import SAFE
from tests.dialects import ANTHROPIC, RESPONSES
from tests.upstream import Received, Reply

_COUNTED: Final = {"prompt_tokens": 7, "total_tokens": 7}
_PICTURE: Final = base64.b64encode(b"\x89PNG picture").decode()
_OF_PICTURES: Final = {"input_tokens": 10, "output_tokens": 272, "total_tokens": 282}
_SOUND: Final = bytes(range(256))


def answer(request: Received) -> Reply:
    """What a server of this path says."""
    path = urlsplit(request.path).path
    ends = [end for end in _ANSWERS if path.endswith(end)]
    return _ANSWERS[max(ends, key=len)](request) if ends else up.plain(404, {"error": {"message": "no such path"}})


def _several(value: Any) -> int:
    """How many things a member is: a text or a list of tokens is one."""
    return len(value) if isinstance(value, list) and not isinstance(value[0], int) else 1


def _embeddings(request: Received) -> Reply:
    count = _several(request.json["input"])
    data = [{"object": "embedding", "index": place, "embedding": [0.5, -0.25]} for place in range(count)]
    return up.plain(200, {"object": "list", "data": data, "usage": _COUNTED})


def _completions(request: Received) -> Reply:
    body = request.json
    count = _several(body["prompt"]) * (body.get("n") or 1)
    if body.get("stream"):
        texts = [piece("One", place, "stop") for place in range(count)]
        return up.stream(*texts, TOTAL, up.DONE)
    choices = [{"text": "One", "index": place, "finish_reason": "stop"} for place in range(count)]
    return up.plain(200, {"choices": choices, "usage": up.USAGE})


def _rerank(request: Received) -> Reply:
    results = [{"index": place, "relevance_score": 0.5} for place, _each in enumerate(request.json["documents"])]
    return up.plain(200, {"results": results, "usage": _COUNTED})


def _moderations(request: Received) -> Reply:
    value = request.json["input"]
    count = len(value) if isinstance(value, list) and not isinstance(value[0], dict) else 1
    return up.plain(200, {"results": [SAFE] * count})


def _images(request: Received) -> Reply:
    body = request.json
    count = body.get("n") or 1
    if body.get("stream"):
        done = {"type": "image_generation.completed", "b64_json": _PICTURE, "usage": _OF_PICTURES}
        return up.stream(*[up.event(done)] * count)
    return up.plain(200, {"created": up.CREATED, "data": [{"b64_json": _PICTURE}] * count, "usage": _OF_PICTURES})


def _speech(request: Received) -> Reply:
    if request.json.get("stream_format") != "sse":
        return up.plain(200, _SOUND, content_type="audio/mpeg")
    sound = {"type": "speech.audio.delta", "audio": base64.b64encode(_SOUND).decode()}
    return up.stream(up.event(sound), up.event({"type": "speech.audio.done"}))


def _recordings(request: Received) -> Reply:
    form = request.form
    if form.get("stream") == "true":
        pieces = [{"type": "transcript.text.delta", "delta": "One"}, {"type": "transcript.text.done", "text": "One"}]
        return up.stream(*map(up.event, pieces))
    if form.get("response_format") in {"text", "srt", "vtt"}:
        return up.plain(200, b"One\n", content_type="text/plain")
    return up.plain(200, {"text": "One", "duration": 1.0, "segments": []})


def _messages(request: Received) -> Reply:
    return ANTHROPIC.stream if request.json.get("stream") else ANTHROPIC.whole


def _responses(request: Received) -> Reply:
    return RESPONSES.stream if request.json.get("stream") else RESPONSES.whole


def _generate(request: Received) -> Reply:
    return up.plain(200, _generated(request))


def _stream_generate(request: Received) -> Reply:
    return up.stream(*generating.events(_generated(request)))


def _generated(request: Received) -> dict[str, Any]:
    count = (request.json.get("generationConfig") or {}).get("candidateCount") or 1
    return generating.response(*(generating.candidate({"text": "Hello"}, index=place) for place in range(count)))


_ANSWERS: Final[Mapping[str, Callable[[Received], Reply]]] = {
    "/chat/completions": up.ordinary,
    "/completions": _completions,
    "/embeddings": _embeddings,
    "/rerank": _rerank,
    "/moderations": _moderations,
    "/images/generations": _images,
    "/audio/speech": _speech,
    "/audio/transcriptions": _recordings,
    "/audio/translations": _recordings,
    "/messages": _messages,
    "/responses": _responses,
    ":generateContent": _generate,
    ":streamGenerateContent": _stream_generate,
}
