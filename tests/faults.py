"""What real upstreams do wrong, as replies: recorded error bodies, broken streams, odd but valid streams.

Everything an operator would not want a tenant to see carries the word CANARY.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import Any, Final

from tests.upstream import (
    ABSENT,
    DONE,
    FINISH,
    ROLE,
    USAGE,
    End,
    Forever,
    Pause,
    Reply,
    Step,
    chunk,
    completion,
    event,
    framed,
    plain,
    stream,
    usage_chunk,
    words,
)

CANARY: Final = "CANARY-org-8842"
OWN_HEADERS: Final = (
    ("set-cookie", f"session={CANARY}; Path=/"),
    ("openai-organization", CANARY),
    ("openai-project", CANARY),
    ("x-upstream-account", CANARY),
    ("server", CANARY),
    ("via", f"1.1 {CANARY}"),
    ("x-request-id", f"req-{CANARY}"),
    ("x-ratelimit-remaining-requests", "424242"),
)
"""What vendors put into their answers about the account; a tenant sees none of it."""

TEXT: Final = "One two three four five"
SPOKEN: Final[tuple[Step, ...]] = tuple(event(item) for item in (ROLE, *words(TEXT)))
"""The events of a stream up to its last word."""


def _openai_error(message: str, kind: str, code: Any, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": code, **more}}


# --- errors before the first byte that another channel may mend ------------------------------------------------------

BROKEN: Final[dict[str, Reply]] = {
    "closes without a byte": Reply((), End.CLOSE),
    "resets without a byte": Reply((), End.RESET),
    "half a status line": Reply((b"HTTP/1.1 20",), End.CLOSE),
    "not http": Reply((b"220 smtp.CANARY ESMTP\r\n",), End.CLOSE),
    "500 as plain text": plain(500, f"Internal Server Error {CANARY}".encode(), content_type="text/plain"),
    "500 with a stack": plain(500, f"Traceback (most recent call last):\n File '/srv/{CANARY}.py'".encode()),
    "502 as html": plain(502, f"<html><h1>502 Bad Gateway</h1>{CANARY}</html>".encode(), content_type="text/html"),
    "503 loading": plain(503, _openai_error(f"Loading model {CANARY}", "unavailable_error", 503)),
    "529 overloaded": plain(529, {"type": "error", "error": {"type": "overloaded_error", "message": CANARY}}),
    "404 of an unknown model": plain(404, _openai_error(f"model {CANARY} does not exist", "NotFoundError", 404)),
    "408": plain(408, _openai_error(f"timed out {CANARY}", "timeout", "timeout")),
    "302 elsewhere": plain(302, b"", headers=[("location", f"http://127.0.0.1:9/{CANARY}")]),
    "200 with an error body": plain(200, _openai_error(f"out of memory {CANARY}", "server_error", 500)),
    "200 with an error text": plain(200, {"error": f"Unauthorized {CANARY}"}),
    "200 with html": plain(200, f"<html>login at {CANARY}</html>".encode(), content_type="text/html"),
    "200 without choices": plain(200, {"id": "x", "object": "chat.completion", "model": CANARY}),
    "200 with an empty body": plain(200, b""),
    "200 that is not json": plain(200, f'{{"id": "{CANARY}", "choi'.encode()),
    "200 that is a list": plain(200, [CANARY]),
    "a body shorter than declared": Reply(
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n", b'{"id": "'), End.CLOSE
    ),
}

OUR_KEY_REFUSED: Final[dict[str, Reply]] = {
    "401 of llama.cpp": plain(401, _openai_error(f"Invalid API Key {CANARY}", "authentication_error", 401)),
    "401 of vllm": plain(401, {"error": f"Unauthorized {CANARY}"}),
    "402": plain(402, _openai_error(f"Payment required for {CANARY}", "billing_error", "payment_required")),
    "403": plain(403, _openai_error(f"Project {CANARY} is archived", "permission_error", "forbidden")),
}

# --- errors in the first event of a stream: still before the first byte for the client -------------------------------

BROKEN_FIRST_EVENT: Final[dict[str, Reply]] = {
    "an error event": stream(event(_openai_error(f"overloaded {CANARY}", "server_error", 500))),
    "an error text event": stream(event({"error": CANARY})),
    "done at once": stream(DONE),
    "no event at all": stream(),
    "only comments": stream(b": ping\n\n", b": ping\n\n"),
    "garbage": stream(f"data: {{not json {CANARY}\n\n".encode()),
    "a reset after the headers": stream(is_terminated=False, end=End.RESET),
    "a close after the headers": stream(is_terminated=False, end=End.CLOSE),
}

# --- the upstream refuses the content: the client's own fault --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ContentRefusal:
    """An upstream's refusal and what the client should see of it; `code` and `param` of the gateway's answer."""

    reply: Reply
    status: int
    type: str
    code: str | None
    says: str
    """Words of the upstream's message that the client needs."""


