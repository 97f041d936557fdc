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


def finish_of(reason: Any, *, has_calls: bool) -> str | None:
    """Chat's word; None where nothing was said, or a word that nobody knows.

    Other servers say other words in the same place. Raises MalformedAnswer for one that says the answer failed.
    """
    finish = FINISH.get(reason) if type(reason) is str else None
    if finish is None:
        finish = finish_reason(reason)
    return "tool_calls" if has_calls and finish == "stop" else finish
