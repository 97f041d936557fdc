"""What a usage costs at a tariff. Pure: values in, values out.

Plain arithmetic: whether a request has to be paid at all (one that produced nothing has not) is its outcome's rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import compress
from typing import Final

import msgspec

from billing.kinds import KINDS, NOTHING, Kind, Usage
from billing.money import PER_MILLION, round_half_up

DAY: Final = 24 * 60
"""Minutes."""
_RATES: Final = frozenset(kind.rate for kind in KINDS)
_PLACES: Final = {kind.name: place for place, kind in enumerate(KINDS)}
_REQUIRED: Final = frozenset(kind.rate for kind in KINDS if kind.is_required)


@dataclass(frozen=True, slots=True, init=False)
class Tariff:
    """One version of a price, customer's or operator's: ledger units per million by kind, and a fee per request.

    A kind without a rate of its own costs what the kind that contains it costs; nothing if none does. Zero is a rate.
    Its terms (billing/terms.py) are tariffs of the same version inside it.
    """

    id: int
    currency: str
    request_fee: int
    rates: tuple[int, ...]
    """What each kind costs, in the order of KINDS."""
    input: int = field(compare=False)
    output: int = field(compare=False)
    tiers: tuple[tuple[int, Tariff], ...]
    """Above so many input tokens the whole request costs this instead; thresholds rise."""
    hours: tuple[tuple[int, Tariff], ...] = field(repr=False)
    """From this minute of the day on, UTC, all of this holds instead; the first is 0."""
    highest_input: int = field(compare=False, repr=False)
    """The highest rate that an input token can be counted at: its own, or that of a kind within it. Without tiers."""
    highest_output: int = field(compare=False, repr=False)
    unpriced: tuple[Kind, ...] = field(compare=False, repr=False)
    """What would cost nothing because no rate covers it: neither its own nor that of a kind that contains it."""
    _differences: tuple[tuple[str, int], ...] = field(compare=False, repr=False)
    """Of kinds other than input and output: by how much their rate differs from that of the kind that contains them."""

    def __init__(
        self,
        id: int,  # noqa: A002
        currency: str,
        *,
        request_fee: int = 0,
        tiers: tuple[tuple[int, Tariff], ...] = (),
        hours: tuple[tuple[int, Tariff], ...] = (),
        **own: int | None,
    ) -> None:
        """`own` has a rate, or None, by the names that KINDS gives them (`input=...`); TypeError if one is unknown."""
        if not _REQUIRED <= own.keys() <= _RATES:
            raise TypeError(f"a tariff has the rates {sorted(_RATES)}, not {sorted(own)}")
        rates = _in_full(own)
        values = {
            "id": id,
            "currency": currency,
            "request_fee": request_fee,
            "rates": tuple(rates.values()),
            "input": rates["input"],
            "output": rates["output"],
            "tiers": tiers,
            "hours": hours,
            "highest_input": _highest("input", rates),
            "highest_output": _highest("output", rates),
            "unpriced": _unpriced(own),
            "_differences": _differences(rates),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def rate(self, name: str) -> int:
        """What the kind of this name costs per million, be it by a rate of its own or not."""
        return self.rates[_PLACES[name]]

    def at(self, moment: float) -> Tariff:
        """What holds for requests that begin at this moment, in seconds since the epoch."""
        holding, minute = self, int(moment // 60) % DAY
        for begins, tariff in self.hours:
            if begins <= minute:
                holding = tariff
        return holding

    def for_input(self, tokens: int) -> Tariff:
        """What holds for a request with so many input tokens."""
        holding = self
        for above, tariff in self.tiers:
            if tokens > above:
                holding = tariff
        return holding

    def within(self, tokens: int) -> list[Tariff]:
        """What may hold for a request with so many input tokens at most."""
        return [self, *(tariff for above, tariff in self.tiers if tokens > above)]


def _in_full(own: dict[str, int | None]) -> dict[str, int]:
    """Every kind's rate, by its name."""
    rates: dict[str, int] = {}
    for kind in KINDS:
        rate = own.get(kind.rate)
        rates[kind.name] = rates.get(kind.within, 0) if rate is None else rate
    return rates


