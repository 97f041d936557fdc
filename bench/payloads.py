"""The bytes that every benchmark sends and receives, constant in size so that runs compare.

A request of 877 bytes, a JSON answer of 775, a stream of server-sent events of 273 bytes each, and for embeddings a
request of 877 bytes and an answer with one vector of 64 numbers. Pure: no I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

JSON_MODEL: Final = "bench-json"
EMBEDDINGS_MODEL: Final = "bench-embeddings"
_DIMENSIONS = 64
REQUEST_BYTES: Final = 877
ANSWER_BYTES: Final = 775
EVENT_BYTES: Final = 273

_WORDS = "Cost and quality are weighed for every request, and the cheapest healthy channel answers it. " * 12
_STREAM_NAME = re.compile(rb"bench-stream-(\d+)-every-(\d+)ms")


@dataclass(frozen=True, slots=True)
class StreamShape:
    """A stream of so many content chunks, so many milliseconds apart; the model's name carries it to the upstream."""

    chunks: int
    every_ms: int

    @property
    def model(self) -> str:
        return f"bench-stream-{self.chunks}-every-{self.every_ms}ms"

    @property
    def seconds(self) -> float:
        return self.chunks * self.every_ms / 1000


PACED: Final = StreamShape(50, 20)
BURST: Final = StreamShape(50, 0)
SLOW: Final = StreamShape(50, 200)
SHORT: Final = StreamShape(5, 5)
"""For the time to the first byte: many samples in a short window."""

STREAM_SHAPES: Final = (PACED, BURST, SLOW, SHORT)
MODELS: Final = (JSON_MODEL, EMBEDDINGS_MODEL, *(shape.model for shape in STREAM_SHAPES))


def request_body(model: str, *, stream: bool = False) -> bytes:
    """A chat completion request of exactly REQUEST_BYTES bytes."""
    document: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are a careful assistant."},
            {"role": "user", "content": ""},
        ],
        "temperature": 0.7,
        "max_tokens": 256,
    }
    if stream:
        document["stream"] = True
    return _padded(document, document["messages"][1], REQUEST_BYTES)


def messages_body(model: str) -> bytes:
    """A request for a stream in Anthropic's format, of exactly REQUEST_BYTES bytes."""
    turn = {"role": "user", "content": ""}
    document = {
        "model": model,
        "system": "You are a careful assistant.",
        "messages": [turn],
        "temperature": 0.7,
        "max_tokens": 256,
        "stream": True,
    }
    return _padded(document, turn, REQUEST_BYTES)


def embeddings_request() -> bytes:
    """An embeddings request of exactly REQUEST_BYTES bytes."""
    document = {"model": EMBEDDINGS_MODEL, "input": ""}
    return _padded(document, document, REQUEST_BYTES, name="input")


def embeddings_answer() -> bytes:
    """The upstream's one vector."""
    vector = [round((-1) ** place / (place + 8), 5) for place in range(_DIMENSIONS)]
    data = [{"object": "embedding", "index": 0, "embedding": vector}]
    usage = {"prompt_tokens": 180, "total_tokens": 180}
    return _compact({"object": "list", "model": EMBEDDINGS_MODEL, "data": data, "usage": usage})


def answer() -> bytes:
    """The upstream's chat completion, exactly ANSWER_BYTES bytes."""
    message = {"role": "assistant", "content": "", "refusal": None}
    document = {
        "id": "chatcmpl-bench0000000000000000000000",
        "object": "chat.completion",
        "created": 1750000000,
        "model": JSON_MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 180, "completion_tokens": 90, "total_tokens": 270},
    }
    return _padded(document, message, ANSWER_BYTES)


def answer_to(request: bytes) -> bytes:
    """The answer under the model's name that the request has: the least that a gateway in Python parses and writes."""
    return orjson.dumps({**_ANSWER, "model": orjson.loads(request)["model"]})


def stream_events(shape: StreamShape, *, with_usage: bool) -> list[bytes]:
    """The upstream's stream, one server-sent event an item, as OpenAI's API sends them.

    The content chunks, one without text that says why the answer ended, usage if asked for, `[DONE]`.
    """
    events = [_event(number) for number in range(shape.chunks)]
    events.append(b"data: %s\n\n" % _compact(_chunk([_choice({}, "stop")])))
    if with_usage:
        usage = {"prompt_tokens": 180, "completion_tokens": shape.chunks, "total_tokens": 180 + shape.chunks}
        events.append(b"data: %s\n\n" % _compact(_chunk([]) | {"usage": usage}))
    events.append(b"data: [DONE]\n\n")
    return events


def shape_of(body: bytes) -> StreamShape | None:
    """The stream that a request body asks for by its model's name; None if it names none."""
    found = _STREAM_NAME.search(body)
    return StreamShape(int(found[1]), int(found[2])) if found else None


def _chat_texts(events: list[Any]) -> list[str]:
    """Those of a stream's chunks; one that only says why the answer ended has none."""
    deltas = [event["choices"][0]["delta"] for event in events]
    return [delta["content"] for delta in deltas if "content" in delta]


def _messages_texts(events: list[Any]) -> list[str]:
    return [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]


def _event(number: int) -> bytes:
    delta = {"content": ""} if number else {"role": "assistant", "content": ""}
    document = _chunk([_choice(delta, None)])
    return b"data: %s\n\n" % _padded(document, delta, EVENT_BYTES - len(b"data: \n\n"))


def _choice(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _chunk(choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-bench0000000000000000000000",
        "object": "chat.completion.chunk",
        "created": 1750000000,
        "model": "bench-stream",
        "choices": choices,
    }


def _padded(document: dict[str, Any], message: dict[str, Any], size: int, *, name: str = "content") -> bytes:
    """The document in JSON, with as much text in the message's member as makes it `size` bytes."""
    message[name] = _WORDS[: size - len(_compact(document))]
    return _compact(document)


def _compact(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Question:
    """One constant request, at the path of its endpoint."""

    name: str
    """Before the figures that it yields."""
    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class StreamForm:
    """How a client asks for a stream, and what it sees of one."""

    path: str
    body: Callable[[str], bytes]
    """For a model."""
    beside: int
    """`data:` events that a client sees beside those of the content."""
    last: bytes
    """How the last of them begins."""
    texts: Callable[[list[Any]], list[str]]
    """What the content of these events says."""

    def events(self, shape: StreamShape) -> int:
        """How many a whole stream has."""
        return shape.chunks + self.beside


CHAT_STREAM: Final = StreamForm(
    path="/v1/chat/completions",
    body=lambda model: request_body(model, stream=True),
    beside=2,  # why it ended, and [DONE]
    last=b"data: [DONE]",
    texts=_chat_texts,
)
MESSAGES_STREAM: Final = StreamForm(
    path="/v1/messages",
    body=messages_body,
    beside=5,  # the message begins, its block begins and ends, why it ended, and that it has
    last=b'data: {"type":"message_stop"',
    texts=_messages_texts,
)
CHAT: Final = Question("", "/v1/chat/completions", request_body(JSON_MODEL))
EMBEDDINGS: Final = Question("embeddings_", "/v1/embeddings", embeddings_request())
_ANSWER: Final[dict[str, Any]] = json.loads(answer())
