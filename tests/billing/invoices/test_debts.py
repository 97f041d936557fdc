"""What leaves a wallet below zero and is not usage: named on the next invoice, once, without taxes."""

from __future__ import annotations

import csv
import datetime as dt
import io
import secrets
from typing import Any

import pytest
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.invoices import crediting, drafts, finalising, jobs, mails, paying, pdf, prepaid, rounding, sheets, tables
from billing.invoices.finalising import InvoiceConflict
from billing.models import (
    Balance,
    BillingProfile,
    CreditNote,
    EmptyPeriod,
    Invoice,
    LedgerEntry,
    TaxRate,
)
from tests.billing.invoices.customers import (
    APRIL,
    CENT,
    LINE,
    Customer,
    breaks,
    customer,
    invoice_of,
    used,
    utc,
)  # fmt: skip

Kind = LedgerEntry.Kind


def post(one: Customer, kind: LedgerEntry.Kind, amount: int, at: dt.datetime, **fields: Any) -> LedgerEntry:
    """An entry of that moment, as `ledger.post` would have written it."""
    entry = LedgerEntry.objects.create(
        **({"reference": secrets.token_hex(8)} | fields), balance=one.wallet, kind=kind, amount=amount, created_at=at
    )
    Balance.objects.filter(pk=one.wallet.pk).update(available=F("available") + amount)
    return entry


def top_up(one: Customer, cents: int, *moment: int) -> LedgerEntry:
    return post(one, Kind.TOP_UP, cents * CENT, utc(*moment), contra=LedgerEntry.Account.CASH_STRIPE)


def taken_back(one: Customer, of: LedgerEntry, *moment: int) -> LedgerEntry:
    """By the payer's bank."""
    return post(
        one, Kind.REFUND, -of.amount, utc(*moment), reference=f"dispute:{secrets.token_hex(4)}", of=of,
        contra=LedgerEntry.Account.CASH_STRIPE,
    )  # fmt: skip


def adjusted(one: Customer, cents: int, *moment: int, note: str = "") -> LedgerEntry:
    return post(one, Kind.ADJUSTMENT, cents * CENT, utc(*moment), note=note)


def corrected(one: Customer, cents: int, *moment: int) -> LedgerEntry:
    """What a request cost more (below zero) or less than its record says."""
    name = f"late-{secrets.token_hex(16)}-{one.wallet.pk}"
    return post(one, Kind.ADJUSTMENT, cents * CENT, utc(*moment), reference=name)


def foot(invoice: Invoice, language: str = "en") -> list[list[str]]:
    sheet = sheets.sheet(invoice.document, language)
    return [*sheet["foot"], sheet["total"]]


def vat(*, is_inclusive: bool = False) -> None:
    TaxRate.objects.create(
        jurisdiction="VN", name="VAT", percent=10, starts_on=dt.date(2026, 1, 1), is_inclusive=is_inclusive
    )


def paid_and_taken_back(one: Customer) -> Invoice:
    """March's invoice of 30, noted as paid by a top-up that its bank took back in April."""
    used(one, 3000)
    march = invoice_of(one, 3)
    payment = top_up(one, 3000, 2026, 4, 4)
    paying.pay(march.pk, reason="by card", now=utc(2026, 4, 5))
    taken_back(one, payment, 2026, 4, 20)
    return march


# --- a payment of an invoice that was taken back ----------------------------------------------------------------------


def test_payment_that_was_taken_back_is_asked_for_by_name_on_the_next_invoice(postpaid: Customer) -> None:
    march = paid_and_taken_back(postpaid)
    used(postpaid, 500, month=4)

    april = invoice_of(postpaid, 4)

    march.refresh_from_db()
    assert (march.state, april.total, april.owed, april.due, april.from_wallet) == ("paid", 500, 3000, 3500, 0)
    assert foot(april) == [
        ["Total", "5.00"],
        ["Payment of April 4, 2026, taken back by its bank on April 20, 2026", "30.00"],
        ["Amount due", "35.00\xa0USD"],
    ]
    assert breaks(postpaid) == []


