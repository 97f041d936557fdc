"""What settles an invoice settles it once: money that somebody knows of, or what was paid into the wallet since."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from billing import grants
from billing.invoices import crediting, finalising, paying
from billing.invoices.finalising import InvoiceConflict
from billing.models import CreditNote, Gateway, Invoice, LedgerEntry, Lot, PaymentOrder, TaxRate
from tests.billing.invoices.customers import (
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

Kind = LedgerEntry.Kind
NINTH = utc(2026, 4, 9)


def test_invoice_that_a_top_up_has_paid_is_not_credited_again(postpaid: Customer) -> None:
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)
    paid_in(postpaid, 3000, month=4)

    paying.pay(invoice.pk, reason="by card, as the dashboard says", now=utc(2026, 4, 9))

    assert postpaid.available == LINE
    used(postpaid, 2000, month=4)
    assert (invoice_of(postpaid, 4).due, breaks(postpaid)) == (2000, [])


@pytest.mark.parametrize(
    ("top_up", "available"),
    [pytest.param(1200, 0, id="part of it"), pytest.param(5000, 2000, id="more than it")],
)
def test_top_up_pays_its_part_of_an_invoice_and_the_rest_is_posted(
    postpaid: Customer, top_up: int, available: int
) -> None:
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)
    paid_in(postpaid, top_up, month=4)

    paying.pay(invoice.pk, reason="card and bank", now=utc(2026, 4, 9))

    assert postpaid.available == LINE + available * CENT


@pytest.mark.parametrize("finer", [3, CENT // 2 - 1, -1, -(CENT // 2)], ids=str)
def test_what_is_finer_than_a_cent_is_not_posted_as_other_money(postpaid: Customer, finer: int) -> None:
    postpaid.spend(3000 * CENT + finer)
    invoice = invoice_of(postpaid, 3)
    assert invoice.due == 3000
    paid_in(postpaid, 3000, month=4)

    paid = paying.pay(invoice.pk, reason="card", now=NINTH)

    assert (postpaid.available, posted(postpaid), breaks(postpaid)) == (LINE - finer, [], [])
    assert paying.told(paid) == "Paid on April 9, 2026 from the wallet: 30.00\xa0USD."


def test_wallet_that_paid_a_part_of_a_cent_does_not_get_the_rest_as_other_money(postpaid: Customer) -> None:
    postpaid.post(Kind.TOP_UP, 1200 * CENT + CENT // 2 + 1, utc(2026, 3, 2))
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)
    assert (invoice.from_wallet, invoice.due) == (1201, 1799)
    paid_in(postpaid, 1799, month=4)

    paying.pay(invoice.pk, reason="card", now=NINTH)

    assert (postpaid.available, posted(postpaid)) == (LINE - CENT // 2 + 1, [])


def test_half_a_cent_that_was_asked_for_too_much_pays_no_cent_of_another_invoice(postpaid: Customer) -> None:
    postpaid.spend(3000 * CENT + CENT // 2)
    march = invoice_of(postpaid, 3)
    paid_in(postpaid, 5000, month=4)
    used(postpaid, 2000, month=4)
    april = invoice_of(postpaid, 4)
    assert (march.due, april.due, april.from_wallet) == (3001, 0, 2000)

    paying.pay(march.pk, reason="bank", now=utc(2026, 5, 9))

    assert (march.payment.from_wallet, posted(postpaid)) == (3000 * CENT, [("top_up", 1, "bank")])
    assert postpaid.available == LINE + CENT // 2


def test_draft_or_void_invoice_and_a_statement_cannot_be_paid(postpaid: Customer, prepaid: Customer) -> None:
    used(prepaid, 3000)
    statement = invoice_of(prepaid, 3)
    used(postpaid, 3000)
    (draft,) = postpaid.close()
    for invoice in (draft, statement):
        with pytest.raises(InvoiceConflict, match="Only a final invoice"):
            paying.pay(invoice.pk, reason="bank", now=NINTH)
    finalising.finalise(draft.pk, NINTH)
    finalising.void(draft.pk, reason="a wrong name", now=NINTH)
    with pytest.raises(InvoiceConflict, match="Only a final invoice"):
        paying.pay(draft.pk, reason="bank", now=NINTH)

    assert [one.available for one in (postpaid, prepaid)] == [LINE - 3000 * CENT] * 2
    assert posted(postpaid) == posted(prepaid) == []


def test_money_that_came_besides_is_posted_whatever_the_wallet_has(postpaid: Customer) -> None:
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)
    paid_in(postpaid, 3000, month=4)

    paying.pay(invoice.pk, reason="bank 78", is_besides=True, now=utc(2026, 4, 9))

    assert postpaid.available == LINE + 3000 * CENT
    used(postpaid, 2000, month=4)
    assert (invoice_of(postpaid, 4).due, breaks(postpaid)) == (0, [])


def test_invoice_waits_for_a_payment_that_is_under_way_unless_other_money_came(postpaid: Customer) -> None:
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)
    PaymentOrder.objects.create(
        tenant=postpaid.tenant, gateway=Gateway.STRIPE, pay_currency="USD", pay_amount=3000, credit_currency="USD",
        credit_amount=3000 * CENT, created_at=NINTH, expires_at=NINTH,
    )  # fmt: skip

    with pytest.raises(InvoiceConflict, match="under way"):
        paying.pay(invoice.pk, reason="bank 78", now=NINTH)
    assert not LedgerEntry.objects.filter(balance=postpaid.wallet).exists()
    paying.pay(invoice.pk, reason="bank 78", is_besides=True, now=NINTH)

    assert postpaid.available == LINE


def test_top_up_that_billed_usage_has_spent_pays_no_invoice_before_it(postpaid: Customer) -> None:
    used(postpaid, 3000)
    march = invoice_of(postpaid, 3)
    paid_in(postpaid, 3000, month=4)
    used(postpaid, 2000, month=4)
    april = invoice_of(postpaid, 4)
    assert (april.due, april.from_wallet) == (0, 2000)

    paying.pay(march.pk, reason="bank", now=utc(2026, 5, 9))

    assert (march.payment.from_wallet, march.payment.posted) == (1000 * CENT, 2000 * CENT)
    assert postpaid.available == LINE
    assert breaks(postpaid) == []


def test_one_top_up_pays_one_of_two_invoices(postpaid: Customer) -> None:
    used(postpaid, 3000)
    march = invoice_of(postpaid, 3)
    used(postpaid, 2000, month=4)
    april = invoice_of(postpaid, 4)
    paid_in(postpaid, 3000, month=5)

    for invoice in (march, april):
        paying.pay(invoice.pk, reason="card, then bank", now=utc(2026, 5, 9))

    assert [each.payment.posted for each in (march, april)] == [0, 2000 * CENT]
    assert postpaid.available == LINE


def test_top_up_that_was_refunded_pays_nothing(postpaid: Customer) -> None:
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)
    paid_in(postpaid, 3000, month=4)
    postpaid.post(Kind.REFUND, -2000 * CENT, utc(2026, 4, 5))

    paying.pay(invoice.pk, reason="card and bank", now=utc(2026, 4, 9))

    assert postpaid.available == LINE


def test_e33_granted_credit_after_an_invoice_does_not_pay_it(postpaid: Customer) -> None:
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)
    postpaid.post(Kind.GRANT, 3000 * CENT, utc(2026, 4, 5))

    paying.pay(invoice.pk, reason="bank", now=utc(2026, 4, 9))

    assert postpaid.available == LINE + 3000 * CENT


def test_credit_note_lowers_what_a_top_up_has_to_pay(postpaid: Customer) -> None:
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)
    crediting.credit(invoice.pk, lines={0: 1000}, effect=CreditNote.Effect.OFFSET, reason="an outage")
    paid_in(postpaid, 2000, month=4)

    paying.pay(invoice.pk, reason="card", now=utc(2026, 4, 9))

    assert postpaid.available == LINE


def test_payment_after_a_month_that_is_not_closed_yet_closes_it_first(postpaid: Customer) -> None:
    used(postpaid, 3000)
    march = invoice_of(postpaid, 3)
    paid_in(postpaid, 3000, month=4)
    used(postpaid, 2000, month=4)

    paying.pay(march.pk, reason="card", now=utc(2026, 5, 1, 1))
    april = invoice_of(postpaid, 4)
    used(postpaid, 100, month=5)
    may = invoice_of(postpaid, 5)

    assert (march.payment.from_wallet, april.from_wallet) == (1000 * CENT, 2000)
    assert (april.due, may.due, postpaid.available) == (0, 100, LINE - 100 * CENT)
    assert breaks(postpaid) == []


def test_payment_says_after_which_closed_period_it_came(postpaid: Customer) -> None:
    used(postpaid, 3000)
    march = invoice_of(postpaid, 3)

    paying.pay(march.pk, reason="bank", now=utc(2026, 5, 9))

    assert [period.month for period in postpaid.periods] == [202603, 202604]
    assert march.payment.after == postpaid.periods[1]


def test_entry_of_a_payment_has_as_much_of_its_reason_as_fits(postpaid: Customer) -> None:
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)

    paying.pay(invoice.pk, reason="x" * 300, now=NINTH)

    text = LedgerEntry.objects.get(reference=f"invoice:{invoice.pk}").note
    assert (text, len(text)) == (f"{invoice.number}: {'x' * (298 - len(invoice.number or ''))}", 300)


# --- taxes -----------------------------------------------------------------------------------------------------------


def taxed(one: Customer, *, is_inclusive: bool = False, cents: int = 3000) -> Invoice:
    """The invoice of March, of which ten percent are taxes."""
    TaxRate.objects.create(
        jurisdiction="VN", name="VAT", percent=10, starts_on=dt.date(2026, 1, 1), is_inclusive=is_inclusive
    )
    used(one, cents)
    return invoice_of(one, 3)


def posted(one: Customer) -> list[tuple[str, int, str]]:
    """What was posted for invoices: the kind, cents, and the note without the number of the document."""
    rows = LedgerEntry.objects.filter(balance=one.wallet, reference__startswith="invoice:").order_by("pk")
    return [(row.kind, row.amount // CENT, row.note.partition(": ")[2]) for row in rows]


@pytest.mark.parametrize(
    ("top_up", "entries"),
    [
        pytest.param(3300, [("adjustment", -300, "its taxes, paid from the wallet")], id="the whole"),
        pytest.param(5000, [("adjustment", -300, "its taxes, paid from the wallet")], id="more"),
        pytest.param(3100, [("adjustment", -100, "its taxes, paid from the wallet")], id="a part of the taxes"),
        pytest.param(3000, [], id="all but the taxes"),
        pytest.param(1000, [("top_up", 2000, "card")], id="a part of the usage"),
    ],
)
def test_added_taxes_that_were_paid_in_are_taken_out_of_the_wallet(
    postpaid: Customer, top_up: int, entries: list[tuple[str, int, str]]
) -> None:
    invoice = taxed(postpaid)
    paid_in(postpaid, top_up, month=4)

    paying.pay(invoice.pk, reason="card", now=NINTH)

    left = max(0, top_up - 3300) * CENT
    assert (postpaid.available, posted(postpaid), breaks(postpaid)) == (LINE + left, entries, [])


def test_taxes_are_taken_out_in_whole_though_usage_was_finer_than_a_cent(postpaid: Customer) -> None:
    postpaid.spend(4)
    invoice = taxed(postpaid)
    paid_in(postpaid, 3300, month=4)

    paying.pay(invoice.pk, reason="card", now=NINTH)

    assert (postpaid.available, [amount for _kind, amount, _note in posted(postpaid)]) == (LINE - 4, [-300])


def by_the_clock(now: dt.datetime) -> tuple[Customer, Invoice]:
    """A customer with a final invoice for a month just past; what is posted for it is dated now."""
    one = customer(postpaid=True, since=now - dt.timedelta(days=40))
    one.spend(3000 * CENT, at=now - dt.timedelta(days=40))
    one.close(now)
    return one, finalising.finalise(Invoice.objects.get(tenant=one.tenant).pk, now)


def next_due(one: Customer, now: dt.datetime) -> tuple[int, int]:
    """Of twenty dollars' usage in the month of `now`: what the wallet has paid, and what is due."""
    one.spend(2000 * CENT, at=timezone.now())
    invoice = one.final(now + dt.timedelta(days=40))
    return invoice.from_wallet, invoice.due


