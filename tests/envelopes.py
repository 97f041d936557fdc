"""What every refusal has in common: the envelope, its headers, and nothing about the upstream."""

from __future__ import annotations

import re
from typing import Any, Final

import httpx

from tests import schemas
from tests.callers import decoded
from tests.faults import CANARY

UNSAID: Final = object()
"""For a `param` that the contract leaves open."""


def assert_error(
    response: httpx.Response, status: int, kind: str, code: str | None, *, param: str | object | None = UNSAID
) -> dict[str, Any]:
    """The answer is this error, well formed; returns the `error` object."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].partition(";")[0] == "application/json"
    assert response.headers["x-request-id"]
    body = decoded(response.content)
    assert schemas.faults(schemas.ERROR, body) == []
    error: dict[str, Any] = body["error"]
    assert (error["type"], error["code"]) == (kind, code), error
    if param is not UNSAID:
        assert _without_positions(error["param"]) == _without_positions(param), error
    assert CANARY not in response.text
    assert CANARY not in str(response.headers)
    return error


def assert_refused(
    response: httpx.Response, status: int, code: str | None, *, param: str | object | None = UNSAID
) -> dict[str, Any]:
    """The client's own fault: a repetition cannot mend it, and the official SDKs are told so."""
    error = assert_error(response, status, "invalid_request_error", code, param=param)
    assert_final(response)
    return error


def assert_final(response: httpx.Response) -> None:
    """A retry cannot mend it."""
    assert response.headers["x-should-retry"] == "false"
    assert "retry-after" not in response.headers


def assert_retriable(response: httpx.Response, *, at_most: int = 60) -> None:
    """A retry can mend it, after so many whole seconds."""
    assert "x-should-retry" not in response.headers
    assert 1 <= int(response.headers["retry-after"]) <= at_most


def _without_positions(param: Any) -> Any:
    """`messages[0].content` and `messages.content` name the same field; OpenAI itself writes both."""
    return re.sub(r"\.?\[[0-9]*\]", "", param) if isinstance(param, str) else param
