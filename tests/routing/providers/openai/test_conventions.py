"""What a translated request carries in others' conventions reaches the hosts that document it, and no other."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from routing.providers.base import UpstreamCall
from routing.providers.openai.adapter import OPENAI

MARK = {"type": "ephemeral"}
BODY: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "a", "cache_control": MARK}]},
        {
            "role": "user",
            "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c", "cache_control": MARK}],
        },
        {"role": "assistant", "content": "d", "reasoning_content": "e", "reasoning_details": [{"type": "x"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "f"}, "cache_control": MARK}],
    "reasoning": {"max_tokens": 1024},
    "reasoning_effort": "low",
}


def sent(host: str, *, is_translated: bool = True, endpoint: str = "chat.completions") -> dict[str, Any]:
    before = copy.deepcopy(BODY)
    call = UpstreamCall(
        endpoint=endpoint,
        path="/chat/completions",
        body=BODY,
        upstream_model="m",
        host=host,
        secret="",
        cap=0,
        answers=1,
        is_stream=False,
        is_translated=is_translated,
    )
    body: dict[str, Any] = orjson.loads(OPENAI.request(call).body)
    assert before == BODY
    return body


@pytest.mark.parametrize("host", ["openrouter.ai", "eu.openrouter.ai"])
def test_host_that_documents_them_gets_all(host: str) -> None:
    assert sent(host) == BODY


def test_marks_alone_go_where_they_alone_are_documented() -> None:
    body = sent("dashscope-intl.aliyuncs.com")
    assert (body["tools"], body["messages"][0]) == (BODY["tools"], BODY["messages"][0])
    assert "reasoning" not in body
    assert body["messages"][2] == {"role": "assistant", "content": "d", "reasoning_content": "e"}


@pytest.mark.parametrize("host", ["api.openai.com", "x.openai.azure.com", "api.cohere.ai", "api.sambanova.ai"])
def test_strict_host_gets_none(host: str) -> None:
    assert sent(host) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
            {"role": "assistant", "content": "d"},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "reasoning_effort": "low",
    }


@pytest.mark.parametrize("host", ["api.deepseek.com", "127.0.0.1", "notopenai.com", "openrouter.ai.example"])
def test_thoughts_go_back_in_words_elsewhere(host: str) -> None:
    body = sent(host)
    assert body["messages"][2] == {"role": "assistant", "content": "d", "reasoning_content": "e"}
    assert (body["messages"][0]["content"], "reasoning" in body) == ("a", False)


def test_thoughts_go_back_as_details_where_they_come_as_such() -> None:
    said = {"role": "assistant", "content": "d", "reasoning_details": [{"type": "x"}]}
    assert sent("api.minimax.io")["messages"][2] == said


@pytest.mark.parametrize("host", ["llm.example", "127.0.0.1"])
def test_what_a_client_asked_for_itself_goes_on_as_it_came(host: str) -> None:
    assert sent(host, is_translated=False) == BODY
    assert sent(host, endpoint="embeddings") == BODY
