"""Amounts as people read them. Ledger units come in; the exact amount is never further away than a hover."""

from __future__ import annotations

from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

from django import template
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.money import PER_MILLION, to_decimal

register = template.Library()

_IN_LISTS = {"USD": 6, "VND": 2}
_IN_FIGURES = {"USD": 4, "VND": 0}


@register.simple_tag
def money(amount: int, currency: str) -> SafeString:
    """An amount in a list: so many decimals that a column lines up, rounded half up."""
    return _marked(amount, currency, _rounded(amount, currency, _IN_LISTS[currency], ROUND_HALF_UP))


@register.simple_tag
def figure(amount: int, currency: str) -> SafeString:
    """An amount in large letters, rounded half up."""
    return _marked(amount, currency, _rounded(amount, currency, _IN_FIGURES[currency], ROUND_HALF_UP))


@register.simple_tag
def spendable(amount: int, currency: str) -> SafeString:
    """An amount that may be spent: rounded down, so that it never promises more than there is."""
    return _marked(amount, currency, _rounded(amount, currency, _IN_FIGURES[currency], ROUND_FLOOR))


@register.simple_tag
def exact(amount: int, currency: str, places: int = 2) -> SafeString:
    """An amount to the ledger unit, with at least so many decimals."""
    return _with_currency(_digits(to_decimal(amount, currency), places), currency)


@register.simple_tag
def exact_millionths(amount: int, currency: str, places: int = 2) -> SafeString:
    """An amount in millionths of a ledger unit, as terms of a price sum are before rounding; every digit of it."""
    return _with_currency(_digits(to_decimal(amount, currency) / PER_MILLION, places), currency)


def _rounded(amount: int, currency: str, places: int, rounding: str) -> str:
    """The amount with so many decimals; one too small for them says so instead of posing as zero."""
    unit = Decimal(1).scaleb(-places)
    value = to_decimal(amount, currency)
    if 0 < value < unit:
        return f"< {number_format(unit, places)}"
    return number_format(value.quantize(unit, rounding), places, force_grouping=True)


def _digits(value: Decimal, least: int = 2) -> str:
    """Every digit the value has, and at least so many decimals; two are enough to read as money."""
    places = max(least, -int(value.normalize().as_tuple().exponent))
    return number_format(value, places, force_grouping=True)


def _marked(amount: int, currency: str, text: str) -> SafeString:
    return format_html(
        '<span class="money" title="{} {}">{} <span class="currency">{}</span></span>',
        _digits(to_decimal(amount, currency)),
        currency,
        text,
        currency,
    )


def _with_currency(text: str, currency: str) -> SafeString:
    return format_html('<span class="money">{} <span class="currency">{}</span></span>', text, currency)
