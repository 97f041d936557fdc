"""Reconciliation: its runs, and the breaks that it found, which a person closes with a reason."""

from __future__ import annotations

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.formats import number_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from administration.decisions import ReasonForm, operator
from administration.frame import ReadOnlyAdmin, action, back_to, display, form_page, moved, row_or_404
from billing import breaks
from billing.models import Break, Reconciliation


@admin.register(Break)
class BreakAdmin(ReadOnlyAdmin):
    list_display = ("subject", "check_name", "tenant", "shown_expected", "shown_found", "last_seen_at", "closed_at")
    list_select_related = ("tenant",)
    list_filter = (("closed_at", admin.EmptyFieldListFilter), ("tenant", AutocompleteSelectFilter))
    list_filter_submit = True
    search_fields = ("subject", "tenant__name")
    fields = ("subject", "check_name", "tenant", "shown_expected", "shown_found", "first_seen_at", "last_seen_at",
              "closed_at", "closed_by", "reason")  # fmt: skip
    actions_detail = ("close",)

    def has_close_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("billing.change_break")

    @display(description=_("expected"))
    def shown_expected(self, found: Break) -> str:
        return number_format(found.expected, force_grouping=True)

    @display(description=_("found"))
    def shown_found(self, found: Break) -> str:
        return number_format(found.found, force_grouping=True)

    @action(description=_("Close with a reason"), permissions=("close",), icon="task_alt")
    def close(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The tenant's invoices become final again once none of its breaks is open."""
        found = row_or_404(Break, object_id)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            reason = form.cleaned_data["reason"]
            if breaks.close([found], by=operator(request), reason=reason):
                self.log_change(request, found, [{"changed": {"fields": [moved(str(_("reason")), "", reason)]}}])
                self.message_user(request, gettext("The break is closed."), messages.SUCCESS)
            else:
                self.message_user(request, gettext("It had been closed already."), messages.WARNING)
            return back_to(self, found)
        return form_page(
            self, request, title=gettext("Close with a reason"), form=form, original=found, submit=gettext("Close"),
            explanation=gettext(
                "Say what the difference was, and what was done about it. Nothing is mended by this: it says that "
                "somebody has understood it. If it grows, a new break is opened."
            ),
        )  # fmt: skip


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    list_display = ("finished_at", "shown_duration", "shown_compared", "found")
    list_display_links = ("finished_at",)
    fields = ("started_at", "finished_at", "shown_compared", "found")

    @display(description=_("took"))
    def shown_duration(self, run: Reconciliation) -> str:
        return f"{number_format((run.finished_at - run.started_at).total_seconds(), 1)}\N{NO-BREAK SPACE}s"

    @display(description=_("compared"))
    def shown_compared(self, run: Reconciliation) -> str:
        counts: dict[str, int] = run.compared
        return ", ".join(f"{name} {number_format(count, force_grouping=True)}" for name, count in counts.items())
