"""Google's thought signatures in a chat's messages: they must come back with the history as they went out.

A function call's travels beside it as Google's own compatible endpoint has it (`extra_content`), any other among the
message's `reasoning_details`, in OpenRouter's words (openrouter.ai/docs/use-cases/reasoning-tokens), under the name of
its format: another vendor's signatures are none of Google's.
Rules: ai.google.dev/gemini-api/docs/thought-signatures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

FORMAT: Final = "google-gemini-v1"
SKIP: Final = "skip_thought_signature_validator"
"""What Google documents for calls that another model made, or whose signature is lost."""


def beside_call(signature: str) -> dict[str, Any]:
    return {"extra_content": {"google": {"thought_signature": signature}}}


def of_call(call: Mapping[str, Any]) -> str:
    """The signature that came beside a tool call; empty if none did."""
    extra = call.get("extra_content")
    google = extra.get("google") if type(extra) is dict else None
    signature = google.get("thought_signature") if type(google) is dict else None
    return signature if type(signature) is str else ""


def details_of(parts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The `reasoning_details` of an answer's parts: none without a signature, else with all that was thought there."""
    signed = [(part, _signature(part)) for part in parts if not part.get("functionCall")]
    if not any(signature for _part, signature in signed):
        return []
    found = []
    for part, signature in signed:
        if part.get("thought") and type(part.get("text")) is str:
            entry = {"type": "reasoning.text", "text": part["text"], "format": FORMAT}
            found.append({**entry, "signature": signature} if signature else entry)
        elif signature:
            found.append({"type": "reasoning.encrypted", "data": signature, "format": FORMAT})
    return found


def _signature(part: Mapping[str, Any]) -> str:
    signature = part.get("thoughtSignature")
    return signature if type(signature) is str else ""


def parts_of(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts that hold the signatures of a message's details. What was thought without one is not sent back."""
    details = message.get("reasoning_details")
    for entry in details if type(details) is list else ():
        if type(entry) is not dict or entry.get("format") != FORMAT:
            continue
        if entry.get("type") == "reasoning.text" and entry.get("signature"):
            yield {"text": entry.get("text") or "", "thought": True, "thoughtSignature": entry["signature"]}
        elif entry.get("type") == "reasoning.encrypted" and entry.get("data"):
            yield {"text": "", "thoughtSignature": entry["data"]}