CONTENT_REFUSED: Final[dict[str, ContentRefusal]] = {
    "llama.cpp over context": ContentRefusal(
        plain(
            400,
            _openai_error(
                "request (9022 tokens) exceeds the available context size (4096 tokens), try increasing it",
                "exceed_context_size_error",
                400,
                n_prompt_tokens=9022,
                n_ctx=4096,
            ),
        ),
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "exceeds the available context size",
    ),
    "vllm over context": ContentRefusal(
        plain(
            400,
            _openai_error(
                "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049.",
                "BadRequestError",
                400,
                param="input_tokens",
            ),
        ),
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "maximum context length",
    ),
    "openai content filter": ContentRefusal(
        plain(
            400,
            _openai_error("The response was filtered.", "invalid_request_error", "content_filter", param="messages"),
        ),
        400,
        "invalid_request_error",
        "content_filter",
        "filtered",
    ),
    "llama.cpp bad message": ContentRefusal(
        plain(400, _openai_error("Bad role in message", "invalid_request_error", 400)),
        400,
        "invalid_request_error",
        None,
        "Bad role in message",
    ),
    "413": ContentRefusal(
        plain(413, _openai_error("Image too large", "invalid_request_error", "image_too_large")),
        413,
        "invalid_request_error",
        "image_too_large",
        "Image too large",
    ),
    "422 of transformers": ContentRefusal(
        plain(422, {"detail": [{"type": "json_invalid", "loc": ["body", 9], "msg": "JSON decode error"}]}),
        422,
        "invalid_request_error",
        None,
        "",
    ),
}

# --- streams that break after the first byte -------------------------------------------------------------------------

BROKEN_STREAMS: Final[dict[str, Reply]] = {
    "reset": stream(*SPOKEN, is_terminated=False, end=End.RESET),
    "closed inside a chunk": Reply((*stream(*SPOKEN, is_terminated=False).steps, b"400\r\ndata: {"), End.CLOSE),
    "closed without a last chunk": stream(*SPOKEN, is_terminated=False, end=End.CLOSE),
    "clean end without finish or done": stream(*SPOKEN),
    "an error event": stream(*SPOKEN, event(_openai_error(f"GPU lost at {CANARY}", "server_error", 500))),
    "an error text event": stream(*SPOKEN, event({"error": f"boom {CANARY}"})),
    "an error event and then done": stream(*SPOKEN, event(_openai_error(CANARY, "server_error", 500)), DONE),
    "a line that is not json": stream(*SPOKEN, f"data: {{broken {CANARY}\n\n".encode(), event(FINISH), DONE),
    "an event that is a list": stream(*SPOKEN, event([CANARY]), event(FINISH), DONE),
    "a broken chunk size": Reply((*stream(*SPOKEN, is_terminated=False).steps, b"zz\r\n"), End.CLOSE),
}

# --- streams that look odd and are complete --------------------------------------------------------------------------


def _joined(*parts: bytes) -> bytes:
    return b"".join(parts)


_WHOLE: Final = (*(event(item) for item in (ROLE, *words(TEXT), FINISH)), event(usage_chunk()), DONE)
_ACCENTS: Final = "Xin chào thế giới 🌏"
_ACCENT_BYTES: Final = _joined(*(event(item) for item in (ROLE, *words(_ACCENTS), FINISH)), event(usage_chunk()), DONE)


@dataclass(frozen=True, slots=True)
class OddStream:
    """A complete stream of an unusual form and the text it says."""

    reply: Reply
    text: str = TEXT


