"""Amounts as gateways count them: whole numbers of the currency's smallest coin. Pure: no Django, no I/O."""

from __future__ import annotations

from typing import Final

from billing.money import EXPONENT, round_half_up

ZERO_DECIMAL: Final = frozenset({
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF",
})  # fmt: skip
"""Stripe charges these in whole units (https://docs.stripe.com/currencies#zero-decimal); banks do so with VND too."""


def places(currency: str) -> int:
    """Decimals of the smallest coin."""
    return 0 if currency in ZERO_DECIMAL else 2


def coin(currency: str) -> int:
    """Ledger units of the smallest coin."""
    return int(10 ** (EXPONENT[currency] - places(currency)))


def to_ledger(coins: int, currency: str) -> int:
    return coins * coin(currency)


def to_coins(amount: int, currency: str) -> int:
    """Ledger units in coins; raises ValueError if they are no whole number of them."""
    coins, rest = divmod(amount, coin(currency))
    if rest:
        raise ValueError(f"{amount} ledger units of {currency} cannot be paid exactly")
    return coins


def up_to_coin(amount: int, currency: str) -> int:
    """The least number of ledger units that can be paid and is not less."""
    return -(-amount // coin(currency)) * coin(currency)


def down_to_coin(amount: int, currency: str) -> int:
    """The largest number of ledger units that can be paid and is not more."""
    return amount // coin(currency) * coin(currency)


def price_in(amount: int, currency: str, in_currency: str, rate: int) -> int:
    """What `amount` ledger units cost in coins of another currency, rounded up: never more credited than was paid.

    `rate` is in ledger units of the other currency for one whole unit.
    """
    return int(-(-amount * rate // (10 ** EXPONENT[currency] * coin(in_currency))))


def worth_of(coins: int, currency: str, in_currency: str, rate: int) -> int:
    """What coins of `in_currency` are worth in ledger units of `currency` at that rate, rounded down."""
    return int(coins * coin(in_currency) * 10 ** EXPONENT[currency] // rate)


def share(part: int, whole: int, of: int) -> int:
    """`of` times part / whole, rounded once, half up."""
    return round_half_up(of * part, whole)
