"""Refusals of the API plane itself."""

from __future__ import annotations

from accounts.errors import GatewayError


class UnknownUrl(GatewayError):
    status = 404
    type = "invalid_request_error"
    code = "unknown_url"

    def __init__(self, nearest: str | None = None) -> None:
        """`nearest` is the path that was probably meant."""
        hint = f"Did you mean {nearest}?" if nearest else "See the API reference for the endpoints there are."
        super().__init__(f"Unknown request URL. {hint}")


class HeaderSaidTwice(GatewayError):
    """Readers differ in which one they take."""

    status = 400
    type = "invalid_request_error"
    code = "duplicate_header"

    def __init__(self, name: str) -> None:
        super().__init__(f"The header '{name}' must not come more than once.")


class MethodNotSupported(GatewayError):
    status = 405
    type = "invalid_request_error"
    code = "method_not_supported"

    def __init__(self, method: str, allowed: str) -> None:
        """`allowed` is the `Allow` header."""
        super().__init__(f"Method {method[:16]} is not supported here.")
        self._allowed = allowed

    @property
    def headers(self) -> dict[str, str]:
        return {**super().headers, "allow": self._allowed}


class GenerationNotFound(GatewayError):
    """Unknown, of another tenant, not yet settled, or no id at all: one text for all."""

    status = 404
    type = "invalid_request_error"
    code = "generation_not_found"

    def __init__(self) -> None:
        super().__init__("There is no finished request with this id.", param="id")


class PermissionRefused(GatewayError):
    """A permission class of the view said no."""

    status = 403
    type = "invalid_request_error"
    code = "permission_denied"

    def __init__(self) -> None:
        super().__init__("This API key may not do this.")


class InternalError(GatewayError):
    """A fault of ours; whatever the request held is released."""

    def __init__(self) -> None:
        super().__init__("The server had an error while processing your request.")


class RequestTimeout(GatewayError):
    """The body did not arrive in time."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"
    retriable = True

    def __init__(self) -> None:
        super().__init__("The request body did not arrive in time.", retry_after=1)


class ResponseNotKept(GatewayError):
    """Answers of the Responses API are not kept, whatever `store` says."""

    status = 404
    type = "invalid_request_error"
    code = "response_not_found"

    def __init__(self) -> None:
        super().__init__(
            "Responses are not kept here: what an answer said is in the answer alone. Send all items as 'input' of the "
            "next request.",
            param="response_id",
        )


class NoWebSocket(GatewayError):
    """A WebSocket was asked for where there is none. The status is the one that clients fall back to HTTP at."""

    status = 426
    type = "invalid_request_error"
    code = "websocket_not_supported"

    def __init__(self) -> None:
        super().__init__("There are no WebSockets here. Please use POST, with 'stream' for events.")

    @property
    def headers(self) -> dict[str, str]:
        """With the protocol that there is (RFC 9110, section 15.5.22)."""
        return {**super().headers, "upgrade": "HTTP/1.1"}
