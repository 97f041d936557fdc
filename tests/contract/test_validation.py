"""Known fields are checked as OpenAI checks them; JSON and stream requests get the same answer; nothing is owed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.callers import MESSAGES, Caller
from tests.envelopes import assert_refused
from tests.installation import Offer, Shape
from tests.upstream import ABSENT
from tests.worlds import World

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}

MISSING: dict[str, tuple[dict[str, Any], str]] = {
    "model": ({"model": ABSENT}, "model"),
    "messages": ({"messages": ABSENT}, "messages"),
    "role": ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
    "content of the second message": ({"messages": [USER, {"role": "user"}]}, "messages[1].content"),
    "content of a system message": ({"messages": [{"role": "system"}, USER]}, "messages[0].content"),
    "content of an assistant without tool calls": ({"messages": [USER, {"role": "assistant"}]}, "messages[1].content"),
    "tool call id of a result": (
        {"messages": [USER, CALLING, {"role": "tool", "content": "1"}]},
        "messages[2].tool_call_id",
    ),
    "type of a part": ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages[0].content[0].type"),
    "text of a part": ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    "function of a tool": ({"tools": [{"type": "function"}]}, "tools[0].function"),
    "name of a function": ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    "json schema": ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    "name of a json schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        "response_format.json_schema.name",
    ),
    "type of a response format": ({"response_format": {}}, "response_format.type"),
}

WRONG_TYPE: dict[str, tuple[dict[str, Any], str]] = {
    "model number": ({"model": 5}, "model"),
    "model null": ({"model": None}, "model"),
    "model list": ({"model": ["a"]}, "model"),
    "messages text": ({"messages": "Hi"}, "messages"),
    "messages object": ({"messages": USER}, "messages"),
    "messages null": ({"messages": None}, "messages"),
    "message text": ({"messages": ["Hi"]}, "messages[0]"),
    "message null": ({"messages": [None]}, "messages[0]"),
    "role number": ({"messages": [{"role": 5, "content": "a"}]}, "messages[0].role"),
    "content number": ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    "content object": ({"messages": [{"role": "user", "content": {"type": "text"}}]}, "messages[0].content"),
    "part text": ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content[0]"),
    "temperature text": ({"temperature": "1"}, "temperature"),
    "temperature boolean": ({"temperature": True}, "temperature"),
    "top_p list": ({"top_p": [1]}, "top_p"),
    "max_tokens text": ({"max_tokens": "5"}, "max_tokens"),
    "max_tokens boolean": ({"max_tokens": True}, "max_tokens"),
    "max_tokens fraction": ({"max_tokens": 5.5}, "max_tokens"),
    "max_completion_tokens text": ({"max_completion_tokens": "5"}, "max_completion_tokens"),
    "n text": ({"n": "1"}, "n"),
    "n boolean": ({"n": True}, "n"),
    "n fraction": ({"n": 1.5}, "n"),
    "stream text": ({"stream": "true"}, "stream"),
    "stream number": ({"stream": 1}, "stream"),
    "stream_options list": ({"stream": True, "stream_options": []}, "stream_options"),
    "include_usage text": (
        {"stream": True, "stream_options": {"include_usage": "yes"}},
        "stream_options.include_usage",
    ),
    "stop number": ({"stop": 5}, "stop"),
    "stop of numbers": ({"stop": [5]}, "stop[0]"),
    "seed fraction": ({"seed": 1.5}, "seed"),
    "seed text": ({"seed": "1"}, "seed"),
    "logprobs text": ({"logprobs": "yes"}, "logprobs"),
    "top_logprobs text": ({"logprobs": True, "top_logprobs": "1"}, "top_logprobs"),
    "logit_bias list": ({"logit_bias": []}, "logit_bias"),
    "metadata list": ({"metadata": []}, "metadata"),
    "user number": ({"user": 5}, "user"),
    "tools object": ({"tools": TOOL}, "tools"),
    "tool text": ({"tools": ["a"]}, "tools[0]"),
    "function name number": ({"tools": [{"type": "function", "function": {"name": 5}}]}, "tools[0].function.name"),
    "tool_choice number": ({"tools": [TOOL], "tool_choice": 5}, "tool_choice"),
    "parallel_tool_calls text": ({"tools": [TOOL], "parallel_tool_calls": "yes"}, "parallel_tool_calls"),
    "response_format text": ({"response_format": "json"}, "response_format"),
    "reasoning_effort number": ({"reasoning_effort": 1}, "reasoning_effort"),
    "presence_penalty text": ({"presence_penalty": "0"}, "presence_penalty"),
    "frequency_penalty text": ({"frequency_penalty": "0"}, "frequency_penalty"),
    "models text": ({"models": "a"}, "models"),
    "provider text": ({"provider": "a"}, "provider"),
    "provider.only text": ({"provider": {"only": "a"}}, "provider.only"),
    "provider.max_price text": ({"provider": {"max_price": "1"}}, "provider.max_price"),
}

OUT_OF_RANGE: dict[str, tuple[dict[str, Any], str, str]] = {
    "model name of 5000": ({"model": "x" * 5000}, "string_above_max_length", "model"),
    "no messages": ({"messages": []}, "empty_array", "messages"),
    "n 0": ({"n": 0}, "integer_below_min_value", "n"),
    "n -1": ({"n": -1}, "integer_below_min_value", "n"),
    "n 129": ({"n": 129}, "integer_above_max_value", "n"),
    "max_tokens 0": ({"max_tokens": 0}, "integer_below_min_value", "max_tokens"),
    "max_tokens -5": ({"max_tokens": -5}, "integer_below_min_value", "max_tokens"),
    "max_completion_tokens 0": ({"max_completion_tokens": 0}, "integer_below_min_value", "max_completion_tokens"),
    "top_logprobs -1": ({"logprobs": True, "top_logprobs": -1}, "integer_below_min_value", "top_logprobs"),
    "top_logprobs 21": ({"logprobs": True, "top_logprobs": 21}, "integer_above_max_value", "top_logprobs"),
    "temperature -0.1": ({"temperature": -0.1}, "decimal_below_min_value", "temperature"),
    "temperature 2.1": ({"temperature": 2.1}, "decimal_above_max_value", "temperature"),
    "temperature 3": ({"temperature": 3}, "decimal_above_max_value", "temperature"),
    "top_p -0.1": ({"top_p": -0.1}, "decimal_below_min_value", "top_p"),
    "top_p 1.1": ({"top_p": 1.1}, "decimal_above_max_value", "top_p"),
    "presence_penalty -2.1": ({"presence_penalty": -2.1}, "decimal_below_min_value", "presence_penalty"),
    "presence_penalty 2.1": ({"presence_penalty": 2.1}, "decimal_above_max_value", "presence_penalty"),
    "frequency_penalty -2.1": ({"frequency_penalty": -2.1}, "decimal_below_min_value", "frequency_penalty"),
    "frequency_penalty 2.1": ({"frequency_penalty": 2.1}, "decimal_above_max_value", "frequency_penalty"),
    "5 stops": ({"stop": ["a", "b", "c", "d", "e"]}, "array_above_max_length", "stop"),
    "129 tools": (
        {"tools": [{"type": "function", "function": {"name": f"f{i}"}} for i in range(129)]},
        "array_above_max_length",
        "tools",
    ),
    "negative max_price": (
        {"provider": {"max_price": {"prompt": -1}}},
        "decimal_below_min_value",
        "provider.max_price.prompt",
    ),
    "metadata value of 513": ({"metadata": {"a": "x" * 513}}, "string_above_max_length", "metadata"),
    "function name of 65": (
        {"tools": [{"type": "function", "function": {"name": "f" * 65}}]},
        "string_above_max_length",
        "tools[0].function.name",
    ),
    "schema name of 65": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n" * 65, "schema": {}}}},
        "string_above_max_length",
        "response_format.json_schema.name",
    ),
}

INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "unknown role": ({"messages": [{"role": "boss", "content": "a"}]}, "messages[0].role"),
    "unknown tool choice": ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
    "unknown response format": ({"response_format": {"type": "xml"}}, "response_format.type"),
    "unknown reasoning effort": ({"reasoning_effort": "huge"}, "reasoning_effort"),
    "unknown verbosity": ({"verbosity": "loud"}, "verbosity"),
    "unknown service tier": ({"service_tier": "gold"}, "service_tier"),
    "unknown provider sort": ({"provider": {"sort": "beauty"}}, "provider.sort"),
    "function name with a space": (
        {"tools": [{"type": "function", "function": {"name": "a b"}}]},
        "tools[0].function.name",
    ),
    "schema name with a space": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
        "response_format.json_schema.name",
    ),
    "tool choice without tools": ({"tool_choice": "required"}, "tool_choice"),
    "tool choice of a tool that is not there": (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
        "tool_choice",
    ),
    "top_logprobs without logprobs": ({"top_logprobs": 2}, "top_logprobs"),
    "tool result without a call": (
        {"messages": [USER, {"role": "tool", "tool_call_id": "call_1", "content": "1"}]},
        "messages[1].tool_call_id",
    ),
    "tool result of another call": (
        {"messages": [USER, CALLING, {"role": "tool", "tool_call_id": "call_2", "content": "1"}]},
        "messages[2].tool_call_id",
    ),
}

STEERING = ["api_key", "api_base", "base_url", "extra_headers"]

UNPRICED: dict[str, tuple[dict[str, Any], str]] = {
    "service tier flex": ({"service_tier": "flex"}, "service_tier"),
    "service tier priority": ({"service_tier": "priority"}, "service_tier"),
    "service tier scale": ({"service_tier": "scale"}, "service_tier"),
    "audio output": ({"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}, "modalities"),
    "audio input": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}],
                }
            ]
        },
        "messages",
    ),
    "image output": ({"modalities": ["image", "text"]}, "modalities"),
    "audio by its address": (
        {"messages": [{"role": "user", "content": [{"type": "audio_url", "audio_url": {"url": "https://a.example"}}]}]},
        "messages",
    ),
    "live search": ({"search_parameters": {"mode": "auto"}}, "search_parameters"),
    "search of a vendor": ({"enable_search": True}, "enable_search"),
    "web search": ({"web_search_options": {}}, "web_search_options"),
    "private upstreams only": ({"provider": {"data_collection": "deny"}}, "provider.data_collection"),
    "no retention": ({"provider": {"zdr": True}}, "provider.zdr"),
    "quantization": ({"provider": {"quantizations": ["fp8"]}}, "provider.quantizations"),
    "transforms": ({"transforms": ["middle-out"]}, "transforms"),
    "hosted tool": ({"tools": [{"type": "web_search_preview"}]}, "tools[0].type"),
}


def both_refusals(caller: Caller, model: Offer, members: dict[str, Any], code: str, param: str) -> None:
    """As JSON and as a stream the same refusal, and nothing changed."""
    body = {name: value for name, value in caller.body(model, **members).items() if value is not ABSENT}
    with caller.nothing_changes():
        plain = caller.client.post("/v1/chat/completions", json=body)
        stream = caller.client.post("/v1/chat/completions", json={"stream": True, **body})

    error = assert_refused(plain, 400, code, param=param)
    assert assert_refused(stream, 400, code, param=param) == error


@pytest.mark.parametrize(("members", "param"), MISSING.values(), ids=MISSING.keys())
def test_missing_field_is_named(caller: Caller, model: Offer, members: dict[str, Any], param: str) -> None:
    both_refusals(caller, model, members, "missing_required_parameter", param)


@pytest.mark.parametrize(("members", "param"), WRONG_TYPE.values(), ids=WRONG_TYPE.keys())
def test_wrong_type_is_refused(caller: Caller, model: Offer, members: dict[str, Any], param: str) -> None:
    both_refusals(caller, model, members, "invalid_type", param)


@pytest.mark.parametrize(("members", "code", "param"), OUT_OF_RANGE.values(), ids=OUT_OF_RANGE.keys())
def test_value_out_of_range_is_refused(
    caller: Caller, model: Offer, members: dict[str, Any], code: str, param: str
) -> None:
    both_refusals(caller, model, members, code, param)


@pytest.mark.parametrize(("members", "param"), INVALID.values(), ids=INVALID.keys())
def test_unknown_or_inconsistent_value_is_refused(
    caller: Caller, model: Offer, members: dict[str, Any], param: str
) -> None:
    both_refusals(caller, model, members, "invalid_value", param)


def test_stream_options_without_a_stream_are_refused(caller: Caller, model: Offer) -> None:
    with caller.nothing_changes():
        response = caller.ask(model, stream_options={"include_usage": True})

    assert_refused(response, 400, "invalid_value", param="stream_options")


@pytest.mark.parametrize("name", STEERING)
def test_field_that_would_steer_the_connection_is_refused(caller: Caller, model: Offer, name: str) -> None:
    both_refusals(caller, model, {name: "http://127.0.0.1:9"}, "unsupported_parameter", name)


@pytest.mark.parametrize(("members", "param"), UNPRICED.values(), ids=UNPRICED.keys())
def test_priced_feature_without_a_price_is_refused(
    caller: Caller, model: Offer, members: dict[str, Any], param: str
) -> None:
    both_refusals(caller, model, members, "unsupported_parameter", param)


# --- models and routes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["no-such-model", " ", "x" * 150, "lab/*", "LAB/MODEL-1", "lab/model-1 ", "../lab", "mo\ndel", "'--"]
)
def test_unknown_model_is_not_found(caller: Caller, name: str) -> None:
    with caller.nothing_changes():
        plain, stream = caller.ask(name), caller.ask(name, stream=True)

    assert_refused(plain, 404, "model_not_found", param="model")
    assert_refused(stream, 404, "model_not_found", param="model")


NOT_OFFERED = {
    "disabled": Shape(is_enabled=False),
    "without a price": Shape(price=None),
    "without a route": Shape(vias=()),
}


@pytest.mark.parametrize("shape", NOT_OFFERED.values(), ids=NOT_OFFERED.keys())
def test_model_that_is_not_offered_is_not_found(world: World, caller: Caller, shape: Shape) -> None:
    model = world.offer(shape)

    with caller.nothing_changes():
        response = caller.ask(model)

    assert_refused(response, 404, "model_not_found", param="model")


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
UNABLE: dict[str, tuple[Shape, dict[str, Any], str]] = {
    "tools": (Shape(supports_tools=False), {"tools": [TOOL]}, "tools"),
    "images": (Shape(supports_images=False), {"messages": [{"role": "user", "content": [IMAGE]}]}, "image"),
    "json schema": (
        Shape(supports_json_schema=False),
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}},
        "schema",
    ),
    "max price": (Shape(), {"provider": {"max_price": {"prompt": 0.000001}}}, "max_price"),
    "only another channel": (Shape(), {"provider": {"only": ["elsewhere"]}}, "only"),
}


@pytest.mark.parametrize(("shape", "members", "constraint"), UNABLE.values(), ids=UNABLE.keys())
def test_request_that_no_route_can_serve_is_told_the_constraint(
    world: World, caller: Caller, shape: Shape, members: dict[str, Any], constraint: str
) -> None:
    model = world.offer(shape)

    with caller.nothing_changes():
        plain, stream = caller.ask(model, **members), caller.ask(model, stream=True, **members)

    assert constraint in assert_refused(plain, 404, "no_matching_route")["message"]
    assert_refused(stream, 404, "no_matching_route")


SMALL = Shape(context_window=2048, output_limit=1024, default_output=512)
TOO_LONG: dict[str, dict[str, Any]] = {
    "prompt": {"messages": [{"role": "user", "content": "word " * 9000}]},
    "prompt in many messages": {"messages": [{"role": "user", "content": "word " * 30}] * 300},
    "prompt and cap": {"messages": [{"role": "user", "content": "word " * 2500}], "max_tokens": 1024},
    "tool definitions": {"tools": [{"type": "function", "function": {"name": "f", "description": "word " * 9000}}]},
}


@pytest.mark.parametrize("members", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_request_beyond_the_context_window_is_refused(world: World, caller: Caller, members: dict[str, Any]) -> None:
    model = world.offer(SMALL)

    with caller.nothing_changes():
        plain, stream = caller.ask(model, **members), caller.ask(model, stream=True, **members)

    error = assert_refused(plain, 400, "context_length_exceeded")
    assert "maximum context length" in error["message"]
    assert_refused(stream, 400, "context_length_exceeded")


# --- what is valid and must not be refused ---------------------------------------------------------------------------

VALID: dict[str, dict[str, Any]] = {
    "null for what may be null": {
        "temperature": None,
        "top_p": None,
        "n": None,
        "stop": None,
        "max_tokens": None,
        "max_completion_tokens": None,
        "stream": None,
        "stream_options": None,
        "logprobs": None,
        "logit_bias": None,
        "presence_penalty": None,
        "frequency_penalty": None,
        "seed": None,
        "service_tier": None,
        "metadata": None,
        "store": None,
        "reasoning_effort": None,
    },
    "tool_choice null": {"tools": [TOOL], "tool_choice": None},
    "edges of the ranges": {
        "temperature": 2,
        "top_p": 1,
        "n": 1,
        "presence_penalty": -2,
        "frequency_penalty": 2.0,
        "logprobs": True,
        "top_logprobs": 20,
        "stop": ["a", "b", "c", "d"],
    },
    "zeros": {"temperature": 0, "top_p": 0, "presence_penalty": 0, "seed": 0, "logprobs": True, "top_logprobs": 0},
    "unknown fields": {
        "top_k": 40,
        "thinking": {"type": "enabled"},
        "ignore_eos": True,
        "client_metadata": {"a": "b"},
        "anything": [None],
    },
    "assistant without content beside tool calls": {
        "messages": [USER, CALLING, {"role": "tool", "tool_call_id": "call_1", "content": "21 C"}]
    },
    "assistant with empty content beside tool calls": {
        "messages": [USER, {**CALLING, "content": ""}, {"role": "tool", "tool_call_id": "call_1", "content": ""}]
    },
    "assistant with parts": {
        "messages": [USER, {"role": "assistant", "content": [{"type": "text", "text": "a"}]}, USER]
    },
    "names": {"messages": [{"role": "user", "name": "alice", "content": "a"}]},
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, USER]},
    "system only": {"messages": [{"role": "system", "content": "Be brief."}]},
    "text parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 3}]},
    "image": {"messages": [{"role": "user", "content": [IMAGE, {"type": "text", "text": "What?"}]}]},
    "deprecated functions": {"functions": [{"name": "f", "parameters": {}}], "function_call": "auto"},
    "metadata": {"metadata": {"a": "b"}, "store": False, "user": "u1", "safety_identifier": "s", "seed": -1},
    "default service tier": {"service_tier": "default"},
    "auto service tier": {"service_tier": "auto"},
    "text response format": {"response_format": {"type": "text"}},
    "json object": {"response_format": {"type": "json_object"}},
    "modalities text": {"modalities": ["text"]},
    "usage include": {"usage": {"include": True}},
    "nulls": dict.fromkeys(
        [
            "tools",
            "response_format",
            "functions",
            "function_call",
            "user",
            "parallel_tool_calls",
            "top_logprobs",
            "web_search_options",
            "tool_choice",
            "stop",
            "provider",
            "models",
        ]
    ),
    "no tools": {"tools": []},
    "harmless wishes": {"provider": {"data_collection": "allow", "zdr": False}, "transforms": []},
}


@pytest.mark.parametrize("members", VALID.values(), ids=VALID.keys())
def test_valid_request_is_served(caller: Caller, model: Offer, members: dict[str, Any]) -> None:
    response = caller.ask(model, **members)

    assert response.status_code == 200, response.text


def test_messages_of_the_recorded_form_are_served_in_a_stream(caller: Caller, model: Offer) -> None:
    stream = caller.listen(
        model, messages=MESSAGES, stream_options={"include_usage": True, "include_obfuscation": False}
    )

    assert stream.status == 200
    assert stream.is_done
