"""Reasoning by model: within a budget or by an effort, and what it excludes."""

from __future__ import annotations

from typing import Any

import pytest

from routing.providers.anthropic import ANTHROPIC, models
from tests.routing.providers.anthropic.calls import HI, call, said

TOOL = {"type": "function", "function": {"name": "f"}}


def reasoning(**members: Any) -> dict[str, Any]:
    asked = said(**members)
    return {name: asked[name] for name in ("thinking", "output_config") if name in asked}


def budget(tokens: int) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


def adaptive(effort: str | None = None, display: str = "summarized") -> dict[str, Any]:
    thinking = {"thinking": {"type": "adaptive", "display": display}}
    return thinking if effort is None else {**thinking, "output_config": {"effort": effort}}


@pytest.mark.parametrize(
    ("name", "generation"),
    [
        ("claude-3-7-sonnet-20250219", (3, 7)),
        ("claude-opus-4-20250514", (4, 0)),
        ("claude-opus-4-1-20250805", (4, 1)),
        ("claude-haiku-4-5@20251001", (4, 5)),
        ("anthropic.claude-opus-4-6-v1", (4, 6)),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", (4, 5)),
        ("anthropic/claude-opus-4.7", (4, 7)),
        ("claude-4-sonnet", (4, 0)),
        ("Claude-Fable-5-1", (5, 1)),
        ("claude-opus-12-3", (12, 3)),
        ("claude-mythos-preview", (4, 6)),
        ("claude", None),
        ("glm-4.6", None),
        ("claudette-5", None),
    ],
)
def test_generation_is_in_the_name(name: str, generation: Any) -> None:
    assert models.generation(name) == generation


@pytest.mark.parametrize(
    ("effort", "tokens"), [("minimal", 1024), ("low", 2000), ("medium", 5000), ("high", 8000), ("xhigh", 9500)]
)
def test_effort_is_a_share_of_the_cap_where_budgets_are_known(effort: str, tokens: int) -> None:
    assert reasoning(model="claude-haiku-4-5", cap=10_000, reasoning_effort=effort) == budget(tokens)


@pytest.mark.parametrize(
    ("cap", "members", "shown"),
    [
        pytest.param(10_000, {"max_tokens": 2_000}, budget(2_000), id="as asked"),
        pytest.param(10_000, {"max_tokens": 100}, budget(1_024), id="the least"),
        pytest.param(3_000, {"max_tokens": 9_000}, budget(2_999), id="below the cap"),
        pytest.param(1_025, {"max_tokens": 9_000}, budget(1_024), id="just enough"),
        pytest.param(1_024, {"max_tokens": 9_000}, {}, id="no room"),
        pytest.param(500_000, {"effort": "high"}, budget(128_000), id="the most"),
        pytest.param(10_000, {"enabled": True}, budget(5_000), id="anyhow"),
        pytest.param(10_000, {"enabled": False, "effort": "high"}, {}, id="off"),
        pytest.param(10_000, {"effort": "none"}, {}, id="none"),
        pytest.param(10_000, {"effort": "ultra"}, {}, id="an effort that nobody knows"),
        pytest.param(10_000, {}, {}, id="nothing"),
    ],
)
def test_openrouters_words_are_known(cap: int, members: dict[str, Any], shown: dict[str, Any]) -> None:
    assert reasoning(cap=cap, reasoning=members) == shown


