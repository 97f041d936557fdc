"""Why an answer ended, in Anthropic's words and in chat's.

platform.claude.com/docs/en/build-with-claude/handling-stop-reasons has the list.
"""

from __future__ import annotations

from typing import Any, Final

from routing.providers.openai.finish import finish_reason

FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",  # of tools that run at Anthropic's, which chat does not ask for
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


_OURS: Final = {"stop": "end_turn", "tool_calls": "tool_use", "function_call": "tool_use", "length": "max_tokens",
                "content_filter": "refusal"}  # fmt: skip
"""By chat's word, for what other servers say in place of Anthropic's."""


def stop_of(reason: Any, finish: str | None) -> str:
    """Anthropic's word: the upstream's own if it is one and fits what was said, else the equal of chat's."""
    if type(reason) is str and reason in FINISH and not (finish == "tool_calls" and reason == "end_turn"):
        return reason
    return _OURS.get(finish or "stop", "end_turn")


def finish_of(reason: Any, *, has_calls: bool) -> str | None:
    """Chat's word; None where nothing was said, or a word that nobody knows.

    Other servers say other words in the same place. Raises MalformedAnswer for one that says the answer failed.
    """
    finish = FINISH.get(reason) if type(reason) is str else None
    if finish is None:
        finish = finish_reason(reason)
    return "tool_calls" if has_calls and finish == "stop" else finish
