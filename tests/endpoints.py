"""Every endpoint of the registry as tests ask it: how its clients are refused, what serves it, how it answers.

An endpoint that is new needs a row of `ROWS`, and of `STREAMS` where it streams.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from routing.endpoints import ENDPOINTS
from routing.endpoints.base import Endpoint
from tests import dialects, generating, grammar, schemas
from tests import upstream as up
from tests.callers import Caller, decoded
from tests.dialects import Dialect
from tests.envelopes import assert_error
from tests.faults import CANARY
from tests.installation import DOLLAR, SINGLE, Offer, Shape, Tariff

# --- refusals, and the last event of what breaks ---------------------------------------------------------------------

Refusal = Callable[[httpx.Response, int, str, str], Any]
"""Asserts that an answer is a refusal with this status, OpenAI's type of it and its code."""
Broken = Callable[[bytes], Any]
"""Asserts that the last event of a stream says that the upstream broke off, and that nothing says it was whole."""


def in_openais_form(response: httpx.Response, status: int, kind: str, code: str) -> None:
    assert_error(response, status, kind, code)


def in_anthropics_form(response: httpx.Response, status: int, kind: str, code: str) -> None:
    kinds = {"server_error": "api_error", "insufficient_quota": "billing_error"}
    own = "not_found_error" if status == 404 else kinds[kind]
    grammar.assert_refused(response, status, own, code)


def in_googles_form(response: httpx.Response, status: int, kind: str, code: str) -> None:
    own = {502: "UNAVAILABLE", 402: "FAILED_PRECONDITION", 429: "RESOURCE_EXHAUSTED", 404: "NOT_FOUND"}[status]
    param = "model" if status == 404 else None
    generating.assert_refused(response, status, own, code.upper(), param)
    assert CANARY not in response.text


def _last(raw: bytes) -> Any:
    """The data of the last event, which names no end."""
    assert b"[DONE]" not in raw
    return decoded(raw.decode().replace("\r\n", "\n").rstrip().rpartition("data: ")[2])


def breaks_in_openais_form(raw: bytes) -> None:
    event = _last(raw)
    assert schemas.faults(schemas.ERROR, event) == []
    assert event["error"]["code"] == "upstream_error"


def breaks_as_a_response(raw: bytes) -> None:
    event = _last(raw)
    assert (event["type"], event["code"]) == ("error", "upstream_error")
    assert b"response.completed" not in raw


def breaks_as_a_message(raw: bytes) -> None:
    *events, last = grammar.events_in(raw)
    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    assert "message_stop" not in {event["type"] for event in events}


def breaks_in_googles_form(raw: bytes) -> None:
    error = _last(raw)["error"]
    assert (error["code"], error["status"]) == (502, "UNAVAILABLE")


# --- the rows --------------------------------------------------------------------------------------------------------

OTHERS: Final = Shape(
    endpoints=tuple(
        name for name in ENDPOINTS if name not in {"chat.completions", "responses", "messages", "generate"}
    ),
    price=Tariff(image=40_000 * DOLLAR, second=100 * DOLLAR, character=15 * DOLLAR),
)
"""Serves whatever chat's format cannot say."""
_VERDICT: Final = {
    "flagged": False,
    "categories": dict.fromkeys(schemas.CATEGORIES, False),
    "category_scores": dict.fromkeys(schemas.CATEGORIES, 0.01),
}
_PICTURE: Final = base64.b64encode(b"\x89PNG picture").decode()


@dataclass(frozen=True, slots=True)
class Row:
    """How an endpoint's clients are refused, the model that serves it here, and a whole answer of that one's upstream.

    `cost` is what the smallest request with it costs, in ledger units.
    """

    whole: up.Reply
    cost: int
    refused: Refusal = in_openais_form
    shape: Shape = OTHERS


def _transcript(path: str) -> Row:
    return Row(up.plain(200, {"text": "Hi", "usage": {"type": "duration", "seconds": 3}}), cost=3 * 100_000)


