"""Tariffs in the administration: entered and read as currency units per million tokens; written once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSplitDateTimeWidget

from administration.frame import AddOnlyAdmin, display
from billing import amounts, money
from billing.amounts import AmountField
from billing.kinds import KINDS
from billing.models import Rates

_LABELS = {kind.rate: _(kind.label) for kind in KINDS} | {"request_fee": _("fee per request")}
RATES = tuple(_LABELS)
"""The fields of a tariff: a rate for every kind of usage, and the flat fee."""


def _amount(label: Any, *, required: bool = False, initial: int | None = None) -> AmountField:
    widget = UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "inputmode": "decimal"})
    return AmountField(label=capfirst(label), required=required, initial=initial, min_value=0, widget=widget)


class RatesForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """One new version of a tariff. Its rates become ledger units exactly or not at all."""

    effective_from = forms.SplitDateTimeField(
        label=_("Effective from"),
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget(),
        help_text=_("Empty: from now on. A price never changes the past."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The model's default, the moment the form was opened, would lie in the past when it is sent.
        self.initial.pop("effective_from", None)

    def clean_effective_from(self) -> Any:
        now = timezone.now()
        chosen = self.cleaned_data["effective_from"] or now
        if chosen < now:
            raise ValidationError(_("A price cannot take effect in the past."))
        return chosen

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        currency = cleaned.get("currency")
        if currency is None:
            return cleaned
        cleaned["request_fee"] = cleaned.get("request_fee") or Decimal(0)
        for name in RATES:
            value = cleaned.get(name)
            if value is not None:
                try:
                    cleaned[name] = amounts.ledger_units(value, currency)
                except ValidationError as error:
                    self.add_error(name, error)
        return cleaned


for _kind in KINDS:
    RatesForm.declared_fields[_kind.rate] = _amount(_LABELS[_kind.rate], required=_kind.is_required)
RatesForm.declared_fields["request_fee"] = _amount(_LABELS["request_fee"], initial=0)


def _shown_rate(name: str, label: Any) -> Any:
    @display(description=label)
    def rate(self: RatesAdmin, rates: Rates) -> SafeString:
        return amounts.amount_html(getattr(rates, name), rates.currency, absent=gettext("no price of its own"))

    return rate


class RatesAdmin(AddOnlyAdmin):
    """What prices and cost prices share: the form to add a version, and the same rates to read."""

    shown_rates: ClassVar[tuple[str, ...]] = tuple(f"shown_{name}" for name in RATES)

    def has_price_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may add a version; Unfold asks with a row, Django's own check for adding takes none."""
        return bool(self.has_add_permission(request))

    def fieldsets_of(self, adding: bool, subject: tuple[str, ...], written: tuple[str, ...]) -> list[tuple[Any, Any]]:
        """The page's parts: of what it is a price, and the rates, as fields to type or as values to read."""
        return [
            (None, {"fields": subject}),
            (
                _("Currency units per million tokens"),
                {
                    "fields": RATES if adding else self.shown_rates,
                    "description": _(
                        "A kind without a price of its own costs what the kind costs that contains it: cached input, "
                        "cache writes and input audio what input costs, reasoning and output audio what output costs. "
                        "If nothing contains it, it is free. The fee is per request, not per million."
                    ),
                },
            ),
            *([] if adding else [(None, {"fields": written})]),
        ]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A link may carry an earlier version's rates in ledger units, which the form shows as currency units."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        currency = initial.get("currency", "")
        for name in RATES:
            if name in initial and currency in money.EXPONENT and str(initial[name]).isdecimal():
                initial[name] = money.to_json_number(int(initial[name]), currency)
        return initial


for _name, _label in _LABELS.items():
    setattr(RatesAdmin, f"shown_{_name}", _shown_rate(_name, _label))


def format_pair(input_rate: int | None, output_rate: int | None, currency: str | None) -> SafeString | str:
    """Input and output rates of the version that holds, for lists."""
    if input_rate is None or output_rate is None or currency is None:
        return amounts.ABSENT
    rates = (amounts.format_amount(rate, currency) for rate in (input_rate, output_rate))
    return format_html('<span class="amount">{} / {}</span>', *rates)
