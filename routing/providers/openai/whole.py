"""A whole answer's object and its choices, in whatever shape they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from routing.providers.openai.failures import SIGNS, is_error, raise_failure, refuse_silence, refuse_words
from routing.providers.openai.natives import in_openais
from routing.providers.openai.shapes import FAR_AWAY, choices_in, object_in_body, set_reason
from routing.providers.openai.wrapped import unwrapped


def answer_in(body: bytes, *members: str, numbers: Mapping[str, Any] = FAR_AWAY) -> tuple[dict[str, Any], list[Any]]:
    """The answer and its choices, if it has some; raises MalformedAnswer for what is none, or says a failure.

    `members` hold the answer, of one endpoint or another; `numbers` are those that JSON cannot say.
    """
    answer = unwrapped(object_in_body(body, numbers), *members)
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
