"""The web pages that a chat answer cites, read from its annotations: other formats have their own places for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class Page(NamedTuple):
    """A page, and which characters of the answer rest on it: from `start` to before `end`, 0 and 0 if nobody said."""

    url: str
    title: str
    start: int
    end: int
    words: str
    """Of the page itself, as OpenRouter's `content` has them."""


def pages_in(annotations: Any) -> Iterator[Page]:
    """Those of a message or a delta; what cites no page is passed over. Some write a page's members beside its type."""
    for each in annotations if type(annotations) is list else ():
        cited = each.get("url_citation", each) if type(each) is dict else None
        if type(cited) is dict and type(cited.get("url")) is str and cited["url"]:
            start, end = (_place(cited.get(name)) for name in ("start_index", "end_index"))
            yield Page(cited["url"], _text(cited.get("title")), start, end, _text(cited.get("content")))


def _place(value: Any) -> int:
    return value if type(value) is int else 0


def _text(value: Any) -> str:
    return value if type(value) is str else ""