def test_month_without_usage_has_an_invoice_of_what_was_taken_back(postpaid: Customer) -> None:
    paid_and_taken_back(postpaid)

    april = invoice_of(postpaid, 4)

    assert (april.content["lines"], april.total, april.due, april.is_settled) == ([], 0, 3000, False)
    assert pdf.render(april.document).startswith(b"%PDF-")
    available = postpaid.available
    paying.pay(april.pk, reason="bank", now=utc(2026, 5, 9))
    assert (available, postpaid.available) == (LINE - 3000 * CENT, LINE)
    assert invoice_of_nothing(postpaid, 5)
    assert breaks(postpaid) == []


def invoice_of_nothing(one: Customer, month: int) -> bool:
    """Whether that month has no document."""
    one.close(utc(2026, month + 1, 3))
    return EmptyPeriod.objects.filter(period=one.periods[-1]).exists()


def test_dispute_that_is_won_within_the_month_leaves_no_word(postpaid: Customer) -> None:
    march = paid_and_taken_back(postpaid)
    post(postpaid, Kind.ADJUSTMENT, 3000 * CENT, utc(2026, 4, 25), contra=LedgerEntry.Account.CASH_STRIPE)
    used(postpaid, 500, month=4)

    april = invoice_of(postpaid, 4)

    assert (march.due, april.owed, april.due) == (3000, 0, 500)
    assert not {"owed", "from_wallet", "due"} & set(april.document)
    assert breaks(postpaid) == []


@pytest.mark.parametrize("is_noted", [True, False], ids=["noted", "not noted"])
def test_dispute_that_is_won_after_its_invoice_pays_that_or_the_next_one(postpaid: Customer, is_noted: bool) -> None:
    paid_and_taken_back(postpaid)
    april = invoice_of(postpaid, 4)
    post(postpaid, Kind.ADJUSTMENT, 3000 * CENT, utc(2026, 5, 4), contra=LedgerEntry.Account.CASH_STRIPE)
    if is_noted:
        paying.pay(april.pk, reason="the dispute was won", now=utc(2026, 5, 5))
    used(postpaid, 1000, month=5)

    may = invoice_of(postpaid, 5)

    assert (may.owed, may.due, may.from_wallet) == ((0, 1000, 0) if is_noted else (0, 0, 1000))
    assert postpaid.available == LINE - 1000 * CENT
    assert breaks(postpaid) == []


def test_what_an_unpaid_invoice_asks_for_beside_its_lines_is_not_asked_for_again(postpaid: Customer) -> None:
    paid_and_taken_back(postpaid)
    april = invoice_of(postpaid, 4)
    used(postpaid, 700, month=5)

    assert (april.due, invoice_of(postpaid, 5).due) == (3000, 700)


def test_taxes_of_a_payment_that_was_taken_back_are_asked_for_once(postpaid: Customer) -> None:
    vat()
    used(postpaid, 3000)
    march = invoice_of(postpaid, 3)
    payment = top_up(postpaid, 3300, 2026, 4, 4)
    post(postpaid, Kind.ADJUSTMENT, -300 * CENT, utc(2026, 4, 5), reference=f"invoice:{march.pk}:taxes")
    paying.pay(march.pk, reason="by card", now=utc(2026, 4, 5))
    assert postpaid.available == LINE
    taken_back(postpaid, payment, 2026, 4, 20)
    used(postpaid, 1000, month=4)

    april = invoice_of(postpaid, 4)

    assert (april.total, april.owed, april.due) == (1100, 3300, 4400)
    assert [row[1] for row in foot(april)] == ["10.00", "1.00", "11.00", "33.00", "44.00\xa0USD"]
    paying.pay(april.pk, reason="bank", is_besides=True, now=utc(2026, 5, 9))
    assert postpaid.available == LINE
    assert breaks(postpaid) == []


# --- refunds, adjustments, credit that ended --------------------------------------------------------------------------


