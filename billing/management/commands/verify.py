"""`manage.py verify`: proves the books of this database, read-only."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing import reconciliation
from billing.reconciliation import Compared


class Command(BaseCommand):
    help = (
        "Compares every figure that the books keep twice: balances, usage, roll-ups. Read-only; exits with 1 if any "
        "two of them differ."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        results = []
        for result in reconciliation.compared():
            self._show(result)
            results.append(result)
        wrong = sum(len(result.findings) for result in results)
        compared = sum(result.figures for result in results)
        if wrong:
            raise CommandError(f"{wrong} of {compared} figures do not add up")
        self.stdout.write(f"verified: {compared} figures add up")

    def _show(self, result: Compared) -> None:
        for finding in result.findings:
            terms = finding.terms or f"expected {finding.expected}, found {finding.found}"
            self.stderr.write(f"{finding.subject}: {terms} (difference {finding.difference} ledger units)")
        self.stdout.write(f"{result.check}: {result.figures} compared, {len(result.findings)} differ")
