"""`manage.py rollups`: makes the hourly roll-ups of usage again, or compares them with the records."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import months, rollups
from billing.models import UsageRollup

_DAY = dt.timedelta(days=1)


class Command(BaseCommand):
    help = (
        "Roll-ups add usage records up by the hour, for pages; they hold nothing of their own. `rebuild` makes them "
        "again, day by day; broken off, it has done whole days and can be run again. `check` compares them with the "
        "records, read-only; both begin where records are not archived. `catch-up` rolls up what is over and still "
        "missing, which the gateway does by itself."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=("rebuild", "check", "catch-up"))
        parser.add_argument("--from", dest="start", type=_day, help="this day (UTC) or later, such as 2026-11-01")
        parser.add_argument("--to", dest="end", type=_day, help="before this day")

    def handle(self, *args: Any, what: str, **options: Any) -> None:
        if what == "catch-up":
            self._catch_up()
            return
        until = rollups.complete_until()
        if until is None:
            raise CommandError("nothing is rolled up yet; run `manage.py rollups catch-up`")
        start = options["start"] or _first() or until
        start = max(start, months.kept_since() or start)
        end = min(options["end"] or until, until)
        if what == "rebuild":
            self._rebuild(start, end)
        else:
            self._check(start, end)

    def _catch_up(self) -> None:
        while True:
            before = rollups.complete_until()
            written = rollups.advance()
            after = rollups.complete_until()
            if after == before:
                break
            self.stdout.write(f"until {after}: {written} rows")
        self.stdout.write(f"complete until {rollups.complete_until() or 'the first record'}")

    def _rebuild(self, start: dt.datetime, end: dt.datetime) -> None:
        for begin, written in rollups.rebuild(start, end):
            self.stdout.write(f"{begin:%Y-%m-%d}: {written} rows")

    def _check(self, start: dt.datetime, end: dt.datetime) -> None:
        wrong = 0
        while start < end:
            stop = min(end, start + _DAY)
            for difference in rollups.differences(start, stop):
                wrong += 1
                self.stderr.write(
                    f"{start:%Y-%m-%d}, tenant {difference.tenant_id}: rolled up {difference.rolled_up}, "
                    f"recorded {difference.recorded}"
                )
            start = stop
        if wrong:
            raise CommandError(f"{wrong} days of tenants differ; `manage.py rollups rebuild` makes them again")
        self.stdout.write("roll-ups and records agree")


def _first() -> dt.datetime | None:
    return UsageRollup.objects.order_by("starts_at").values_list("starts_at", flat=True).first()


def _day(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
