"""What errors of real servers mean: our account, our key, our limits, our names, or the tenant's request."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from routing.providers.base import Refusal
from routing.providers.openai import OPENAI
from tests.routing.providers.openai.test_adapter import call


def refused(status: int, body: Any, **headers: str) -> Refusal:
    head = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return OPENAI.refusal(status, head, orjson.dumps(body), call())


GEMINI_QUOTA = "You exceeded your current quota, please check your plan and billing details."


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(429, {"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}, id="Zhipu"),
        pytest.param(429, {"error": {"code": 1113, "message": "x"}}, id="Zhipu, a number"),
        pytest.param(429, {"error": {"message": "您的账户已欠费"}}, id="Zhipu, the sentence"),
        pytest.param(429, {"error": {"message": "x", "code": "insufficient_user_quota"}}, id="one-api"),
        pytest.param(403, {"error": {"message": "用户额度不足", "code": "insufficient_user_quota"}}, id="new-api"),
        pytest.param(403, {"error": {"message": "x", "code": "pre_consume_token_quota_failed"}}, id="new-api, key"),
        pytest.param(
            500, {"error": {"type": "api_error", "message": "insufficient balance (1008)"}}, id="MiniMax, 500"
        ),
        pytest.param(429, {"error": {"message": "x", "type": "insufficient_balance_error"}}, id="MiniMax, 429"),
        pytest.param(402, {"error": {"message": "This request requires more credits.", "code": 402}}, id="OpenRouter"),
        pytest.param(402, {"error": {"message": "Credit limit exceeded", "type": "credit_limit"}}, id="Together"),
        pytest.param(402, {}, id="402 alone"),
        pytest.param(403, {"error": {"message": "x", "code": "AccountOverdueError"}}, id="Volcengine"),
        pytest.param(403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}, id="SiliconFlow"),
        pytest.param(
            403,
            {"code": "x", "error": "Your newly created teams doesn't have any credits yet. You can purchase them."},
            id="xAI",
        ),
        pytest.param(429, {"error": {"message": "x", "code": "billing_not_active"}}, id="OpenAI, not active"),
        pytest.param(429, {"error": {"message": GEMINI_QUOTA}}, id="OpenAI, the sentence alone"),
        pytest.param(
            429,
            {"error": {"message": "Your prepayment credits are depleted.", "status": "RESOURCE_EXHAUSTED"}},
            id="Gemini, prepaid",
        ),
        pytest.param(
            400, {"error": {"message": "You have reached your specified API usage limits."}}, id="Anthropic's limit"
        ),
        pytest.param(400, {"error": {"message": "x", "type": "billing_error"}}, id="Anthropic's bill"),
        pytest.param(
            429,
            {
                "error": {
                    "message": "Your account org-4 <ak-f> is suspended due to insufficient balance, please recharge"
                }
            },
            id="Moonshot, the sentence",
        ),
        pytest.param(
            403, {"error": {"message": "x", "code": "AllocationQuota.FreeTierOnly"}}, id="DashScope, nothing is free"
        ),
    ],
)
def test_empty_account_is_recognised_in_every_vendors_words(status: int, body: Any) -> None:
    refusal = refused(status, body)

    assert (refusal.meaning, refusal.message) == ("account_empty", "")


@pytest.mark.parametrize(
    "error",
    [
        {"message": "flagged", "code": 403, "metadata": {"reasons": ["violence"], "flagged_input": "x"}},
        {"message": "x", "code": "content_filter"},
        {"message": "x", "type": "content_policy_violation"},
    ],
    ids=["OpenRouter", "code", "type"],
)
def test_words_that_are_not_let_through_are_the_tenants_fault_and_rest_nobody(error: Any) -> None:
    assert refused(403, {"error": error}).meaning == "content_refused"


def test_forbidden_key_is_ours() -> None:
    assert refused(403, {"error": {"message": "x", "code": 403, "metadata": {"reasons": []}}}).meaning == "key_refused"


def test_model_at_its_end_is_tried_elsewhere() -> None:
    assert refused(400, {"error": {"message": "x", "code": "model_overloaded"}}).meaning == "retry"


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        pytest.param(
            [
                {
                    "error": {
                        "code": 429,
                        "message": GEMINI_QUOTA,
                        "status": "RESOURCE_EXHAUSTED",
                        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}],
                    }
                }
            ],
            34.0,
            id="its compatible endpoint",
        ),
        pytest.param(
            {"error": {"code": 429, "message": GEMINI_QUOTA, "status": "RESOURCE_EXHAUSTED"}}, None, id="without a time"
        ),
        pytest.param(
            {"error": {"message": f"{GEMINI_QUOTA}\nPlease retry in 47.434392449s."}}, 47.434392449, id="text"
        ),
        pytest.param(
            {
                "error": {
                    "message": "Quota exceeded",
                    "errors": [{"message": "Quota exceeded", "reason": "rateLimitExceeded"}],
                    "status": "RESOURCE_EXHAUSTED",
                    "details": [{"retryDelay": "34s"}],
                }
            },
            34.0,
            id="errors inside the error",
        ),
        pytest.param(
            {
                "error": {
                    "message": '{"error":{"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED",'
                    '"details":[{"retryDelay":"26s"}]}}',
                    "code": 429,
                }
            },
            26.0,
            id="JSON inside the message",
        ),
    ],
)
def test_ordinary_limit_of_gemini_is_no_empty_account(body: Any, seconds: float | None) -> None:
    refusal = refused(429, body)

    assert (refusal.meaning, refusal.retry_after) == ("rest", seconds)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"__type": "UnrecognizedClientException", "message": "x"}, id="AWS"),
        pytest.param({"__type": "com.amazon.coral.service#ExpiredTokenException", "message": "x"}, id="AWS, namespace"),
        pytest.param({"message": "The security token included in the request is expired"}, id="AWS, the sentence"),
        pytest.param({"error": {"message": "Please pass a valid API key"}}, id="Gemini"),
        pytest.param({"error": {"message": "Missing or invalid Authorization header."}}, id="Gemini, no header"),
        pytest.param(
            {"error": {"message": "x", "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}},
            id="Gemini, by reason",
        ),
        pytest.param(
            {"error": {"message": "User location is not supported for the API use."}}, id="Gemini, our address"
        ),
        pytest.param({"error": "Authorization header is correct, but the token seems invalid"}, id="Hugging Face"),
        pytest.param({"message": "invalid api token"}, id="Cohere"),
        pytest.param({"error": {"message": "x", "code": "organization_restricted"}}, id="Groq"),
        pytest.param({"error": {"message": "无效的令牌"}}, id="one-api"),
        pytest.param({"error": "unauthorized", "error_description": "The token expired."}, id="RFC 6750"),
        pytest.param({"error": {"message": "Unauthorized: bad key"}}, id="a heading"),
        pytest.param({"error": {"message": "Your API key was reported as leaked. Please use another."}}, id="leaked"),
        pytest.param({"error": {"message": "This API key has been disabled"}}, id="disabled"),
        pytest.param({"error": {"message": "API key has been revoked."}}, id="revoked"),
        pytest.param({"error": {"message": "The API key is suspended"}}, id="suspended"),
        pytest.param({"error": {"message": "Malformed Authorization header"}}, id="a malformed header"),
        pytest.param({"error": {"message": "Invalid credentials"}}, id="credentials"),
        pytest.param({"error": {"message": "Invalid token"}}, id="a token"),
        pytest.param({"detail": "Not authenticated"}, id="FastAPI, no key"),
        pytest.param({"detail": "Could not validate credentials"}, id="FastAPI, a bad one"),
        pytest.param(
            {"detail": [{"loc": ["header", "authorization"], "msg": "field required"}]}, id="FastAPI, no header"
        ),
        pytest.param({"message": "Your account is not authorized to invoke this API operation."}, id="AWS, account"),
        pytest.param({"error": {"message": "Incorrect API key provided", "param": "400"}}, id="one-api, of another"),
        pytest.param({"error": {"message": "bad response status code 401", "param": "401"}}, id="new-api, of another"),
    ],
)
def test_key_of_ours_that_is_refused_with_400_is_never_the_tenants(body: Any) -> None:
    refusal = refused(400, body)

    assert (refusal.meaning, refusal.message) == ("key_refused", "")


def test_tokens_per_minute_that_dashscope_calls_a_quota_are_none() -> None:
    """help.aliyun.com/zh/model-studio/error-code#token-limit"""
    message = f"{GEMINI_QUOTA} Read https://help.aliyun.com/zh/model-studio/error-code#token-limit"
    said = {"message": message, "type": "insufficient_quota", "code": "insufficient_quota"}

    assert refused(429, {"error": said}).meaning == "rest"
    assert refused(400, {"error": said}).meaning == "account_empty"
    assert refused(429, {"error": {**said, "param": "messages"}}).meaning == "account_empty"


