"""Failures that come where an answer was expected, in the forms in which servers say so with status 200."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from routing.providers.base import MalformedAnswer
from routing.providers.openai.refusals import error_in, text_of, unwrapped_error

_CODES: Final = ("code", "error_code", "errorCode", "err_code", "status_code", "statusCode", "status", "errno")
_ALL_WELL: Final = frozenset(
    ("", "0", "200", "ok", "success", "succeeded", "completed", "in_progress", "20000", "processing", "pending",
     "queued", "running", "starting", "started", "streaming")
)  # fmt: skip
_NO_ERROR: Final = _ALL_WELL | {"null", "none", "false", "no error", "undefined"}
_WORDS: Final = (
    "error", "errors", "error_msg", "error_message", "errorMessage", "detail", "fault", "exception", "__type", "Error",
    "ErrorMsg", "err", "err_msg", "errmsg",
)  # fmt: skip
"""Members that nobody has who is well: FastAPI's `detail`, AWS's `__type`, Cloudflare's `errors`, Baidu's and more."""
_SAYS: Final = frozenset(("message", "msg", "Message", "text", "status_msg", "reason", "title", "sid"))
"""What stands beside a code that means a failure; a code alone may be anything."""
_FAILED: Final = frozenset(("failed", "failure", "error", "errored", "aborted", "cancelled", "canceled", "timeout"))
"""States that say so alone."""
_SAID: Final = (
    "content",
    "text",
    "tool_calls",
    "function_call",
    "reasoning_content",
    "reasoning",
    "refusal",
    "audio",
    "images",
)
_MOST_DEPTH: Final = 6
_INSIDE: Final = ("base_resp", "header", "Response", "data", "result", "response", "output")
"""Objects in which a failure stands: MiniMax's, Spark's, Tencent's, and envelopes."""


SIGNS: Final = frozenset((*_WORDS, *_CODES, "base_resp", "success"))
"""What stands beside choices that say nothing where the answer has failed."""
_SURE: Final = SIGNS - {"status"}
"""Those that others do not have in every chunk, in words of their own."""


def says_failure(value: Mapping[str, Any], depth: int = 0) -> bool:
    """Whether an object without choices says that the answer failed."""
    if value.get("object") == "error" or value.get("type") == "error" or value.get("success") is False:
        return True
    if any(is_error(value.get(name)) for name in _WORDS) or _has_failed(value):
        return True
    inner = [value[name] for name in _INSIDE if type(value.get(name)) is dict] if depth < _MOST_DEPTH else []
    if any(says_failure(each, depth + 1) for each in inner):
        return True
    if "Message" in value and len(value) <= len(("Message", "Code", "RequestId")):  # AWS's
        return True
    if any(type(inner) is dict and name.endswith("Exception") for name, inner in value.items()):  # Bedrock's events
        return True
    return any(_is_bad(value[name]) for name in _CODES if name in value) and not _SAYS.isdisjoint(value)


def _is_bad(code: Any) -> bool:
    if type(code) is int:
        return code not in (0, 200, 20000)
    return code is False or (type(code) is str and code.strip().lower() not in _ALL_WELL)


def refuse_silence(answer: Mapping[str, Any], choices: Sequence[Any]) -> None:
    """Raises MalformedAnswer if no choice says a word, and what stands beside them is a failure (MiniMax, Tencent)."""
    if any(map(speaks, choices)):
        return
    if _has_failed(answer) or (not _SURE.isdisjoint(answer) and says_failure(answer)):
        raise_failure(answer)


def _has_failed(value: Mapping[str, Any]) -> bool:
    return text_of(value.get("status")).lower() in _FAILED


def speaks(choice: Any) -> bool:
    """Whether a choice says anything but why it ended."""
    said = (choice.get("delta") or choice.get("message") or choice) if type(choice) is dict else choice
    return any(said.get(name) for name in _SAID) if type(said) is dict else bool(said)


def is_error(error: Any) -> bool:
    """Whether an `error` beside an answer is one: some say in every chunk, as an object, that there is none."""
    if type(error) is dict:
        codes = [error[name] for name in _CODES if error.get(name) is not None]
        return any(map(_is_bad, codes)) if codes and not _says_more(error) else any(error.values())
    return bool(error) and not (type(error) is str and error.strip().lower() in _NO_ERROR)


def _says_more(error: Mapping[str, Any]) -> bool:
    """Whether words beside a code are others than those of a server that is well."""
    return any(text_of(error.get(name)).strip().lower() not in _ALL_WELL for name in _SAYS)


def shown(value: Any) -> str:
    """A value in words, whatever it is."""
    try:
        return str(value)
    except RecursionError:
        return "something that is nested too deep"


def raise_failure(value: Any) -> NoReturn:
    """Raises MalformedAnswer with the upstream's words."""
    message = text_of(unwrapped_error(error_in(value)).get("message")) or shown(value)
    raise MalformedAnswer(f"an error came instead of an answer: {message[:300]}")


def refuse_words(answer: Mapping[str, Any], *members: str) -> None:
    """Raises MalformedAnswer if a body that has none of an answer's members says a failure, or anything at all."""
    if says_failure(answer):
        raise_failure(answer)
    words = text_of(error_in(answer).get("message")) if answer.keys().isdisjoint(members) else ""
    if words:
        raise MalformedAnswer(f"no answer came, but: {words[:300]}")
