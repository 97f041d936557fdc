"""Reconciliation: figures that are kept twice, compared. A break is written down and alarmed, and never mends itself.

`manage.py verify` prints what `compared` says; a daily job keeps it (`run`). While a break of a tenant's is open, no
invoice of that tenant becomes final (`is_frozen`): a person looks first, and closes it with a reason.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Tenant, User
from billing import balances, ledger, months, rollups
from billing.models import ArchivedUse, Balance, Break, Reconciliation, UsageRecord
from billing.snapshot import snapshot

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """Two figures that should be one; `subject` names them for good (one open break of it is kept)."""

    subject: str
    expected: int
    found: int
    tenant_id: int | None = None
    terms: str = ""
    """What the two are made of, for people."""

    @property
    def difference(self) -> int:
        return self.found - self.expected


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
    start = months.kept_since() or dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
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


CHECKS: Final[Mapping[str, Check]] = {
    "identity": _identity,
    "usage": _usage,
    "roll-ups": _rollups,
    "providers": _providers,
}


def compared() -> Iterator[Compared]:
    """Runs the checks, one after another, on one view of the books. Writes nothing."""
    with snapshot():
        for name, check in CHECKS.items():
            result = Compared(name)
            check(result)
            yield result


def run() -> Reconciliation:
    """Compares everything, and keeps what was found."""
    started_at = timezone.now()
    results = list(compared())
    with transaction.atomic():
        for result in results:
            _keep(result)
        return Reconciliation.objects.create(
            started_at=started_at,
            compared={result.check: result.figures for result in results},
            found=sum(len(result.findings) for result in results),
        )


def _keep(result: Compared) -> None:
    """Opens a break for each finding, unless it is known: open already, or closed at just this difference."""
    now = timezone.now()
    for finding in result.findings:
        rows = Break.objects.filter(check_name=result.check, subject=finding.subject)
        latest = rows.order_by("-pk").first()
        if latest is not None and (latest.closed_at is None or latest.difference == finding.difference):
            rows.filter(pk=latest.pk).update(last_seen_at=now)
            continue
        log.error(
            "the books break: %s: %s: expected %d, found %d",
            result.check, finding.subject, finding.expected, finding.found,
        )  # fmt: skip
        Break.objects.create(
            check_name=result.check,
            tenant_id=finding.tenant_id,
            subject=finding.subject,
            expected=finding.expected,
            found=finding.found,
        )


def is_frozen(tenant_id: int) -> bool:
    """Whether a break of the tenant's books is open."""
    return Break.objects.filter(tenant=tenant_id, closed_at=None).exists()


def close(breaks: Sequence[Break], *, by: User, reason: str) -> int:
    """Says that a person has understood these breaks; returns how many were open. A closed one stays as it was."""
    if not reason.strip():
        raise ValueError("a break is closed with a reason")
    chosen = [each.pk for each in breaks]
    open_ones = Break.objects.filter(pk__in=chosen, closed_at=None)
    return open_ones.update(closed_at=timezone.now(), closed_by=by, reason=reason.strip()[:300])
