"""Rounding of documents: once, to the currency's minor unit, half up; the lines then add up. Pure.

Exact amounts are ledger units, shown ones minor units (USD: cent, VND: dong).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from billing.money import EXPONENT, MINOR_PLACES


def minor_unit(currency: str) -> int:
    """Ledger units in one minor unit."""
    return int(10 ** (EXPONENT[currency] - MINOR_PLACES[currency]))


def half_up(value: Fraction) -> int:
    """The nearest integer; halves go away from zero, so that a credit is the mirror of a charge."""
    whole = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return whole if value >= 0 else -whole


def to_minor(amount: int, currency: str) -> int:
    """Ledger units as minor units, rounded half up."""
    return half_up(Fraction(amount, minor_unit(currency)))


def to_bill(amount: int, currency: str) -> int:
    """Minor units that an invoice of so many ledger units is over: rounded half up, and never below zero.

    What the invoice before asked for too much, half a minor unit at most, is taken off the next usage, not given back.
    """
    return max(0, to_minor(amount, currency))


def to_ledger(minor: int, currency: str) -> int:
    """Minor units as ledger units, exactly."""
    return minor * minor_unit(currency)


def apportion(amounts: Sequence[int], total: int, currency: str) -> list[int]:
    """Minor units for each exact amount, which add up to `total` minor units, by largest remainder.

    Each is its amount rounded down, and those with the largest remainders get one more (the first of equals); `total`
    has to be within half a minor unit of the sum for none to be further off than one.
    """
    unit = minor_unit(currency)
    shown = [amount // unit for amount in amounts]
    missing = total - sum(shown)
    by_remainder = sorted(range(len(amounts)), key=lambda place: -(amounts[place] % unit))
    # More or fewer than one for each, where the total was fixed by something else than these amounts.
    each, rest = divmod(missing, len(amounts)) if amounts else (0, 0)
    for rank, place in enumerate(by_remainder):
        shown[place] += each + (rank < rest)
    return shown


@dataclass(frozen=True, slots=True)
class Tax:
    """One rate as it applies: `percent` exact; `amount` is filled in by `taxed`, minor units."""

    name: str
    percent: Fraction
    is_inclusive: bool = False
    amount: int = 0

    @property
    def rate(self) -> Fraction:
        return self.percent / 100


@dataclass(frozen=True, slots=True)
class Sum:
    """A document's foot in minor units: net + taxes = total."""

    net: int
    taxes: tuple[Tax, ...]
    total: int


def taxed(subtotal: int, taxes: Sequence[Tax]) -> Sum:
    """What the rounded sum of the lines is with its taxes, each rounded once.

    Inclusive ones are extracted from the subtotal, in proportion to their rates; the others are added to what is left.
    """
    included = sum((tax.rate for tax in taxes if tax.is_inclusive), Fraction(0))
    extracted = {
        place: half_up(subtotal * tax.rate / (1 + included)) for place, tax in enumerate(taxes) if tax.is_inclusive
    }
    net = subtotal - sum(extracted.values())
    rows = tuple(
        Tax(
            tax.name, tax.percent, tax.is_inclusive, extracted[place] if place in extracted else half_up(net * tax.rate)
        )
        for place, tax in enumerate(taxes)
    )
    return Sum(net, rows, net + sum(tax.amount for tax in rows))


def credited(subtotal: int, taxes: Sequence[Tax], *, left: int, taxes_left: Sequence[int], total_left: int) -> Sum:
    """The foot of a credit note over lines of `subtotal`, of a document that has so much `left` of each.

    Of each tax row goes what the lines are of what is left of them, no more of the lines than their sum (which negative
    ones lower), and nothing altogether beyond what is left of the document: notes made under another rounding cannot
    add up to a cent more than was billed. The last note takes exactly the rest, and tax that lies in the lines never
    outlasts them, in however small parts they go.
    """
    part = Fraction(subtotal, left) if subtotal < left else Fraction(1)
    inside = _shares([rest if tax.is_inclusive else 0 for tax, rest in zip(taxes, taxes_left, strict=True)], part)
    amounts = [
        amount if tax.is_inclusive else half_up(rest * part)
        for tax, rest, amount in zip(taxes, taxes_left, inside, strict=True)
    ]
    included = sum(inside)
    rows = tuple(
        Tax(tax.name, tax.percent, tax.is_inclusive, amount) for tax, amount in zip(taxes, amounts, strict=True)
    )
    net = min(min(subtotal, left) - included, total_left - sum(amounts))
    return Sum(net, rows, net + sum(amounts))


def _shares(wholes: Sequence[int], part: Fraction) -> list[int]:
    """This part (at most 1) of each, the sum of them rounded half up, by largest remainder."""
    exact = [whole * part for whole in wholes]
    shares = [floor(each) for each in exact]
    by_remainder = sorted(range(len(exact)), key=lambda place: shares[place] - exact[place])
    for place in by_remainder[: half_up(sum(exact, Fraction(0))) - sum(shares)]:
        shares[place] += 1
    return shares
