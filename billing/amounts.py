"""Amounts as people read and type them: currency units in their own language, exact ledger units behind."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from billing import money

ABSENT: Final = "\N{EN DASH}"
LARGEST: Final = 10**18
"""Ledger units; sums of such amounts still fit the database's 64 bits."""


def whole(text: str) -> int | None:
    """A whole number below LARGEST as an address or a form has it; None for any other text.

    What looks like a number need not be one for Python, which reads no text of thousands of digits.
    """
    number = int(text) if text.isdecimal() and len(text) <= len(str(LARGEST)) else LARGEST
    return number if number < LARGEST else None


def format_amount(amount: int, currency: str) -> str:
    """Ledger units as exact localised text with its currency: at least the minor unit's places, no other zeros."""
    return _with_currency(format_exact(amount, currency, money.MINOR_PLACES[currency]), currency)


def format_millionths(amount: int, currency: str) -> str:
    """The same of millionths of a ledger unit, as the terms of a price sum are before rounding."""
    return _with_currency(format_exact_millionths(amount, currency, money.MINOR_PLACES[currency]), currency)


def _with_currency(text: str, currency: str) -> str:
    # A no-break space keeps the number and its currency on one line.
    return f"{text}\N{NO-BREAK SPACE}{currency}"


def format_exact(amount: int, currency: str, least_places: int) -> str:
    """Ledger units as every digit they have in currency units, and at least so many decimals; without the currency."""
    return _digits(money.to_decimal(amount, currency), least_places)


def format_exact_millionths(amount: int, currency: str, least_places: int) -> str:
    """The same of millionths of a ledger unit."""
    return _digits(money.to_decimal(amount, currency).scaleb(-6), least_places)


def _digits(value: Decimal, least_places: int) -> str:
    exponent = value.normalize().as_tuple().exponent
    places = max(least_places, -exponent if isinstance(exponent, int) else 0)
    return number_format(value, places, use_l10n=True, force_grouping=True)


def format_rounded(amount: int, currency: str, places: int, rounding: str) -> str:
    """Ledger units with so many decimals; an amount too small for them is exact, instead of posing as zero.

    `rounding` is one of decimal's, such as ROUND_HALF_UP. Without the currency.
    """
    unit = Decimal(1).scaleb(-places)
    value = money.to_decimal(amount, currency)
    if 0 < abs(value) < unit:
        return format_exact(amount, currency, places)
    return number_format(value.quantize(unit, rounding), places, use_l10n=True, force_grouping=True)


def percent(part: int, whole: int) -> str:
    """The share in percent with one decimal, rounded half up; ABSENT where there is no whole."""
    if not whole:
        return ABSENT
    value = (Decimal(100 * part) / whole).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return f"{number_format(value, 1, force_grouping=True)}\N{NO-BREAK SPACE}%"


def amount_html(amount: int | None, currency: str, *, absent: str = ABSENT) -> SafeString:
    """An exact amount as an element that pages align as a number; `absent` stands for None."""
    return format_html('<span class="amount">{}</span>', absent if amount is None else format_amount(amount, currency))


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


def payable_units(value: Decimal, currency: str) -> int:
    """The same of money that is given, paid or asked for: of a currency without minor units there are no fractions."""
    if not money.MINOR_PLACES[currency] and value % 1:
        raise ValidationError(_("%(currency)s has no decimals."), params={"currency": currency})
    return ledger_units(value, currency)


class AmountField(forms.DecimalField):
    """Currency units as typed: an exact decimal; its form turns it into ledger units once it knows the currency."""

    def __init__(self, **kwargs: object) -> None:
        # Enough digits for any amount that the ledger takes; the currency decides how fine it may be.
        super().__init__(max_digits=24, decimal_places=12, **kwargs)  # type: ignore[arg-type]