@pytest.mark.parametrize(
    ("model", "members", "shown"),
    [
        pytest.param("claude-opus-4-6", {"reasoning_effort": "minimal"}, adaptive("low"), id="minimal"),
        pytest.param("claude-opus-4-6", {"reasoning_effort": "high"}, adaptive("high"), id="high"),
        pytest.param("claude-opus-4-6", {"reasoning_effort": "xhigh"}, adaptive("high"), id="4.6 has no xhigh"),
        pytest.param("claude-opus-4-7", {"reasoning_effort": "xhigh"}, adaptive("xhigh"), id="4.7 has"),
        pytest.param("claude-opus-4-6", {"reasoning_effort": "max"}, adaptive("max"), id="max"),
        pytest.param("claude-sonnet-5", {"reasoning": {"enabled": True}}, adaptive(), id="anyhow"),
        pytest.param(
            "claude-sonnet-5", {"reasoning": {"effort": "low", "exclude": True}}, adaptive("low", "omitted"),
            id="hidden",
        ),
        pytest.param("claude-sonnet-5", {"reasoning": {"max_tokens": 9_500}}, adaptive("xhigh"), id="nearly all"),
        pytest.param("claude-sonnet-5", {"reasoning": {"max_tokens": 8_000}}, adaptive("high"), id="much"),
        pytest.param("claude-sonnet-5", {"reasoning": {"max_tokens": 7_999}}, adaptive("medium"), id="half"),
        pytest.param("claude-sonnet-5", {"reasoning": {"max_tokens": 100}}, adaptive("low"), id="little"),
        pytest.param("claude-opus-4-8", {"reasoning_effort": "none"}, {}, id="off by default"),
        pytest.param(
            "claude-sonnet-5", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, id="on by default"
        ),
        pytest.param(
            "claude-haiku-5-5", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, id="on, 5.5"
        ),
        pytest.param(
            "claude-sonnet-5-5", {"reasoning_effort": "none"}, {"thinking": {"type": "between_tools"}}, id="between"
        ),
        pytest.param(
            "claude-opus-5-5", {"reasoning_effort": "none"}, {"output_config": {"effort": "low"}}, id="never off"
        ),
        pytest.param("claude-opus-5", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, id="opus 5"),
        pytest.param(
            "claude-fable-5", {"reasoning_effort": "none"}, {"output_config": {"effort": "low"}}, id="never off, fable"
        ),
        pytest.param("glm-5", {"reasoning_effort": "high"}, budget(8_000), id="another vendor's"),
        pytest.param("claude-opus-4-7", {"reasoning_effort": None}, {}, id="null"),
        pytest.param(
            "claude-opus-4-7", {"thinking": {"type": "adaptive"}, "reasoning_effort": "low"},
            {"thinking": {"type": "adaptive"}}, id="Anthropic's own member"
        ),
    ],
)  # fmt: skip
def test_models_that_think_by_themselves_are_given_an_effort(model: str, members: Any, shown: dict[str, Any]) -> None:
    assert reasoning(model=model, cap=10_000, **members) == shown


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [("none", {}), ("adaptive", adaptive("low")), ("budget", budget(2_000)), ("auto", budget(2_000))],
)
def test_channel_says_how_its_models_think(wanted: str, shown: dict[str, Any]) -> None:
    assert reasoning(model="m", cap=10_000, options={"thinking": wanted}, reasoning_effort="low") == shown


def test_forced_tool_is_called_without_a_budget_to_think() -> None:
    members: dict[str, Any] = {"tools": [TOOL], "tool_choice": "required", "reasoning_effort": "low"}
    assert reasoning(**members) == {}
    assert reasoning(model="claude-opus-4-6", **members) == adaptive("low")


SIGNED = [{"type": "reasoning.text", "text": "hm", "signature": "s"}]


@pytest.mark.parametrize(
    ("details", "shown"), [(SIGNED, budget(1_024)), (None, {})], ids=["with its thought", "without its thought"]
)
def test_turn_with_tools_goes_on_as_it_began(details: Any, shown: dict[str, Any]) -> None:
    call_ = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = {"role": "assistant", "content": "So.", "tool_calls": [call_], "reasoning_details": details}
    answered = {"role": "tool", "tool_call_id": "a", "content": "1"}
    members: dict[str, Any] = {"tools": [TOOL], "reasoning_effort": "minimal"}
    assert reasoning(messages=[*HI, asked, answered], **members) == shown
    assert reasoning(messages=[asked, answered], **members) == shown
    assert reasoning(messages=[*HI, {**asked, "tool_calls": None}, *HI], **members) == budget(1_024)
    assert reasoning(messages=[*HI, asked, answered], model="claude-opus-4-6", **members) == adaptive("low")


@pytest.mark.parametrize(
    ("model", "members", "kept", "left_out"),
    [
        ("claude-opus-4-7", {"temperature": 0.5, "top_p": 1, "top_k": 3}, {}, "temperature, top_k"),
        ("claude-opus-4-7", {"temperature": 1}, {}, ""),
        ("claude-opus-4-7", {"temperature": 1.5}, {}, ""),
        ("claude-opus-4-6", {"temperature": 0.5}, {"temperature": 0.5}, ""),
        ("claude-opus-4-6", {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}, "top_p"),
        ("claude-opus-4-6", {"temperature": 0.5, "top_p": 1}, {"temperature": 0.5}, ""),
        ("claude-opus-4-1", {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}, "top_p"),
        ("claude-opus-4", {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5, "top_p": 0.5}, ""),
        (
            "claude-haiku-4-5",
            {"temperature": 0.5, "top_p": 0.95, "top_k": 3, "reasoning_effort": "low"},
            {"top_p": 0.95},
            "temperature, top_k",
        ),
        ("claude-haiku-4-5", {"top_p": 0.9, "thinking": {"type": "enabled", "budget_tokens": 2000}}, {}, "top_p"),
        ("claude-haiku-4-5", {"top_p": 0.9, "thinking": {"type": "disabled"}}, {"top_p": 0.9}, ""),
        ("other", {"temperature": 1, "top_p": 1}, {"temperature": 1, "top_p": 1}, ""),
    ],
)
def test_what_sampling_a_model_refuses_is_left_out_and_the_operator_told(
    model: str, members: dict[str, Any], kept: dict[str, Any], left_out: str
) -> None:
    asked = said(model=model, **members)
    assert {name: asked[name] for name in ("temperature", "top_p", "top_k") if name in asked} == kept
    remark = ANTHROPIC.open(call(model=model, body={"model": "m", "messages": HI, **members})).remark
    assert remark == (f"left out, as the model refuses it: {left_out}" if left_out else "")
