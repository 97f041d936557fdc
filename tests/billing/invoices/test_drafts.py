"""Drafts: the same input gives the same lines, and a statement's sum is the ledger's."""

from __future__ import annotations

import pytest

from accounts.models import ApiKey
from billing.invoices import drafts, snapshots
from billing.kinds import Usage
from billing.models import EmptyPeriod, Invoice, LedgerEntry
from tests.billing.invoices.customers import CENT, Customer, customer, utc

Kind = LedgerEntry.Kind


def test_e1_draft_has_no_number_and_says_that_it_is_one(prepaid: Customer) -> None:
    prepaid.spend(5)

    (draft,) = prepaid.close()

    assert (draft.state, draft.number, draft.snapshot, draft.total) == ("draft", None, "", None)
    assert str(draft).startswith("DRAFT")


def test_draft_that_is_made_anew_is_the_same_and_writes_nothing(prepaid: Customer) -> None:
    prepaid.spend(5)
    (draft,) = prepaid.close()
    before = Invoice.objects.filter(pk=draft.pk).values().get()

    drafts.draft(prepaid.periods[0])

    assert Invoice.objects.filter(pk=draft.pk).values().get() == before


def test_draft_that_is_made_anew_takes_over_what_is_called_differently_by_now(prepaid: Customer) -> None:
    prepaid.spend(5)
    (draft,) = prepaid.close()
    ApiKey.objects.filter(pk=prepaid.key.pk).update(name="renamed")

    again = drafts.draft(prepaid.periods[0])

    assert again is not None
    assert (again.pk, again.content["keys"][0]["name"][:7]) == (draft.pk, "renamed")
    assert again.content_hash != draft.content_hash


def test_period_in_which_nothing_happened_has_no_document(prepaid: Customer) -> None:
    assert prepaid.close() == []

    assert EmptyPeriod.objects.filter(period=prepaid.periods[0]).count() == 1
    assert drafts.undrafted(prepaid.wallet.pk) == []


def test_period_of_free_usage_has_a_document_of_zero(postpaid: Customer) -> None:
    postpaid.use(postpaid.price(input=0, output=0), Usage(input=7))

    (draft,) = postpaid.close()

    assert (draft.used, [line["quantity"] for line in draft.content["lines"]]) == (0, [7])


def test_requests_that_cost_nothing_and_have_no_lines_make_no_document(postpaid: Customer) -> None:
    postpaid.use(postpaid.price(), Usage(input=100), outcome="upstream_error", cost=0, claimed_cost=0)

    assert postpaid.close() == []


def test_statement_adds_up_from_opening_to_closing(prepaid: Customer) -> None:
    prepaid.post(Kind.TOP_UP, 5000, utc(2026, 3, 2))
    prepaid.post(Kind.TOP_UP, 2000, utc(2026, 3, 3))
    prepaid.post(Kind.GRANT, 300, utc(2026, 3, 4))
    prepaid.post(Kind.REFUND, -900, utc(2026, 3, 5))
    prepaid.post(Kind.ADJUSTMENT, -7, utc(2026, 3, 6))
    prepaid.post(Kind.EXPIRY, -100, utc(2026, 3, 7))
    prepaid.spend(1234)

    (draft,) = prepaid.close()

    moved = {row["kind"]: (row["count"], row["exact"]) for row in draft.content["movements"]}
    assert moved == {
        "top_up": (2, 7000),
        "grant": (1, 300),
        "refund": (1, -900),
        "adjustment": (1, -7),
        "expiry": (1, -100),
    }
    assert (draft.opening, draft.used, draft.closing) == (0, 1234, 7000 + 300 - 900 - 7 - 100 - 1234)
    assert draft.closing == prepaid.available - 10**15
    assert ([line["kind"] for line in draft.content["lines"]], draft.carried) == (["input"], 0)


def test_statement_shows_sums_that_add_up_though_each_is_rounded(prepaid: Customer) -> None:
    half = CENT // 2
    prepaid.post(Kind.TOP_UP, 3 * CENT + half, utc(2026, 3, 2))
    prepaid.post(Kind.GRANT, half, utc(2026, 3, 4))
    prepaid.spend(half)
    prepaid.spend(half + 1)
    (draft,) = prepaid.close()

    shown = snapshots.content(draft)

    balance = shown["balance"]
    moved = sum(row["amount"] for row in balance["movements"])
    assert balance["opening"] + moved - shown["subtotal"] == balance["closing"] == 3
    assert sum(line["amount"] for line in shown["lines"]) == shown["subtotal"]
    assert sum(part["amount"] for part in shown["keys"]) == shown["subtotal"]


