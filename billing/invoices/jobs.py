"""The month's work for every tenant: close, draft, finalise, mail. Each function is safe to run twice, and anywhere.

A process that does it alone does `everything`; where there are workers, `spread` gives each tenant a task of its own.

A tenant that fails is parked with its reason, the others go on, and its next good run takes it out again.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from django.db import InterfaceError, OperationalError, transaction

from billing import jobs
from billing.invoices import closing, drafts, finalising, mails
from billing.invoices.parking import park, unpark
from billing.models import Balance, BillingProfile, Invoice, JobRun, ParkedTenant
from billing.portions import in_portions

log = logging.getLogger(__name__)

EVERY: Final = dt.timedelta(minutes=15)
NAME: Final = "invoices"


def run(now: dt.datetime | None = None) -> JobRun | None:
    """All of it, once in each quarter of an hour; None if another process had this one."""
    return jobs.run_once(NAME, EVERY, lambda: everything(now), now)


def everything(now: dt.datetime | None = None) -> str:
    """Closes, drafts, finalises and mails what is due; says how much it was."""
    closed = Counter(done for _wallet, done in close_all(now))
    final = sum(1 for _id in finalise_all(now))
    return f"{closed[True]} wallets looked at, {closed[False]} parked, {final} finalised, {send_all(now)} mailed"


def spread(start: Callable[[int], object], now: dt.datetime | None = None) -> JobRun | None:
    """Starts the work of each wallet, by its id, once in each quarter of an hour; None if this one was another's."""
    return jobs.run_once(NAME, EVERY, lambda: f"{sum(1 for _ in _started(start))} wallets handed out", now)


def _started(start: Callable[[int], object]) -> Iterator[int]:
    for wallet in wallets():
        transaction.on_commit(partial(start, wallet.pk))
        yield wallet.pk


def of_wallet(wallet_id: int, now: dt.datetime | None = None) -> bool:
    """Closes, drafts, finalises and mails what is due of one wallet; returns whether all of it went well."""
    wallet = Balance.objects.select_related("tenant").get(pk=wallet_id)
    tenant_id = wallet.tenant_id
    threshold = _thresholds(tenant=tenant_id).get(tenant_id)
    begin, finish, mail = (_guard(step) for step in ParkedTenant.Step)
    did = [begin(tenant_id, partial(close, wallet, threshold, now))]
    did += [finish(tenant_id, partial(finalising.finalise, id_, now)) for id_, _of in finalising.due(now, tenant_id)]
    did += [mail(tenant_id, partial(mails.send, id_, now)) for id_, _of in mails.due(now, tenant_id)]
    return all(did)


def wallets() -> Iterator[Balance]:
    """Every tenant's, in small portions."""
    return in_portions(Balance.objects.filter(kind=Balance.Kind.WALLET).select_related("tenant"), 200)


def close_all(now: dt.datetime | None = None) -> Iterator[tuple[Balance, bool]]:
    """Closes and drafts what is over, tenant by tenant; yields each wallet and whether it went well."""
    thresholds = _thresholds()
    guarded = _guard(ParkedTenant.Step.CLOSE)
    for wallet in wallets():
        yield wallet, guarded(wallet.tenant_id, partial(close, wallet, thresholds.get(wallet.tenant_id), now))


def _thresholds(**of: int) -> dict[int, int]:
    """At how much unbilled usage tenants are billed before their month ends, in ledger units."""
    postpaid = BillingProfile.objects.filter(billed=BillingProfile.Billed.POSTPAID, threshold__isnull=False, **of)
    rows = postpaid.values_list("tenant_id", "threshold")
    return {tenant_id: threshold for tenant_id, threshold in rows if threshold is not None}


def close(wallet: Balance, threshold: int | None = None, now: dt.datetime | None = None) -> list[Invoice]:
    """Closes the wallet's months that are over, and its period if the threshold is passed; returns the new drafts."""
    made = drafts.bring_up_to_date(wallet, now)
    if threshold is not None and closing.close_at_threshold(wallet, threshold, now):
        made += drafts.draft_all(wallet)
    return made


def finalise_all(now: dt.datetime | None = None) -> Iterator[tuple[int, bool]]:
    """Makes every draft final whose days of review are over; yields each id and whether it went well."""
    guarded = _guard(ParkedTenant.Step.FINALISE)
    for invoice_id, tenant_id in finalising.due(now):
        yield invoice_id, guarded(tenant_id, partial(finalising.finalise, invoice_id, now))


def send_all(now: dt.datetime | None = None) -> int:
    """Mails every final document that was not mailed yet; returns how many were."""
    guarded = _guard(ParkedTenant.Step.MAIL)
    due = mails.due(now)
    return sum(guarded(tenant_id, partial(mails.send, invoice_id, now)) for invoice_id, tenant_id in due)


def _guard(step: ParkedTenant.Step) -> Callable[[int, Callable[[], object]], bool]:
    """What runs a tenant's step and returns whether it went well: if not, the tenant is parked."""
    parked = set(ParkedTenant.objects.filter(step=step).values_list("tenant_id", flat=True))

    def run(tenant_id: int, work: Callable[[], object]) -> bool:
        try:
            work()
        except (OperationalError, InterfaceError):
            raise  # the database is away, for everybody
        except Exception as error:  # the last resort: the other tenants go on
            park(tenant_id, step, str(error) or type(error).__name__)
            log.warning("tenant %d is parked, %s: %s", tenant_id, step, error, exc_info=True)
            return False
        if tenant_id in parked:
            unpark(tenant_id, step)
            parked.discard(tenant_id)
        return True

    return run
