"""Tenants with a month of usage behind them, whose wallets paid for it."""

from __future__ import annotations

import datetime as dt
import itertools
import secrets
from dataclasses import dataclass
from typing import Any

from django.db.models import F

from accounts.models import ApiKey, Tenant
from billing import balances, reconciliation
from billing.invoices import finalising, jobs
from billing.kinds import KINDS, Usage
from billing.models import Balance, BillingPeriod, BillingProfile, Invoice, LedgerEntry, LegalEntity, Price, UsageRecord
from billing.prices import cost
from tests.records import usage_record

APRIL = dt.datetime(2026, 4, 3, tzinfo=dt.UTC)
"""After March is over and its days of review are."""
CENT = 10_000_000
MARCH = dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)
LINE = 10**15
"""The credit line that customers have, in ledger units."""
_numbers = itertools.count(1)


def utc(*moment: int) -> dt.datetime:
    return dt.datetime(*moment, tzinfo=dt.UTC)  # type: ignore[misc,arg-type]


def seller(**fields: Any) -> LegalEntity:
    """A legal entity; the default one unless the fields say otherwise."""
    given: dict[str, Any] = {
        "name": "Router Ltd",
        "address": "1 Main Street\nHanoi",
        "country": "VN",
        "tax_id": "0101",
        "prefix": "R",
    }
    given |= {"prefix": f"R{next(_numbers)}", "is_default": True}
    if (given | fields)["is_default"]:
        LegalEntity.objects.update(is_default=False)
    return LegalEntity.objects.create(**(given | fields))


@dataclass(frozen=True, slots=True)
class Customer:
    """A tenant with a wallet and an API key."""

    tenant: Tenant
    wallet: Balance
    key: ApiKey

    def price(self, **fields: Any) -> Price:
        given: dict[str, Any] = {"model": f"model-{next(_numbers)}", "input": 1_000_000, "output": 2_000_000}
        return Price.objects.create(**(given | {"currency": self.tenant.currency} | fields))

    def use(self, price: Price, usage: Usage, /, **fields: Any) -> UsageRecord:
        """Writes a record of this usage (by default in the midst of March) and takes its cost from the wallet."""
        at = fields.pop("at", utc(2026, 3, 15, 12))
        counts = {kind.column: getattr(usage, kind.name) for kind in KINDS}
        given: dict[str, Any] = {"cost": cost(usage, price.tariff_at(at)), "started_at": at, "settled_at": at}
        record = usage_record(self.tenant, price, fields.pop("key", self.key), **(counts | given | fields))
        Balance.objects.filter(pk=self.wallet.pk).update(available=F("available") - record.cost)
        return record

    def spend(self, amount: int, **fields: Any) -> UsageRecord:
        """Of a price that asks one ledger unit for an input token."""
        return self.use(self.price(), Usage(input=amount), **fields)

    def post(self, kind: LedgerEntry.Kind, amount: int, at: dt.datetime) -> LedgerEntry:
        """A ledger entry as it would have been posted then."""
        entry = LedgerEntry.objects.create(
            balance=self.wallet, kind=kind, amount=amount, reference=secrets.token_hex(8), created_at=at
        )
        Balance.objects.filter(pk=self.wallet.pk).update(available=F("available") + amount)
        return entry

    def close(self, now: dt.datetime = APRIL) -> list[Invoice]:
        """Closes what is over and returns the new drafts."""
        return jobs.close(Balance.objects.select_related("tenant").get(pk=self.wallet.pk), now=now)

    def final(self, now: dt.datetime = APRIL) -> Invoice:
        """The document of the only month that was not final yet."""
        self.close(now)
        draft = Invoice.objects.get(tenant=self.tenant, state=Invoice.State.DRAFT)
        return finalising.finalise(draft.pk, now)

    @property
    def periods(self) -> list[BillingPeriod]:
        """Without what stands for the time before."""
        rows = BillingPeriod.objects.filter(wallet=self.wallet).exclude(cut=BillingPeriod.Cut.OPENING)
        return list(rows.order_by("pk"))

    @property
    def available(self) -> int:
        return Balance.objects.get(pk=self.wallet.pk).available


def customer(*, since: dt.datetime = MARCH, postpaid: bool = False, **fields: Any) -> Customer:
    """A new tenant whose wallet was opened then, with a credit line of a thousand currency units and more."""
    number = next(_numbers)
    profile = {name: fields.pop(name) for name in list(fields) if name in _PROFILE}
    tenant = Tenant.objects.create(**({"name": f"customer {number}"} | fields))
    wallet = balances.open_wallet(tenant)
    Balance.objects.filter(pk=wallet.pk).update(created_at=since, credit_line=LINE, available=LINE)
    key = ApiKey.objects.create(
        tenant=tenant, name=f"app {number}", digest=secrets.token_hex(16), prefix="sk-cr-ab", last_four="wxyz"
    )
    billed = BillingProfile.Billed.POSTPAID if postpaid else BillingProfile.Billed.PREPAID
    BillingProfile.objects.create(**({"tenant": tenant, "name": tenant.name, "billed": billed} | profile))
    return Customer(tenant, Balance.objects.get(pk=wallet.pk), key)


_PROFILE = {"address", "country", "tax_id", "email", "language", "threshold", "tax_exemption", "entity"}


def breaks(of: Customer) -> list[str]:
    """What reconciliation finds in the customer's books."""
    found = (each for result in reconciliation.compared() for each in result.findings)
    return [each.subject for each in found if each.tenant_id == of.tenant.pk]


def paid_in(one: Customer, cents: int, month: int = 3) -> None:
    """On the second of the month."""
    one.post(LedgerEntry.Kind.TOP_UP, cents * CENT, utc(2026, month, 2))


def used(one: Customer, cents: int, month: int = 3) -> None:
    """In the midst of the month."""
    one.spend(cents * CENT, at=utc(2026, month, 15))


def invoice_of(one: Customer, month: int) -> Invoice:
    """The invoice of that month, final."""
    return one.final(utc(2026, month + 1, 3))
