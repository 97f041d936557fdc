"""Drafts: what a closed period's document will say. A draft is made anew at will, and is then the same."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Sum
from django.utils import timezone

from billing.invoices import closing, counts, debts, prepaid, rounding, snapshots
from billing.models import Balance, BillingPeriod, EmptyPeriod, Invoice, LedgerEntry, PeriodEntry


def bring_up_to_date(wallet: Balance, now: dt.datetime | None = None) -> list[Invoice]:
    """Closes the wallet's months that are over, and returns the new drafts."""
    for _period in closing.close_months(wallet, now):
        pass
    return draft_all(wallet)


def draft_all(wallet: Balance) -> list[Invoice]:
    """The new drafts of the periods that had none."""
    made = [draft(period) for period in undrafted(wallet.pk)]
    return [invoice for invoice in made if invoice is not None]


def undrafted(wallet_id: int) -> list[BillingPeriod]:
    """The wallet's periods that have no document and should have one, oldest first."""
    periods = BillingPeriod.objects.filter(wallet=wallet_id, empty=None).exclude(cut=BillingPeriod.Cut.OPENING)
    live = Invoice.objects.filter(period__wallet=wallet_id).exclude(state=Invoice.State.VOID)
    return list(periods.exclude(pk__in=live.values("period_id")).select_related("tenant", "wallet").order_by("pk"))


def draft(period: BillingPeriod) -> Invoice | None:
    """The period's document; a draft of it is made, or made anew. None if nothing happened in it.

    What is final already stays, and nothing is written. Earlier periods have to be drafted before.
    """
    live = _live(period)
    if live is not None and not live.is_draft:
        return live
    made = _made(period)
    if made is None:
        EmptyPeriod.objects.get_or_create(period=period)
        return None
    if live is None:
        return _insert(made)
    if live.content_hash != made.content_hash:
        _overwrite(live, made)
        live.refresh_from_db()
    return live


def _live(period: BillingPeriod) -> Invoice | None:
    return period.invoices.exclude(state=Invoice.State.VOID).first()


def _insert(made: Invoice) -> Invoice:
    try:
        with transaction.atomic():
            made.save(force_insert=True)
    except IntegrityError:  # somebody else drafted it meanwhile
        return Invoice.objects.exclude(state=Invoice.State.VOID).get(period=made.period)
    return made


def _overwrite(live: Invoice, made: Invoice) -> None:
    names = ("kind", "content", "content_hash", "opening", "closing", "used", "carried")
    Invoice.objects.filter(pk=live.pk, state=Invoice.State.DRAFT).update(
        drafted_at=timezone.now(), **{name: getattr(made, name) for name in names}
    )


def _made(period: BillingPeriod) -> Invoice | None:
    used, movements = counts.count(period), _movements(period)
    opening = balance_before(period)
    closing = opening + sum(row["exact"] for row in movements) - used.used
    content: dict[str, Any] = {
        "lines": [_line(line) for line in used.lines],
        "movements": movements,
        "requests": used.requests,
        "keys": [_part(part) for part in used.keys],
        "members": [_part(part) for part in used.members],
    }
    figures = {"opening": opening, "closing": closing, "used": used.used, "carried": 0}
    if period.is_postpaid:
        bill = _bill(period, used.used, closing)
        content, figures = _with(bill, content), figures | {"carried": bill.carried}
    if not (used.lines or (bill.is_asking if period.is_postpaid else movements)):
        return None
    kind = Invoice.Kind.INVOICE if period.is_postpaid else Invoice.Kind.STATEMENT
    hashed = snapshots.digest(snapshots.canonical({"kind": kind.value, "content": content, **figures}))
    return Invoice(
        period=period, tenant=period.tenant, kind=kind, currency=period.wallet.currency, content=content,
        content_hash=hashed, **figures,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class _Bill:
    """What makes an invoice of a period's usage: lines beside its own, in ledger units, and how the wallet stands."""

    corrected: int
    requests: int
    """How many of them were corrected."""
    carried_in: int
    carried: int
    from_wallet: int
    """Minor units."""
    owed: list[dict[str, Any]]

    @property
    def is_asking(self) -> bool:
        """Whether it makes an invoice of a period in which nothing was used."""
        return bool(self.corrected or self.owed)


def _bill(period: BillingPeriod, used: int, closing: int) -> _Bill:
    currency = period.wallet.currency
    carried_in = _carried_before(period)
    requests, corrected = debts.corrected(period)
    corrected = max(corrected, min(0, -used - carried_in))  # an invoice asks; what is beyond stays in the wallet
    exact = used + corrected + carried_in
    reckoned = prepaid.reckon(period, closing=closing, exact=exact)
    owed = debts.rows(period, rounding.to_ledger(reckoned.owed, currency)) if reckoned.owed else []
    carried = exact - rounding.to_ledger(rounding.to_bill(exact, currency), currency)
    return _Bill(corrected, requests, carried_in, carried, reckoned.from_wallet, owed)


def _with(bill: _Bill, content: dict[str, Any]) -> dict[str, Any]:
    """The content of an invoice; where the wallet has paid nothing, no word of it."""
    beside = (counts.Line("", 0, 0, snapshots.CORRECTED, 0, bill.requests, bill.corrected),
              counts.Line("", 0, 0, snapshots.CARRIED, 0, 1, bill.carried_in))  # fmt: skip
    lines = content["lines"] + [_line(line) for line in beside if line.amount]
    paid = {"from_wallet": bill.from_wallet} if bill.from_wallet else {}
    return content | {"lines": lines, "owed": bill.owed} | paid


def _line(line: counts.Line) -> dict[str, Any]:
    values = dataclasses.asdict(line)
    values["exact"] = values.pop("amount")
    return values


def _part(part: counts.Part) -> dict[str, Any]:
    return {"id": part.id, "name": part.name, "requests": part.requests, "exact": part.amount}


def _movements(period: BillingPeriod) -> list[dict[str, Any]]:
    """What the ledger moved in the period, by kind; in the order of the kinds."""
    entries = LedgerEntry.objects.filter(period__period=period).order_by()
    sums = {row["kind"]: row for row in entries.values("kind").annotate(number=Count("pk"), total=Sum("amount"))}
    return [
        {"kind": kind, "count": sums[kind]["number"], "exact": int(sums[kind]["total"])}
        for kind in LedgerEntry.Kind.values
        if kind in sums
    ]


def balance_before(period: BillingPeriod) -> int:
    """The wallet's balance when the period began, in ledger units and without its credit line."""
    earlier = BillingPeriod.objects.filter(wallet=period.wallet_id, pk__lt=period.pk)
    base = earlier.filter(invoices__isnull=False).order_by("-pk").first()
    if base is not None:
        balance = base.invoices.order_by("-pk").values_list("closing", flat=True)[0]
    else:
        base = earlier.get(cut=BillingPeriod.Cut.OPENING)
        balance = base.opening or 0
    # Periods between them have no document, so nothing was used in them.
    between = PeriodEntry.objects.filter(period__in=earlier.filter(pk__gt=base.pk))
    return int(balance + (between.aggregate(total=Sum("entry__amount"))["total"] or 0))


def _carried_before(period: BillingPeriod) -> int:
    """What the invoice before left over, in ledger units."""
    earlier = Invoice.objects.filter(
        period__wallet=period.wallet_id, period_id__lt=period.pk, kind=Invoice.Kind.INVOICE
    )
    return earlier.order_by("-period_id", "-pk").values_list("carried", flat=True).first() or 0
