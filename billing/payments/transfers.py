"""Bank transfers: what the bank tells of, and by which order it is credited.

Who watches the account posts each transfer as JSON, signed: `X-Signature: t=<unix seconds>,v1=<hex>`, HMAC-SHA-256 of
`<t>.<body>` by BANK_WEBHOOK_SECRET. A transfer is a row, once for its reference; one that fits its order exactly
credits it in the same transaction, any other waits for an operator.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from typing import Final, Never

import msgspec
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from billing.models import BankTransfer, Gateway, PaymentAlarm, PaymentOrder
from billing.payments import alarms, memos, orders, units
from billing.payments.errors import BadSignature, EventRefused, NotConfigured, PaymentRefused

TOLERANCE: Final = 300
"""Seconds between the signature and its arrival, either way."""
_HEADER: Final = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")
State, Doubt = BankTransfer.State, BankTransfer.Doubt


class Notice(msgspec.Struct, forbid_unknown_fields=True):
    """A transfer as the bank's side tells of it; the amount in whole dong."""

    reference: str = msgspec.field()
    amount: int
    currency: str
    account: str
    text: str = ""


def sign(body: bytes, *, secret: str, at: int) -> str:
    """The header that goes with a body."""
    return f"t={at},v1={_digest(body, secret, at)}"


def _digest(body: bytes, secret: str, at: int) -> str:
    return hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()


def receive(body: bytes, signature: str) -> BankTransfer:
    """Books a signed notice and returns its transfer; the same reference again is the same transfer.

    Raises BadSignature, or EventRefused (with an alarm) for another account or currency, and for a reference that was
    told of with another amount.
    """
    _verify(body, signature)
    notice = _read(body)
    if (notice.account, notice.currency) != (settings.BANK_ACCOUNT, "VND"):
        detail = f"a transfer in {notice.currency} to account {notice.account}"
        _refuse(PaymentAlarm.Kind.MISMATCH, notice.reference, detail)
    try:
        with transaction.atomic():
            return _book(notice)
    except IntegrityError:
        earlier = BankTransfer.objects.filter(reference=notice.reference).first()
        if earlier is None:
            raise
    if (earlier.amount, earlier.text) != (notice.amount, notice.text):
        detail = f"told of with {earlier.amount} before, now with {notice.amount}"
        _refuse(PaymentAlarm.Kind.CONFLICT, notice.reference, detail)
    return earlier


def _verify(body: bytes, signature: str) -> None:
    secret = settings.BANK_WEBHOOK_SECRET
    if not settings.BANK_ACCOUNT or not secret.strip():
        raise NotConfigured("This installation takes no transfers.")
    match = _HEADER.fullmatch(signature)
    if match is None or not hmac.compare_digest(match[2], _digest(body, secret, int(match[1]))):
        raise BadSignature("The signature does not fit.")
    if abs(time.time() - int(match[1])) > TOLERANCE:
        raise BadSignature("The signature is too old, or of the future.")


def _read(body: bytes) -> Notice:
    try:
        notice = msgspec.json.decode(body, type=Notice)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventRefused(f"This is no transfer: {error}") from error
    if not 0 < notice.amount <= _MOST or not 0 < len(notice.reference) <= 100 or len(notice.text) > 300:
        raise EventRefused("This is no transfer: a field is out of its bounds.")
    if _NUL in notice.reference + notice.currency + notice.account:
        raise EventRefused("This is no transfer: a name has a character that none has.")
    # What its payer wrote must not keep money from being seen.
    return msgspec.structs.replace(notice, text=notice.text.replace(_NUL, " "))


_MOST: Final = 10**12
_NUL: Final = "\0"
"""JSON can say it, and no text column keeps it."""


def _refuse(kind: PaymentAlarm.Kind, reference: str, detail: str) -> Never:
    alarms.ring(kind, gateway=Gateway.BANK, reference=reference, detail=detail)
    raise EventRefused(detail)


