"""What a model's name says of the settings that it takes. Names that say nothing are of other vendors' models.

Facts of platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting (thinking by model),
.../effort (effort by model) and .../about-claude/models/migration-guide (sampling).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

Thinking = Literal["adaptive", "budget"]
"""How a model is asked to think: by itself, with an effort, or within a budget of tokens."""

_GENERATION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_PREVIEW: Final = "claude-mythos-preview"
_NEVER_OFF: Final = re.compile(r"claude-(?:fable|mythos|opus-(?:5[-.][5-9]|[6-9]|\d\d))")
"""Models that think always; whoever says otherwise is refused."""
_BETWEEN_TOOLS: Final = re.compile(r"claude-sonnet-(?:5[-.][5-9]|[6-9]|\d\d)")
_ADAPTIVE: Final = (4, 6)
_NO_SAMPLING: Final = (4, 7)
_ONE_OF_BOTH: Final = (4, 1)
"""From here on temperature and top_p exclude each other."""
_THINKS_BY_ITSELF: Final = (5, 0)


@lru_cache(maxsize=256)
def generation(name: str) -> tuple[int, int] | None:
    """Of a Claude model, as (4, 6); None for a name that has none."""
    if _PREVIEW in name:
        return _ADAPTIVE
    found = _GENERATION.search(name.lower())
    return (int(found[1]), int(found[2] or 0)) if found else None


def thinking(name: str) -> Thinking:
    """Other vendors' servers know the older way, if any."""
    return "adaptive" if (generation(name) or (0, 0)) >= _ADAPTIVE else "budget"


def without_thinking(name: str) -> str:
    """The type of `thinking` that turns it off; empty where that is said by leaving it out, or cannot be said."""
    if _NEVER_OFF.search(name) or (generation(name) or (0, 0)) < _THINKS_BY_ITSELF:
        return ""
    return "between_tools" if _BETWEEN_TOOLS.search(name) else "disabled"


def is_never_off(name: str) -> bool:
    return _NEVER_OFF.search(name) is not None


def has_highest_but_one(name: str) -> bool:
    """Whether it knows the effort `xhigh`; the first that knew effort at all did not."""
    known = generation(name)
    return known is None or known >= _NO_SAMPLING


def takes_no_sampling(name: str) -> bool:
    """Whether temperature, top_p and top_k are refused unless they say nothing."""
    return _PREVIEW in name or (generation(name) or (0, 0)) >= _NO_SAMPLING


def takes_one_of_both(name: str) -> bool:
    return (generation(name) or (0, 0)) >= _ONE_OF_BOTH
