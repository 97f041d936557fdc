"""Money: integers in ledger units, rounded once, half up.

The ledger unit of USD is the nano-dollar (10^-9), of VND the micro-dong (10^-6). Pure: no Django, no I/O.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final

EXPONENT: Final = {"USD": 9, "VND": 6}
"""Decimal places of one currency unit's ledger units."""
MINOR_PLACES: Final = {"USD": 2, "VND": 0}
"""Decimal places of the minor unit, in which documents are written."""

PER_MILLION: Final = 1_000_000


def round_half_up(numerator: int, denominator: int) -> int:
    """`numerator / denominator` for non-negative numbers, to the nearest integer, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


def to_decimal(amount: int, currency: str) -> Decimal:
    """Ledger units as the exact number of currency units."""
    return Decimal(amount).scaleb(-EXPONENT[currency])


def from_decimal(value: Decimal, currency: str) -> int:
    """Currency units as ledger units.

    Raises ValueError if the value is finer than a ledger unit: money that a person typed is never rounded.
    """
    if not value.is_finite():
        raise ValueError(f"{value} is no amount of money")
    # Not by Decimal, which rounds to 28 digits.
    amount, rest = divmod(Fraction(value) * 10 ** EXPONENT[currency], 1)
    if rest:
        raise ValueError(f"{value} {currency} has more than {EXPONENT[currency]} decimal places")
    return int(amount)


def to_json_number(amount: int, currency: str) -> str:
    """Ledger units as an exact decimal number without exponent or trailing zeros, as JSON may carry it.

    >>> to_json_number(12_500, "USD")
    '0.0000125'
    """
    return decimal_text(amount, EXPONENT[currency])


def decimal_text(number: int, places: int) -> str:
    """`number` times ten to the minus `places`, without exponent or trailing zeros."""
    if number < 0:
        return "-" + decimal_text(-number, places)
    if not places:
        return str(number)
    digits = str(number).zfill(places + 1)
    fraction = digits[-places:].rstrip("0")
    return f"{digits[:-places]}.{fraction}" if fraction else digits[:-places]
