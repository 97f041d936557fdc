"""Azure's own: its paths and header, what its filter says, and its errors."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from routing.providers import read_options
from routing.providers.azure import AZURE
from routing.providers.base import END, NO_OPTIONS, UpstreamCall
from routing.providers.media import File

HOST = "mine.openai.azure.com"


def call(**members: Any) -> UpstreamCall:
    defaults = {
        "endpoint": "chat.completions",
        "path": "/chat/completions",
        "body": {"model": "public", "messages": []},
        "upstream_model": "my gpt/4",
        "host": HOST,
        "secret": "s3cret",
        "cap": 50,
        "answers": 1,
        "is_stream": False,
        "options": NO_OPTIONS,
    }
    return UpstreamCall(**{**defaults, **members})


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, "/openai/v1/chat/completions"),
        ({"api_version": "preview"}, "/openai/v1/chat/completions?api-version=preview"),
        (
            {"style": "deployments"},
            "/openai/deployments/my%20gpt%2F4/chat/completions?api-version=2024-10-21",
        ),
        (
            {"style": "deployments", "api_version": "2025-04-01-preview"},
            "/openai/deployments/my%20gpt%2F4/chat/completions?api-version=2025-04-01-preview",
        ),
    ],
)
def test_path_is_of_the_style_that_was_chosen(options: dict[str, Any], path: str) -> None:
    assert AZURE.request(call(options=read_options("azure", options))).path == path


@pytest.mark.parametrize(
    "options",
    [{"style": "v2"}, {"api_version": "2024-10-21&x=y"}, {"api_version": "soon"}, {"api_version": 1}, {"place": "eu"},
     {"vendor": "nobody"}],
    ids=str,
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_options("azure", options)


def test_secret_goes_in_azures_own_header_and_the_rest_is_openais() -> None:
    asked = AZURE.request(call())
    names = dict(asked.headers)
    assert (names["api-key"], "authorization" in names) == ("s3cret", False)
    assert orjson.loads(asked.body) == {"model": "my gpt/4", "messages": [], "max_completion_tokens": 50}


def test_form_goes_upstream_with_its_contents() -> None:
    body = {"model": "public", "file": File("a.wav", "audio/wav", b"RIFF sound")}
    asked = AZURE.request(call(endpoint="audio.transcriptions", path="/audio/transcriptions", body=body))
    assert (asked.path, b"RIFF sound" in asked.pieces) == ("/openai/v1/audio/transcriptions", True)


@pytest.mark.parametrize(
    ("endpoint", "style", "has"),
    [
        ("chat.completions", "v1", True),
        ("embeddings", "deployments", True),
        ("responses", "v1", True),
        ("responses", "deployments", False),
        ("moderations", "v1", False),
        ("rerank", "v1", False),
        ("messages", "v1", False),
    ],
)
def test_service_has_these_endpoints(endpoint: str, style: str, has: bool) -> None:
    assert AZURE.speaks(endpoint, "proxy.example", read_options("azure", {"style": style})) is has


# --- what the filter says --------------------------------------------------------------------------------------------

PROMPT = {"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}


def events(*chunks: dict[str, Any]) -> list[Any]:
    data = b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks)
    return AZURE.open(call(is_stream=True)).feed(data + b"data: [DONE]\n\n")


def test_what_it_says_of_the_prompt_comes_with_the_first_choice() -> None:
    said = {"index": 0, "delta": {"content": "hi"}, "finish_reason": None}

    first, second, end = events(
        {"id": "", "object": "", "model": "", "choices": [], "prompt_filter_results": [PROMPT]},
        {"choices": [said]},
        {"choices": [said]},
    )

    assert (first["prompt_filter_results"], first["choices"][0]["delta"]) == ([PROMPT], {"content": "hi"})
    assert "prompt_filter_results" not in second
    assert end == END


def test_what_it_says_later_of_what_was_said_is_a_choice_that_says_nothing() -> None:
    late = {
        "index": 0,
        "finish_reason": None,
        "content_filter_results": {"violence": {"filtered": False, "severity": "safe"}},
        "content_filter_offsets": {"check_offset": 44, "start_offset": 44, "end_offset": 198},
    }

    (chunk, _end) = events({"id": "", "object": "", "choices": [late], "usage": None})

    assert chunk["choices"] == [{**late, "delta": {}}]


def test_answer_that_the_filter_ends_says_so() -> None:
    (chunk, _end) = events(
        {"choices": [{"index": 0, "finish_reason": "content_filter", "content_filter_results": {"hate": {}}}]}
    )
    assert chunk["choices"][0]["finish_reason"] == "content_filter"


# --- errors ----------------------------------------------------------------------------------------------------------


def refused(status: int, headers: dict[bytes, bytes] | None = None, **error: Any) -> Any:
    return AZURE.refusal(status, headers or {}, orjson.dumps({"error": error}), call())


def test_prompt_that_the_filter_refuses_is_the_tenants() -> None:
    refusal = refused(
        400,
        message="The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        type=None,
        param="prompt",
        code="content_filter",
        innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
    )
    assert (refusal.meaning, refusal.code, refusal.param) == ("content_refused", "content_filter", "prompt")
    assert "triggering the upstream's content" in refusal.message


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}),
        (400, {"code": "DeploymentNotFound", "message": "no"}),
        (400, {"code": "OperationNotSupported", "message": "The chatCompletion operation does not work with it."}),
        (404, {"code": "404", "message": "Resource not found"}),
        (400, {"code": "BadRequest", "message": "API version not supported"}),
        (400, {"code": "BadRequest", "message": "api-version query parameter is not allowed when using /v1 path"}),
    ],
)
def test_what_the_operator_chose_badly_is_tried_elsewhere(status: int, error: dict[str, Any]) -> None:
    assert refused(status, **error).meaning == "retry"


def test_limit_rests_as_long_as_its_milliseconds_say() -> None:
    refusal = refused(429, {b"retry-after-ms": b"1500", b"retry-after": b"2"}, code="429", message="Too many tokens.")
    assert (refusal.meaning, refusal.retry_after) == ("rest", 1.5)


def test_limit_without_a_header_rests_as_long_as_its_sentence_says() -> None:
    message = "Requests have exceeded the token rate limit of your S0 pricing tier. Please retry after 26 seconds."
    assert refused(429, code="429", message=message).retry_after == 26


def test_bad_value_of_the_tenants_is_the_tenants() -> None:
    assert (
        refused(400, code="unsupported_value", message="Bad value.", param="temperature").meaning == "content_refused"
    )