def test_taxes_that_were_taken_out_do_not_pay_for_the_next_month(entity: object) -> None:
    TaxRate.objects.create(jurisdiction="VN", name="VAT", percent=10, starts_on=dt.date(2026, 1, 1))
    now = timezone.now()
    one, invoice = by_the_clock(now)
    one.post(Kind.TOP_UP, 3300 * CENT, now)

    paying.pay(invoice.pk, reason="card", now=now)

    assert (next_due(one, now), breaks(one)) == ((0, 2200), [])


def test_what_was_credited_of_an_unpaid_invoice_pays_for_it_and_not_for_the_next_month(entity: object) -> None:
    now = timezone.now()
    one, invoice = by_the_clock(now)

    crediting.credit(invoice.pk, lines={0: 1000}, effect=CreditNote.Effect.OFFSET, reason="an outage")

    assert (next_due(one, now), breaks(one)) == ((0, 2000), [])


def test_included_taxes_are_paid_with_the_usage_and_nothing_is_taken_out(postpaid: Customer) -> None:
    invoice = taxed(postpaid, is_inclusive=True, cents=3300)
    paid_in(postpaid, 3300, month=4)

    paying.pay(invoice.pk, reason="card", now=NINTH)

    assert (postpaid.available, posted(postpaid), breaks(postpaid)) == (LINE, [], [])


