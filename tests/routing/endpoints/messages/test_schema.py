"""Reading a messages request, and what it may use."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.errors import InvalidRequest
from routing.endpoints.messages import COUNT_TOKENS, MESSAGES
from routing.endpoints.messages.schema import read
from routing.errors import ContextLengthExceeded

USER = {"role": "user", "content": "Hi"}
CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]}
TOOL = {"name": "f", "input_schema": {"type": "object"}}


def body(**members: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 50, "messages": [USER], **members}


def user(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


GOOD: dict[str, dict[str, Any]] = {
    "as an agent sends it": {
        "system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}],
        "messages": [USER, {"role": "system", "content": "b"}],
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "metadata": {"user_id": "u", "session_id": "s"},
        "stream": True,
    },
    "nulls": dict.fromkeys(("system", "tools", "thinking", "temperature", "stream", "metadata", "new_member")),
    "blocks nobody knows": user({"type": "mood", "mood": 5}),
    "tools of Anthropic that cost nothing": {"tools": [{"type": "bash_20250124", "name": "bash"}]},
    "toolset": {"tools": [{"type": "mcp_toolset", "mcp_server_name": "s"}]},
    "result": {"messages": [USER, CALL, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1"}]}]},
    "choice": {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}},
    "budget": {"max_tokens": 1025, "thinking": {"type": "enabled", "budget_tokens": 1024}},
}


@pytest.mark.parametrize("members", GOOD.values(), ids=GOOD.keys())
def test_good_request_is_read(members: dict[str, Any]) -> None:
    given = body(**members)
    read(given)
    assert None not in given.values()


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no cap": ({"max_tokens": None}, "max_tokens", "Field required"),
    "cap of nothing": ({"max_tokens": 0}, "max_tokens", "Expected int >= 1"),
    "no text": (user({"type": "text"}), "messages.0.content.0.text.text", "Field required"),
    "no input": (user({"type": "tool_use", "id": "a", "name": "f"}), "messages.0.content.0.tool_use.input", "Field"),
    "no blocks": ({"messages": [{"role": "user", "content": []}]}, "messages.0.content", "Expected array"),
    "no data": (
        user({"type": "image", "source": {"type": "base64", "media_type": "image/png"}}),
        "messages.0.content.0.image.source.base64.data",
        "Field required",
    ),
    "source in words": (
        user({"type": "image", "source": "a"}),
        "messages.0.content.0.image.source",
        "Input should be an object",
    ),
    "source of a result": (
        user({"type": "search_result", "title": "t", "content": [], "source": {"type": "url", "url": "u"}}),
        "messages.0.content.0.search_result.source",
        "Input should be a valid string",
    ),
    "within a result": (
        {
            "messages": [
                USER,
                CALL,
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text"}]}],
                },
            ]
        },
        "messages.2.content.0.tool_result.content.0.text.text",
        "Field required",
    ),
    "result of no call": (
        user({"type": "tool_result", "tool_use_id": "c1"}),
        "messages.0.content.0",
        "unexpected `tool_use_id`",
    ),
    "warmer than 1": ({"temperature": 1.5}, "temperature", "Expected float <= 1"),
    "no schema": ({"tools": [{"name": "f"}]}, "tools.0.custom.input_schema", "Field required"),
    "search": ({"tools": [{"type": "web_search_20250305", "name": "s"}]}, "tools.0.type", "has no price here"),
    "code": ({"tools": [{"type": "code_execution_20250825", "name": "c"}]}, "tools.0.type", "has no price here"),
    "choice without tools": ({"tool_choice": {"type": "any"}}, "tool_choice", "may only be specified"),
    "choice of another": (
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}},
        "tool_choice.name",
        "not among",
    ),
    "no budget": ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens", "Field required"),
    "small budget": (
        {"max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1023}},
        "thinking.enabled.budget_tokens",
        "greater than or equal to 1024",
    ),
    "budget of all": (
        {"max_tokens": 1024, "thinking": {"type": "enabled", "budget_tokens": 1024}},
        "max_tokens",
        "must be greater than",
    ),
    "fast": ({"speed": "fast"}, "speed", "no price here"),
    "elsewhere": ({"inference_geo": "us"}, "inference_geo", "no price here"),
    "another model of the upstream's": ({"fallbacks": [{"model": "dear"}]}, "fallbacks", "another price"),
    "whatever model the upstream chooses": ({"fallbacks": "default"}, "fallbacks", "another price"),
    "kept conversation": ({"thread": {"type": "create"}}, "thread", "Nothing is kept here"),
    "wish": ({"provider": {"zdr": True}}, "provider.zdr", "cannot promise"),
    "key": ({"api_key": "x"}, "api_key", "connection"),
}


@pytest.mark.parametrize(("members", "param", "words"), BAD.values(), ids=BAD.keys())
def test_bad_request_is_refused_by_the_name_of_its_field(members: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(body(**members))
    assert refused.value.param == param
    assert words in refused.value.message


class Model:
    name = "m"
    context_window = 10_000
    output_limit = 4_000
    default_output = 1_000
    prompt_overhead = 100


class Taught:
    def bytes_per_token(self, model: str) -> float:
        return 4.0

    def dense_bytes_per_token(self, model: str) -> float:
        return 2.0

    def expected_output(self, tenant_id: int, model: str, cap: int) -> int:
        return min(cap, 300)


def needs(size: int = 4_000, endpoint: Any = MESSAGES, **members: Any) -> Any:
    given = body(**members)
    return endpoint.needs(endpoint.read(given), given, size, Model(), Taught(), 1)


def test_needs_of_a_text() -> None:
    found = needs(max_tokens=500)
    assert (found.expected_input, found.input_bound, found.least_input) == (1_000, 2_100, 500)
    assert (found.cap, found.is_cap_ours, found.answers, found.expected_output) == (500, False, 1, 300)
    assert (found.is_all_text, found.capabilities) == (True, frozenset())


@pytest.mark.parametrize(
    ("asked", "size", "cap"),
    [
        pytest.param(32_000, 4_000, 4_000, id="the model's limit"),
        pytest.param(4_000, 30_000, 2_500, id="room in the window"),
        pytest.param(4_000, 79_000, 16, id="little room"),
        pytest.param(4_000, 79_920, 10, id="hardly any"),
        pytest.param(4_000, 79_999, 1, id="one token"),
    ],
)
def test_cap_is_lowered_to_what_can_be_written(asked: int, size: int, cap: int) -> None:
    assert needs(size, max_tokens=asked).cap == cap


def test_prompt_beyond_the_window_is_refused_in_the_words_that_agents_look_for() -> None:
    with pytest.raises(ContextLengthExceeded, match=r"^prompt is too long: 10000 tokens > 10000 maximum$"):
        needs(80_000)


def test_pictures_and_pages_are_not_text() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 2_000}}
    far = {"type": "image", "source": {"type": "url", "url": "https://a/b"}}
    file = {"type": "base64", "media_type": "application/pdf", "data": "A" * 1_000}
    document, words = {"type": "document", "source": file}, {"type": "text", "media_type": "text/plain", "data": "w"}
    seen = needs(5_000, **user(picture, far, document, {"type": "document", "source": words}))
    assert (seen.text_bytes, seen.is_all_text) == (2_000, False)
    assert seen.expected_input == 500 + 2 * 1_024 + 3_000
    assert seen.input_bound == 1_000 + 2 * 4_096 + 7_096 + 100
    assert seen.capabilities == {"images"}


def test_picture_alone_is_not_all_text_and_a_long_file_has_pages() -> None:
    assert needs(**user({"type": "image", "source": {"type": "url", "url": "u"}})).is_all_text is False
    source = {"type": "base64", "media_type": "application/pdf", "data": "A" * (2 * 64 * 1024 - 1)}
    assert needs(2 * 64 * 1024 - 1, **user({"type": "document", "source": source})).expected_input == 2 * 3_000
    far = {"type": "document", "source": {"type": "url", "url": "u"}}
    assert needs(4, **user(far)).expected_input == 1 + 3_000


def test_picture_within_a_document_is_seen() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "u"}}
    assert needs(**user({"type": "document", "source": {"type": "content", "content": [picture]}})).capabilities == {
        "images"
    }


@pytest.mark.parametrize(
    "members",
    [{"context_management": {"edits": [{"type": "compact_20260112"}]}}, {"compaction": {"type": "summarize"}}],
    ids=str,
)
def test_summary_reads_the_conversation_again_and_writes_beside_the_cap(members: Any) -> None:
    plain, found = needs(), needs(**members)
    assert (found.input_bound, found.cap, found.uncapped) == (2 * plain.input_bound, plain.cap, 8_192)
    assert not found.is_all_text


def test_capabilities_are_what_is_asked_for() -> None:
    asked = needs(tools=[TOOL], output_config={"format": {"type": "json_schema", "schema": {}}})
    assert asked.capabilities == {"tools", "json_schema"}


def test_conversation_is_known_by_its_beginning() -> None:
    first = needs(system="a").prefix
    more = [USER, {"role": "assistant", "content": "b"}, USER]
    assert needs(system="a", messages=more).prefix == first
    assert needs(system="b").prefix != first
    common, own = {"type": "text", "text": "a"}, {"type": "text", "text": "b"}
    assert needs(**user(common, own)).prefix != needs(**user(common, {**own, "text": "c"})).prefix
    assert needs(**user(common, own)).prefix == needs(**user(own)).prefix
    assert needs(system="a", messages=[{"role": "user", "content": "other"}]).prefix != first


def test_count_is_the_expected_input_whatever_the_window() -> None:
    given = body()
    del given["max_tokens"]
    request = COUNT_TOKENS.read(given)
    assert COUNT_TOKENS.needs(request, given, 80_000, Model(), Taught(), 1).expected_input == 20_000
    assert COUNT_TOKENS.needs(request, given, 1, Model(), Taught(), 1).expected_input == 1