def _unpriced(own: dict[str, int | None]) -> tuple[Kind, ...]:
    found: dict[str, Kind] = {}
    for kind in KINDS:
        if own.get(kind.rate) is None and (not kind.within or kind.within in found):
            found[kind.name] = kind
    return tuple(found.values())


def _highest(name: str, rates: dict[str, int]) -> int:
    """The highest rate that a token of this kind can be counted at: its own, or that of a kind within it."""
    return max([rates[name], *(_highest(kind.name, rates) for kind in KINDS if kind.within == name)])


def _differences(rates: dict[str, int]) -> tuple[tuple[str, int], ...]:
    rest = [kind for kind in KINDS if kind.name not in {"input", "output"}]
    found = ((kind.name, rates[kind.name] - rates.get(kind.within, 0)) for kind in rest)
    return tuple((name, difference) for name, difference in found if difference)


class Line(msgspec.Struct, frozen=True, gc=False):
    """One term of a price sum: `quantity` of a kind at `rate` per million, exact before rounding."""

    kind: Kind
    quantity: int
    rate: int

    @property
    def exact_millionths(self) -> int:
        return self.quantity * self.rate


_INPUT, _OUTPUT = (next(kind for kind in KINDS if kind.name == name) for name in ("input", "output"))
_WITHIN: Final = tuple((_PLACES[kind.name], _PLACES[kind.within]) for kind in KINDS if kind.within)
"""Places in the table, in its order: of a kind, and of the one that contains it."""


def lines(usage: Usage, tariff: Tariff) -> list[Line]:
    """The terms of a request's price, the kinds that were not used left out; the flat fee is not among them."""
    if tariff.tiers:
        tariff = tariff.for_input(usage.input)
    quantities = [*msgspec.structs.astuple(usage)]
    if sum(quantities) == usage.input + usage.output:  # as most: nothing else was used
        plain = [Line(_INPUT, usage.input, tariff.input)] if usage.input else []
        if usage.output:
            plain.append(Line(_OUTPUT, usage.output, tariff.output))
        return plain
    for part, whole in _WITHIN:
        quantities[whole] -= quantities[part]
    return [*compress(map(Line, KINDS, quantities, tariff.rates), quantities)]


def cost(usage: Usage, tariff: Tariff) -> int:
    """Ledger units that this usage costs: the exact sum of its lines, rounded once, half up, and the flat fee."""
    if tariff.tiers:
        tariff = tariff.for_input(usage.input)
    return _cost(usage, tariff)


def _cost(usage: Usage, tariff: Tariff) -> int:
    exact = usage.input * tariff.input + usage.output * tariff.output
    # What is within another kind was counted at that one's rate already.
    for name, difference in tariff._differences:  # noqa: SLF001 - a tariff's own arithmetic
        exact += getattr(usage, name) * difference
    return round_half_up(exact, PER_MILLION) + tariff.request_fee


def fee(usage: Usage, tariff: Tariff) -> int:
    """The flat fee of a request with this usage, in ledger units."""
    return (tariff.for_input(usage.input) if tariff.tiers else tariff).request_fee


def ceiling(input_tokens: int, output_tokens: int, tariff: Tariff, beside: Usage = NOTHING) -> int:
    """The most a request can cost that sends at most `input_tokens` and receives at most `output_tokens`.

    `beside` has what it uses at most of kinds that no token contains.
    """
    if tariff.tiers:
        return max(_ceiling(input_tokens, output_tokens, each, beside) for each in tariff.within(input_tokens))
    return _ceiling(input_tokens, output_tokens, tariff, beside)


def _ceiling(input_tokens: int, output_tokens: int, tariff: Tariff, beside: Usage) -> int:
    exact = input_tokens * tariff.highest_input + output_tokens * tariff.highest_output
    most = -(-exact // PER_MILLION) + tariff.request_fee
    return most if beside is NOTHING else most + _cost(beside, tariff) - tariff.request_fee
