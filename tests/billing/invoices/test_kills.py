"""A process killed by signal 9 before any statement of a month or of a credit note: the next one finishes it.

Nothing is there twice, no number is missing, and a mail is repeated once at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.invoices import paying
from billing.models import Invoice, InvoiceMail, LedgerEntry, LegalEntity
from tests.billing.invoices.customers import APRIL, CENT, Customer, customer
from tests.billing.invoices.forks import Forks


@pytest.fixture
def forks(database: str, tmp_path: Path) -> Iterator[Forks]:
    with Forks(database, tmp_path) as running:
        yield running


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.chaos)])
def test_month_that_is_killed_at_any_statement_is_finished_by_the_next_run(
    entity: LegalEntity, forks: Forks, tmp_path: Path, stride: int
) -> None:
    kills = 0
    while True:
        one = customer(postpaid=True, email=f"after{kills}@example.com")
        one.spend((kills + 1) * CENT)
        one.post(LedgerEntry.Kind.TOP_UP, 5, APRIL.replace(month=3))
        if not forks.killed(kills * stride + 1, "month", one.tenant.pk):
            break
        # What a dead process claimed is free after ten minutes; nobody waits for them here.
        InvoiceMail.objects.filter(invoice__tenant=one.tenant, sent_at=None).update(claimed_at=None)
        assert not forks.killed(0, "month", one.tenant.pk)
        _assert_once(one, kills + 1)
        kills += 1

    assert kills * stride > 30
    numbers = Invoice.objects.filter(entity=entity).values_list("number", flat=True)
    assert sorted(int(str(number)[-5:]) for number in numbers) == list(range(1, kills + 2))
    mails = "".join(path.read_text() for path in tmp_path.iterdir())
    assert {mails.count(f"To: after{number}@example.com") for number in range(kills)} <= {1, 2}


def _assert_once(one: Customer, cents: int) -> None:
    (invoice,) = Invoice.objects.filter(tenant=one.tenant)
    assert (invoice.state, invoice.total, len(one.periods)) == ("final", cents, 1)
    assert invoice.mail.sent_at is not None


def test_credit_that_is_killed_at_any_statement_is_there_wholly_or_not_at_all(postpaid: Customer, forks: Forks) -> None:
    postpaid.spend(10_000 * CENT)
    invoice = paying.pay(postpaid.final().pk, reason="bank", now=APRIL)
    before = postpaid.available

    kills = 0
    while forks.killed(kills + 1, "credit", invoice.pk, kills):
        assert invoice.credit_notes.count() == kills
        assert postpaid.available == before + 3 * kills * CENT
        assert not forks.killed(0, "credit", invoice.pk, kills)
        kills += 1

    assert kills > 8
    assert postpaid.available == before + 3 * (kills + 1) * CENT
    found = sorted(int(note.number[-5:]) for note in invoice.credit_notes.all())
    assert found == list(range(1, kills + 2))
