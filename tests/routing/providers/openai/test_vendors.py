"""Vendors as data: whose host it is, and what becomes of a request there."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from routing.providers import read_options
from routing.providers.base import NO_OPTIONS, UpstreamCall
from routing.providers.openai import OPENAI
from routing.providers.openai.vendors import ANY, VENDORS, name_of, vendor_of
from routing.wire import addresses

MESSAGES = [{"role": "user", "content": "hi"}]


def sent(host: str, *, endpoint: str = "chat.completions", is_stream: bool = False, **members: Any) -> dict[str, Any]:
    """What goes up to this host, or to a server of this vendor."""
    options = read_options("openai", {"vendor": host}) if host in VENDORS else NO_OPTIONS
    given = {"model": "public", "messages": MESSAGES, **members}
    before = copy.deepcopy(given)
    call = UpstreamCall(
        endpoint=endpoint, path="/x", body=given, upstream_model="m", host=host, secret="", cap=9, answers=1,
        is_stream=is_stream, options=options,
    )  # fmt: skip
    body: dict[str, Any] = orjson.loads(OPENAI.request(call).body)
    assert given == before, "the client's own body was changed"
    return body


def lacking(vendor: str, **members: Any) -> str:
    return OPENAI.lacks("chat.completions", members, read_options("openai", {"vendor": vendor}))


# --- whose host it is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.groq.com", "groq"),
        ("API.GROQ.COM", "groq"),
        ("groq.com", "groq"),
        ("notgroq.com", ""),
        ("groq.com.example", ""),
        ("eu.api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure"),
        ("dashscope-us.aliyuncs.com", "qwen"),
        ("oss.aliyuncs.com", ""),
        ("generativelanguage.googleapis.com", "google"),
        ("europe-west4-aiplatform.googleapis.com", "google"),
        ("api.cohere.com", "cohere"),
        ("api.cohere.ai", "cohere-chat"),
        ("127.0.0.1", ""),
        ("", ""),
    ],
)
def test_host_tells_the_vendor(host: str, name: str) -> None:
    assert name_of(host) == name
    assert vendor_of(host, NO_OPTIONS) is (VENDORS[name] if name else ANY)


@pytest.mark.parametrize("name", sorted(VENDORS))
def test_every_vendors_address_is_one_and_leads_to_it(name: str) -> None:
    origin = addresses.parse(VENDORS[name].base_url.replace("NAME", "mine"))
    assert name_of(origin.host) == (name if VENDORS[name].hosts else "")


@pytest.mark.parametrize("name", sorted(VENDORS))
def test_every_vendor_has_endpoints_and_a_cap_that_it_knows(name: str) -> None:
    vendor = VENDORS[name]
    assert vendor.has
    assert set(vendor.caps) <= {"max_tokens", "max_completion_tokens"}
    assert [each for each in vendor.caps if vendor.caps.count(each) != 1] == []
    assert not vendor.leaves_out.intersection(vendor.takes)


def test_options_of_a_channel_name_a_vendor_that_its_host_does_not_tell() -> None:
    options = read_options("openai", {"vendor": "ollama"})
    assert vendor_of("10.0.0.5", options) is VENDORS["ollama"]
    assert options.at("api.groq.com") is options


def test_options_learn_the_vendor_from_the_host() -> None:
    assert vendor_of("", read_options("openai", {}).at("api.groq.com")) is VENDORS["groq"]
    assert vendor_of("", read_options("openai", {}).at("10.0.0.5")) is ANY


def test_vendor_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="vendor"):
        read_options("openai", {"vendor": "grok"})


@pytest.mark.parametrize(
    ("vendor", "endpoint", "has"),
    [
        ("groq", "audio.transcriptions", True),
        ("groq", "embeddings", False),
        ("deepseek", "completions", False),
        ("vllm", "rerank", True),
        ("voyage", "chat.completions", False),
        ("openai", "moderations", True),
    ],
)
def test_vendor_has_these_endpoints(vendor: str, endpoint: str, has: bool) -> None:
    assert OPENAI.speaks(endpoint, "10.0.0.5", read_options("openai", {"vendor": vendor})) is has


# --- what it cannot do -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vendor", "asked", "lacks"),
    [
        ("groq", {"n": 2}, "n"),
        ("groq", {"n": 1}, ""),
        ("groq", {"logprobs": True}, "logprobs"),
        ("groq", {"logprobs": False, "top_logprobs": 0, "logit_bias": {}}, ""),
        ("groq", {"logit_bias": {"5": 1}}, "logit_bias"),
        ("deepseek", {"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        ("deepseek", {"response_format": {"type": "json_object"}}, ""),
        ("moonshot", {"tool_choice": "required"}, "tool_choice"),
        ("moonshot", {"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ("moonshot", {"tool_choice": "auto"}, ""),
        ("qwen", {"n": 4}, ""),
        ("qwen", {"n": 5}, "n"),
        ("cerebras", {"frequency_penalty": 0.5}, "frequency_penalty"),
        ("cerebras", {"frequency_penalty": 0}, ""),
        ("perplexity", {"tools": [{"type": "function"}]}, "tools"),
        ("openai", {"n": 5, "logprobs": True}, ""),
        ("google", {"frequency_penalty": 0.5}, "frequency_penalty"),
        ("google", {"seed": 7}, "seed"),
        ("google", {"n": 2, "presence_penalty": 0.5}, ""),
        ("cohere-chat", {"reasoning_effort": "low"}, "reasoning_effort"),
        ("cohere-chat", {"reasoning_effort": "high", "seed": 7}, ""),
        ("cohere-chat", {"n": 2}, "n"),
    ],
)
def test_what_a_vendor_cannot_do_is_named(vendor: str, asked: dict[str, Any], lacks: str) -> None:
    assert lacking(vendor, **asked) == lacks


def test_only_chat_is_asked_about() -> None:
    assert OPENAI.lacks("embeddings", {"n": 5}, read_options("openai", {"vendor": "groq"})) == ""


def test_nothing_is_known_against_an_unknown_server() -> None:
    assert OPENAI.lacks("chat.completions", {"n": 5, "logit_bias": {"5": 1}}, NO_OPTIONS) == ""


# --- what it is asked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vendor", "asked", "named"),
    [
        ("mistral", {"max_completion_tokens": 5}, {"max_tokens": 9}),
        ("mistral", {"max_completion_tokens": 5, "max_tokens": 5}, {"max_tokens": 9}),
        ("groq", {}, {"max_completion_tokens": 9}),
        ("groq", {"max_tokens": 5}, {"max_tokens": 9}),
        ("ollama", {"max_completion_tokens": 5}, {"max_tokens": 9}),
    ],
)
def test_cap_goes_up_under_a_name_that_the_vendor_knows(
    vendor: str, asked: dict[str, Any], named: dict[str, int]
) -> None:
    body = sent(vendor, **asked)
    assert {name: body[name] for name in ("max_tokens", "max_completion_tokens") if name in body} == named


def test_text_completions_know_one_name_of_the_cap() -> None:
    assert sent("openai", endpoint="completions")["max_tokens"] == 9


def test_vendor_that_refuses_stream_options_is_not_sent_any() -> None:
    body = sent("mistral", is_stream=True, stream_options={"include_usage": True})
    assert (body["stream"], "stream_options" in body) == (True, False)
    assert sent("groq", is_stream=True)["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("vendor", "asked", "gets"),
    [
        ("mistral", {"seed": 7, "user": "u", "store": True, "metadata": {"a": "b"}}, {"random_seed": 7}),
        ("mistral", {"seed": 7, "random_seed": 8}, {"random_seed": 8}),
        ("mistral", {"logprobs": False}, {}),
        ("groq", {"n": 1, "user": "u"}, {"n": 1, "user": "u"}),
        ("groq", {"service_tier": "default"}, {"service_tier": "on_demand"}),
        ("groq", {"service_tier": "auto"}, {"service_tier": "auto"}),
        ("mistral", {"service_tier": "default"}, {}),
        ("openai", {"service_tier": "default", "store": True}, {"service_tier": "default", "store": True}),
        ("openai", {"reasoning": {"effort": "low", "max_tokens": 9}}, {"reasoning_effort": "low"}),
        ("openai", {"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, {"reasoning_effort": "high"}),
        ("openai", {"reasoning": {"max_tokens": 9}}, {}),
        ("openai", {"reasoning": "odd"}, {}),
        ("openrouter", {"reasoning": {"effort": "low"}}, {"reasoning": {"effort": "low"}}),
        (
            "llm.example",
            {"reasoning": {"effort": "low"}, "store": True},
            {"reasoning": {"effort": "low"}, "store": True},
        ),
    ],
)
def test_body_is_in_the_vendors_words(vendor: str, asked: dict[str, Any], gets: dict[str, Any]) -> None:
    body = sent(vendor, **asked)
    ours = {"model", "messages", "max_tokens", "max_completion_tokens"}
    assert {name: value for name, value in body.items() if name not in ours} == gets


SAID = {
    "role": "assistant",
    "content": "b",
    "reasoning_content": "t",
    "reasoning_details": [{"type": "reasoning.text", "text": "t"}],
}
MARKED = {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, "odd"]}


@pytest.mark.parametrize(
    ("vendor", "message", "gets"),
    [
        ("groq", SAID, {"role": "assistant", "content": "b"}),
        ("deepseek", SAID, {"role": "assistant", "content": "b", "reasoning_content": "t"}),
        ("deepseek", {"role": "assistant", "reasoning": "t"}, {"role": "assistant", "reasoning_content": "t"}),
        ("deepseek", {"role": "assistant", "reasoning_content": None}, {"role": "assistant"}),
        ("minimax", SAID, {"role": "assistant", "content": "b", "reasoning_details": SAID["reasoning_details"]}),
        (
            "minimax",
            {"role": "assistant", "reasoning_content": "t"},
            {"role": "assistant", "reasoning_details": [{"type": "reasoning.text", "text": "t"}]},
        ),
        ("sambanova", SAID, {"role": "assistant", "content": "b"}),
        ("google", SAID, {"role": "assistant", "content": "b"}),
        ("cohere-chat", SAID, {"role": "assistant", "content": "b"}),
        ("openrouter", SAID, SAID),
        ("llm.example", SAID, SAID),
        ("openai", MARKED, {"role": "user", "content": [{"type": "text", "text": "a"}, "odd"]}),
        ("openai", {"role": "user", "content": "a", "cache_control": {}}, {"role": "user", "content": "a"}),
        ("openai", {"role": "user", "content": MARKED["content"][:1]}, {"role": "user", "content": "a"}),
        ("qwen", MARKED, MARKED),
        ("openrouter", MARKED, MARKED),
        ("groq", {"role": "developer", "content": "a"}, {"role": "system", "content": "a"}),
        ("openai", {"role": "developer", "content": "a"}, {"role": "developer", "content": "a"}),
        ("mistral", {"role": "user", "name": "u", "content": "a"}, {"role": "user", "content": "a"}),
        ("mistral", {"role": "tool", "name": "f", "content": "a"}, {"role": "tool", "name": "f", "content": "a"}),
        ("openai", {"role": "user", "name": "u", "content": "a"}, {"role": "user", "name": "u", "content": "a"}),
    ],
)
def test_message_is_in_the_vendors_words(vendor: str, message: dict[str, Any], gets: dict[str, Any]) -> None:
    assert sent(vendor, messages=[MESSAGES[0], message])["messages"] == [MESSAGES[0], gets]


def test_marks_of_tools_go_where_they_would_be_refused() -> None:
    tools = [{"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}]
    assert sent("openai", tools=tools)["tools"] == [{"type": "function", "function": {"name": "f"}}]
    assert sent("qwen", tools=tools)["tools"] == tools


def test_members_have_the_vendors_names_whatever_the_endpoint() -> None:
    body = sent("voyage", endpoint="rerank", top_n=2)
    assert (body["top_k"], "top_n" in body) == (2, False)
