"""The pages that a chat answer cites, in Google's words: ai.google.dev/api/generate-content#GroundingMetadata."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from routing.endpoints.chat.cited import Page

_MOST_PAGES: Final = 1_024
_LONGEST_QUOTE: Final = 8_192
"""Characters of the answer that are said once more beside a page."""


def grounding_of(pages: Iterable[Page], text: str, part: int = 0) -> dict[str, Any]:
    """What a candidate's `text`, its part of that number, rests on; places are counted in bytes there."""
    told = list(pages)[:_MOST_PAGES]
    numbers = {url: number for number, url in enumerate(dict.fromkeys(page.url for page in told))}
    titles = {page.url: page.title for page in reversed(told)}
    found: dict[str, Any] = {"groundingChunks": [{"web": _page(url, titles[url])} for url in numbers]}
    segments: dict[tuple[int, int], dict[int, None]] = {}
    for page in told:
        if 0 <= page.start < page.end <= len(text):
            segments.setdefault((page.start, page.end), {})[numbers[page.url]] = None
    at = _bytes_at(text, {place for segment in segments for place in segment})
    found["groundingSupports"] = [
        {"segment": _segment(start, end, text, at, part), "groundingChunkIndices": list(those)}
        for (start, end), those in segments.items()
    ]
    return {name: value for name, value in found.items() if value}


def _page(url: str, title: str) -> dict[str, str]:
    return {"uri": url, "title": title} if title else {"uri": url}


def _segment(start: int, end: int, text: str, at: dict[int, int], part: int) -> dict[str, Any]:
    segment: dict[str, Any] = {"startIndex": at[start], "endIndex": at[end]}
    if part:
        segment["partIndex"] = part
    return {**segment, "text": text[start:end]} if end - start <= _LONGEST_QUOTE else segment


def _bytes_at(text: str, places: set[int]) -> dict[int, int]:
    """How many bytes stand before each of these characters."""
    found, passed, size = {}, 0, 0
    for place in sorted(places):
        size += len(text[passed:place].encode("utf-8", "replace"))
        found[place], passed = size, place
    return found
