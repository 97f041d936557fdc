"""The pages that an answer of Google's rests on, as chat's annotations: ai.google.dev/gemini-api/docs/grounding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

_MOST: Final = 1_024
Cited = tuple[str, str, int, int]
"""The page's address and title, and which characters of the answer rest on it: 0 and 0 where nobody said."""


def cited_in(metadata: Any, text: str) -> list[Cited]:
    """The pages in a candidate's `groundingMetadata`, each once for every place; `text` is what it has said so far."""
    if type(metadata) is not dict:
        return []
    pages = [_page_of(chunk) for chunk in _dicts_in(metadata.get("groundingChunks"))]
    found: dict[Cited, None] = {}
    supported: set[int] = set()
    passed = 0
    for support in _dicts_in(metadata.get("groundingSupports")):
        start, end = _place_of(support.get("segment"), text, passed)
        passed = start
        for number in _numbers_in(support.get("groundingChunkIndices"), len(pages)):
            url, title = pages[number]
            if url:
                supported.add(number)
                found[url, title, start, end] = None
    found.update({(url, title, 0, 0): None for at, (url, title) in enumerate(pages) if url and at not in supported})
    return list(found)


def annotation_of(cited: Cited) -> dict[str, Any]:
    url, title, start, end = cited
    return {
        "type": "url_citation",
        "url_citation": {"url": url, "title": title, "start_index": start, "end_index": end},
    }


def _page_of(chunk: dict[str, Any]) -> tuple[str, str]:
    """Its address and title; no address where it is no page."""
    for name in ("web", "maps", "retrievedContext"):
        page = chunk.get(name)
        if type(page) is dict and type(page.get("uri")) is str:
            title = page.get("title")
            return page["uri"], title if type(title) is str else ""
    return "", ""


def _place_of(segment: Any, text: str, passed: int) -> tuple[int, int]:
    """By its words, which stand in the order of the answer: Google counts bytes, within a part."""
    words = segment.get("text") if type(segment) is dict else None
    if type(words) is not str or not words:
        return 0, 0
    at = text.find(words, passed)
    return (at, at + len(words)) if at >= 0 else (0, 0)


def _dicts_in(value: Any) -> Iterator[dict[str, Any]]:
    """In their places: what is none has no members."""
    for each in value[:_MOST] if type(value) is list else ():
        yield each if type(each) is dict else {}


def _numbers_in(value: Any, count: int) -> list[int]:
    return [each for each in value[:_MOST] if type(each) is int and 0 <= each < count] if type(value) is list else []
