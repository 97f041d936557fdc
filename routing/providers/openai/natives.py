"""Servers' own formats where OpenAI's was asked for, said in its: DashScope's, Ollama's, llama.cpp's, Workers AI's.

Proxies send a request to a path where the server speaks to clients of its own.
"""

from __future__ import annotations

from typing import Any, Final

_COUNTS: Final = frozenset(("prompt_eval_count", "eval_count", "tokens_evaluated", "tokens_predicted"))
"""Of Ollama and llama.cpp, beside what is said."""
_WORKERS: Final = frozenset(("response", "p", "usage", "tool_calls"))
_LIMITS: Final = ("stopped_limit", "truncated")


def in_openais(value: dict[str, Any], said_as: str) -> dict[str, Any]:
    """The object with a choice, where it has none and speaks in a format that is known; `said_as`: delta or message."""
    found = _said_in(value)
    inner = value.get("result")
    if found is None and type(inner) is dict:  # Workers AI's own API
        value, found = inner, _said_in(inner)
    if found is None:
        return value
    said, reason = found
    counts = {name: value[name] for name in _COUNTS.intersection(value)}
    usage = value.get("usage") or counts
    choice = {"index": 0, said_as: said, "finish_reason": reason}
    return {"choices": [choice], "usage": usage} if usage else {"choices": [choice]}


def _said_in(value: dict[str, Any]) -> tuple[dict[str, Any], Any] | None:
    """What is said, and why it ended, None as long as it goes on."""
    output = value.get("output")
    for inner in (output, value):  # DashScope's: help.aliyun.com, "text generation", result_format `text`
        if type(inner) is dict and type(inner.get("text")) is str and "finish_reason" in inner:
            return {"content": inner["text"]}, inner["finish_reason"]
    is_done, message, response = value.get("done"), value.get("message"), value.get("response")
    if type(is_done) is bool:  # github.com/ollama/ollama/blob/main/docs/api.md: chat, and generate
        reason = (value.get("done_reason") or "stop") if is_done else None
        if type(message) is dict:
            return _thought_apart(message), reason
        return ({"content": response}, reason) if type(response) is str else None
    if type(value.get("stop")) is bool and type(value.get("content")) is str:  # llama.cpp's /completion
        is_cut = value.get("stop_type") == "limit" or any(value.get(name) is True for name in _LIMITS)
        return {"content": value["content"]}, ("length" if is_cut else "stop") if value["stop"] else None
    if type(response) is str and value.keys() <= _WORKERS:
        calls = value.get("tool_calls")
        return {"content": response, "tool_calls": calls} if calls else {"content": response}, None
    return None


def _thought_apart(message: dict[str, Any]) -> dict[str, Any]:
    thought = message.pop("thinking", None)
    return {**message, "reasoning_content": thought} if thought else message
