"""The Content-Security-Policy of the pages: what they need themselves, and what an operator adds."""

from __future__ import annotations

import re
from typing import Final

from csp.constants import NONE, SELF

OURS: Final = {
    "default-src": [SELF],
    # The administration's pages alone are a little laxer (administration/frame.py says why).
    "script-src": [SELF],
    "style-src": [SELF],
    "img-src": [SELF, "data:"],
    "object-src": [NONE],
    "frame-ancestors": [NONE],
    "base-uri": [SELF],
    "form-action": [SELF],
}
_FETCHES: Final = {f"{kind}-src" for kind in ("connect", "font", "frame", "manifest", "media", "worker")}
KNOWN: Final = OURS.keys() | _FETCHES | {"report-uri", "report-to"}
"""Directives that can be added to."""
_SOURCE: Final = re.compile(r"[^\s;,]+")


def with_additions(text: str) -> dict[str, list[str]]:
    """Our directives, with more sources as a policy writes them: `img-src https://a.example; font-src https://b.example`.

    A directive that is not ours begins with our own host, as default-src has it. Raises ValueError, in words.
    """
    policy = {name: list(sources) for name, sources in OURS.items()}
    for addition in filter(str.strip, text.split(";")):
        name, *sources = addition.split()
        if name not in KNOWN:
            raise ValueError(f"{name} is none of: {', '.join(sorted(KNOWN))}")
        if not sources or not all(_SOURCE.fullmatch(source) for source in sources):
            raise ValueError(f"{name} is followed by sources, separated by blanks")
        begun = policy.get(name, [] if name.startswith("report-") else [SELF])
        policy[name] = [source for source in begun if source != NONE] + sources
    return policy
