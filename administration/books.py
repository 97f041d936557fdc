"""The books: balances, ledger entries, open reservations and the processes that hold them. To look at only."""

from __future__ import annotations

from django.contrib import admin
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.models import User
from administration.frame import ReadOnlyAdmin, display
from billing import amounts
from billing.kinds import KINDS
from billing.models import Balance, LedgerEntry, Process, Reservation


@admin.register(Balance)
class BalanceAdmin(ReadOnlyAdmin):
    list_display = ("tenant", "kind", "shown_available", "shown_credit_line", "created_at")
    list_select_related = ("tenant",)
    list_filter = (("kind", ChoicesDropdownFilter), ("currency", ChoicesDropdownFilter))
    list_filter_submit = True
    search_fields = ("tenant__name",)
    fields = ("tenant", "kind", "shown_available", "shown_credit_line", "created_at")

    @display(description=_("available"), ordering="available")
    def shown_available(self, balance: Balance) -> SafeString:
        return amounts.amount_html(balance.available, balance.currency)

    @display(description=_("credit line"), ordering="credit_line")
    def shown_credit_line(self, balance: Balance) -> SafeString:
        return amounts.amount_html(balance.credit_line, balance.currency)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "tenant", "kind", "shown_amount", "reference", "author")
    list_display_links = ("created_at", "reference")
    list_select_related = ("balance__tenant", "created_by")
    list_filter = (("kind", ChoicesDropdownFilter), ("balance__tenant", AutocompleteSelectFilter))
    list_filter_submit = True
    search_fields = ("=reference", "balance__tenant__name")
    date_hierarchy = "created_at"
    fields = ("tenant", "kind", "shown_amount", "reference", "note", "author", "created_at")

    @display(description=_("tenant"), ordering="balance__tenant__name")
    def tenant(self, entry: LedgerEntry) -> str:
        return entry.balance.tenant.name

    @display(description=_("created by"), ordering="created_by__email")
    def author(self, entry: LedgerEntry) -> User | None:
        return entry.created_by

    @display(description=_("amount"), ordering="amount")
    def shown_amount(self, entry: LedgerEntry) -> SafeString:
        return amounts.amount_html(entry.amount, entry.balance.currency)


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    list_display = ("id", "created_at", "tenant", "model", "channel", "shown_amount", "is_stream", "owner")
    list_select_related = ("tenant",)
    search_fields = ("=id", "=owner")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fields = ("id", "tenant", "model", "channel", "endpoint", "is_stream", "shown_amount", "progress", "owner",
              "created_at")  # fmt: skip

    @display(description=_("amount"), ordering="amount")
    def shown_amount(self, reservation: Reservation) -> SafeString:
        return amounts.amount_html(reservation.amount, reservation.tenant.currency)

    @display(description=_("used so far"))
    def progress(self, reservation: Reservation) -> str:
        used = reservation.noted_usage
        counts = [(kind.label, getattr(used, kind.name)) for kind in KINDS]
        shown = (f"{gettext(label)} {number_format(count, force_grouping=True)}" for label, count in counts if count)
        return ", ".join(shown) or amounts.ABSENT


@admin.register(Process)
class ProcessAdmin(ReadOnlyAdmin):
    list_display = ("host", "pid", "started_at", "heartbeat_at", "id")
    ordering = ("-heartbeat_at",)
    fields = ("id", "host", "pid", "started_at", "heartbeat_at")
