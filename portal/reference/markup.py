"""How the reference's texts and samples become HTML: `code` in sentences, colours in samples."""

from __future__ import annotations

import re
from typing import Final

from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString

_TOKENS: Final = re.compile(
    r"""
      (?P<key> "(?:[^"\\\n]|\\.)*" (?=\s*:) )
    | (?P<string> "(?:[^"\\\n]|\\.)*" )
    | (?P<word> \b(?:async|await|curl|const|data|export|false|for|from|if|import|in|let|new|null|of|or|print|true)\b
              | \b(?:None|False|True)\b )
    | (?P<number> (?<![\w.-])-?\d+(?:\.\d+)?(?![\w.-]) )
    | (?P<variable> \$[A-Z_]+ )
    """,
    re.VERBOSE,
)


def inline(text: str) -> SafeString:
    """A sentence in which `backticks` mark code."""
    pieces = text.split("`")
    forms = ("{}", "<code>{}</code>")
    return format_html_join("", "{}", ((format_html(forms[at % 2], piece),) for at, piece in enumerate(pieces)))


def highlighted(source: str) -> SafeString:
    """A sample with its strings, words, numbers and variables marked; one rough grammar serves all languages."""
    pieces, end = [], 0
    for match in _TOKENS.finditer(source):
        pieces.append(conditional_escape(source[end : match.start()]))
        pieces.append(format_html('<span class="{}">{}</span>', f"token-{match.lastgroup}", match.group()))
        end = match.end()
    pieces.append(conditional_escape(source[end:]))
    return format_html_join("", "{}", ((piece,) for piece in pieces))