def test_model_that_our_account_may_not_use_is_another_routes() -> None:
    message = "You don't have access to the model with the specified model ID."

    assert [refused(status, {"message": message}).meaning for status in (400, 403)] == ["retry", "retry"]


def test_key_refused_in_a_header_of_aws_is_ours() -> None:
    said = "ExpiredTokenException:http://internal.amazon.com/coral/com.amazon.coral.service/"

    assert refused(400, {"message": "x"}, x_amzn_errortype=said).meaning == "key_refused"


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("Unauthorized characters in tool name: a/b", "tools"),
        ("Unauthorized characters in tool name: a/b", None),
        ("Unauthorized: not in a tool's name", "tools[0].function.name"),
        ("Invalid API token count: 5", None),
        ("Invalid API key in the example", "messages[0].content"),
        ("Insufficient balance between roles", "messages"),
        ("Too many requests in the batch", "input"),
        ("Unauthenticated is no role", None),
        ("Invalid token: 5 is above 4", None),
        ("Not authenticated users have no name", None),
        ("header.author: field required", None),
        ("bad response status code 400", None),
    ],
)
def test_what_a_tenant_can_cause_is_the_tenants(message: str, param: str | None) -> None:
    error = {"message": message, "type": "invalid_request_error", "param": param}

    refusal = refused(400, {"error": error})

    assert (refusal.meaning, refusal.message, refusal.param) == ("content_refused", message, param)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(400, {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}, id="by code"),
        pytest.param(400, {"__type": "ThrottlingException", "message": "x"}, id="AWS"),
        pytest.param(400, {"error": {"message": "Too many requests, please wait."}}, id="by sentence"),
        pytest.param(403, {"error": {"message": "x", "errors": [{"reason": "userRateLimitExceeded"}]}}, id="Google"),
        pytest.param(422, {"error": {"message": "x", "code": 429}}, id="by number"),
        pytest.param(500, {"error": {"message": "x", "type": "rate_limit_error"}}, id="500"),
    ],
)
def test_limit_of_ours_rests_the_route_whatever_the_status(status: int, body: Any) -> None:
    refusal = refused(status, body, retry_after="7")

    assert (refusal.meaning, refusal.message, refusal.retry_after) == ("rest", "", 7.0)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        pytest.param(413, "Request too large for model `x` in organization `org_1` on tokens per minute", id="Groq"),
        pytest.param(429, "Request too large for gpt-4o in organization org-1 on tokens per min", id="OpenAI"),
    ],
)
def test_request_above_our_limit_goes_elsewhere_and_rests_nothing(status: int, message: str) -> None:
    """Each tenant could rest the route for all others otherwise, with one long prompt after the other."""
    refusal = refused(status, {"error": {"message": message, "type": "tokens", "code": "rate_limit_exceeded"}})

    assert (refusal.meaning, refusal.message) == ("not_here", "")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(400, {"error": {"message": "The model `x` does not exist", "code": "model_not_found"}}, id="code"),
        pytest.param(400, {"error": {"message": "Model Not Exist", "code": "invalid_request_error"}}, id="DeepSeek"),
        pytest.param(400, {"code": 20012, "message": "Model does not exist. Please check it."}, id="SiliconFlow"),
        pytest.param(400, {"message": "Invalid model: x", "type": "invalid_model", "code": "1500"}, id="Mistral"),
        pytest.param(400, {"error": {"message": "a/b is not a valid model ID", "code": 400}}, id="OpenRouter"),
        pytest.param(400, {"error": {"message": "x", "code": "model_decommissioned"}}, id="Groq"),
        pytest.param(400, {"message": "The provided model identifier is invalid."}, id="Bedrock"),
        pytest.param(403, {"error": {"message": "No access to model `x`", "code": "model_not_found"}}, id="OpenAI"),
        pytest.param(400, {"error": {"message": "Busy", "code": "server_overloaded"}}, id="overloaded"),
    ],
)
def test_our_routes_name_of_a_model_is_tried_elsewhere(status: int, body: Any) -> None:
    refusal = refused(status, body)

    assert (refusal.meaning, refusal.message) == ("retry", "")


