"""How long real servers ask to be left alone, in the many ways in which they say it."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from routing.providers.openai import OPENAI
from tests.routing.providers.openai.test_adapter import call

NOW = {"date": "Thu, 26 Nov 2026 08:00:00 GMT"}


def rest(headers: dict[str, str], body: Any = None) -> float | None:
    head = {name.encode(): value.encode() for name, value in headers.items()}
    return OPENAI.refusal(429, head, orjson.dumps(body), call()).retry_after


def test_model_that_is_loading_is_left_alone_so_long() -> None:
    """Hugging Face's."""
    body = {"error": "Model is currently loading", "estimated_time": 44.0}

    refusal = OPENAI.refusal(503, {}, orjson.dumps(body), call())

    assert (refusal.meaning, refusal.retry_after) == ("rest", 44.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"retry-after": "44s"}, 44.0, id="with a unit"),
        pytest.param({"x-ms-retry-after-ms": "1500"}, 1.5, id="Azure"),
        pytest.param({"retry-after": "PT1M30S"}, 90.0, id="ISO 8601"),
        pytest.param({"retry-after": "90, 90"}, 90.0, id="twice"),
        pytest.param({"retry-after": "x, 90"}, None, id="another, and once"),
        pytest.param({"retry-after": "Thu Nov 26 08:01:30 2026", **NOW}, 90.0, id="asctime is in UTC"),
        pytest.param({"x-ratelimit-reset-requests": "1m30s"}, 90.0, id="OpenAI, requests"),
        pytest.param({"x-ratelimit-reset-tokens": "44.5s"}, 44.5, id="OpenAI, tokens"),
        pytest.param({"x-ratelimit-reset-tokens": "6ms"}, 0.006, id="OpenAI, ms"),
        pytest.param({"x-ratelimit-reset-requests": "1h2m3s"}, 3723.0, id="hours"),
        pytest.param({"x-ratelimit-reset-tokens-minute": "11.38"}, 11.38, id="Cerebras"),
        pytest.param({"ratelimitbysize-reset": "44"}, 44.0, id="Mistral"),
        pytest.param({"ratelimit-reset": "44"}, 44.0, id="IETF draft 03"),
        pytest.param({"ratelimit": "limit=9, remaining=0, reset=44"}, 44.0, id="IETF draft 07"),
        pytest.param({"ratelimit": '"default";r=0;t=44'}, 44.0, id="IETF draft 08"),
        pytest.param({"ratelimit": '"default";r=5;t=44'}, None, id="something remains"),
        pytest.param(
            {"anthropic-ratelimit-tokens-reset": "2026-11-26T08:00:44Z", **NOW}, 44.0, id="Anthropic, RFC 3339"
        ),
        pytest.param(
            {
                "x-ratelimit-remaining-requests": "999",
                "x-ratelimit-reset-requests": "2h",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "7.66s",
            },
            7.66,
            id="the limit that is used up",
        ),
        pytest.param({"retry-after": "3", "x-ratelimit-reset-requests": "1m30s"}, 3.0, id="Retry-After goes first"),
        pytest.param({"x-ratelimit-reset": "0"}, 0.0, id="nought"),
        pytest.param({"x-ratelimit-reset-requests": "nan"}, None, id="nan"),
        pytest.param({"x-ratelimit-reset-requests": "-5s"}, None, id="negative"),
        pytest.param({"x-ratelimit-reset-requests": "9" * 60}, None, id="huge"),
        pytest.param({"x-ratelimit-reset-requests": "9999999d"}, 86_400.0, id="bounded"),
    ],
)
def test_time_to_come_back_is_read_from_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert rest(headers) == seconds


@pytest.mark.parametrize("factor", [1, 1000], ids=["GitHub, seconds", "OpenRouter, ms"])
def test_reset_may_be_a_moment_since_1970(factor: int) -> None:
    told = rest({"x-ratelimit-reset": str(int((time.time() + 44) * factor))})

    assert told is not None
    assert 40 < told <= 44


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        pytest.param({"retry_after": 44}, 44.0, id="retry_after"),
        pytest.param({"retry_after": "44"}, 44.0, id="as text"),
        pytest.param({"retryAfter": "1m30s"}, 90.0, id="as a duration"),
        pytest.param({"retry_after_ms": 1500}, 1.5, id="ms"),
        pytest.param({"retry_after": True}, None, id="no number"),
        pytest.param({"retry_after": -1}, None, id="negative"),
        pytest.param({"metadata": {"retry_after_seconds": 44, "raw": "x"}}, 44.0, id="OpenRouter"),
        pytest.param({"metadata": {"headers": {"Retry-After": "44"}}}, 44.0, id="OpenRouter, headers"),
        pytest.param({"metadata": {"headers": {"X-RateLimit-Reset": "44"}}}, 44.0, id="OpenRouter, reset"),
        pytest.param({"message": "exceeded call rate limit. Please retry after 44 seconds."}, 44.0, id="Azure"),
        pytest.param({"message": "Please try again in 1h2m3s."}, 3723.0, id="OpenAI, hours"),
        pytest.param({"message": "Please try again in 1m2.5s. Need more tokens?"}, 62.5, id="Groq"),
        pytest.param({"message": "Please retry in 47.434392449s."}, 47.434392449, id="Gemini"),
        pytest.param({"message": "Try again in 2 minutes and 5 seconds"}, 125.0, id="in words"),
        pytest.param({"message": "Your quota will reset after 12h34m16s."}, 45_256.0, id="Code Assist"),
        pytest.param({"message": "please wait 30 sec"}, 30.0, id="wait"),
        pytest.param({"message": "Please try again in 3 models"}, None, id="no unit"),
    ],
)
def test_time_to_come_back_is_read_from_the_error(error: dict[str, Any], seconds: float | None) -> None:
    assert rest({}, {"error": {"message": "slow", **error}}) == seconds


def test_time_that_stands_beside_the_error_is_read() -> None:
    assert rest({}, {"detail": "slow down", "retry_after": 44}) == 44.0