def test_each_entry_is_named_with_its_reason(postpaid: Customer) -> None:
    payment = top_up(postpaid, 1000, 2026, 3, 2)
    used(postpaid, 1000)
    march = invoice_of(postpaid, 3)
    adjusted(postpaid, -150, 2026, 4, 16, note="a wrong grant")
    post(postpaid, Kind.REFUND, -400 * CENT, utc(2026, 4, 17), of=payment, note="asked for it")
    post(postpaid, Kind.EXPIRY, -50 * CENT, utc(2026, 4, 18))

    april = invoice_of(postpaid, 4)

    assert march.due == 0
    assert foot(april) == [
        ["Total", "0.00"],
        ["Adjustment of April 16, 2026: a wrong grant", "1.50"],
        ["Refund of April 17, 2026: asked for it", "4.00"],
        ["Credit that ended on April 18, 2026", "0.50"],
        ["Amount due", "6.00\xa0USD"],
    ]
    assert breaks(postpaid) == []


def test_what_was_paid_in_covers_the_oldest_first(postpaid: Customer) -> None:
    for day, cents in ((3, -100), (4, -200), (5, -300)):
        adjusted(postpaid, cents, 2026, 3, day, note=f"no. {day}")
    top_up(postpaid, 250, 2026, 3, 6)

    march = invoice_of(postpaid, 3)

    assert [(row["note"], row["amount"]) for row in march.document["owed"]] == [("no. 4", 50), ("no. 5", 300)]
    assert (march.due, breaks(postpaid)) == (350, [])


def test_debt_of_the_time_before_invoices_is_asked_for(prepaid: Customer) -> None:
    used(prepaid, 1250)
    statement = invoice_of(prepaid, 3)
    BillingProfile.objects.filter(tenant=prepaid.tenant).update(billed=BillingProfile.Billed.POSTPAID)
    used(prepaid, 400, month=4)

    april = invoice_of(prepaid, 4)

    assert (statement.kind, april.kind) == ("statement", "invoice")
    assert foot(april) == [["Total", "4.00"], ["Owed from before", "12.50"], ["Amount due", "16.50\xa0USD"]]
    assert breaks(prepaid) == []


def test_debt_that_an_invoice_of_the_former_version_left_out_is_asked_for_on_the_next_one(postpaid: Customer) -> None:
    adjusted(postpaid, -700, 2026, 3, 3)
    used(postpaid, 500)
    (draft,) = postpaid.close()
    former = {name: value for name, value in draft.content.items() if name != "owed"}
    Invoice.objects.filter(pk=draft.pk).update(content=former)
    march = finalising.finalise(draft.pk, APRIL)
    assert (march.due, breaks(postpaid)) == (500, [])

    april = invoice_of(postpaid, 4)

    assert (april.due, foot(april)[1:2]) == (700, [["Owed from before", "7.00"]])
    assert breaks(postpaid) == []


