"""OpenAI's format: what goes up."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from routing.providers import read_options
from routing.providers.base import NO_OPTIONS, UpstreamCall
from routing.providers.openai import OPENAI


def call(**members: Any) -> UpstreamCall:
    defaults = {
        "endpoint": "chat.completions",
        "path": "/chat/completions",
        "body": {"model": "public", "messages": []},
        "upstream_model": "up/stream-7b",
        "host": "llm.example",
        "secret": "s3cret-without-a-prefix",
        "cap": 50,
        "answers": 1,
        "is_stream": False,
    }
    return UpstreamCall(**{**defaults, **members})


def sent(**members: Any) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(OPENAI.request(call(**members)).body)
    return body


# --- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "asked", "named"),
    [
        pytest.param("llm.example", {}, {"max_tokens": 50}, id="others"),
        pytest.param("api.openai.com", {}, {"max_completion_tokens": 50}, id="openai"),
        pytest.param("mine.openai.azure.com", {}, {"max_completion_tokens": 50}, id="azure"),
        pytest.param("notopenai.com", {}, {"max_tokens": 50}, id="a name that ends alike"),
        pytest.param("openai.com.example", {}, {"max_tokens": 50}, id="a name that begins alike"),
        pytest.param(
            "llm.example", {"max_completion_tokens": 99}, {"max_completion_tokens": 50}, id="the client's name"
        ),
        pytest.param("api.openai.com", {"max_tokens": 99}, {"max_tokens": 50}, id="the client's old name"),
        pytest.param(
            "llm.example",
            {"max_tokens": 99, "max_completion_tokens": 60},
            {"max_tokens": 50, "max_completion_tokens": 50},
            id="both names",
        ),
        *(
            pytest.param(
                host,
                {"max_tokens": 99, "max_completion_tokens": 60},
                {"max_completion_tokens": 50},
                id=f"both names at {host}, which takes one",
            )
            for host in ("api.openai.com", "mine.openai.azure.com")
        ),
        pytest.param("llm.example", {"max_tokens": None}, {"max_tokens": 50}, id="null is no name"),
    ],
)
def test_cap_goes_up_under_the_name_that_is_understood(host: str, asked: dict[str, Any], named: dict[str, int]) -> None:
    body = sent(host=host, body={"model": "public", "messages": [], **asked})
    assert {name: body[name] for name in ("max_tokens", "max_completion_tokens") if name in body} == named


def test_stream_always_asks_for_usage() -> None:
    body = sent(is_stream=True, body={"model": "public", "stream": True})
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_other_stream_options_of_the_client_stay() -> None:
    options = {"include_usage": False, "include_obfuscation": False}
    body = sent(is_stream=True, body={"model": "public", "stream": True, "stream_options": options})
    assert body["stream_options"] == {"include_usage": True, "include_obfuscation": False}


def test_whole_answer_is_asked_for_as_the_client_asked() -> None:
    assert sent() == {"model": "up/stream-7b", "messages": [], "max_tokens": 50}


def test_unknown_fields_and_zeros_pass_unchanged() -> None:
    extra = {"temperature": 0, "top_k": 0, "thinking": {"type": "enabled"}, "seed": -(2**63), "é": "\u2028"}
    assert {name: value for name, value in sent(body={"model": "public", **extra}).items() if name in extra} == extra


def test_null_is_absent() -> None:
    assert "tools" not in sent(body={"model": "public", "tools": None})


def test_headers_are_ours_alone() -> None:
    assert OPENAI.request(call(is_stream=True)).headers == (
        ("content-type", "application/json"),
        ("accept", "text/event-stream"),
        ("accept-encoding", "identity"),
        ("user-agent", "CostRouter"),
        ("authorization", "Bearer s3cret-without-a-prefix"),
    )


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [None, "", {}], ids=str)
def test_empty_error_beside_an_answer_is_none(error: Any) -> None:
    assert OPENAI.open(call()).whole(orjson.dumps({"choices": [], "error": error}))["choices"] == []


def test_several_answers_are_asked_for_as_a_stream_until_the_upstream_is_known() -> None:
    asked = [OPENAI.prefers_stream(answers, is_met=is_met) for answers in (1, 2) for is_met in (False, True)]
    assert asked == [False, False, True, False]


def test_endpoint_without_output_gets_no_cap() -> None:
    assert "max_tokens" not in sent(cap=0)


# --- what the upstream has -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "host", "has"),
    [
        ("chat.completions", "llm.example", True),
        ("embeddings", "llm.example", True),
        ("messages", "llm.example", False),
        ("generate", "api.openai.com", False),
        ("responses", "api.openai.com", True),
        ("responses", "eu.api.openai.com", True),
        ("responses", "llm.example", False),
        ("responses", "notopenai.com", False),
    ],
)
def test_host_tells_which_endpoints_an_upstream_has(endpoint: str, host: str, has: bool) -> None:
    assert OPENAI.speaks(endpoint, host, NO_OPTIONS) is has
    assert OPENAI.speaks(endpoint, host, OPENAI.options()) is has


def test_options_of_a_channel_know_better() -> None:
    options = read_options("openai", {"endpoints": ["responses"]})
    assert OPENAI.speaks("responses", "llm.example", options)
    assert not OPENAI.speaks("chat.completions", "llm.example", options)


@pytest.mark.parametrize("endpoint", ["messages", "chat", ""])
def test_options_name_only_endpoints_of_openais_formats(endpoint: str) -> None:
    with pytest.raises(ValueError, match="enum"):
        read_options("openai", {"endpoints": [endpoint]})
