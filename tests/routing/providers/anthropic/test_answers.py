"""Whole answers of Anthropic's as chat's."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.providers.anthropic import ANTHROPIC
from routing.providers.base import MalformedAnswer
from tests.routing.providers.anthropic.calls import call
from tests.routing.providers.anthropic.streams import own

TEXT = {"type": "text", "text": "Hi!"}
USAGE = {"input_tokens": 12, "output_tokens": 6}


def answer(*blocks: Any, reason: Any = "end_turn", **members: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": list(blocks),
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": USAGE,
        **members,
    }


def choice(*blocks: Any, **members: Any) -> dict[str, Any]:
    found: dict[str, Any] = ANTHROPIC.open(call()).whole(orjson.dumps(answer(*blocks, **members)))["choices"][0]
    return found


def message(*blocks: Any, **members: Any) -> dict[str, Any]:
    found: dict[str, Any] = choice(*blocks, **members)["message"]
    return found


def test_text() -> None:
    reader = ANTHROPIC.open(call())
    assert reader.whole(orjson.dumps(answer(TEXT))) == {
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi!"}, "logprobs": None, "finish_reason": "stop"}
        ],
    }
    assert (reader.usage, reader.reported, reader.remark) == (Usage(input=12, output=6), USAGE, "")


def test_texts_are_one() -> None:
    assert message(TEXT, {"type": "text", "text": " There."})["content"] == "Hi! There."
    assert message()["content"] == ""


def test_content_that_is_a_text_is_one() -> None:
    reader = ANTHROPIC.open(call())
    assert reader.whole(orjson.dumps({**answer(), "content": "Hi"}))["choices"][0]["message"]["content"] == "Hi"


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        ('{"a": 1.0,  "n":123456789012345678901234567890}',) * 2,
        ("{}", "{}"),
        ("null", "{}"),
        ('"{\\"a\\":1}"', '{"a":1}'),
        ('""', "{}"),
        ("[1]", "[1]"),
    ],
)
def test_arguments_are_as_the_upstream_wrote_them(written: str, arguments: str) -> None:
    block = '{"type":"tool_use","id":"t","name":"f","input":%s}' % written  # noqa: UP031 - braces
    body = '{"content":[{"type":"text","text":"So."},%s],"stop_reason":"tool_use"}' % block  # noqa: UP031
    (found,) = ANTHROPIC.open(call()).whole(body.encode())["choices"]
    function = {"name": "f", "arguments": arguments}
    assert found["message"]["tool_calls"] == [{"id": "t", "type": "function", "function": function}]
    assert (found["message"]["content"], found["finish_reason"]) == ("So.", "tool_calls")


def test_arguments_in_json_that_is_none_by_the_letter_are_read_too() -> None:
    body = b'{"content":[{"type":"tool_use","id":"t","name":"f","input":{"a":NaN}}],"stop_reason":"tool_use"}'
    (found,) = ANTHROPIC.open(call()).whole(body)["choices"]
    assert found["message"]["tool_calls"][0]["function"]["arguments"] == '{"a":null}'
    assert found["message"]["content"] is None


def test_thoughts_are_text_and_what_makes_them_valid() -> None:
    said = message(
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "thinking", "thinking": "", "signature": "t"},
        TEXT,
    )
    form = "anthropic-claude-v1"
    assert said == {
        "role": "assistant",
        "content": "Hi!",
        "reasoning_content": "hm",
        "reasoning_details": [
            {"type": "reasoning.text", "format": form, "index": 0, "text": "hm", "signature": "s"},
            {"type": "reasoning.encrypted", "format": form, "index": 1, "data": "d"},
            {"type": "reasoning.text", "format": form, "index": 2, "text": "", "signature": "t"},
        ],
    }


def test_thought_that_nobody_signed_has_no_signature() -> None:
    assert message({"type": "thinking", "thinking": "hm"})["reasoning_details"] == [
        {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0, "text": "hm"}
    ]


def test_pages_are_annotations() -> None:
    page = {"type": "web_search_result_location", "url": "https://x", "title": None}
    place = {"type": "char_location", "cited_text": "x"}
    assert message({**TEXT, "citations": [page, place]}, {**TEXT, "citations": None})["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {"url": "https://x", "title": "", "start_index": 0, "end_index": 0},
        }
    ]


def test_work_of_tools_at_anthropics_is_not_shown() -> None:
    work = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
    ]
    assert message(*work, TEXT) == {"role": "assistant", "content": "Hi!"}


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("max_tokens", "length"),
        ("refusal", "content_filter"),
        ("bored", None),
        (None, "stop"),
        ("stop_sequence", "stop"),
    ],
)
def test_reason_is_said_in_chats_words(reason: Any, finish: str | None) -> None:
    assert choice(TEXT, reason=reason)["finish_reason"] == finish


def test_refusal_is_said_in_its_words() -> None:
    details = {"type": "refusal", "category": None, "explanation": "Not that."}
    assert message(reason="refusal", stop_details=details) == {
        "role": "assistant",
        "content": "",
        "refusal": "Not that.",
    }


@pytest.mark.parametrize("reader", [ANTHROPIC.open(call()), own()], ids=["chat", "messages"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', "Overloaded"),
        (b'{"error":{"message":"worker limit"}}', "worker limit"),
        (b'{"type":"message","content":[{"type":"text","text":"x"}],"stop_reason":"error"}', "error"),
        (b'{"type":"message"}', "no content"),
        (b"<html>", "<html>"),
    ],
)
def test_failure_with_success_is_none(reader: Any, body: bytes, words: str) -> None:
    with pytest.raises(MalformedAnswer, match=words):
        reader.whole(body)


def test_its_own_format_stays_as_it_is() -> None:
    reader, body = own(), answer(TEXT, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}, vendor="x")
    body["stop_reason"] = "tool_use"
    assert reader.whole(orjson.dumps(body)) == body
    assert reader.usage == Usage(input=12, output=6)
