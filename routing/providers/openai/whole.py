"""A whole answer's object and its choices, in whatever shape they come."""

from __future__ import annotations

from typing import Any, Final

import orjson

from routing.providers.openai.failures import SIGNS, is_error, raise_failure, refuse_silence, refuse_words
from routing.providers.openai.finish import OURS
from routing.providers.openai.messages import is_plain
from routing.providers.openai.natives import in_openais
from routing.providers.openai.shapes import choices_in, set_reason
from routing.providers.openai.wrapped import unwrapped

_PLAIN: Final = frozenset(
    ("id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier")
)  # fmt: skip
_PLAIN_LIST: Final = frozenset(("id", "object", "created", "model", "data", "usage"))
_OF_CHOICES: Final = frozenset(("index", "message", "finish_reason", "logprobs"))


def is_plain_answer(value: dict[str, Any]) -> bool:
    """Whether it is one choice of text, all of it in OpenAI's own words: most are, and need no other look."""
    choices = value.get("choices")
    if type(choices) is not list or len(choices) != 1 or not value.keys() <= _PLAIN or value.get("object") == "error":
        return False
    choice = choices[0]
    if type(choice) is not dict or not choice.keys() <= _OF_CHOICES:
        return False
    place, reason = choice.get("index"), choice.get("finish_reason")
    return type(place) is int and place == 0 and type(reason) is str and reason in OURS and is_plain(choice)


def is_plain_list(value: dict[str, Any]) -> bool:
    """The same of a list of vectors, which has no output."""
    data = value.get("data")
    return type(data) is list and bool(data) and value.keys() <= _PLAIN_LIST and value.get("object") != "error"


def answer_in(value: dict[str, Any], *members: str) -> tuple[dict[str, Any], list[Any]]:
    """The answer in an object and its choices, if it has some; raises MalformedAnswer for none, or for a failure.

    `members` hold the answer, of one endpoint or another.
    """
    answer = unwrapped(value, *members)
    if is_error(answer.get("error")) or answer.get("object") == "error":
        raise_failure(answer)
    if not answer.get("choices"):
        answer = in_openais(answer, "message")
    choices = answer.get("choices")
    if choices and type(choices) is not list:
        choices = answer["choices"] = choices_in(choices)
    if not choices:
        refuse_words(answer, *members)
    choices = choices if type(choices) is list else []
    if choices and not SIGNS.isdisjoint(answer):
        refuse_silence(answer, choices)
    if None in choices:
        choices[:] = [choice for choice in choices if choice is not None]
    if "finish_reason" in answer:
        set_reason(choices, answer.pop("finish_reason"))
    return answer, choices


def is_piece(data: bytes) -> bool:
    """Whether an object is one that only a stream has: the beginning of lines of them."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    choices = value.get("choices")
    choice = choices[0] if type(choices) is list and choices else None
    if type(choice) is not dict or type(choice.get("delta")) is not dict:
        return False
    return "message" not in choice and not (choice.get("finish_reason") or choice.get("finishReason"))
