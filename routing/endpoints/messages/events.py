"""The grammar of a message's stream: its events, as Anthropic documents them (docs.claude.com, streaming)."""

from __future__ import annotations

from typing import Any, Final

import orjson

from routing.endpoints.base import Head, to_json
from routing.providers.base import MalformedAnswer

STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def event(kind: str, members: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), to_json({"type": kind, **members}))


def as_it_is(value: dict[str, Any]) -> bytes:
    """An event under its own type; raises MalformedAnswer for one without."""
    kind = value.get("type")
    if type(kind) is not str or not kind.isidentifier():
        raise MalformedAnswer("an event without a type")
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), to_json(value))


def begin(head: Head, usage: dict[str, Any], **members: Any) -> bytes:
    """The first event: an empty message of ours."""
    message = {"id": head.public_id, "type": "message", "role": "assistant", "model": head.model, "content": []}
    return event(
        "message_start",
        {"message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage, **members}},
    )


def open_block(index: int, block: dict[str, Any]) -> bytes:
    return event("content_block_start", {"index": index, "content_block": block})


def delta(index: int, kind: str, name: str, value: Any) -> bytes:
    return (
        b"event: content_block_delta\ndata: "
        + orjson.dumps({"type": "content_block_delta", "index": index, "delta": {"type": kind, name: value}})
        + b"\n\n"
    )


def close_block(index: int) -> bytes:
    return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % index


def end(stop: dict[str, Any], usage: dict[str, Any], explanation: Any = None, **beside: Any) -> bytes:
    """The last two events of a whole message; `stop` says why it stopped."""
    told = {} if explanation is None else {"costrouter": explanation}
    return event("message_delta", {"delta": stop, "usage": usage, **beside, **told}) + STOP
