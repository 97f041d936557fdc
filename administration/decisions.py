"""What an operator decides about a row: by a form that asks why, audited with the state before and after."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.errors import GatewayError
from accounts.models import User
from administration.frame import ReadOnlyAdmin, back_to, form_page, moved


class ReasonForm(forms.Form):
    """Every action says why."""

    reason = forms.CharField(label=_("Reason"), max_length=300, widget=UnfoldAdminTextInputWidget())


def operator(request: HttpRequest) -> User:
    """Who is at the desk; admin pages have no anonymous users."""
    return request.user  # type: ignore[return-value]


class DecidedAdmin(ReadOnlyAdmin):
    """Rows that an operator moves on by a form with a reason, audited with the state before and after."""

    def decide(
        self, request: HttpRequest, row: Any, *, title: str, form: forms.Form, deed: Any, explanation: str = ""
    ) -> HttpResponse:
        """The form's page; once it is filled in, `deed(cleaned_data)` is done, and a refusal is said on the form."""
        if form.is_valid():
            before = self.standing(row)
            try:
                deed(form.cleaned_data)
            except GatewayError as refusal:
                form.add_error(None, refusal.message)
            else:
                row.refresh_from_db()
                changes = [moved("state", before, self.standing(row)),
                           *(f"{name}: {value}" for name, value in form.cleaned_data.items())]  # fmt: skip
                self.log_change(request, row, [{"changed": {"fields": changes}}])
                self.message_user(request, gettext("Done."), messages.SUCCESS)
                return back_to(self, row)
        return form_page(self, request, title=title, form=form, original=row, submit=title, explanation=explanation)

    def standing(self, row: Any) -> str:
        return str(row.state)
