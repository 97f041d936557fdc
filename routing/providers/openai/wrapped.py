"""Answers that stand in an envelope: gateways between put what they got into a member of an object of their own.

Cloudflare's API has `result`, Google's Code Assist `response`, Alibaba's DashScope `output`, many others `data`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from routing.providers.openai.loose import strictly

ENVELOPES: Final = ("data", "result", "response", "output", "body", "payload", "chunk")
_MOST_DEPTH: Final = 2
_USAGE: Final = ("usage", "usageMetadata")


def unwrapped(value: dict[str, Any], *members: str, depth: int = 0) -> dict[str, Any]:
    """What stands in the value's envelope, with the usage beside it; the value where it is no envelope.

    `members` are an answer's lists and texts: an envelope has none of them, what is inside has one. What carries an
    error is no envelope either.
    """
    if _has_one(value, members) or value.get("error"):
        return value
    for name in ENVELOPES:
        inner = value.get(name)
        if type(inner) is str and inner.startswith("{"):
            inner = strictly(inner.encode("utf-8", "replace"))
        if type(inner) is dict:
            inner = unwrapped(inner, *members, depth=depth + 1) if depth < _MOST_DEPTH else inner
            if _has_one(inner, members):
                beside = {name: value[name] for name in _USAGE if name in value}
                return {**beside, **inner}
    return value


def _has_one(value: dict[str, Any], members: Iterable[str]) -> bool:
    return any(type(value.get(name)) in {list, str} for name in members)
