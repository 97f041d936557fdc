"""A whole chat completion: its canonical shape, and what the public schema requires that upstreams leave out.

The tables are those of OpenAI's public API description (CreateChatCompletionResponse).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

from routing.endpoints.base import Bill, Head
from routing.endpoints.chat.identity import drop_names
from routing.endpoints.received import BYTES_PER_TOKEN
from routing.providers.base import MalformedAnswer
from routing.providers.openai.finish import GOOD_ENDS, OURS
from routing.wire.wholeness import JsonScan

_TIERS: Final = frozenset((None, "auto", "default", "flex", "scale", "priority"))
WRAPPING: Final = frozenset(
    ("role", "id", "type", "index", "format", "name_space", "signature", "images", "image_url", "data", "encrypted",
     "encrypted_content", "provider_specific_fields", "annotations", "citations", "logprobs", "status", "call_id")
)  # fmt: skip
"""Members around text that no model wrote, or wrote as tokens that their size says nothing about."""
THOUGHTS: Final = frozenset(("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks"))
"""Members that hold what was thought; some servers say it under two names."""
_REQUIRED: Final = frozenset(("id", "object", "created", "model", "choices"))
"""Members that are ours: where an answer has no others, nothing is to be looked for."""
_OF_TEXTS: Final = frozenset(("role", "content", "refusal"))
"""The same of a message."""
_NEVER_NULL: Final = frozenset(("tool_calls", "function_call", "annotations"))
_FORMED: Final = _NEVER_NULL | {"audio"}
"""Members of a whole message whose form the schema prescribes, and upstreams have their own of."""
_OPTIONAL: Final = frozenset(("metadata", "moderation", "obfuscation"))
"""The same of answers and chunks."""
NEVER: Final = -9999.0
"""As OpenAI writes the logarithm of what never happens."""
_MONEY: Final = re.compile(
    "cost|price|pricing|credit|bill|charge|fee|spend|spent|paid|quota|amount|balance|discount|usd|tick", re.IGNORECASE
)
_LONGEST_NAME: Final = 64
"""No count has a longer name; longer ones would be kept in memory."""


def check_answer(answer: dict[str, Any], asked: int = 1) -> None:
    """Raises MalformedAnswer unless there are as many choices as were asked for, and a message in each."""
    choices = answer.get("choices")
    if type(choices) is not list or not choices:
        raise MalformedAnswer("the answer has no choices")
    if len(choices) < asked:
        raise MalformedAnswer(f"the answer has {len(choices)} choices for {asked} that were asked for")
    for choice in choices:
        if type(choice) is not dict or type(choice.get("message")) is not dict:
            raise MalformedAnswer("a choice has no message")


def estimate_output(answer: Mapping[str, Any]) -> int:
    """Output tokens of an answer whose upstream did not say."""
    written = sum(_estimate_message(choice["message"]) for choice in answer["choices"])
    return -(-written // BYTES_PER_TOKEN)


def _estimate_message(message: dict[str, Any]) -> int:
    thought = max((estimate_strings(message[name]) for name in THOUGHTS.intersection(message)), default=0)
    return thought + estimate_strings({name: value for name, value in message.items() if name not in THOUGHTS})


def complete_top(answer: dict[str, Any]) -> None:
    """Leaves out what the schema has no place for, and what names the upstream."""
    if type(answer.get("system_fingerprint", "")) is not str:
        del answer["system_fingerprint"]
    tier = answer.get("service_tier")
    if tier is not None and (type(tier) is not str or tier not in _TIERS):
        del answer["service_tier"]
    if not _OPTIONAL.isdisjoint(answer):
        for name in _OPTIONAL.intersection(answer):
            if not _is_formed(name, answer[name]):
                del answer[name]
    drop_names(answer)


def _is_formed(name: str, value: Any) -> bool:
    if name == "obfuscation":
        return type(value) is str
    if name == "metadata":
        return value is None or (type(value) is dict and all(type(each) is str for each in value.values()))
    return value is None or (type(value) is dict and type(value.get("input")) is type(value.get("output")) is dict)


def _absent_reason(message: dict[str, Any]) -> str:
    """Where no reason was given: raises MalformedAnswer unless what came is whole."""
    calls, function = message.get("tool_calls"), message.get("function_call")
    for each in [call.get("function") for call in calls or ()] + [function]:
        scan = JsonScan()
        scan.add(each.get("arguments", "") if type(each) is dict else "{}")
        if not scan.is_whole:
            raise MalformedAnswer("the answer ended in the middle of a tool call")
    return _called(message)


def _called(message: dict[str, Any]) -> str:
    """The finish reason of the calls in a message, `stop` if there are none."""
    if message.get("tool_calls"):
        return "tool_calls"
    return "function_call" if message.get("function_call") else "stop"


def reason_beside(reason: str, called: str) -> str:
    """A finish reason that fits what was said; `called` is the word for the calls that came, `stop` if none did.

    Google's compatible endpoint says `stop` behind calls, and some servers `tool_calls` where there is none: clients
    go by the word.
    """
    return called if reason in GOOD_ENDS else reason


def estimate_strings(value: Any) -> int:
    """Bytes of the text in a value, the wrapper around it left out."""
    found, waiting = 0, [value]
    while waiting:  # no recursion: what an upstream nests may be deep
        value = waiting.pop()
        if type(value) is str:
            found += len(value.encode())
        elif type(value) is dict:
            waiting += [inner for name, inner in value.items() if name not in WRAPPING]
        elif type(value) is list:
            waiting += value
    return found


def complete_answer(answer: dict[str, Any], head: Head) -> None:
    """Makes a whole answer ours, and adds in place what the public schema requires and the upstream left out."""
    answer["id"] = head.public_id
    answer["object"] = "chat.completion"
    answer["model"] = head.model
    if type(answer.get("created")) is not int:
        answer["created"] = head.created
    if not answer.keys() <= _REQUIRED:
        complete_top(answer)
    for index, choice in enumerate(answer["choices"]):
        choice.setdefault("index", index)
        if choice.setdefault("logprobs", None) is not None:
            complete_logprobs(choice)
        message = choice["message"]
        reason = choice.get("finish_reason")
        if type(reason) is not str or reason not in OURS:
            choice["finish_reason"] = _absent_reason(message)
        else:
            choice["finish_reason"] = reason_beside(reason, _called(message))
        message["role"] = "assistant"
        message.setdefault("content", None)
        message.setdefault("refusal", None)
        if not message.keys() <= _OF_TEXTS:
            if not _FORMED.isdisjoint(message):
                _complete_formed(message, head)
            drop_names(message)
        drop_names(choice)


def drop_nulls(message: dict[str, Any]) -> None:
    """Leaves out what the public schema allows to be absent but not to be null; `content` and `refusal` may be."""
    for name in _NEVER_NULL.intersection(message):
        if message[name] is None:
            del message[name]


def _complete_formed(message: dict[str, Any], head: Head) -> None:
    """Adds what the public schema requires of a message's rarer members; what has no place in it goes."""
    drop_nulls(message)
    if "annotations" in message:
        message["annotations"] = _citations_in(message["annotations"])
    if message.get("function_call"):
        message["function_call"] = {"name": "", "arguments": "", **message["function_call"]}
    audio = message.get("audio")
    if type(audio) is dict and type(audio.get("data")) is str:
        message["audio"] = {"id": head.public_id, "expires_at": head.created, "transcript": "", **audio}
    elif audio is not None:
        del message["audio"]