def test_taxes_of_what_the_wallet_had_paid_before_are_taken_out_of_a_later_top_up(postpaid: Customer) -> None:
    paid_in(postpaid, 3200)
    invoice = taxed(postpaid)
    assert invoice.due == 300
    paid_in(postpaid, 300, month=4)

    paying.pay(invoice.pk, reason="card", now=NINTH)

    assert postpaid.available == LINE + 200 * CENT


@pytest.mark.parametrize("more", [0, 2800])
def test_taxes_that_were_credited_are_not_taken_out(postpaid: Customer, more: int) -> None:
    invoice = taxed(postpaid)
    crediting.credit(invoice.pk, lines={0: 1000}, effect=CreditNote.Effect.OFFSET, reason="an outage")
    paid_in(postpaid, 2200 + more, month=4)

    paying.pay(invoice.pk, reason="card", now=NINTH)

    assert (postpaid.available, posted(postpaid)[-1][1], breaks(postpaid)) == (LINE + more * CENT, -200, [])


def test_taxes_that_other_money_paid_are_not_taken_out(postpaid: Customer) -> None:
    invoice = taxed(postpaid)
    paid_in(postpaid, 3300, month=4)
    assert paying.told(invoice) == ""

    paid = paying.pay(invoice.pk, reason="bank", is_besides=True, now=NINTH)

    assert paying.told(paid) == "Paid on April 9, 2026: 33.00\xa0USD, which did not come through the wallet."

    assert (postpaid.available, posted(postpaid)) == (LINE + 3300 * CENT, [("top_up", 3000, "bank")])


