"""Credit notes: never more than what is left, and the wallet gets what it had paid."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from contextlib import suppress

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError

from billing.invoices import crediting, finalising, paying
from billing.invoices.finalising import InvoiceConflict
from billing.kinds import Usage
from billing.models import CreditNote, Invoice, LedgerEntry, NumberSeries, TaxRate
from tests.billing.invoices.customers import APRIL, CENT, Customer
from tests.bookkeeping import race

Effect = CreditNote.Effect


def paid(one: Customer, *amounts: int, percent: int = 0) -> Invoice:
    """A paid invoice with a line of each of these amounts in cents."""
    invoice = due(one, *amounts, percent=percent)
    return paying.pay(invoice.pk, reason="bank", now=APRIL)


def due(one: Customer, *amounts: int, percent: int = 0) -> Invoice:
    if percent:
        TaxRate.objects.create(jurisdiction="VN", name="VAT", percent=percent, starts_on=dt.date(2026, 1, 1))
    for amount in amounts:
        one.spend(amount * CENT)
    return one.final()


def notes(invoice: Invoice) -> int:
    return invoice.credit_notes.count()


def test_note_gives_back_a_line_with_its_tax_and_credits_the_wallet(postpaid: Customer) -> None:
    invoice = paid(postpaid, 1000, 500, percent=10)
    before = postpaid.available

    note = crediting.credit(invoice.pk, lines={0: 400}, effect=Effect.WALLET, reason="an outage")

    assert (note.net, note.taxes, note.total) == (400, [40], 440)
    assert postpaid.available == before + 440 * CENT
    entry = LedgerEntry.objects.get(reference=f"credit-note:{note.pk}")
    assert (entry.kind, entry.amount) == ("adjustment", 440 * CENT)
    assert note.document["credits"]["number"] == invoice.number
    assert "-CN-2026-" in note.number or "-CN-" in note.number


def test_note_on_what_is_not_paid_lowers_what_is_due_and_gives_the_wallet_what_it_paid(postpaid: Customer) -> None:
    invoice = due(postpaid, 1000, percent=10)
    before = postpaid.available

    note = crediting.credit(invoice.pk, lines={0: 400}, effect=Effect.OFFSET, reason="an outage")
    paying.pay(invoice.pk, reason="the rest", now=APRIL)

    assert note.total == 440
    assert postpaid.available == before + 400 * CENT + 600 * CENT == 10**15


def test_e13_note_on_an_unpaid_invoice_is_neither_paid_out_nor_credited(postpaid: Customer) -> None:
    invoice = due(postpaid, 1000)
    before = postpaid.available

    for effect in (Effect.WALLET, Effect.PAID_OUT):
        with pytest.raises(InvoiceConflict, match="It is not paid"):
            crediting.credit(invoice.pk, lines={0: 400}, effect=effect, reason="no")

    assert (postpaid.available, notes(invoice)) == (before, 0)


def test_what_is_paid_has_nothing_due_to_take_off(postpaid: Customer) -> None:
    invoice = paid(postpaid, 1000)

    with pytest.raises(InvoiceConflict, match="It is paid"):
        crediting.credit(invoice.pk, lines={0: 400}, effect=Effect.OFFSET, reason="no")

    assert notes(invoice) == 0


def test_note_that_is_paid_out_moves_nothing_in_the_wallet(postpaid: Customer) -> None:
    invoice = paid(postpaid, 1000)
    before = postpaid.available

    note = crediting.credit(invoice.pk, lines={0: 1000}, effect=Effect.PAID_OUT, reason="by bank")

    assert (note.total, postpaid.available) == (1000, before)


def test_usage_on_a_statement_can_be_credited_to_the_wallet(prepaid: Customer) -> None:
    prepaid.spend(300 * CENT)
    statement = prepaid.final()
    before = prepaid.available

    note = crediting.credit(statement.pk, lines={0: 100}, effect=Effect.WALLET, reason="an outage")

    assert (note.total, prepaid.available) == (100, before + 100 * CENT)


def test_e14_top_up_on_a_statement_is_no_line_that_can_be_credited(prepaid: Customer) -> None:
    prepaid.post(LedgerEntry.Kind.TOP_UP, 5000 * CENT, APRIL.replace(month=3))
    prepaid.spend(10 * CENT)
    statement = prepaid.final()
    before = prepaid.available

    assert crediting.left(statement).total == 10
    with pytest.raises(InvoiceConflict):
        crediting.credit(statement.pk, lines={1: 5000}, effect=Effect.WALLET, reason="the top-up")

    assert (prepaid.available, notes(statement)) == (before, 0)


@pytest.mark.parametrize("lines", [{}, {0: 0}], ids=str)
def test_e12_note_of_zero_is_refused(postpaid: Customer, lines: dict[int, int]) -> None:
    invoice = paid(postpaid, 1000)
    before = postpaid.available

    with pytest.raises(InvoiceConflict):
        crediting.credit(invoice.pk, lines=lines, effect=Effect.WALLET, reason="nothing")

    assert (postpaid.available, notes(invoice)) == (before, 0)
    assert not NumberSeries.objects.filter(entity=invoice.entity_id, kind="credit_note", last__gt=0).exists()


@pytest.mark.parametrize("lines", [{0: 1002}, {0: -1}, {7: 5}, {2: 1}, {-1: 1}], ids=str)
def test_e12_note_above_the_remainder_of_a_line_is_refused(postpaid: Customer, lines: dict[int, int]) -> None:
    invoice = paid(postpaid, 1000, 2000)
    before = postpaid.available

    with pytest.raises(InvoiceConflict):
        crediting.credit(invoice.pk, lines=lines, effect=Effect.WALLET, reason="too much")

    assert (postpaid.available, notes(invoice)) == (before, 0)


def test_e12_excess_of_a_single_minor_unit_is_rounding_and_gets_the_rest(postpaid: Customer) -> None:
    invoice = paid(postpaid, 1000)

    assert crediting.credit(invoice.pk, lines={0: 1001}, effect=Effect.WALLET, reason="all").total == 1000
    with pytest.raises(InvoiceConflict):
        crediting.credit(invoice.pk, lines={0: 1}, effect=Effect.WALLET, reason="more")
    assert notes(invoice) == 1


def test_last_minor_unit_of_a_line_is_credited_and_what_has_nothing_left_is_no_line_of_the_note(
    postpaid: Customer,
) -> None:
    invoice = paid(postpaid, 1000, 500)
    for lines in ({0: 999}, {0: 1}):
        crediting.credit(invoice.pk, lines=lines, effect=Effect.WALLET, reason="all of it")

    note = crediting.credit(invoice.pk, lines={0: 1, 1: 5}, effect=Effect.WALLET, reason="and of the other")

    assert (note.lines, note.total, [line["amount"] for line in note.document["lines"]]) == ({1: 5}, 5, [5])
    assert crediting.left(invoice) == crediting.Left({0: 0, 1: 495}, [], 495)


def test_notes_of_small_parts_give_the_tax_back_with_the_lines(postpaid: Customer) -> None:
    TaxRate.objects.create(jurisdiction="VN", name="VAT", percent=50, starts_on=dt.date(2026, 1, 1), is_inclusive=True)
    invoice = paid(postpaid, 4)

    notes = [crediting.credit(invoice.pk, lines={0: 1}, effect=Effect.WALLET, reason="a cent") for _ in range(4)]

    assert [(note.net, note.taxes, note.total) for note in notes] == [
        (1, [0], 1),
        (1, [0], 1),
        (0, [1], 1),
        (1, [0], 1),
    ]


def test_entry_of_a_note_has_as_much_of_its_reason_as_fits(postpaid: Customer) -> None:
    invoice = paid(postpaid, 1000)

    note = crediting.credit(invoice.pk, lines={0: 1}, effect=Effect.WALLET, reason="x" * 300)

    text = LedgerEntry.objects.get(reference=f"credit-note:{note.pk}").note
    assert (text, len(text)) == (f"{note.number}: {'x' * (298 - len(note.number))}", 300)


def test_e11_notes_in_parts_give_back_exactly_the_invoice(postpaid: Customer) -> None:
    invoice = paid(postpaid, 769, percent=20)
    lines = [255, 255, 259]

    totals = [
        crediting.credit(invoice.pk, lines={0: amount}, effect=Effect.WALLET, reason="a part").total for amount in lines
    ]

    assert sum(totals) == invoice.total == 923
    assert crediting.left(invoice) == crediting.Left({0: 0}, [0], 0)


def test_draft_and_void_documents_cannot_be_credited(postpaid: Customer) -> None:
    postpaid.spend(CENT)
    (draft,) = postpaid.close()
    with pytest.raises(InvoiceConflict):
        crediting.credit(draft.pk, lines={0: 1}, effect=Effect.OFFSET, reason="a draft")
    finalising.finalise(draft.pk, APRIL)
    finalising.void(draft.pk, reason="void", now=APRIL)
    with pytest.raises(InvoiceConflict):
        crediting.credit(draft.pk, lines={0: 1}, effect=Effect.OFFSET, reason="void")
    assert notes(draft) == 0


def test_credited_document_cannot_be_voided(postpaid: Customer) -> None:
    invoice = due(postpaid, 1000)
    crediting.credit(invoice.pk, lines={0: 1}, effect=Effect.OFFSET, reason="a part")

    with pytest.raises(InvoiceConflict):
        finalising.void(invoice.pk, reason="no", now=APRIL)


def test_same_key_issues_one_note(postpaid: Customer) -> None:
    invoice, key = paid(postpaid, 1000), uuid.uuid4()
    before = postpaid.available

    race(
        lambda _books: crediting.credit(invoice.pk, lines={0: 100}, effect=Effect.WALLET, reason="once", key=key),
        4,
    )

    assert (notes(invoice), postpaid.available) == (1, before + 100 * CENT)


def test_notes_at_once_never_give_back_more_than_was_billed(postpaid: Customer) -> None:
    invoice = paid(postpaid, 1000, percent=10)
    before = postpaid.available

    def credit(_books: object) -> None:
        try:
            crediting.credit(invoice.pk, lines={0: 300}, effect=Effect.WALLET, reason="race")
        except InvoiceConflict:
            return

    race(credit, 8)

    assert notes(invoice) == 3
    assert sum(note.total for note in invoice.credit_notes.all()) == 990
    assert postpaid.available == before + 990 * CENT
    assert [note.number[-5:] for note in invoice.credit_notes.order_by("number")] == ["00001", "00002", "00003"]


def test_note_is_history(postpaid: Customer) -> None:
    invoice = paid(postpaid, 1000)
    note = crediting.credit(invoice.pk, lines={0: 100}, effect=Effect.WALLET, reason="once")

    with pytest.raises(ValidationError):
        note.save()
    with pytest.raises(ValidationError):
        note.delete()
    with pytest.raises(DatabaseError):
        CreditNote.objects.filter(pk=note.pk).update(total=1)
    assert CreditNote.objects.get(pk=note.pk).total == 100


@pytest.mark.parametrize(
    "parts", [(100,), (50, 50), (2, *(4,) * 24, 2)], ids=["at once", "in halves", "in small parts"]
)
def test_wallet_gets_back_what_it_paid_where_a_part_was_written_off(postpaid: Customer, parts: tuple[int, ...]) -> None:
    TaxRate.objects.create(jurisdiction="VN", name="VAT", percent=10, starts_on=dt.date(2026, 1, 1))
    postpaid.use(postpaid.price(), Usage(input=100 * CENT), cost=60 * CENT, claimed_cost=100 * CENT)
    invoice = postpaid.final()
    assert (invoice.document["net"], invoice.total) == (60, 66)
    before = postpaid.available

    for part in parts:
        with suppress(InvoiceConflict):  # once nothing is left
            crediting.credit(invoice.pk, lines={0: part}, effect=Effect.OFFSET, reason="a part")

    assert sum(note.total for note in invoice.credit_notes.all()) == 66
    assert postpaid.available == before + 60 * CENT


def test_note_of_a_document_with_a_negative_line_gives_back_what_is_left(prepaid: Customer) -> None:
    prepaid.use(prepaid.price(), Usage(input=100 * CENT), cost=60 * CENT, claimed_cost=100 * CENT)
    statement = prepaid.final()

    assert [line["amount"] for line in statement.document["lines"]] == [100, -40]
    note = crediting.credit(statement.pk, lines={0: 100}, effect=Effect.WALLET, reason="all of it")

    assert note.total == 60
    assert json.loads(note.snapshot)["total"] == 60
