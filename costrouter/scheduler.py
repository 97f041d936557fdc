"""The process's own jobs: its heartbeat, a fresh catalogue, the counts of refused calls, and closing what the dead
left open.

Every web process runs them in six threads beside the event loop, with or without Celery: they are cheap, and safe to
run anywhere at the same time. The heartbeat has a thread of its own and waits for nothing, not even for a large
catalogue; so has what may take long (recovery after an outage, roll-ups), mail and payments, which wait for others, and
what a month's end brings.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connection
from django.utils import timezone

from accounts import key_changes, refusals, schema
from accounts.key_cache import write_last_used
from billing import alerts, grants, idempotency, months, notices, processes, reconciliation, recovery, rollups, trials
from billing.invoices import jobs as invoices
from billing.payments import gateways
from billing.payments import jobs as payments
from billing.recovery import Contact
from costrouter.memory import Surplus
from routing.pipeline.gateway import Gateway

log = logging.getLogger(__name__)

CATALOGUE_SECONDS = 1.0
RECOVERY_SECONDS = 3.0
AUDIT_SECONDS = 5.0
REFUSALS_SECONDS = 2.0
HOUSEKEEPING_SECONDS = 10.0
ROLLUP_SECONDS = 20.0
NOTICE_SECONDS = 15.0
EXPIRY_SECONDS = 15.0
DRAW_SECONDS = 60.0
TRIAL_SECONDS = 600.0
PAYMENT_SECONDS = 5.0
MONTH_SECONDS = 3600.0
INVOICE_SECONDS = 60.0
"""How often it is asked whether this slot's run is still to be done (billing/jobs.py)."""
MEMORY_SECONDS = 10.0
LAST_SECONDS = 8.0
"""How long a stop waits for requests whose clients have left."""
JOBS_SECONDS = 5.0
"""How long it waits for the jobs that are at something, all together: where the database hangs, all of them are."""


@dataclass(slots=True)
class Job:
    name: str
    every: float
    run: Callable[[], object]
    due: float = field(default=0.0)


class Scheduler:
    """Starts the gateway's parts in order, keeps them going, and stops them in the reverse order."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._writer = gateway.writer
        self._contact = Contact()
        self._surplus = Surplus()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._owner = ""

    async def start(self) -> None:
        """Returns when requests can be served; raises if the database cannot be read."""
        loop = asyncio.get_running_loop()
        self._owner = await loop.run_in_executor(None, self._prepare)
        self._writer.start(self._owner)
        mail = [Job("notices", NOTICE_SECONDS, notices.send), Job("alerts", NOTICE_SECONDS, alerts.send)]
        pay = [Job("payments", PAYMENT_SECONDS, payments.run)]
        bills = [
            Job("invoices", INVOICE_SECONDS, invoices.run),
            Job("reconciliation", INVOICE_SECONDS, reconciliation.run_daily),
        ]
        beat = [Job("heartbeat", settings.HEARTBEAT_SECONDS, lambda: processes.beat(self._owner))]
        threads = {
            "heartbeat": beat,
            "scheduler": self._pressing(),
            "housekeeper": self._patient(),
            "mail": mail,
            "payments": pay,
            "bills": bills,
        }
        for name, jobs in threads.items():
            thread = threading.Thread(target=self._work, args=(jobs,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    async def stop(self) -> None:
        """Writes what is to be written and says goodbye, so that nothing has to be recovered."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._wait_for_requests)
        await loop.run_in_executor(None, self._writer.stop)
        self._stop.set()
        await loop.run_in_executor(None, self._wait_for_jobs)
        await loop.run_in_executor(None, self._leave)
        self._gateway.client.close()
        await self._gateway.limiter.close()

    def _wait_for_requests(self) -> None:
        """The server has waited for its connections; what is read on for clients that have left is a request too."""
        deadline = time.monotonic() + LAST_SECONDS
        while self._writer.in_flight and time.monotonic() < deadline:
            time.sleep(0.05)

    def _wait_for_jobs(self) -> None:
        deadline = time.monotonic() + JOBS_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _prepare(self) -> str:
        gateways.require_sound()
        try:
            schema.require_own()
            self._gateway.catalogue.refresh()
            return processes.register()
        finally:
            connection.close()

    def _pressing(self) -> list[Job]:
        return [
            Job("catalogue", CATALOGUE_SECONDS, self._gateway.catalogue.refresh),
            Job("audit", AUDIT_SECONDS, lambda: recovery.release_orphans(self._owner, self._writer.in_flight)),
            Job("refusals", REFUSALS_SECONDS, self._gateway.refusals.flush),
        ]

    def _patient(self) -> list[Job]:
        return [
            Job("spools", RECOVERY_SECONDS, lambda: recovery.settle_abandoned_spools(settings.SPOOL_DIR)),
            Job("recovery", RECOVERY_SECONDS, lambda: recovery.settle_dead_owners(self._contact, settings.SPOOL_DIR)),
            Job("housekeeping", HOUSEKEEPING_SECONDS, self._keep_house),
            Job("roll-ups", ROLLUP_SECONDS, rollups.advance),
            Job("roll-ups of changed zones", ROLLUP_SECONDS, rollups.refine),
            Job("expiries", EXPIRY_SECONDS, grants.expire_due),
            Job("draws", DRAW_SECONDS, grants.draw_due),
            Job("trials", TRIAL_SECONDS, trials.grant_queued),
            Job("months", MONTH_SECONDS, months.make_ahead),
            Job("memory", MEMORY_SECONDS, lambda: self._surplus.give_back(len(self._writer.in_flight))),
        ]

    def _work(self, jobs: list[Job]) -> None:
        while not self._stop.wait(max(0.0, min(job.due for job in jobs) - time.monotonic())):
            for job in jobs:
                if time.monotonic() >= job.due and not self._stop.is_set():
                    self._run(job)
        connection.close()

    def _run(self, job: Job) -> None:
        job.due = time.monotonic() + job.every
        try:
            job.run()
        except (OperationalError, InterfaceError) as error:
            self._contact.note_loss()
            connection.close()
            log.warning("job %s: the database is away: %s", job.name, error)
        except Exception:  # the last resort: the other jobs go on
            log.exception("job %s failed", job.name)

    def _keep_house(self) -> None:
        write_last_used(self._gateway.key_cache.take_used())
        self._gateway.limiter.processes = max(1, processes.live().count())
        processes.forget_dead()
        idempotency.forget_expired()
        refusals.forget_old(timezone.now())
        key_changes.forget_old(timezone.now())

    def _leave(self) -> None:
        try:
            write_last_used(self._gateway.key_cache.take_used())
            processes.leave(self._owner)
            self._gateway.refusals.flush()
        except Error as error:
            log.warning("could not say goodbye: %s", error)
        finally:
            connection.close()
