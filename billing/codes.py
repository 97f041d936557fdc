"""Redemption codes: made in batches by an operator, redeemed once by a tenant for credit.

A code is 19 random characters (94 bits) and a check character, in four groups of five, of an alphabet without the
letters and digits that people mix up. Only its HMAC is kept; the codes themselves exist in the answer that makes them.
"""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from billing import approvals, grants
from billing.approvals import NotYours
from billing.models import Balance, Code, CodeBatch, CodeTry, LedgerEntry

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""31 characters, a prime: the check character then shows any one wrong character, and any two neighbours swapped."""
_RANDOM: Final = 19
_GROUP: Final = 5
_TRIES: Final = 10
"""What an account may get wrong within an hour."""
_HOUR: Final = dt.timedelta(hours=1)


class CannotRedeem(Exception):
    """The code gives nothing; nothing was changed. The message says why, to whoever typed it."""


def make(batch: CodeBatch) -> list[str]:
    """Saves a new batch with its codes and returns them: they cannot be had again.

    Of a batch that is worth so much that it takes two persons none can be redeemed before it is approved.
    """
    batch.needs_approval = approvals.needs_two(batch.amount * batch.number, batch.currency)
    with transaction.atomic():
        batch.save(force_insert=True)
        made = [generate() for _code in range(batch.number)]
        Code.objects.bulk_create([Code(batch=batch, digest=_digest(code)) for code in made])
    return [grouped(code) for code in made]


def generate() -> str:
    """A new code, without its hyphens."""
    body = "".join(secrets.choice(ALPHABET) for _place in range(_RANDOM))
    return body + _check(body)


def grouped(code: str) -> str:
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))


def normalized(typed: str) -> str | None:
    """The code as it was made, however it is typed; None if it cannot be one: nobody needs to look it up."""
    code = "".join(typed.upper().replace("-", " ").split())
    if len(code) != _RANDOM + 1 or not set(code) <= set(ALPHABET) or _check(code[:-1]) != code[-1]:
        return None
    return code


def _check(body: str) -> str:
    total = sum(place * ALPHABET.index(character) for place, character in enumerate(body, start=1))
    return ALPHABET[total % len(ALPHABET)]


def _digest(code: str, pepper: bytes | None = None) -> str:
    return hmac.digest(pepper or settings.KEY_PEPPERS[0], code.encode(), "sha256").hex()


def redeem(typed: str, *, balance: Balance, user: User) -> LedgerEntry:
    """Grants what the code is worth and returns the entry. Raises CannotRedeem, and counts that against guessing."""
    now = timezone.now()
    tries = CodeTry.objects.filter(balance=balance)
    if tries.filter(at__gt=now - _HOUR).count() >= _TRIES:
        raise CannotRedeem(_("Too many codes were wrong. Please try again in an hour."))
    try:
        return _redeem(typed, balance, user, now)
    except CannotRedeem:
        tries.filter(at__lte=now - _HOUR).delete()
        CodeTry.objects.create(balance=balance, at=now)
        raise


def _redeem(typed: str, balance: Balance, user: User, now: dt.datetime) -> LedgerEntry:
    code = normalized(typed)
    if code is None:
        raise CannotRedeem(_("This is not a code: a character may be mistyped or missing."))
    digests = [_digest(code, pepper) for pepper in settings.KEY_PEPPERS]
    with transaction.atomic():
        # One code of a tenant after the other, so that its limit holds.
        wallet = Balance.objects.select_for_update().get(pk=balance.pk)
        row = Code.objects.select_for_update().filter(digest__in=digests).first()
        if row is None:
            raise CannotRedeem(_("There is no such code."))
        _refuse_unfit(row, wallet, now)
        entry = _grant(row, wallet, user, now)
        Code.objects.filter(pk=row.pk).update(tenant=wallet.tenant_id, entry=entry, redeemed_at=now)
    return entry


def _refuse_unfit(code: Code, wallet: Balance, now: dt.datetime) -> None:
    batch = code.batch
    if code.redeemed_at is not None:
        raise CannotRedeem(_("This code has been redeemed already."))
    if batch.revoked_at is not None:
        raise CannotRedeem(_("This code is no longer valid."))
    if batch.is_waiting:
        raise CannotRedeem(_("This code is not valid yet."))
    if batch.expires_at is not None and batch.expires_at <= now:
        raise CannotRedeem(_("This code has expired."))
    if batch.currency != wallet.currency:
        raise CannotRedeem(
            _("This code is worth %(code)s; your wallet holds %(wallet)s.")
            % {"code": batch.currency, "wallet": wallet.currency}
        )
    if batch.codes.filter(tenant=wallet.tenant_id).count() >= batch.per_tenant:
        raise CannotRedeem(_("Your organisation has redeemed as many codes of this kind as it may."))


def _grant(code: Code, wallet: Balance, user: User, now: dt.datetime) -> LedgerEntry:
    batch = code.batch
    ends = None if batch.grant_days is None else now + dt.timedelta(days=batch.grant_days)
    return grants.give(
        balance=wallet, amount=batch.amount, reference=f"code:{code.pk}", priority=batch.priority, expires_at=ends,
        note=batch.label, created_by=user,
    )  # fmt: skip


def approve(batch: CodeBatch, *, by: User) -> None:
    """Lets the codes of a large batch be redeemed, once. Raises NotYours for who made it, or if it does not wait."""
    rows = CodeBatch.objects.filter(pk=batch.pk, needs_approval=True, approved_by=None, revoked_at=None)
    if batch.created_by_id == by.pk:
        raise NotYours(_("Another operator than the one who made it has to approve."))
    if not rows.update(approved_by=by, approved_at=timezone.now()):
        raise NotYours(_("This batch does not wait for approval."))


def revoke(batch: CodeBatch) -> bool:
    """No code of the batch can be redeemed any more; what was stays. False if it was revoked before."""
    return bool(CodeBatch.objects.filter(pk=batch.pk, revoked_at=None).update(revoked_at=timezone.now()))
