"""The shapes in which servers write what should be a chunk, a choice, a delta: one in place of a list, several of them,
or either as JSON in a text. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from routing.providers.base import MalformedAnswer
from routing.providers.openai import loose
from routing.providers.openai.failures import is_error, raise_failure
from routing.providers.openai.refusals import text_of
from routing.wire.values import Values

PLACES: Final = (
    "usageMetadata", "usage_metadata", "amazon-bedrock-invocationMetrics", "usage_info", "token_usage",
    "tokenUsage", "usage_stats",
)  # fmt: skip
"""Where Google, Bedrock, FastChat and LangChain write usage beside the choices."""
AROUND: Final = (
    "x_groq", "metadata", "meta", "nvext", "stats", "header", "payload", "extra", "extra_info", "response_metadata",
    "llm_output",
)  # fmt: skip
_COUNTS: Final = ("billed_units", "tokens")
"""Cohere's, in `meta` (docs.cohere.com/reference/rerank): what is billed goes before what was read."""
_INSIDE: Final = ("usage", "token_usage", "tokenUsage")
"""Objects beside the choices in which it stands."""
STOPS: Final = ("message_stop", "messageStop")
"""Bedrock's event of the end, where it is an object beside the choices."""
REASONS: Final = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason")
"""Names of the finish reason beside the choices, in their order of meaning."""
_OF_ONE: Final = frozenset(("delta", "message", "text", "finish_reason"))
FAR_AWAY: Final = {"NaN": -9999.0, "-Infinity": -9999.0, "Infinity": 9999.0}
"""As OpenAI writes the logarithm of what never happens."""
NO_NUMBERS: Final = dict.fromkeys(FAR_AWAY)
"""Of answers whose numbers are no logarithms: what is none is null, which nobody takes for one."""


_AROUND_END: Final = b" \t\0\"'.[]<>|\xef\xbb\xbf"
"""Blanks, quotes, brackets and a byte order mark."""
_GLUE: Final = re.compile(rb"(?:[\s,]|\\[nr]|data:)*+")
"""What may stand between objects on one line: the name of the field, the end of a line as a text of a language."""
_ENDS: Final = frozenset((b"DONE", b"[END]", b"[EOS]"))
MOST_END_BYTES: Final = 20
"""Of an event that is no more than the end."""
_SAYS_END: Final = ("done", "is_end", "is_finished", "finished", "end")
_ENDS_IN_OBJECTS: Final = frozenset(
    ("[done]", "done", "end", "finish", "finished", "complete", "completed", "eos", "message_end", "message_stop")
)
"""What an object without choices says there, or under `type`, `event` or `data`, if it says that all has come."""


class Several(MalformedAnswer):
    """An event that holds more than one chunk, or one and the end: which is None."""

    def __init__(self, values: list[Any]) -> None:
        super().__init__("an event that is a list")
        self.values = values


def usage_elsewhere(chunk: dict[str, Any]) -> list[Any]:
    """Takes usage out of the places that are other vendors'."""
    inner = [chunk[name] for name in AROUND if type(chunk.get(name)) is dict]
    found = [each.pop(name, None) for each in inner for name in _INSIDE]
    found += [each[name] for each in inner for name in _COUNTS if type(each.get(name)) is dict]
    found += [chunk.pop(name, None) for name in PLACES]
    return [reported for reported in found if reported is not None]


