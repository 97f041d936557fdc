"""Amounts as people read and type them: currency units in their own language, exact ledger units behind."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from billing import money

_MINOR_PLACES: Final = {"USD": 2, "VND": 0}
ABSENT: Final = "\N{EN DASH}"
LARGEST: Final = 10**18
"""Ledger units; sums of such amounts still fit the database's 64 bits."""


def shown(amount: int, currency: str) -> str:
    """Ledger units as exact localised text with its currency: at least the minor unit's places, no other zeros."""
    return _text(money.to_decimal(amount, currency), currency)


def shown_millionths(amount: int, currency: str) -> str:
    """The same of millionths of a ledger unit, as the terms of a price sum are before rounding."""
    return _text(money.to_decimal(amount, currency).scaleb(-6), currency)


def _text(value: Decimal, currency: str) -> str:
    exponent = value.normalize().as_tuple().exponent
    places = max(_MINOR_PLACES[currency], -exponent if isinstance(exponent, int) else 0)
    # A no-break space keeps the number and its currency on one line.
    return f"{number_format(value, places, use_l10n=True, force_grouping=True)}\N{NO-BREAK SPACE}{currency}"


def marked(amount: int | None, currency: str, *, absent: str = ABSENT) -> SafeString:
    """The same as an element that pages align as a number; `absent` stands for None."""
    return format_html('<span class="amount">{}</span>', absent if amount is None else shown(amount, currency))


def ledger_units(value: Decimal, currency: str) -> int:
    """Typed currency units as ledger units; raises ValidationError if it is finer than one or absurdly large."""
    try:
        amount = money.from_decimal(value, currency)
    except ValueError as error:
        raise ValidationError(
            _("%(currency)s amounts have at most %(places)d decimal places."),
            params={"currency": currency, "places": money.EXPONENT[currency]},
        ) from error
    if abs(amount) > LARGEST:
        raise ValidationError(_("This amount is too large."))
    return amount


class AmountField(forms.DecimalField):
    """Currency units as typed: an exact decimal; its form turns it into ledger units once it knows the currency."""

    def __init__(self, **kwargs: object) -> None:
        # Enough digits for any amount that the ledger takes; the currency decides how fine it may be.
        super().__init__(max_digits=24, decimal_places=12, **kwargs)  # type: ignore[arg-type]
