"""The books: balances, open reservations and the processes that hold them. To look at only."""

from __future__ import annotations

from django.contrib import admin
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from administration.frame import ReadOnlyAdmin, display, named
from billing import amounts
from billing.kinds import KINDS
from billing.models import Balance, Process, Reservation


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


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    list_display = ("id", "held_at", "tenant", "asked_model", "at_channel", "shown_amount", "streams", "owner")
    list_select_related = ("tenant",)
    search_fields = ("=id", "=owner")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fields = ("id", "tenant", "asked_model", "at_channel", "asked_endpoint", "streams", "shown_amount", "progress",
              "owner", "held_at")  # fmt: skip
    held_at = named("created_at", _("created at"))
    asked_model = named("model", _("model"))
    asked_endpoint = named("endpoint", _("endpoint"))
    at_channel = named("channel", _("channel"))
    streams = named("is_stream", _("stream"), boolean=True)

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
