"""Chunks that say what the one before said but for their text: most of a stream's, told without being parsed."""

from __future__ import annotations

import re
from typing import Any, Final

from routing.wire.frames import Again, Frame

_TOP: Final = frozenset(("id", "object", "created", "model", "choices", "system_fingerprint", "service_tier"))
_CHOICE: Final = frozenset(("index", "delta", "finish_reason", "logprobs"))
_DELTA: Final = frozenset(("role", "content"))
_TAKEN_OUT: Final = re.compile(
    rb'"(?:usage|error|usageMetadata|usage_metadata|amazon-bedrock-invocationMetrics)"\s*:\s*[^n\s]'
)
"""What the reader takes out of a chunk, where it is more than null: that is to be read each time."""
_MOST_IN_VAIN: Final = 8


class Repeats:
    """Of one stream with one answer."""

    __slots__ = ("_frame", "_in_vain")

    def __init__(self) -> None:
        self._frame: Frame | None = None
        """Of the chunk before, where others may say the same."""
        self._in_vain = 0

    def again(self, event: bytes) -> Again | None:
        """The text of an event that says what the last one that was learned did, but for that; None for any other."""
        if self._frame is None:
            return None
        text = self._frame.text_in(event)
        if text is None:
            self._frame = None
        else:
            self._in_vain = 0
        return text

    def learn(self, event: bytes, chunk: dict[str, Any]) -> None:
        """Notes the event just read, if it is a piece of text and no more.

        Where each says something else beside its text (a time, a count, filling), it is soon given up.
        """
        if self._in_vain < _MOST_IN_VAIN and _is_text(chunk) and not _TAKEN_OUT.search(event):
            self._in_vain += 1
            self._frame = Frame.around(b"content", event)


def _is_text(chunk: dict[str, Any]) -> bool:
    """Whether a chunk in the canonical shape is a piece of text, and nothing but."""
    if not chunk.keys() <= _TOP or len(chunk["choices"]) != 1:
        return False
    choice = chunk["choices"][0]
    delta = choice["delta"]
    return (
        choice.keys() <= _CHOICE
        and delta.keys() <= _DELTA
        and bool(delta.get("content"))
        and choice.get("finish_reason") is None
        and choice.get("logprobs") is None
    )
