"""Whatever comes from an upstream or a client: a reader raises nothing but what it says, a request nothing at all."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.errors import InvalidRequest
from routing.endpoints.chat import CHAT
from routing.providers.anthropic import ANTHROPIC
from routing.providers.base import NO_OPTIONS, MalformedAnswer
from tests.routing.providers.anthropic.calls import call, native, request
from tests.routing.providers.anthropic.streams import own, read

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text("ab {}[]:/,\n", max_size=6)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=5,
)
KINDS = st.sampled_from(
    ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "ping", "x"]
)
BLOCK = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["text", "tool_use", "thinking", "redacted_thinking", "server_tool_use", "x"]) | JSON,
        **dict.fromkeys(("text", "thinking", "signature", "data", "id", "name", "input", "citations"), JSON),
    },
)
DELTA = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["text_delta", "input_json_delta", "thinking_delta", "signature_delta", "citations_delta"]
        )
        | JSON,
        "stop_reason": st.sampled_from(["end_turn", "tool_use", "refusal", "bored"]) | JSON,
        **dict.fromkeys(("text", "thinking", "signature", "partial_json", "citation", "usage", "stop_details"), JSON),
    },
)
EVENT = st.fixed_dictionaries(
    {},
    optional={
        "type": KINDS | JSON,
        "index": st.integers(0, 2) | JSON,
        "content_block": BLOCK | JSON,
        "delta": DELTA | JSON,
        "usage": st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "cache_creation"]), JSON) | JSON,
        "message": JSON,
    },
)


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENT, max_size=8), st.booleans())
def test_no_events_raise_anything(events: list[Any], is_own: bool) -> None:
    data = b"".join(b"data: %b\n\n" % orjson.dumps(event) for event in events)
    shown, reader = read(data, reader=own() if is_own else None)
    assert all(event is not None for event in shown)
    assert reader.usage is None or reader.usage.input >= 0


ANSWER = st.fixed_dictionaries(
    {},
    optional={
        "content": st.lists(BLOCK, max_size=4) | JSON,
        **dict.fromkeys(("stop_reason", "stop_details", "usage", "type"), JSON),
    },
)


@settings(max_examples=60, deadline=None)
@given(ANSWER, st.booleans())
def test_no_answer_raises_but_that_it_is_none(answer: dict[str, Any], is_own: bool) -> None:
    reader = own() if is_own else ANTHROPIC.open(call())
    with contextlib.suppress(MalformedAnswer):
        assert type(reader.whole(orjson.dumps(answer))) is dict


PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "refusal", "x"])},
    optional={
        "text": st.text("a ", max_size=3),
        "refusal": st.text("a ", max_size=3),
        "image_url": st.fixed_dictionaries(
            {"url": st.sampled_from(["https://x", "data:image/png;base64,YQ==", "x", ""])}
        ),
        "file": st.fixed_dictionaries({}, optional={"file_data": JSON | st.just("data:,a"), "filename": JSON}),
        "cache_control": JSON,
    },
)
CALL = st.fixed_dictionaries(
    {"id": st.sampled_from(["a", "b:0", ""]), "type": st.sampled_from(["function", "custom"])},
    optional={"function": st.fixed_dictionaries({"name": st.just("f"), "arguments": st.text('{}":a1', max_size=5)})},
)
MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
        "content": st.none() | st.text("a ", max_size=3) | st.lists(PART, max_size=3),
        "tool_call_id": st.sampled_from(["a", "b:0"]),
    },
    optional={
        "tool_calls": st.none() | st.lists(CALL, max_size=2),
        "reasoning_details": JSON | st.lists(BLOCK, max_size=2),
        **dict.fromkeys(("cache_control", "is_error", "name", "audio"), JSON),
    },
)
SCHEMA = st.dictionaries(st.sampled_from(["type", "properties", "items", "minItems", "anyOf"]), JSON)
FUNCTION = st.fixed_dictionaries(
    {"name": st.just("f")}, optional={"parameters": st.none() | SCHEMA, "strict": st.booleans()}
)
TOOL = st.fixed_dictionaries({"type": st.just("function"), "function": FUNCTION}, optional={"cache_control": JSON})
CHOICE = st.sampled_from(["auto", "none", "required"]) | st.fixed_dictionaries(
    {"type": st.sampled_from(["function", "allowed_tools"])},
    optional={"function": JSON, "allowed_tools": st.fixed_dictionaries({"mode": JSON, "tools": JSON}) | JSON},
)
BODY = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(MESSAGE, min_size=1, max_size=4)},
    optional={
        "tools": st.lists(TOOL, max_size=2),
        "tool_choice": CHOICE,
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "reasoning_effort": st.sampled_from(["none", "low", "max"]),
        **dict.fromkeys(("reasoning", "thinking", "top_k", "cache_control", "x"), JSON),
    },
)


@settings(max_examples=60, deadline=None)
@given(BODY, st.sampled_from(["claude-sonnet-4-5", "claude-opus-5", "m"]), st.sampled_from(["off", "5m", "1h"]))
def test_chat_request_that_is_read_is_said_or_named(body: dict[str, Any], model: str, cache: str) -> None:
    with contextlib.suppress(InvalidRequest):
        CHAT.read(body)
        if not ANTHROPIC.lacks("chat.completions", body, NO_OPTIONS):
            asked = request(call(body=body, model=model, options={"cache": cache}))
            assert orjson.loads(asked.body)["model"] == model
            ANTHROPIC.open(call(body=body, model=model))


TURN = st.fixed_dictionaries({"role": st.just("user") | JSON, "content": JSON | st.lists(BLOCK, max_size=2)})
OWN = st.dictionaries(st.sampled_from(["messages", "system", "tools", "max_tokens"]), JSON | st.lists(TURN, max_size=3))


@settings(max_examples=60, deadline=None)
@given(OWN)
def test_its_own_format_goes_on_whatever_it_says(body: dict[str, Any]) -> None:
    asked = request(native(body, options={"cache": "5m"}))
    assert orjson.loads(asked.body)["max_tokens"] == 4_000
