"""Thought signatures of any vendor as Google's clients carry them: a part's `thoughtSignature`, which is base64.

Google's own go out as they are. What other vendors sign or seal travels inside one of ours, under a mark, so that each
comes back as it was, and none is sent to a vendor that has not made it.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from routing.providers.gemini.signatures import FORMAT

_MARK: Final = b"cr1."
_STANDARD: Final = str.maketrans("-_", "+/")
"""Google's clients write base64 in the alphabet for URLs (RFC 4648, section 5)."""
_TEXTS: Final = ("reasoning_content", "reasoning")


def standard(data: str) -> str:
    """Base64 in the alphabet that everybody reads, filled up."""
    plain = data.translate(_STANDARD)
    return plain + "=" * (-len(plain) % 4)


def parts_of(said: Mapping[str, Any], *, are_shown: bool) -> Iterator[dict[str, Any]]:
    """What a message, or a delta, thought: its text, then its signatures.

    Those that say a text twice say it in their details too: there it counts only where it stands alone. Where thoughts
    are not shown, what is sealed is carried all the same, and a signature goes with its text.
    """
    details = said.get("reasoning_details")
    entries = [each for each in details if type(each) is dict] if type(details) is list else []
    texts = [said[name] for name in _TEXTS if type(said.get(name)) is str]
    text = next(filter(None, texts), "") or "".join(_text(each) for each in entries)
    if text and are_shown:
        yield {"text": text, "thought": True}
    for entry in entries if are_shown else filter(_is_sealed, entries):
        signature = _signature(entry)
        if signature:
            is_google = entry.get("format") == FORMAT and _is_sealed(entry)
            yield {"text": "", **({} if is_google else {"thought": True}), "thoughtSignature": signature}


def _is_sealed(entry: Mapping[str, Any]) -> bool:
    return entry.get("type") == "reasoning.encrypted"


def _text(entry: Mapping[str, Any]) -> str:
    told = entry.get("text") or entry.get("summary")
    return told if type(told) is str else ""


def _signature(entry: Mapping[str, Any]) -> str:
    sealed = entry.get("signature") or entry.get("data")
    if type(sealed) is not str or not sealed:
        return ""
    if entry.get("format") == FORMAT:
        return sealed
    kept = {name: value for name, value in entry.items() if name not in {"text", "summary", "index"}}
    return b64encode(_MARK + orjson.dumps(kept)).decode()


def details_of(parts: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """The `reasoning_details` of what a model thought, part by part: its text, and its signature or nothing.

    A signature stands behind the text that it signs. Text that nobody has signed needs none.
    """
    found: list[dict[str, Any]] = []
    text = ""
    for piece, signature in parts:
        text += piece
        if signature:
            entry = _unpacked(signature) or {"type": "reasoning.text", "signature": signature, "format": FORMAT}
            found.append({**entry, "text": text} if entry.get("type") == "reasoning.text" else entry)
            text = ""
    return found


def _unpacked(signature: str) -> dict[str, Any] | None:
    """What we have put in, None where it is Google's own."""
    try:
        raw = b64decode(standard(signature), validate=True)
        entry = orjson.loads(raw.removeprefix(_MARK)) if raw.startswith(_MARK) else None
    except (binascii.Error, ValueError):
        return None
    return entry if type(entry) is dict else None
