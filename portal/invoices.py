"""Invoices, statements and credit notes: what was billed, as pages, PDF and CSV; and whom they are addressed to."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import get_language, gettext
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import TenantRequest, billing_page, tenant_page
from accounts.models import Tenant
from billing.invoices import paying, pdf, sheets, tables
from billing.models import BillingProfile, CreditNote, Invoice
from billing.models.sellers import COUNTRY

_ON_A_PAGE = 24


class CountryField(forms.CharField):
    """Two letters, in whatever case they are typed."""

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).upper()


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    class Meta:
        model = BillingProfile
        fields = ("name", "address", "country", "tax_id", "email", "language")
        field_classes = {"country": CountryField}
        widgets = {"address": forms.Textarea(attrs={"rows": 4})}
        error_messages = {"country": {"max_length": COUNTRY.message}}


def final(tenant: Tenant) -> QuerySet[Invoice]:
    """The tenant's documents; a draft is the operator's to look at."""
    return Invoice.objects.filter(tenant=tenant).exclude(state=Invoice.State.DRAFT)


def notes(tenant: Tenant) -> QuerySet[CreditNote]:
    """The tenant's credit notes with the documents that they correct."""
    return CreditNote.objects.filter(invoice__tenant=tenant).select_related("invoice")


@require_safe
@tenant_page
def invoice_list(request: TenantRequest) -> HttpResponse:
    rows = final(request.tenant).select_related("period").order_by("-issued_on", "-pk")
    page = Paginator(rows, _ON_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "portal/invoices.html", {"page": page, "notes": notes(request.tenant)[:_ON_A_PAGE]})


@require_safe
@tenant_page
def invoice_detail(request: TenantRequest, invoice_id: int) -> HttpResponse:
    invoice = get_object_or_404(final(request.tenant), pk=invoice_id)
    context = {
        "invoice": invoice,
        "sheet": sheets.sheet(invoice.document, get_language()),
        "notes": invoice.credit_notes.all(),
        "paid": paying.told(invoice),
    }
    return render(request, "portal/invoice.html", context)


@require_safe
@tenant_page
def invoice_pdf(request: TenantRequest, invoice_id: int) -> HttpResponse:
    return _pdf(get_object_or_404(final(request.tenant), pk=invoice_id))


@require_safe
@tenant_page
def invoice_csv(request: TenantRequest, invoice_id: int) -> HttpResponse:
    return _csv(get_object_or_404(final(request.tenant), pk=invoice_id))


@require_safe
@tenant_page
def credit_note(request: TenantRequest, note_id: UUID) -> HttpResponse:
    note = get_object_or_404(notes(request.tenant), pk=note_id)
    context = {"note": note, "invoice": note.invoice, "sheet": sheets.sheet(note.document, get_language())}
    return render(request, "portal/invoice.html", context)


@require_safe
@tenant_page
def credit_note_pdf(request: TenantRequest, note_id: UUID) -> HttpResponse:
    return _pdf(get_object_or_404(notes(request.tenant), pk=note_id))


@require_safe
@tenant_page
def credit_note_csv(request: TenantRequest, note_id: UUID) -> HttpResponse:
    return _csv(get_object_or_404(notes(request.tenant), pk=note_id))


def _pdf(row: Invoice | CreditNote) -> HttpResponse:
    return _file(pdf.render(row.document), "application/pdf", f"{row.number}.pdf")


def _csv(row: Invoice | CreditNote) -> HttpResponse:
    return _file(tables.lines_csv(row.document), "text/csv; charset=utf-8", f"{row.number}.csv")


def _file(content: bytes | str, kind: str, name: str) -> HttpResponse:
    return HttpResponse(content, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@require_http_methods(["GET", "POST"])
@billing_page
def billing_profile(request: TenantRequest) -> HttpResponse:
    profile = BillingProfile.of(request.tenant)
    form = ProfileForm(request.POST or None, instance=profile)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, gettext("The billing profile is saved. It stands on documents from now on."))
        return redirect("portal:invoices")
    return render(request, "portal/billing_profile.html", {"form": form})
