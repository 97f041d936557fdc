"""`manage.py doctor`: what is wrong with this installation, in words."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from administration import doctor


class Command(BaseCommand):
    help = "Looks at everything the gateway stands on and says what is wrong and what to do. Changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        wrong = 0
        for part, examine in doctor.EXAMINATIONS.items():
            finding = doctor.examined(examine)
            wrong += finding.state is doctor.State.WRONG
            self.stdout.write(f"{finding.state.value:6} {part}: {finding.words}")
        if wrong:
            raise CommandError(f"{wrong} of {len(doctor.EXAMINATIONS)} parts are not well")
