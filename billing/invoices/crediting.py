"""Credit notes: what is given back of a final document, never more than what is left of it.

Lines are named by their place in the document. Of a document that is not paid yet a note can only lower what is due:
the wallet gets what the lines were, without taxes that were added to them, for it paid no more. Of what is paid the
whole is credited to the wallet, or paid out by other means, which moves nothing here. A statement's top-ups are no
lines, so none is taken back.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from billing import ledger
from billing.invoices import numbers, rounding, snapshots
from billing.invoices.finalising import InvoiceConflict, locked
from billing.invoices.rounding import Sum
from billing.models import CreditNote, Invoice, LedgerEntry, NumberSeries


@dataclass(frozen=True, slots=True)
class Left:
    """What is left to be credited of a document, in minor units: by line, by tax row, and altogether."""

    lines: dict[int, int]
    taxes: list[int]
    total: int


def left(invoice: Invoice) -> Left:
    """What no note has given back yet. The document's row has to be locked by whoever writes a note of it."""
    document = invoice.document
    lines = Counter({place: line["amount"] for place, line in enumerate(document["lines"])})
    taxes, total = [row["amount"] for row in document["taxes"]], document["total"]
    for note in invoice.credit_notes.all():
        lines.subtract({int(place): amount for place, amount in note.lines.items()})
        taxes = [rest - amount for rest, amount in zip(taxes, note.taxes, strict=True)]
        total -= note.total
    return Left(dict(lines), taxes, total)


def credit(
    invoice_id: int, *, lines: Mapping[int, int], effect: CreditNote.Effect, reason: str, by: User | None = None,
    key: uuid.UUID | None = None,
) -> CreditNote:  # fmt: skip
    """Issues a credit note over so many minor units of each line; the same `key` issues one.

    What passes the rest of a line by a single minor unit is rounding, and gets the rest. Raises InvoiceConflict where
    nothing is left, more is asked for, or the effect does not fit the document; then nothing was changed.
    """
    with transaction.atomic():
        invoice = locked(invoice_id)
        existing = CreditNote.objects.filter(pk=key).first() if key else None
        if existing is not None:
            return existing
        _check(invoice, effect)
        rest = left(invoice)
        wanted = _capped(lines, rest)
        sums = rounding.credited(
            sum(wanted.values()),
            snapshots.foot(invoice.document).taxes,
            left=sum(rest.lines.values()),
            taxes_left=rest.taxes,
            total_left=rest.total,
        )
        if sums.total <= 0 or sums.net < 0:
            raise InvoiceConflict(str(_("There is nothing to credit.")))
        note = _issue(invoice, wanted, sums, effect, reason, by, key or uuid.uuid4())
        _post(note, by)
    return note


def _check(invoice: Invoice, effect: CreditNote.Effect) -> None:
    if invoice.state not in {Invoice.State.FINAL, Invoice.State.PAID} or invoice.entity is None:
        raise InvoiceConflict(str(_("Only a final document can be credited.")))
    if invoice.is_settled == (effect == CreditNote.Effect.OFFSET):
        message = (
            _("It is paid: credit the wallet, or pay the amount out.")
            if invoice.is_settled
            else _("It is not paid: a credit note can only be taken off what is due.")
        )
        raise InvoiceConflict(str(message))


def _capped(lines: Mapping[int, int], rest: Left) -> dict[int, int]:
    wanted = {place: amount for place, amount in lines.items() if amount}
    for place, amount in wanted.items():
        if amount < 0 or place not in rest.lines or amount > rest.lines[place] + 1:
            raise InvoiceConflict(str(_("This is more than is left of the line.")))
    return {place: min(amount, rest.lines[place]) for place, amount in wanted.items() if rest.lines[place] > 0}


def _issue(
    invoice: Invoice, lines: dict[int, int], sums: Sum, effect: CreditNote.Effect, reason: str, by: User | None,
    key: uuid.UUID,
) -> CreditNote:  # fmt: skip
    entity = invoice.entity
    if entity is None:  # what is final has one
        raise InvoiceConflict(str(_("Only a final document can be credited.")))
    day = entity.today(timezone.now())
    number = numbers.take(entity=entity, kind=NumberSeries.Kind.CREDIT_NOTE, tenant=invoice.tenant, day=day)
    document = _document(invoice, lines, sums, effect, reason) | {"number": number, "issued_on": day.isoformat()}
    text = snapshots.canonical(document)
    return CreditNote.objects.create(
        id=key, invoice=invoice, number=number, effect=effect, reason=reason, lines=lines,
        taxes=[tax.amount for tax in sums.taxes], net=sums.net, total=sums.total, snapshot=text,
        snapshot_hash=snapshots.digest(text), created_by=by,
    )  # fmt: skip


def _document(
    invoice: Invoice, lines: Mapping[int, int], sums: Sum, effect: CreditNote.Effect, reason: str
) -> dict[str, Any]:
    of = invoice.document
    credited = [of["lines"][place] | {"amount": amount} for place, amount in sorted(lines.items())]
    same = {name: of[name] for name in ("format", "currency", "language", "period", "seller", "buyer")}
    return same | {
        "kind": NumberSeries.Kind.CREDIT_NOTE.value,
        "credits": {"number": of["number"], "issued_on": of["issued_on"], "kind": of["kind"]},
        "lines": credited,
        "subtotal": sum(lines.values()),
        "net": sums.net,
        "taxes": snapshots.tax_rows(sums),
        "total": sums.total,
        "effect": effect.value,
        "reason": reason,
        "notes": [],
    }


def _post(note: CreditNote, by: User | None) -> None:
    """Of what is paid the whole goes to the wallet; of what is not, what the wallet had paid for it."""
    if note.effect == CreditNote.Effect.PAID_OUT:
        return
    minor = note.total if note.effect == CreditNote.Effect.WALLET else note.credited
    if minor:
        ledger.post(
            balance=note.invoice.period.wallet,
            kind=LedgerEntry.Kind.ADJUSTMENT,
            amount=rounding.to_ledger(minor, note.invoice.currency),
            reference=f"credit-note:{note.pk}",
            note=f"{note.number}: {note.reason}"[:300],
            created_by=by,
        )
