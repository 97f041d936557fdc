"""Credit that was paid in ahead, and invoices: the wallet pays first, what is below zero is due, each unit once."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.invoices import crediting, drafts, finalising, jobs, mails, paying, pdf, prepaid, rounding, sheets
from billing.invoices.finalising import InvoiceConflict
from billing.models import Balance, CreditNote, Invoice, LedgerEntry, Reservation, TaxRate
from tests.billing.invoices.customers import (
    APRIL,
    CENT,
    LINE,
    Customer,
    breaks,
    customer,
    invoice_of,
    paid_in,
    used,
    utc,
)  # fmt: skip


def foot(invoice: Invoice) -> tuple[list[list[str]], list[str]]:
    sheet = sheets.sheet(invoice.document, "en")
    return sheet["foot"], sheet["total"]


# --- golden documents ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "foot_rows", "total", "state"),
    [
        pytest.param(0, [], ["Total", "30.00\xa0USD"], False, id="post-paid"),
        pytest.param(
            5000,
            [["Total", "30.00"], ["Paid from the wallet", "-30.00"]],
            ["Amount due", "0.00\xa0USD"],
            True,
            id="prepaid",
        ),
        pytest.param(
            1200,
            [["Total", "30.00"], ["Paid from the wallet", "-12.00"]],
            ["Amount due", "18.00\xa0USD"],
            False,
            id="mixed",
        ),
    ],
)
def test_invoice_shows_what_the_wallet_paid_and_what_is_due(
    postpaid: Customer, ahead: int, foot_rows: list[list[str]], total: list[str], state: bool
) -> None:
    if ahead:
        paid_in(postpaid, ahead)
    used(postpaid, 3000)

    invoice = invoice_of(postpaid, 3)

    assert (foot(invoice), invoice.total, invoice.is_settled) == ((foot_rows, total), 3000, state)
    assert invoice.due == max(0, 3000 - ahead)
    assert pdf.render(invoice.document).startswith(b"%PDF-")
    assert breaks(postpaid) == []


def test_invoice_of_a_mixed_month_is_the_same_document_every_time(postpaid: Customer) -> None:
    paid_in(postpaid, 1200)
    used(postpaid, 3000)
    document = invoice_of(postpaid, 3).document

    assert {name: document[name] for name in ("subtotal", "net", "taxes", "total", "from_wallet", "due")} == {
        "subtotal": 3000, "net": 3000, "taxes": [], "total": 3000, "from_wallet": 1200, "due": 1800,
    }  # fmt: skip
    assert [line["amount"] for line in document["lines"]] == [3000]


def test_invoice_of_which_the_wallet_paid_nothing_does_not_speak_of_it(postpaid: Customer) -> None:
    used(postpaid, 3000)
    assert not {"from_wallet", "due"} & set(invoice_of(postpaid, 3).document)


def test_words_are_those_of_the_language_of_the_tenant(entity: object) -> None:
    one = customer(postpaid=True, language="vi")
    paid_in(one, 1200)
    used(one, 3000)

    sheet = sheets.sheet(invoice_of(one, 3).document)

    assert (sheet["foot"][-1], sheet["total"]) == (["Đã trả từ ví", "-12,00"], ["Số tiền phải trả", "18,00\xa0USD"])


@pytest.mark.parametrize(
    ("is_inclusive", "total", "due"),
    [pytest.param(False, 3300, 300, id="added"), pytest.param(True, 3000, 0, id="included")],
)
def test_wallet_pays_usage_and_no_taxes_that_are_added(
    postpaid: Customer, is_inclusive: bool, total: int, due: int
) -> None:
    TaxRate.objects.create(
        jurisdiction="VN", name="VAT", percent=10, starts_on=dt.date(2026, 1, 1), is_inclusive=is_inclusive
    )
    paid_in(postpaid, 5000)
    used(postpaid, 3000)

    invoice = invoice_of(postpaid, 3)

    assert (invoice.total, invoice.from_wallet, invoice.due) == (total, 3000, due)
    notes = sheets.sheet(invoice.document, "en")["notes"]
    assert ("The wallet has paid for the usage; it pays no taxes." in notes) == bool(due)
    available = postpaid.available
    if due:
        paying.pay(invoice.pk, reason="the tax by bank", now=utc(2026, 4, 9))
    assert postpaid.available == available == LINE + 2000 * CENT


def test_mail_and_bank_account_say_what_is_due(entity: Any) -> None:
    type(entity).objects.filter(pk=entity.pk).update(bank="VN 12 34")
    texts = []
    for ahead in (1200, 5000):
        one = customer(postpaid=True, email="a@example.com")
        paid_in(one, ahead)
        used(one, 3000)
        invoice = invoice_of(one, 3)
        texts.append((sheets.sheet(invoice.document)["bank"], str(mails.message(invoice, ["a@example.com"]).body)))

    assert [bank for bank, _body in texts] == ["VN 12 34", ""]
    assert "18.00\xa0USD is due" in texts[0][1]
    assert "nothing is due" in texts[1][1]


def test_statement_of_a_wallet_below_zero_does_not_say_that_nothing_is_to_be_paid(prepaid: Customer) -> None:
    paid_in(prepaid, 1000)
    used(prepaid, 1250)

    notes = sheets.sheet(invoice_of(prepaid, 3).document, "en")["notes"]

    assert notes == ["The wallet is below zero: 2.50\xa0USD are to be paid in."]


# --- each unit once --------------------------------------------------------------------------------------------------


def test_what_an_unpaid_invoice_asks_for_is_not_asked_for_again(postpaid: Customer) -> None:
    used(postpaid, 3000)
    march = invoice_of(postpaid, 3)
    used(postpaid, 2000, month=4)
    april = invoice_of(postpaid, 4)

    assert (march.due, april.due) == (3000, 2000)
    assert postpaid.available == LINE - 5000 * CENT


def test_credit_after_an_invoice_pays_for_the_next_one(postpaid: Customer) -> None:
    used(postpaid, 3000)
    march = invoice_of(postpaid, 3)
    paid_in(postpaid, 500, month=4)
    used(postpaid, 2000, month=4)
    april = invoice_of(postpaid, 4)

    assert (march.due, april.due, april.from_wallet) == (3000, 1500, 500)
    for invoice in (march, april):
        paying.pay(invoice.pk, reason="bank", now=utc(2026, 5, 9))
    assert postpaid.available == LINE
    assert breaks(postpaid) == []


def test_paid_invoice_leaves_nothing_to_the_next_one(postpaid: Customer) -> None:
    used(postpaid, 3000)
    paying.pay(invoice_of(postpaid, 3).pk, reason="bank", now=utc(2026, 4, 9))
    used(postpaid, 2000, month=4)

    assert invoice_of(postpaid, 4).due == 2000


def test_credit_that_is_left_pays_for_later_months_until_it_is_used_up(postpaid: Customer) -> None:
    paid_in(postpaid, 5000)
    found = []
    for month, cents in ((3, 3000), (4, 1500), (5, 1500)):
        used(postpaid, cents, month=month)
        invoice = invoice_of(postpaid, month)
        found.append((invoice.from_wallet, invoice.due))

    assert found == [(3000, 0), (1500, 0), (500, 1000)]


def test_invoice_that_the_wallet_paid_cannot_be_paid_again(postpaid: Customer) -> None:
    paid_in(postpaid, 5000)
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)
    available = postpaid.available

    with pytest.raises(InvoiceConflict):
        paying.pay(invoice.pk, reason="again", now=APRIL)

    assert postpaid.available == available


def test_payment_of_a_mixed_month_brings_the_wallet_to_zero(postpaid: Customer) -> None:
    paid_in(postpaid, 1200)
    used(postpaid, 3000)

    paying.pay(invoice_of(postpaid, 3).pk, reason="bank", now=APRIL)

    assert postpaid.available == LINE


@pytest.mark.parametrize(
    ("credited", "left"), [pytest.param(500, 0, id="less than is due"), pytest.param(2600, 800, id="more than is due")]
)
def test_credit_note_is_taken_off_what_is_due_and_the_rest_stays_in_the_wallet(
    postpaid: Customer, credited: int, left: int
) -> None:
    paid_in(postpaid, 1200)
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)

    crediting.credit(invoice.pk, lines={0: credited}, effect=CreditNote.Effect.OFFSET, reason="an outage")
    paying.pay(invoice.pk, reason="the rest by bank", now=APRIL)

    assert postpaid.available == LINE + left * CENT


def test_inclusive_tax_of_a_paid_invoice_leaves_no_debt(postpaid: Customer) -> None:
    TaxRate.objects.create(jurisdiction="VN", name="VAT", percent=10, starts_on=dt.date(2026, 1, 1), is_inclusive=True)
    used(postpaid, 3300)
    invoice = invoice_of(postpaid, 3)
    crediting.credit(invoice.pk, lines={0: 1100}, effect=CreditNote.Effect.OFFSET, reason="an outage")

    paying.pay(invoice.pk, reason="bank", now=APRIL)

    assert postpaid.available == LINE


def test_credit_note_on_what_the_wallet_paid_goes_to_the_wallet(postpaid: Customer) -> None:
    paid_in(postpaid, 5000)
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)
    with pytest.raises(InvoiceConflict):
        crediting.credit(invoice.pk, lines={0: 100}, effect=CreditNote.Effect.OFFSET, reason="no")

    crediting.credit(invoice.pk, lines={0: 100}, effect=CreditNote.Effect.WALLET, reason="yes")

    assert postpaid.available == LINE + 2100 * CENT


def test_voided_invoice_asks_for_nothing(postpaid: Customer) -> None:
    paid_in(postpaid, 1200)
    used(postpaid, 3000)
    first = invoice_of(postpaid, 3)
    finalising.void(first.pk, reason="a wrong name", now=utc(2026, 4, 3))
    used(postpaid, 2000, month=4)
    jobs.close(Balance.objects.select_related("tenant").get(pk=postpaid.wallet.pk), now=utc(2026, 5, 3))

    live = Invoice.objects.filter(tenant=postpaid.tenant).exclude(state="void").order_by("period")

    assert [(each.from_wallet, prepaid.asked(each)) for each in live] == [(1200, 1800), (0, 2000)]


def test_document_that_says_another_sum_of_the_wallet_is_found(postpaid: Customer) -> None:
    paid_in(postpaid, 1200)
    used(postpaid, 3000)
    (draft,) = postpaid.close()
    Invoice.objects.filter(pk=draft.pk).update(content=draft.content | {"from_wallet": 1300})

    last = finalising.finalise(draft.pk, APRIL)

    name = f"document {last.number}"
    assert breaks(postpaid) == [
        f"{name}: paid from the wallet",
        f"{name}: what the wallet owes and no invoice asks for",
    ]


MONTH = st.tuples(
    st.integers(0, 40 * CENT), st.integers(0, 60 * CENT), st.booleans(), st.sampled_from([0, 0, 0, 7, 100])
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(months=st.lists(MONTH, min_size=1, max_size=5))
def test_dues_and_wallet_are_the_same_sum_in_any_order_of_money_and_usage(
    entity: object, months: list[tuple[int, int, bool, int]]
) -> None:
    """Once everything is paid that is asked for, the wallet is where it began, but for what is finer than a cent."""
    one = customer(postpaid=True)
    for number, (ahead, spent, is_paid, percent) in enumerate(months, start=3):
        if ahead:
            one.post(LedgerEntry.Kind.TOP_UP, ahead, utc(2026, number, 2))
        if spent:
            one.spend(spent, at=utc(2026, number, 15))
        for draft in one.close(utc(2026, number + 1, 3)):
            invoice = finalising.finalise(draft.pk, utc(2026, number + 1, 3))
            assert 0 <= invoice.due <= max(0, invoice.total or 0)
            assert drafts.draft(invoice.period) == invoice
            if percent and not invoice.is_settled and rounding.to_minor(spent, "USD"):
                amount = crediting.left(invoice).lines[0] * percent // 100
                if amount:
                    crediting.credit(invoice.pk, lines={0: amount}, effect=CreditNote.Effect.OFFSET, reason="test")
            if is_paid and not invoice.is_settled:
                paying.pay(invoice.pk, reason="test", now=utc(2026, number + 1, 4))

    for invoice in Invoice.objects.filter(tenant=one.tenant, state="final"):
        if not invoice.is_settled:
            paying.pay(invoice.pk, reason="test", now=APRIL)

    assert one.available - LINE > -CENT * len(months)
    assert breaks(one) == []


# --- thresholds ------------------------------------------------------------------------------------------------------


def threshold_passed(one: Customer, cents: int, now: dt.datetime) -> bool:
    wallet = Balance.objects.select_related("tenant").get(pk=one.wallet.pk)
    return bool(jobs.close(wallet, cents * CENT, now))


def test_threshold_does_not_count_what_the_wallet_has_paid(postpaid: Customer) -> None:
    paid_in(postpaid, 5000)
    used(postpaid, 5600)

    assert not threshold_passed(postpaid, 600, utc(2026, 3, 20))

    postpaid.spend(CENT, at=utc(2026, 3, 21))
    assert threshold_passed(postpaid, 600, utc(2026, 3, 22))
    invoice = Invoice.objects.get(tenant=postpaid.tenant)
    assert (invoice.from_wallet, prepaid.asked(invoice)) == (5000, 601)


def test_threshold_of_nothing_is_not_passed_by_what_the_wallet_has_paid(postpaid: Customer) -> None:
    paid_in(postpaid, 5000)
    used(postpaid, 5000)
    assert not threshold_passed(postpaid, 0, utc(2026, 3, 20))

    postpaid.spend(1, at=utc(2026, 3, 21))
    assert threshold_passed(postpaid, 0, utc(2026, 3, 22))


def test_threshold_does_not_count_what_an_invoice_asks_for(postpaid: Customer) -> None:
    used(postpaid, 3000)
    invoice_of(postpaid, 3)
    used(postpaid, 600, month=4)

    assert not threshold_passed(postpaid, 600, utc(2026, 4, 20))

    postpaid.spend(CENT, at=utc(2026, 4, 21))
    assert threshold_passed(postpaid, 600, utc(2026, 4, 22))


def test_threshold_knows_the_month_that_closes_with_it(postpaid: Customer) -> None:
    used(postpaid, 3000)
    paid_in(postpaid, 100, month=4)
    postpaid.spend(700 * CENT, at=utc(2026, 4, 1, 5))

    wallet = Balance.objects.select_related("tenant").get(pk=postpaid.wallet.pk)
    made = jobs.close(wallet, 600 * CENT, utc(2026, 4, 2, 5))

    assert [invoice.period.cut for invoice in made] == ["month"]


def test_threshold_is_passed_by_usage_and_not_by_an_adjustment(postpaid: Customer) -> None:
    used(postpaid, 600)
    postpaid.post(LedgerEntry.Kind.ADJUSTMENT, -100 * CENT, utc(2026, 3, 16))

    assert not threshold_passed(postpaid, 600, utc(2026, 3, 20))
    postpaid.spend(CENT, at=utc(2026, 3, 21))
    assert threshold_passed(postpaid, 600, utc(2026, 3, 22))


def test_payment_changes_no_document_of_a_month_that_was_closed_before_it(postpaid: Customer) -> None:
    used(postpaid, 3000)
    march = invoice_of(postpaid, 3)
    paid_in(postpaid, 500, month=4)
    used(postpaid, 2000, month=4)
    april = invoice_of(postpaid, 4)
    paid_in(postpaid, 3000, month=5)

    paying.pay(march.pk, reason="card", now=utc(2026, 5, 9))

    assert march.payment.from_wallet == 3000 * CENT
    reckoned = prepaid.reckon(april.period, closing=april.closing, exact=2000 * CENT)
    assert (reckoned.from_wallet, april.from_wallet, april.owed) == (500, 500, 0)


def test_threshold_of_nothing_is_not_passed_without_usage(postpaid: Customer) -> None:
    postpaid.post(LedgerEntry.Kind.ADJUSTMENT, -100 * CENT, utc(2026, 3, 16))

    assert not threshold_passed(postpaid, 0, utc(2026, 3, 20))
    assert postpaid.periods == []


def test_threshold_counts_neither_what_is_held_nor_what_was_paid_in(postpaid: Customer) -> None:
    paid_in(postpaid, 100)
    used(postpaid, 600)
    hold = Reservation.objects.create(
        id=uuid.uuid4(), owner=uuid.uuid4(), tenant=postpaid.tenant, legs=[postpaid.wallet.pk], amount=50 * CENT,
        api_key_id=postpaid.key.pk, endpoint="chat.completions", model="m", price_id=1, is_stream=False,
        created_at=utc(2026, 3, 19),
    )  # fmt: skip
    Balance.objects.filter(pk=postpaid.wallet.pk).update(available=postpaid.available - hold.amount)

    assert not threshold_passed(postpaid, 500, utc(2026, 3, 20))
    assert threshold_passed(postpaid, 499, utc(2026, 3, 20))

    hold.delete()
    Balance.objects.filter(pk=postpaid.wallet.pk).update(available=postpaid.available + hold.amount)


def test_threshold_does_not_count_what_is_held(postpaid: Customer) -> None:
    used(postpaid, 600)
    Balance.objects.filter(pk=postpaid.wallet.pk).update(available=postpaid.available - 50 * CENT)
    held = Reservation.objects.create(
        id=uuid.uuid4(), owner=uuid.uuid4(), tenant=postpaid.tenant, legs=[postpaid.wallet.pk], amount=50 * CENT,
        api_key_id=postpaid.key.pk, endpoint="chat.completions", model="m", price_id=1, is_stream=False,
        created_at=utc(2026, 3, 19),
    )  # fmt: skip

    assert not threshold_passed(postpaid, 600, utc(2026, 3, 20))

    held.delete()
    Balance.objects.filter(pk=postpaid.wallet.pk).update(available=postpaid.available + 50 * CENT)
