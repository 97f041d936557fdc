"""Where Django's admin looks for its pages: importing a module registers them."""

from __future__ import annotations

from administration import (
    books,
    catalogue,
    channels,
    codes,
    invoices,
    keys,
    ledger,
    payments,
    plans,
    postings,
    prices,
    profiles,
    quotas,
    reconciliation,
    refused,
    requests,
    sellers,
    tenants,
    transfers,
    users,
)

__all__ = [
    "books",
    "catalogue",
    "channels",
    "codes",
    "invoices",
    "keys",
    "ledger",
    "payments",
    "plans",
    "postings",
    "prices",
    "profiles",
    "quotas",
    "reconciliation",
    "refused",
    "requests",
    "sellers",
    "tenants",
    "transfers",
    "users",
]
