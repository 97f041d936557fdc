"""What an upstream says of itself beside its answer, which is nobody's business but the operator's.

Extra members of an answer pass, because clients of a vendor look for them (`reasoning_content`, `citations`, ...). Left
out are those that name the upstream or the account there, and any whose text holds the channel's host or secret.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

NAMES: Final = frozenset(
    (
        "organization", "organization_id", "org_id", "account", "account_id", "project_id", "workspace_id", "tenant_id",
        "user_id", "provider", "upstream", "x_upstream", "x_groq", "api_base", "base_url", "endpoint", "host", "server",
        "hostname", "api_key", "key_id", "deployment", "request_id", "trace_id", "nvext", "azure_endpoint", "region",
    )
)  # fmt: skip
"""Members that name the upstream or the account, of an answer, a chunk, a choice and what that says."""
_OURS: Final = frozenset(
    ("id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "costrouter")
)
_OF_CHOICES: Final = frozenset(("index", "delta", "message", "finish_reason", "logprobs"))
_SAID: Final = frozenset(
    ("role", "content", "refusal", "tool_calls", "function_call", "reasoning_content", "reasoning")
)
"""A model's own words may hold anything."""
_OF_CALLS: Final = frozenset(("index", "id", "type", "function", "custom"))
_OF_FUNCTIONS: Final = frozenset(("name", "arguments", "input"))
_OF_LOGPROBS: Final = frozenset(("content", "refusal"))


def drop_names(answer: dict[str, Any]) -> None:
    """Takes the members out whose names say that they are about the upstream."""
    if not NAMES.isdisjoint(answer):
        for name in NAMES.intersection(answer):
            del answer[name]


def is_in(text: bytes, hidden: tuple[bytes, ...]) -> bool:
    """Whether one of these stands in the text."""
    # `in` costs twice what `find` does, which takes no number.
    for word in hidden:  # noqa: SIM110 - for every chunk: a generator costs three times this
        if text.find(word) >= 0:
            return True
    return False


def drop_hidden(answer: dict[str, Any], hidden: tuple[bytes, ...]) -> None:
    """Takes every extra member out whose text holds one of these; what the schema has a place for stays."""
    _drop(answer, _OURS, hidden)
    if is_in(str(answer.get("system_fingerprint")).encode(), hidden):
        del answer["system_fingerprint"]
    for choice in answer.get("choices", ()):
        _drop(choice, _OF_CHOICES, hidden)
        _drop(choice.get("logprobs"), _OF_LOGPROBS, hidden)
        said = choice.get("delta") or choice.get("message") or {}
        _drop(said, _SAID, hidden)
        for call in said.get("tool_calls") or ():
            _drop(call, _OF_CALLS, hidden)
            _drop(call.get("function"), _OF_FUNCTIONS, hidden)


def _drop(members: dict[str, Any] | None, known: frozenset[str], hidden: tuple[bytes, ...]) -> None:
    if members:
        for name in members.keys() - known:
            if is_in(orjson.dumps(members[name]), hidden):
                del members[name]