def chunk_of(index: int, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return {"object": "chat.completion.chunk", "choices": [choice]}


def choices_in(value: Any) -> list[Any]:
    """The one choice, or those that an object has by number, or a text as JSON; raises MalformedAnswer otherwise."""
    if type(value) is str:
        value = loose.strictly(value.encode("utf-8", "replace"))
        if type(value) is list:
            return value
    if type(value) is dict:
        if not _OF_ONE.isdisjoint(value):
            return [value]
        if all(name.isdecimal() and type(each) is dict for name, each in value.items()):
            return list(value.values())
    raise MalformedAnswer("the chunk has no choices")


def only_delta(delta: Any) -> dict[str, Any]:
    """The delta where it stands in a list; raises MalformedAnswer for what is none."""
    if type(delta) is list and len(delta) == 1 and type(delta[0]) is dict:
        return delta[0]
    raise MalformedAnswer("a choice has no delta")


def set_reason(choices: list[Any], reason: Any) -> bool:
    """Gives the finish reason to the choices that have none; whether there are any."""
    open_ = [choice for choice in choices if type(choice) is dict and not choice.get("finish_reason")]
    for choice in open_:
        choice["finish_reason"] = reason
    return bool(open_)


def refuse_failed(choice: dict[str, Any]) -> None:
    """Raises MalformedAnswer if a choice says that it failed (OpenRouter's do)."""
    if is_error(choice["error"]):
        raise_failure(choice)
    del choice["error"]


def only_object(value: Any) -> dict[str, Any] | None:
    """What an event says that is JSON and no object: nothing, or an object in a list (Google's compatible endpoint).

    Or one in a text, as servers write it that encode twice. Raises Several for more than one, and MalformedAnswer for a
    list of anything else: something was said, and nobody knows what.
    """
    if type(value) is str and value.startswith("{"):
        inner = loose.strictly(value.encode("utf-8", "replace"))
        return inner if type(inner) is dict else None
    if type(value) is not list or not value:
        return None
    if not all(type(each) is dict for each in value):
        raise MalformedAnswer("an event that is a list")
    if len(value) > 1:
        raise Several(value)
    return value[0]  # type: ignore[no-any-return]


def objects_in(data: bytes) -> list[Any] | None:
    """Objects that stand one behind the other on one line, perhaps each with the name of its field, and None for the
    end behind them; None where they are anything else."""
    found: list[Any] = []
    if not data.startswith(b"{"):
        return None
    while data := data[_GLUE.match(data).end() :]:  # type: ignore[union-attr]  # matches nothing, too
        if found and is_end(data):
            return [*found, None]
        values = Values()
        objects = [loose.strictly(each) for each in values.feed(data)]
        if values.size or not objects or any(type(each) is not dict for each in objects):
            return None
        found, data = found + objects, values.rest or b""
    return found


def reason_beside(chunk: dict[str, Any]) -> Any:
    """The finish reason that stands beside the choices, taken out."""
    found = [chunk.pop(name) for name in REASONS if name in chunk]
    inner = [chunk.pop(name) for name in STOPS if name in chunk]
    found += [each.get(name) for each in inner if type(each) is dict for name in REASONS]
    return next(filter(None, found), None)


def is_end(event: bytes) -> bool:
    """Whether a short event is OpenAI's end, as it is or as other servers write it: in quotes, in small letters.

    What they wrote as a text of a language has its line's end behind it.
    """
    said = without_name(event).upper().removesuffix(b"\\N\\N").removesuffix(b"\\N")
    return said in _ENDS or said.strip(_AROUND_END) in _ENDS


def says_end(value: dict[str, Any]) -> bool:
    """Whether an object without choices says that all has come."""
    if any(value.get(name) is True for name in _SAYS_END):
        return True
    return any(text_of(value.get(name)).lower() in _ENDS_IN_OBJECTS for name in ("type", "event", "data"))


def without_name(event: bytes) -> bytes:
    """An event without the field's name that servers write into it whose library writes one, too."""
    return event.strip().removeprefix(b"data:").strip()


def without_comments(body: bytes) -> bytes:
    """A body without the signs of life that stand before it."""
    while body.lstrip().startswith(b":"):
        body = body.lstrip().partition(b"\n")[2]
    return body


def object_in_body(body: bytes, numbers: Mapping[str, Any] = FAR_AWAY) -> dict[str, Any]:
    """Raises MalformedAnswer for what is no JSON object; `numbers` are those that JSON cannot say."""
    try:
        value = orjson.loads(body)
        if type(value) is dict:
            return value
    except orjson.JSONDecodeError as error:
        value = loose.without_halves(loose.loosely(without_comments(body), numbers.__getitem__))
        if value is None:
            raise MalformedAnswer(f"the answer is not JSON: {body[:120].decode('utf-8', 'replace')}") from error
    if type(value) is str:  # encoded twice, or words
        words, value = value, loose.strictly(value.encode("utf-8", "replace"))
        if value is None:
            raise MalformedAnswer(f"no answer came, but: {words[:300]}")
    if type(value) is list and len(value) == 1:  # Google's compatible endpoint sends errors so
        value = value[0]
    if type(value) is not dict:
        raise MalformedAnswer("the answer is not a JSON object")
    return value
