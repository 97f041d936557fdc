"""The figures of docs/checking-a-bill.md, as the sources compute them."""

from __future__ import annotations

from fractions import Fraction

from billing.invoices.rounding import Tax, apportion, credited, taxed, to_minor
from billing.kinds import Usage
from billing.prices import Tariff, ceiling, cost

SMALL = Tariff(id=1, currency="USD", input=150_000_000, output=600_000_000)
LARGE = Tariff(id=1, currency="USD", input=2_500_000_000, output=10_000_000_000)


def test_cost_and_hold_of_the_worked_request() -> None:
    assert cost(Usage(input=7, output=24), SMALL) == 15_450
    assert ceiling(76 // 2 + 256, 4096, SMALL) == 2_501_700
    assert ceiling((76 + 18) // 2 + 256, 50, SMALL) == 75_450
    assert 2_501_700 - 15_450 == 2_486_250


def test_statement_of_the_worked_month() -> None:
    parts = [cost(Usage(input=2824), LARGE), cost(Usage(output=96), LARGE)]
    parts += [cost(Usage(input=7), SMALL), cost(Usage(output=24), SMALL)]

    assert (parts, sum(parts)) == ([7_060_000, 960_000, 1_050, 14_400], 8_035_450)
    assert to_minor(25 * 10**9 - sum(parts), "USD") == 2499
    assert apportion(parts, to_minor(sum(parts), "USD"), "USD") == [1, 0, 0, 0]


def test_taxes_of_the_worked_invoice() -> None:
    added = taxed(928, [Tax("VAT", Fraction(10)), Tax("levy", Fraction(5, 2))])
    included = taxed(928, [Tax("VAT", Fraction(10), is_inclusive=True)])

    assert ([tax.amount for tax in added.taxes], added.total) == ([93, 23], 1044)
    assert (included.taxes[0].amount, included.net, included.total) == (84, 844, 928)


def test_worked_notes_give_back_the_whole_invoice() -> None:
    taxes, left, totals = [Tax("VAT", Fraction(20))], taxed(769, [Tax("VAT", Fraction(20))]), []
    lines, rest, tax = 769, left.total, left.taxes[0].amount
    for part in (255, 255, 259):
        note = credited(part, taxes, left=lines, taxes_left=[tax], total_left=rest)
        lines, rest, tax = lines - part, rest - note.total, tax - note.taxes[0].amount
        totals.append(note.total)

    assert (left.total, totals) == (923, [306, 306, 311])
    assert credited(100, [], left=60, taxes_left=[], total_left=60).total == 60
