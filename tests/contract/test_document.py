"""What the gateway answers is what the public API document says, to the last field and header."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import httpx
from jsonschema import Draft202012Validator

from portal.reference import document
from tests.callers import Caller
from tests.installation import Offer

DOCUMENT: Final = document.document("en")
SCHEMAS: Final = DOCUMENT["components"]["schemas"]


def faults(shape: str, value: object) -> list[str]:
    """What a value lacks of its schema, and the members it has that the schema does not tell."""
    missing = [error.message for error in Draft202012Validator(SCHEMAS[shape]).iter_errors(value)]
    return missing + list(_untold(SCHEMAS[shape], value, shape))


def _untold(shape: dict[str, Any], value: object, at: str) -> Iterator[str]:
    told: dict[str, Any] = shape.get("properties", {})
    for branch in shape.get("anyOf", ()):
        told |= branch.get("properties", {})
    if isinstance(value, dict) and told:
        yield from (f"{at}.{name}" for name in value if name not in told)
        for name, member in value.items():
            yield from _untold(told.get(name, {}), member, f"{at}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _untold(shape.get("items", {}), item, f"{at}[]")


def untold_headers(path: str, method: str, headers: httpx.Headers) -> list[str]:
    """Headers of ours that the document does not list for this endpoint's success; one is for proxies, not for apps."""
    told = {"x-accel-buffering", *DOCUMENT["paths"][path][method]["responses"]["200"]["headers"]}
    return [name for name in headers if name.startswith("x-") and name not in told]


def test_answer_is_as_documented(caller: Caller, model: Offer) -> None:
    response = caller.ask(model)
    assert faults("ChatCompletion", response.json()) == []
    assert untold_headers("/chat/completions", "post", response.headers) == []


def test_explained_answer_is_as_documented(caller: Caller, model: Offer) -> None:
    response = caller.client.post(
        "/v1/chat/completions",
        json={"model": model.name, "messages": [{"role": "user", "content": "Hello"}]},
        headers={"x-costrouter-explain": "true"},
    )
    assert faults("ChatCompletion", response.json()) == []
    assert response.json()["costrouter"]["candidates"][0]["state"] == "chosen"


def test_stream_is_as_documented(caller: Caller, model: Offer) -> None:
    stream = caller.listen(model, stream_options={"include_usage": True})
    chunks = [json.loads(item) for item in stream.data if item != "[DONE]"]
    assert [faults("ChatChunk", chunk) for chunk in chunks] == [[] for _chunk in chunks]
    assert untold_headers("/chat/completions", "post", stream.headers) == []


def test_list_of_models_is_as_documented(caller: Caller, model: Offer) -> None:
    response = caller.client.get("/v1/models")
    assert faults("ModelList", response.json()) == []
    assert untold_headers("/models", "get", response.headers) == []


def test_model_is_as_documented(caller: Caller, model: Offer) -> None:
    response = caller.client.get(f"/v1/models/{model.name}")
    assert faults("Model", response.json()) == []
    assert untold_headers("/models/{model_id}", "get", response.headers) == []


def test_error_is_as_documented(caller: Caller) -> None:
    response = caller.client.post("/v1/chat/completions", json={"model": "gpt-4o"})
    assert faults("Error", response.json()) == []
    assert response.json()["error"]["code"] == "missing_required_parameter"
