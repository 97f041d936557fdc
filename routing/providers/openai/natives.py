"""Servers' own formats where OpenAI's was asked for, said in its: DashScope's, Ollama's, llama.cpp's, Workers AI's,
Baidu's, Cohere's, text-generation-inference's.

Proxies send a request to a path where the server speaks to clients of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

_COUNTS: Final = frozenset(("prompt_eval_count", "eval_count", "tokens_evaluated", "tokens_predicted"))
"""Of Ollama and llama.cpp, beside what is said."""
_WORKERS: Final = frozenset(("response", "p", "usage", "tool_calls"))
_LIMITS: Final = ("stopped_limit", "truncated")
_PLAN: Final = "tool_plan"
"""What Cohere's models think before they call tools."""

_Found: TypeAlias = tuple[dict[str, Any], Any]
"""What is said, and why it ended, None as long as it goes on."""


def in_openais(value: dict[str, Any], said_as: str) -> dict[str, Any]:
    """The object with a choice, where it has none and speaks in a format that is known; `said_as`: delta or message."""
    found = _said_in(value)
    inner = value.get("result")
    if found is None and type(inner) is dict:  # Workers AI's own API
        value, found = inner, _said_in(inner)
    if found is None:
        return value
    said, reason = found
    choice = {"index": 0, said_as: said, "finish_reason": reason}
    usage = _usage_of(value)
    return {"choices": [choice], "usage": usage} if usage else {"choices": [choice]}


def _said_in(value: dict[str, Any]) -> _Found | None:
    return next(filter(None, (said_in(value) for said_in in _FORMATS)), None)


def _usage_of(value: dict[str, Any]) -> Any:
    delta = value.get("delta")
    usage = value.get("usage") or (delta.get("usage") if type(delta) is dict else None)
    return usage or {name: value[name] for name in _COUNTS.intersection(value)}


def _dashscopes(value: dict[str, Any]) -> _Found | None:
    """help.aliyun.com, "text generation", result_format `text`."""
    for inner in (value.get("output"), value):
        if type(inner) is dict and type(inner.get("text")) is str and "finish_reason" in inner:
            return {"content": inner["text"]}, inner["finish_reason"]
    return None


def _ollamas(value: dict[str, Any]) -> _Found | None:
    """github.com/ollama/ollama/blob/main/docs/api.md: chat, and generate."""
    is_done, message, response = value.get("done"), value.get("message"), value.get("response")
    if type(is_done) is not bool:
        return None
    reason = (value.get("done_reason") or "stop") if is_done else None
    if type(message) is dict:
        return _thought_apart(message, "thinking"), reason
    return ({"content": response}, reason) if type(response) is str else None


def _llamacpps(value: dict[str, Any]) -> _Found | None:
    """github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md: /completion."""
    if type(value.get("stop")) is not bool or type(value.get("content")) is not str:
        return None
    is_cut = value.get("stop_type") == "limit" or any(value.get(name) is True for name in _LIMITS)
    return {"content": value["content"]}, ("length" if is_cut else "stop") if value["stop"] else None


def _workers_ais(value: dict[str, Any]) -> _Found | None:
    response, calls = value.get("response"), value.get("tool_calls")
    if type(response) is not str or not value.keys() <= _WORKERS:
        return None
    return {"content": response, "tool_calls": calls} if calls else {"content": response}, None


def _baidus(value: dict[str, Any]) -> _Found | None:
    """cloud.baidu.com/doc/WENXINWORKSHOP: a result, whose last piece, or the only one, says whether it was cut."""
    result = value.get("result")
    if type(result) is not str or "is_truncated" not in value:
        return None
    said = {name: value[name] for name in ("function_call",) if value.get(name)}
    reason = "length" if value["is_truncated"] is True else value.get("finish_reason") or "stop"
    return {"content": result, **said}, reason if value.get("is_end", True) else None


def _coheres(value: dict[str, Any]) -> _Found | None:
    """docs.cohere.com/reference/chat, a message; docs.cohere.com/reference/chat-stream, the pieces of one."""
    message = value.get("message")
    if type(message) is dict and type(value.get("finish_reason")) is str:
        return _thought_apart(message, _PLAN), value["finish_reason"]
    delta = value.get("delta")
    if type(delta) is not dict or type(value.get("type")) is not str:
        return None
    message = delta.get("message")
    if value["type"] == "message-end":
        return {"error": delta["error"]} if delta.get("error") else {}, delta.get("finish_reason")
    return (_piece_of(message, value.get("index")), None) if type(message) is dict else None


def _piece_of(message: dict[str, Any], place: Any) -> dict[str, Any]:
    content, call = message.get("content"), message.get("tool_calls")
    said = content if type(content) is dict else {}
    texts = {"content": said.get("text"), "reasoning_content": said.get("thinking") or message.get(_PLAN)}
    told = {name: text for name, text in texts.items() if text}
    return {**told, "tool_calls": [{**call, "index": place}]} if type(call) is dict else told


def _tgis(value: dict[str, Any]) -> _Found | None:
    """huggingface.co/docs/text-generation-inference/reference/api_reference: /generate, and /generate_stream."""
    token, text, details = value.get("token"), value.get("generated_text"), value.get("details")
    if type(token) is not dict and type(text) is not str:
        return None
    reason = (details.get("finish_reason") if type(details) is dict else None) or "stop"
    if type(token) is dict:
        said = "" if token.get("special") else token.get("text")
        return {"content": said}, reason if type(text) is str else None
    return {"content": text}, reason


def _thought_apart(message: dict[str, Any], name: str) -> dict[str, Any]:
    thought = message.pop(name, None)
    return {**message, "reasoning_content": thought} if thought else message


_FORMATS: Final[tuple[Callable[[dict[str, Any]], _Found | None], ...]] = (
    _dashscopes, _ollamas, _llamacpps, _workers_ais, _baidus, _coheres, _tgis,
)  # fmt: skip
