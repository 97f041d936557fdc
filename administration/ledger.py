"""The ledger: entries with both of their sides, what is left of each, and voiding a grant."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.models import User
from administration import postings
from administration.decisions import ReasonForm, operator
from administration.frame import action, back_to, display, form_page, row_or_404
from administration.lists import DayFilter, NewestAdmin
from billing import amounts, grants
from billing.grants import Conflict
from billing.models import LedgerEntry, Lot


@admin.register(LedgerEntry)
class LedgerEntryAdmin(NewestAdmin):
    list_display = ("created_at", "tenant", "kind", "shown_amount", "shown_left", "shown_debit", "shown_credit", "note",
                    "reference", "author")  # fmt: skip
    list_display_links = ("created_at", "reference")
    log_tells_of = "billing.balance"
    list_select_related = ("balance__tenant", "created_by", "lot")
    list_filter = (DayFilter, ("kind", ChoicesDropdownFilter), ("balance__tenant", AutocompleteSelectFilter))
    list_filter_submit = True
    search_fields = ("=reference", "balance__tenant__name")
    sortable_by = ("created_at", "shown_amount")
    served: ClassVar[dict[str, str]] = {"day": "pk", "balance__tenant__id__exact": "pk"}
    actions_detail = ("void",)
    fields = ("tenant", "kind", "shown_amount", "shown_now", "shown_debit", "shown_credit", "priority", "expires_at",
              "of", "reference", "note", "author", "created_at")  # fmt: skip

    def has_void_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.add_ledgerentry")

    @display(description=_("tenant"), ordering="balance__tenant__name")
    def tenant(self, entry: LedgerEntry) -> str:
        return entry.balance.tenant.name

    @display(description=_("created by"), ordering="created_by__email")
    def author(self, entry: LedgerEntry) -> User | None:
        return entry.created_by

    @display(description=_("amount"), ordering="amount")
    def shown_amount(self, entry: LedgerEntry) -> SafeString:
        return amounts.amount_html(entry.amount, entry.balance.currency)

    @display(description=_("left"))
    def shown_left(self, entry: LedgerEntry) -> SafeString:
        """As of the last hour; what is younger has not been drawn from."""
        lot: Lot | None = getattr(entry, "lot", None)
        return amounts.amount_html(None if lot is None else lot.rest, entry.balance.currency)

    @display(description=_("left now"))
    def shown_now(self, entry: LedgerEntry) -> SafeString:
        return amounts.amount_html(grants.left_of(entry), entry.balance.currency)

    @display(description=_("debit"))
    def shown_debit(self, entry: LedgerEntry) -> str:
        return str(entry.debit.label)

    @display(description=_("credit"))
    def shown_credit(self, entry: LedgerEntry) -> str:
        return str(entry.credit.label)

    @action(description=_("Void the grant"), permissions=("void",), icon="undo")
    def void(self, request: HttpRequest, object_id: str) -> HttpResponse:
        grant = row_or_404(LedgerEntry.objects.select_related("balance__tenant"), object_id)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            try:
                self._void(request, grant, form.cleaned_data["reason"])
                return back_to(self, grant)
            except Conflict as refusal:
                form.add_error(None, str(refusal))
        return form_page(
            self, request, title=gettext("Void the grant"), form=form, original=grant, submit=gettext("Void"),
            explanation=gettext("Takes back what is unused of it. What it has paid for stays paid."),
        )  # fmt: skip

    def _void(self, request: HttpRequest, grant: LedgerEntry, reason: str) -> None:
        was_void = grant.followers.filter(kind=LedgerEntry.Kind.GRANT).exists()
        entry = grants.void(grant, note=reason, created_by=operator(request))
        if was_void:
            self.message_user(request, gettext("The grant had been voided already; nothing was changed."))
            return
        self.log_change(request, grant, postings.logged(entry))
        self.message_user(request, gettext("The grant is voided."), messages.SUCCESS)