_OF_CHAT: Final = up.answer("Hello there!")
_OF_CHAT_COSTS: Final = 12 * 2_000 + 5 * 8_000
ROWS: Final[dict[str, Row]] = {
    "chat.completions": Row(_OF_CHAT, _OF_CHAT_COSTS, shape=SINGLE),
    "responses": Row(_OF_CHAT, _OF_CHAT_COSTS, shape=SINGLE),
    "messages": Row(_OF_CHAT, _OF_CHAT_COSTS, in_anthropics_form, SINGLE),
    "generate": Row(_OF_CHAT, _OF_CHAT_COSTS, in_googles_form, SINGLE),
    "completions": Row(dialects.COMPLETIONS.whole, 8 * 2_000 + 4 * 500 + 5 * 8_000),
    "embeddings": Row(
        up.plain(200, {"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 7}}), 7 * 2_000
    ),
    "rerank": Row(
        up.plain(200, {"results": [{"index": 0, "relevance_score": 0.5}], "usage": {"total_tokens": 9}}), 9 * 2_000
    ),
    "moderations": Row(up.plain(200, {"results": [_VERDICT], "usage": {"prompt_tokens": 6}}), 6 * 2_000),
    "images.generations": Row(up.plain(200, {"created": up.CREATED, "data": [{"b64_json": _PICTURE}]}), 40_000_000),
    "audio.speech": Row(up.plain(200, bytes(900), content_type="audio/mpeg"), 2 * 15_000),
    "audio.transcriptions": _transcript("/audio/transcriptions"),
    "audio.translations": _transcript("/audio/translations"),
}


# --- streams ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Streaming:
    """An endpoint's stream: what asks for it, its upstream's events, and how one that broke off says so."""

    endpoint: str
    members: dict[str, Any]
    events: tuple[bytes, ...]
    needed: int
    """So many of the events make the answer whole."""
    breaks: Broken | None = breaks_in_openais_form
    """None where there are no events: only the connection can say it."""
    pays: bool = True
    """Whether what comes before the end is worth anything."""
    media: str = "text/event-stream"
    dialect: Dialect | None = None
    """Where it is not the endpoint's own upstream that sends it."""

    @property
    def shape(self) -> Shape:
        """Of the model that serves it."""
        return ROWS[self.endpoint].shape if self.dialect is None else self.dialect.shape

    def reply(self, *parts: up.Step, is_whole: bool = True, end: up.End = up.End.KEEP_OPEN) -> up.Reply:
        start = up.head(200, [("content-type", self.media), ("transfer-encoding", "chunked")])
        steps = [up.framed(part) if isinstance(part, bytes) else part for part in parts]
        return up.Reply((start, *steps, *((up.LAST_CHUNK,) if is_whole else ())), end)


def _sound(data: bytes) -> bytes:
    return up.event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})


def _spoken(text: str) -> bytes:
    return up.event({"type": "transcript.text.delta", "delta": text})


def _painted(kind: str, **members: Any) -> bytes:
    return up.event({"type": f"image_generation.{kind}", "b64_json": _PICTURE, "created_at": 5, **members})


def _chats(endpoint: str, breaks: Broken, **members: Any) -> Streaming:
    return Streaming(endpoint, members, dialects.CHAT.events, dialects.CHAT.needed, breaks)


def _before(dialect: Dialect, endpoint: str, breaks: Broken, **members: Any) -> Streaming:
    return Streaming(endpoint, members, dialect.events, dialect.needed, breaks, dialect=dialect)


