"""Chat requests as they go up in Anthropic's format."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from tests.routing.providers.anthropic.calls import HI, call, request, said, sent, text, turns

FUNCTION = {"name": "f", "description": "does f", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": FUNCTION}
OTHER = {"type": "function", "function": {"name": "g"}}
SAID_TOOL = {"name": "f", "description": "does f", "input_schema": {"type": "object", "properties": {}}}
PIXEL = base64.b64encode(b"pixel").decode()
MARK = {"type": "ephemeral"}


def called(id_: str, arguments: Any = "{}", name: str = "f") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


# --- the whole -------------------------------------------------------------------------------------------------------


def test_smallest_request_has_no_more_than_it_must() -> None:
    assert sent(call()) == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 4_000,
        "messages": [{"role": "user", "content": [text("Hi")]}],
    }


def test_request_goes_to_messages_with_anthropics_own_headers() -> None:
    asked = request(call(is_stream=True))
    assert asked.path == "/messages"
    assert dict(asked.headers) == {
        "content-type": "application/json",
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "user-agent": "CostRouter",
        "anthropic-version": "2023-06-01",
        "x-api-key": "sk-ant-secret",
    }
    assert orjson.loads(asked.body)["stream"] is True


def test_channel_names_its_version_and_its_features() -> None:
    options = {"version": "2024-01-01", "beta": ["a-1", "b-2"]}
    headers = dict(request(call(options=options)).headers)
    assert (headers["anthropic-version"], headers["anthropic-beta"]) == ("2024-01-01", "a-1,b-2")
    assert headers["accept"] == "application/json"


@pytest.mark.parametrize(
    "options", [{"version": "a b"}, {"beta": ["x\r\ny"]}, {"cache": "2h"}, {"thinking": "yes"}, {"ttl": "5m"}], ids=str
)
def test_setting_that_is_none_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        call(options=options)


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        pytest.param({"stop": "END"}, {"stop_sequences": ["END"]}, id="one stop"),
        pytest.param({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}, id="stops"),
        pytest.param({"user": "u-1"}, {"metadata": {"user_id": "u-1"}}, id="user"),
        pytest.param({"user": "u", "safety_identifier": "s"}, {"metadata": {"user_id": "s"}}, id="the newer name"),
        pytest.param({"user": "u" * 300}, {"metadata": {"user_id": "u" * 256}}, id="a long user"),
        pytest.param({"service_tier": "auto"}, {"service_tier": "auto"}, id="any tier"),
        pytest.param({"service_tier": "default"}, {"service_tier": "standard_only"}, id="the usual tier"),
        pytest.param({"temperature": 0.3}, {"temperature": 0.3}, id="temperature"),
        pytest.param({"temperature": 1.7}, {"temperature": 1}, id="temperature above Anthropic's"),
        pytest.param({"top_p": 0.5}, {"top_p": 0.5}, id="top_p"),
        pytest.param({"top_k": 5}, {"top_k": 5}, id="top_k"),
        pytest.param({"temperature": 0.3, "top_p": 0.5}, {"temperature": 0.3}, id="one of both"),
        pytest.param({"temperature": 1, "top_p": 0.5}, {"top_p": 0.5}, id="the one that says something"),
        pytest.param({"seed": 5, "store": True, "metadata": {"a": "b"}, "prompt_cache_key": "k"}, {}, id="hints"),
        pytest.param({"n": 1, "logprobs": False, "presence_penalty": 0, "logit_bias": {}}, {}, id="nothing asked"),
        pytest.param({"response_format": {"type": "text"}}, {}, id="text"),
        pytest.param({"models": ["a"], "provider": {"sort": "price"}, "usage": {"include": True}}, {}, id="ours"),
        pytest.param({"max_tokens": 50, "max_completion_tokens": 60, "stream_options": None}, {}, id="caps"),
        pytest.param({"cache_control": MARK}, {"cache_control": MARK}, id="automatic marks"),
        pytest.param({"user": None, "stop": None, "tools": None, "temperature": None}, {}, id="null is absent"),
    ],
)
def test_members_are_said_in_anthropics_words(members: dict[str, Any], shown: dict[str, Any]) -> None:
    asked = said(**members)
    assert {name: asked[name] for name in asked if name not in {"model", "max_tokens", "messages"}} == shown


def test_older_models_take_both_ways_of_sampling() -> None:
    asked = said(model="claude-3-5-haiku", temperature=0.3, top_p=0.5)
    assert (asked["temperature"], asked["top_p"]) == (0.3, 0.5)


@pytest.mark.parametrize("model", ["claude-opus-4-7", "claude-sonnet-5", "claude-fable-5-1", "claude-mythos-preview"])
def test_newer_models_are_asked_without_sampling(model: str) -> None:
    asked = said(model=model, temperature=0.3, top_p=0.9, top_k=5)
    assert not {"temperature", "top_p", "top_k"} & asked.keys()


def test_schema_is_closed_and_limits_become_words() -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 1}}, "required": ["age"]}
    asked = said(
        response_format={"type": "json_schema", "json_schema": {"name": "p", "strict": True, "schema": schema}}
    )
    assert asked["output_config"] == {
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "properties": {"age": {"type": "integer", "description": "{minimum: 1}"}},
                "required": ["age"],
                "additionalProperties": False,
            },
        }
    }


def test_schema_and_effort_stand_beside_each_other() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "p", "schema": {"type": "string"}}}
    asked = said(model="claude-opus-4-6", response_format=form, reasoning_effort="low")
    assert asked["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "string"}}}


# --- tools -----------------------------------------------------------------------------------------------------------


def test_tools_are_named_described_and_given_a_schema() -> None:
    tools = said(tools=[{**TOOL, "cache_control": MARK}, OTHER])["tools"]
    assert tools == [
        {**SAID_TOOL, "cache_control": MARK},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]


def test_strict_tool_is_strict_and_its_schema_closed() -> None:
    schema = {"properties": {"a": {"type": "string", "maxLength": 5}}}
    (tool,) = said(tools=[{"type": "function", "function": {"name": "f", "strict": True, "parameters": schema}}])[
        "tools"
    ]
    assert tool["strict"] is True
    assert tool["input_schema"] == {
        "type": "object",
        "properties": {"a": {"type": "string", "description": "{maxLength: 5}"}},
        "additionalProperties": False,
    }


def test_tool_that_is_not_strict_keeps_its_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 5}}}
    (tool,) = said(tools=[{"type": "function", "function": {"name": "f", "strict": False, "parameters": schema}}])[
        "tools"
    ]
    assert tool == {"name": "f", "input_schema": schema}


NAMED = {"type": "function", "function": {"name": "f"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}


@pytest.mark.parametrize(
    ("members", "choice"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"tool_choice": "auto"}, {"type": "auto"}, id="auto"),
        pytest.param({"tool_choice": "none"}, {"type": "none"}, id="none"),
        pytest.param({"tool_choice": "required"}, {"type": "any"}, id="required"),
        pytest.param({"tool_choice": NAMED}, {"type": "tool", "name": "f"}, id="named"),
        pytest.param({"tool_choice": ALLOWED}, {"type": "any"}, id="allowed"),
        pytest.param({"parallel_tool_calls": True}, None, id="parallel"),
        pytest.param(
            {"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}, id="one at a time"
        ),
        pytest.param(
            {"tool_choice": "required", "parallel_tool_calls": False},
            {"type": "any", "disable_parallel_tool_use": True},
            id="just one",
        ),
        pytest.param({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}, id="none at a time"),
    ],
)
def test_choice_among_tools(members: dict[str, Any], choice: Any) -> None:
    assert said(tools=[TOOL, OTHER], **members).get("tool_choice") == choice


def test_tools_that_are_not_allowed_are_not_offered() -> None:
    assert [tool["name"] for tool in said(tools=[TOOL, OTHER], tool_choice=ALLOWED)["tools"]] == ["f"]


def test_choice_without_tools_is_none() -> None:
    assert not {"tools", "tool_choice"} & said(tool_choice="none", parallel_tool_calls=False).keys()


# --- messages --------------------------------------------------------------------------------------------------------


def test_instructions_are_the_system_prompt_wherever_they_stood() -> None:
    asked = said(
        messages=[
            {"role": "system", "content": "One."},
            *HI,
            {"role": "developer", "content": [text("Two.", cache_control=MARK)]},
        ]
    )
    assert asked["system"] == [text("One."), text("Two.", cache_control=MARK)]
    assert asked["messages"] == [{"role": "user", "content": [text("Hi")]}]


def test_one_plain_instruction_is_a_text() -> None:
    assert said(messages=[{"role": "system", "content": "One."}, *HI])["system"] == "One."


def test_instructions_alone_are_what_the_user_says() -> None:
    asked = said(messages=[{"role": "system", "content": "Say hi."}])
    assert "system" not in asked
    assert asked["messages"] == [{"role": "user", "content": [text("Say hi.")]}]


def test_messages_of_one_role_are_one_turn() -> None:
    assert turns(
        {"role": "user", "content": "a"},
        {"role": "user", "content": [text("b")]},
        {"role": "assistant", "content": "c"},
        {"role": "assistant", "content": "d"},
        {"role": "user", "content": "e", "name": "Ann"},
    ) == [
        {"role": "user", "content": [text("a"), text("b")]},
        {"role": "assistant", "content": [text("c"), text("d")]},
        {"role": "user", "content": [text("e")]},
    ]


def test_blank_text_is_no_block() -> None:
    assert turns(
        {"role": "user", "content": [text(" \n"), text("a")]},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": " "},
    ) == [{"role": "user", "content": [text("a")]}]


def test_answer_to_go_on_with_ends_in_no_white_space() -> None:
    assert turns(*HI, {"role": "assistant", "content": "It is \n"})[-1]["content"] == [text("It is")]
    assert turns(*HI, {"role": "assistant", "content": "It is "}, *HI)[1]["content"] == [text("It is ")]


def test_refusal_is_what_the_assistant_said() -> None:
    assert turns(*HI, {"role": "assistant", "content": None, "refusal": "No."}, *HI)[1]["content"] == [text("No.")]
    part = {"type": "refusal", "refusal": "No."}
    assert turns(*HI, {"role": "assistant", "content": [part]}, *HI)[1]["content"] == [text("No.")]


def test_calls_and_their_results_stand_where_anthropic_wants_them() -> None:
    assert turns(
        *HI,
        {"role": "assistant", "content": "Let me see.", "tool_calls": [called("a"), called("b", "", "g")]},
        {"role": "user", "content": "Hurry."},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "", "is_error": True},
    )[1:] == [
        {
            "role": "assistant",
            "content": [
                text("Let me see."),
                {"type": "tool_use", "id": "a", "name": "f", "input": {}},
                {"type": "tool_use", "id": "b", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "1"},
                {"type": "tool_result", "tool_use_id": "b", "is_error": True},
                text("Hurry."),
            ],
        },
    ]


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ('{"a": 1.0, "a":1e-7,\n"n":123456789012345678901234567890}',) * 2,
        ('{"é":"\\ud83d\\ude00"}',) * 2,
        (" ", "{}"),
        (None, "{}"),
        ('{"a": ', '{"INVALID_JSON":"{\\"a\\": "}'),
        ("[1]", '{"INVALID_JSON":"[1]"}'),
    ],
)
def test_arguments_go_up_byte_by_byte_and_as_an_object(arguments: Any, written: str) -> None:
    messages = [*HI, {"role": "assistant", "tool_calls": [called("a", arguments)]}]
    body = request(call(body={"model": "m", "messages": messages})).body
    assert b'"input":' + written.encode() + b"}" in body


def test_foreign_ids_are_made_anthropics_and_stay_apart() -> None:
    first, second = turns(
        *HI,
        {"role": "assistant", "tool_calls": [called("functions.f:0"), called("functions.f.0")]},
        {"role": "tool", "tool_call_id": "functions.f:0", "content": "1"},
        {"role": "tool", "tool_call_id": "functions.f.0", "content": "2"},
    )[1:]
    ids = [block["id"] for block in first["content"]]
    assert ids == [block["tool_use_id"] for block in second["content"]]
    assert ids == ["functions_f_0_b9a7d792", "functions_f_0_970900c7"]


def test_foreign_id_that_is_long_is_kept_in_part() -> None:
    (asked,) = turns(*HI, {"role": "assistant", "tool_calls": [called("é" * 300)]})[1]["content"]
    assert asked["id"].startswith("_" * 201)
    assert len(asked["id"]) == 200 + len("_b9a7d792")


def test_only_what_the_assistant_is_to_go_on_with_ends_without_white_space() -> None:
    talk: list[dict[str, Any]] = [
        {"role": "user", "content": "One? \n"},
        {"role": "assistant", "content": "1 \n"},
        {"role": "user", "content": "Two? \n"},
        {"role": "assistant", "content": "2 \n"},
    ]
    assert [turn["content"][0]["text"] for turn in turns(*talk)] == ["One? \n", "1 \n", "Two? \n", "2"]
    assert [turn["content"][0]["text"] for turn in turns(*talk[:3])] == ["One? \n", "1 \n", "Two? \n"]


def test_result_of_parts_has_its_pictures_and_its_mark_outside() -> None:
    parts = [text("seen:"), {"type": "image_url", "image_url": {"url": "https://x/y.png"}, "cache_control": MARK}]
    (result,) = turns(
        *HI,
        {"role": "assistant", "tool_calls": [called("a")]},
        {"role": "tool", "tool_call_id": "a", "content": parts},
    )[-1]["content"]
    assert result == {
        "type": "tool_result",
        "tool_use_id": "a",
        "content": [text("seen:"), {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}],
        "cache_control": MARK,
    }


def test_mark_at_a_message_is_its_last_blocks() -> None:
    (turn,) = turns({"role": "user", "content": [text("a"), text("b")], "cache_control": MARK})
    assert turn["content"] == [text("a"), text("b", cache_control=MARK)]


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, "detail": "high"}}


def file(data: str, **members: Any) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data, **members}}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        pytest.param(
            image(f"data:image/jpg;base64,{PIXEL}"),
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PIXEL}},
            id="data",
        ),
        pytest.param(
            image("data:image/png,pixel"),
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
            id="data that is not coded",
        ),
        pytest.param(
            image("HTTPS://x.example/a.png"),
            {"type": "image", "source": {"type": "url", "url": "HTTPS://x.example/a.png"}},
            id="address",
        ),
        pytest.param(
            {"type": "image_url", "image_url": "https://x/a.png", "cache_control": MARK},
            {"type": "image", "source": {"type": "url", "url": "https://x/a.png"}, "cache_control": MARK},
            id="address, short, marked",
        ),
        pytest.param(
            file(f"data:application/pdf;base64,{PIXEL}", filename="a.pdf"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PIXEL},
                "title": "a.pdf",
            },
            id="pdf",
        ),
        pytest.param(
            file("https://x/a.pdf"),
            {"type": "document", "source": {"type": "url", "url": "https://x/a.pdf"}},
            id="pdf elsewhere",
        ),
        pytest.param(
            file(f"data:text/plain;charset=utf-8;base64,{PIXEL}"),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "pixel"}},
            id="text",
        ),
        pytest.param(
            file("data:,a%20b"),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a b"}},
            id="text that is not coded",
        ),
        pytest.param(
            file("data:text/plain;base64,a"),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}},
            id="text that is coded badly",
        ),
    ],
)
def test_pictures_and_files_are_blocks(part: dict[str, Any], block: dict[str, Any]) -> None:
    assert turns({"role": "user", "content": [part]}) == [{"role": "user", "content": [block]}]


# --- thoughts that are handed back -----------------------------------------------------------------------------------


def thought(words: str = "hm", **members: Any) -> dict[str, Any]:
    return {"type": "reasoning.text", "text": words, **members}


@pytest.mark.parametrize(
    ("details", "blocks"),
    [
        pytest.param(
            [thought(signature="s")], [{"type": "thinking", "thinking": "hm", "signature": "s"}], id="a signed one"
        ),
        pytest.param(
            [thought("a"), thought("b"), {"type": "reasoning.text", "signature": "s"}, thought("c", signature="t")],
            [
                {"type": "thinking", "thinking": "ab", "signature": "s"},
                {"type": "thinking", "thinking": "c", "signature": "t"},
            ],
            id="a stream's pieces",
        ),
        pytest.param(
            [{"type": "reasoning.encrypted", "data": "d", "format": "anthropic-claude-v1"}],
            [{"type": "redacted_thinking", "data": "d"}],
            id="a sealed one",
        ),
        pytest.param([thought("", signature="s")], [{"type": "thinking", "thinking": "", "signature": "s"}], id="kept"),
        pytest.param([thought()], [], id="nobody signed it"),
        pytest.param(
            [thought("a", signature="", index=0), thought("b", signature="s", index=1)],
            [{"type": "thinking", "thinking": "b", "signature": "s"}],
            id="an empty signature before a signed one",
        ),
        pytest.param(
            [thought("a", index=2), thought("b", signature="s", index=2)],
            [{"type": "thinking", "thinking": "ab", "signature": "s"}],
            id="pieces of one index",
        ),
        pytest.param([thought(signature="s", format="openai-responses-v1")], [], id="another vendor's"),
        pytest.param(
            [{"type": "reasoning.summary", "summary": "x"}, 5, {"type": "reasoning.encrypted"}], [], id="none"
        ),
        pytest.param("hm", [], id="no list"),
    ],
)
def test_thoughts_come_before_what_was_said(details: Any, blocks: list[Any]) -> None:
    message = {"role": "assistant", "content": "So.", "reasoning_content": "hm", "reasoning_details": details}
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    assert turns(*HI, {**message, "tool_calls": [called("a")]})[1]["content"] == [*blocks, text("So."), use]
