"""Anthropic's format against its own types and its grammar: one block open at a time, one end; its refusals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import httpx
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from tests.callers import decoded
from tests.faults import CANARY

_EVENT: Final[TypeAdapter[Any]] = TypeAdapter(RawMessageStreamEvent)


def events_in(raw: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each under the name that its data says; comments left out."""
    found = []
    for block in raw.decode().split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            name, data = lines
            value = json.loads(data.removeprefix("data: "))
            assert name == f"event: {value['type']}"
            found.append(value)
    return found


def assert_valid_message(message: dict[str, Any]) -> None:
    Message.model_validate(message, strict=True)


def assert_refused(response: httpx.Response, status: int, kind: str, code: str) -> dict[str, Any]:
    """Anthropic's envelope, in which nothing of the upstream stands; returns the `error` object."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].partition(";")[0] == "application/json"
    whole = decoded(response.content)
    assert whole.keys() == {"type", "error", "request_id"}
    assert (whole["type"], whole["request_id"]) == ("error", response.headers["x-request-id"])
    assert response.headers["request-id"] == response.headers["x-request-id"]
    error: dict[str, Any] = whole["error"]
    assert (error["type"], error["code"]) == (kind, code)
    assert error.keys() <= {"type", "message", "code", "param"}
    assert CANARY not in response.text
    return error


def assert_whole(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The stream is a whole message by the types and the grammar; returns that message."""
    for event in events:
        _EVENT.validate_python(event)
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert sum(kind.startswith("message_") for kind in kinds) == 3
    message = begun(events)
    assert message.pop("open") is None
    assert_valid_message(message)
    return message


def begun(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The message as far as it has come, as a client adds it up; `open` is the place of the block under way."""
    message: dict[str, Any] = {"open": None}
    arguments = ""
    for event in events:
        match event["type"]:
            case "message_start":
                message.update(json.loads(json.dumps(event["message"])))
            case "content_block_start":
                assert message["open"] is None
                assert event["index"] == len(message["content"])
                message["open"], arguments = event["index"], ""
                message["content"].append(dict(event["content_block"]))
            case "content_block_delta":
                assert event["index"] == message["open"]
                delta, block = event["delta"], message["content"][-1]
                if delta["type"] == "input_json_delta":
                    assert block["type"] == "tool_use"
                    arguments += delta["partial_json"]
                elif delta["type"] == "citations_delta":
                    assert block["type"] == "text"
                    block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
                else:
                    (name,) = delta.keys() - {"type"}
                    assert delta["type"] == f"{name}_delta"
                    block[name] += delta[name]
            case "content_block_stop":
                assert event["index"] == message["open"]
                message["open"] = None
                if message["content"][-1]["type"] == "tool_use":
                    message["content"][-1]["arguments"] = arguments
                    message["content"][-1]["input"] = json.loads(arguments or "{}") if _is_json(arguments) else {}
            case "message_delta":
                message.update(event["delta"])
                message["usage"].update(event["usage"])
    return message


def _is_json(text: str) -> bool:
    try:
        json.loads(text or "{}")
    except ValueError:
        return False
    return True
