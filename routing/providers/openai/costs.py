"""What an upstream says that its answer cost, where it says so beside the usage. Pure.

The words of those that do: OpenRouter and other gateways a `cost` in dollars (openrouter.ai/docs/use-cases/
usage-accounting), as a number or as text; Perplexity an object with a `total_cost`; xAI `cost_in_usd_ticks`, ten
thousand millionths of a dollar (docs.x.ai).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final

_TICKS: Final = "cost_in_usd_ticks"
_NANO: Final = 9
_TICKS_OF_NANO: Final = 10
_MOST: Final = 10**18
"""Nano-dollars; what is more, or less than nothing, is no cost."""
_LONGEST: Final = 40


def told_cost(reported: Mapping[str, Any]) -> int | None:
    """Nano-dollars, rounded half up; None if the usage says no cost that can be believed."""
    if "cost" in reported:
        cost = reported["cost"]
        return _nano(cost.get("total_cost") if type(cost) is dict else cost)
    if _TICKS in reported:
        ticks = reported[_TICKS]
        if type(ticks) is int and 0 <= ticks <= _MOST:
            return (ticks + _TICKS_OF_NANO // 2) // _TICKS_OF_NANO
    return None


def _nano(dollars: Any) -> int | None:
    if type(dollars) not in {int, float, str} or len(str(dollars)) > _LONGEST:
        return None
    try:
        value = Decimal(str(dollars))
    except InvalidOperation:
        return None
    if not value.is_finite() or not 0 <= value <= _MOST:
        return None
    nano = int(value.scaleb(_NANO).quantize(Decimal(1), ROUND_HALF_UP))
    return nano if nano <= _MOST else None
