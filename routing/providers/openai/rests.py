"""How long an upstream wants to be left alone: in headers, in members of its error, in its sentence."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

_MOST_REST: Final = 86_400.0
_MOST_ENTRIES: Final = 100
_LONG_AGO: Final = 1e9
"""From here a number is no count of seconds but a moment since 1970."""
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART: Final = (
    r"(?:\d{1,9}(?:\.\d{1,12})? ?"
    r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z]),? ?(?:and )?)"
)
_PARTS: Final = re.compile(r"(\d{1,9}(?:\.\d{1,12})?) ?(ms|milli|s|m|h|d)", re.IGNORECASE)
_DURATION: Final = re.compile(rf"{_PART}{{1,5}}", re.IGNORECASE)
_SENTENCE: Final = re.compile(
    rf"(?:try again|retry|wait|resets?)(?: again)?(?: in| after| for)? (?:about |another )?({_PART}{{1,5}})",
    re.IGNORECASE,
)
_RESET_FIELD: Final = re.compile(rb"\b(?:t|reset) ?= ?(\d{1,9})")
_LEFT_FIELD: Final = re.compile(rb"\b(?:r|remaining) ?= ?(\d{1,9})")
_BODY_NAMES: Final = {
    "retry_after": 1.0, "retryAfter": 1.0, "retry_after_seconds": 1.0, "retryAfterSeconds": 1.0, "retryDelay": 1.0,
    "retry_after_ms": 0.001, "retryAfterMs": 0.001, "estimated_time": 1.0,
}  # fmt: skip
"""Members of an error that say it, and what one of them is in seconds, unless a unit stands beside it."""


def told(headers: Mapping[bytes, bytes], error: Mapping[str, Any], message: str) -> float | None:
    """Seconds, where the upstream asked to come back after them; of the headers first, else of the body."""
    asked = _of_headers(headers)
    return asked if asked is not None else _of_body(error, message)


def until_reset(headers: Mapping[bytes, bytes]) -> float | None:
    """Seconds until the limit that is used up counts anew; the longest where several are. None if none is known to be.

    OpenAI's and Groq's `x-ratelimit-reset-requests: 1m30s`, Anthropic's dates, Mistral's `ratelimitbysize-reset`,
    Cerebras's `x-ratelimit-reset-tokens-minute`, and the IETF's drafts (draft-ietf-httpapi-ratelimit-headers):
    `ratelimit-reset: 44`, `ratelimit: limit=9, remaining=0, reset=44`, `ratelimit: "default";r=0;t=44`. What says of
    its limit that something remains was not the reason.
    """
    resets = []
    for name, value in _some(headers.items()):
        if b"reset" in name and b"limit" in name and b"rate" in name:
            left = _number(headers.get(name.replace(b"reset", b"remaining"), b""))
            seconds = None if left else _moment(value, headers.get(b"date", b""))
        elif name in {b"ratelimit", b"x-ratelimit"}:
            field, remains = _RESET_FIELD.search(value[:500]), _LEFT_FIELD.search(value[:500])
            seconds = float(field[1]) if field and not (remains and int(remains[1])) else None
        else:
            continue
        if seconds is not None:
            resets.append(min(seconds, _MOST_REST))
    return max(resets, default=None)


def _of_headers(headers: Mapping[bytes, bytes]) -> float | None:
    """RFC 9110, section 10.2.3, both forms; OpenAI's and Azure's in milliseconds; with a unit, against all rules."""
    for name in (b"retry-after-ms", b"x-ms-retry-after-ms"):
        milliseconds = _number(headers.get(name, b""))
        if milliseconds is not None:
            return milliseconds / 1000
    return _moment(headers.get(b"retry-after", b""), headers.get(b"date", b""))


def _of_body(error: Mapping[str, Any], message: str) -> float | None:
    """Members of the error or of its metadata (OpenRouter), Google's RetryInfo, else the sentence that says it."""
    details, metadata = error.get("details"), error.get("metadata")
    places = [error, metadata, *(details[:16] if type(details) is list else (details,))]
    for place in places:
        seconds = _of_members(place) if isinstance(place, Mapping) else None
        if seconds is not None:
            return seconds
    headers = metadata.get("headers") if type(metadata) is dict else None
    if type(headers) is dict:
        plain = {
            name.lower().encode("utf-8", "replace"): str(value)[:100].encode("utf-8", "replace")
            for name, value in _some(headers.items())
        }
        seconds = _of_headers(plain)
        if seconds is None:
            seconds = until_reset(plain)
        if seconds is not None:
            return seconds
    said = _SENTENCE.search(message)
    return _duration(said[1]) if said else None


def _of_members(members: Mapping[str, Any]) -> float | None:
    for name, unit in _BODY_NAMES.items():
        value = members.get(name)
        if type(value) is str and _DURATION.fullmatch(value[:64]):
            return _duration(value[:64])
        told = str(value) if type(value) in (int, float) else value
        number = _number(told[:64].encode("utf-8", "replace")) if type(told) is str else None
        if number is not None:
            return number * unit
    return None


def _some(entries: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    return [entry for entry, _ in zip(entries, range(_MOST_ENTRIES), strict=False)]


def _moment(text: bytes, now: bytes) -> float | None:
    """Seconds from now, written as a number, as a duration (`1m30s`), as seconds or ms since 1970, or as a date."""
    text = text[:64].strip()
    first, comma, _others = text.partition(b",")
    if comma and first.isdigit():  # the header came twice
        text = first
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        if 0 <= number < _LONG_AGO:
            return number
        if _LONG_AGO <= number < 1e14:
            return _bounded(number / (1000 if number >= 1e11 else 1) - time.time())
        return None
    words = text.decode("latin-1").removeprefix("PT")  # of ISO 8601
    if _DURATION.fullmatch(words):
        return _duration(words)
    then = _date(words)
    start = _date(now[:64].decode("latin-1"))  # the upstream's own clock where it tells it: ours may differ
    return None if then is None else _bounded(then - (time.time() if start is None else start))


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), _MOST_REST)


def _number(text: bytes) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < _LONG_AGO else None


def _date(text: str) -> float | None:
    """Of RFC 9110's three forms, or of RFC 3339's; without a zone it is in UTC."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def _duration(text: str) -> float:
    """Of what `_DURATION` matches: hours, minutes and the like added up."""
    return sum(float(number) * _UNITS["ms" if unit.lower() == "milli" else unit.lower()]
               for number, unit in _PARTS.findall(text))  # fmt: skip
