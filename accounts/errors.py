"""The error tree: every refusal of the gateway has a code, an HTTP status and a public message.

Apps subclass `GatewayError`; one translator turns it into the API's envelope, one into the portal's messages.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final

_PLAIN_NAME: Final = re.compile(r"[\w./:@+-]{1,200}")


class GatewayError(Exception):
    """Something the caller may be told.

    `retry_after` is in seconds and is sent as `Retry-After`; `retriable` False is sent as
    `x-should-retry: false`, which the official SDKs obey. `kept` is the message as it may be stored, without what it
    quotes of a body; without one, the message quotes nothing but names of fields and models.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    retriable: ClassVar[bool] = False
    is_recorded = False
    """Whether a usage record tells of it already."""

    def __init__(
        self, message: str, *, param: str | None = None, retry_after: int | None = None, kept: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kept = message if kept is None else kept
        self.param = param
        self.retry_after = retry_after

    @property
    def envelope(self) -> dict[str, dict[str, str | None]]:
        """The body that clients see: OpenAI's shape, all four members always there."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to this error alone."""
        if self.retry_after is not None:
            return {"retry-after": str(self.retry_after)}
        return {} if self.retriable else {"x-should-retry": "false"}


class InvalidRequest(GatewayError):
    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class ServiceUnavailable(GatewayError):
    """Our own database or another dependency is away; nothing was forwarded, nothing is owed."""

    status = 503
    code = "service_unavailable"
    retriable = True

    def __init__(
        self, message: str = "The service is temporarily unavailable. Please retry.", *, retry_after: int = 5
    ) -> None:
        super().__init__(message, retry_after=retry_after)


def is_plain_name(text: object) -> bool:
    """Whether something that came where a model's name belongs looks like one, and not like a piece of a prompt."""
    return isinstance(text, str) and _PLAIN_NAME.fullmatch(text) is not None
