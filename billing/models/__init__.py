"""What it costs: prices, balances, reservations, usage records and the ledger.

Amounts are integers in the currency's ledger unit (billing/money.py). Prices are ledger units per million tokens.
"""

from billing.models.archives import ArchivedUse, UsageArchive
from billing.models.balances import Balance
from billing.models.base import AppendOnly
from billing.models.cards import AutomaticTopUp, SavedCard
from billing.models.codes import Code, CodeBatch, CodeTry
from billing.models.corrections import Correction
from billing.models.grants import Draw, Drawing, Lot
from billing.models.invoices import (
    BillingPeriod,
    CreditNote,
    EmptyPeriod,
    Invoice,
    InvoiceMail,
    InvoicePayment,
    PeriodEntry,
)
from billing.models.jobs import JobRun, ParkedTenant
from billing.models.keys import IdempotencyKey
from billing.models.ledger import LedgerEntry
from billing.models.payments import (
    Gateway,
    PaymentAlarm,
    PaymentDispute,
    PaymentEvent,
    PaymentOrder,
    PaymentRefund,
)
from billing.models.plans import PricePlan, TenantPlan
from billing.models.prices import Price, PriceWithdrawal, Rates, Withdrawal
from billing.models.profiles import BillingProfile
from billing.models.quotas import Quota, QuotaDefault
from billing.models.reconciliation import Break, Reconciliation
from billing.models.reservations import Process, Reservation
from billing.models.rollups import RollupRefinement, RollupState, UsageRollup
from billing.models.sellers import LegalEntity, NumberSeries, TaxRate
from billing.models.transfers import BankTransfer, ExchangeRate
from billing.models.trials import Trial, TrialPerson, TrialPlace
from billing.models.usage import UsageRecord
from billing.models.wallets import BalanceAlert, PostingRequest

__all__ = [
    "AppendOnly",
    "ArchivedUse",
    "AutomaticTopUp",
    "Balance",
    "BalanceAlert",
    "BankTransfer",
    "BillingPeriod",
    "BillingProfile",
    "Break",
    "Code",
    "CodeBatch",
    "CodeTry",
    "Correction",
    "CreditNote",
    "Draw",
    "Drawing",
    "EmptyPeriod",
    "ExchangeRate",
    "Gateway",
    "IdempotencyKey",
    "Invoice",
    "InvoiceMail",
    "InvoicePayment",
    "JobRun",
    "LedgerEntry",
    "LegalEntity",
    "Lot",
    "NumberSeries",
    "ParkedTenant",
    "PaymentAlarm",
    "PaymentDispute",
    "PaymentEvent",
    "PaymentOrder",
    "PaymentRefund",
    "PeriodEntry",
    "PostingRequest",
    "Price",
    "PricePlan",
    "PriceWithdrawal",
    "Process",
    "Quota",
    "QuotaDefault",
    "Rates",
    "Reconciliation",
    "Reservation",
    "RollupRefinement",
    "RollupState",
    "SavedCard",
    "TaxRate",
    "TenantPlan",
    "Trial",
    "TrialPerson",
    "TrialPlace",
    "UsageArchive",
    "UsageRecord",
    "UsageRollup",
    "Withdrawal",
]
