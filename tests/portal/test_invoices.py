"""Invoices, statements and credit notes as their tenant sees them; and the billing profile."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Tenant
from billing.invoices import crediting, finalising, jobs, paying
from billing.models import Balance, BillingProfile, CreditNote, Invoice, LegalEntity, TaxRate, UsageRecord
from tests.pages import Browser

LIST = "portal:invoices"


@pytest.fixture
def invoice(tenant: Tenant, record: Callable[..., UsageRecord]) -> Invoice:
    """The statement of the present month, as if it were over."""
    return document(tenant, record, 4_500_000_000)


def document(tenant: Tenant, record: Callable[..., UsageRecord], cost: int) -> Invoice:
    LegalEntity.objects.create(
        name="Router & Co", address="1 Main Street", country="VN", tax_id="0101", prefix="R", is_default=True,
        bank="A bank, 0071",
    )  # fmt: skip
    record(cost=cost, started_at=timezone.now())
    (draft, *_later) = jobs.close(Balance.objects.get(tenant=tenant), now=timezone.now() + dt.timedelta(days=40))
    return finalising.finalise(draft.pk)


def test_page_without_documents_says_when_the_first_one_comes(alices: Browser) -> None:
    assert "No document yet" in alices.open(reverse(LIST)).text


def test_list_leads_to_the_document_which_has_everything_of_it(alices: Browser, invoice: Invoice) -> None:
    page = alices.open(reverse(LIST)).click(str(invoice.number))

    assert page.status == 200
    for text in (str(invoice.number), "Router &amp; Co", "0101", "gpt-test", "4.50", "Closing balance", "By API key"):
        assert text in page.text


def test_what_is_due_stands_in_the_list_until_it_is_paid(
    alices: Browser, tenant: Tenant, record: Callable[..., UsageRecord]
) -> None:
    BillingProfile.objects.create(tenant=tenant, name="Alice Ltd", billed=BillingProfile.Billed.POSTPAID)
    invoice = document(tenant, record, 7 * 10**9)
    assert "Amount due" in alices.open(reverse(LIST)).text
    assert "A bank, 0071" in alices.open(reverse("portal:invoice", args=[invoice.pk])).text

    paying.pay(invoice.pk, reason="bank")

    assert "Amount due" not in alices.open(reverse(LIST)).text
    page = alices.open(reverse("portal:invoice", args=[invoice.pk]))
    assert "2.00\xa0USD, which did not come through the wallet." in page.text.partition("Amount due")[0]
    assert "A bank, 0071" not in page.text


def test_net_of_prices_that_include_the_tax_is_no_sum_of_the_lines_above_it(
    alices: Browser, tenant: Tenant, record: Callable[..., UsageRecord]
) -> None:
    BillingProfile.objects.create(tenant=tenant, name="Alice Ltd", billed=BillingProfile.Billed.POSTPAID, country="VN")
    TaxRate.objects.create(jurisdiction="VN", name="VAT", percent=10, is_inclusive=True, starts_on=dt.date(2026, 1, 1))
    invoice = document(tenant, record, 11 * 10**9)

    page = alices.open(reverse("portal:invoice", args=[invoice.pk]))

    assert "Subtotal without tax" in page.text
    assert "10.00" in page.text


def test_document_comes_as_pdf_and_csv(alices: Browser, invoice: Invoice) -> None:
    page = alices.open(reverse("portal:invoice", args=[invoice.pk]))

    drawn, table = page.click("PDF").response, page.click("CSV").response

    assert drawn["content-disposition"] == f'attachment; filename="{invoice.number}.pdf"'
    assert drawn.content.startswith(b"%PDF-")
    assert table.content.decode().startswith("model,price_version,kind,quantity")


def test_credit_note_has_a_page_a_pdf_and_a_link_from_its_document(alices: Browser, invoice: Invoice) -> None:
    place = max(range(len(invoice.document["lines"])), key=lambda n: invoice.document["lines"][n]["amount"])
    note = crediting.credit(invoice.pk, lines={place: 50}, effect=CreditNote.Effect.WALLET, reason="an outage")

    assert note.number in alices.open(reverse(LIST)).text
    page = alices.open(reverse("portal:invoice", args=[invoice.pk])).click(note.number)

    assert "an outage" in page.text
    assert "0.50" in page.text
    assert page.click("PDF").response.content.startswith(b"%PDF-")


def test_page_is_in_the_readers_language_whatever_the_documents(alices: Browser, invoice: Invoice) -> None:
    alices.cookies["language"] = "vi"

    page = alices.open(reverse("portal:invoice", args=[invoice.pk]), headers={"accept-language": "vi"})

    assert page.status == 200
    assert str(invoice.number) in page.text


def test_billing_profile_is_saved_and_stands_on_the_next_document(alices: Browser, tenant: Tenant) -> None:
    typed = {
        "name": "Alice Holding",
        "address": "5 Lê Lợi\nHuế",
        "country": "VN",
        "tax_id": "33-99",
        "email": "books@example.com",
        "language": "vi",
    }

    answer = alices.open(reverse("portal:billing_profile")).press("Save", **typed | {"country": "vn"})

    assert answer.location == reverse(LIST)
    profile = BillingProfile.objects.get(tenant=tenant)
    assert {name: getattr(profile, name).replace("\r", "") for name in typed} == typed
    assert (profile.billed, profile.threshold, profile.tax_exemption) == ("prepaid", None, "")


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("country", "vietnam", "Two capital letters, such as VN"),
        ("email", "nobody", "a valid email address"),
        ("name", "", "is required"),
    ],
    ids=str,
)
def test_profile_that_cannot_be_meant_is_refused(
    alices: Browser, tenant: Tenant, field: str, typed: str, said: str
) -> None:
    page = alices.open(reverse("portal:billing_profile")).press("Save", **{field: typed})

    assert (page.status, said in page.text) == (200, True)
    assert not BillingProfile.objects.filter(tenant=tenant).exists()


def test_how_a_tenant_is_billed_cannot_be_changed_by_a_forged_form(alices: Browser, tenant: Tenant) -> None:
    alices.forge(
        reverse("portal:billing_profile"),
        {"name": "A", "language": "en", "billed": "postpaid", "tax_exemption": "X", "threshold": "1"},
    )

    profile = BillingProfile.objects.get(tenant=tenant)
    assert (profile.billed, profile.tax_exemption, profile.threshold) == ("prepaid", "", None)


def test_list_takes_few_queries(alices: Browser, invoice: Invoice, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(9):
        alices.open(reverse(LIST))