def test_what_is_finer_than_a_cent_waits_until_it_is_one(postpaid: Customer) -> None:
    for month in (3, 4, 5):
        post(postpaid, Kind.ADJUSTMENT, -CENT * 4 // 10, utc(2026, month, 5))
    assert [invoice_of_nothing(postpaid, month) for month in (3, 4)] == [True, True]

    may = invoice_of(postpaid, 5)

    assert (may.due, [row["exact"] for row in may.document["owed"]]) == (1, [CENT])
    assert breaks(postpaid) == []


# --- requests that were corrected -------------------------------------------------------------------------------------


def test_correction_is_a_line_of_usage_with_its_taxes(postpaid: Customer) -> None:
    vat()
    used(postpaid, 1000)
    corrected(postpaid, -150, 2026, 3, 20)
    corrected(postpaid, -50, 2026, 3, 21)

    march = invoice_of(postpaid, 3)

    (line,) = march.document["lines"][1:]
    assert (line["kind"], line["quantity"], line["amount"], march.used) == ("corrected", 2, 200, 1000 * CENT)
    assert (march.document["subtotal"], march.total, march.due, march.owed) == (1200, 1320, 1320, 0)
    assert sum(part["amount"] for part in march.document["keys"]) == 1000
    row = sheets.sheet(march.document, "en")["groups"][-1]["rows"][0]
    assert row == ["Requests that were corrected later", "2", "", "2.00"]
    assert breaks(postpaid) == []


def test_correction_in_a_month_without_usage_makes_an_invoice(postpaid: Customer) -> None:
    corrected(postpaid, -150, 2026, 3, 20)
    march = invoice_of(postpaid, 3)
    assert (march.due, march.owed, breaks(postpaid)) == (150, 0, [])


@pytest.mark.parametrize(
    ("spent", "given", "subtotal", "due", "left"),
    [pytest.param(1000, 150, 850, 850, 0, id="less"), pytest.param(100, 150, 0, 0, 50, id="more than was used")],
)
def test_correction_that_gives_back_lowers_what_is_billed(
    postpaid: Customer, spent: int, given: int, subtotal: int, due: int, left: int
) -> None:
    used(postpaid, spent)
    corrected(postpaid, given, 2026, 3, 20)

    march = invoice_of(postpaid, 3)

    assert (march.document["subtotal"], march.due, march.from_wallet) == (subtotal, due, 0)
    if due:
        paying.pay(march.pk, reason="bank", now=utc(2026, 4, 9))
    assert postpaid.available == LINE + left * CENT
    assert breaks(postpaid) == []


# --- the document -----------------------------------------------------------------------------------------------------


def test_drafting_again_and_voiding_say_the_same(postpaid: Customer) -> None:
    paid_and_taken_back(postpaid)
    april = invoice_of(postpaid, 4)
    assert drafts.draft(april.period) == april
    finalising.void(april.pk, reason="a wrong name", now=utc(2026, 5, 3))

    (again,) = jobs.close(Balance.objects.select_related("tenant").get(pk=postpaid.wallet.pk), now=utc(2026, 5, 4))

    assert (again.content, again.content_hash) == (april.content, april.content_hash)


def test_credit_note_gives_back_lines_and_nothing_of_debts(postpaid: Customer) -> None:
    paid_and_taken_back(postpaid)
    used(postpaid, 500, month=4)
    april = invoice_of(postpaid, 4)
    available = postpaid.available
    with pytest.raises(InvoiceConflict):
        crediting.credit(april.pk, lines={0: 600}, effect=CreditNote.Effect.OFFSET, reason="too much")
    assert (postpaid.available, april.credit_notes.count()) == (available, 0)

    crediting.credit(april.pk, lines={0: 500}, effect=CreditNote.Effect.OFFSET, reason="an outage")

    assert prepaid.rest(april) == 3000 * CENT
    paying.pay(april.pk, reason="bank", is_besides=True, now=utc(2026, 5, 9))
    assert (postpaid.available, breaks(postpaid)) == (LINE, [])


def test_words_are_those_of_the_language_of_the_tenant(entity: object) -> None:
    one = customer(postpaid=True, language="vi", email="a@example.com")
    paid_and_taken_back(one)

    april = invoice_of(one, 4)

    assert foot(april, "vi")[1][0] == "Khoản thanh toán ngày 04/04/2026, bị ngân hàng thu lại ngày 20/04/2026"
    body = str(mails.message(april, ["a@example.com"]).body)
    assert "30,00\xa0USD" in body


def test_files_and_mail_say_what_is_owed(postpaid: Customer) -> None:
    paid_and_taken_back(postpaid)
    used(postpaid, 500, month=4)
    april = invoice_of(postpaid, 4)

    rows = list(csv.DictReader(io.StringIO(tables.lines_csv(april.document))))
    assert [(row["kind"], row["amount"]) for row in rows] == [("input", "500"), ("owed_dispute", "3000")]
    assert "With what the wallet owes beside it 35.00\xa0USD is due." in str(mails.message(april, ["a@x.example"]).body)


def test_document_that_asks_for_another_sum_is_found(postpaid: Customer) -> None:
    paid_and_taken_back(postpaid)
    (draft,) = postpaid.close(utc(2026, 5, 3))
    (row,) = draft.content["owed"]
    Invoice.objects.filter(pk=draft.pk).update(content=draft.content | {"owed": [row | {"amount": 2900}]})

    april = finalising.finalise(draft.pk, utc(2026, 5, 3))

    name = f"document {april.number}"
    assert breaks(postpaid) == [
        f"{name}: owed beside its lines",
        f"{name}: what the wallet owes and no invoice asks for",
    ]


STEP = st.tuples(
    st.sampled_from(["use", "pay in", "take back", "adjust", "correct", "note as paid", "credit"]),
    st.integers(1, 60 * CENT),
)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(months=st.lists(st.lists(STEP, min_size=1, max_size=3), min_size=2, max_size=3))
def test_invoices_ask_for_what_the_wallet_owes_in_any_order(
    entity: object, months: list[list[tuple[str, int]]]
) -> None:
    _what_is_owed_is_asked_for(months)


@pytest.mark.long
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(months=st.lists(st.lists(STEP, max_size=5), min_size=1, max_size=6))
def test_invoices_ask_for_what_the_wallet_owes_in_any_longer_order(
    entity: object, months: list[list[tuple[str, int]]]
) -> None:
    _what_is_owed_is_asked_for(months)


def _what_is_owed_is_asked_for(months: list[list[tuple[str, int]]]) -> None:
    """At each month's end what is below zero is asked for by open invoices; once they are paid nothing is owed."""
    one = customer(postpaid=True)
    for number, steps in enumerate(months, start=3):
        for day, (what, amount) in enumerate(steps, start=5):
            _happens(one, what, amount, utc(2026, number, day))
        for draft in one.close(utc(2026, number + 1, 3)):
            done = finalising.finalise(draft.pk, utc(2026, number + 1, 3))
            assert drafts.draft(done.period) == done
            assert -done.closing - prepaid.Claims(one.wallet.pk).through(done.period) < 2 * CENT

    for invoice in _open(one):
        paying.pay(invoice.pk, reason="test", is_besides=True, now=utc(2026, len(months) + 3, 4))
    last = one.close(utc(2026, len(months) + 4, 3))
    assert sum(finalising.finalise(draft.pk, utc(2026, len(months) + 4, 3)).due for draft in last) == 0
    assert one.available - LINE > -2 * CENT
    assert breaks(one) == []


def _open(one: Customer) -> list[Invoice]:
    rows = Invoice.objects.filter(tenant=one.tenant, state="final", kind="invoice").order_by("pk")
    return [invoice for invoice in rows if not invoice.is_settled]


def _happens(one: Customer, what: str, amount: int, at: dt.datetime) -> None:
    cash = LedgerEntry.Account.CASH_STRIPE
    match what:
        case "use":
            one.spend(amount, at=at)
        case "pay in":
            post(one, Kind.TOP_UP, amount, at, contra=cash)
        case "take back":
            post(one, Kind.REFUND, -amount, at, reference=f"dispute:{secrets.token_hex(4)}", contra=cash)
        case "adjust":
            post(one, Kind.ADJUSTMENT, -amount, at)
        case "correct":
            sign = 1 if amount % 3 == 0 else -1
            post(one, Kind.ADJUSTMENT, sign * amount, at, reference=f"late-{secrets.token_hex(16)}-{one.wallet.pk}")
        case "note as paid":
            for invoice in _open(one)[:1]:
                paying.pay(invoice.pk, reason="test", is_besides=bool(amount % 2), now=at)
        case _:
            for invoice in _open(one)[:1]:
                rest = crediting.left(invoice).lines.get(0, 0)
                cents = min(rest, rounding.to_minor(amount, "USD"))
                if cents > 0:
                    crediting.credit(invoice.pk, lines={0: cents}, effect=CreditNote.Effect.OFFSET, reason="test")
