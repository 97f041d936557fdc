"""What the list of requests can be narrowed to."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey
from billing.models import UsageRecord
from billing.reports import Filter

# Days that every database and time zone can hold.
_DAYS = (MinValueValidator(dt.date(2000, 1, 1)), MaxValueValidator(dt.date(2999, 12, 31)))


class FilterForm(forms.Form):
    """Comes with the URL; what is not valid in it narrows nothing."""

    use_required_attribute = False

    key = forms.TypedChoiceField(label=_("Key"), required=False, coerce=int, empty_value=None)
    model = forms.ChoiceField(label=_("Model"), required=False)
    outcome = forms.ChoiceField(label=_("Outcome"), required=False)
    first = forms.DateField(
        label=_("From"),
        required=False,
        validators=_DAYS,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    last = forms.DateField(
        label=_("To"),
        required=False,
        validators=_DAYS,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def __init__(self, *args: Any, api_keys: dict[int, ApiKey], models: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.api_keys = api_keys
        self._choose("key", _("All keys"), [(str(pk), str(api_key)) for pk, api_key in api_keys.items()])
        self._choose("model", _("All models"), [(name, name) for name in models])
        self._choose("outcome", _("All outcomes"), list(UsageRecord.Outcome.choices))

    def chosen(self) -> Filter:
        """The valid part of what was asked."""
        self.is_valid()
        given = self.cleaned_data
        return Filter(
            api_key_id=given.get("key"),
            model=given.get("model", ""),
            outcome=given.get("outcome", ""),
            first_day=given.get("first"),
            last_day=given.get("last"),
        )

    def _choose(self, name: str, everything: Any, choices: list[tuple[str, Any]]) -> None:
        self.fields[name].choices = [("", everything), *choices]  # type: ignore[attr-defined]