ODD_STREAMS: Final[dict[str, OddStream]] = {
    "all events in one read": OddStream(stream(_joined(*_WHOLE))),
    "one byte at a time": OddStream(stream(*(bytes([byte]) for byte in _ACCENT_BYTES)), _ACCENTS),
    "utf-8 cut inside a character": OddStream(
        stream(*_ACCENT_BYTES.partition("ế".encode()[:2])),
        _ACCENTS,
    ),
    "crlf line ends": OddStream(stream(*(part.replace(b"\n", b"\r\n") for part in _WHOLE))),
    "crlf cut between cr and lf": OddStream(
        stream(*(piece for part in _WHOLE for piece in (part[:-2] + b"\r\n\r", b"\n")))
    ),
    "comments between": OddStream(stream(b": ping\n\n", *(piece for part in _WHOLE for piece in (part, b": on\n\n")))),
    "no space after the colon": OddStream(stream(*(part.replace(b"data: ", b"data:") for part in _WHOLE))),
    "event and retry fields": OddStream(stream(b"retry: 1000\n\n", *(b"event: message\n" + part for part in _WHOLE))),
    "no blank line after done": OddStream(stream(*_WHOLE[:-1], b"data: [DONE]")),
    "finish but no done, as transformers": OddStream(
        stream(
            *(event(item) for item in (ROLE, *words(TEXT))),
            event(chunk({}, finish_reason="stop", usage=USAGE)),
        )
    ),
    "done but no finish chunk": OddStream(stream(*SPOKEN, event(usage_chunk()), DONE)),
    "usage in the finish chunk": OddStream(stream(*SPOKEN, event(chunk({}, finish_reason="stop", usage=USAGE)), DONE)),
    "usage beside a choice after the finish, as litellm": OddStream(
        stream(*SPOKEN, event(FINISH), event(chunk({}, usage=USAGE)), DONE)
    ),
    "usage in every chunk": OddStream(
        stream(
            *(
                event({**item, "usage": {"prompt_tokens": 12, "completion_tokens": i, "total_tokens": 12 + i}})
                for i, item in enumerate((ROLE, *words(TEXT)))
            ),
            event({**FINISH, "usage": USAGE}),
            DONE,
        )
    ),
    "null usage in every chunk but the last": OddStream(
        stream(
            *(event({**item, "usage": None}) for item in (ROLE, *words(TEXT), FINISH)),
            event(usage_chunk()),
            DONE,
        )
    ),
    "role repeated in every chunk": OddStream(
        stream(
            *(event(chunk({"role": "assistant", "content": c["choices"][0]["delta"]["content"]})) for c in words(TEXT)),
            event(FINISH),
            event(usage_chunk()),
            DONE,
        )
    ),
    "no role at all": OddStream(stream(*(event(item) for item in (*words(TEXT), FINISH)), event(usage_chunk()), DONE)),
    "more after done": OddStream(stream(*_WHOLE, event(chunk({"content": CANARY})))),
    "closed by the connection, not chunked": OddStream(
        Reply((b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n", *_WHOLE), End.CLOSE)
    ),
    "http 1.0": OddStream(
        Reply((b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n", *_WHOLE), End.CLOSE)
    ),
    "a finish reason of its own": OddStream(
        stream(*SPOKEN, event(chunk({}, finish_reason="eos")), event(usage_chunk()), DONE)
    ),
}

BIG_WORD: Final = "x" * 5_000_000
BIG_LINE: Final = stream(event(ROLE), event(chunk({"content": BIG_WORD})), event(FINISH), event(usage_chunk()), DONE)
DRIP: Final = stream(*SPOKEN, Forever(framed(b'data: {"choices": [],\n'), 0.05), is_terminated=False)
"""Bytes for ever and never an event: only the total timeout ends it."""
ENDLESS: Final = Reply(
    (
        *stream(*SPOKEN, is_terminated=False).steps,
        Forever(framed(event(chunk({"content": " x"}))), 0.02),
    )
)
"""A model that never stops."""

# --- usage that cannot be trusted ------------------------------------------------------------------------------------

UNTRUSTWORTHY_USAGE: Final[dict[str, Any]] = {
    "absent": ABSENT,
    "null": None,
    "negative": {"prompt_tokens": -12, "completion_tokens": -5, "total_tokens": -17},
    "words": {"prompt_tokens": "twelve", "completion_tokens": "five", "total_tokens": "many"},
    "floats": {"prompt_tokens": 12.5, "completion_tokens": 5.5, "total_tokens": 18.0},
    "booleans": {"prompt_tokens": True, "completion_tokens": True, "total_tokens": True},
    "all zero": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    "a list": [12, 5],
    "empty": {},
}


def zipped_answer() -> Reply:
    """A gzip body although identity was asked for."""
    body = gzip.compress(json.dumps(completion(usage=USAGE)).encode())
    return plain(200, body, headers=[("content-encoding", "gzip")])


def slow_answer(seconds: float) -> Reply:
    """Headers at once, the JSON body in two halves with a pause between."""
    body = json.dumps(completion(usage=USAGE)).encode()
    start = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    return Reply((start + body[:20], Pause(seconds), body[20:]))
