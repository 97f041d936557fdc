"""Anthropic's errors (platform.claude.com/docs/en/api/errors)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from routing.providers.anthropic import ANTHROPIC
from routing.providers.base import Refusal
from tests.routing.providers.anthropic.calls import call


def refused(status: int, kind: str, message: str = "x", **headers: str) -> Refusal:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    head = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return ANTHROPIC.refusal(status, head, orjson.dumps(body), call())


@pytest.mark.parametrize(
    ("status", "kind", "message", "meaning"),
    [
        (400, "invalid_request_error", "messages.0: text content blocks must be non-empty", "content_refused"),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", "account_empty"),
        (400, "invalid_request_error", "You have reached your specified API usage limits.", "account_empty"),
        (400, "billing_error", "x", "account_empty"),
        (402, "billing_error", "x", "account_empty"),
        (400, "invalid_request_error", "This organization has been disabled.", "key_refused"),
        (401, "authentication_error", "invalid x-api-key", "key_refused"),
        (403, "permission_error", "Your API key does not have permission.", "key_refused"),
        (404, "not_found_error", "model: claude-nope", "retry"),
        (413, "request_too_large", "Request exceeds the maximum size", "content_refused"),
        (429, "rate_limit_error", "This request would exceed your rate limit.", "rest"),
        (500, "api_error", "Internal server error", "retry"),
        (504, "timeout_error", "x", "retry"),
        (529, "overloaded_error", "Overloaded", "retry"),
    ],
)
def test_error_has_its_meaning(status: int, kind: str, message: str, meaning: str) -> None:
    refusal = refused(status, kind, message)
    assert (refusal.meaning, refusal.detail) == (meaning, f"{status}: {message}")


def test_overload_rests_as_long_as_it_says() -> None:
    refusal = refused(529, "overloaded_error", retry_after="9")
    assert (refusal.meaning, refusal.retry_after) == ("rest", 9.0)


def test_limit_rests_until_it_counts_anew() -> None:
    headers = {
        "date": "Fri, 27 Nov 2026 05:00:00 GMT",
        "anthropic_ratelimit_requests_remaining": "0",
        "anthropic_ratelimit_requests_reset": "2026-11-27T05:00:30Z",
        "anthropic_ratelimit_tokens_remaining": "900",
        "anthropic_ratelimit_tokens_reset": "2026-11-27T05:10:00Z",
    }
    assert refused(429, "rate_limit_error", **headers).retry_after == 30.0


@pytest.mark.parametrize(
    "message",
    [
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length",
    ],
)
def test_prompt_that_is_too_long_is_named_in_chats_words(message: str) -> None:
    refusal = refused(400, "invalid_request_error", message)
    assert (refusal.meaning, refusal.code, refusal.type) == (
        "content_refused", "context_length_exceeded", "invalid_request_error"
    )  # fmt: skip
    assert refusal.message == message


def test_tenant_reads_what_was_refused_and_not_at_whose_place() -> None:
    message = "claude-sonnet-4-5 at https://api.anthropic.com/v1 (sk-ant-secret): max_tokens: 5 > 4"
    shown = refused(400, "invalid_request_error", message).message
    assert shown.endswith("max_tokens: 5 > 4")
    assert not any(word in shown for word in ("sonnet", "anthropic.com", "sk-ant"))


@pytest.mark.parametrize("body", [b"", b"Overloaded", b'{"type":"error"}', b'{"type":"error","error":"x"}'])
def test_error_without_its_shape_is_one_too(body: bytes) -> None:
    answer: Any = ANTHROPIC.refusal(529, {}, body, call())
    assert answer.meaning == "retry"
