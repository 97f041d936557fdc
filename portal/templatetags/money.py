"""Amounts in pages of the portal. Ledger units come in; the exact amount is never further away than a hover."""

from __future__ import annotations

from decimal import ROUND_FLOOR, ROUND_HALF_UP

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing import amounts
from billing.money import EXPONENT, MINOR_PLACES
from billing.payments import units

register = template.Library()

_IN_LISTS = {"USD": 6, "VND": 2}
_IN_FIGURES = {"USD": 4, "VND": 0}


@register.simple_tag
def money(amount: int, currency: str) -> SafeString:
    """An amount in a list: so many decimals that a column lines up, rounded half up; of whole dong there are none."""
    is_whole = not MINOR_PLACES[currency] and not amount % 10 ** EXPONENT[currency]
    return _rounded_html(amount, currency, 0 if is_whole else _IN_LISTS[currency], ROUND_HALF_UP)


@register.simple_tag
def figure(amount: int, currency: str) -> SafeString:
    """An amount in large letters, rounded half up."""
    return _rounded_html(amount, currency, _IN_FIGURES[currency], ROUND_HALF_UP)


@register.simple_tag
def spendable(amount: int, currency: str) -> SafeString:
    """An amount that may be spent: rounded down, so that it never promises more than there is."""
    return _rounded_html(amount, currency, _IN_FIGURES[currency], ROUND_FLOOR)


@register.simple_tag
def plain_money(amount: int, currency: str) -> str:
    """An exact amount as text, for mails."""
    return amounts.format_amount(amount, currency)


@register.simple_tag
def coins(amount: int, currency: str) -> str:
    """A payment's amount, in the currency's smallest coins, as text."""
    return amounts.format_amount(units.to_ledger(amount, currency), currency)


@register.simple_tag
def exact(amount: int, currency: str, places: int | None = None) -> SafeString:
    """An amount to the ledger unit, with at least so many decimals; the minor unit's if none are given."""
    return _html(amounts.format_exact(amount, currency, _least(places, currency)), currency)


@register.simple_tag
def exact_millionths(amount: int, currency: str, places: int | None = None) -> SafeString:
    """An amount in millionths of a ledger unit, as terms of a price sum are before rounding; every digit of it."""
    return _html(amounts.format_exact_millionths(amount, currency, _least(places, currency)), currency)


def _least(places: int | None, currency: str) -> int:
    return MINOR_PLACES[currency] if places is None else places


def _rounded_html(amount: int, currency: str, places: int, rounding: str) -> SafeString:
    return format_html(
        '<span class="money" title="{} {}">{} <span class="currency">{}</span></span>',
        amounts.format_exact(amount, currency, MINOR_PLACES[currency]),
        currency,
        amounts.format_rounded(amount, currency, places, rounding),
        currency,
    )


def _html(text: str, currency: str) -> SafeString:
    return format_html('<span class="money">{} <span class="currency">{}</span></span>', text, currency)
