"""The credit that a new tenant starts with: once per person, and so many a day for a network.

Where mails are sent for real, it waits until the address is confirmed: addresses cost nothing, mailboxes little,
networks more.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.mailboxes import digest_of
from accounts.models import Tenant, User
from billing import balances, ledger
from billing.models import Balance, LedgerEntry, Trial, TrialPerson, TrialPlace
from billing.money import from_decimal

State = Trial.State
_DAY: Final = dt.timedelta(days=1)


def start(tenant: Tenant) -> Balance:
    """Opens the tenant's wallet with the trial credit in it and returns it.

    A tenant gets the credit once, however often this runs.
    """
    credit = amount(tenant)
    with transaction.atomic():
        wallet = balances.open_wallet(tenant)
        if credit:
            ledger.post(balance=wallet, kind=LedgerEntry.Kind.GRANT, amount=credit, reference=f"trial:{tenant.pk}")
    return wallet


def amount(tenant: Tenant) -> int:
    """The trial credit (settings.TRIAL_CREDIT, in currency units) in ledger units."""
    return from_decimal(Decimal(settings.TRIAL_CREDIT), tenant.currency)


def sign_up(tenant: Tenant, *, user: User, network: str) -> None:
    """Opens the wallet of a tenant that signed up from a network; its credit comes now, or once `confirm` is called."""
    if not settings.TRIAL_AFTER_CONFIRMATION:
        start(tenant)
        return
    balances.open_wallet(tenant)
    if amount(tenant):
        Trial.objects.create(tenant=tenant, user=user, network=network)


def waiting(tenant: Tenant) -> State | None:
    """What the tenant's credit waits for, if it does."""
    trial = Trial.objects.filter(tenant=tenant, state__in=(State.WAITING, State.QUEUED)).first()
    return State(trial.state) if trial else None


def confirm(user: User, address: str) -> State | None:
    """The user has confirmed an address; returns what became of the credit by this, None if nothing did.

    Every further address of such a user is theirs as well, and brings nobody else a credit. Safe at the same time for
    two people with one mailbox, and twice for one: who notes the mailbox first has it.
    """
    with transaction.atomic():
        trial = Trial.objects.select_for_update().filter(user=user).first()
        if trial is None:
            return None
        _person, is_new = TrialPerson.objects.get_or_create(digest=digest_of(address))
        if trial.state != State.WAITING:
            return None
        return _move(trial, _grant_or_queue(trial) if is_new else State.REPEATED)


def grant_queued() -> int:
    """Grants what waits for its network, as far as the day allows; returns how many that were. Safe to run anywhere."""
    granted = 0
    full: set[str] = set()
    # All of them: a network with many people must not stand before all others.
    for pk, network in Trial.objects.filter(state=State.QUEUED).order_by("created_at").values_list("pk", "network"):
        if network in full:
            continue
        with transaction.atomic():
            trial = Trial.objects.select_for_update().filter(pk=pk, state=State.QUEUED).first()
            if trial is None:
                continue
            if _move(trial, _grant_or_queue(trial)) == State.GRANTED:
                granted += 1
            else:
                full.add(trial.network)
    return granted


def _grant_or_queue(trial: Trial) -> State:
    if not _takes_place(trial.network):
        return State.QUEUED
    start(trial.tenant)
    return State.GRANTED


def _takes_place(network: str) -> bool:
    """Whether one of the network's places of a day was free; it is taken together with the credit, or not at all."""
    now = timezone.now()
    return any(_takes(network, number, now) for number in range(settings.TRIALS_PER_NETWORK))


def _takes(network: str, number: int, now: dt.datetime) -> bool:
    """Who comes while another takes it waits for what becomes of that: everybody asks in the order of numbers."""
    expired = TrialPlace.objects.filter(network=network, number=number, taken_at__lte=now - _DAY)
    if expired.update(taken_at=now):
        return True
    _place, is_new = TrialPlace.objects.get_or_create(network=network, number=number, defaults={"taken_at": now})
    return is_new


def _move(trial: Trial, state: State) -> State:
    trial.state = state
    trial.save(update_fields=("state",))
    return state
