"""The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header), by which clients make requests one."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, ClassVar, Final

from accounts.errors import InvalidRequest
from billing.books import Idempotency
from routing.api.headers import RequestHeaders

NAME: Final = "idempotency-key"
IN_HEADERS: Final = NAME.encode()
MOST_CHARACTERS: Final = 255
_AT_ONCE: Final = 1024 * 1024
"""Bytes whose digest takes a millisecond."""


class InvalidIdempotencyKey(InvalidRequest):
    code: ClassVar[str] = "invalid_idempotency_key"

    def __init__(self) -> None:
        super().__init__(
            f"The Idempotency-Key header must be sent once, with 1 to {MOST_CHARACTERS} characters and no control "
            "characters."
        )


async def read(headers: RequestHeaders, path: str, said: bytes) -> Idempotency:
    """What makes a request that has the header one with others; raises InvalidIdempotencyKey.

    `said` is what of its body is the same for the same request.
    """
    value = headers.get(NAME, "")
    if not value.strip() or len(value) > MOST_CHARACTERS or not value.isprintable() or len(headers.get_all(NAME)) > 1:
        raise InvalidIdempotencyKey
    asked = hashlib.sha256(path.encode() + b"\n")
    await add(asked, said)
    return Idempotency(hashlib.sha256(value.encode()).hexdigest(), asked.hexdigest())


async def add(digest: Any, data: bytes) -> None:
    """The bytes added to a digest; others have their turn between the pieces of what is large."""
    if len(data) <= _AT_ONCE:
        digest.update(data)
        return
    view = memoryview(data)
    for start in range(0, len(data), _AT_ONCE):
        digest.update(view[start : start + _AT_ONCE])
        await asyncio.sleep(0)
