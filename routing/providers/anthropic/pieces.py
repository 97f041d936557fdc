"""A whole message as its stream's events: for a client of streams, or as a server sends it that answers at once."""

from __future__ import annotations

from typing import Any, Final

from routing.providers.openai.refusals import text_of
from routing.providers.openai.tools import json_of

_STOP: Final = ("stop_reason", "stop_sequence")
GROWING: Final = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
}
"""By the kind of delta: its member, and the block's that grows by it."""


def pieces_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """A whole message as its stream's events."""
    top = {name: value for name, value in answer.items() if name not in ("content", *_STOP)}
    pieces: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**top, "content": [], **dict.fromkeys(_STOP)}}
    ]
    for index, block in enumerate(answer["content"]):
        pieces += _pieces_of_block(index, block)
    stop = {name: answer.get(name) for name in _STOP}
    return [*pieces, {"type": "message_delta", "delta": stop, "usage": answer.get("usage")}, {"type": "message_stop"}]


def _pieces_of_block(index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
    opening, sort, deltas = dict(block), text_of(block["type"]), []
    for kind, (name, member) in GROWING.items():
        if type(opening.get(member)) is str and sort in ("text", "thinking"):
            if opening[member]:
                deltas.append({"type": kind, name: opening[member]})
            opening[member] = ""
    if sort.endswith("tool_use"):
        deltas.append({"type": "input_json_delta", "partial_json": json_of(opening.get("input") or {})})
        opening["input"] = {}
    return [
        {"type": "content_block_start", "index": index, "content_block": opening},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]
