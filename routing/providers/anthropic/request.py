"""A chat request in Anthropic's words; what it cannot say is out before this (gaps.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from routing.providers.anthropic.gaps import TIERS, stops_of
from routing.providers.anthropic.messages import system_and_turns
from routing.providers.anthropic.schemas import constrained
from routing.providers.anthropic.thinking import Wanted, reasoning_of, sampling_of
from routing.providers.anthropic.tools import FORCED, choice_of, tools_of

_LONGEST_USER: Final = 256
"""Characters of `metadata.user_id`; what is longer is refused."""


def said(body: Mapping[str, Any], model: str, cap: int, wanted: Wanted) -> dict[str, Any]:
    """The request's members but for model, cap and stream.

    `model` is the upstream's name, `wanted` the channel's way of thinking.
    """
    system, turns = system_and_turns(body["messages"])
    out: dict[str, Any] = {"messages": turns}
    if system:
        out["system"] = system[0]["text"] if len(system) == 1 and len(system[0]) == len(("type", "text")) else system
    _add_tools(out, body)
    is_forced = out.get("tool_choice", {}).get("type") in FORCED
    out |= reasoning_of(body, model, cap, wanted, turns, is_forced=is_forced)
    sampling, _left_out = sampling_of(body, model, cap, wanted)
    out |= sampling
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = constrained(form["json_schema"].get("schema") or {"type": "object"})
        out["output_config"] = {**out.get("output_config", {}), "format": {"type": "json_schema", "schema": schema}}
    if body.get("stop"):
        out["stop_sequences"] = stops_of(body["stop"])
    user = body.get("safety_identifier") or body.get("user")
    if user:
        out["metadata"] = {"user_id": user[:_LONGEST_USER]}
    if body.get("service_tier"):
        out["service_tier"] = TIERS[body["service_tier"]]
    if type(body.get("cache_control")) is dict:
        out["cache_control"] = body["cache_control"]
    return out


def _add_tools(out: dict[str, Any], body: Mapping[str, Any]) -> None:
    tools = tools_of(body)
    if not tools:
        return
    out["tools"] = tools
    choice = choice_of(body)
    if choice is not None:
        out["tool_choice"] = choice
