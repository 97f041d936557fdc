"""The errors of real servers: what they mean, and what of their words a tenant may read."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from routing.providers.base import Refusal
from routing.providers.openai import OPENAI
from tests.routing.providers.openai.test_adapter import call


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
            "9: JSON decode error",
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


# --- other forms -----------------------------------------------------------------------------------------------------


def rest(status: int, headers: dict[bytes, bytes], body: Any = b"") -> float | None:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return OPENAI.refusal(status, headers, data, call()).retry_after


NOW = b"Thu, 26 Nov 2026 08:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({b"retry-after": b"7"}, {}, 7.0),
        ({b"retry-after": b"0.5"}, {}, 0.5),
        ({b"retry-after": b"Thu, 26 Nov 2026 08:01:30 GMT", b"date": NOW}, {}, 90.0),
        ({b"retry-after": b"Thursday, 26-Nov-26 08:01:30 GMT", b"date": NOW}, {}, 90.0),
        ({b"retry-after": b"Thu, 26 Nov 2026 07:00:00 GMT", b"date": NOW}, {}, 0.0),
        ({b"retry-after": b"Thu, 26 Nov 2099 08:00:00 GMT", b"date": NOW}, {}, 86_400.0),
        ({b"retry-after-ms": b"1500", b"retry-after": b"7"}, {}, 1.5),
        ({}, {"error": {"message": "Rate limit. Please try again in 1.2s."}}, 1.2),
        ({}, {"error": {"message": "Please try again in 6m0.5s."}}, 360.5),
        ({}, {"error": {"message": "try again in 20ms"}}, 0.02),
        ({}, {"error": {"details": [{"@type": "google.rpc.RetryInfo", "retryDelay": "34.5s"}]}}, 34.5),
        ({b"retry-after": b"soon"}, {}, None),
        ({b"retry-after": b"-5"}, {}, None),
        ({b"retry-after": b"nan"}, {}, None),
        ({b"retry-after": b"inf"}, {}, None),
        ({}, {}, None),
    ],
    ids=str,
)
def test_time_to_come_back_is_read_in_every_form(headers: dict[bytes, bytes], body: Any, seconds: float | None) -> None:
    assert rest(429, headers, body) == seconds


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (
            429,
            {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": "insufficient_quota"},
        ),
        (429, {"message": "x", "code": "insufficient_quota"}),
        (402, {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}),
        (400, {"message": "Your credit balance is too low to access the API."}),
        (403, {"message": "x", "type": "exceeded_current_quota_error"}),
        (400, {"message": "x", "code": "Arrearage"}),
    ],
    ids=str,
)
def test_empty_account_of_ours_is_its_own_meaning(status: int, error: dict[str, Any]) -> None:
    assert refused(status, {"error": error}).meaning == "account_empty"


@pytest.mark.parametrize(
    "body",
    [
        {
            "error": {
                "code": 400,
                "message": "API key not valid. Please pass a valid API key.",
                "status": "INVALID_ARGUMENT",
            }
        },
        [{"error": {"code": 400, "message": "API key expired.", "status": "INVALID_ARGUMENT"}}],
        {"error": {"message": "Incorrect API key provided: sk-12.", "type": "invalid_request_error"}},
        {"code": "InvalidApiKey", "message": "No API-key provided."},
        {"base_resp": {"status_code": 1004, "status_msg": "invalid api key"}},
        {"message": "Unauthorized"},
        {"detail": "Invalid authentication credentials", "code": "unauthorized"},
        {"error": {"type": "authentication_error", "message": "invalid x-api-key"}},
    ],
    ids=str,
)
def test_bad_key_said_with_400_is_our_key_in_every_vendors_form(body: Any) -> None:
    refusal = refused(400, body)

    assert (refusal.meaning, refusal.message) == ("key_refused", "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            [{"error": {"code": 400, "message": "Invalid value at 'x'", "status": "INVALID_ARGUMENT"}}],
            "Invalid value at 'x'",
        ),
        ({"detail": [{"loc": ["body", "messages", 0], "msg": "field required"}]}, "messages.0: field required"),
        ({"errors": [{"message": "a"}, {"message": "b"}]}, "a; b"),
        ({"error": {"error": {"message": "inner"}}}, "inner"),
        ({"base_resp": {"status_code": 2013, "status_msg": "invalid params"}}, "invalid params"),
        ({"error_code": 336003, "error_msg": "messages must be odd"}, "messages must be odd"),
        ({"object": "error", "message": "too long", "type": "BadRequestError"}, "too long"),
        ("just text", "just text"),
    ],
    ids=str,
)
def test_words_of_a_refusal_are_found_in_every_form(body: Any, words: str) -> None:
    refusal = refused(400, body)

    assert (refusal.meaning, refusal.message) == ("content_refused", words)


def test_error_nested_without_end_is_read_without_end_too() -> None:
    body = b'{"error":' * 400 + b"{}" + b"}" * 400

    assert refused(400, body).message == "The upstream refused the content of this request."


WORST = [
    "a",
    "a.",
    "a@",
    "1.",
    "1.1.1.1:",
    "[",
    "[a:",
    "sk-",
    "http://",
    "org-a@",
    "-",
    "\u00ff",
    "x@a.",
    " ",
    "context ",
]


@pytest.mark.parametrize("piece", WORST, ids=repr)
def test_hostile_text_costs_no_time(piece: str) -> None:
    """Bounded before any pattern sees it: 100 kB of the worst text take 1 ms, and its square would take a minute."""
    body = orjson.dumps({"error": {"message": piece * (100_000 // len(piece))}})

    start = time.process_time()
    refusal = refused(400, body)
    refused(429, body)

    assert time.process_time() - start < 0.1
    assert len(refusal.message) <= 1000


# --- words in other places -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(
            {"object": "error", "message": {"detail": [{"loc": ["body", "temperature"], "msg": "too high"}]}},
            "temperature: too high",
            id="Mistral's 422",
        ),
        pytest.param({"error": {"message": ["a", "b"]}}, "a; b", id="a list of texts"),
        pytest.param({"error": {"message": {"detail": "a"}}}, "a", id="an object for a text"),
        pytest.param({"errors": {"top_p": ["too high", "odd"], "n": "x"}}, "top_p: too high; odd; n: x", id="Rails"),
        pytest.param({"message": "Invalid.", "errors": {"n": ["odd"]}}, "n: odd", id="Laravel"),
        pytest.param({"Message": "a"}, "a", id="AWS"),
        pytest.param({"Response": {"Error": {"Code": "InvalidParameter", "Message": "a"}}}, "a", id="Tencent"),
        pytest.param({"error": "invalid_request", "error_description": "a"}, "a", id="RFC 6749"),
        pytest.param({"statusCode": 400, "message": ["a", "b"], "error": "Bad Request"}, "a; b", id="NestJS"),
        pytest.param({"error": True, "message": "a"}, "a", id="true"),
        pytest.param({"error": 500, "message": "a"}, "a", id="a number"),
        pytest.param({"error": {"message": '{"error":{"message":"a"}}'}}, "a", id="JSON inside"),
        pytest.param({"error": {"message": "{a} is no JSON"}}, "{a} is no JSON", id="no JSON inside"),
        pytest.param(
            {"error": {"message": "Provider returned error", "metadata": {"raw": '{"error":{"message":"a"}}'}}},
            "a",
            id="OpenRouter",
        ),
        pytest.param(
            {"error": {"message": "Provider returned error", "metadata": {"raw": "a", "provider_name": "X"}}},
            "a",
            id="OpenRouter, text",
        ),
        pytest.param(b'\xef\xbb\xbf{"error":{"message":"a"}}', "a", id="BOM"),
        pytest.param(b'{"error":{"message":"a","x":NaN}}', "a", id="NaN"),
        pytest.param(b'{"error":{"message":"a \xe9"}}', "a \N{REPLACEMENT CHARACTER}", id="no UTF-8"),
        pytest.param(b'{"error":{"message":"a \\ud83d"}}', "a \N{REPLACEMENT CHARACTER}", id="half a letter"),
        pytest.param(b'{"detail":[{"loc":["body"],"msg":"a \\"b\\"","input":{"messages":[', 'a "b"', id="cut off"),
        pytest.param(b'event: error\ndata: {"error":{"message":"a"}}\n\n', "a", id="an event"),
        pytest.param(b'id:1\nevent:error\n:HTTP_STATUS/400\ndata:{"code":"x","message":"a"}\n\n', "a", id="DashScope"),
        pytest.param(b"<Error><Code>Bad</Code><Message>a &lt; b</Message></Error>", "a < b", id="XML"),
        pytest.param(
            b"<html><title>a</title></html>", "The upstream refused the content of this request.", id="HTML"
        ),
    ],
)  # fmt: skip
def test_words_of_a_refusal_are_found_in_other_places(body: Any, words: str) -> None:
    refusal = refused(400, body)

    assert (refusal.meaning, refusal.message) == ("content_refused", words)


def test_plain_text_is_shown_as_any_other_words_are() -> None:
    headers = {b"content-type": b"text/plain; charset=utf-8"}

    refusal = OPENAI.refusal(400, headers, b"llm.example: too long, see https://llm.example/x " + b"y" * 5000, call())

    assert refusal.message.startswith("the upstream: too long, see … yyy")
    assert len(refusal.message) <= 1000


def test_words_of_an_upstreams_upstream_have_their_code() -> None:
    raw = '{"error":{"message":"too long","code":"context_length_exceeded","type":"invalid_request_error"}}'
    error = {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw, "provider_name": "X"}}

    refusal = refused(400, {"error": error})

    assert (refusal.code, refusal.message) == ("context_length_exceeded", "too long")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 60_000,
        b"[" * 900 + b"]" * 900,
        b'{"message":' * 300 + b'"a"' + b"}" * 300,
        b'{"message":"' * 5000,
        b"<message>" * 6000,
        b"<a:" * 20_000,
        b"data:{\n" * 9000,
        b"data:" + b"[" * 60_000,
        b'{"errors":' * 300 + b"[]" + b"}" * 300,
        orjson.dumps([[[[[[["a"] * 8] * 8] * 8] * 8] * 8] * 2]),
        b'{"error":{"message":"a","x":' + b"9" * 5000 + b"}}",
    ],
    ids=range(11),
)
def test_hostile_body_costs_no_time(body: bytes) -> None:
    start = time.process_time()
    refusal = refused(400, body[:65_536])

    assert time.process_time() - start < 0.2
    assert len(refusal.message) <= 1000
