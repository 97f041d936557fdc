"""`manage.py invoices`: closes months, makes documents final, shows them and draws their PDF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.invoices import jobs, pdf
from billing.models import Invoice, ParkedTenant
from billing.portions import in_portions


class Command(BaseCommand):
    help = (
        "`close` closes and drafts every month that is over, `finalise` makes the drafts final whose days of review "
        "are over; both say what they did as they go, can be broken off, and go on when they are run again. `show` "
        "lists the documents and what is parked. `render NUMBER FILE` writes a final document's PDF."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=("close", "finalise", "show", "render"))
        parser.add_argument("number", nargs="?", default="", help="of `render`: such as CR-INV-2026-00001")
        parser.add_argument("file", nargs="?", type=Path, help="of `render`: where to")

    def handle(self, *args: Any, what: str, number: str, file: Path | None, **options: Any) -> None:
        if what == "close":
            self._close()
        elif what == "finalise":
            self._finalise()
        elif what == "show":
            self._show()
        elif not number or file is None:
            raise CommandError("which document, and to which file? `manage.py invoices render NUMBER FILE`")
        else:
            self._render(number, file)

    def _close(self) -> None:
        began, done, parked = timezone.now(), 0, 0
        for wallet, is_good in jobs.close_all():
            done, parked = done + 1, parked + (not is_good)
            if not is_good or done % 100 == 0:
                self.stdout.write(f"{done} tenants, at {wallet.tenant}" + ("" if is_good else ": parked"))
        drafts = Invoice.objects.filter(drafted_at__gte=began).count()
        self._end(f"{done} tenants, {drafts} documents drafted", parked)

    def _finalise(self) -> None:
        done = parked = 0
        for invoice_id, is_good in jobs.finalise_all():
            done, parked = done + is_good, parked + (not is_good)
            self.stdout.write(str(Invoice.objects.get(pk=invoice_id)) if is_good else f"draft {invoice_id}: parked")
        self._end(f"{done} documents are final", parked)

    def _end(self, text: str, parked: int) -> None:
        self.stdout.write(text)
        if parked:
            raise CommandError(f"{parked} are parked; `manage.py invoices show` says why")

    def _show(self) -> None:
        for invoice in in_portions(Invoice.objects.select_related("tenant", "period"), 1000):
            self.stdout.write(f"{invoice}\t{invoice.kind}\t{invoice.state}\t{invoice.period}\t{invoice.tenant}")
        for parked in ParkedTenant.objects.select_related("tenant"):
            self.stdout.write(f"parked: {parked.tenant}, {parked.step} since {parked.since:%F}: {parked.reason}")

    def _render(self, number: str, file: Path) -> None:
        invoice = Invoice.objects.filter(number=number).first()
        if invoice is None:
            raise CommandError(f"there is no document {number}")
        file.write_bytes(pdf.render(invoice.document))
        self.stdout.write(f"{file}: SHA-256 of its snapshot {invoice.snapshot_hash}")
