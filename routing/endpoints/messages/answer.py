"""A whole message and its usage, as Anthropic's public schema has them (Message, Usage)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head, to_json
from routing.endpoints.chat.identity import drop_names, is_in
from routing.endpoints.received import BYTES_PER_TOKEN
from routing.providers.base import MalformedAnswer

_OF_MESSAGES: Final = frozenset(
    ("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage", "costrouter")
)
_OF_BLOCKS: Final = frozenset(
    ("type", "text", "thinking", "signature", "data", "id", "name", "input", "citations", "content", "tool_use_id")
)
_WRITTEN: Final = ("text", "thinking")
_COUNTED: Final = ("server_tool_use",)
"""What an upstream counts beside tokens, and clients look for."""


def public_usage(bill: Bill) -> dict[str, Any]:
    """The usage for the client: Anthropic counts what the cache gave and took beside `input_tokens`, not within."""
    return {
        **counts(bill.usage),
        **{name: bill.reported[name] for name in _COUNTED if type(bill.reported.get(name)) is dict},
        **_iterations(bill.reported),
        "cost": orjson.Fragment(bill.cost),  # digit by digit
        "cost_details": bill.details,
    }


def _iterations(reported: Mapping[str, Any]) -> dict[str, Any]:
    """What each turn at the upstream counted, by which clients know how long a conversation is; never whose turn."""
    told = reported.get("iterations")
    if type(told) is not list or not all(type(each) is dict for each in told):
        return {}
    return {"iterations": [{name: value for name, value in each.items() if name != "model"} for each in told]}


def counts(usage: Usage) -> dict[str, Any]:
    for_an_hour, written = usage.cache_write_1h, usage.cache_write
    return {
        "input_tokens": usage.input - usage.cached_input - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cached_input,
        "cache_creation": {
            "ephemeral_5m_input_tokens": written - for_an_hour,
            "ephemeral_1h_input_tokens": for_an_hour,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def check_message(answer: dict[str, Any]) -> None:
    """Raises MalformedAnswer unless it is a message that has come to its end."""
    content = answer.get("content")
    if type(content) is not list or not all(
        type(block) is dict and type(block.get("type")) is str for block in content
    ):
        raise MalformedAnswer("the answer has no content")
    if any(block["type"] == "tool_use" and type(block.get("input")) is not dict for block in content):
        raise MalformedAnswer("a tool call's arguments are no object")
    if type(answer.get("stop_reason")) is not str:
        raise MalformedAnswer("the answer does not say why it stopped")


def estimate_output(answer: Mapping[str, Any]) -> int:
    """Output tokens of a message whose upstream did not say."""
    written = 0
    for block in answer["content"]:
        texts = [block[name] for name in _WRITTEN if type(block.get(name)) is str]
        written += sum(len(text.encode()) for text in texts)
        if block.get("input"):
            written += len(to_json(block["input"]))
    return -(-written // BYTES_PER_TOKEN)


def complete_message(answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None) -> bytes:
    """A native message made ours."""
    answer.update({"id": head.public_id, "type": "message", "role": "assistant", "model": head.model})
    answer.setdefault("stop_sequence", None)
    drop_names(answer)
    answer["usage"] = public_usage(bill)
    whole = to_json(answer)
    if is_in(whole, head.hidden):
        drop_hidden(answer, _OF_MESSAGES, head.hidden)
        for block in answer["content"]:
            drop_hidden(block, _OF_BLOCKS, head.hidden)
        whole = to_json(answer)
    return whole if explanation is None else to_json({**answer, "costrouter": explanation})


def drop_hidden(members: dict[str, Any], known: frozenset[str], hidden: tuple[bytes, ...]) -> None:
    """Takes every extra member out whose text holds one of these; a model's own words may hold anything."""
    for name in members.keys() - known:
        if is_in(to_json(members[name]), hidden):
            del members[name]
