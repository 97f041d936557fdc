"""Documents in the administration: looked at, made final, paid, voided and credited, each with a reason in the log."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiKey, Tenant, User
from billing import ledger
from billing.invoices import drafts, finalising, jobs, mails, paying
from billing.kinds import Usage
from billing.models import (
    Balance,
    BillingProfile,
    CreditNote,
    Invoice,
    InvoiceMail,
    LedgerEntry,
    LegalEntity,
    Price,
    TaxRate,
)
from billing.money import MINOR_PLACES
from tests.billing.invoices import customers
from tests.pages import Browser, Page
from tests.records import usage_record

CENT = 10_000_000


@pytest.fixture
def seller(db: None) -> LegalEntity:
    return LegalEntity.objects.create(name="Router Ltd", address="x", country="VN", prefix="R", is_default=True)


@pytest.fixture
def draft(seller: LegalEntity, tenant: Tenant, price: Price, api_key: ApiKey) -> Invoice:
    """The invoice of a post-paid tenant over ten dollars, and 8 % of tax."""
    BillingProfile.objects.create(tenant=tenant, name="Alice Ltd", billed="postpaid", country="VN")
    TaxRate.objects.create(jurisdiction="VN", name="VAT", percent=8, starts_on=dt.date(2026, 1, 1))
    record = usage_record(tenant, price, api_key, cost=1000 * CENT, started_at=timezone.now())
    Balance.objects.filter(tenant=tenant).update(available=F("available") - record.cost)
    (made, *_later) = jobs.close(Balance.objects.get(tenant=tenant), now=timezone.now() + dt.timedelta(days=40))
    return made


def page_of(desk: Browser, invoice: Invoice) -> Page:
    return desk.open(reverse("admin:billing_invoice_change", args=[invoice.pk]))


def act(desk: Browser, invoice: Invoice, link: str, reason: str = "a good one", **fields: str) -> Page:
    return page_of(desk, invoice).click(link).press(link, reason=reason, **fields).landed()


def last_log() -> str:
    return LogEntry.objects.latest("pk").get_change_message()


def test_draft_can_be_looked_at_before_it_is_final(desk: Browser, draft: Invoice) -> None:
    text = page_of(desk, draft).text

    assert "DRAFT" in text
    assert "10.80" in text
    assert "Router Ltd" in text
    assert page_of(desk, draft).click("PDF").response.content.startswith(b"%PDF-")
    draft.refresh_from_db()
    assert (draft.state, draft.number) == ("draft", None)


def test_draft_is_made_final_with_a_reason_in_the_log(desk: Browser, draft: Invoice) -> None:
    act(desk, draft, "Make it final", reason="the customer asked")

    draft.refresh_from_db()
    assert (draft.state, draft.total) == ("final", 1080)
    assert "state: draft → final" in last_log()
    assert f"number: – → {draft.number}" in last_log()
    assert "Reason: the customer asked" in last_log()


def test_draft_without_a_seller_stays_one_and_says_why(desk: Browser, draft: Invoice) -> None:
    LegalEntity.objects.update(is_default=False)
    before = LogEntry.objects.count()

    page = act(desk, draft, "Make it final")

    draft.refresh_from_db()
    assert "no default legal entity" in page.text
    assert (draft.state, LogEntry.objects.count()) == ("draft", before)


def test_invoice_is_voided_on_its_day(desk: Browser, draft: Invoice) -> None:
    finalising.finalise(draft.pk)

    act(desk, draft, "Void it", reason="wrong address")

    draft.refresh_from_db()
    assert (draft.state, draft.reason) == ("void", "wrong address")
    assert "state: final → void" in last_log()


def test_paid_invoice_fills_the_wallet_by_whoever_noted_it(desk: Browser, draft: Invoice, operator: Any) -> None:
    finalising.finalise(draft.pk)

    act(desk, draft, "It was paid", reason="bank 77")

    entry = LedgerEntry.objects.get(reference=f"invoice:{draft.pk}")
    assert (entry.amount, entry.created_by) == (500 * CENT, operator)  # the wallet had five of the ten dollars
    assert "state: final → paid" in last_log()


def test_top_up_since_the_invoice_pays_for_it_unless_other_money_came(desk: Browser, draft: Invoice) -> None:
    finalising.finalise(draft.pk)
    wallet = draft.period.wallet
    ledger.post(balance=wallet, kind=LedgerEntry.Kind.TOP_UP, amount=500 * CENT, reference="card")

    act(desk, draft, "It was paid", reason="card")

    draft.refresh_from_db()
    assert (draft.state, draft.payment.from_wallet, draft.payment.posted) == ("paid", 500 * CENT, 0)
    assert not LedgerEntry.objects.filter(reference=f"invoice:{draft.pk}").exists()


def test_other_money_is_posted_where_the_operator_says_that_it_came(desk: Browser, draft: Invoice) -> None:
    finalising.finalise(draft.pk)
    wallet = draft.period.wallet
    ledger.post(balance=wallet, kind=LedgerEntry.Kind.TOP_UP, amount=500 * CENT, reference="card")

    act(desk, draft, "It was paid", reason="bank 78", is_besides="on")

    assert LedgerEntry.objects.get(reference=f"invoice:{draft.pk}").amount == 500 * CENT


def test_noted_money_that_never_came_is_taken_out_by_whoever_says_so(desk: Browser, draft: Invoice) -> None:
    finalising.finalise(draft.pk)
    act(desk, draft, "It was paid", reason="bank 77")
    wallet = draft.period.wallet
    ledger.post(balance=wallet, kind=LedgerEntry.Kind.TOP_UP, amount=500 * CENT, reference="card")

    act(desk, draft, "It was paid once", reason="by card alone")

    assert LedgerEntry.objects.get(reference=f"invoice:{draft.pk}:once").amount == -500 * CENT
    assert "Reason: by card alone" in last_log()
    assert "5.00 USD from the wallet, 0.80 USD by other money" in page_of(desk, draft).text.replace("\xa0", " ")


def test_credit_note_is_issued_once_however_often_its_form_is_sent(desk: Browser, draft: Invoice) -> None:
    finalising.finalise(draft.pk)
    paying.pay(draft.pk, reason="bank")
    place = next(n for n, line in enumerate(draft_lines(draft)) if line["amount"] == 1000)
    form = page_of(desk, draft).click("Issue a credit note")

    for _time in range(2):
        form.press("Issue the credit note", reason="an outage", effect="wallet", **{f"line_{place}": "2.50"})

    note = CreditNote.objects.get()
    assert (note.net, note.total, note.effect) == (250, 270, "wallet")
    assert "left: 10.80 USD → 8.10 USD" in last_log().replace("\xa0", " ")
    assert LedgerEntry.objects.get(reference=f"credit-note:{note.pk}").amount == 270 * CENT


def draft_lines(invoice: Invoice) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = Invoice.objects.get(pk=invoice.pk).document["lines"]
    return lines


def test_more_than_is_left_of_a_line_is_refused(desk: Browser, draft: Invoice) -> None:
    finalising.finalise(draft.pk)
    place = next(n for n, line in enumerate(draft_lines(draft)) if line["amount"] == 1000)

    page = (
        page_of(desk, draft)
        .click("Issue a credit note")
        .press("Issue the credit note", reason="too much", effect="offset", **{f"line_{place}": "10.01"})
    )

    assert page.status == 200
    assert not CreditNote.objects.exists()


@pytest.mark.parametrize(
    ("currency", "typed", "said"),
    [
        pytest.param("USD", "2.505", "no more than 2 decimal places", id="finer than a cent"),
        pytest.param("VND", "2.5", "VND has no decimals.", id="finer than a dong"),
    ],
)
def test_credit_is_typed_as_money_and_no_finer_than_the_document(
    desk: Browser, seller: LegalEntity, currency: str, typed: str, said: str
) -> None:
    buyer = customers.customer(currency=currency)
    buyer.use(buyer.price(input=1_000_000_000_000), Usage(input=10_000_000))
    invoice = buyer.final()
    form = page_of(desk, invoice).click("Issue a credit note")
    assert f"({currency})" in form.text

    refused = form.press("Issue the credit note", reason="too fine", effect="wallet", line_0=typed)

    assert said in refused.text
    assert not CreditNote.objects.exists()
    form.press("Issue the credit note", reason="whole", effect="wallet", line_0="3")
    assert CreditNote.objects.get().total == 3 * 10 ** MINOR_PLACES[currency]


def test_draft_is_offered_no_credit_note(desk: Browser, draft: Invoice) -> None:
    assert "Only a final document can be credited" in page_of(desk, draft).click("Issue a credit note").text


def test_reader_of_documents_does_nothing_with_them(db: None, draft: Invoice) -> None:
    reader = User.objects.create_user("reader@example.com", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_invoice"))
    finalising.finalise(draft.pk)
    browser = Browser(reader)
    assert page_of(browser, draft).status == 200

    for name in ("finalise", "void", "pay", "credit"):
        assert browser.forge(f"/admin/billing/invoice/{draft.pk}/{name}/", {"reason": "mine"}).status == 403
    draft.refresh_from_db()
    assert draft.state == "final"


def test_list_takes_the_same_queries_for_one_and_for_many(
    desk: Browser, draft: Invoice, django_assert_max_num_queries: Any
) -> None:
    finalising.finalise(draft.pk)
    for _number in range(5):
        finalising.void(draft.pk, reason="again")
        (draft,) = [made for made in map(drafts.draft, [draft.period]) if made]
        finalising.finalise(draft.pk)

    with django_assert_max_num_queries(12):
        page = desk.open(reverse("admin:billing_invoice_changelist"))
    assert page.text.count("R-INV-") >= 6


# --- profiles --------------------------------------------------------------------------------------------------------


def test_threshold_is_typed_and_read_in_the_tenants_currency(desk: Browser, tenant: Tenant) -> None:
    profile = BillingProfile.objects.create(tenant=tenant, name="Alice Ltd", billed="postpaid")
    address = reverse("admin:billing_billingprofile_change", args=[profile.pk])

    desk.open(address).press("Save", invoice_at="12.5")

    profile.refresh_from_db()
    assert profile.threshold == 12_500_000_000
    page = desk.open(address)
    assert page.values("Save")["invoice_at"] == ["12.5"]
    page.press("Save", invoice_at="")
    profile.refresh_from_db()
    assert profile.threshold is None


def test_threshold_in_dong_has_no_fractions(desk: Browser, tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(currency="VND")
    profile = BillingProfile.objects.create(tenant=tenant, name="Alice Ltd", threshold=7)
    form = desk.open(reverse("admin:billing_billingprofile_change", args=[profile.pk]))

    assert "VND has no decimals." in form.press("Save", invoice_at="1000.5").text

    profile.refresh_from_db()
    assert profile.threshold == 7


@pytest.mark.parametrize("typed", ["0", "-1", "0.0000000001", "1e30", "much"])
def test_threshold_that_is_no_amount_is_refused(desk: Browser, tenant: Tenant, typed: str) -> None:
    profile = BillingProfile.objects.create(tenant=tenant, name="Alice Ltd", threshold=7)

    page = desk.open(reverse("admin:billing_billingprofile_change", args=[profile.pk])).press("Save", invoice_at=typed)

    assert page.status == 200
    profile.refresh_from_db()
    assert profile.threshold == 7


@pytest.mark.parametrize(
    ("fields", "is_added"),
    [
        ({}, False),
        ({"name": "vat"}, False),
        ({"ends_on": "2026-12-31"}, False),
        ({"starts_on": "2027-01-01"}, False),
        ({"name": "city tax"}, True),
        ({"jurisdiction": "US"}, True),
        ({"is_reverse_charge": True}, True),
        ({"starts_on": "2025-01-01", "ends_on": "2025-12-31"}, True),
    ],
    ids=range(8),
)
def test_two_rates_of_one_tax_do_not_hold_on_one_day(desk: Browser, fields: dict[str, Any], is_added: bool) -> None:
    """A new rate beside the old one would be added to it, on every invoice."""
    TaxRate.objects.create(jurisdiction="VN", name="VAT", percent=8, starts_on=dt.date(2026, 1, 1))
    typed = {"jurisdiction": "VN", "name": "VAT", "percent": "10", "starts_on": "2026-06-01"}

    desk.open(reverse("admin:billing_taxrate_add")).press("Save", **(typed | fields))

    assert TaxRate.objects.count() == 1 + is_added


def test_rate_of_a_tax_follows_the_one_that_has_ended_and_is_saved_again(desk: Browser) -> None:
    TaxRate.objects.create(
        jurisdiction="VN", name="VAT", percent=8, starts_on=dt.date(2026, 1, 1), ends_on=dt.date(2026, 5, 31)
    )
    typed = {"jurisdiction": "VN", "name": "VAT", "percent": "10", "starts_on": "2026-06-01"}
    desk.open(reverse("admin:billing_taxrate_add")).press("Save", **typed)

    new = TaxRate.objects.get(percent=10)
    page = desk.open(reverse("admin:billing_taxrate_change", args=(new.pk,)))

    assert page.press("Save", percent="10.5").status == 302
    assert TaxRate.objects.filter(percent="10.5").exists()


# --- mails that fail -------------------------------------------------------------------------------------------------


def test_document_that_could_not_be_mailed_is_counted_found_and_mailed_again(desk: Browser, draft: Invoice) -> None:
    finalising.finalise(draft.pk)
    fields = {"tries": mails.MOST_TRIES, "failure": "no such mailbox", "next_at": timezone.now()}
    InvoiceMail.objects.filter(invoice=draft).update(**fields)
    figures = {figure["label"]: figure for figure in desk.open("/admin/").response.context["figures"]}
    figure = figures["Documents that could not be mailed"]
    assert (figure["lines"], page_of(desk, draft).text.count("failed 10 times: no such mailbox")) == (("1",), 1)
    draft.refresh_from_db()
    assert str(draft.number) in desk.open(figure["link"]).text
    assert str(draft.number) not in desk.open(figure["link"].replace("given_up", "failing")).text

    act(desk, draft, "Mail it again", reason="the address is right now")

    row = InvoiceMail.objects.get(invoice=draft)
    assert (row.tries, row.next_at, row.failure) == (0, None, "")
    assert mails.due() == [(draft.pk, draft.tenant_id)]
    assert "Reason: the address is right now" in last_log()


def test_draft_is_not_mailed(desk: Browser, draft: Invoice) -> None:
    before = LogEntry.objects.count()
    assert "A draft is not mailed." in act(desk, draft, "Mail it again", reason="x").text
    assert (mails.due(), LogEntry.objects.count()) == ([], before)
