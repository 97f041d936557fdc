"""What browsers are told: which web origins may use a key, and which headers their scripts may read (Fetch, 3.2)."""

from __future__ import annotations

import re
from typing import Final

from accounts.callers import Caller
from accounts.origins import Origins
from routing.api.headers import Headers, RequestHeaders

EXPOSED: Final = (
    "x-request-id, x-should-retry, retry-after, x-costrouter-model, x-costrouter-channel, x-costrouter-attempts, "
    "x-costrouter-cost, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, idempotent-replayed, "
    "x-costrouter-first-request"
)
_MAX_AGE: Final = b"600"
_VARY: Final = (b"vary", b"Origin")
_EXPOSE: Final = (b"access-control-expose-headers", EXPOSED.encode())
_NAMES: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+(?:, *[\w!#$%&'*+.^`|~-]+)*", re.ASCII)
_MOST_LETTERS: Final = 2048


def answer_headers(origin: bytes, caller: Caller | None) -> Headers:
    """Of an answer to a request from this origin with this key: None where no key was accepted."""
    if caller is None or origin.decode("latin-1") not in caller.allowed_origins:
        return [_VARY]
    return [_VARY, (b"access-control-allow-origin", origin), _EXPOSE]


async def preflight_headers(request: RequestHeaders, origins: Origins, allowed_methods: str) -> Headers:
    """A preflight brings no key: its origin is answered if any key allows it, and the request itself decides."""
    origin = request.by_name.get(b"origin")
    if origin is None or request.get("access-control-request-method") is None:
        return []
    if not await origins.allow(origin.decode("latin-1")):
        return []
    headers = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", allowed_methods.encode()),
        (b"access-control-max-age", _MAX_AGE),
    ]
    wanted = request.get("access-control-request-headers", "")
    if len(wanted) <= _MOST_LETTERS and _NAMES.fullmatch(wanted):
        headers.append((b"access-control-allow-headers", wanted.encode()))
    return headers
