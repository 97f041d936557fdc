"""A Responses request in chat's format: every kind of item, every member, and what cannot be said."""

from __future__ import annotations

from typing import Any

import pytest

from routing.endpoints.invalid import UnsupportedParameter
from routing.endpoints.responses.messages import chat_body
from routing.endpoints.responses.schema import read
from routing.providers.openai.thoughts import pack

USER = {"role": "user", "content": "a"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{ "a":1}'}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "b"}
SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "s"}]}
CALLED = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{ "a":1}'}}


def said(**members: Any) -> dict[str, Any]:
    return chat_body(read({"model": "m", "input": "a", **members}))


def messages(*items: Any, **members: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = said(input=list(items), **members)["messages"]
    return found


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def thought(text: str, **members: Any) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": text}], **members}


def test_instructions_that_follow_each_other_are_one_message() -> None:
    parts = [{"type": "input_text", "text": "c"}, {"type": "input_text", "text": "d"}]
    found = messages(
        {"role": "developer", "content": "b"}, {"role": "system", "content": parts}, USER,
        {"role": "developer", "content": "e"}, instructions="i",
    )  # fmt: skip
    assert found == [system("i\n\nb\n\nc\n\nd"), USER, system("e")]


def test_instructions_with_pictures_stay_apart() -> None:
    picture = {"role": "developer", "content": [{"type": "input_image", "image_url": "https://a.example/b.png"}]}
    shown = [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]
    assert messages(picture, instructions="i") == [system("i"), {"role": "system", "content": shown}]


def test_what_one_turn_said_is_one_message() -> None:
    found = messages(USER, thought("t"), SAID, CALL, {**CALL, "call_id": "d"}, OUTPUT, {**OUTPUT, "call_id": "d"}, SAID)
    assert found == [
        USER,
        {
            "role": "assistant", "content": "s", "reasoning_content": "t",
            "tool_calls": [CALLED, {**CALLED, "id": "d"}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "b"},
        {"role": "tool", "tool_call_id": "d", "content": "b"},
        {"role": "assistant", "content": "s"},
    ]  # fmt: skip


def test_calls_need_no_text_and_thoughts_alone_have_an_empty_one() -> None:
    assert messages(USER, CALL, OUTPUT)[1] == {"role": "assistant", "content": None, "tool_calls": [CALLED]}
    assert messages(USER, thought("t")) == [USER, {"role": "assistant", "content": "", "reasoning_content": "t"}]


def test_texts_of_one_turn_are_joined() -> None:
    assert messages(USER, SAID, {"role": "assistant", "content": "u"})[1:] == [
        {"role": "assistant", "content": "s\n\nu"}
    ]


def test_text_that_says_nothing_adds_nothing() -> None:
    assert messages(USER, SAID, {"role": "assistant", "content": ""})[1:] == [{"role": "assistant", "content": "s"}]


def test_refusal_is_one() -> None:
    refused = {"role": "assistant", "content": [{"type": "refusal", "refusal": "r"}]}
    assert messages(USER, refused)[1] == {"role": "assistant", "content": "", "refusal": "r"}


DETAILS = [{"type": "reasoning.text", "text": "t", "signature": "s"}, {"type": "reasoning.encrypted", "data": "d"}]


def test_thoughts_come_back_word_by_word() -> None:
    content = [{"type": "reasoning_text", "text": "c"}]
    found = messages(USER, thought("t", content=content, encrypted_content=pack(DETAILS)), thought("u"), SAID)
    assert found[1] == {
        "role": "assistant", "content": "s", "reasoning_content": "c\n\nu", "reasoning_details": DETAILS,
    }  # fmt: skip


@pytest.mark.parametrize("foreign", ["gAAAA", "cr1.%%", "cr1.MTI=", "cr1.WzFd"])
def test_thoughts_of_others_are_left_out(foreign: str) -> None:
    assert messages(USER, thought("", encrypted_content=foreign), SAID)[1] == {"role": "assistant", "content": "s"}


def test_parts_have_chats_names() -> None:
    parts = [
        {"type": "input_text", "text": "b"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
        {"type": "input_image", "image_url": "https://a.example/b.png"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
    ]
    shown = [
        {"type": "text", "text": "b"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"}},
    ]
    assert messages({"role": "user", "content": parts}) == [{"role": "user", "content": shown}]
    assert messages({"role": "user", "content": parts[:1]}) == [{"role": "user", "content": "b"}]


def test_pictures_that_tools_return_come_behind_the_results() -> None:
    """A tool's message has text alone in chat's format."""
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AA"}
    other = {**CALL, "call_id": "d"}
    outputs = [
        {**OUTPUT, "output": [{"type": "input_text", "text": "b"}, picture, {"type": "input_text", "text": "e"}]},
        {**OUTPUT, "call_id": "d", "output": [picture]},
    ]
    shown = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    results = [
        {"role": "tool", "tool_call_id": "c", "content": "b\ne"},
        {"role": "tool", "tool_call_id": "d", "content": "The result follows."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "The result of c:"}, shown,
                {"type": "text", "text": "The result of d:"}, shown,
            ],
        },
    ]  # fmt: skip
    assert messages(CALL, other, *outputs)[1:] == results
    assert messages(CALL, other, *outputs, USER)[1:] == [*results, messages(USER)[0]]


FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": False}
SPACE = {
    "type": "namespace", "name": "n", "description": "About.",
    "tools": [FUNCTION, {"type": "custom", "name": "c"}, {**FUNCTION, "name": "x" * 70, "description": None}],
}  # fmt: skip
SEARCH = {"type": "tool_search", "execution": "client", "description": "s", "parameters": {"type": "object"}}
LONG = "n__" + "x" * 52 + "_"


def names(body: dict[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in body["tools"]]


def test_tools_are_functions() -> None:
    body = said(tools=[FUNCTION, SPACE, SEARCH, {"type": "function", "name": "g", "parameters": None}])

    assert body["tools"][0] == {
        "type": "function",
        "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": False},
    }
    assert names(body)[1:3] == ["n__f", "n__c"]
    assert len(names(body)[3]) == 64
    assert names(body)[3].startswith(LONG)
    assert names(body)[4:] == ["tool_search", "g"]
    assert [tool["function"].get("description") for tool in body["tools"]] == [
        "d",
        "About.\n\nd",
        None,
        None,
        "s",
        None,
    ]
    assert body["tools"][2]["function"]["parameters"]["properties"]["input"] == {
        "type": "string", "description": "The whole input, as plain text.",
    }  # fmt: skip
    assert body["tools"][5]["function"] == {"name": "g", "parameters": {"type": "object", "properties": {}}}


def test_tools_among_the_items_are_tools_too_and_the_last_of_a_name_is_it() -> None:
    again = {**FUNCTION, "description": "again"}
    found = {"type": "tool_search_output", "call_id": "s", "tools": [SPACE, again]}
    searched = {"type": "tool_search_call", "call_id": "s", "arguments": {"query": "q"}, "execution": "client"}
    more = {"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}

    body = said(input=[more, USER, searched, found], tools=[SEARCH])

    assert names(body)[:4] == ["tool_search", "f", "n__f", "n__c"]
    assert body["tools"][1]["function"]["description"] == "again"
    assert body["messages"][1:] == [
        {
            "role": "assistant", "content": None,
            "tool_calls": [
                {"id": "s", "type": "function", "function": {"name": "tool_search", "arguments": '{"query":"q"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "s", "content": f'{{"tools":["n__f","n__c","{names(body)[4]}","f"]}}'},
    ]  # fmt: skip


def test_calls_of_tools_in_namespaces_and_of_custom_tools_have_their_functions_names() -> None:
    custom = {"type": "custom_tool_call", "call_id": "d", "name": "c", "namespace": "n", "input": 'x"\n'}
    found = messages(USER, {**CALL, "namespace": "n"}, custom, OUTPUT, tools=[SPACE])[1]["tool_calls"]
    assert [call["function"] for call in found] == [
        {"name": "n__f", "arguments": '{ "a":1}'},
        {"name": "n__c", "arguments": '{"input":"x\\"\\n"}'},
    ]


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ("required", "required"),
        ({"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "custom", "name": "c", "namespace": "n"}, {"type": "function", "function": {"name": "n__c"}}),
    ],
    ids=["word", "function", "custom"],
)
def test_choice_of_a_tool_is_chats(choice: Any, chosen: Any) -> None:
    body = said(tools=[FUNCTION, SPACE], tool_choice=choice, parallel_tool_calls=False)
    assert (body["tool_choice"], body["parallel_tool_calls"], len(body["tools"])) == (chosen, False, 4)


def test_allowed_tools_are_all_that_is_sent() -> None:
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}
    body = said(tools=[FUNCTION, SPACE], tool_choice=choice)
    assert (names(body), body["tool_choice"]) == (["f"], "required")


def test_without_tools_nothing_is_said_of_them() -> None:
    assert not {"tools", "tool_choice", "parallel_tool_calls"}.intersection(
        said(tools=[], tool_choice="auto", parallel_tool_calls=True)
    )


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"tools": [{"type": "apply_patch"}]}, "tools[0].type"),
        ({"tools": [{"type": "tool_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "namespace", "name": "o", "tools": []}]}]},
         "tools[0].tools[0].type"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "apply_patch"}}, "tool_choice"),
        ({"input": [USER, {"type": "compaction_trigger"}]}, "input[1].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://a.example/b"}]}]},
         "input[0].content[0].file_url"),
        ({"input": [{"role": "user", "content": [{"type": "computer_screenshot"}]}]}, "input[0].content[0].type"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
    ],
)  # fmt: skip
def test_what_chat_cannot_say_is_named(members: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        said(**members)
    assert caught.value.param == param


def test_members_have_chats_names_and_hints_are_left_out() -> None:
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"}
    same = {"temperature": 0, "top_p": 1, "user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "x": [1]}
    body = said(
        **same, service_tier=None, max_output_tokens=50, reasoning={"effort": "high", "summary": "auto"},
        text={"format": schema, "verbosity": "low"}, top_logprobs=2, store=False, metadata={"a": "b"},
        max_tool_calls=3, client_metadata={"a": "b"}, prompt_cache_options={"ttl": "1h"}, truncation="auto",
        stream=True, stream_options={}, models=["n"], provider={"sort": "price"}, usage={"include": True},
        background=False, include=["reasoning.encrypted_content"], context_management=None,
    )  # fmt: skip
    assert body == {
        **same, "model": "m", "messages": [USER], "reasoning_effort": "high", "verbosity": "low", "logprobs": True,
        "top_logprobs": 2,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"},
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        ({"text": {"format": {"type": "text"}}}, {}),
        ({"reasoning": {"summary": "auto"}}, {}),
        ({"top_logprobs": 0}, {}),
    ],
    ids=lambda value: " ".join(value),
)
def test_members_that_say_little_say_no_more(members: dict[str, Any], told: dict[str, Any]) -> None:
    assert said(**members) == {"model": "m", "messages": [USER], **told}
