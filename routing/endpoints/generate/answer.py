"""A whole GenerateContentResponse and its usage: ai.google.dev/api/generate-content#GenerateContentResponse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from routing.endpoints.base import Bill, Head, to_json
from routing.endpoints.chat.identity import drop_names, is_in
from routing.endpoints.received import BYTES_PER_TOKEN
from routing.providers.base import MalformedAnswer

_OURS: Final = frozenset(("candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId", "costrouter"))
_OF_CANDIDATES: Final = frozenset(("content", "finishReason", "index"))


def is_blocked(answer: Mapping[str, Any]) -> bool:
    """Whether the prompt was refused, so that nothing answers it."""
    feedback = answer.get("promptFeedback")
    return type(feedback) is dict and bool(feedback.get("blockReason"))


def check(answer: Mapping[str, Any], asked: int) -> None:
    """Raises MalformedAnswer unless there are as many candidates as were asked for, or a reason why there are none."""
    candidates = answer.get("candidates") or ()
    if len(candidates) < asked and not is_blocked(answer):
        raise MalformedAnswer(f"the answer has {len(candidates) or 'no'} candidates for {asked} that were asked for")


def texts_of(candidate: Mapping[str, Any]) -> Iterator[str]:
    """What a candidate's model wrote: its text, its thoughts, its calls, and code that it has run."""
    for part in candidate["content"]["parts"]:
        if type(part.get("text")) is str:
            yield part["text"]
        call, code = part.get("functionCall"), part.get("executableCode")
        if type(code) is dict and type(code.get("code")) is str:
            yield code["code"]
        if type(call) is dict:
            yield f"{call.get('name')}{to_json(call.get('args') or {}).decode()}"


def estimate_output(answer: Mapping[str, Any]) -> int:
    """Output tokens of an answer whose upstream did not say."""
    written = sum(len(text.encode()) for candidate in answer["candidates"] for text in texts_of(candidate))
    return -(-written // BYTES_PER_TOKEN)


def make_ours(answer: dict[str, Any], head: Head) -> None:
    """Takes out what names the upstream, puts in what is ours."""
    drop_names(answer)
    for candidate in answer.get("candidates", ()):
        drop_names(candidate)
    if not answer.get("candidates"):
        answer.pop("candidates", None)
    answer.update({"modelVersion": head.model, "responseId": head.public_id})


def written(answer: dict[str, Any], head: Head) -> bytes:
    """The answer as JSON, without what must not be read beside it."""
    whole = to_json(answer)
    if not is_in(whole, head.hidden):
        return whole
    _drop(answer, _OURS, head.hidden)
    for candidate in answer.get("candidates", ()):
        _drop(candidate, _OF_CANDIDATES, head.hidden)
    return to_json(answer)


def _drop(members: dict[str, Any], known: frozenset[str], hidden: tuple[bytes, ...]) -> None:
    for name in members.keys() - known:
        if is_in(orjson.dumps(members[name]), hidden):
            del members[name]


def public_usage(bill: Bill) -> dict[str, Any]:
    """The counts in Google's words, where thoughts stand beside the candidates', and the exact cost."""
    usage, reported = bill.usage, bill.reported
    counts = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "totalTokenCount": usage.input + usage.output,
        "cachedContentTokenCount": usage.cached_input,
        "thoughtsTokenCount": usage.reasoning,
    }
    told = {name: counts[name] for name in counts if counts[name] or name not in _ONLY_IF_ANY}
    details = {name: reported[name] for name in _DETAILS if type(reported.get(name)) is list}
    return {**told, **details, "cost": orjson.Fragment(bill.cost), "costDetails": bill.details}


_ONLY_IF_ANY: Final = frozenset(("cachedContentTokenCount", "thoughtsTokenCount"))
_DETAILS: Final = ("promptTokensDetails", "candidatesTokensDetails", "cacheTokensDetails")
"""Counts by modality, which only Google's own upstreams tell."""
