"""`manage.py prices diff|apply`: our prices beside the vendors', from a pinned package of public prices."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.money import to_json_number
from routing.catalogue import vendor_prices, vendors


class Command(BaseCommand):
    help = (
        "Compares list prices and cost prices in USD with those that vendors publish (package genai-prices, as pinned; "
        "nothing is fetched). `diff` only tells. `apply` takes over what falls; what rises, is new, becomes free or no "
        "longer free, or moves more than tenfold waits until it is named with --accept. Prices set by hand are never "
        "changed, and nothing is deleted. Safe to run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=("diff", "apply"))
        parser.add_argument(
            "--on", type=dt.date.fromisoformat, help="the vendors' prices of this day; today by default"
        )
        parser.add_argument(
            "--accept", action="append", default=[], metavar="NAME", help="a model or `model @ channel`"
        )

    def handle(self, *args: Any, what: str, accept: list[str], **options: Any) -> None:
        found = list(vendor_prices.differences(options["on"] or timezone.now().date()))
        unknown = set(accept) - {each.name for each in found if each.verdict.may_be_accepted}
        if unknown:
            raise CommandError(f"nothing to accept for {', '.join(sorted(unknown))}; see `manage.py prices diff`")
        applied = 0
        for each in found:
            self.stdout.write(f"{each.name}: {each.verdict}")
            for name, ours, theirs in each.changes():
                self.stdout.write(f"    {name}: {_shown(ours)} -> {_shown(theirs)}")
            if each.theirs.left_out:
                self.stdout.write(f"    not carried: {', '.join(each.theirs.left_out)}")
            if what == "apply" and (each.verdict.may_apply or each.name in accept):
                vendor_prices.apply(each)
                applied += 1
                self.stdout.write("    applied")
        self.stdout.write(f"{len(found)} differ from {vendors.SOURCE}, {applied} applied")


def _shown(rate: int | None) -> str:
    return "none" if rate is None else to_json_number(rate, "USD")
