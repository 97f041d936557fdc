"""Google's words for how an answer ended, and why a prompt was blocked, in the public schema's.

The words: ai.google.dev/api/generate-content#FinishReason and #BlockReason. A failure is never flattened into `stop`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from routing.providers.base import MalformedAnswer
from routing.providers.openai.finish import finish_reason as other_word

_MEANS: Final[Mapping[str, str]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    **dict.fromkeys(
        ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION",
         "JAILBREAK", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
        "content_filter",
    ),
}  # fmt: skip
_FAILURES: Final = frozenset(
    ("OTHER", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
     "MALFORMED_RESPONSE", "PUP_LIMITED_DISABLED", "IMAGE_OTHER", "NO_IMAGE")
)  # fmt: skip
"""Ends of answers that are not whole: another try, or another route, may bring one."""
_UNSAID: Final = frozenset(("", "FINISH_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED"))


def finish_reason(said: Any) -> str | None:
    """The public word for Google's; None where nothing was said, or a word that nobody knows.

    Raises MalformedAnswer for a word that says that the answer failed.
    """
    if not is_said(said):
        return None
    if said in _FAILURES:
        raise MalformedAnswer(f"the upstream ended the answer with {said!r}")
    return _MEANS.get(said) or other_word(said)


_OURS: Final = {"stop": "STOP", "tool_calls": "STOP", "function_call": "STOP", "length": "MAX_TOKENS",
                "content_filter": "SAFETY"}  # fmt: skip


def own_word(said: str) -> str:
    """Google's word for another vendor's, which gateways write in its place; one that nobody knows may be new."""
    if said in _MEANS or said in _FAILURES:
        return said
    return _OURS.get(finish_reason(said) or "", said)


def is_said(word: Any) -> bool:
    """Whether a member that holds one of Google's words says anything."""
    return type(word) is str and word not in _UNSAID


def blocked(answer: Mapping[str, Any]) -> str:
    """Why there is no answer to the prompt at all; empty if it was not blocked."""
    feedback = answer.get("promptFeedback")
    reason = feedback.get("blockReason") if type(feedback) is dict else None
    return reason if type(reason) is str and is_said(reason) else ""
