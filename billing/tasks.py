"""Background work of billing; each task is safe to run twice."""

from __future__ import annotations

from celery import shared_task

from billing import alerts, grants, idempotency, months, processes, reconciliation, recovery, trials
from billing.invoices import jobs as invoices
from billing.payments import jobs as payments

_contact = recovery.Contact()
"""A worker's own: it lives as long as its process."""


@shared_task
def settle_dead_owners() -> None:
    recovery.settle_dead_owners(_contact)


@shared_task
def make_months_ahead() -> None:
    months.make_ahead()


@shared_task
def forget_dead_processes() -> None:
    processes.forget_dead()


@shared_task
def forget_expired_keys() -> None:
    while idempotency.forget_expired():
        pass


@shared_task
def run_payments() -> None:
    payments.run()


@shared_task(acks_late=True)
def make_invoices() -> None:
    """Hands each tenant's work out; what no worker has taken by the next run is dropped, for that one does the same."""
    expires = invoices.EVERY.total_seconds()
    invoices.spread(lambda wallet_id: make_documents_of.apply_async((wallet_id,), expires=expires))


@shared_task(acks_late=True)
def make_documents_of(wallet_id: int) -> None:
    invoices.of_wallet(wallet_id)


@shared_task
def expire_grants() -> None:
    grants.expire_due()


@shared_task
def grant_queued_trials() -> None:
    trials.grant_queued()


@shared_task
def draw_lots() -> None:
    grants.draw_due()


@shared_task
def send_alerts() -> None:
    alerts.send()


@shared_task(acks_late=True)
def reconcile() -> None:
    reconciliation.run_daily()
