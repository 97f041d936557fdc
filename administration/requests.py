"""Usage records: what one request used and cost, why it went where it went, and what was tried."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, FieldTextFilter

from accounts.models import ApiKey
from administration.frame import display, table
from administration.lists import NewestAdmin, RequestDayFilter
from billing import amounts, corrections, money, prices
from billing.models import UsageRecord
from routing.endpoints import public_id
from routing.pipeline import outcomes
from routing.pipeline.outcomes import Ending
from routing.selection import reasons
from routing.selection.reasons import Reason

_PUBLIC_ID = re.compile(r"(?:[a-z]+-)?([0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12})", re.IGNORECASE)
_ABSENT = "\N{EN DASH}"

STATES = {"chosen": _("chosen"), "ready": _("ready"), "out": _("out")}


@admin.register(UsageRecord)
class UsageRecordAdmin(NewestAdmin):
    list_display = ("began", "tenant", "model", "channel", "shown_outcome", "tokens", "shown_cost", "duration_ms")
    list_select_related = ("tenant",)
    list_filter = (
        RequestDayFilter,
        ("outcome", ChoicesDropdownFilter),
        ("tenant", AutocompleteSelectFilter),
        ("model", FieldTextFilter),
        ("channel", FieldTextFilter),
        "is_stream",
        ("usage_source", ChoicesDropdownFilter),
    )
    list_filter_submit = True
    guarded: ClassVar[dict[str, str]] = dict.fromkeys(
        ("shown_provider_cost", "shown_reported_cost", "provider_cost", "reported_cost", "decision", "attempts"),
        "routing.costprice",
    )
    # By the ids, which begin with the time: an index by time alone would cost every record that is written.
    ordering = ("-id",)
    sortable_by = ("began", "shown_cost", "duration_ms")
    served: ClassVar[dict[str, str]] = {"day": "pk", "tenant__id__exact": "started_at"}
    search_fields = ("=id",)
    search_help_text = _("A request id (chatcmpl-…), or the exact name of a model.")
    fieldsets = (
        (None, {"fields": ("public_id", "tenant", "api_key_name", "endpoint", "requested_model", "model", "channel",
                           "upstream_model", "is_stream", "outcome", "status", "error_code")}),
        (_("Times"), {"fields": ("started_at", "first_byte_ms", "duration_ms", "settled_at")}),
        (_("Price"), {"fields": ("usage_source", "price_sum", "price", "shown_cost", "shown_held", "shown_claimed_cost",
                                 "shown_written_off", "shown_correction", "shown_provider_cost",
                                 "shown_reported_cost")}),
        (_("Routing"), {"fields": ("strategy", "candidates", "tried")}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageRecord]:
        """With the key's name by a subquery: a record outlives its key, so a join would lose records.

        And with whether what a route costs the operator may be seen.
        """
        names = ApiKey.objects.filter(pk=OuterRef("api_key_id")).values("name")[:1]
        rows: QuerySet[UsageRecord] = super().get_queryset(request)
        return rows.annotate(key_name=Subquery(names), shows_costs=Value(self.is_open(request, "decision")))

    def is_indexed(self, term: str) -> bool:
        """Whether the search term is an id."""
        return _PUBLIC_ID.fullmatch(term.strip()) is not None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageRecord], search_term: str
    ) -> tuple[QuerySet[UsageRecord], bool]:
        term = search_term.strip()
        match = _PUBLIC_ID.fullmatch(term)
        if match:
            return queryset.filter(pk=uuid.UUID(match[1])), False
        return queryset.filter(model=term) if term else queryset, False

    @display(
        description=_("outcome"),
        ordering="outcome",
        label={
            "success": "success",
            "client_gone": "info",
            "refused": "info",
            "recovered": "warning",
            "timeout": "warning",
            "upstream_error": "danger",
            "internal_error": "danger",
        },
    )
    def shown_outcome(self, record: UsageRecord) -> tuple[str, str]:
        return record.outcome, record.get_outcome_display()

    @display(description=_("started at (UTC)"), ordering="started_at")
    def began(self, record: UsageRecord) -> SafeString:
        moment = record.started_at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
        return format_html('<span class="amount">{}</span>', moment)

    @display(description=_("tokens in → out"))
    def tokens(self, record: UsageRecord) -> SafeString:
        counts = (record.usage.input, record.usage.output)
        shown = (number_format(count, force_grouping=True) for count in counts)
        return format_html('<span class="amount">{} → {}</span>', *shown)

    @display(description=_("API key"))
    def api_key_name(self, record: UsageRecord) -> str:
        return f"{getattr(record, 'key_name', None) or _ABSENT} (#{record.api_key_id})"

    @display(description=_("request id"))
    def public_id(self, record: UsageRecord) -> str:
        return public_id(record.endpoint, record.id.hex)

    @display(description=_("cost"), ordering="cost")
    def shown_cost(self, record: UsageRecord) -> SafeString:
        return amounts.amount_html(record.cost, record.currency)

    @display(description=_("held"))
    def shown_held(self, record: UsageRecord) -> SafeString:
        return amounts.amount_html(record.held, record.currency)

    @display(description=_("claimed cost"))
    def shown_claimed_cost(self, record: UsageRecord) -> SafeString:
        return amounts.amount_html(record.claimed_cost, record.currency)

    @display(description=_("written off"))
    def shown_written_off(self, record: UsageRecord) -> SafeString:
        return amounts.amount_html(record.written_off, record.currency)

    @display(description=_("booked later"))
    def shown_correction(self, record: UsageRecord) -> SafeString:
        return amounts.amount_html(corrections.of(record), record.currency)

    @display(description=_("reported by the upstream"))
    def shown_reported_cost(self, record: UsageRecord) -> SafeString:
        return amounts.amount_html(record.reported_cost, "USD")

    @display(description=_("provider cost"))
    def shown_provider_cost(self, record: UsageRecord) -> SafeString:
        known = record.provider_cost if record.provider_currency else None
        return amounts.amount_html(known, record.provider_currency)

    @display(description=_("price sum"))
    def price_sum(self, record: UsageRecord) -> SafeString:
        """Quantity times rate of every kind that was used, as it was added up before the one rounding."""
        tariff = record.price.tariff_at(record.started_at).for_input(record.usage.input)
        rows: list[tuple[Any, ...]] = [
            (
                gettext(line.kind.label),
                number_format(line.quantity, force_grouping=True),
                amounts.format_amount(line.rate, tariff.currency),
                amounts.format_millionths(line.exact_millionths, tariff.currency),
            )
            for line in prices.lines(record.usage, tariff)
        ]
        rows.append((gettext("fee per request"), "", "", amounts.format_amount(tariff.request_fee, tariff.currency)))
        headers = [gettext("kind"), gettext("quantity"), gettext("per million"), gettext("amount")]
        return table(headers, rows, numeric=frozenset({1, 2, 3}))

    @display(description=_("strategy"))
    def strategy(self, record: UsageRecord) -> str:
        return str(record.decision.get("strategy", _ABSENT))

    @display(description=_("candidates"))
    def candidates(self, record: UsageRecord) -> SafeString:
        headers = [
            gettext("channel"), gettext("upstream model"), gettext("state"), gettext("reason"),
            gettext("expected cost"), gettext("success rate"), gettext("priority"), gettext("weight"),
        ]  # fmt: skip
        shows_costs = getattr(record, "shows_costs", False)
        rows = [_candidate(candidate, shows_costs) for candidate in record.decision.get("candidates", [])]
        for name, count in record.decision.get("left_out", {}).items():
            state = STATES.get(name, STATES["out"])
            more = gettext("and %(count)d more") % {"count": count}
            rows.append((more, "", state, _ABSENT if name == "ready" else _reason(name), *[_ABSENT] * 2, "", ""))
        return table(headers, rows, numeric=frozenset({4, 5, 6, 7}))

    @display(description=_("attempts"))
    def tried(self, record: UsageRecord) -> SafeString:
        headers = [gettext("channel"), gettext("upstream model"), gettext("outcome"), gettext("HTTP status"),
                   gettext("began (ms)"), gettext("took (ms)"), gettext("detail")]  # fmt: skip
        rows = [_attempt(attempt) for attempt in record.attempts]
        return table(headers, rows, numeric=frozenset({3, 4, 5}))


def _candidate(candidate: dict[str, Any], shows_costs: bool) -> tuple[Any, ...]:
    state, reason, cost = candidate.get("state", ""), candidate.get("reason"), candidate.get("expected_cost")
    currency, rate = candidate.get("currency", "") if shows_costs else "", candidate.get("success_rate")
    return (
        candidate.get("channel", ""),
        candidate.get("upstream_model", ""),
        STATES.get(state, state),
        _reason(reason) if reason else _ABSENT,
        _ABSENT if cost is None or currency not in money.EXPONENT else amounts.format_amount(cost, currency),
        _ABSENT if rate is None else f"{rate:.0%}",
        candidate.get("priority", ""),
        candidate.get("weight", ""),
    )


def _attempt(attempt: dict[str, Any]) -> tuple[Any, ...]:
    outcome, status = attempt.get("outcome", ""), attempt.get("status")
    return (
        attempt.get("channel", ""),
        attempt.get("upstream_model", ""),
        _ending(outcome),
        _ABSENT if status is None else status,
        attempt.get("started_ms", ""),
        attempt.get("duration_ms", ""),
        attempt.get("detail", ""),
    )


def _reason(name: str) -> str:
    return gettext(reasons.WORDS[Reason(name)].operator) if name in set(Reason) else name


def _ending(name: str) -> str:
    return gettext(outcomes.WORDS[Ending(name)].operator) if name in set(Ending) else name
