"""An upstream inside the process: an `Answer` like the network's, with delays, faults and honest token counts.

Its answers echo the last message. Parameters in the channel's base URL: `delay_ms` before the first byte, `chunk_ms`
between chunks, `tokens` of output (at most the cap), `fail` the share of requests that fail before the first byte,
`cut` the share of streams that break off in the middle.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

import orjson

from routing.wire import fake_media
from routing.wire.addresses import Origin
from routing.wire.answer import UpstreamFault

_WORDS: Final = [
    "This",
    "is",
    "a",
    "demonstration",
    "answer",
    "of",
    "the",
    "built-in",
    "upstream.",
    "Connect",
    "a",
    "real",
    "channel",
    "to",
    "get",
    "real",
    "ones.",
]

_DIMENSIONS: Final = 8


class FakeAnswer:
    """Plays back pieces with pauses; the shape is routing.wire.answer.Answer's."""

    def __init__(
        self, status: int, headers: dict[bytes, bytes], pieces: list[bytes], pause: float, *, is_cut: bool
    ) -> None:
        self.status = status
        self.headers = headers
        self._pieces = pieces
        self._pause = pause
        self._is_cut = is_cut
        self._bell = asyncio.Event()
        self._is_closed = False
        self._ready_at: float | None = None
        self._next = 0

    async def read(self) -> bytes:
        return b"".join(self._pieces)

    async def next(self, timeout: float | None = None) -> bytes | None:
        if self._next == len(self._pieces):
            if self._is_cut:
                raise UpstreamFault("broken_stream", "cut as configured")
            return None
        if self._ready_at is None:
            self._ready_at = time.monotonic() + (self._pause if self._next else 0)
        rest = self._ready_at - time.monotonic()
        if rest > 0:
            await self._sleep(min(rest, timeout or rest))
        if self._is_closed:
            raise UpstreamFault("cancelled")
        if time.monotonic() < self._ready_at:
            return b""
        self._ready_at = None
        self._next += 1
        return self._pieces[self._next - 1]

    async def _sleep(self, seconds: float) -> None:
        self._bell.clear()
        try:
            await asyncio.wait_for(self._bell.wait(), seconds)
        except TimeoutError:
            return

    def wake(self) -> None:
        self._bell.set()

    def hang_up(self) -> None:
        self.close()

    def close(self) -> None:
        self._is_closed = True
        self._bell.set()


