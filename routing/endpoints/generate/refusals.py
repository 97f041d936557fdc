"""Refusals as Google's clients read them: google.rpc.Status, with the reason and the time to come back as details.

cloud.google.com/apis/design/errors; the words for a status: google/rpc/code.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from accounts.errors import GatewayError

_STATUS: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    504: "DEADLINE_EXCEEDED",
}
_TYPES: Final = "type.googleapis.com/google.rpc."


def envelope(error: GatewayError, request_id: str) -> dict[str, Any]:
    """The body of a refusal; its reason is the gateway's code in capitals."""
    inner = error.envelope["error"]
    status = getattr(error, "upstream_status", error.status)
    reason, param = inner["code"] or error.code, inner["param"]
    info: dict[str, Any] = {"@type": f"{_TYPES}ErrorInfo", "reason": reason.upper(), "domain": "costrouter"}
    details = [info if param is None else {**info, "metadata": {"param": param}}]
    details.append({"@type": f"{_TYPES}RequestInfo", "requestId": f"req_{request_id}"})
    if error.retry_after is not None:
        details.append({"@type": f"{_TYPES}RetryInfo", "retryDelay": f"{error.retry_after}s"})
    word = _STATUS.get(status, "INVALID_ARGUMENT" if status < 500 else "UNAVAILABLE")
    return {"error": {"code": status, "message": inner["message"], "status": word, "details": details}}
