"""The cost that an upstream tells beside its usage, in every vendor's words."""

from __future__ import annotations

from typing import Any

import pytest

from routing.providers.openai.costs import told_cost


@pytest.mark.parametrize(
    ("reported", "nano"),
    [
        pytest.param({"prompt_tokens": 1}, None, id="none"),
        pytest.param({"cost": 0.00492}, 4_920_000, id="OpenRouter"),
        pytest.param({"cost": 0}, 0, id="free"),
        pytest.param({"cost": "0.000000001"}, 1, id="text"),
        pytest.param({"cost": 5e-10}, 1, id="half up"),
        pytest.param({"cost": "0.00000000049"}, 0, id="less than half"),
        pytest.param({"cost": {"total_cost": 0.006, "request_cost": 0.005}}, 6_000_000, id="Perplexity"),
        pytest.param({"cost_in_usd_ticks": 37_756_000}, 3_775_600, id="xAI"),
        pytest.param({"cost": "0" * 39 + "1"}, 10**9, id="the longest text"),
        pytest.param({"cost_in_usd_ticks": 0}, 0, id="xAI, free"),
        pytest.param({"cost_in_usd_ticks": 5}, 1, id="xAI, half up"),
        pytest.param({"cost_in_usd_ticks": 4}, 0, id="xAI, less than half"),
        pytest.param({"cost_in_usd_ticks": 10**18}, 10**17, id="xAI, the most"),
        pytest.param({"cost": 10**9}, 10**18, id="the most"),
        pytest.param({"cost": 10**9 + 1}, None, id="more than the most"),
    ],
)
def test_cost_is_read(reported: dict[str, Any], nano: int | None) -> None:
    assert told_cost(reported) == nano


@pytest.mark.parametrize(
    "cost", [-1, "-0.1", "NaN", "Infinity", float("nan"), True, None, [], {}, "free", "1" * 41, "0" * 40 + "1", 1e300]
)
def test_cost_that_cannot_be_believed_is_none(cost: Any) -> None:
    assert told_cost({"cost": cost}) is None


@pytest.mark.parametrize("ticks", [-1, 1.5, "10", None, 10**18 + 1, True])
def test_ticks_that_cannot_be_believed_are_none(ticks: Any) -> None:
    assert told_cost({"cost_in_usd_ticks": ticks}) is None
