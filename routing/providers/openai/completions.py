"""Reading text completions: a choice has `text` where chat's has a delta or a message."""

from __future__ import annotations

from typing import Any

from routing.providers.openai.reader import OpenAIReader


class CompletionsReader(OpenAIReader):
    """Reads as chat is read, with every quirk (which takes text for content), and gives it back as text."""

    def read_chunk(self, data: bytes) -> dict[str, Any] | None:
        chunk = super().read_chunk(data)
        return None if chunk is None else _as_text(chunk)

    def own_chunk(self, index: int, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
        return _as_text(super().own_chunk(index, delta, reason))

    def whole(self, body: bytes) -> dict[str, Any]:
        answer = super().whole(body)
        choices = answer.get("choices")
        for choice in choices if type(choices) is list else ():
            if type(choice) is dict:
                message = choice.pop("message", None)
                choice["text"] = message.get("content") if type(message) is dict else None
        return answer


def _as_text(chunk: dict[str, Any]) -> dict[str, Any]:
    for choice in chunk["choices"]:
        choice["text"] = choice.pop("delta").get("content") or ""
    return chunk
