"""Pages that an answer cites beside its choices, as chat's annotations.

Perplexity's `search_results` and `citations` (docs.perplexity.ai/api-reference/chat-completions-post), and xAI's
`citations`. They stay where they are, too: clients of these vendors look for them there.
"""

from __future__ import annotations

from typing import Any, Final

CITED: Final = ("search_results", "citations")
"""The members, the one that tells most first."""
_MOST: Final = 1_024
_WORDS: Final = ("snippet", "content")


class Cited:
    """The pages that one exchange has told of, each once: some servers say all of them in every chunk."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: set[str] = set()

    def beside(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Annotations of the pages that are new."""
        pages: list[Any] = next((answer[name] for name in CITED if type(answer.get(name)) is list and answer[name]), [])
        found = []
        for page in pages[:_MOST]:
            page = page if type(page) is dict else {"url": page}
            url = page.get("url")
            if type(url) is str and url and url not in self._told and len(self._told) < _MOST:
                self._told.add(url)
                found.append(_annotation_of(url, page))
        return found


def _annotation_of(url: str, page: dict[str, Any]) -> dict[str, Any]:
    title, words = page.get("title"), next((page[name] for name in _WORDS if type(page.get(name)) is str), None)
    cited = {"url": url, "title": title if type(title) is str else "", "start_index": 0, "end_index": 0}
    return {"type": "url_citation", "url_citation": {**cited, "content": words} if words else cited}
