"""`manage.py months`: the tables that hold usage records by month, on PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from billing import months
from billing.models import UsageArchive


class Command(BaseCommand):
    help = (
        "Usage records lie in a table per month of UTC. `list` shows them, and fails if a record lies in none. `ahead` "
        "makes the next three months, which the gateway does by itself. `archive` takes a month out of the books, "
        "leaves the sums that they need, and writes its records to a file; run again, it writes the file again. What "
        "was archived is not in pages, exports, `reprice` and roll-ups' `rebuild` any more."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=("list", "ahead", "archive"))
        parser.add_argument("table", nargs="?", default="", help="of `archive`: such as billing_usagerecord_2026_01")
        parser.add_argument("file", nargs="?", type=Path, help="of `archive`: where to, such as 2026-01.csv.gz")

    def handle(self, *args: Any, what: str, table: str, file: Path | None, **options: Any) -> None:
        if not months.is_divided():
            raise CommandError("this database keeps all usage records in one table; months are PostgreSQL's")
        if what == "list":
            self._list()
        elif what == "ahead":
            self.stdout.write("made: " + (", ".join(months.make_ahead()) or "nothing, they are there"))
        elif not table or file is None:
            raise CommandError("which month, and to which file? `manage.py months archive TABLE FILE`")
        else:
            self._archive(table, file)

    def _list(self) -> None:
        for month in months.listed():
            begins = "the beginning" if month.begins is None else f"{month.begins:%F}"
            self.stdout.write(f"{month.table}: {begins} to {month.ends:%F}, {month.size / 2**20:,.1f} MiB")
        for archive in UsageArchive.objects.all():
            self.stdout.write(f"{archive.table}: archived on {archive.archived_at:%F}, {archive.records} records")
        if count := months.strays():
            raise CommandError(f"{count} records or more lie in no month; `manage.py months ahead` moves them")

    def _archive(self, table: str, file: Path) -> None:
        archive = UsageArchive.objects.filter(table=table).first()
        if archive is None:
            try:
                archive = months.archive(table)
            except months.CannotArchive as error:
                raise CommandError(f"{table} stays: {error}") from error
            except OperationalError as error:
                raise CommandError(f"statements are in the way, nothing was changed; try again: {error}") from error
            self.stdout.write(f"{table}: {archive.records} records are out of the books")
        written = months.export(table, file)
        if written != archive.records:
            raise CommandError(f"{file} has {written} records, {archive.records} were archived; do not drop {table}")
        self.stdout.write(f"{file}: {written} records. When the file is safe: DROP TABLE {table};")
