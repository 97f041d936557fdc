"""Documents: drafts to be looked at, what is final, credit notes, and what is parked."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, DropdownFilter
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldBooleanWidget,
)

from accounts.errors import GatewayError
from administration.decisions import ReasonForm, operator
from administration.frame import (
    ReadOnlyAdmin,
    action,
    back_to,
    display,
    form_page,
    moved,
    named,
    row_or_404,
    table,
)
from administration.lists import NewestPaginator
from billing import amounts, money
from billing.invoices import crediting, finalising, mails, paying, pdf, sheets
from billing.invoices.finalising import CannotFinalise
from billing.invoices.sheets import minor_amount
from billing.models import CreditNote, Invoice, ParkedTenant


class PayForm(ReasonForm):
    is_besides = forms.BooleanField(
        label=_("Other money came"),
        help_text=_("It was paid by money that is not in the wallet yet, whatever was paid in since."),
        required=False,
        widget=UnfoldBooleanWidget(),
    )


class CreditForm(ReasonForm):
    """So much money of each line. The key is made with the form: sent twice, it issues one note."""

    effect = forms.ChoiceField(label=_("Effect"), widget=UnfoldAdminSelectWidget())
    key = forms.UUIDField(initial=uuid.uuid4, widget=forms.HiddenInput)

    def __init__(self, *args: Any, invoice: Invoice, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._currency = invoice.currency
        effects = [CreditNote.Effect.OFFSET]
        if invoice.is_settled:
            effects = [CreditNote.Effect.WALLET, CreditNote.Effect.PAID_OUT]
        self.fields["effect"].choices = [(each.value, each.label) for each in effects]  # type: ignore[attr-defined]
        rest = crediting.left(invoice)
        for place, line in enumerate(invoice.document["lines"]):
            if rest.lines[place] > 0:
                label = " \N{MIDDLE DOT} ".join(filter(None, (line["model"], sheets.kind_label(line["kind"]))))
                self.fields[f"line_{place}"] = _amount_of_line(label, rest.lines[place], invoice.currency)

    @property
    def lines(self) -> dict[int, int]:
        """What was entered, in minor units, by the place of the line."""
        named = {name: value for name, value in self.cleaned_data.items() if name.startswith("line_") and value}
        places = money.MINOR_PLACES[self._currency]
        return {int(name.removeprefix("line_")): int(value.scaleb(places)) for name, value in named.items()}


def _amount_of_line(label: str, left: int, currency: str) -> forms.DecimalField:
    """Currency units, as fine as documents are; at most what is left, which comes in minor units."""
    places = money.MINOR_PLACES[currency]
    finer = {} if places else {"max_decimal_places": gettext("%(currency)s has no decimals.") % {"currency": currency}}
    return forms.DecimalField(
        label=f"{label} ({currency})",
        help_text=gettext("%(left)s are left.") % {"left": minor_amount(left, currency)},
        max_digits=18,
        decimal_places=places,
        min_value=0,
        max_value=Decimal(left).scaleb(-places),
        error_messages=finer,
        required=False,
        widget=UnfoldAdminDecimalFieldWidget(),
    )


class MailFilter(DropdownFilter):  # type: ignore[misc]  # Unfold carries no types
    """Documents whose mail failed and is tried again, or was given up."""

    title = _("mail")
    parameter_name = "mail"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [("failing", _("failed, is tried again")), ("given_up", _("could not be mailed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> QuerySet[Invoice]:
        match self.value():
            case "failing":
                return queryset.filter(mail__sent_at=None, mail__tries__range=(1, mails.MOST_TRIES - 1))
            case "given_up":
                return queryset.filter(mail__in=mails.given_up())
        return queryset


_Deed = Callable[[Invoice, dict[str, Any], paying.Then], Invoice]
"""Changes a document by what its form says, and has the log kept in the same transaction."""


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    list_display = ("shown_number", "kind", "tenant", "shown_period", "state", "listed_total", "issued_on")
    list_select_related = ("tenant", "period")
    paginator = NewestPaginator
    show_full_result_count = False
    list_filter = (("tenant", AutocompleteSelectFilter), ("state", ChoicesDropdownFilter),
                   ("kind", ChoicesDropdownFilter), MailFilter)  # fmt: skip
    list_filter_submit = True
    search_fields = ("number", "tenant__name")
    search_help_text = _("A document's number, or the name of a tenant.")
    actions_detail = (
        "draw",
        {
            "title": _("Actions"),
            "icon": "bolt",
            "items": ("finalise_now", "pay", "credit", "mail_again", "pay_once", "void"),
        },
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "shown_number",
                    "kind",
                    "tenant",
                    "shown_period",
                    "state",
                    "reason",
                    "shown_payment",
                    "shown_notes",
                )
            },
        ),
        (_("What it says"), {"fields": ("shown_facts", "shown_balance", "shown_lines", "shown_total")}),
        (_("Evidence"), {"fields": ("of_content", "snapshot_hash", "shown_mail")}),
    )
    readonly_fields = (
        "shown_number", "shown_period", "shown_total", "shown_facts", "shown_balance", "shown_lines", "shown_notes",
        "shown_mail", "shown_payment", "of_content",
    )  # fmt: skip
    of_content = named("content_hash", _("SHA-256 of what was counted"))

    def has_operate_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Operators who may change documents at all; nothing of their content is ever changed here."""
        return request.user.has_perm("billing.change_invoice")

    @action(description=_("Make it final"), permissions=["operate"], url_path="finalise")
    def finalise_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(
            request, object_id, _("Make it final"),
            lambda invoice, form, then: _at_once(lambda: finalising.finalise(invoice.pk), then),
            explanation=_("It gets its number now, before its days of review are over, and cannot be changed again."),
        )  # fmt: skip

    @action(description=_("Void it"), permissions=["operate"], url_path="void")
    def void(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(
            request, object_id, _("Void it"),
            lambda invoice, form, then: _at_once(lambda: finalising.void(invoice.pk, reason=form["reason"]), then),
            explanation=_("On the day of its issue, unpaid. Its number stays used, and its period is drafted anew."),
        )  # fmt: skip

    @action(description=_("It was paid"), permissions=["operate"], url_path="pay")
    def pay(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(
            request, object_id, _("It was paid"),
            lambda invoice, form, then: paying.pay(
                invoice.pk, reason=form["reason"], is_besides=form["is_besides"], by=operator(request), then=then
            ),
            explanation=_(
                "What was paid into the wallet since then pays for it first, and for its taxes; the rest of what is "
                "due of its lines is posted, less what was credited."
            ),
            form=PayForm,
        )  # fmt: skip

    @action(description=_("Mail it again"), permissions=["operate"], url_path="mail-again")
    def mail_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = row_or_404(Invoice, object_id)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            if mails.again(invoice.pk):
                reason = gettext("Reason: %s") % form.cleaned_data["reason"]
                self.log_change(request, invoice, [{"changed": {"fields": [gettext("mail"), reason]}}])
                messages.success(request, gettext("It is mailed within a quarter of an hour."))
            else:
                messages.error(request, gettext("A draft is not mailed."))
            return back_to(self, invoice)
        return form_page(
            self, request, title=gettext("Mail it again"), form=form, original=invoice, submit=gettext("Mail it again"),
            explanation=gettext("Also what was mailed before or could not be: to whom the profile names now."),
        )  # fmt: skip

    @action(description=_("It was paid once"), permissions=["operate"], url_path="pay-once")
    def pay_once(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(
            request, object_id, _("It was paid once"),
            lambda invoice, form, then: paying.pay_once(
                invoice.pk, reason=form["reason"], by=operator(request), then=then
            ),
            explanation=_(
                "It was noted as paid, and the same money was paid into the wallet besides: as much of what was noted "
                "is taken out again. Where both came, leave it: what is left pays the next invoice, or goes back by a "
                "refund of its order."
            ),
        )  # fmt: skip

    def _act(
        self, request: HttpRequest, object_id: str, title: Any, run: _Deed, *, explanation: Any,
        form: type[ReasonForm] = ReasonForm,
    ) -> HttpResponse:  # fmt: skip
        """Asks for the reason, does it, and keeps the state before and after in the log, in the deed's transaction."""
        invoice = row_or_404(Invoice, object_id)
        asked = form(request.POST or None)
        if request.method == "POST" and asked.is_valid():
            try:
                reason = asked.cleaned_data["reason"]
                done = run(invoice, asked.cleaned_data, partial(self._log, request, invoice, reason))
            except (GatewayError, CannotFinalise) as error:
                messages.error(request, str(error))
            else:
                messages.success(request, f"{done}: {done.get_state_display()}")
            return back_to(self, invoice)
        return form_page(self, request, title=str(title), form=asked, original=invoice, submit=str(title),
                         explanation=str(explanation))  # fmt: skip

    def _log(self, request: HttpRequest, before: Invoice, reason: str, after: Invoice) -> None:
        changes = [
            moved(gettext("state"), before.state, after.state),
            moved(gettext("number"), before.number, after.number),
        ]
        self.log_change(request, after, [{"changed": {"fields": [*changes, gettext("Reason: %s") % reason]}}])

    @action(description=_("Issue a credit note"), permissions=["operate"], url_path="credit")
    def credit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = row_or_404(Invoice, object_id)
        if invoice.state not in {Invoice.State.FINAL, Invoice.State.PAID}:
            messages.error(request, gettext("Only a final document can be credited."))
            return back_to(self, invoice)
        left = crediting.left(invoice).total
        if not left:
            messages.error(request, gettext("There is nothing to credit."))
            return back_to(self, invoice)
        form = CreditForm(request.POST or None, invoice=invoice)
        if request.method == "POST" and form.is_valid():
            try:
                with transaction.atomic():
                    note = self._credit(request, invoice, form)
            except GatewayError as error:
                messages.error(request, str(error))
            else:
                messages.success(request, f"{note}: {minor_amount(note.total, invoice.currency)}")
            return back_to(self, invoice)
        return form_page(
            self, request, title=gettext("Issue a credit note"), form=form, original=invoice,
            submit=gettext("Issue the credit note"),
            explanation=gettext(
                "It is final at once. Taxes are given back in proportion; %(left)s of the document are left altogether."
            )
            % {"left": minor_amount(left, invoice.currency)},
        )  # fmt: skip

    def _credit(self, request: HttpRequest, invoice: Invoice, form: CreditForm) -> CreditNote:
        key = form.cleaned_data["key"]
        is_repeated = CreditNote.objects.filter(pk=key).exists()
        note = crediting.credit(
            invoice.pk,
            lines=form.lines,
            effect=CreditNote.Effect(form.cleaned_data["effect"]),
            reason=form.cleaned_data["reason"],
            by=operator(request),
            key=key,
        )
        if not is_repeated:
            self._log_credit(request, invoice, note)
        return note

    def _log_credit(self, request: HttpRequest, invoice: Invoice, note: CreditNote) -> None:
        left = crediting.left(invoice).total
        shown = [minor_amount(amount, invoice.currency) for amount in (left + note.total, left)]
        fields = [
            gettext("Credit note %s") % note.number,
            moved(gettext("left"), *shown),
            gettext("Reason: %s") % note.reason,
        ]
        self.log_change(request, invoice, [{"changed": {"fields": fields}}])

    @action(description="PDF", permissions=["view"], url_path="draw")
    def draw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Of a draft too, which says that it is one."""
        invoice = row_or_404(Invoice, object_id)
        name = f"{invoice.number or 'draft'}.pdf"
        return HttpResponse(
            pdf.render(finalising.document_of(invoice)), content_type="application/pdf",
            headers={"Content-Disposition": f'inline; filename="{name}"'},
        )  # fmt: skip

    @display(description=_("number"), ordering="number")
    def shown_number(self, invoice: Invoice) -> SafeString:
        return format_html('<span class="whitespace-nowrap">{}</span>', invoice.number or gettext("DRAFT"))

    @display(description=_("period"), ordering="period__month")
    def shown_period(self, invoice: Invoice) -> SafeString:
        return format_html('<span class="whitespace-nowrap">{}</span>', invoice.period)

    @display(description=_("total"), ordering="total")
    def listed_total(self, invoice: Invoice) -> str:
        """A draft's is on its page, where it is added up."""
        return amounts.ABSENT if invoice.total is None else minor_amount(invoice.total, invoice.currency)

    @display(description=_("total"))
    def shown_total(self, invoice: Invoice) -> str:
        label, amount = self._sheet(invoice)["total"]
        return f"{label}: {amount}"

    @display(description=_("facts"))
    def shown_facts(self, invoice: Invoice) -> SafeString:
        sheet = self._sheet(invoice)
        rows = [(label, text) for label, text in sheet["facts"]]
        rows += [
            (party["title"], ", ".join((party["name"], *party["lines"]))) for party in (sheet["seller"], sheet["buyer"])
        ]
        return table(["", ""], rows)

    @display(description=_("balance"))
    def shown_balance(self, invoice: Invoice) -> SafeString | str:
        rows = [tuple(row) for row in self._sheet(invoice)["balance"]]
        return table(["", invoice.currency], rows, numeric=frozenset({1})) if rows else amounts.ABSENT

    @display(description=_("lines"))
    def shown_lines(self, invoice: Invoice) -> SafeString:
        sheet = self._sheet(invoice)
        rows = [(group["title"], *row) for group in sheet["groups"] for row in group["rows"]]
        rows += [("", label, "", "", amount) for label, amount in sheet["foot"]]
        return table([capfirst(gettext("model")), *sheet["heads"]], rows, numeric=frozenset({2, 3, 4}))

    @staticmethod
    def _sheet(invoice: Invoice) -> sheets.Sheet:
        return sheets.sheet(finalising.document_of(invoice), get_language())

    @display(description=_("credit notes"))
    def shown_notes(self, invoice: Invoice) -> SafeString | str:
        rows = [
            (_link(note, note.number), minor_amount(note.total, invoice.currency), note.reason)
            for note in invoice.credit_notes.all()
        ]
        heads = [gettext("number"), gettext("total"), gettext("reason")]
        return table(heads, rows, numeric=frozenset({1})) if rows else "\N{EN DASH}"

    @display(description=_("payment"))
    def shown_payment(self, invoice: Invoice) -> str:
        return paying.told(invoice) or amounts.ABSENT

    @display(description=_("mail"))
    def shown_mail(self, invoice: Invoice) -> str:
        mail = getattr(invoice, "mail", None)
        if mail is None or (mail.sent_at is None and not mail.tries):
            return "\N{EN DASH}"
        if mail.sent_at is None:
            return gettext("failed %(tries)d times: %(failure)s") % {"tries": mail.tries, "failure": mail.failure}
        return f"{timezone.localtime(mail.sent_at):%Y-%m-%d %H:%M}: {', '.join(mail.recipients)}"


def _at_once(deed: Callable[[], Invoice], then: paying.Then) -> Invoice:
    with transaction.atomic():
        done = deed()
        then(done)
    return done


def _link(row: Model, text: str) -> SafeString:
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])  # noqa: SLF001
    return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', url, text)


@admin.register(CreditNote)
class CreditNoteAdmin(ReadOnlyAdmin):
    list_display = ("number", "shown_invoice", "effect", "shown_total", "reason", "author", "created_at")
    list_select_related = ("invoice", "created_by")
    list_filter = (("effect", ChoicesDropdownFilter),)
    list_filter_submit = True
    search_fields = ("number", "invoice__number", "invoice__tenant__name")
    search_help_text = _("A document's number, or the name of a tenant.")
    actions_detail = ("draw",)
    fields = ("number", "shown_invoice", "effect", "shown_total", "reason", "author", "created_at", "snapshot_hash")
    readonly_fields = ("shown_invoice", "shown_total", "author")
    author = named("created_by", _("created by"))

    @action(description="PDF", permissions=["view"], url_path="draw")
    def draw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        note = row_or_404(CreditNote, object_id)
        return HttpResponse(
            pdf.render(note.document), content_type="application/pdf",
            headers={"Content-Disposition": f'inline; filename="{note.number}.pdf"'},
        )  # fmt: skip

    @display(description=_("document"), ordering="invoice__number")
    def shown_invoice(self, note: CreditNote) -> SafeString:
        return _link(note.invoice, str(note.invoice))

    @display(description=_("total"), ordering="total")
    def shown_total(self, note: CreditNote) -> str:
        return minor_amount(note.total, note.invoice.currency)


@admin.register(ParkedTenant)
class ParkedTenantAdmin(ReadOnlyAdmin):
    list_display = ("tenant", "step", "reason", "since", "attempts")
    list_select_related = ("tenant",)
    list_filter = (("step", ChoicesDropdownFilter),)
    list_filter_submit = True
    search_fields = ("tenant__name", "reason")
