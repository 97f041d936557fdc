"""What a translated chat request carries in conventions that only some vendors document: each host gets what it knows.

Many vendors refuse members that they do not know (OpenAI, Mistral, Groq, Google's compatible endpoint), and no client
has asked for these by name: its own format was translated. They are hints by the documentation of that format.
"""

from __future__ import annotations

import re
from typing import Any, Final

_MARKS: Final = re.compile(r"(^|\.)(openrouter\.ai|aliyuncs\.com)$")
"""Hosts that document `cache_control` on parts (openrouter.ai, prompt caching; Alibaba's explicit context cache)."""
_BUDGETS: Final = re.compile(r"(^|\.)openrouter\.ai$")
"""Hosts that document `reasoning` (openrouter.ai, reasoning tokens)."""
_DETAILS: Final = re.compile(r"(^|\.)openrouter\.ai$")
"""Hosts that document `reasoning_details` on an assistant's messages."""
_NO_THOUGHTS: Final = re.compile(
    r"(^|\.)(openai\.com|azure\.com|mistral\.ai|groq\.com|cerebras\.ai|googleapis\.com|x\.ai|cohere\.(com|ai)|"
    r"perplexity\.ai)$"
)
"""Hosts whose documents know no `reasoning_content` on an assistant's messages.

Elsewhere it belongs there: DeepSeek and Moonshot want it back within a turn of tool calls, open models' templates read
it.
"""


def said_to(host: str, body: dict[str, Any]) -> dict[str, Any]:
    """The body without what this host has no words for; the given one stays as it is."""
    said = dict(body)
    if not _BUDGETS.search(host):
        said.pop("reasoning", None)
    dropped = _dropped_of_messages(host)
    has_marks = bool(_MARKS.search(host))
    if dropped or not has_marks:
        said["messages"] = [_message(each, dropped, has_marks=has_marks) for each in body["messages"]]
    if "tools" in body and not has_marks:
        said["tools"] = [_without(each, _MARK) for each in body["tools"]]
    return said


_MARK: Final = frozenset(("cache_control",))


def _dropped_of_messages(host: str) -> frozenset[str]:
    if _NO_THOUGHTS.search(host):
        return frozenset(("reasoning_content", "reasoning_details"))
    return frozenset() if _DETAILS.search(host) else frozenset(("reasoning_details",))


def _message(message: dict[str, Any], dropped: frozenset[str], *, has_marks: bool) -> dict[str, Any]:
    said = _without(message, dropped)
    content = said.get("content")
    if has_marks or type(content) is not list:
        return said
    parts = [_without(part, _MARK) for part in content]
    is_plain = len(parts) == 1 and parts[0].keys() == {"type", "text"}
    return {**said, "content": parts[0]["text"] if is_plain else parts}


def _without(members: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    if names.isdisjoint(members):
        return members
    return {name: value for name, value in members.items() if name not in names}
