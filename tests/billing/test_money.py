"""Money: integers, exact texts, one rounding."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import EXPONENT, decimal_text, from_decimal, round_half_up, to_decimal, to_json_number

AMOUNTS = st.integers(-(2**63), 2**63 - 1)
CURRENCIES = st.sampled_from(sorted(EXPONENT))


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [(0, 7, 0), (1, 2, 1), (3, 2, 2), (499_999, 1_000_000, 0), (500_000, 1_000_000, 1), (1_499_999, 1_000_000, 1)],
)
def test_halves_go_up(numerator: int, denominator: int, expected: int) -> None:
    assert round_half_up(numerator, denominator) == expected


@given(numerator=st.integers(0, 10**40), denominator=st.integers(1, 10**12))
def test_rounding_is_that_of_decimal(numerator: int, denominator: int) -> None:
    with localcontext(prec=100):
        exact = Decimal(numerator) / Decimal(denominator)
        assert round_half_up(numerator, denominator) == int(exact.to_integral_value(ROUND_HALF_UP))


@given(amount=AMOUNTS, currency=CURRENCIES)
def test_every_amount_survives_its_decimal_form(amount: int, currency: str) -> None:
    assert from_decimal(to_decimal(amount, currency), currency) == amount


@given(amount=AMOUNTS, currency=CURRENCIES)
def test_plain_text_is_exact_and_as_json_carries_it(amount: int, currency: str) -> None:
    text = to_json_number(amount, currency)

    assert Decimal(text) == to_decimal(amount, currency)
    assert "E" not in text.upper()
    assert "." not in text or not text.endswith(("0", "."))


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (0, "USD", "0"),
        (1, "USD", "0.000000001"),
        (-1, "USD", "-0.000000001"),
        (12_500, "USD", "0.0000125"),
        (1_000_000_000, "USD", "1"),
        (-25_500_000_000, "USD", "-25.5"),
        (1, "VND", "0.000001"),
        (25_000_000_000, "VND", "25000"),
    ],
)
def test_plain_text(amount: int, currency: str, text: str) -> None:
    assert to_json_number(amount, currency) == text


def test_text_of_millionths_of_a_ledger_unit() -> None:
    assert decimal_text(1_500, 15) == "0.0000000000015"


@given(
    value=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9), currency=CURRENCIES
)
def test_typed_money_is_taken_exactly_or_not_at_all(value: Decimal, currency: str) -> None:
    with localcontext(prec=500):
        scaled = value.scaleb(EXPONENT[currency])
        is_exact = scaled == scaled.to_integral_value()
    try:
        amount = from_decimal(value, currency)
    except ValueError:
        assert not is_exact
    else:
        assert is_exact
        assert amount == scaled


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("0.0000000001", "USD"),
        ("0.0000001", "VND"),
        ("1.0000000000000000000000000000000001", "USD"),
        ("NaN", "USD"),
        ("Infinity", "USD"),
        ("-Infinity", "VND"),
    ],
)
def test_money_finer_than_a_ledger_unit_is_refused(text: str, currency: str) -> None:
    with pytest.raises(ValueError):
        from_decimal(Decimal(text), currency)