_STREAM: Final = {"stream": True}
_TOKENS: Final = {"input_tokens": 14, "output_tokens": 31, "total_tokens": 45}
STREAMS: Final[dict[str, Streaming]] = {
    "chat.completions": _chats("chat.completions", breaks_in_openais_form, stream=True),
    "responses": _chats("responses", breaks_as_a_response, stream=True),
    "messages": _chats("messages", breaks_as_a_message, stream=True),
    "generate": _chats("generate", breaks_in_googles_form),
    "chat before Anthropic's": _before(dialects.ANTHROPIC, "chat.completions", breaks_in_openais_form, stream=True),
    "chat before Google's": _before(dialects.GEMINI, "chat.completions", breaks_in_openais_form, stream=True),
    "responses before responses": _before(dialects.RESPONSES, "responses", breaks_as_a_response, stream=True),
    "messages before Anthropic's": _before(dialects.ANTHROPIC, "messages", breaks_as_a_message, stream=True),
    "generate before Google's": _before(dialects.GEMINI, "generate", breaks_in_googles_form),
    "completions": Streaming(
        "completions", _STREAM, dialects.COMPLETIONS.events, dialects.COMPLETIONS.needed
    ),
    "images.generations": Streaming(
        "images.generations", _STREAM,
        (_painted("partial_image", partial_image_index=0), _painted("partial_image", partial_image_index=1),
         _painted("completed")), 3, pays=False,
    ),
    "audio.speech as sound": Streaming(
        "audio.speech", {}, (bytes(300), bytes(300), bytes(300)), 3, breaks=None, media="audio/mpeg"
    ),
    "audio.speech as events": Streaming(
        "audio.speech", {"stream_format": "sse"},
        (_sound(bytes(900)), _sound(bytes(900)), up.event({"type": "speech.audio.done", "usage": _TOKENS})), 3,
    ),
    "audio.transcriptions": Streaming(
        "audio.transcriptions", _STREAM,
        (_spoken("Good "), _spoken("morning"), up.event({"type": "transcript.text.done", "text": "Good morning"})), 3,
    ),
}  # fmt: skip


# --- asking ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Heard:
    """What a client got of a stream."""

    status: int
    headers: httpx.Headers
    raw: bytes = field(default=b"")
    is_cut: bool = False


def send(caller: Caller, endpoint: Endpoint, model: Offer, *, timeout: float = 20) -> httpx.Response:
    """The smallest request there is, on a connection of its own."""
    with httpx.Client(headers=caller.authorization, timeout=timeout) as client:
        return client.send(_request(client, caller, endpoint, model))


@contextlib.contextmanager
def open_stream(caller: Caller, streaming: Streaming, model: Offer, *, timeout: float = 20) -> Iterator[httpx.Response]:
    """The smallest request for this stream; leaving the block hangs up."""
    endpoint = ENDPOINTS[streaming.endpoint]
    with httpx.Client(headers=caller.authorization, timeout=timeout) as client:
        request = _request(client, caller, endpoint, model, is_stream=True, **streaming.members)
        response = client.send(request, stream=True)
        try:
            yield response
        finally:
            response.close()


def hear(caller: Caller, streaming: Streaming, model: Offer) -> Heard:
    """The stream to its end, also where its connection breaks."""
    with open_stream(caller, streaming, model) as response:
        heard = Heard(response.status_code, response.headers)
        try:
            for data in response.iter_raw():
                heard.raw += data
        except httpx.RemoteProtocolError:
            heard.is_cut = True
    return heard


def _request(
    client: httpx.Client, caller: Caller, endpoint: Endpoint, model: Offer, *, is_stream: bool = False, **more: Any
) -> httpx.Request:
    root, members = caller.installation.gateway_url, {**endpoint.smallest, **more}
    if endpoint.name == "generate":
        path = endpoint.path.format(model_id=model.name)
        if is_stream:
            path = path.replace(":generateContent", ":streamGenerateContent?alt=sse")
        return client.build_request("POST", f"{root}/v1beta{path}", json=members)
    url, members = f"{root}/v1{endpoint.path}", {"model": model.name, **members}
    if file := members.pop("file", None):
        fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in members.items()}
        sent = {"file": (file.name, file.data, file.media_type)}
        return client.build_request("POST", url, data=fields, files=sent)
    return client.build_request("POST", url, json=members)
