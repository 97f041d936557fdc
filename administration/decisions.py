"""What an operator decides about a row: by a form that asks why, audited with the state before and after."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from accounts.errors import GatewayError
from accounts.models import User
from administration.frame import ReadOnlyAdmin, back_to, form_page, moved


class ReasonForm(forms.Form):
    """Every action says why."""

    reason = forms.CharField(label=_("Reason"), max_length=300, widget=UnfoldAdminTextInputWidget())


def is_large(amount: Any, currency: str) -> bool:
    """Whether so many currency units, as typed or as a number, are asked for once more (CONFIRM_ABOVE)."""
    try:
        return abs(Decimal(amount)) > Decimal(settings.CONFIRM_ABOVE[currency])
    except (InvalidOperation, KeyError, TypeError):
        return False


def large(currency: str) -> ValidationError:
    """What is said of such an amount until the box is ticked."""
    message = _("More than %(limit)s %(currency)s: look at the amount once more, and tick the box.")
    return ValidationError(message, params={"limit": settings.CONFIRM_ABOVE[currency], "currency": currency})


class ConfirmedForm(forms.Form):
    """Has a box that is there once it is needed; `typed` is the field whose amount says so."""

    is_confirmed = forms.BooleanField(label=_("Yes, this large amount"), required=False, widget=UnfoldBooleanWidget())
    typed = "amount"

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currency = currency
        if "is_confirmed" not in self.data and not is_large(self.data.get(self.typed), currency):
            del self.fields["is_confirmed"]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if is_large(self.data.get(self.typed), self.currency) and not cleaned.get("is_confirmed"):
            self.add_error("is_confirmed", large(self.currency))
        return cleaned


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