def test_two_invoices_with_taxes_are_paid_by_one_top_up(postpaid: Customer) -> None:
    march = taxed(postpaid)
    used(postpaid, 1000, month=4)
    april = invoice_of(postpaid, 4)
    paid_in(postpaid, 4400, month=5)

    for invoice in (march, april):
        paying.pay(invoice.pk, reason="card", now=utc(2026, 5, 9))

    assert (postpaid.available, breaks(postpaid)) == (LINE, [])
    assert [amount for _kind, amount, _note in posted(postpaid)] == [-300, -100]


def test_taxes_are_taken_out_though_usage_has_had_the_money_since(postpaid: Customer) -> None:
    """They are the state's: what the wallet lacks then, the usage lacks."""
    invoice = taxed(postpaid)
    paid_in(postpaid, 3300, month=4)
    postpaid.spend(LINE + 300 * CENT, at=utc(2026, 4, 5))
    assert postpaid.available == 0

    paying.pay(invoice.pk, reason="card", now=NINTH)

    assert postpaid.available == -300 * CENT


def test_taxes_are_taken_of_what_was_paid_in_and_not_of_grants(postpaid: Customer) -> None:
    invoice = taxed(postpaid)
    paid_in(postpaid, 3300, month=4)
    postpaid.post(Kind.GRANT, 500 * CENT, utc(2026, 4, 5))

    paying.pay(invoice.pk, reason="card", now=NINTH)
    grants.draw(postpaid.wallet, timezone.now() + dt.timedelta(minutes=5))

    assert list(Lot.objects.filter(balance=postpaid.wallet, rest__gt=0).values_list("is_granted", "rest")) == [
        (True, 500 * CENT)
    ]


