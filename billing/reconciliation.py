"""Reconciliation: figures that are kept twice, compared. A break is written down and alarmed, and never mends itself.

`manage.py verify` prints what `compared` says; a daily job keeps it (`run_daily`). What was found is kept as breaks
(billing/breaks.py), which freeze their tenants' documents.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Tenant
from billing import balances, breaks, grants, jobs, ledger, months, rollups, spending
from billing.breaks import Finding
from billing.grants import Difference
from billing.invoices import comparing
from billing.models import (
    ArchivedUse,
    Balance,
    JobRun,
    Reconciliation,
    UsageRecord,
)
from billing.snapshot import snapshot

NAME: Final = "reconciliation"
EVERY: Final = dt.timedelta(days=1)


@dataclass(slots=True)
class Compared:
    """What one check compared, and what of it does not agree."""

    check: str
    figures: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        self.figures += 1
        if finding.difference:
            self.findings.append(finding)


Check = Callable[[Compared], None]


def _identity(compared: Compared) -> None:
    """available + open holds = credit line + ledger entries - usage, of every balance."""
    tenants = dict(Balance.objects.values_list("pk", "tenant"))
    for account in ledger.accounts():
        compared.add(
            Finding(
                f"balance {account.balance_id}",
                expected=account.credit_line + account.posted - account.used,
                found=account.available + account.held,
                tenant_id=tenants[account.balance_id],
                terms=f"available {account.available} + held {account.held} != credit line {account.credit_line} "
                f"+ posted {account.posted} - used {account.used}",
            )
        )


def _usage(compared: Compared) -> None:
    """What a tenant's requests cost is what was used of its wallet: every request drew on it, none on another's."""
    wallets = {tenant: pk for pk, tenant in balances.wallets().values_list("pk", "tenant")}
    used = ledger.used_by_balance()
    costs = dict(UsageRecord.objects.order_by().values_list("tenant").annotate(total=Sum("cost")))
    archived = dict(
        ArchivedUse.objects.filter(balance__kind=Balance.Kind.WALLET)
        .order_by()
        .values_list("balance__tenant")
        .annotate(total=Sum("cost"))
    )
    for tenant in Tenant.objects.order_by("pk").values_list("pk", flat=True):
        cost = costs.get(tenant, 0) + archived.get(tenant, 0)
        found = used.get(wallets[tenant], 0) if tenant in wallets else 0
        compared.add(Finding(f"tenant {tenant}: what its requests cost its wallet", cost, found, tenant))


def _rollups(compared: Compared) -> None:
    """Roll-ups say what the records say, as far as both are there."""
    until = rollups.complete_until()
    if until is None:
        return
    start = months.kept_since() or spending.EARLIEST
    wrong = {each.tenant_id: each for each in rollups.differences(start, until)}
    for tenant in Tenant.objects.order_by("pk").values_list("pk", flat=True):
        name, recorded, rolled_up = wrong[tenant].first if tenant in wrong else ("figures", 0, 0)
        compared.add(Finding(f"tenant {tenant}: {name} rolled up", recorded, rolled_up, tenant))


def _providers(compared: Compared) -> None:
    """What channels' upstreams said that yesterday's answers cost, against what our cost prices say of the same ones.

    Only dollars are compared, since upstreams tell no others; what differs by less than a hundredth is rounding.
    """
    today = timezone.now().astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day = today - dt.timedelta(days=1)
    told = (
        UsageRecord.objects.filter(
            tenant__in=Tenant.objects.values("pk"),  # as the index of times has it
            settled_at__gte=day,
            settled_at__lt=today,
            reported_cost__isnull=False,
            provider_currency="USD",
        )
        .order_by("channel")
        .values_list("channel")
        .annotate(ours=Sum("provider_cost"), theirs=Sum("reported_cost"))
    )
    for channel, ours, theirs in told:
        is_near = abs(ours - theirs) * 100 <= max(ours, theirs)
        subject = f"channel {channel}: what its upstream reported on {day:%Y-%m-%d}"
        compared.add(Finding(subject, ours, ours if is_near else theirs))


def _documents(compared: Compared) -> None:
    """A final document says what its period's records and entries say; what a wallet owes is asked for."""
    for finding in comparing.findings():
        compared.add(finding)


def _lots(compared: Compared) -> None:
    """What is left of the lots, less what is owed, is what the wallet has."""
    tenants = dict(Balance.objects.filter(drawing__isnull=False).values_list("pk", "tenant"))
    wrong = {each.balance_id: each for each in grants.differences()}
    for balance_id, tenant in tenants.items():
        each = wrong.get(balance_id, Difference(balance_id, 0, 0, 0))
        name = f"wallet {balance_id}"
        compared.add(Finding(f"{name}: what is left of its lots", each.booked, each.rests, tenant))
        compared.add(Finding(f"{name}: what its draws have left", each.booked, each.drawn, tenant))


CHECKS: Final[Mapping[str, Check]] = {
    "identity": _identity,
    "usage": _usage,
    "roll-ups": _rollups,
    "documents": _documents,
    "lots": _lots,
    "providers": _providers,
}


def compared() -> Iterator[Compared]:
    """Runs the checks, one after another, on one view of the books. Writes nothing."""
    with snapshot():
        for name, check in CHECKS.items():
            result = Compared(name)
            check(result)
            yield result


def run_daily(now: dt.datetime | None = None) -> JobRun | None:
    """The same, once a day (UTC) of all processes; None if another had this one."""
    return jobs.run_once(NAME, EVERY, run, now)


def run() -> Reconciliation:
    """Compares everything, and keeps what was found."""
    started_at = timezone.now()
    results = list(compared())
    with transaction.atomic():
        for result in results:
            for finding in result.findings:
                breaks.keep(result.check, finding)
        return Reconciliation.objects.create(
            started_at=started_at,
            compared={result.check: result.figures for result in results},
            found=sum(len(result.findings) for result in results),
        )
