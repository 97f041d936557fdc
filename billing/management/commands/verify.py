"""`manage.py verify`: proves the books of this database, read-only."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing import ledger


class Command(BaseCommand):
    help = "Proves available + open holds = credit line + ledger entries - usage on every balance. Read-only."

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = ledger.accounts()
        wrong = [account for account in accounts if account.difference]
        for account in wrong:
            self.stderr.write(
                f"balance {account.balance_id}: available {account.available} + held {account.held} != "
                f"credit line {account.credit_line} + posted {account.posted} - used {account.used} "
                f"(difference {account.difference} ledger units)"
            )
        if wrong:
            raise CommandError(f"{len(wrong)} of {len(accounts)} balances do not add up")
        self.stdout.write(f"verified {len(accounts)} balances, {sum(a.held for a in accounts)} ledger units held")
