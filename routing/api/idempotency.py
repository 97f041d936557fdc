"""The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header), by which clients make requests one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, ClassVar, Final

from accounts.errors import InvalidRequest
from billing.books import Idempotency
from routing.api.headers import RequestHeaders

NAME: Final = "idempotency-key"
_NAME: Final = NAME.encode()
MOST_CHARACTERS: Final = 255


class InvalidIdempotencyKey(InvalidRequest):
    code: ClassVar[str] = "invalid_idempotency_key"

    def __init__(self) -> None:
        super().__init__(
            f"The Idempotency-Key header must be sent once, with 1 to {MOST_CHARACTERS} characters and no control "
            "characters."
        )


def read(
    headers: RequestHeaders, path: str, body: Any, digest: Callable[[Any], bytes] | None = None
) -> Idempotency | None:  # fmt: skip
    """What makes a request one with others; None without the header. Raises InvalidIdempotencyKey.

    `digest` says what of a body is the same for the same request; without it all of its bytes are.
    """
    if _NAME not in headers.by_name:
        return None
    value = headers.get(NAME, "")
    if not value.strip() or len(value) > MOST_CHARACTERS or not value.isprintable() or len(headers.get_all(NAME)) > 1:
        raise InvalidIdempotencyKey
    asked = hashlib.sha256(path.encode() + b"\n")
    asked.update(body if digest is None else digest(body))
    return Idempotency(hashlib.sha256(value.encode()).hexdigest(), asked.hexdigest())
