"""Refusals as Anthropic's clients read them: their envelope, their types, their words.

The table is that of https://docs.claude.com/en/api/errors. Statuses stay ours; code and param stand beside.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

from accounts.errors import GatewayError, InvalidRequest
from routing.endpoints import invalid
from routing.endpoints.base import to_json
from routing.endpoints.invalid import MissingRequiredParameter

T = TypeVar("T")
_TYPES: Final[dict[int, str]] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_PLACE: Final = re.compile(r"\[(\d+)\]")
_FIRST_FAULT_OF_SERVERS: Final = 500
_NO_MONEY: Final = "insufficient_quota"


def envelope(error: GatewayError, request_id: str) -> dict[str, Any]:
    """The body of a refusal, which is also the data of an error event."""
    said = error.envelope["error"]
    status = getattr(error, "upstream_status", error.status)
    inner = {"type": _type_of(status, said["type"]), "message": said["message"]}
    beside = {name: said[name] for name in ("code", "param") if said[name] is not None}
    return {"type": "error", "error": {**inner, **beside}, "request_id": f"req_{request_id}"}


def error_event(error: GatewayError, request_id: str) -> bytes:
    return b"event: error\ndata: " + to_json(envelope(error, request_id)) + b"\n\n"


def _type_of(status: int, kind: str | None) -> str:
    if kind == _NO_MONEY:
        return "billing_error"
    return _TYPES.get(status) or ("api_error" if status >= _FIRST_FAULT_OF_SERVERS else "invalid_request_error")


def convert(value: Any, kind: type[T]) -> T:
    """The body as the struct; raises an InvalidRequest in the words of Anthropic's: the field, a colon, the fault."""
    try:
        return invalid.convert(value, kind)
    except InvalidRequest as error:
        raise _in_their_words(error) from error


def _in_their_words(error: InvalidRequest) -> InvalidRequest:
    if error.param is None:
        return error
    place = _PLACE.sub(r".\1", error.param)
    if type(error) is MissingRequiredParameter:
        return MissingRequiredParameter(f"{place}: Field required", param=place)
    fault = error.message.partition("': ")[2] or error.message
    return type(error)(f"{place}: {fault}", param=place, kept=f"{place}: Invalid value.")
