"""API keys: their format, their digests, and issuing them.

A key is `sk-cr-`, 43 base62 characters (256 random bits) and 6 base62 characters of CRC-32 over what precedes
them, so that a mistyped or truncated key is refused without a look at the database.
"""

from __future__ import annotations

import datetime as dt
import hmac
import re
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from accounts.models import ApiKey, Tenant, User

PREFIX = "sk-cr-"
PATTERN = re.compile(r"sk-cr-[0-9A-Za-z]{49}")
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key together with its secret, which exists only here."""

    api_key: ApiKey
    secret: str


def generate() -> str:
    """A new secret with 256 bits of randomness and its checksum."""
    body = PREFIX + _base62(secrets.randbits(256), 43)
    return body + _checksum(body)


def is_well_formed(secret: str) -> bool:
    """Whether the format and the checksum hold; says nothing about whether the key exists."""
    return PATTERN.fullmatch(secret) is not None and _checksum(secret[:-6]) == secret[-6:]


def digest(secret: str, pepper: bytes | None = None) -> str:
    """HMAC-SHA-256 of the secret under the current pepper, in hex: what the database keeps."""
    return hmac.digest(pepper or settings.KEY_PEPPERS[0], secret.encode(), "sha256").hex()


def digests(secret: str) -> list[str]:
    """The digests under every pepper still accepted, the current one first."""
    return [digest(secret, pepper) for pepper in settings.KEY_PEPPERS]


def issue(
    *,
    tenant: Tenant,
    name: str,
    created_by: User | None = None,
    expires_at: dt.datetime | None = None,
    allowed_models: Sequence[str] = (),
    allowed_networks: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    concurrency: int | None = None,
) -> IssuedKey:
    """Creates a key for a tenant; the returned secret cannot be had again."""
    secret = generate()
    api_key = ApiKey.objects.create(
        tenant=tenant,
        created_by=created_by,
        name=name,
        digest=digest(secret),
        prefix=secret[: len(PREFIX) + 4],
        last_four=secret[-4:],
        expires_at=expires_at,
        allowed_models=list(allowed_models),
        allowed_networks=list(allowed_networks),
        allowed_origins=list(allowed_origins),
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        concurrency=concurrency,
    )
    return IssuedKey(api_key, secret)


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), 6)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