def test_movements_alone_make_a_statement_but_no_invoice(prepaid: Customer, postpaid: Customer) -> None:
    for one in (prepaid, postpaid):
        one.post(Kind.TOP_UP, 5000, utc(2026, 3, 2))

    assert [draft.kind for draft in prepaid.close()] == ["statement"]
    assert postpaid.close() == []


def test_opening_knows_what_was_posted_in_periods_without_a_document(postpaid: Customer) -> None:
    postpaid.post(Kind.TOP_UP, 5000, utc(2026, 3, 2))
    postpaid.post(Kind.TOP_UP, 70, utc(2026, 4, 2))
    postpaid.spend(1, at=utc(2026, 5, 2))

    (invoice,) = postpaid.close(utc(2026, 6, 2))

    assert (invoice.opening, invoice.closing) == (5070, 5069)


@pytest.mark.parametrize(
    ("spent", "shown", "carried"),
    [
        pytest.param(12 * CENT + CENT // 2, 13, -(CENT // 2), id="half a cent goes up"),
        pytest.param(12 * CENT + CENT // 2 - 1, 12, CENT // 2 - 1, id="just below goes down"),
        pytest.param(12 * CENT, 12, 0, id="nothing is left over"),
    ],
)
def test_what_is_finer_than_a_cent_goes_into_the_next_invoice(
    postpaid: Customer, spent: int, shown: int, carried: int
) -> None:
    postpaid.spend(spent)
    postpaid.spend(CENT, at=utc(2026, 4, 15))

    march, april = postpaid.close(utc(2026, 5, 3))

    assert (snapshots.content(march)["subtotal"], march.carried) == (shown, carried)
    lines = [line for line in april.content["lines"] if line["kind"] == "carried"]
    line = {"model": "", "version": 0, "price_id": 0, "kind": "carried", "rate": 0, "quantity": 1, "exact": carried}
    assert lines == ([line] if carried else [])
    assert snapshots.content(april)["subtotal"] * CENT + april.carried == CENT + carried


def test_invoice_that_is_drafted_anew_does_not_carry_its_own_rest(postpaid: Customer) -> None:
    postpaid.spend(12 * CENT + 7)
    (invoice,) = postpaid.close()

    again = drafts.draft(invoice.period)

    assert again is not None
    assert (again.content_hash, again.carried) == (invoice.content_hash, 7)
    assert len(again.content["lines"]) == 1


@pytest.mark.parametrize(("currency", "half"), [("USD", CENT // 2), ("VND", 500_000)])
def test_half_a_cent_that_was_asked_for_too_much_is_carried_on_and_no_invoice_is_below_zero(
    entity: object, currency: str, half: int
) -> None:
    one = customer(postpaid=True, currency=currency)
    one.spend(half)
    one.use(one.price(input=0, output=0), Usage(input=7), at=utc(2026, 4, 15))
    one.spend(half, at=utc(2026, 5, 15))

    march, april, may = one.close(utc(2026, 6, 3))

    assert [snapshots.content(each)["subtotal"] for each in (march, april, may)] == [1, 0, 0]
    assert [each.carried for each in (march, april, may)] == [-half, -half, 0]
    shown = snapshots.content(april)
    assert [line["amount"] for line in shown["lines"]] == [0, 0]
    assert [line["exact"] for line in shown["lines"]] == [0, -half]


def test_sums_of_years_of_half_cents_are_never_off_by_a_cent(entity: object) -> None:
    one = customer(postpaid=True, since=utc(2024, 1, 1))
    for month in range(1, 13):
        one.spend(CENT // 3, at=utc(2024, month, 5))

    invoices = one.close(utc(2025, 1, 2))

    assert len(invoices) == 12
    billed = sum(snapshots.content(invoice)["subtotal"] for invoice in invoices)
    assert billed * CENT + invoices[-1].carried == 12 * (CENT // 3)


def test_invoice_in_dong_has_whole_dong(entity: object) -> None:
    one = customer(postpaid=True, currency="VND")
    one.use(one.price(input=10**12), Usage(input=1_500_001))

    (draft,) = one.close()

    assert (draft.used, snapshots.content(draft)["subtotal"], draft.carried) == (1_500_001_000_000, 1_500_001, 0)
