"""Where Django's admin looks for its pages: importing a module registers them."""

from __future__ import annotations

from administration import (
    books,
    catalogue,
    channels,
    keys,
    plans,
    prices,
    quotas,
    reconciliation,
    refused,
    requests,
    tenants,
    users,
)

__all__ = [
    "books",
    "catalogue",
    "channels",
    "keys",
    "plans",
    "prices",
    "quotas",
    "reconciliation",
    "refused",
    "requests",
    "tenants",
    "users",
]
