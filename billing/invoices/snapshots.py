"""What a document says, as one value: plain JSON in canonical bytes, so that the same document has the same hash.

Amounts named `exact` are ledger units, all others minor units; both are integers. Texts of people are data here and in
everything that is made of it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from accounts.models import User
from billing.invoices import prepaid, rounding
from billing.invoices.rounding import Sum, Tax
from billing.models import BillingPeriod, BillingProfile, Invoice, LegalEntity, TaxRate

FORMAT: Final = 1
CARRIED: Final = "carried"
"""The kind of the line with what the invoice before left over."""
CORRECTED: Final = "corrected"
"""The kind of the line with what requests cost more than their records say, or less (billing/corrections.py)."""
_OF_NOBODY: Final = frozenset({CARRIED, CORRECTED})


def canonical(values: Mapping[str, Any]) -> str:
    """The one JSON text of these values."""
    return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(text: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def seller(entity: LegalEntity) -> dict[str, str]:
    """What documents say of who sells."""
    return {name: getattr(entity, name) for name in ("name", "address", "country", "tax_id", "bank", "email")}


def buyer(profile: BillingProfile) -> dict[str, str]:
    """What documents say of who buys."""
    return {name: getattr(profile, name) for name in ("name", "address", "country", "tax_id", "email")}


def period(of: BillingPeriod) -> dict[str, Any]:
    """Its days in the tenant's zone, and its bounds in UTC (half-open)."""
    return {
        "month": of.month,
        "first_day": of.first_day.isoformat(),
        "last_day": of.last_day.isoformat(),
        "starts_at": _utc(of.starts_at),
        "ends_at": _utc(of.ends_at),
        "time_zone": of.time_zone,
    }


def _utc(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def content(invoice: Invoice) -> dict[str, Any]:
    """A draft's figures as they are shown: of an invoice lines and subtotal, of a statement its movements as well."""
    drafted = invoice.content
    is_statement = invoice.kind == Invoice.Kind.STATEMENT
    lines = drafted["lines"]
    if is_statement:
        movements, usage = _movements(invoice)
    else:
        movements, usage = [], prepaid.billed(invoice)
    shown = rounding.apportion([line["exact"] for line in lines], usage, invoice.currency)
    found: dict[str, Any] = {
        "lines": [line | {"amount": amount} for line, amount in zip(lines, shown, strict=True)],
        "subtotal": usage,
        "requests": drafted["requests"],
        "keys": _parts(drafted["keys"], usage, drafted, invoice),
        "members": _parts(drafted["members"], usage, drafted, invoice),
    }
    if is_statement:
        found["balance"] = {
            "opening": rounding.to_minor(invoice.opening, invoice.currency),
            "exact_opening": invoice.opening,
            "movements": movements,
            "closing": rounding.to_minor(invoice.closing, invoice.currency),
            "exact_closing": invoice.closing,
        }
    else:
        found["exact_carried"] = invoice.carried
    return found


def _movements(invoice: Invoice) -> tuple[list[dict[str, Any]], int]:
    """The statement's movements and its usage in minor units: opening + movements - usage = closing, as shown."""
    rows, currency = invoice.content["movements"], invoice.currency
    opening, closing = (rounding.to_minor(amount, currency) for amount in (invoice.opening, invoice.closing))
    exact = [*(row["exact"] for row in rows), -invoice.used]
    *shown, usage = rounding.apportion(exact, closing - opening, currency)
    return [row | {"amount": amount} for row, amount in zip(rows, shown, strict=True)], -usage


def _parts(
    parts: Sequence[Mapping[str, Any]], usage: int, drafted: Mapping[str, Any], invoice: Invoice
) -> list[dict[str, Any]]:
    """Shares that add up to what was used as it is shown, beside what was carried over or corrected."""
    rest = sum(line["exact"] for line in drafted["lines"] if line["kind"] in _OF_NOBODY)
    *shown, _rest = rounding.apportion([*(part["exact"] for part in parts), rest], usage, invoice.currency)
    return [dict(part) | {"amount": amount} for part, amount in zip(parts, shown, strict=True)]


def foot(values: Mapping[str, Any]) -> Sum:
    """The net sum, taxes and total that a frozen document has."""
    taxes = tuple(
        Tax(row["name"], Fraction(row["percent"]), row["is_inclusive"], row["amount"]) for row in values["taxes"]
    )
    return Sum(values["net"], taxes, values["total"])


def frozen(
    invoice: Invoice, *, number: str, issued_on: dt.date, entity: LegalEntity, profile: BillingProfile,
    rates: Sequence[TaxRate], notes: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """The whole final document."""
    figures = content(invoice)
    sums = rounding.taxed(
        figures["subtotal"], [Tax(rate.name, Fraction(rate.percent), rate.is_inclusive) for rate in rates]
    )
    return {
        "format": FORMAT,
        "kind": invoice.kind,
        "number": number,
        "issued_on": issued_on.isoformat(),
        "currency": invoice.currency,
        "language": profile.language or User.Language.ENGLISH,
        "period": period(invoice.period),
        "seller": seller(entity),
        "buyer": buyer(profile),
        **figures,
        "net": sums.net,
        "taxes": tax_rows(sums),
        "total": sums.total,
        **_due(invoice, sums.total),
        "notes": list(notes),
    }


def _due(invoice: Invoice, total: int) -> dict[str, Any]:
    """Of an invoice that the wallet paid something of: how much, and what is left to be paid.

    Of one that asks for more than its lines: for what, and what it comes to.
    """
    beside = {"from_wallet": invoice.from_wallet, "owed": invoice.content.get("owed")}
    said = {name: value for name, value in beside.items() if value}
    return said | {"due": total - invoice.from_wallet + invoice.owed} if said else {}


def tax_rows(sums: Sum) -> list[dict[str, Any]]:
    """The foot's taxes; percent is an exact decimal number as text."""
    return [
        {"name": tax.name, "percent": _decimal(tax.percent), "is_inclusive": tax.is_inclusive, "amount": tax.amount}
        for tax in sums.taxes
    ]


def _decimal(percent: Fraction) -> str:
    """Exact: a percentage has five decimals at most."""
    whole, rest = divmod(percent * 10**5, 10**5)
    return f"{whole}.{int(rest):05}".rstrip("0").rstrip(".")
