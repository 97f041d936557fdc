"""A process that works in forks of itself, each killed by signal 9 before its so-manieth statement.

It draws nothing itself: threads of a library do not live in a fork. Its database is the one that DATABASE_URL names.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[3]


class Forks:
    """The test's side: `killed(...)` says whether the work was killed or done."""

    def __init__(self, database_url: str, mails_in: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.billing.invoices.forks", str(mails_in)],
            env={**os.environ, "DATABASE_URL": database_url}, cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def killed(self, statement: int, work: str, *arguments: int) -> bool:
        """Does the work, by the name of WORKS; before statement 0 nobody is killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([statement, work, arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        assert answer in {"killed", "done"}, answer
        return answer == "killed"


def _month(tenant_id: int) -> None:
    """Everything that is done for one tenant."""
    from billing.invoices import finalising, jobs, mails
    from billing.models import Balance, Invoice
    from tests.billing.invoices.customers import APRIL

    jobs.close(Balance.objects.select_related("tenant").get(tenant=tenant_id), now=APRIL)
    invoice = Invoice.objects.get(tenant=tenant_id)
    finalising.finalise(invoice.pk, APRIL)
    mails.send(invoice.pk, APRIL)


def _credit(invoice_id: int, number: int) -> None:
    from billing.invoices import crediting
    from billing.models import CreditNote

    crediting.credit(
        invoice_id, lines={0: 3}, effect=CreditNote.Effect.WALLET, reason="again", key=uuid.UUID(int=number)
    )


WORKS: dict[str, Callable[..., None]] = {"month": _month, "credit": _credit}


def _serve(mails_in: str) -> None:
    import django
    from django.conf import settings

    django.setup()
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = mails_in
    for line in sys.stdin:
        statement, work, arguments = json.loads(line)
        if (child := os.fork()) == 0:
            _work(statement, WORKS[work], arguments)
        _pid, status = os.waitpid(child, 0)
        answer = "killed" if os.WIFSIGNALED(status) else "done" if not status else f"failed: {status}"
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _work(statement: int, work: Callable[..., None], arguments: list[int]) -> None:
    from django.db import connection

    left = [statement]

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(sql, params, many, context)

    code = 1
    try:
        with connection.execute_wrapper(count):
            work(*arguments)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
