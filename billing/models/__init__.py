"""What it costs: prices, balances, reservations, usage records and the ledger.

Amounts are integers in the currency's ledger unit (billing/money.py). Prices are ledger units per million tokens.
"""

from billing.models.balances import Balance
from billing.models.base import AppendOnly
from billing.models.keys import IdempotencyKey
from billing.models.ledger import LedgerEntry
from billing.models.prices import Price, Rates
from billing.models.quotas import Quota
from billing.models.reservations import Process, Reservation
from billing.models.usage import UsageRecord

__all__ = [
    "AppendOnly",
    "Balance",
    "IdempotencyKey",
    "LedgerEntry",
    "Price",
    "Process",
    "Quota",
    "Rates",
    "Reservation",
    "UsageRecord",
]
