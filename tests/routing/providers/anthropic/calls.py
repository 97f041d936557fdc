"""Requests to an upstream of Anthropic's format, as the pipeline makes them."""

from __future__ import annotations

from typing import Any

import orjson

from routing.providers import read_options
from routing.providers.anthropic import ANTHROPIC
from routing.providers.base import UpstreamCall, UpstreamRequest

HI: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]


def call(*, model: str = "claude-sonnet-4-5", options: Any = None, body: Any = None, **members: Any) -> UpstreamCall:
    """Of a chat request, unless `endpoint` says another one."""
    defaults: dict[str, Any] = {
        "endpoint": "chat.completions",
        "path": "/chat/completions",
        "body": {"model": "public", "messages": HI} if body is None else body,
        "upstream_model": model,
        "host": "api.anthropic.com",
        "secret": "sk-ant-secret",
        "cap": 4_000,
        "answers": 1,
        "is_stream": False,
        "options": read_options("anthropic", options or {}),
    }
    return UpstreamCall(**{**defaults, **members})


def native(body: dict[str, Any], **members: Any) -> UpstreamCall:
    return call(**{"endpoint": "messages", "path": "/messages", "body": {"model": "public", **body}, **members})


def request(asked: UpstreamCall) -> UpstreamRequest:
    return ANTHROPIC.request(asked)


def sent(asked: UpstreamCall) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(request(asked).body)
    return body


def said(*, model: str = "claude-sonnet-4-5", cap: int = 4_000, options: Any = None, **members: Any) -> dict[str, Any]:
    """What goes up for a chat request with these members."""
    body = {"model": "public", "messages": HI, **members}
    return sent(call(body=body, model=model, cap=cap, options=options))


def turns(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = said(messages=list(messages))["messages"]
    return asked


def text(words: str, **members: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **members}
