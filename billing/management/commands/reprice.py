"""`manage.py reprice`: computes past requests again, read-only."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.repricing import reprice

_EVERY = 100_000
_MOST_NAMED = 20


class Command(BaseCommand):
    help = (
        "Computes what past requests cost from their counts and the price version that they were admitted at, and "
        "names those whose record says something else. Read-only; can be broken off and run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--from", dest="start", type=_day, help="settled on this day (UTC) or later, such as 2026-11-01"
        )
        parser.add_argument("--to", dest="end", type=_day, help="settled before this day")

    def handle(self, *args: Any, **options: Any) -> None:
        count = wrong = total = 0
        for row in reprice(options["start"], options["end"]):
            count += 1
            total += row.record.claimed_cost
            if not row.is_same:
                wrong += 1
                self._name(wrong, row.record.id.hex, row.record.claimed_cost, row.expected)
            if count % _EVERY == 0:
                self.stdout.write(f"{count} requests so far")
        if wrong:
            raise CommandError(f"{wrong} of {count} requests cost something else than their usage at their price")
        self.stdout.write(f"repriced {count} requests, {total} ledger units: nothing changes")

    def _name(self, number: int, id_: str, claimed: int, expected: int) -> None:
        if number <= _MOST_NAMED:
            self.stderr.write(f"request {id_}: recorded {claimed}, its usage costs {expected} ledger units")


def _day(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
