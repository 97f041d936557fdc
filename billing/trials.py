"""The credit that a new tenant starts with."""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.db import transaction

from accounts.models import Tenant
from billing import balances, ledger
from billing.models import Balance, LedgerEntry
from billing.money import from_decimal


def start(tenant: Tenant) -> Balance:
    """Opens the tenant's wallet with the trial credit in it (settings.TRIAL_CREDIT, in currency units) and returns it.

    A tenant gets the credit once, however often this runs.
    """
    credit = from_decimal(Decimal(settings.TRIAL_CREDIT), tenant.currency)
    with transaction.atomic():
        wallet = balances.open_wallet(tenant)
        if credit:
            ledger.post(balance=wallet, kind=LedgerEntry.Kind.GRANT, amount=credit, reference=f"trial:{tenant.pk}")
    return wallet
