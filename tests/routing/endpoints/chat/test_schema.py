"""The shape of a chat request: what the public API accepts, refuses, and how it names the fault."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.errors import InvalidRequest
from routing.endpoints.chat.schema import ChatRequest, read

TEXT = {"type": "text", "text": "x"}
USER = {"role": "user", "content": "hi"}
FUNCTION = {"type": "function", "function": {"name": "f"}}


def body(**members: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [USER], **members}


def with_messages(*messages: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages)}


def called(**members: Any) -> dict[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return {"role": "assistant", "tool_calls": [call], **members}


# --- accepted --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"temperature": 0},
        {"temperature": 2, "top_p": 1, "frequency_penalty": -2, "presence_penalty": 2.0},
        {"n": 128, "seed": -(2**63), "stop": "x", "logprobs": True, "top_logprobs": 20},
        {"stop": ["a", "b", "c", "d"], "logit_bias": {"50256": -100}, "top_logprobs": 0},
        {"max_tokens": 1, "max_completion_tokens": 2**31 - 1},
        {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}},
        {"stream": True, "stream_options": {"continuous_usage_stats": True}},
        {"stream": None, "stream_options": None, "n": None, "stop": None, "max_tokens": None, "tool_choice": None},
        {"tools": [FUNCTION, {"type": "custom", "custom": {"name": "x"}}], "tool_choice": "required"},
        {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": [], "parallel_tool_calls": False},
        {"functions": [{"name": "f"}], "function_call": "auto"},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}, "strict": True}}},
        {"response_format": {"type": "json_object"}, "service_tier": "auto", "metadata": {"k": "v"}},
        {"reasoning_effort": "xhigh", "verbosity": "low", "user": "u", "store": False, "modalities": ["text"]},
        {"search_parameters": {"mode": "off"}, "enable_search": False},
        {"models": ["a", "b"], "usage": {"include": True}},
        {"provider": {"order": ["a"], "sort": "price", "max_price": {"prompt": 1, "completion": 2.5}, "max_cost": 0}},
        {"provider": {"data_collection": "allow", "zdr": False, "quantizations": [], "enforce_distillable_text": None}},
        {"provider": {"preferred_max_latency": 2, "preferred_min_throughput": {"p50": 20}}, "transforms": []},
        {"functions": [], "plugins": None},
        {"top_k": 5, "thinking": {"type": "enabled"}, "ignore_eos": True, "client_metadata": [], "x": None},
    ],
    ids=str,
)
def test_what_the_public_api_accepts_is_accepted(members: dict[str, Any]) -> None:
    assert read(body(**members)).model == "m"


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "x"},
        {"role": "developer", "content": [{"type": "text", "text": "x"}]},
        {"role": "user", "content": "", "name": "n"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x", "detail": "low"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": [{"type": "text", "text": "x"}]},
        {"role": "assistant", "refusal": "no"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
        {"role": "function", "content": None, "name": "f"},
        {"role": "user", "content": "x", "extra": 1},
        called(),
        called(content=None),
        called(content=""),
        called(content=[]),
        {"role": "user", "content": [{"type": "text", "text": "x", "image_url": None, "input_audio": None}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x", "detail": None}}]},
        {"role": "user", "content": "x", "name": None, "tool_calls": None, "tool_call_id": None},
        {
            "role": "assistant",
            "content": "x",
            "tool_calls": None,
            "function_call": None,
            "audio": None,
            "refusal": None,
        },
    ],
    ids=str,
)
def test_messages_of_real_clients_are_accepted(message: dict[str, Any]) -> None:
    assert len(read(with_messages(USER, message)).messages) == 2


def test_tool_result_may_answer_any_call_before_it() -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": "5"}
    assert len(read(with_messages(USER, called(), USER, result, result)).messages) == 5


@pytest.mark.parametrize(
    ("caps", "cap"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 3}, 3),
        ({"max_tokens": 3, "max_completion_tokens": 5}, 3),
        ({"max_tokens": None, "max_completion_tokens": 5}, 5),
    ],
)
def test_smaller_cap_is_the_bound(caps: dict[str, Any], cap: int | None) -> None:
    assert read(body(**caps)).cap == cap


@pytest.mark.parametrize(
    ("members", "is_stream", "wants_usage"),
    [
        ({}, False, False),
        ({"stream": False}, False, False),
        ({"stream": True}, True, False),
        ({"stream": True, "stream_options": {}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": None}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True, True),
        ({"stream": True, "usage": {"include": True}}, True, True),
        ({"stream": True, "usage": {"include": False}}, True, False),
    ],
)
def test_stream_and_its_usage_are_what_was_asked_for(
    members: dict[str, Any], is_stream: bool, wants_usage: bool
) -> None:
    request = read(body(**members))
    assert (request.is_stream, request.wants_usage) == (is_stream, wants_usage)


# --- refused ---------------------------------------------------------------------------------------------------------


def refusal_of(request: dict[str, Any]) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        read(request)
    return caught.value.code, caught.value.param


@pytest.mark.parametrize(
    ("request_", "code", "param"),
    [
        ({"messages": [USER]}, "missing_required_parameter", "model"),
        ({"model": "m"}, "missing_required_parameter", "messages"),
        (body(model=None), "invalid_type", "model"),
        (body(model=5), "invalid_type", "model"),
        (body(model="x" * 201), "string_above_max_length", "model"),
        (body(messages=[]), "empty_array", "messages"),
        (body(messages="x"), "invalid_type", "messages"),
        (body(messages=[5]), "invalid_type", "messages[0]"),
        (with_messages({}), "missing_required_parameter", "messages[0].role"),
        (with_messages({"role": "user"}), "missing_required_parameter", "messages[0].content"),
        (with_messages({"role": "king", "content": "x"}), "invalid_value", "messages[0].role"),
        (with_messages({"role": "user", "content": None}), "invalid_type", "messages[0].content"),
        (with_messages({"role": "user", "content": []}), "empty_array", "messages[0].content"),
        (with_messages({"role": "user", "content": 5}), "invalid_type", "messages[0].content"),
        (with_messages(USER, {"role": "assistant"}), "missing_required_parameter", "messages[1].content"),
        (
            with_messages({"role": "user", "content": [{"type": "text"}]}),
            "missing_required_parameter",
            "messages[0].content[0].text",
        ),
        (
            with_messages(USER, {"role": "user", "content": [TEXT, TEXT, {"type": "image_url"}, TEXT]}),
            "missing_required_parameter",
            "messages[1].content[2].image_url",
        ),
        (
            with_messages({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}),
            "missing_required_parameter",
            "messages[0].content[0].image_url.url",
        ),
        (
            with_messages({"role": "tool", "tool_call_id": "c", "content": "x"}),
            "invalid_value",
            "messages[0].tool_call_id",
        ),
        (body(stream="true"), "invalid_type", "stream"),
        (body(stream=1), "invalid_type", "stream"),
        (body(stream_options={}), "invalid_value", "stream_options"),
        (body(max_tokens=0), "integer_below_min_value", "max_tokens"),
        (body(max_tokens=2**31), "integer_above_max_value", "max_tokens"),
        (body(max_tokens="5"), "invalid_type", "max_tokens"),
        (body(max_tokens=5.5), "invalid_type", "max_tokens"),
        (body(max_tokens=True), "invalid_type", "max_tokens"),
        (body(n=0), "integer_below_min_value", "n"),
        (body(n=129), "integer_above_max_value", "n"),
        (body(temperature=2.01), "decimal_above_max_value", "temperature"),
        (body(temperature=-1), "decimal_below_min_value", "temperature"),
        (body(temperature=True), "invalid_type", "temperature"),
        (body(temperature="1"), "invalid_type", "temperature"),
        (body(stop=[]), "empty_array", "stop"),
        (body(stop=["a"] * 5), "array_above_max_length", "stop"),
        (body(logit_bias={"5": 101}), "decimal_above_max_value", "logit_bias"),
        (body(top_logprobs=5), "invalid_value", "top_logprobs"),
        (body(top_logprobs=21, logprobs=True), "integer_above_max_value", "top_logprobs"),
        (body(metadata={str(n): "" for n in range(17)}), "array_above_max_length", "metadata"),
        (body(metadata={"k": "v" * 513}), "string_above_max_length", "metadata"),
        (body(provider={"data_collection": "deny"}), "unsupported_parameter", "provider.data_collection"),
        (body(provider={"zdr": True}), "unsupported_parameter", "provider.zdr"),
        (body(provider={"quantizations": ["fp8"]}), "unsupported_parameter", "provider.quantizations"),
        (
            body(provider={"enforce_distillable_text": True}),
            "unsupported_parameter",
            "provider.enforce_distillable_text",
        ),
        (body(provider={"max_latency": 1}), "unsupported_parameter", "provider.max_latency"),
        (body(provider={"region": "eu", "sort": "price"}), "unsupported_parameter", "provider.region"),
        (body(transforms=["middle-out"]), "unsupported_parameter", "transforms"),
        (body(plugins=[{"id": "web"}]), "unsupported_parameter", "plugins"),
        (body(transforms=["middle-out"], plugins=[{"id": "web"}]), "unsupported_parameter", "plugins"),
        (body(tools=[FUNCTION] * 129), "array_above_max_length", "tools"),
        (body(tools=[{"type": "function"}]), "missing_required_parameter", "tools[0].function"),
        (body(tools=[{"type": "function", "function": {}}]), "missing_required_parameter", "tools[0].function.name"),
        (body(tools=[{"type": "web_search"}]), "unsupported_parameter", "tools[0].type"),
        (body(tool_choice="required"), "invalid_value", "tool_choice"),
        (body(tools=[FUNCTION], tool_choice="always"), "invalid_value", "tool_choice"),
        (body(response_format={"type": "xml"}), "invalid_value", "response_format.type"),
        (body(response_format={"type": "json_schema"}), "missing_required_parameter", "response_format.json_schema"),
        (body(reasoning_effort="enormous"), "invalid_value", "reasoning_effort"),
        (body(service_tier="flex"), "unsupported_parameter", "service_tier"),
        (body(modalities=["text", "audio"]), "unsupported_parameter", "modalities"),
        (body(audio={"voice": "x"}), "unsupported_parameter", "modalities"),
        (body(modalities=["image"]), "unsupported_parameter", "modalities"),
        (body(search_parameters={"mode": "on"}), "unsupported_parameter", "search_parameters"),
        (body(web_search_options={}), "unsupported_parameter", "web_search_options"),
        (body(api_key="x"), "unsupported_parameter", "api_key"),
        (body(base_url=None), "unsupported_parameter", "base_url"),
        (body(extra_headers={}), "unsupported_parameter", "extra_headers"),
        (body(provider={"sort": "best"}), "invalid_value", "provider.sort"),
        (body(provider={"max_cost": -1}), "decimal_below_min_value", "provider.max_cost"),
        (body(models=["x"] * 9), "array_above_max_length", "models"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_fault_is_refused_under_its_code_and_place(request_: dict[str, Any], code: str, param: str) -> None:
    assert refusal_of(request_) == (code, param)


# --- in general ------------------------------------------------------------------------------------------------------

FIELDS = [*sorted(ChatRequest.__struct_fields__), "api_key", "unknown"]
scalar = st.none() | st.booleans() | st.integers(-5, 200) | st.floats(-3, 3) | st.text(max_size=4)
value = st.recursive(
    scalar,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "role", "content", "name", "function", "url", "text"]), inner)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(FIELDS), value, max_size=4), st.lists(value, max_size=2))
def test_any_object_is_either_a_request_or_refused_by_name(members: dict[str, Any], messages: list[Any]) -> None:
    error: InvalidRequest | None = None
    try:
        read(body(**{"messages": [USER, *messages], **members}))
    except InvalidRequest as caught:
        error = caught
    assert error is None or (error.status == 400 and error.code and error.message)
    assert error is None or re.fullmatch(r"[\w.\[\]]+", error.param or "x")


NOTHING: tuple[Any, ...] = (None, [], {}, "", 0, False)
DROPPED = ("tools", "functions", "tool_choice", "function_call", "parallel_tool_calls", "response_format",
           "top_logprobs", "user", "web_search_options", "transforms", "plugins")  # fmt: skip


@given(st.dictionaries(st.sampled_from(FIELDS), value, max_size=4))
def test_reading_a_request_takes_out_only_what_asks_for_nothing(members: dict[str, Any]) -> None:
    request = body(**members)
    before = dict(request)
    try:
        read(request)
    except InvalidRequest:
        pass
    assert repr(request) == repr({name: value for name, value in before.items() if name in request})
    assert all(name in DROPPED and before[name] in NOTHING for name in before.keys() - request.keys())


@pytest.mark.parametrize("name", sorted(set(ChatRequest.__struct_fields__) - {"model", "messages"}))
def test_null_is_absent_for_every_optional_field(name: str) -> None:
    assert read(body(**{name: None})) == read(body())


@pytest.mark.parametrize(
    "members",
    [
        {"tools": [{"type": "function", "custom": None,
                    "function": {"name": "f", "description": None, "parameters": None, "strict": None}}]},
        {"tools": [{"type": "custom", "custom": {"name": "x"}, "function": None}]},
        {"functions": [{"name": "f", "description": None, "parameters": None}]},
        {"response_format": {"type": "text", "json_schema": None}},
        {"response_format": {"type": "json_schema",
                             "json_schema": {"name": "n", "description": None, "schema": None, "strict": None}}},
        {"stream": True, "stream_options": {"include_usage": None, "include_obfuscation": None}},
        {"provider": dict.fromkeys(["order", "only", "ignore", "sort", "allow_fallbacks", "max_price", "zdr"])},
        {"usage": {"include": None}},
    ],
    ids=str,
)  # fmt: skip
def test_null_is_absent_for_nested_fields_too(members: dict[str, Any]) -> None:
    assert read(body(**members)).model == "m"


def test_what_upstreams_may_refuse_does_not_travel_on() -> None:
    request = body(
        tools=None, functions=[], user=None, top_logprobs=None, transforms=[], plugins=None, stop=None, x=None
    )

    read(request)

    assert request == body(stop=None, x=None)