def test_note_of_taxes_is_in_the_language_of_the_documents(entity: object) -> None:
    one = customer(postpaid=True, language="vi")
    invoice = taxed(one)
    paid_in(one, 3300, month=4)

    paying.pay(invoice.pk, reason="card", now=NINTH)

    assert posted(one)[0][2] == "thuế của hóa đơn, trả từ ví"


# --- paid twice ------------------------------------------------------------------------------------------------------


def paid_twice(one: Customer) -> Invoice:
    """Noted as paid while no order was open; then the customer paid it in as well."""
    used(one, 3000)
    invoice = invoice_of(one, 3)
    paying.pay(invoice.pk, reason="bank", now=utc(2026, 4, 4))
    one.post(Kind.TOP_UP, 3000 * CENT, utc(2026, 4, 5))
    return invoice


def test_money_that_came_twice_is_credit_and_pays_the_next_invoice(postpaid: Customer) -> None:
    paid_twice(postpaid)
    assert postpaid.available == LINE + 3000 * CENT
    used(postpaid, 4000, month=4)

    april = invoice_of(postpaid, 4)

    assert (april.from_wallet, april.due, breaks(postpaid)) == (3000, 1000, [])


def test_noted_money_that_never_came_gives_way_to_what_was_paid_in(postpaid: Customer) -> None:
    invoice = paid_twice(postpaid)

    done = paying.pay_once(invoice.pk, reason="the bank has nothing", now=NINTH)

    assert paying.told(done) == "Paid on April 4, 2026 from the wallet: 30.00\xa0USD."
    assert (postpaid.available, breaks(postpaid)) == (LINE, [])
    assert posted(postpaid) == [("top_up", 3000, "bank"), ("adjustment", -3000, "the bank has nothing")]


def test_noted_money_gives_way_in_whole_though_usage_was_finer_than_a_cent(postpaid: Customer) -> None:
    postpaid.spend(4)
    invoice = paid_twice(postpaid)

    paying.pay_once(invoice.pk, reason="by card", now=NINTH)

    assert (postpaid.available, posted(postpaid)[-1]) == (LINE - 4, ("adjustment", -3000, "by card"))


