"""Which gateways this installation takes payments by, and what of their settings must fit together.

Without models: it is asked before the apps are ready.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

LEAST_SECRET: Final = 16
"""Characters of a webhook secret; a short one is guessed, an empty one accepts forged events."""


def takes_cards() -> bool:
    return bool(settings.STRIPE_SECRET_KEY)


def takes_transfers() -> bool:
    return bool(settings.BANK_ACCOUNT)


def problems() -> Iterator[str]:
    """What keeps the process from starting; each says which setting."""
    if takes_cards():
        if len(settings.STRIPE_WEBHOOK_SECRET.strip()) < LEAST_SECRET:
            yield f"STRIPE_SECRET_KEY is set, but STRIPE_WEBHOOK_SECRET has less than {LEAST_SECRET} characters."
        if not _is_safe(settings.STRIPE_API_BASE):
            yield "STRIPE_API_BASE is neither https nor on loopback: the secret key would travel unencrypted."
    if takes_transfers():
        if len(settings.BANK_WEBHOOK_SECRET.strip()) < LEAST_SECRET:
            yield f"BANK_ACCOUNT is set, but BANK_WEBHOOK_SECRET has less than {LEAST_SECRET} characters."
        if not re.fullmatch(r"\d{6}", settings.BANK_BIN):
            yield "BANK_BIN is the six digits by which NAPAS knows the bank."
        if not re.fullmatch(r"[0-9A-Za-z]{1,19}", settings.BANK_ACCOUNT):
            yield "BANK_ACCOUNT has at most 19 letters and digits."


def require_sound() -> None:
    """Raises ImproperlyConfigured if payments could be forged or read by others."""
    for problem in problems():
        raise ImproperlyConfigured(problem)


def _is_safe(base: str) -> bool:
    parts = urlsplit(base)
    if parts.scheme == "https":
        return bool(parts.hostname)
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
