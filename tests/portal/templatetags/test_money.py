"""How amounts are written for people."""

from __future__ import annotations

import pytest

from portal.templatetags import money


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        pytest.param(0, "USD", "0.000000", id="nothing"),
        pytest.param(1_234_567_890_123, "USD", "1,234.567890", id="thousands"),
        pytest.param(12_500, "USD", "0.000013", id="half up"),
        pytest.param(999, "USD", "0.000000999", id="never posing as nothing"),
        pytest.param(1_234_567_890, "VND", "1,234.57", id="dong"),
        pytest.param(1_234_000_000, "VND", "1,234", id="whole dong"),
        pytest.param(0, "VND", "0", id="no dong"),
        pytest.param(-12, "VND", "-0.000012", id="less than nothing"),
    ],
)
def test_money_in_lists(amount: int, currency: str, text: str) -> None:
    assert f">{text} <span" in money.money(amount, currency)


def test_spendable_never_promises_more_than_there_is() -> None:
    assert ">4.9999 <span" in money.spendable(4_999_999_999, "USD")


@pytest.mark.parametrize(
    ("amount", "text"),
    [pytest.param(1, "0.000000001", id="one unit"), pytest.param(5_000_000_000, "5.00", id="whole")],
)
def test_exact_money_has_every_digit(amount: int, text: str) -> None:
    assert f">{text} <span" in money.exact(amount, "USD")


def test_whole_dong_have_no_decimals_and_finer_sums_have_all_of_theirs() -> None:
    assert ">50,000 <span" in money.exact(50_000_000_000, "VND")
    assert ">0.0000005 <span" in money.exact_millionths(500_000, "VND")
    assert 'title="1,235 VND"' in money.figure(1_235_000_000, "VND")
