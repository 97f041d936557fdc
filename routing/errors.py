"""What a completion may be refused for, beside bad input (routing/api) and money (billing/reservations)."""

from __future__ import annotations

from collections.abc import Sequence

from accounts.errors import GatewayError, InvalidRequest, is_plain_name
from routing.providers.base import Refusal


class ModelNotFound(GatewayError):
    """Unknown, without a price, or not allowed for this key: one text for all.

    `served_at`: the paths of a model that this key can call, but not here.
    """

    status = 404
    type = "invalid_request_error"
    code = "model_not_found"

    def __init__(self, model: str, served_at: Sequence[str] = ()) -> None:
        why = "does not exist or you do not have access to it."
        if served_at:
            why = f"is not served here, but at {' and '.join(sorted(served_at))}."
        message = f"The model '{model}' {why}"
        kept = None if is_plain_name(model) else f"The model {why}"
        super().__init__(message, param="model", kept=kept)


class NoMatchingRoute(GatewayError):
    status = 404
    type = "invalid_request_error"
    code = "no_matching_route"


class ContextLengthExceeded(InvalidRequest):
    code = "context_length_exceeded"


class NoAvailableChannel(GatewayError):
    status = 503
    code = "no_available_channel"
    retriable = True

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            "No channel for this model is available just now. Please retry.", retry_after=max(1, round(retry_after))
        )


class UpstreamError(GatewayError):
    status = 502
    code = "upstream_error"
    retriable = True

    def __init__(self, message: str = "The upstream failed to answer. Please retry.") -> None:
        super().__init__(message, retry_after=1)


class UpstreamTimeout(GatewayError):
    status = 504
    code = "upstream_timeout"
    retriable = True

    def __init__(self) -> None:
        super().__init__("The upstream did not answer in time. Please retry.", retry_after=1)


class IdempotencyKeyInUse(GatewayError):
    """The first request with this key has not ended yet."""

    status = 409
    type = "invalid_request_error"
    code = "idempotency_key_in_use"
    retriable = True

    def __init__(self, first: str) -> None:
        super().__init__(
            f"The request {first} with this Idempotency-Key is still in flight. Please retry in 1 s.", retry_after=1
        )


class IdempotencyKeyUsed(GatewayError):
    """The first request with this key has ended and was accounted for; its answer is not at hand. `first` is its id."""

    status = 409
    type = "invalid_request_error"
    code = "idempotency_key_used"

    def __init__(self, first: str) -> None:
        super().__init__(
            f"The request with this Idempotency-Key has ended, and what it used was billed as {first}; nothing was "
            f"billed for this one. See GET /v1/generation?id={first}. To ask once more, use another key."
        )
        self.first = first

    @property
    def headers(self) -> dict[str, str]:
        return {**super().headers, "x-costrouter-first-request": self.first}


class IdempotencyKeyMismatch(GatewayError):
    """The first request with this key had another body, or went to another endpoint."""

    status = 422
    type = "invalid_request_error"
    code = "idempotency_key_mismatch"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used with another request. Use a key for one request only.")


class ContentRefused(GatewayError):
    """The upstream refused the content of the request; its status, and its words as far as they are ours to repeat."""

    code = "upstream_error"  # of the class alone; an instance shows the upstream's, if that is standard

    def __init__(self, status: int, refusal: Refusal) -> None:
        super().__init__(refusal.message, param=refusal.param)
        self.upstream_status = status
        self.refusal = refusal

    @property
    def envelope(self) -> dict[str, dict[str, str | None]]:
        refusal = self.refusal
        error = {"message": self.message, "type": refusal.type, "param": self.param, "code": refusal.code}
        return {"error": error}