def _citations_in(annotations: Any) -> list[dict[str, Any]]:
    """The pages that are cited; some write their members beside the type."""
    found = []
    for each in annotations if type(annotations) is list else ():
        inner = each.get("url_citation", each) if type(each) is dict else None
        if type(inner) is dict and type(inner.get("url")) is str:
            cited = {"title": "", "start_index": 0, "end_index": 0} | {
                name: value for name, value in inner.items() if name != "type" and value is not None
            }
            found.append({"type": "url_citation", "url_citation": cited})
    return found


def complete_logprobs(choice: dict[str, Any]) -> None:
    """Adds what the public schema requires of a choice's logprobs; what has another form goes."""
    logprobs = choice["logprobs"]
    if type(logprobs) is not dict:
        choice["logprobs"] = None
        return
    for name in ("content", "refusal"):
        tokens = logprobs[name] = complete_tokens(logprobs.get(name))
        for token in tokens or ():
            token["top_logprobs"] = complete_tokens(token.get("top_logprobs")) or []


def complete_tokens(tokens: Any) -> list[dict[str, Any]] | None:
    """What of a list are tokens, each completed; None for what is no list."""
    if type(tokens) is not list:
        return None
    told = [token for token in tokens if type(token) is dict and type(token.get("token")) is str]
    for token in told:
        told_bytes = token.setdefault("bytes", None)
        if type(told_bytes) is not list or not all(type(each) is int for each in told_bytes):
            token["bytes"] = None
        if type(token.get("logprob")) not in {int, float}:
            token["logprob"] = NEVER
    return told


def public_usage(bill: Bill) -> dict[str, Any]:
    """The usage object for the client: OpenAI's fields, what else the upstream counted, and the exact cost."""
    usage, reported = bill.usage, bill.reported
    prompt, completion = {"cached_tokens": usage.cached_input}, {"reasoning_tokens": usage.reasoning}
    if "prompt_tokens_details" in reported:
        prompt = {**public_counts(reported["prompt_tokens_details"]), **prompt}
    if "completion_tokens_details" in reported:
        completion = {**public_counts(reported["completion_tokens_details"]), **completion}
    public = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": completion,
        "cost": orjson.Fragment(bill.cost),  # digit by digit
        "cost_details": bill.details,
    }
    return public if public.keys() >= reported.keys() else {**_counts(reported), **public}


def _counts(reported: Mapping[str, Any]) -> dict[str, Any]:
    """What an upstream counted, alone or grouped in an object; never what it charges the operator."""
    groups = {
        name: counts for name, value in reported.items() if not _is_money(name) and (counts := public_counts(value))
    }
    return {**public_counts(reported), **groups}


def public_counts(details: Any) -> dict[str, int]:
    if not isinstance(details, Mapping):
        return {}
    return {name: value for name, value in details.items() if type(value) is int and not _is_money(name)}


def _is_money(name: str) -> bool:
    """Whether a member of usage is what the operator pays: xAI's `cost_in_usd_ticks`, `estimated_cost`, a `quota`."""
    return len(name) > _LONGEST_NAME or _names_money(name)


@lru_cache(maxsize=1_024)  # the same few names in every answer: 0.1 µs instead of 3
def _names_money(name: str) -> bool:
    return _MONEY.search(name) is not None