@pytest.mark.parametrize(
    ("status", "asked", "meaning"),
    [
        (503, "44", "rest"),
        (529, "44", "rest"),
        (503, "0", "retry"),
        (503, "soon", "retry"),
        (502, "44", "retry"),
    ],
)
def test_overload_with_a_time_to_come_back_rests(status: int, asked: str, meaning: str) -> None:
    refusal = refused(status, {"error": {"message": "loading"}}, retry_after=asked)

    assert refusal.meaning == meaning


def test_limits_that_stand_in_every_answer_do_not_make_a_rest_of_a_failure() -> None:
    headers = {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "44s"}

    assert refused(503, {"error": {"message": "loading"}}, **headers).meaning == "retry"


@pytest.mark.parametrize(
    "piece",
    ["invalid ", "invalid or missing ", "your ", "model ", "model: a ", "your team a ", "a", "0", "error code: 400 - ",
     "please pass a valid ", "unauthorized", "sorry, ", "api", "余额", "1h", "1 m ", "retry after ", "try again in 1"],
)  # fmt: skip
def test_hostile_beginnings_cost_no_time(piece: str) -> None:
    body = {"error": {"message": piece * (60_000 // len(piece)), "code": piece * 1000, "status": piece * 1000}}

    start = time.process_time()
    refused(400, body)
    refused(429, body)

    assert time.process_time() - start < 0.1
