"""How an order stands in the ledger: its entries, and the account of the house on their other side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from billing.models import Gateway, LedgerEntry, PaymentOrder

_CASH: Final[Mapping[str, LedgerEntry.Account]] = {
    Gateway.STRIPE: LedgerEntry.Account.CASH_STRIPE,
    Gateway.BANK: LedgerEntry.Account.CASH_TRANSFER,
}


def cash(order: PaymentOrder) -> LedgerEntry.Account:
    """Where the order's money is."""
    return _CASH[order.gateway]


def reference(order: PaymentOrder) -> str:
    return f"order:{order.pk}"


def bonus_reference(order: PaymentOrder) -> str:
    return f"{reference(order)}:bonus"


def top_up(order: PaymentOrder) -> LedgerEntry | None:
    """What was credited for it; what goes back is taken from that first. None if it was not paid."""
    return LedgerEntry.objects.filter(reference=reference(order)).first()


def bonus(order: PaymentOrder) -> LedgerEntry | None:
    return LedgerEntry.objects.filter(reference=bonus_reference(order)).first()
