"""Streams of Anthropic's events, and what a reader makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from routing.providers.anthropic import ANTHROPIC
from routing.providers.base import End, Event, Reader
from tests.routing.providers.anthropic.calls import call, native

FIXTURES = Path(__file__).parent.parent / "fixtures"
NAMES = ("anthropic_text", "anthropic_tools", "anthropic_thinking", "anthropic_web_search")


def recorded(name: str) -> bytes:
    return (FIXTURES / f"{name}.sse").read_bytes()


def event(kind: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **members}))


def begins(usage: Any = None) -> bytes:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
    }
    return event("message_start", message={**message, "usage": usage} if usage is not None else message)


def opens(index: Any = 0, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block or {"type": "text", "text": ""})


def brings(kind: str, index: Any = 0, **members: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": f"{kind}_delta", **members})


def closes(index: Any = 0) -> bytes:
    return event("content_block_stop", index=index)


def ends(reason: Any = "end_turn", usage: Any = None, **members: Any) -> bytes:
    delta = {"stop_reason": reason, "stop_sequence": None, **members}
    return event("message_delta", delta=delta, **({} if usage is None else {"usage": usage}))


STOP = event("message_stop")
PING = event("ping")


def read(*parts: bytes, reader: Reader | None = None, size: int = 0) -> tuple[list[Event], Reader]:
    """Everything that a reader makes of these bytes, in pieces of this size, and the reader."""
    data, reader = b"".join(parts), reader or ANTHROPIC.open(call())
    pieces = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    return read_pieces(reader, *pieces), reader


def read_pieces(reader: Reader, *pieces: bytes) -> list[Event]:
    events: list[Event] = []
    for piece in (*pieces, None):
        events += reader.feed(piece)
        if events and type(events[-1]) is End:
            break
    return events


def deltas(events: list[Event]) -> list[dict[str, Any]]:
    return [each["choices"][0]["delta"] for each in events if type(each) is dict]


def finishes(events: list[Event]) -> list[str]:
    reasons = [each["choices"][0]["finish_reason"] for each in events if type(each) is dict]
    return [reason for reason in reasons if reason is not None]


def joined(events: list[Event], name: str) -> str:
    return "".join(delta.get(name) or "" for delta in deltas(events))


def own() -> Reader:
    """A reader of the format as it is."""
    return ANTHROPIC.open(native({"messages": []}))
