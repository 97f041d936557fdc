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
from billing.models import Rates

KINDS = (
    "input", "cached_input", "cache_write", "output", "reasoning", "input_audio", "output_audio", "image",
    "request_fee",
)  # fmt: skip


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

    input = _amount(_("input"), required=True)
    cached_input = _amount(_("cached input"))
    cache_write = _amount(_("cache write"))
    output = _amount(_("output"), required=True)
    reasoning = _amount(_("reasoning"))
    input_audio = _amount(_("input audio"))
    output_audio = _amount(_("output audio"))
    image = _amount(_("image"))
    request_fee = _amount(_("fee per request"), initial=0)

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
        for kind in KINDS:
            value = cleaned.get(kind)
            if value is not None:
                try:
                    cleaned[kind] = amounts.ledger_units(value, currency)
                except ValidationError as error:
                    self.add_error(kind, error)
        return cleaned


def _shown_rate(kind: str, label: Any) -> Any:
    @display(description=label)
    def rate(self: RatesAdmin, rates: Rates) -> SafeString:
        return amounts.marked(getattr(rates, kind), rates.currency, absent=gettext("no price of its own"))

    return rate


class RatesAdmin(AddOnlyAdmin):
    """What prices and cost prices share: the form to add a version, and the same rates to read."""

    rate_fields: ClassVar[tuple[str, ...]] = tuple(f"shown_{kind}" for kind in KINDS)

    shown_input = _shown_rate("input", _("input"))
    shown_cached_input = _shown_rate("cached_input", _("cached input"))
    shown_cache_write = _shown_rate("cache_write", _("cache write"))
    shown_output = _shown_rate("output", _("output"))
    shown_reasoning = _shown_rate("reasoning", _("reasoning"))
    shown_input_audio = _shown_rate("input_audio", _("input audio"))
    shown_output_audio = _shown_rate("output_audio", _("output audio"))
    shown_image = _shown_rate("image", _("image"))
    shown_request_fee = _shown_rate("request_fee", _("fee per request"))

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
                    "fields": KINDS if adding else self.rate_fields,
                    "description": _(
                        "Where a kind has no price of its own, cached input and cache writes cost what input costs, "
                        "reasoning what output costs; audio and images are refused. The fee is per request, not per "
                        "million."
                    ),
                },
            ),
            *([] if adding else [(None, {"fields": written})]),
        ]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A link may carry an earlier version's rates in ledger units, which the form shows as currency units."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        currency = initial.get("currency", "")
        for kind in KINDS:
            if kind in initial and currency in money.EXPONENT and str(initial[kind]).isdecimal():
                initial[kind] = money.plain(int(initial[kind]), currency)
        return initial


def shown_pair(input_rate: int | None, output_rate: int | None, currency: str | None) -> SafeString | str:
    """Input and output rates of the version that holds, for lists."""
    if input_rate is None or output_rate is None or currency is None:
        return amounts.ABSENT
    return format_html(
        '<span class="amount">{} / {}</span>', amounts.shown(input_rate, currency), amounts.shown(output_rate, currency)
    )
