"""How much a request asks to think, and by chance: reasoning and sampling, which exclude each other in part.

Budgets are at least 1,024 tokens and below the cap; thinking within a budget excludes a forced tool and sampling, and
a turn with tools that began without a thought goes on without (platform.claude.com/docs/en/build-with-claude/
extended-thinking). Newer models take an effort instead (.../effort), and no sampling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from routing.providers.anthropic import models
from routing.providers.anthropic.messages import begins_with_thought

Wanted = Literal["auto", "adaptive", "budget", "none"]
"""A channel's setting: by the model's name, or one way for all."""
LEAST_BUDGET: Final = 1_024
_MOST_BUDGET: Final = 128_000
_SHARES: Final = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
"""Of the cap, by effort (openrouter.ai/docs/use-cases/reasoning-tokens)."""
_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_SAMPLING: Final = ("temperature", "top_p", "top_k")
_LEAST_SHARE_WHILE_THINKING: Final = 0.95


class Asked:
    """What a chat request says of its reasoning, in OpenAI's member or in OpenRouter's."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        reasoning = body.get("reasoning")
        members = reasoning if type(reasoning) is dict else {}
        effort = body.get("reasoning_effort") or members.get("effort")
        budget = members.get("max_tokens")
        self.budget: int | None = budget if type(budget) is int and budget > 0 else None
        self.is_off = effort == "none" or members.get("enabled") is False
        self.effort: str | None = effort if type(effort) is str and effort in _EFFORTS else None
        self.is_on = not self.is_off and bool(self.budget or self.effort or members.get("enabled"))
        self.is_hidden = members.get("exclude") is True


def reasoning_of(
    body: Mapping[str, Any], model: str, cap: int, wanted: Wanted, turns: list[dict[str, Any]], *, is_forced: bool
) -> dict[str, Any]:
    """The members `thinking` and `output_config` that ask for it; {} where nothing is said.

    `is_forced`: the request insists on a tool.
    """
    if type(body.get("thinking")) is dict:  # as Anthropic's own OpenAI-compatible layer takes it
        return {"thinking": body["thinking"]}
    asked = Asked(body)
    way = models.thinking(model) if wanted == "auto" else wanted
    if way == "none":
        return {}
    if asked.is_off:
        return _off(model) if way == "adaptive" else {}
    if not asked.is_on:
        return {}
    if way == "adaptive":
        return _adaptive(asked, model, cap)
    if is_forced or cap <= LEAST_BUDGET or _goes_on_without(turns):
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": _budget(asked, cap)}}


def _off(model: str) -> dict[str, Any]:
    """Models that think always do so least with the lowest effort."""
    if models.is_never_off(model):
        return {"output_config": {"effort": "low"}}
    kind = models.without_thinking(model)
    return {"thinking": {"type": kind}} if kind else {}


def _adaptive(asked: Asked, model: str, cap: int) -> dict[str, Any]:
    effort = asked.effort or (_effort_of(asked.budget, cap) if asked.budget else None)
    thinking = {"type": "adaptive", "display": "omitted" if asked.is_hidden else "summarized"}
    if effort is None:
        return {"thinking": thinking}
    level = _EFFORTS[effort]
    if level == "xhigh" and not models.has_highest_but_one(model):
        level = "high"
    return {"thinking": thinking, "output_config": {"effort": level}}


def _effort_of(budget: int, cap: int) -> str:
    """The effort whose share of the cap a budget is, or the next below."""
    return next((effort for effort in ("xhigh", "high", "medium") if budget >= cap * _SHARES[effort]), "low")


def _budget(asked: Asked, cap: int) -> int:
    wanted = asked.budget or int(cap * _SHARES[asked.effort or "medium"])
    return max(LEAST_BUDGET, min(wanted, _MOST_BUDGET, cap - 1))


def within_cap(thinking: dict[str, Any], cap: int) -> dict[str, Any]:
    """A client's own wish to think, below a cap that was lowered for it: a budget must be. Where none fits, no wish."""
    budget = thinking.get("budget_tokens")
    if thinking.get("type") != "enabled" or type(budget) is not int or budget < cap:
        return thinking
    return {**thinking, "budget_tokens": cap - 1} if cap > LEAST_BUDGET else {"type": "disabled"}


def _thinks_within_budget(body: Mapping[str, Any], model: str, cap: int, wanted: Wanted) -> bool:
    if type(body.get("thinking")) is dict:
        return bool(body["thinking"].get("type") == "enabled")
    way = models.thinking(model) if wanted == "auto" else wanted
    return way == "budget" and cap > LEAST_BUDGET and Asked(body).is_on


def _goes_on_without(turns: list[dict[str, Any]]) -> bool:
    """Whether results of tools come back for a turn whose thoughts were not handed back, or had none."""
    if len(turns) < 2 or turns[-1]["content"][0]["type"] != "tool_result":
        return False
    return not begins_with_thought(turns[-2])


def sampling_of(body: Mapping[str, Any], model: str, cap: int, wanted: Wanted) -> tuple[dict[str, Any], list[str]]:
    """The sampling members that the model takes, and the names of those that it does not.

    Anthropic's temperature ends at 1; above it its own OpenAI-compatible layer takes 1.
    """
    said = {name: body[name] for name in _SAMPLING if body.get(name) is not None}
    if not said:
        return said, []
    if "temperature" in said:
        said["temperature"] = min(said["temperature"], 1)
    out: set[str] = set()
    if models.takes_no_sampling(model):
        out.update(said)
    elif _thinks_within_budget(body, model, cap, wanted):
        out.update(name for name in said if name != "top_p" or said[name] < _LEAST_SHARE_WHILE_THINKING)
    elif models.takes_one_of_both(model) and {"temperature", "top_p"} <= said.keys():
        out.add("temperature" if said["temperature"] == 1 else "top_p")
    return (
        {name: value for name, value in said.items() if name not in out},
        [name for name in said if name in out and said[name] != 1],  # 1 says nothing
    )
