"""One rounding for a document, and everything on it adds up."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.invoices.rounding import (
    Sum,
    Tax,
    apportion,
    credited,
    half_up,
    minor_unit,
    taxed,
    to_ledger,
    to_minor,
)

CURRENCIES = st.sampled_from(["USD", "VND"])
AMOUNTS = st.lists(st.integers(-(10**12), 10**15), min_size=1, max_size=60)
TAXES = st.lists(
    st.builds(Tax, st.just("tax"), st.integers(0, 40_00000).map(lambda n: Fraction(n, 10**5)), st.booleans()),
    max_size=4,
)


def tax(percent: str, *, is_inclusive: bool = False) -> Tax:
    return Tax("VAT", Fraction(percent), is_inclusive)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [("1/2", 1), ("-1/2", -1), ("3/2", 2), ("49/100", 0), ("51/100", 1), ("-149/100", -1), ("7", 7), ("0", 0)],
)
def test_halves_go_away_from_zero(value: str, rounded: int) -> None:
    assert half_up(Fraction(value)) == rounded


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        pytest.param(5_000_000, "USD", 1, id="half a cent"),
        pytest.param(4_999_999, "USD", 0, id="just below half a cent"),
        pytest.param(1_234_567_890_123, "USD", 123457, id="dollars"),
        pytest.param(500_000, "VND", 1, id="half a dong"),
        pytest.param(499_999, "VND", 0, id="just below half a dong"),
        pytest.param(25_000_000_000, "VND", 25_000, id="dong"),
    ],
)
def test_ledger_units_become_minor_units_half_up(amount: int, currency: str, minor: int) -> None:
    assert to_minor(amount, currency) == minor


def test_minor_unit_of_vnd_is_the_dong_itself() -> None:
    assert (minor_unit("USD"), minor_unit("VND")) == (10_000_000, 1_000_000)
    assert (to_ledger(3, "USD"), to_ledger(3, "VND")) == (30_000_000, 3_000_000)


def test_largest_remainders_get_what_is_missing_the_first_of_equals_first() -> None:
    thirds = [3_333_333, 3_333_333, 3_333_334, 10_000_000]

    assert apportion(thirds, 2, "USD") == [0, 0, 1, 1]
    assert apportion([5_000_000, 5_000_000], 1, "USD") == [1, 0]


def test_sum_that_something_else_fixed_is_reached_all_the_same() -> None:
    assert apportion([10_000_000, 10_000_000], 5, "USD") == [3, 2]
    assert apportion([10_000_000, 10_000_000], -1, "USD") == [0, -1]
    assert apportion([], 0, "USD") == []


@given(amounts=AMOUNTS, currency=CURRENCIES)
def test_shown_lines_add_up_to_the_shown_sum_and_are_less_than_one_off(amounts: list[int], currency: str) -> None:
    total = to_minor(sum(amounts), currency)

    shown = apportion(amounts, total, currency)

    assert sum(shown) == total
    assert abs(to_ledger(total, currency) - sum(amounts)) * 2 <= minor_unit(currency)
    assert all(
        abs(to_ledger(one, currency) - amount) < minor_unit(currency)
        for one, amount in zip(shown, amounts, strict=True)
    )


@given(subtotal=st.integers(0, 10**12), taxes=TAXES)
def test_net_and_taxes_add_up_to_the_total_and_each_tax_is_rounded_once(subtotal: int, taxes: list[Tax]) -> None:
    sums = taxed(subtotal, taxes)

    assert sums.net + sum(row.amount for row in sums.taxes) == sums.total
    included = [row for row in sums.taxes if row.is_inclusive]
    assert sums.net + sum(row.amount for row in included) == subtotal
    added = [row for row in sums.taxes if not row.is_inclusive]
    assert [row.amount for row in added] == [half_up(sums.net * row.rate) for row in added]


@pytest.mark.parametrize(
    ("subtotal", "taxes", "net", "amounts", "total"),
    [
        pytest.param(1050, ["10"], 1050, [105], 1155, id="one rate"),
        pytest.param(1005, ["10"], 1005, [101], 1106, id="half a cent of tax goes up"),
        pytest.param(10000, ["5", "9.975"], 10000, [500, 998], 11498, id="two rates, each rounded once"),
        pytest.param(100_000, ["8"], 100_000, [8000], 108_000, id="dong"),
        pytest.param(0, ["10"], 0, [0], 0, id="nothing"),
    ],
)
def test_taxes_that_are_added(subtotal: int, taxes: list[str], net: int, amounts: list[int], total: int) -> None:
    sums = taxed(subtotal, [tax(percent) for percent in taxes])

    assert (sums.net, [row.amount for row in sums.taxes], sums.total) == (net, amounts, total)


def test_tax_that_prices_include_is_extracted() -> None:
    assert taxed(1100, [tax("10", is_inclusive=True)]) == Sum(1000, (Tax("VAT", Fraction(10), True, 100),), 1100)
    assert taxed(1000, [tax("10", is_inclusive=True)]).net == 909


def test_included_and_added_taxes_on_one_document() -> None:
    sums = taxed(1100, [tax("10", is_inclusive=True), tax("5")])

    assert (sums.net, [row.amount for row in sums.taxes], sums.total) == (1000, [100, 50], 1150)


def test_e8_credit_of_lines_is_capped_at_the_sum_that_was_billed() -> None:
    # Eight lines of 1.4 dong: 11 on the invoice, not eight times two.
    lines = [1_400_000] * 8
    subtotal = to_minor(sum(lines), "VND")
    shown = apportion(lines, subtotal, "VND")
    sums = taxed(subtotal, [tax("40")])

    back = credited(sum(shown), sums.taxes, left=subtotal, taxes_left=[sums.taxes[0].amount], total_left=sums.total)

    assert (subtotal, shown) == (11, [2, 2, 2, 1, 1, 1, 1, 1])
    assert (sums.taxes[0].amount, sums.total) == (4, 15)
    assert back == sums


def test_e9_small_lines_with_much_tax_add_up_and_are_never_negative() -> None:
    # Six lines of 0.4 and two of 1.0, 40 % of tax included: 4.4 is 4, of which 1 is tax.
    lines = [400_000] * 6 + [1_000_000] * 2
    subtotal = to_minor(sum(lines), "VND")
    shown = apportion(lines, subtotal, "VND")

    sums = taxed(subtotal, [tax("40", is_inclusive=True)])

    assert (sum(shown), min(shown)) == (4, 0)
    assert (sums.net, sums.taxes[0].amount, sums.total) == (3, 1, 4)


@pytest.mark.parametrize(
    ("amount", "net", "added", "total"),
    [
        pytest.param(20_000, 19_333, 4_833, 24_166, id="20,000"),
        pytest.param(16_000, 15_467, 3_867, 19_334, id="16,000"),
    ],
)
def test_e10_credit_of_29_of_30_days(amount: int, net: int, added: int, total: int) -> None:
    whole = taxed(amount, [tax("25")])
    part = half_up(Fraction(amount * 29, 30))

    back = credited(part, whole.taxes, left=amount, taxes_left=[whole.taxes[0].amount], total_left=whole.total)

    assert (back.net, back.taxes[0].amount, back.total) == (net, added, total)


def test_e11_second_credit_note_is_capped_at_the_remainder() -> None:
    # 922.80, of which 872.24 went back under another rounding; 42.14 + 8.43 would be a cent too much.
    whole = taxed(76_900, [tax("20")])

    back = credited(4_213, whole.taxes, left=76_900 - 72_687, taxes_left=[15_380 - 14_537], total_left=92_280 - 87_224)

    assert whole.total == 92_280
    assert back.total == 50_56
    assert 87_224 + back.total == whole.total


def test_e11_net_gives_way_where_taxes_and_lines_are_more_than_what_is_left() -> None:
    back = credited(4_214, [tax("20")], left=4_214, taxes_left=[843], total_left=5_056)

    assert (back.net, back.taxes[0].amount, back.total) == (4_213, 843, 5_056)


@given(subtotal=st.integers(1, 10**9), taxes=TAXES, shares=st.lists(st.integers(1, 10**9), min_size=1, max_size=6))
def test_credit_notes_never_give_back_more_than_the_document(
    subtotal: int, taxes: list[Tax], shares: list[int]
) -> None:
    whole = taxed(subtotal, taxes)
    left, taxes_left, total_left = subtotal, [row.amount for row in whole.taxes], whole.total

    for share in [*shares, subtotal]:
        back = credited(min(share, left), whole.taxes, left=left, taxes_left=taxes_left, total_left=total_left)
        left -= min(share, left)
        taxes_left = [rest - row.amount for rest, row in zip(taxes_left, back.taxes, strict=True)]
        total_left -= back.total
        assert total_left >= 0
        assert min([0, *taxes_left]) == 0

    assert (left, total_left, sum(taxes_left)) == (0, 0, 0)


@pytest.mark.parametrize("subtotal", [12, 100, 777])
@pytest.mark.parametrize("percents", [("8.25",), ("20", "10")])
def test_lines_with_their_tax_included_go_back_cent_by_cent(subtotal: int, percents: tuple[str, ...]) -> None:
    """Each rounded by itself had no tax, until one of them had all of it and was less than nothing."""
    whole = taxed(subtotal, [tax(percent, is_inclusive=True) for percent in percents])
    taxes_left, total_left = [row.amount for row in whole.taxes], whole.total

    for left in range(subtotal, 0, -1):
        back = credited(1, whole.taxes, left=left, taxes_left=taxes_left, total_left=total_left)
        assert (back.total, min(back.net, *(row.amount for row in back.taxes))) == (1, 0)
        taxes_left = [rest - row.amount for rest, row in zip(taxes_left, back.taxes, strict=True)]
        total_left -= back.total

    assert (total_left, sum(taxes_left)) == (0, 0)


@pytest.mark.parametrize(
    ("is_inclusive", "total_left", "wanted"),
    [
        pytest.param(True, 100, (45, 5, 50), id="what is in the prices is taken out of them"),
        pytest.param(False, 100, (50, 5, 55), id="what comes on top stays on top"),
        pytest.param(False, 54, (49, 5, 54), id="no more than is left altogether"),
        pytest.param(True, 49, (44, 5, 49), id="nor where it is in the prices"),
    ],
)
def test_part_of_a_document_is_credited_with_its_tax(
    is_inclusive: bool, total_left: int, wanted: tuple[int, int, int]
) -> None:
    tax = Tax("VAT", Fraction(10), is_inclusive)

    sums = credited(50, [tax], left=99, taxes_left=[9], total_left=total_left)

    assert (sums.net, sums.taxes[0].amount, sums.total) == wanted
