"""OpenAI's format: what goes up, what is made of what comes down, and the errors of real servers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.providers.base import MOST_TOKENS, Refusal, UpstreamCall
from routing.providers.openai import OPENAI, OpenAIReader, usage_of


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
    extra = {"temperature": 0, "top_k": 0, "thinking": {"type": "enabled"}, "seed": -(2**63), "x": None, "é": "\u2028"}
    assert {name: value for name, value in sent(body={"model": "public", **extra}).items() if name in extra} == extra


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


# --- usage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 0}, Usage(input=5)),
        ({"prompt_tokens": 0, "completion_tokens": 5}, Usage(output=5)),
        ({"prompt_tokens": MOST_TOKENS, "completion_tokens": 1}, Usage(input=MOST_TOKENS, output=1)),
        ({"prompt_tokens": MOST_TOKENS + 1, "completion_tokens": 1}, None),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
        ({"prompt_tokens": 5}, None),
        ({"prompt_tokens": 5, "completion_tokens": None}, None),
        ({"prompt_tokens": 5.0, "completion_tokens": 1}, None),
    ],
    ids=str,
)
def test_counts_are_believed_only_as_plain_numbers(reported: Any, usage: Usage | None) -> None:
    assert usage_of(reported) == usage


def test_parts_are_counted_inside_their_whole() -> None:
    reported = {
        "prompt_tokens": 10,
        "completion_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3, "audio_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 1},
    }
    assert usage_of(reported) == Usage(
        input=10, cached_input=4, cache_write=3, input_audio=2, output=8, reasoning=5, output_audio=1
    )


def test_parts_larger_than_their_whole_are_cut_to_it() -> None:
    reported = {
        "prompt_tokens": 10,
        "completion_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 7, "audio_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 50, "audio_tokens": 50},
    }
    assert usage_of(reported) == Usage(input=10, cached_input=7, cache_write=3, output=8, reasoning=8)


@pytest.mark.parametrize(
    "details", [None, 5, [], {"cached_tokens": None}, {"cached_tokens": -4}, {"cached_tokens": "4"}]
)
def test_details_that_cannot_be_are_left_out(details: Any) -> None:
    reported = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": details}
    assert usage_of(reported) == Usage(input=10, output=5)


def counts(input_: int, output: int) -> dict[str, int]:
    return {"prompt_tokens": input_, "completion_tokens": output}


def test_totals_that_come_one_an_answer_are_summed() -> None:
    told = OpenAIReader(3)
    for output in (5, 7, 1):
        told.note_usage(counts(23, output), is_total=True)
    assert told.usage == Usage(input=23, output=13)


def test_one_total_for_all_answers_is_taken_as_it_is() -> None:
    told = OpenAIReader(3)
    told.note_usage(counts(23, 5), is_total=False)
    told.note_usage(counts(23, 13), is_total=True)
    assert told.usage == Usage(input=23, output=13)


def test_more_totals_than_answers_are_running_totals() -> None:
    told = OpenAIReader(2)
    for output in (5, 7, 14):
        told.note_usage(counts(23, output), is_total=True)
    assert told.usage == Usage(input=23, output=14)


def test_several_answers_are_asked_for_as_a_stream_until_the_upstream_is_known() -> None:
    asked = [OPENAI.prefers_stream(answers, is_met=is_met) for answers in (1, 2) for is_met in (False, True)]
    assert asked == [False, False, True, False]


def test_endpoint_without_output_gets_no_cap() -> None:
    assert "max_tokens" not in sent(cap=0)


# --- errors of real servers ------------------------------------------------------------------------------------------


def refused(status: int, body: Any) -> Refusal:
    return OPENAI.refusal(status, {}, body if isinstance(body, bytes) else orjson.dumps(body), call())


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(
            {
                "code": 400,
                "message": "request (9022 tokens) exceeds the available context size (4096 tokens), try increasing it",
                "type": "exceed_context_size_error",
                "n_ctx": 4096,
            },
            id="llama.cpp",
        ),
        pytest.param(
            {
                "message": "This model's maximum context length is 2048 tokens. However, your prompt has 2049.",
                "type": "BadRequestError",
                "param": "input_tokens",
                "code": 400,
            },
            id="vLLM",
        ),
        pytest.param({"message": "Too long.", "code": "context_length_exceeded"}, id="OpenAI"),
        pytest.param({"message": "litellm.ContextWindowExceededError: maximum context length is 5"}, id="LiteLLM"),
    ],
)
def test_context_overflow_has_the_code_that_clients_look_for(error: dict[str, Any]) -> None:
    refusal = refused(400, {"error": error})
    assert (refusal.meaning, refusal.type, refusal.code) == (
        "content_refused",
        "invalid_request_error",
        "context_length_exceeded",
    )
    assert refusal.message == error["message"]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        pytest.param(
            400,
            {"error": {"code": 400, "message": "All messages must contain 'content'", "type": "invalid_request_error"}},
            "All messages must contain 'content'",
            id="llama.cpp",
        ),
        pytest.param(
            400,
            {"type": "error", "error": {"type": "BadRequestError", "message": "Provide at least one message."}},
            "Provide at least one message.",
            id="vLLM",
        ),
        pytest.param(400, {"detail": "The server is pinned."}, "The server is pinned.", id="transformers"),
        pytest.param(
            422,
            {"detail": [{"type": "json_invalid", "loc": ["body", 9], "msg": "JSON decode error", "input": {}}]},
            "The upstream refused the content of this request.",
            id="transformers, list",
        ),
        pytest.param(
            400,
            {"error": {"message": "litellm.BadRequestError: no", "type": "invalid_request_error", "code": "400"}},
            "litellm.BadRequestError: no",
            id="LiteLLM",
        ),
        pytest.param(400, {"message": "flat"}, "flat", id="flat"),
        pytest.param(400, {"error": "just text"}, "just text", id="text"),
        pytest.param(400, b"Bad Request", "The upstream refused the content of this request.", id="no JSON"),
    ],
)
def test_content_refusals_of_real_servers_are_read(status: int, body: Any, message: str) -> None:
    refusal = refused(status, body)
    assert (refusal.meaning, refusal.type, refusal.code, refusal.message) == (
        "content_refused",
        "invalid_request_error",
        None,
        message,
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(401, {"error": {"message": "Invalid API Key", "type": "authentication_error"}}, id="llama.cpp"),
        pytest.param(401, {"error": "Unauthorized"}, id="vLLM"),
        pytest.param(
            400, {"error": {"message": "No connected db.", "type": "no_db_connection", "code": "400"}}, id="LiteLLM"
        ),
        pytest.param(400, {"error": {"message": "x", "type": "auth_error"}}, id="a 400 by type"),
        pytest.param(400, {"error": {"message": "x", "code": "invalid_api_key"}}, id="a 400 by code"),
        pytest.param(402, {"error": {"message": "Insufficient balance"}}, id="no money"),
        pytest.param(403, {"error": {"message": "Country not supported"}}, id="forbidden"),
    ],
)
def test_refusal_of_our_own_key_is_never_the_tenants(status: int, body: Any) -> None:
    refusal = refused(status, body)
    assert (refusal.meaning, refusal.message, refusal.code) == ("key_refused", "", None)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(404, {"error": {"message": "File Not Found", "type": "not_found_error"}}, id="llama.cpp"),
        pytest.param(404, {"detail": "Not Found"}, id="vLLM"),
        pytest.param(500, b"Internal Server Error", id="transformers"),
        pytest.param(503, {"error": {"message": "Loading model", "type": "unavailable_error"}}, id="loading"),
    ],
)
def test_failures_of_real_servers_are_tried_elsewhere(status: int, body: Any) -> None:
    refusal = refused(status, body)
    assert (refusal.meaning, refusal.message) == ("retry", "")
    assert refusal.detail.startswith(f"{status}: ")


def test_words_of_the_tenant_in_a_refusal_do_not_make_it_one_of_our_key() -> None:
    error = {"message": "Invalid message: 'authentication_error invalid_api_key'", "type": "invalid_request_error"}
    assert refused(400, {"error": error}).meaning == "content_refused"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("up/stream-7b does not support tools", "public does not support tools"),
        ("error from llm.example", "error from the upstream"),
        ("key s3cret-without-a-prefix is blocked", "key … is blocked"),
        ("see https://llm.example/docs?a=b now", "see … now"),
        ("mail ops@company.example", "mail …"),
        ("org-Abc123 and proj_x9 and sk-live-1 and user-77", "… and … and … and …"),
        ("at 10.0.0.7:8000 and [fd00::1]:80", "at … and …"),
        ("x" * 3000, "x" * 1000),
    ],
)
def test_account_data_is_taken_out_of_messages(message: str, shown: str) -> None:
    assert refused(400, {"error": {"message": message}}).message == shown


def test_detail_for_operators_is_bounded() -> None:
    assert len(refused(500, {"error": {"message": "x" * 3000}}).detail) == 500
    assert len(refused(500, b"y" * 60_000).detail) <= 500
