"""Breaks: two figures that should be one and are not.

While one of a tenant's is open, none of its documents becomes final: a person looks first, and closes it with a reason.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone

from accounts.models import User
from billing.models import Break

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


def keep(check: str, finding: Finding) -> None:
    """Opens a break, unless it is known: open already, or closed at just this difference."""
    rows = Break.objects.filter(check_name=check, subject=finding.subject)
    latest = rows.order_by("-pk").first()
    if latest is not None and (latest.closed_at is None or latest.difference == finding.difference):
        rows.filter(pk=latest.pk).update(last_seen_at=timezone.now())
        return
    log.error("the books break: %s: %s: expected %d, found %d", check, finding.subject, finding.expected, finding.found)
    Break.objects.create(
        check_name=check,
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
