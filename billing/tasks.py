"""Background work of billing; each task is safe to run twice."""

from __future__ import annotations

from celery import shared_task

from billing import idempotency, months, processes, reconciliation, recovery
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
    invoices.run()


@shared_task(acks_late=True)
def reconcile() -> None:
    reconciliation.run_daily()