class Asked(Protocol):
    """A request in the canonical format, as adapters make it."""

    @property
    def path(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def pieces(self) -> tuple[bytes, ...]: ...


async def answer(origin: Origin, asked: Asked) -> FakeAnswer:
    """What this fake channel answers to a request."""
    query = parse_qs(urlsplit(origin.path).query)

    def number(name: str, default: float = 0.0) -> float:
        try:
            return max(0.0, float(query[name][0])) if name in query else default
        except ValueError:
            raise UpstreamFault("connect_failed", f"{name} is not a number") from None

    await asyncio.sleep(number("delay_ms") / 1000)
    if random.random() < number("fail"):  # noqa: S311 - no secret depends on it
        return _error(503, "The fake upstream fails now and then, as configured.")
    played = fake_media.play(asked.path, asked.body, asked.pieces)
    if played is not None:
        media_type, pieces = played
        is_cut = len(pieces) > 1 and random.random() < number("cut")  # noqa: S311 - no secret depends on it
        shown, pause = pieces[: len(pieces) // 2] if is_cut else pieces, number("chunk_ms") / 1000
        return FakeAnswer(200, {b"content-type": media_type}, shown, pause, is_cut=is_cut)
    request = orjson.loads(asked.body or b"".join(asked.pieces))
    unstreamed = _UNSTREAMED.get(asked.path)
    if unstreamed is not None:
        return unstreamed(request)
    if asked.path == "/completions":
        return _completions(request, _answer_words(request, int(number("tokens", 24))), number("chunk_ms") / 1000)
    words = _answer_words(request, int(number("tokens", 24)))
    usage = _usage(request, len(words))
    if not request.get("stream"):
        return _whole(request, words, usage)
    is_cut = random.random() < number("cut")  # noqa: S311 - no secret depends on it
    return _stream(request, words, usage, pause=number("chunk_ms") / 1000, is_cut=is_cut)


def _embeddings(request: dict[str, Any]) -> FakeAnswer:
    """Vectors that are the same for the same text, and nothing else."""
    given = request["input"]
    inputs = [given] if type(given) is str or type(given[0]) is int else given
    size = request.get("dimensions") or _DIMENSIONS
    seeds = [random.Random(orjson.dumps(each)) for each in inputs]  # noqa: S311 - no secret depends on it
    data = [
        {"object": "embedding", "index": index, "embedding": [seed.uniform(-1, 1) for _ in range(size)]}
        for index, seed in enumerate(seeds)
    ]
    count = sum(max(1, len(each) // 5) if type(each) is str else len(each) for each in inputs)
    usage = {"prompt_tokens": count, "total_tokens": count}
    body = {"object": "list", "model": request["model"], "data": data, "usage": usage}
    return _json(body)


def _rerank(request: dict[str, Any]) -> FakeAnswer:
    """The share of the query's words that a document has."""
    wanted = set(str(request["query"]).lower().split())
    texts = [each if type(each) is str else str(each.get("text", "")) for each in request["documents"]]
    scores = [len(wanted & set(text.lower().split())) / max(1, len(wanted)) for text in texts]
    ranked = sorted(range(len(texts)), key=lambda place: (-scores[place], place))[: request.get("top_n")]
    count = sum(max(1, (len(text) + len(str(request["query"]))) // 5) for text in texts)
    results = [{"index": place, "relevance_score": scores[place]} for place in ranked]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return _json({"model": request["model"], "results": results, "usage": usage})


_CATEGORIES: Final = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


def _moderations(request: dict[str, Any]) -> FakeAnswer:
    """Harmless is everything but what speaks of killing."""
    given = request["input"]
    parts = [given] if type(given) is str or type(given[0]) is dict else given
    flags = ["kill" in orjson.dumps(part).decode().lower() for part in parts]
    results = [
        {
            "flagged": is_flagged,
            "categories": {name: is_flagged and name == "violence" for name in _CATEGORIES},
            "category_scores": {name: 0.9 if is_flagged and name == "violence" else 0.0 for name in _CATEGORIES},
            "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
        }
        for is_flagged in flags
    ]
    return _json({"id": "fake", "model": request["model"], "results": results})


def _completions(request: dict[str, Any], words: list[str], pause: float) -> FakeAnswer:
    """The same words for each prompt, behind the prompt where that is asked for."""
    given = request["prompt"]
    prompts = [given] if type(given) is str or type(given[0]) is int else given
    each = [prompt for prompt in prompts for _ in range(request.get("n") or 1)]
    count = sum(max(1, len(prompt) // 5) if type(prompt) is str else len(prompt) for prompt in prompts)
    output = len(words) * len(each)
    usage = {"prompt_tokens": count, "completion_tokens": output, "total_tokens": count + output}
    base = {"id": "fake", "object": "text_completion", "created": int(time.time()), "model": request["model"]}
    echoes = [prompt if request.get("echo") and type(prompt) is str else "" for prompt in each]
    if not request.get("stream"):
        texts = enumerate(echo + "".join(words) for echo in echoes)
        choices = [{"text": text, "index": place, "logprobs": None, "finish_reason": "stop"} for place, text in texts]
        return _json({**base, "choices": choices, "usage": usage})
    pieces = [(place, text) for place, echo in enumerate(echoes) for text in (echo, *words) if text]
    chunks = [{"text": text, "index": place, "logprobs": None, "finish_reason": None} for place, text in pieces]
    chunks += [{"text": "", "index": place, "finish_reason": "stop"} for place in range(len(each))]
    events = [_event({**base, "choices": [chunk]}) for chunk in chunks]
    events.append(_event({**base, "choices": [], "usage": usage}))
    return FakeAnswer(200, _SSE, [*events, b"data: [DONE]\n\n"], pause, is_cut=False)


_UNSTREAMED: Final = {"/embeddings": _embeddings, "/rerank": _rerank, "/moderations": _moderations}


def _answer_words(request: dict[str, Any], most: int) -> list[str]:
    cap = request.get("max_completion_tokens") or request.get("max_tokens") or most
    count = min(most, cap)
    return [_WORDS[index % len(_WORDS)] + " " for index in range(count)]


def _usage(request: dict[str, Any], output: int) -> dict[str, Any]:
    choices = request.get("n") or 1
    input_ = max(1, len(orjson.dumps(request["messages"])) // 5)
    return {
        "prompt_tokens": input_,
        "completion_tokens": output * choices,
        "total_tokens": input_ + output * choices,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def _message(request: dict[str, Any], words: list[str]) -> tuple[dict[str, Any], str]:
    """The assistant's message and its finish reason: a tool call where one is required, JSON where a schema asks."""
    choice = request.get("tool_choice")
    if request.get("tools") and (choice == "required" or isinstance(choice, dict)):
        tool = request["tools"][0]
        function = tool.get("function") or tool["custom"]
        call = {"id": "call_fake", "type": "function", "function": {"name": function.get("name"), "arguments": "{}"}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    schema = (request.get("response_format") or {}).get("json_schema")
    if schema is not None:
        return {"role": "assistant", "content": orjson.dumps(_example(schema.get("schema") or {})).decode()}, "stop"
    return {"role": "assistant", "content": "".join(words).strip()}, "stop"


def _example(schema: Any) -> Any:
    """The smallest value that fits a simple schema; anything at all for what is none."""
    if type(schema) is not dict:
        return "demo"
    values, properties, kind = schema.get("enum"), schema.get("properties"), schema.get("type")
    if type(values) is list and values:
        return values[0]
    if kind == "object":
        return {name: _example(part) for name, part in properties.items()} if type(properties) is dict else {}
    return {"array": [], "integer": 1, "number": 1.0, "boolean": True, "null": None}.get(str(kind), "demo")


def _whole(request: dict[str, Any], words: list[str], usage: dict[str, Any]) -> FakeAnswer:
    message, finish = _message(request, words)
    choices = [{"index": index, "message": message, "finish_reason": finish} for index in range(request.get("n") or 1)]
    body = {
        "id": "fake",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request["model"],
        "choices": choices,
    }
    return FakeAnswer(200, _JSON, [orjson.dumps({**body, "usage": usage})], 0.0, is_cut=False)


def _stream(
    request: dict[str, Any], words: list[str], usage: dict[str, Any], *, pause: float, is_cut: bool
) -> FakeAnswer:
    base = {"id": "fake", "object": "chat.completion.chunk", "created": int(time.time()), "model": request["model"]}
    message, finish = _message(request, words)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if message.get("tool_calls"):
        deltas.append({"tool_calls": [{"index": 0, **message["tool_calls"][0]}]})
    elif (request.get("response_format") or {}).get("json_schema"):
        deltas.append({"content": message["content"]})
    else:
        deltas += [{"content": word} for word in words]
    choices = range(request.get("n") or 1)
    chunks = [
        {**base, "choices": [{"index": index, "delta": delta, "finish_reason": None}]}
        for delta in deltas
        for index in choices
    ]
    if is_cut:
        return FakeAnswer(200, _SSE, [_event(chunk) for chunk in chunks[: len(chunks) // 2]], pause, is_cut=True)
    chunks += [{**base, "choices": [{"index": index, "delta": {}, "finish_reason": finish}]} for index in choices]
    chunks.append({**base, "choices": [], "usage": usage})
    return FakeAnswer(200, _SSE, [*map(_event, chunks), b"data: [DONE]\n\n"], pause, is_cut=False)


def _json(body: dict[str, Any]) -> FakeAnswer:
    return FakeAnswer(200, _JSON, [orjson.dumps(body)], 0.0, is_cut=False)


def _error(status: int, message: str) -> FakeAnswer:
    return FakeAnswer(status, _JSON, [orjson.dumps({"error": {"message": message}})], 0.0, is_cut=False)


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


_JSON: Final = {b"content-type": b"application/json"}
_SSE: Final = {b"content-type": b"text/event-stream"}
