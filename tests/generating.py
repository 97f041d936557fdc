"""Google's format: what a Gemini upstream sends, how its clients ask, and Google's own types for what comes."""

from __future__ import annotations

import json
from typing import Any

import httpx
from google.genai import errors, types

from tests import upstream as up
from tests.callers import Caller, decoded
from tests.installation import Offer

ASK: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
USAGE = {"promptTokenCount": 12, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 17}
TOOL = {
    "functionDeclarations": [
        {"name": "get_weather", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}
    ]
}
ARGUMENTS = '{"city": "Huế", "days": [1, 2.50], "note": null}'


# --- what an upstream sends ----------------------------------------------------------------------------------------


def candidate(*parts: dict[str, Any], finish: str | None = "STOP", index: int = 0) -> dict[str, Any]:
    end = {} if finish is None else {"finishReason": finish}
    return {"content": {"parts": list(parts), "role": "model"}, **end, "index": index}


def response(*candidates: dict[str, Any], usage: Any = USAGE, **members: Any) -> dict[str, Any]:
    told = {} if usage is None else {"usageMetadata": usage}
    return {
        "candidates": list(candidates),
        **told,
        "modelVersion": "hidden-model",
        "responseId": "hidden-id",
        **members,
    }


def whole(*parts: dict[str, Any], **members: Any) -> up.Reply:
    return up.plain(200, response(candidate(*parts), **members))


def events(*chunks: dict[str, Any]) -> list[bytes]:
    return [b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks]


TOLD = events(
    response(candidate({"text": "Hello"}, finish=None), usage={"promptTokenCount": 12, "totalTokenCount": 12}),
    response(candidate({"text": " there!"}, finish=None), usage={"promptTokenCount": 12, "candidatesTokenCount": 2}),
    response(candidate({"text": ""}), usage=USAGE),
)


# --- how clients ask -----------------------------------------------------------------------------------------------


def generate(caller: Caller, model: Offer | str, action: str = "generateContent", **members: Any) -> httpx.Response:
    name = model if isinstance(model, str) else model.name
    with httpx.Client(base_url=caller.installation.gateway_url, timeout=10) as client:
        headers = {"x-goog-api-key": caller.secret}
        return client.post(f"/v1beta/models/{name}:{action}", json={**ASK, **members}, headers=headers)


def chunks_of(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = response.text.replace("\r\n", "\n").split("\n\n")
    return [decoded(block.removeprefix("data: ")) for block in blocks if block and not block.startswith(":")]


def validated(answer: dict[str, Any]) -> types.GenerateContentResponse:
    """As Google's own types have it, to the letter, but for the cost that is ours."""
    plain = json.loads(json.dumps(answer, default=float))
    for name in ("cost", "costDetails"):
        plain.get("usageMetadata", {}).pop(name, None)
    return types.GenerateContentResponse.model_validate(plain)


def text_of(answer: types.GenerateContentResponse) -> str:
    return answer.text or ""


def assert_refused(response: httpx.Response, code: int, status: str, reason: str, param: str | None = None) -> Any:
    """Google's error, whole."""
    error = response.json()["error"]
    info = error["details"][0]
    assert (response.status_code, error["code"], error["status"], info["reason"]) == (code, code, status, reason)
    assert info.get("metadata", {}).get("param") == param
    assert errors.APIError(code, response.json()).message == error["message"]
    return error
