"""Chat requests in Google's words, and what there are no words for."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest

from routing.providers.base import Options, UpstreamCall
from routing.providers.gemini import GEMINI

FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
OTHER = {"type": "function", "function": {"name": "g", "strict": True}}
HELLO = [{"role": "user", "content": "Hi"}]


def sent(model: str = "gemini-3-pro", answers: int = 1, **members: Any) -> dict[str, Any]:
    """The body that goes up for a chat request, which can be said."""
    whole: dict[str, Any] = orjson.loads(written(model, answers, **members))
    return whole


def written(model: str = "gemini-3-pro", answers: int = 1, **members: Any) -> bytes:
    """The same, letter by letter."""
    body = {"model": "m", "messages": HELLO, **members}
    assert GEMINI.lacks("chat.completions", body, Options()) == ""
    call = UpstreamCall(
        endpoint="chat.completions", path="", body=body, upstream_model=model, host="h", secret="s", cap=77,
        answers=answers, is_stream=False,
    )  # fmt: skip
    return GEMINI.request(call).body


def config(**members: Any) -> dict[str, Any]:
    """What stands in generationConfig beside the cap."""
    told: dict[str, Any] = sent(**members)["generationConfig"]
    assert told.pop("maxOutputTokens") == 77
    return told


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({}, {}),
        ({"temperature": 0}, {"temperature": 0}),
        ({"temperature": None, "n": None, "tools": None}, {}),
        ({"top_p": 0.5, "top_k": 40}, {"topP": 0.5, "topK": 40}),
        ({"seed": 5}, {"seed": 5}),
        ({"presence_penalty": 1, "frequency_penalty": -1}, {"presencePenalty": 1, "frequencyPenalty": -1}),
        ({"stop": "END"}, {"stopSequences": ["END"]}),
        ({"stop": ["a", "b"]}, {"stopSequences": ["a", "b"]}),
        ({"logprobs": True}, {"responseLogprobs": True}),
        ({"logprobs": True, "top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}),
        ({"logprobs": False}, {}),
        ({"n": 2, "answers": 2}, {"candidateCount": 2}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}},
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            {"responseMimeType": "application/json"},
        ),
        ({"user": "u", "metadata": {}, "prediction": {}, "store": False, "verbosity": "medium", "logit_bias": {}}, {}),
        ({"stream": True, "stream_options": {}, "service_tier": "auto", "modalities": ["text"]}, {}),
    ],
)
def test_settings_are_googles(members: dict[str, Any], told: dict[str, Any]) -> None:
    assert config(**members) == told


THOUGHT = {"includeThoughts": True}


@pytest.mark.parametrize(
    ("model", "members", "told"),
    [
        ("gemini-2.5-flash", {"reasoning_effort": "none"}, {"thinkingBudget": 0}),
        ("gemini-2.5-flash", {"reasoning_effort": "minimal"}, {**THOUGHT, "thinkingBudget": 1024}),
        ("gemini-2.5-flash", {"reasoning_effort": "low"}, {**THOUGHT, "thinkingBudget": 1024}),
        ("gemini-2.5-flash", {"reasoning_effort": "medium"}, {**THOUGHT, "thinkingBudget": 8192}),
        ("gemini-2.5-flash", {"reasoning_effort": "high"}, {**THOUGHT, "thinkingBudget": 24576}),
        ("gemini-2.5-flash", {"reasoning_effort": "max"}, {**THOUGHT, "thinkingBudget": 24576}),
        ("gemini-3-pro", {"reasoning_effort": "minimal"}, {**THOUGHT, "thinkingLevel": "minimal"}),
        ("gemini-3-pro", {"reasoning_effort": "low"}, {**THOUGHT, "thinkingLevel": "low"}),
        ("gemini-3-pro", {"reasoning_effort": "medium"}, {**THOUGHT, "thinkingLevel": "medium"}),
        ("gemini-3-pro", {"reasoning_effort": "xhigh"}, {**THOUGHT, "thinkingLevel": "high"}),
        ("gemini-flash-latest", {"reasoning_effort": "low"}, {**THOUGHT, "thinkingLevel": "low"}),
        ("gemini-3-pro", {"reasoning": {"effort": "low"}}, {**THOUGHT, "thinkingLevel": "low"}),
        ("gemini-3-pro", {"reasoning": {"max_tokens": 500}}, {**THOUGHT, "thinkingBudget": 500}),
        ("gemini-3-pro", {"reasoning": {"max_tokens": 500, "exclude": True}}, {"thinkingBudget": 500}),
        ("gemini-3-pro", {"reasoning": {"enabled": True}}, THOUGHT),
        ("gemini-3-pro", {"reasoning": {"enabled": False}}, {"thinkingBudget": 0}),
    ],
)
def test_thoughts_are_asked_for_as_the_model_knows_them(
    model: str, members: dict[str, Any], told: dict[str, Any]
) -> None:
    assert config(model=model, **members) == {"thinkingConfig": told}


@pytest.mark.parametrize("reasoning", [{}, None, "x", {"effort": None}])
def test_no_thought_is_asked_for_where_nobody_does(reasoning: Any) -> None:
    assert config(reasoning=reasoning) == {}


def test_functions_are_declared() -> None:
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": None}
    assert sent(tools=[{"type": "function", "function": function}, {"type": "function", "function": {"name": "g"}}])[
        "tools"
    ] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object"}},
                {"name": "g"},
            ]
        }
    ]


@pytest.mark.parametrize(
    ("tools", "choice", "told"),
    [
        ([FUNCTION], None, None),
        ([FUNCTION], "auto", None),
        ([FUNCTION], "none", {"mode": "NONE"}),
        ([FUNCTION], "required", {"mode": "ANY"}),
        ([FUNCTION, OTHER], None, {"mode": "VALIDATED"}),
        ([FUNCTION, OTHER], "none", {"mode": "NONE"}),
        ([FUNCTION], {"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (
            [FUNCTION, OTHER],
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [FUNCTION]}},
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
        (
            [FUNCTION, OTHER],
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
        ),
    ],
)
def test_choice_of_functions_is_googles(tools: Any, choice: Any, told: Any) -> None:
    config = sent(tools=tools, tool_choice=choice).get("toolConfig")
    assert config == (None if told is None else {"functionCallingConfig": told})


def test_choice_without_functions_is_left_out() -> None:
    assert "toolConfig" not in sent(tool_choice="none")


# --- messages --------------------------------------------------------------------------------------------------------


def test_sides_take_turns_and_the_system_stands_above() -> None:
    body = sent(
        messages=[
            {"role": "system", "content": "one"},
            {"role": "user", "content": "Hi"},
            {"role": "user", "content": [{"type": "text", "text": "you"}, {"type": "text", "text": "there"}]},
            {"role": "assistant", "content": "Hello"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            {"role": "developer", "content": [{"type": "text", "text": "two"}]},
            {"role": "assistant", "content": "", "refusal": "never"},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": "Bye"},
        ]
    )
    assert body["systemInstruction"] == {"parts": [{"text": "one"}, {"text": "two"}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "Hi"}, {"text": "you"}, {"text": "there"}]},
        {"role": "model", "parts": [{"text": "Hello"}, {"text": "no"}, {"text": "never"}]},
        {"role": "user", "parts": [{"text": "Bye"}]},
    ]


def test_system_alone_is_what_the_user_says() -> None:
    body = sent(messages=[{"role": "system", "content": "one"}])
    assert ("systemInstruction" in body, body["contents"]) == (False, [{"role": "user", "parts": [{"text": "one"}]}])


def history(**call: Any) -> list[dict[str, Any]]:
    calls = [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}, **call},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": " "}},
    ]
    return [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "b", "content": "21 C"},
        {
            "role": "tool",
            "tool_call_id": "a",
            "content": [{"type": "text", "text": '{"y":'}, {"type": "text", "text": "2}"}],
        },
    ]


def test_calls_and_what_they_returned_are_parts() -> None:
    _user, called, returned = sent(model="gemini-2.5-flash", messages=history())["contents"]
    assert called == {
        "role": "model",
        "parts": [
            {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}},
            {"functionCall": {"id": "b", "name": "g", "args": {}}},
        ],
    }
    assert returned == {
        "role": "user",
        "parts": [
            {"functionResponse": {"id": "b", "name": "g", "response": {"output": "21 C"}}},
            {"functionResponse": {"id": "a", "name": "f", "response": {"y": 2}}},
        ],
    }


def test_calls_and_what_they_returned_go_on_digit_by_digit() -> None:
    exact = b'{"wei":123456789012345678901234567890,"share":1.50}'
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": exact.decode()}}
    returned = {"role": "tool", "tool_call_id": "a", "content": exact.decode()}
    messages = [*HELLO, {"role": "assistant", "content": None, "tool_calls": [call]}, returned]
    asked = written(messages=messages)
    assert b'"args":' + exact in asked
    assert b'"response":' + exact in asked


SIGNED = {"extra_content": {"google": {"thought_signature": "c2ln"}}}


@pytest.mark.parametrize(
    ("model", "call", "signatures"),
    [
        ("gemini-3-pro", SIGNED, ["c2ln", None]),
        ("gemini-3-pro", {}, ["skip_thought_signature_validator", None]),
        ("gemini-3-pro", {"extra_content": {"google": 5}}, ["skip_thought_signature_validator", None]),
        ("gemini-2.5-flash", SIGNED, ["c2ln", None]),
        ("gemini-2.5-flash", {}, [None, None]),
        ("gemma-3-27b-it", {}, [None, None]),
    ],
)
def test_signatures_of_calls_come_back(model: str, call: Any, signatures: Any) -> None:
    parts = sent(model=model, messages=history(**call))["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == signatures


def test_signatures_of_thoughts_come_back_and_others_do_not() -> None:
    details = [
        {"type": "reasoning.text", "text": "why", "signature": "c2ln", "format": "google-gemini-v1"},
        {"type": "reasoning.text", "text": "unsigned", "format": "google-gemini-v1"},
        {"type": "reasoning.encrypted", "data": "ZGF0YQ==", "format": "google-gemini-v1"},
        {"type": "reasoning.text", "text": "another's", "signature": "x", "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "data": "y"},
        {"type": "reasoning.encrypted", "format": "google-gemini-v1"},
        {"type": "reasoning.summary", "data": "z", "format": "google-gemini-v1"},
        5,
    ]
    message = {"role": "assistant", "content": "so", "reasoning_content": "why", "reasoning_details": details}
    assert sent(messages=[*HELLO, message, *HELLO])["contents"][1]["parts"] == [
        {"text": "why", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "so"},
        {"text": "", "thoughtSignature": "ZGF0YQ=="},
    ]


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/PNG;base64,AA=="}},
            {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://x.example/a.webp?b=c.png", "detail": "low"}},
            {"fileData": {"mimeType": "image/webp", "fileUri": "https://x.example/a.webp?b=c.png"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "http://x.example/a"}},
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "http://x.example/a"}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;name=a.pdf;base64,AA==", "filename": "a"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}},
        ),
    ],
)
def test_pictures_and_files_are_parts(part: Any, shown: Any) -> None:
    contents = sent(messages=[{"role": "user", "content": [part]}])["contents"]
    assert contents == [{"role": "user", "parts": [shown]}]


# --- where it goes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "is_spoken"),
    [("generate", True), ("chat.completions", True), ("embeddings", True), ("messages", False), ("images", False)],
)
def test_formats_that_google_speaks(endpoint: str, is_spoken: bool) -> None:
    assert GEMINI.speaks(endpoint, "h", Options()) is is_spoken


CALL = UpstreamCall(
    endpoint="generate", path="", body={"model": "m", "stream": True, "models": ["x"], "contents": [], "labels": None},
    upstream_model="models/tuned/a b", host="h", secret="s", cap=9, answers=1, is_stream=True,
)  # fmt: skip


def test_own_format_goes_on_without_what_is_the_gateways() -> None:
    request = GEMINI.request(CALL)
    assert request.path == "/models/tuned/a%20b:streamGenerateContent?alt=sse"
    assert orjson.loads(request.body) == {"contents": [], "generationConfig": {"maxOutputTokens": 9}}
    assert dict(request.headers)["accept"] == "text/event-stream"


def test_whole_answer_is_asked_for_on_its_own_path() -> None:
    request = GEMINI.request(msgspec.structs.replace(CALL, is_stream=False))
    assert request.path == "/models/tuned/a%20b:generateContent"
    assert dict(request.headers)["accept"] == "application/json"


# --- refusals --------------------------------------------------------------------------------------------------------


def refused(code: int, message: str, status: str, *details: dict[str, Any]) -> bytes:
    return orjson.dumps({"error": {"code": code, "message": message, "status": status, "details": list(details)}})


INVALID = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}


@pytest.mark.parametrize(
    ("status", "body", "meaning", "seconds"),
    [
        (400, refused(400, "API key not valid.", "INVALID_ARGUMENT", INVALID), "key_refused", None),
        (400, refused(400, "User location is not supported.", "FAILED_PRECONDITION"), "key_refused", None),
        (403, refused(403, "Permission denied", "PERMISSION_DENIED"), "key_refused", None),
        (429, refused(429, "You exceeded your current quota, please", "RESOURCE_EXHAUSTED", RETRY), "rest", 34.5),
        (429, refused(429, "Resource has been exhausted", "RESOURCE_EXHAUSTED"), "rest", None),
        (429, refused(429, "Your prepayment credits are depleted.", "RESOURCE_EXHAUSTED"), "account_empty", None),
        (404, refused(404, "models/x is not found for API version v1beta", "NOT_FOUND"), "retry", None),
        (503, refused(503, "The model is overloaded.", "UNAVAILABLE"), "retry", None),
        (400, b"[" + refused(400, "Invalid value at 'x'", "INVALID_ARGUMENT") + b"]", "content_refused", None),
    ],
)
def test_refusals_mean_what_google_says(status: int, body: bytes, meaning: str, seconds: float | None) -> None:
    refusal = GEMINI.refusal(status, {}, body, CALL)
    assert (refusal.meaning, refusal.retry_after) == (meaning, seconds)