def _book(notice: Notice) -> BankTransfer:
    order = _order(notice.text)
    doubt = _doubt(notice, order)
    if order is not None and not doubt:
        is_credited = orders.credit(order, payment_id=f"bank:{notice.reference}", received=notice.amount)
        doubt = "" if is_credited else Doubt.TWICE  # another transfer came first, just now
    return BankTransfer.objects.create(
        reference=notice.reference, amount=notice.amount, currency=notice.currency, text=notice.text, order=order,
        state=State.UNMATCHED if doubt else State.MATCHED, doubt=doubt,
    )  # fmt: skip


def _order(text: str) -> PaymentOrder | None:
    """The one order that the text names; None if it names none, or several."""
    rows = PaymentOrder.objects.select_related("tenant")
    found = list(rows.filter(memo__in=memos.found_in(text), gateway=Gateway.BANK))
    return found[0] if len(found) == 1 else None


def _doubt(notice: Notice, order: PaymentOrder | None) -> str:
    """Why an operator has to look at it; empty if it is what its order asks for."""
    if order is None:
        return Doubt.UNKNOWN_MEMO if memos.found_in(notice.text) else Doubt.NO_MEMO
    if order.is_paid:
        return Doubt.TWICE
    if notice.amount != order.pay_amount:
        return Doubt.UNDER if notice.amount < order.pay_amount else Doubt.OVER
    if order.state != PaymentOrder.State.OPEN or timezone.now() >= order.expires_at:
        return Doubt.LATE
    return ""


def match(transfer: BankTransfer, *, order: PaymentOrder, as_ordered: bool, by: User, reason: str) -> PaymentOrder:
    """Credits a waiting transfer by a bank order's frozen rate, and returns the order that was paid by it.

    `as_ordered` credits what the order asked for, else what the received amount is worth at its rate. An order that is
    paid already lends its rate to a new one. Raises PaymentRefused if the transfer does not wait any more.
    """
    with transaction.atomic():
        paid = order if as_ordered or not order.is_paid else _another(order, transfer)
        credited = None if as_ordered else _worth(paid, transfer.amount)
        name = f"bank:{transfer.reference}"
        if not orders.credit(paid, payment_id=name, received=transfer.amount, credited=credited):
            raise PaymentRefused(_("This order is paid already: credit what was received instead."))
        _handle(transfer, State.MATCHED, by=by, note=reason, order=paid)
    return paid


def _worth(order: PaymentOrder, coins: int) -> int:
    if order.rate is None:
        return units.to_ledger(coins, order.credit_currency)
    return units.worth_of(coins, order.credit_currency, order.pay_currency, order.rate)


def _another(order: PaymentOrder, transfer: BankTransfer) -> PaymentOrder:
    """An order for a second payment by the same memo: the same rate, without a bonus."""
    now = timezone.now()
    return PaymentOrder.objects.create(
        tenant=order.tenant, gateway=Gateway.BANK, pay_currency=order.pay_currency, pay_amount=transfer.amount,
        credit_currency=order.credit_currency, credit_amount=_worth(order, transfer.amount), rate=order.rate,
        rate_source=order.rate_source, rate_at=order.rate_at, created_at=now, expires_at=now,
    )  # fmt: skip


def mark_returned(transfer: BankTransfer, *, by: User, reason: str) -> None:
    """Notes that the money went back to its sender; raises PaymentRefused if the transfer does not wait any more."""
    with transaction.atomic():
        _handle(transfer, State.RETURNED, by=by, note=reason, order=transfer.order)


def _handle(
    transfer: BankTransfer, state: BankTransfer.State, *, by: User, note: str, order: PaymentOrder | None
) -> None:
    waiting = BankTransfer.objects.filter(pk=transfer.pk, state=State.UNMATCHED)
    if not waiting.update(state=state, handled_by=by, handled_at=timezone.now(), note=note, order=order):
        raise PaymentRefused(_("This transfer has been dealt with already."))
