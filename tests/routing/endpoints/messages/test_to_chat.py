"""A messages request said as chat's: nothing is lost in silence."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import anthropic.types as types
import anthropic.types.beta as beta
import pytest

from routing.endpoints.chat.schema import read as read_chat
from routing.endpoints.invalid import UnsupportedParameter
from routing.endpoints.messages import to_chat
from routing.endpoints.messages.in_chat import InChat
from routing.endpoints.messages.schema import read

USER = {"role": "user", "content": "Hi"}
MARK = {"type": "ephemeral"}


def said(**members: Any) -> dict[str, Any]:
    """The chat body of a messages request, which is a valid one and leaves the request as it is."""
    body = {"model": "m", "max_tokens": 50, "messages": [USER], **members}
    request, before = read(body), copy.deepcopy(body)
    chat = dict(InChat().body(request, body))
    assert body == before
    read_chat(copy.deepcopy(chat))
    return chat


def turns(*blocks: Any, role: str = "user", before: Any = ()) -> list[dict[str, Any]]:
    last = [] if role == "user" else [USER]
    chat: list[dict[str, Any]] = said(messages=[*before, {"role": role, "content": list(blocks)}, *last])["messages"]
    return chat[: len(chat) - len(last)]


def text(words: str, **members: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **members}


def assert_refused(name: str, **members: Any) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        said(**members)
    assert refused.value.param == name


def test_plain_request_is_the_same_words() -> None:
    members = {"stream": True, "temperature": 0.5, "top_p": 0.9, "top_k": 4}
    assert said(**members) == {"model": "m", "max_tokens": 50, "messages": [USER], **members}


def test_system_is_the_first_message() -> None:
    assert said(system="Be brief.")["messages"] == [{"role": "system", "content": "Be brief."}, USER]
    blocks = [text("a"), text("b", cache_control=MARK)]
    assert said(system=blocks)["messages"][0] == {"role": "system", "content": blocks}
    assert said(system=[text("a")])["messages"][0]["content"] == "a"
    assert said(system="")["messages"] == said(system=[])["messages"] == [USER]


def test_system_amid_the_conversation_stays_in_its_place() -> None:
    messages = [USER, {"role": "system", "content": [text("Now.")]}, USER]
    assert said(messages=messages)["messages"][1] == {"role": "system", "content": "Now."}


def test_pictures_and_files_are_parts() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}}
    far = {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}
    file = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="}}
    assert turns(text("See"), picture, far, {**file, "title": "a.pdf", "context": "Old."}, file)[0]["content"] == [
        text("See"),
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
        {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
        text("Old."),
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,QQ=="}},
    ]


def test_mark_for_the_cache_stands_at_the_end_of_its_block() -> None:
    plain = {"type": "text", "media_type": "text/plain", "data": "words"}
    document = {"type": "document", "context": "Old.", "source": plain, "cache_control": MARK}
    assert turns(document, text("a"))[0]["content"] == [text("Old."), text("words", cache_control=MARK), text("a")]


def test_documents_of_text_are_text() -> None:
    plain = {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
    parted = {"type": "document", "source": {"type": "content", "content": [text("a"), text("b")]}}
    found = {"type": "search_result", "title": "T", "source": "S", "content": [text("c")]}
    assert turns(plain, parted, found)[0]["content"] == [
        text("T"), text("words"), text("a"), text("b"), text("T\nS"), text("c"),
    ]  # fmt: skip


CALLED = {
    "role": "assistant",
    "content": [
        {"type": "thinking", "thinking": "Hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "enc"},
        text("Well"),
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"é": 1.0}},
        {"type": "tool_use", "id": "c2", "name": "g", "input": {}, "caller": {"type": "direct"}},
    ],
}


def test_turn_of_the_model_keeps_thoughts_and_calls() -> None:
    assert turns(*CALLED["content"], role="assistant", before=[USER])[1] == {
        "role": "assistant",
        "content": "Well",
        "reasoning_content": "Hm",
        "reasoning_details": [
            {"type": "reasoning.text", "text": "Hm", "signature": "sig", "index": 0},
            {"type": "reasoning.encrypted", "data": "enc", "index": 1},
        ],
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"é":1.0}'}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


def test_results_are_messages_and_what_they_show_follows() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}
    chat = turns(
        {"type": "tool_result", "tool_use_id": "c1", "content": [text("21"), text("C"), picture]},
        {"type": "tool_result", "tool_use_id": "c2", "is_error": True, "content": "No."},
        text("So?"),
        before=[USER, CALLED],
    )
    assert chat[2:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "21\nC"},
        {"role": "tool", "tool_call_id": "c2", "content": "Error:\nNo."},
        {
            "role": "user",
            "content": [
                text("The result of c1:"),
                {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
                text("So?"),
            ],
        },
    ]


@pytest.mark.parametrize("members", [{}, {"content": []}, {"content": ""}, {"content": None}])
def test_result_without_content_is_an_empty_one(members: dict[str, Any]) -> None:
    (*_before, last) = turns({"type": "tool_result", "tool_use_id": "c1", **members}, before=[USER, CALLED])
    assert last == {"role": "tool", "tool_call_id": "c1", "content": ""}


TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}


def test_tools_are_functions() -> None:
    full = {**TOOL, "type": "custom", "description": "d", "strict": True, "cache_control": MARK,
            "eager_input_streaming": True, "defer_loading": False, "input_examples": [{"a": 1}]}  # fmt: skip
    assert said(tools=[TOOL, full])["tools"] == [
        {"type": "function", "function": {"name": "f", "parameters": TOOL["input_schema"]}},
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "d",
                "strict": True,
                "parameters": {"type": "object", "properties": {}, "examples": [{"a": 1}]},
            },
            "cache_control": MARK,
        },
    ]


@pytest.mark.parametrize(
    ("choice", "asked"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "f"}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        (
            {"type": "auto", "disable_parallel_tool_use": True},
            {"tool_choice": "auto", "parallel_tool_calls": False},
        ),
    ],
)
def test_choice_of_a_tool(choice: dict[str, Any], asked: dict[str, Any]) -> None:
    chat = said(tools=[TOOL], tool_choice=choice)
    assert {name: chat[name] for name in ("tool_choice", "parallel_tool_calls") if name in chat} == asked


@pytest.mark.parametrize(
    ("members", "asked"),
    [
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "disabled"}}, {"reasoning": {"enabled": False}}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning": {"max_tokens": 1024}}),
        ({"output_config": {"effort": "high"}}, {}),
        ({"output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
    ],
)
def test_thinking_is_asked_for_in_the_conventions_there_are(members: dict[str, Any], asked: dict[str, Any]) -> None:
    chat = said(**members, max_tokens=2000)
    assert {name: chat[name] for name in chat if name.startswith("reasoning")} == asked


@pytest.mark.parametrize("members", [{"output_config": {"format": None}}, {}])
def test_no_form_is_asked_for_where_none_is(members: dict[str, Any]) -> None:
    assert "response_format" not in said(**members)


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_form_of_the_answer_is_a_schema(name: str) -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    asked = said(**{name: {"format": form} if name == "output_config" else form})["response_format"]
    assert asked == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
    }


def test_user_that_is_too_long_for_others_is_a_digest() -> None:
    assert said(metadata={"user_id": "u" * 64})["user"] == "u" * 64
    first, again, other = (said(metadata={"user_id": each * 65})["user"] for each in ("u", "u", "v"))
    assert (len(first), first == again, first == other) == (64, True, False)


def test_unknown_members_go_on_and_hints_do_not() -> None:
    chat = said(repetition_penalty=1.1, cache_control=MARK, service_tier="auto", speed="standard",
                context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]})  # fmt: skip
    assert chat == {"model": "m", "max_tokens": 50, "messages": [USER], "repetition_penalty": 1.1}


SERVER_BLOCK = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "servers": ("mcp_servers", {"mcp_servers": [{"type": "url"}]}),
    "container": ("container", {"container": "c"}),
    "compaction": (
        "context_management.edits.0",
        {"context_management": {"edits": [{"type": "compact_20260112"}]}},
    ),
    "answers at once": ("n", {"n": 2}),
    "other caps": ("max_completion_tokens", {"max_completion_tokens": 10}),
    "search": ("search_parameters", {"search_parameters": {"mode": "on"}}),
    "Anthropic's tool": ("tools.0.type", {"tools": [{"type": "bash_20250124", "name": "bash"}]}),
    "caller of a tool": (
        "tools.0.allowed_callers",
        {"tools": [{**TOOL, "allowed_callers": ["code_execution_20250825"]}]},
    ),
    "new member of a tool": ("tools.0.moods", {"tools": [{**TOOL, "moods": 1}]}),
    "block": (
        "messages.1.content.0.server_tool_use",
        {"messages": [USER, {"role": "assistant", "content": [SERVER_BLOCK]}, USER]},
    ),
    "file": (
        "messages.0.content.0.image.source",
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
    ),
    "file by address": (
        "messages.0.content.0.document.source",
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "u"}}]}]},
    ),
    "citations": (
        "messages.0.content.0.document.citations",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "document",
                            "citations": {"enabled": True},
                            "source": {"type": "text", "media_type": "text/plain", "data": "a"},
                        }
                    ],
                }
            ]
        },
    ),
    "new member of a block": (
        "messages.0.content.0.text.moods",
        {"messages": [{"role": "user", "content": [text("a", moods=1)]}]},
    ),
    "begun answer": ("messages.1", {"messages": [USER, {"role": "assistant", "content": "The"}]}),
    "picture in the system": (
        "system.0.image",
        {"system": [{"type": "image", "source": {"type": "url", "url": "u"}}]},
    ),
    "thinking of another kind": ("thinking.type", {"thinking": {"type": "between_tools"}}),
    "form of another kind": ("output_config.format", {"output_config": {"format": {"type": "grammar"}}}),
}


@pytest.mark.parametrize(("name", "members"), REFUSED.values(), ids=REFUSED.keys())
def test_what_chat_cannot_say_is_refused_by_name(name: str, members: dict[str, Any]) -> None:
    assert_refused(name, **members)


# --- the tables against Anthropic's own types, and the page against the tables ---------------------------------------


def _members(kind: Any) -> set[str]:
    return set(get_type_hints(kind)) - {"betas"}


@pytest.mark.parametrize(
    "kind",
    [
        types.message_create_params.MessageCreateParamsBase,
        beta.message_create_params.MessageCreateParamsBase,
    ],
    ids=["api", "beta"],
)
def test_every_member_of_a_request_is_said_left_out_or_refused(kind: Any) -> None:
    known = to_chat.SAID | to_chat.HINTS | to_chat.REFUSED
    assert _members(kind) - known == set()
    assert len(known) == len(to_chat.SAID) + len(to_chat.HINTS) + len(to_chat.REFUSED)


def _kinds(union: Any) -> dict[str, Any]:
    """The blocks of a union by their type."""
    found = {}
    for each in get_args(union) if get_origin(union) is Union else (union,):
        (name,) = get_args(get_args(get_type_hints(each, include_extras=True)["type"])[0]) or get_args(
            get_type_hints(each)["type"]
        )
        found[name] = each
    return found


UNSAID_MEMBERS = {"image": {"transformations"}, "tool_use": {"toolset_name"}, "tool_result": {"toolset_name"}}


def test_every_block_is_said_or_refused_with_its_members() -> None:
    kinds = _kinds(types.ContentBlockParam)
    assert set(to_chat.SAID_BLOCKS) <= set(kinds)
    for name, members in to_chat.SAID_BLOCKS.items():
        hints = to_chat.HINTS_OF_BLOCKS.get(name, frozenset())
        unsaid = _members(kinds[name]) - members - hints - {"type", "cache_control"}
        assert unsaid == UNSAID_MEMBERS.get(name, set()), name


def test_every_member_of_a_tool_is_said_or_left_out() -> None:
    assert _members(types.ToolParam) - to_chat.SAID_OF_TOOLS - to_chat.HINTS_OF_TOOLS == set()


def test_page_tells_what_the_tables_say() -> None:
    page = Path("routing/README.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith("| messages in chat |"))
    _empty, _name, left_out, refused, _end = row.split("|")
    hints = to_chat.HINTS | to_chat.HINTS_OF_TOOLS | set().union(*to_chat.HINTS_OF_BLOCKS.values())
    assert set(re.findall(r"`(\w+)`", left_out)) == hints
    assert set(re.findall(r"`(\w+)`", refused)) >= to_chat.REFUSED
