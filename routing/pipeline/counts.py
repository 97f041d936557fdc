"""Which counts an answer is billed by: the upstream's own where they can be believed, else what was received.

The output cap goes with every request, so an upstream's counts far above it are wrong, or its output was not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor
from typing import Final

import msgspec

from billing.kinds import NOTHING, Usage
from routing.providers.base import Reader

_MARGIN_SHARE: Final = 0.25
_MARGIN_TOKENS: Final = 64
"""Beyond the cap: tokens are counted by whoever counts, and some vendors add a few of their own."""


def most_output(cap: int, answers: int, uncapped: int = 0) -> int:
    """The output tokens of all answers together above which an upstream has gone past its cap, or past all belief."""
    asked = cap * answers + uncapped
    return asked + floor(asked * _MARGIN_SHARE) + _MARGIN_TOKENS


def counted(reader: Reader, estimate: Callable[[], Usage], most: int) -> tuple[Usage, str]:
    """The usage to bill, and its source as records keep it.

    Counts that were told before the answer went on are never taken for less than what was received; output above
    `most` is not believed.
    """
    usage = reader.usage
    if usage is None:
        usage = estimate()
        return usage, "none" if usage is NOTHING else "estimated"
    if usage.output > most:
        return _with_output(usage, min(estimate().output, most)), "estimated"
    if reader.is_partial:
        received = estimate().output
        if received > usage.output:
            return _with_output(usage, received), "estimated"
    return usage, "upstream" if reader.is_exact else "estimated"


def remarks(reader: Reader, most: int) -> Sequence[str]:
    """What is odd about a good answer, for operators."""
    is_too_much = reader.usage is not None and reader.usage.output > most
    if not (is_too_much or reader.remark):
        return ()
    found = [reader.remark] if reader.remark else []
    if is_too_much:
        found.append("the upstream counted more output than its cap allows; the output was estimated")
    return found


def _with_output(usage: Usage, output: int) -> Usage:
    return msgspec.structs.replace(usage, output=output, reasoning=min(usage.reasoning, output))
