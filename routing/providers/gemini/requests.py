"""A chat request in Google's words. What cannot be said was refused before (lacks.py).

The members: ai.google.dev/api/generate-content, ai.google.dev/api/caching#Tool. How efforts become levels or budgets:
ai.google.dev/gemini-api/docs/openai#thinking.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from routing.providers.base import UpstreamCall
from routing.providers.gemini.contents import contents_of

_AS_IT_IS: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_OLD: Final = re.compile(r"gemini-[12]\b|gemini-(?:pro|flash)(?:-vision)?$")
"""Models that know thoughts as a budget, not as a level, and do not insist on their signatures."""
_LEVELS: Final = {"minimal": "minimal", "low": "low", "medium": "medium"}
_HIGHEST_LEVEL: Final = "high"
_BUDGETS: Final = {"minimal": 1_024, "low": 1_024, "medium": 8_192}
_HIGHEST_BUDGET: Final = 24_576


def of_chat(call: UpstreamCall) -> dict[str, Any]:
    """The body of generateContent."""
    body = call.body
    is_old = "gemini" not in call.upstream_model or _OLD.search(call.upstream_model) is not None
    system, contents = contents_of(body["messages"], insists_on_signatures=not is_old)
    whole: dict[str, Any] = {"contents": contents}
    if system:
        whole["systemInstruction"] = {"parts": system}
    if body.get("tools"):
        whole["tools"] = [{"functionDeclarations": [_declaration(tool["function"]) for tool in body["tools"]]}]
        config = _calling(body)
        if config:
            whole["toolConfig"] = {"functionCallingConfig": config}
    whole["generationConfig"] = {**_generation(body), **_format(body.get("response_format") or {})}
    thinking = _thinking(body, is_old=is_old)
    if thinking:
        whole["generationConfig"]["thinkingConfig"] = thinking
    if call.answers > 1:
        whole["generationConfig"]["candidateCount"] = call.answers
    whole["generationConfig"]["maxOutputTokens"] = call.cap
    return whole


def _generation(body: Mapping[str, Any]) -> dict[str, Any]:
    config = {ours: body[name] for name, ours in _AS_IT_IS.items() if body.get(name) is not None}
    stop = body.get("stop")
    if stop:
        config["stopSequences"] = [stop] if type(stop) is str else stop
    if body.get("logprobs"):
        config["responseLogprobs"] = True
        if body.get("top_logprobs"):
            config["logprobs"] = body["top_logprobs"]
    return config


def _format(wanted: Mapping[str, Any]) -> dict[str, Any]:
    if wanted.get("type") not in {"json_object", "json_schema"}:
        return {}
    schema = (wanted.get("json_schema") or {}).get("schema")
    return {"responseMimeType": "application/json", **({} if schema is None else {"responseJsonSchema": schema})}


def _declaration(function: Mapping[str, Any]) -> dict[str, Any]:
    told = {"name": function["name"], "description": function.get("description")}
    told["parametersJsonSchema"] = function.get("parameters")
    return {name: value for name, value in told.items() if value is not None}


def _calling(body: Mapping[str, Any]) -> dict[str, Any]:
    """Which functions may or must be called. VALIDATED is what OpenAI's strict functions promise: a call that fits."""
    is_strict = any(tool["function"].get("strict") for tool in body["tools"])
    choice: Any = body.get("tool_choice") or "auto"
    if isinstance(choice, str):
        mode = {"none": "NONE", "required": "ANY"}.get(choice) or ("VALIDATED" if is_strict else "AUTO")
        return {} if mode == "AUTO" else {"mode": mode}
    if choice.get("type") == "allowed_tools":
        allowed = choice["allowed_tools"]
        names = [tool["function"]["name"] for tool in allowed["tools"]]
        return {"mode": "ANY" if allowed.get("mode") == "required" else "VALIDATED", "allowedFunctionNames": names}
    return {"mode": "ANY", "allowedFunctionNames": [choice["function"]["name"]]}


def _thinking(body: Mapping[str, Any], *, is_old: bool) -> dict[str, Any]:
    """How much is thought: OpenAI's `reasoning_effort`, OpenRouter's `reasoning`. Who asks for it is shown it."""
    reasoning = body.get("reasoning")
    wishes: Mapping[str, Any] = reasoning if type(reasoning) is dict else {}
    effort, budget = body.get("reasoning_effort") or wishes.get("effort"), wishes.get("max_tokens")
    if effort == "none" or wishes.get("enabled") is False:
        return {"thinkingBudget": 0}
    shown = {} if wishes.get("exclude") else {"includeThoughts": True}
    if type(budget) is int:
        return {**shown, "thinkingBudget": budget}
    if type(effort) is str:
        if is_old:
            return {**shown, "thinkingBudget": _BUDGETS.get(effort, _HIGHEST_BUDGET)}
        return {**shown, "thinkingLevel": _LEVELS.get(effort, _HIGHEST_LEVEL)}
    return shown if wishes.get("enabled") else {}
