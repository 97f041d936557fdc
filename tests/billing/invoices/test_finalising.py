"""Becoming final: once, with a number without gaps, and unchangeable from then on."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction

from accounts.models import User
from billing import breaks
from billing.invoices import drafts, finalising, numbers, paying, snapshots
from billing.invoices.finalising import CannotFinalise, InvoiceConflict
from billing.models import (
    BillingProfile,
    Break,
    Invoice,
    InvoiceMail,
    LedgerEntry,
    LegalEntity,
    NumberSeries,
    TaxRate,
)
from tests.billing.invoices.customers import APRIL, CENT, MARCH, Customer, customer, seller, utc
from tests.bookkeeping import race

KIND = NumberSeries.Kind.INVOICE
DAY = dt.date(2026, 4, 3)


def row(invoice: Invoice) -> dict[str, Any]:
    return {**Invoice.objects.filter(pk=invoice.pk).values().get()}


def tax(percent: str, **fields: Any) -> TaxRate:
    given = {"jurisdiction": "VN", "name": "VAT", "percent": percent, "starts_on": dt.date(2026, 1, 1)}
    return TaxRate.objects.create(**(given | fields))


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_e1_number_comes_with_becoming_final_and_drafts_do_not_disturb_it(postpaid: Customer) -> None:
    other = customer(postpaid=True)
    for one in (postpaid, other):
        one.spend(5 * CENT)
        one.close()

    first = other.final()
    second = finalising.finalise(Invoice.objects.get(tenant=postpaid.tenant).pk, APRIL)

    assert [str(each.number)[-9:] for each in (first, second)] == ["026-00001", "026-00002"]


def test_e2_scheme_that_is_switched_back_and_forth_gives_no_number_twice(entity: LegalEntity) -> None:
    one, other = customer(), customer()

    def take(tenant: Any, count: int) -> list[str]:
        with transaction.atomic():
            return [numbers.take(entity=entity, kind=KIND, tenant=tenant.tenant, day=DAY) for _each in range(count)]

    entity.numbering = LegalEntity.Numbering.TENANT
    own = take(one, 4) + take(other, 5)
    entity.numbering = LegalEntity.Numbering.ENTITY
    shared = take(other, 1)
    entity.numbering = LegalEntity.Numbering.TENANT
    again = take(one, 1)

    assert [number[-5:] for number in own] == ["00001", "00002", "00003", "00004"] + [f"0000{n}" for n in range(1, 6)]
    assert [number[-5:] for number in shared + again] == ["00010", "00005"]
    assert len({*own, *shared, *again}) == 11


def test_e4_twenty_at_once_get_the_numbers_from_one_to_twenty(entity: LegalEntity) -> None:
    one, taken = customer(), []

    def take(_books: object) -> None:
        with transaction.atomic():
            number = numbers.take(entity=entity, kind=KIND, tenant=one.tenant, day=DAY)
        taken.append(int(number[-5:]))

    race(take, 20)

    assert sorted(taken) == list(range(1, 21))


def test_e4_who_rolls_back_gives_the_number_back(entity: LegalEntity) -> None:
    one = customer()

    def take(*, fails: bool) -> str:
        with transaction.atomic():
            number = numbers.take(entity=entity, kind=KIND, tenant=one.tenant, day=DAY)
            if fails:
                raise RuntimeError(number)
        return number

    first = take(fails=False)
    with pytest.raises(RuntimeError, match="00002"):
        take(fails=True)

    assert (first[-5:], take(fails=False)[-5:]) == ("00001", "00002")


def test_number_is_not_taken_outside_of_a_transaction(entity: LegalEntity) -> None:
    with pytest.raises(RuntimeError):
        numbers.take(entity=entity, kind=KIND, tenant=customer().tenant, day=DAY)
    assert not NumberSeries.objects.filter(entity=entity).exists()


def test_each_year_and_kind_counts_from_one(entity: LegalEntity) -> None:
    one = customer()
    with transaction.atomic():
        found = [
            numbers.take(entity=entity, kind=NumberSeries.Kind(kind), tenant=one.tenant, day=dt.date(year, 5, 1))
            for kind, year in (("invoice", 2026), ("invoice", 2027), ("statement", 2026), ("credit_note", 2026))
        ]

    prefix = entity.prefix
    assert found == [
        f"{prefix}-INV-2026-00001",
        f"{prefix}-INV-2027-00001",
        f"{prefix}-ST-2026-00001",
        f"{prefix}-CN-2026-00001",
    ]


def test_year_of_a_number_is_that_of_the_day_in_the_sellers_zone(database: str) -> None:
    seller(time_zone="Asia/Ho_Chi_Minh")
    one = customer(since=utc(2026, 12, 2))
    one.spend(CENT, at=utc(2026, 12, 5))

    invoice = one.final(utc(2027, 1, 2, 17))

    assert invoice.issued_on == dt.date(2027, 1, 3)
    assert "-2027-" in str(invoice.number)


# --- becoming final --------------------------------------------------------------------------------------------------


def test_e5_ten_runs_have_one_hash_and_write_nothing(postpaid: Customer) -> None:
    postpaid.spend(123 * CENT + 7)
    before = row(postpaid.final())

    for _run in range(10):
        postpaid.close()
        finalising.finalise(before["id"], utc(2026, 4, 9))

    assert row(Invoice(pk=before["id"])) == before
    assert before["snapshot_hash"] == snapshots.digest(before["snapshot"])
    assert NumberSeries.objects.get(entity=before["entity_id"], tenant=None, kind=KIND).last == 1
    assert InvoiceMail.objects.filter(invoice=before["id"]).count() == 1


def test_e5_two_finalisers_at_once_have_one_result(postpaid: Customer) -> None:
    postpaid.spend(CENT)
    (draft,) = postpaid.close()
    hashes = []

    race(lambda _books: hashes.append(finalising.finalise(draft.pk, APRIL).snapshot_hash), 6)

    assert len(hashes) == 6
    assert len(set(hashes)) == 1
    assert NumberSeries.objects.get(entity=Invoice.objects.get(pk=draft.pk).entity_id, tenant=None).last == 1


def test_document_adds_up_and_is_what_was_drafted(postpaid: Customer) -> None:
    tax("10")
    postpaid.spend(1005 * CENT)

    document = postpaid.final().document

    assert (document["net"], document["taxes"][0]["amount"], document["total"]) == (1005, 101, 1106)
    assert [line["amount"] for line in document["lines"]] == [1005]
    assert document["period"]["first_day"] == "2026-03-01"
    assert document["period"]["last_day"] == "2026-03-31"
    assert document["seller"]["name"] == "Router Ltd"


@pytest.mark.parametrize(
    ("taxes", "net", "amounts", "total"),
    [
        pytest.param([("5", {}), ("9.975", {"name": "QST"})], 10_000, [998, 500], 11_498, id="two rates"),
        pytest.param([("10", {"is_inclusive": True})], 9_091, [909], 10_000, id="included"),
        pytest.param([("10", {"starts_on": dt.date(2026, 4, 4)})], 10_000, [], 10_000, id="not yet"),
        pytest.param([("10", {"starts_on": dt.date(2026, 4, 3)})], 10_000, [1_000], 11_000, id="on its first day"),
        pytest.param([("10", {"ends_on": dt.date(2026, 4, 2)})], 10_000, [], 10_000, id="no longer"),
        pytest.param([("10", {"ends_on": dt.date(2026, 4, 3)})], 10_000, [1_000], 11_000, id="on its last day"),
        pytest.param([("10", {"jurisdiction": "US"})], 10_000, [], 10_000, id="of another country"),
        pytest.param([("0", {})], 10_000, [0], 10_000, id="of zero"),
    ],
)
def test_taxes_are_rows_that_apply_on_the_day(
    postpaid: Customer, taxes: list[tuple[str, dict[str, Any]]], net: int, amounts: list[int], total: int
) -> None:
    for percent, fields in taxes:
        tax(percent, **fields)
    postpaid.spend(100 * 100 * CENT)

    document = postpaid.final().document

    assert (document["net"], [each["amount"] for each in document["taxes"]], document["total"]) == (net, amounts, total)


def test_rate_that_changes_later_does_not_change_what_is_final(postpaid: Customer) -> None:
    rate = tax("10")
    postpaid.spend(1000 * CENT)
    before = row(postpaid.final())

    TaxRate.objects.filter(pk=rate.pk).update(percent=20)

    assert row(Invoice(pk=before["id"])) == before


@pytest.mark.parametrize(
    ("profile", "note"),
    [
        pytest.param({"country": "DE", "tax_id": "DE1"}, "reverse_charge", id="reverse charge abroad"),
        pytest.param({"tax_exemption": "X-77"}, "exempt: X-77", id="exempt"),
    ],
)
def test_who_owes_no_tax_is_told_why(entity: LegalEntity, profile: dict[str, Any], note: str) -> None:
    tax("10")
    tax("19", jurisdiction="DE", is_reverse_charge=True)
    one = customer(postpaid=True, **profile)
    one.spend(CENT)

    document = one.final().document

    assert (document["taxes"], document["notes"], document["total"]) == ([], [note], 1)


def test_buyer_abroad_without_a_tax_id_pays_his_countrys_tax(entity: LegalEntity) -> None:
    tax("19", jurisdiction="DE")
    tax("19", jurisdiction="DE", name="reversed", is_reverse_charge=True)
    one = customer(postpaid=True, country="DE")
    one.spend(100 * CENT)

    assert [each["amount"] for each in one.final().document["taxes"]] == [19]


@pytest.mark.parametrize(
    ("country", "reversed_in"),
    [
        pytest.param("VN", "VN", id="at home, where the charge is reversed"),
        pytest.param("", "VN", id="of a country that he does not name"),
        pytest.param("DE", "FR", id="abroad, where it is not reversed"),
    ],
)
def test_buyer_with_a_tax_id_pays_the_tax(entity: LegalEntity, country: str, reversed_in: str) -> None:
    tax("10")
    tax("10", jurisdiction="DE")
    tax("19", jurisdiction=reversed_in, name="reversed", is_reverse_charge=True)
    one = customer(postpaid=True, country=country, tax_id="X1")
    one.spend(100 * CENT)

    document = one.final().document

    assert ([each["amount"] for each in document["taxes"]], document["notes"]) == ([10], [])


def test_statement_is_no_taxed_sale_unless_a_row_says_so(prepaid: Customer) -> None:
    tax("10")
    prepaid.spend(1100 * CENT)
    prepaid.spend(1100 * CENT, at=utc(2026, 4, 5))
    march = prepaid.final()
    tax("10", is_inclusive=True, is_on_statements=True, name="included")

    april = prepaid.final(utc(2026, 5, 3))

    assert (march.document["taxes"], march.total) == ([], 1100)
    assert ([each["amount"] for each in april.document["taxes"]], april.document["net"], april.total) == (
        [100],
        1000,
        1100,
    )


def test_e24_days_of_review_that_become_fewer_make_drafts_final_at_once(postpaid: Customer, settings: Any) -> None:
    postpaid.spend(CENT)
    (draft,) = postpaid.close(utc(2026, 4, 2))

    def is_due(*moment: int) -> bool:
        return draft.pk in {pk for pk, _tenant in finalising.due(utc(*moment))}

    settings.INVOICE_DRAFT_DAYS = 5
    assert not is_due(2026, 4, 5)
    settings.INVOICE_DRAFT_DAYS = 1
    assert is_due(2026, 4, 2)
    assert not is_due(2026, 4, 1, 23, 59, 59)


def test_draft_without_a_seller_waits(database: str) -> None:
    LegalEntity.objects.update(is_default=False)
    one = customer()
    one.spend(CENT)
    (draft,) = one.close()

    with pytest.raises(CannotFinalise):
        finalising.finalise(draft.pk, APRIL)

    assert row(draft)["state"] == "draft"
    assert not InvoiceMail.objects.filter(invoice=draft).exists()


def test_draft_of_a_tenant_whose_books_do_not_add_up_waits(postpaid: Customer) -> None:
    postpaid.spend(CENT)
    (draft,) = postpaid.close()
    found = Break.objects.create(check_name="identity", tenant=postpaid.tenant, subject="x", expected=3, found=0)

    with pytest.raises(CannotFinalise):
        finalising.finalise(draft.pk, APRIL)
    breaks.close([found], by=User.objects.create_superuser("olga@example.com"), reason="a slip")

    assert finalising.finalise(draft.pk, APRIL).state == "final"


def test_tenant_may_be_sold_to_by_another_legal_entity(entity: LegalEntity) -> None:
    other = seller(is_default=False, name="Other GmbH")
    one = customer(entity=other)
    one.spend(CENT)

    assert one.final().document["seller"]["name"] == "Other GmbH"


# --- unchangeable ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"total": 1}, {"snapshot": "{}"}, {"number": "X-1"}, {"state": "draft"}, {"content": {}}, {"reason": "why not"}],
    ids=str,
)
def test_final_document_is_refused_every_change_by_the_database(postpaid: Customer, change: dict[str, Any]) -> None:
    postpaid.spend(CENT)
    before = row(postpaid.final())

    with pytest.raises(DatabaseError):
        Invoice.objects.filter(pk=before["id"]).update(**change)

    assert row(Invoice(pk=before["id"])) == before


def test_final_document_cannot_be_deleted_by_model_or_database(postpaid: Customer) -> None:
    postpaid.spend(CENT)
    invoice = postpaid.final()
    InvoiceMail.objects.filter(invoice=invoice).delete()

    with pytest.raises(ValidationError):
        invoice.delete()
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("DELETE FROM billing_invoice WHERE id = %s", [invoice.pk])

    assert row(invoice)["state"] == "final"


def test_voided_document_stays_as_it_is(postpaid: Customer) -> None:
    postpaid.spend(CENT)
    invoice = postpaid.final()
    finalising.void(invoice.pk, reason="wrong address", now=APRIL)

    with pytest.raises(DatabaseError):
        Invoice.objects.filter(pk=invoice.pk).update(state="final")

    assert row(invoice)["state"] == "void"


# --- void and paid ---------------------------------------------------------------------------------------------------


def test_void_drafts_the_period_anew_under_another_number(postpaid: Customer) -> None:
    postpaid.spend(100 * CENT)
    first = postpaid.final()

    finalising.void(first.pk, reason="the customer's address was wrong", now=APRIL)
    BillingProfile.objects.filter(tenant=postpaid.tenant).update(address="The right one")
    second = postpaid.final()

    assert (first.number, second.number) != (second.number, first.number)
    assert second.document["buyer"]["address"] == "The right one"
    assert second.document["total"] == first.document["total"]
    assert row(first)["state"] == "void"


def test_void_is_refused_on_another_day(postpaid: Customer) -> None:
    postpaid.spend(CENT)
    invoice = postpaid.final()

    with pytest.raises(InvoiceConflict):
        finalising.void(invoice.pk, reason="late", now=APRIL + dt.timedelta(days=1))

    assert row(invoice)["state"] == "final"


def test_e6_draft_paid_and_voided_documents_cannot_be_voided(postpaid: Customer) -> None:
    postpaid.spend(CENT)
    (draft,) = postpaid.close()
    with pytest.raises(InvoiceConflict):
        finalising.void(draft.pk, reason="no", now=APRIL)
    finalising.finalise(draft.pk, APRIL)
    finalising.void(draft.pk, reason="yes", now=APRIL)
    with pytest.raises(InvoiceConflict):
        finalising.void(draft.pk, reason="again", now=APRIL)
    again = postpaid.final()
    paying.pay(again.pk, reason="bank", now=APRIL)
    with pytest.raises(InvoiceConflict):
        finalising.void(again.pk, reason="paid", now=APRIL)

    assert (row(draft)["state"], row(draft)["reason"], row(again)["state"]) == ("void", "yes", "paid")


def test_e6_of_two_who_void_one_is_refused(postpaid: Customer) -> None:
    postpaid.spend(CENT)
    invoice, outcomes = postpaid.final(), []

    def void(_books: object) -> None:
        try:
            finalising.void(invoice.pk, reason="race", now=APRIL)
            outcomes.append("void")
        except InvoiceConflict:
            outcomes.append("refused")

    race(void, 2)

    assert sorted(outcomes) == ["refused", "void"]


def test_voiding_while_others_finalise_leaves_one_live_document(postpaid: Customer) -> None:
    postpaid.spend(CENT)
    (draft,) = postpaid.close()

    def work(_books: object) -> None:
        try:
            finalising.void(draft.pk, reason="race", now=APRIL)
        except InvoiceConflict:
            finalising.finalise(draft.pk, APRIL)
        drafts.draft(postpaid.periods[0])

    race(work, 6)

    states = sorted(Invoice.objects.filter(tenant=postpaid.tenant).values_list("state", flat=True))
    assert states in (["final"], ["draft", "void"])
    series = NumberSeries.objects.get(entity=row(draft)["entity_id"], tenant=None, kind=KIND)
    assert series.last == 1


def test_paid_invoice_gives_the_wallet_what_was_used_and_keeps_what_is_finer(postpaid: Customer) -> None:
    tax("10")
    postpaid.spend(100 * CENT + 3)
    invoice = postpaid.final()

    paying.pay(invoice.pk, reason="bank transfer 77", now=APRIL)

    entry = LedgerEntry.objects.get(reference=f"invoice:{invoice.pk}")
    assert (entry.kind, entry.amount) == ("top_up", 100 * CENT)
    assert postpaid.available == 10**15 - 3


def test_invoice_is_paid_once_and_a_statement_never(postpaid: Customer, prepaid: Customer) -> None:
    for one in (postpaid, prepaid):
        one.spend(CENT)
    invoice, statement = postpaid.final(), prepaid.final()
    paying.pay(invoice.pk, reason="bank", now=APRIL)
    available = postpaid.available, prepaid.available

    for each in (invoice, statement):
        with pytest.raises(InvoiceConflict):
            paying.pay(each.pk, reason="again", now=APRIL)

    assert (postpaid.available, prepaid.available) == available


# --- what others' suites ask of voids and payments -------------------------------------------------------------------


def test_e7_void_of_a_statement_mints_nothing(prepaid: Customer) -> None:
    prepaid.post(LedgerEntry.Kind.TOP_UP, 500 * CENT, MARCH)
    prepaid.spend(CENT)
    invoice = prepaid.final()
    before, entries = prepaid.available, LedgerEntry.objects.filter(balance=prepaid.wallet).count()

    finalising.void(invoice.pk, reason="a wrong name", now=APRIL)

    assert prepaid.available == before
    assert LedgerEntry.objects.filter(balance=prepaid.wallet).count() == entries


def test_e19_invoice_is_paid_once(postpaid: Customer) -> None:
    postpaid.spend(1000 * CENT)
    invoice = postpaid.final()
    paying.pay(invoice.pk, reason="bank 1", now=APRIL)
    before = postpaid.available

    with pytest.raises(InvoiceConflict):
        paying.pay(invoice.pk, reason="bank 2", now=APRIL)

    assert postpaid.available == before
    assert LedgerEntry.objects.filter(balance=postpaid.wallet, kind="top_up").count() == 1