def test_what_was_taken_out_does_not_pay_for_the_next_month(entity: object) -> None:
    now = timezone.now()
    one, invoice = by_the_clock(now)
    paying.pay(invoice.pk, reason="bank", now=now)
    one.post(Kind.TOP_UP, 3000 * CENT, timezone.now())

    paying.pay_once(invoice.pk, reason="by card", now=now)

    assert (next_due(one, now), breaks(one)) == ((0, 2000), [])


def test_taxes_of_noted_money_that_never_came_are_taken_out_too(postpaid: Customer) -> None:
    invoice = taxed(postpaid)
    paid_in(postpaid, 3100, month=4)
    paid = paying.pay(invoice.pk, reason="the rest by bank", now=utc(2026, 4, 4))
    assert paying.told(paid) == "Paid on April 4, 2026: 31.00\xa0USD from the wallet, 2.00\xa0USD by other money."
    paid_in(postpaid, 200, month=4)

    paying.pay_once(invoice.pk, reason="by card", now=NINTH)

    assert (postpaid.available, [amount for _kind, amount, _note in posted(postpaid)]) == (LINE, [-100, -200])


def test_no_more_is_taken_out_than_was_paid_in_since(postpaid: Customer) -> None:
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)
    paying.pay(invoice.pk, reason="bank", now=utc(2026, 4, 4))
    postpaid.post(Kind.TOP_UP, 1000 * CENT, utc(2026, 4, 5))

    paying.pay_once(invoice.pk, reason="ten of it", now=NINTH)

    assert (postpaid.available, breaks(postpaid)) == (LINE, [])


def refused(one: Customer, invoice: Invoice) -> str:
    before = one.available
    with pytest.raises(InvoiceConflict) as caught:
        paying.pay_once(invoice.pk, reason="no", now=NINTH)
    assert one.available == before
    return caught.value.message


def test_it_gives_way_once(postpaid: Customer) -> None:
    invoice = paid_twice(postpaid)
    paying.pay_once(invoice.pk, reason="once", now=NINTH)
    paid_in(postpaid, 3000, month=4)

    assert refused(postpaid, invoice) == "It has been taken out before."


def test_nothing_is_taken_out_where_nothing_was_paid_in(postpaid: Customer) -> None:
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)
    assert refused(postpaid, invoice) == "It is not noted as paid."
    paying.pay(invoice.pk, reason="bank", now=utc(2026, 4, 4))

    assert refused(postpaid, invoice) == "Nothing was paid into the wallet that could be its payment."


def test_nothing_is_told_of_nor_taken_out_for_what_was_paid_before_notes_were_kept(postpaid: Customer) -> None:
    used(postpaid, 3000)
    invoice = invoice_of(postpaid, 3)
    Invoice.objects.filter(pk=invoice.pk).update(state=Invoice.State.PAID, paid_at=NINTH)
    paid_in(postpaid, 3000, month=4)

    assert paying.told(Invoice.objects.get(pk=invoice.pk)) == ""
    assert refused(postpaid, invoice) == "Nothing was paid into the wallet that could be its payment."


def test_nothing_is_taken_out_where_the_wallet_paid_the_whole(postpaid: Customer) -> None:
    invoice = taxed(postpaid)
    paid_in(postpaid, 6600, month=4)
    paying.pay(invoice.pk, reason="card", now=utc(2026, 4, 4))

    assert refused(postpaid, invoice) == "Nothing was paid into the wallet that could be its payment."


def test_what_billed_usage_has_had_since_is_not_taken_out(postpaid: Customer) -> None:
    invoice = paid_twice(postpaid)
    used(postpaid, 2000, month=4)
    april = invoice_of(postpaid, 4)
    assert april.due == 0

    paying.pay_once(invoice.pk, reason="by card", now=utc(2026, 5, 9))

    assert (postpaid.available, breaks(postpaid)) == (LINE, [])
