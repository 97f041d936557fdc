"""Reading a Responses request: what is refused, by name, and what is taken out of the body."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.errors import InvalidRequest
from routing.endpoints.responses.schema import Message, Part, ResponsesRequest, read

USER = {"role": "user", "content": "a"}
FUNCTION = {"type": "function", "name": "f"}
OFFER = {"type": "web_search", "external_web_access": False}


def asked(**members: Any) -> ResponsesRequest:
    return read({"model": "m", "input": "a", **members})


def refused(**members: Any) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        asked(**members)
    return caught.value.code, caught.value.param


def test_text_is_a_users_message() -> None:
    assert asked().items == [("message", Message("user", "a"))]


def test_items_are_read_by_their_kinds() -> None:
    request = asked(
        input=[
            USER,
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "id": "fc_1", "status": "x"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "d"}]},
            {"type": "local_shell_call", "id": "l"},
        ]
    )
    assert [kind for kind, _item in request.items] == [
        "message", "message", "function_call", "function_call_output", "local_shell_call",
    ]  # fmt: skip
    assert request.items[-1][1] == {"type": "local_shell_call", "id": "l"}
    assert request.parts() == [Part("output_text", "b"), Part("input_text", "d")]


@pytest.mark.parametrize(
    ("members", "code", "param"),
    [
        ({"input": None}, "invalid_type", "input"),
        ({"input": []}, "empty_array", "input"),
        ({"input": [{"role": "tool", "content": "a"}]}, "invalid_value", "input[0].role"),
        ({"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "missing_required_parameter",
         "input[0].arguments"),
        ({"input": [USER, {"role": "user", "content": 1}]}, "invalid_type", "input[1].content"),
        ({"input": [{"id": "msg_1"}]}, "unsupported_parameter", "input[0]"),
        ({"input": [USER, {"type": "item_reference", "id": "msg_1"}]}, "unsupported_parameter", "input[1]"),
        ({"input": [USER, {"type": "function_call_output", "call_id": "c", "output": "d"}]}, "invalid_value",
         "input[1].call_id"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "missing_required_parameter",
         "input.content.text"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "missing_required_parameter",
         "input.content.image_url"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "unsupported_parameter",
         "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "unsupported_parameter", "input"),
        ({"previous_response_id": "r"}, "unsupported_parameter", "previous_response_id"),
        ({"conversation": {"id": "c"}}, "unsupported_parameter", "conversation"),
        ({"background": True}, "unsupported_parameter", "background"),
        ({"prompt": {"id": "p"}}, "unsupported_parameter", "prompt"),
        ({"moderation": {"model": "m"}}, "unsupported_parameter", "moderation"),
        ({"service_tier": "flex"}, "unsupported_parameter", "service_tier"),
        ({"max_output_tokens": 15}, "integer_below_min_value", "max_output_tokens"),
        ({"temperature": 3}, "decimal_above_max_value", "temperature"),
        ({"stream_options": {}}, "invalid_value", "stream_options"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "missing_required_parameter", "text.format.name"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "missing_required_parameter",
         "text.format.schema"),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].name"),
        ({"tools": [FUNCTION, {"type": "mcp"}]}, "unsupported_parameter", "tools[1].type"),
        ({"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}, "unsupported_parameter",
         "tools[0].type"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]}]}, "unsupported_parameter",
         "tools[0].tools[0].type"),
        ({"tools": [{"type": "web_search", "external_web_access": True}]}, "unsupported_parameter", "tools[0].type"),
        ({"tools": [OFFER], "tool_choice": {"type": "web_search"}}, "unsupported_parameter", "tools[0].type"),
        ({"tools": [OFFER], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "web_search_preview"}]}},
         "unsupported_parameter", "tools[0].type"),
        ({"tools": [OFFER], "tool_choice": "required"}, "invalid_value", "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": "always"}, "invalid_value", "tool_choice"),
        ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
        ({"input": [{"type": "additional_tools", "tools": [FUNCTION, {"type": "mcp"}]}]}, "unsupported_parameter",
         "input[0].tools[1].type"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(members: dict[str, Any], code: str, param: str) -> None:
    assert refused(**members) == (code, param)


@pytest.mark.parametrize(
    "members",
    [
        {"previous_response_id": None, "background": False, "conversation": None, "store": True},
        {"tools": [{"type": "shell", "environment": {"type": "local"}}, {"type": "local_shell"}]},
        {"tools": [FUNCTION], "tool_choice": "required"},
        {"input": [{"type": "additional_tools", "tools": [FUNCTION]}, USER], "tool_choice": "required"},
        {"tool_choice": "auto"},
        {"tool_choice": "none"},
        {"service_tier": "auto"},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}},
        {"max_output_tokens": 16},
    ],
    ids=lambda members: " ".join(members),
)
def test_what_is_right_is_read(members: dict[str, Any]) -> None:
    assert asked(**members).model == "m"


def test_offered_searches_are_taken_out_wherever_they_stand() -> None:
    more = {"type": "additional_tools", "tools": [OFFER, FUNCTION]}
    body = {"model": "m", "input": [more, USER], "tools": [FUNCTION, OFFER, FUNCTION]}

    request = read(body)

    assert body["tools"] == [FUNCTION, FUNCTION]
    assert body["input"] == [{"type": "additional_tools", "tools": [FUNCTION]}, USER]
    assert [tool.type for tool in request.all_tools()] == ["function"] * 3


def test_nulls_that_nobody_knows_are_taken_out() -> None:
    body = {"model": "m", "input": "a", "tools": None, "user": None, "text": None, "tool_choice": None}
    read(body)
    assert body == {"model": "m", "input": "a"}


@pytest.mark.parametrize(
    ("reasoning", "shows"),
    [(None, False), ({"effort": "low"}, False), ({"summary": "auto"}, True), ({"generate_summary": "concise"}, True)],
)
def test_summary_is_shown_where_one_is_asked_for(reasoning: Any, shows: bool) -> None:
    assert asked(reasoning=reasoning).shows_summary is shows


BOUNDS: dict[str, tuple[list[Any], list[Any]]] = {
    "max_output_tokens": ([16, 2**31 - 1], [15, 2**31]),
    "max_tool_calls": ([1], [0]),
    "temperature": ([0, 2], [-0.1, 2.1]),
    "top_p": ([0, 1], [-0.1, 1.1]),
    "top_logprobs": ([0, 20], [-1, 21]),
    "input": ([[USER] * 10_000], [[USER] * 10_001]),
    "tools": ([[FUNCTION] * 1_000], [[FUNCTION] * 1_001]),
    "metadata": (
        [{str(each): "a" for each in range(16)}, {"a" * 64: "b" * 512}],
        [{str(each): "a" for each in range(17)}, {"a" * 65: "b"}, {"a": "b" * 513}],
    ),
    "models": ([["m"] * 8], [["m"] * 9]),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_are_the_public_apis(name: str) -> None:
    within, beyond = BOUNDS[name]
    for value in within:
        given: dict[str, Any] = {name: value}
        assert asked(**given).model == "m"
    for value in beyond:
        odd: dict[str, Any] = {name: value}
        assert refused(**odd)[1] == name


def test_tools_among_the_items_are_as_many() -> None:
    more = {"type": "additional_tools", "tools": [FUNCTION] * 1_000}
    assert len(asked(input=[more, USER]).all_tools()) == 1_000
    assert refused(input=[{**more, "tools": [FUNCTION] * 1_001}, USER])[1] == "input[0].tools"


@pytest.mark.parametrize("name", ["search_parameters", "enable_search", "moderation", "background", "prompt"])
def test_what_asks_for_nothing_is_not_refused(name: str) -> None:
    nothing: dict[str, Any] = {name: None}
    assert asked(**nothing).model == "m"
    if name in {"search_parameters", "enable_search"}:
        something: dict[str, Any] = {name: True}
        assert refused(**something) == ("unsupported_parameter", name)


@pytest.mark.parametrize(
    ("members", "shows", "includes", "has_schema"),
    [
        ({}, False, False, False),
        ({"include": []}, False, False, False),
        ({"include": ["x"], "text": {}}, False, True, False),
        ({"text": {"format": {"type": "text"}}}, False, False, False),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}}, False, False, True),
        ({"reasoning": {}}, False, False, False),
        ({"reasoning": {"summary": "auto"}}, True, False, False),
    ],
    ids=str,
)
def test_what_is_wanted_is_told(members: dict[str, Any], shows: bool, includes: bool, has_schema: bool) -> None:
    request = asked(**members)
    assert (request.shows_summary, request.includes("x"), request.has_schema) == (shows, includes, has_schema)
    assert (request.is_stream, request.cap) == (False, None)


def test_results_answer_what_was_called_before_of_either_kind() -> None:
    custom = {"type": "custom_tool_call", "call_id": "d", "name": "c", "input": "x"}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    results = [
        {"type": "function_call_output", "call_id": "c", "output": "a"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": [{"type": "input_text", "text": "b"}]},
    ]
    assert [part.text for part in asked(input=[call, custom, *results]).parts()] == ["b"]
    assert refused(input=[call, *results]) == ("invalid_value", "input[2].call_id")
    assert refused(input=[results[0], call]) == ("invalid_value", "input[0].call_id")


@pytest.mark.parametrize(
    ("choice", "is_kept"),
    [
        (None, False),
        ("auto", False),
        ({"type": "function", "name": "f"}, False),
        ({"type": "allowed_tools", "tools": [FUNCTION]}, False),
        ({"type": "allowed_tools", "tools": "web_search"}, False),
        ({"type": "allowed_tools", "tools": ["web_search"]}, False),
        ({"type": "allowed_tools", "tools": [FUNCTION, OFFER]}, True),
        ({"type": "web_search_2025_08_26"}, True),
    ],
    ids=str,
)
def test_search_is_an_offer_unless_it_is_chosen(choice: Any, is_kept: bool) -> None:
    members = {"tools": [FUNCTION, OFFER], "tool_choice": choice}
    if is_kept:
        assert refused(**members) == ("unsupported_parameter", "tools[1].type")
    else:
        assert [tool.type for tool in asked(**members).all_tools()] == ["function"]


@pytest.mark.parametrize("kind", ["web_search", "web_search_2025_08_26", "mcp"])
def test_refusal_of_a_search_says_what_codex_can_do(kind: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked(tools=[{"type": kind}])
    assert ("Codex" in caught.value.message) is (kind != "mcp")
    assert caught.value.kept == "Hosted tools have no price."


@pytest.mark.parametrize("environment", [None, {}, {"type": "local"}])
def test_shell_of_the_clients_own_costs_its_tokens(environment: Any) -> None:
    assert asked(tools=[{"type": "shell", "environment": environment}]).model == "m"


def test_item_whose_kind_is_none_is_the_upstreams() -> None:
    assert asked(input=[{"type": ["x"]}, USER]).items[0] == ("['x']", {"type": ["x"]})
