"""The terms of a price: rates that hold above a length of input, or in some hours of the day. Pure.

A line of text is one term, as an operator types it and reads it:

    above 200000: input 6, output 22.5
    16:30-00:30: input 0.135, output 0.55
    above 200000, 16:30-00:30: input 3

Above so many input tokens the whole request costs the term's rates, not only what lies above (so Anthropic, Google and
OpenAI price long contexts). Hours are UTC and belong to the moment at which a request began; they may pass midnight.
A rate that a term does not name is the price's own. Where several terms hold, the longer input decides, then the hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from billing.kinds import KINDS
from billing.money import from_decimal, to_json_number
from billing.prices import DAY, Tariff

FEE: Final = "request_fee"
_NAMES: Final = (*(kind.rate for kind in KINDS), FEE)
_MOST_TERMS: Final = 12
_LARGEST: Final = 10**18
_CONDITION: Final = re.compile(r"above (?P<above>[0-9]{1,12})|(?P<hours>[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9])")


def _(message: str) -> str:
    """Marks a text for the catalogue of translations; forms translate it where they show it."""
    return message


class BadTerms(ValueError):
    """Terms that cannot be meant. `text` says why to the person who typed them, with `values` in its places."""

    def __init__(self, text: str, **values: Any) -> None:
        super().__init__(text % values)
        self.text = text
        self.values = values


class Term(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Rates in ledger units that hold under all of its conditions, of which it has one at least."""

    rates: dict[str, int]
    above: int = 0
    """Input tokens; 0 for any length."""
    starts: int = 0
    """Minutes after midnight, UTC; the hours are half-open, and `starts == ends` is the whole day."""
    ends: int = 0

    @property
    def has_hours(self) -> bool:
        return self.starts != self.ends

    def holds_at(self, minute: int) -> bool:
        if self.starts < self.ends:
            return self.starts <= minute < self.ends
        return minute >= self.starts or minute < self.ends  # past midnight, or always


def stored(terms: Iterable[Term]) -> list[dict[str, Any]] | None:
    """As a price's column has them."""
    return [msgspec.to_builtins(term) for term in terms] or None


def loaded(column: Any) -> tuple[Term, ...]:
    return msgspec.convert(column or [], tuple[Term, ...])


def scaled(terms: Iterable[Term], scale: Any) -> list[Term]:
    """The same terms with every rate changed by `scale`, a function from rate to rate."""
    return [
        msgspec.structs.replace(term, rates={name: scale(rate) for name, rate in term.rates.items()}) for term in terms
    ]


def tariff_of(price_id: int, currency: str, own: Mapping[str, Any], terms: Sequence[Term] = ()) -> Tariff:
    """The tariff of a price: `own` has its rates and its fee by name, the terms what deviates from them."""
    if not any(term.has_hours for term in terms):
        return _at(0, price_id, currency, own, terms)
    begins = {0, *(minute for term in terms if term.has_hours for minute in (term.starts, term.ends))} - {DAY}
    hours = tuple((minute, _at(minute, price_id, currency, own, terms)) for minute in sorted(begins))
    return Tariff(price_id, currency, hours=hours, **own)


def _at(minute: int, price_id: int, currency: str, own: Mapping[str, Any], terms: Sequence[Term]) -> Tariff:
    """What holds at this minute of the day."""
    holding = sorted((term for term in terms if term.holds_at(minute)), key=lambda term: term.has_hours)
    whole = [term for term in holding if not term.above]
    tiers = []
    for above in sorted({term.above for term in holding} - {0}):
        deviating = [term for term in holding if term.above == above]
        tiers.append((above, Tariff(price_id, currency, **_overlaid(own, [*whole, *deviating]))))
    return Tariff(price_id, currency, tiers=tuple(tiers), **_overlaid(own, whole))


def _overlaid(own: Mapping[str, Any], terms: Iterable[Term]) -> dict[str, Any]:
    rates = dict(own)
    for term in terms:
        rates |= term.rates
    return rates


# --- as people type and read them ---


def read(text: str, currency: str) -> list[Term]:
    """The terms of a text, one a line; raises BadTerms."""
    terms = [_read_line(line.strip(), currency) for line in text.splitlines() if line.strip()]
    if len(terms) > _MOST_TERMS:
        raise BadTerms(_("A price has %(most)d terms at most."), most=_MOST_TERMS)
    for place, term in enumerate(terms):
        for other in terms[:place]:
            if other.above == term.above and _meet(other, term):
                raise BadTerms(
                    _("Two terms hold at the same time: “%(one)s” and “%(other)s”."),
                    one=write([other], currency), other=write([term], currency),
                )  # fmt: skip
    return terms


def _meet(one: Term, other: Term) -> bool:
    """Whether two terms of the same length hold at the same minute; hours go before terms without any."""
    if one.has_hours != other.has_hours:
        return False
    return any(one.holds_at(minute) and other.holds_at(minute) for minute in (one.starts, other.starts))


def _read_line(line: str, currency: str) -> Term:
    conditions, colon, rates = line.rpartition(": ")
    if not colon:
        raise BadTerms(
            _("“%(line)s” has no colon between its condition and its rates: “above 200000: input 6”."), line=line
        )
    found: dict[str, str] = {}
    for condition in conditions.split(","):
        name, value = _read_condition(condition.strip())
        if name in found:
            raise BadTerms(_("“%(line)s” has two lengths or two times of the day; write a line for each."), line=line)
        found[name] = value
    above = int(found.get("above", 0))
    starts, ends = _read_hours(found["hours"]) if "hours" in found else (0, 0)
    if not above and starts == ends:
        raise BadTerms(_("“%(line)s” holds always; its rates belong into the price itself."), line=line)
    return Term(_read_rates(rates, currency), above, starts, ends)


def _read_condition(text: str) -> tuple[str, str]:
    """What a condition bounds, `above` or `hours`, and its bound."""
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise BadTerms(
            _("“%(condition)s” is no condition; write “above 200000” or “16:30-00:30”."),
            condition=text,
        )
    return next((name, value) for name, value in found.groupdict().items() if value)


def _read_hours(text: str) -> tuple[int, int]:
    """The minutes at which they begin and end; whoever begins at 24:00 begins the day."""
    starts, ends = (_minute(clock) for clock in text.split("-"))
    if starts in {ends, ends + DAY}:
        raise BadTerms(_("“%(hours)s” is no time of the day: it ends when it begins."), hours=text)
    return starts % DAY, ends


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    minute = int(hours) * 60 + int(minutes)
    if minute > DAY:
        raise BadTerms(_("“%(clock)s” is no time of the day."), clock=text)
    return minute


def _read_rates(text: str, currency: str) -> dict[str, int]:
    rates: dict[str, int] = {}
    for part in text.split(","):
        name, _space, value = part.strip().partition(" ")
        if name not in _NAMES or name in rates:
            raise BadTerms(
                _("“%(part)s” is no rate; write one of %(names)s and its amount, each once."),
                part=part.strip(), names=", ".join(_NAMES),
            )  # fmt: skip
        try:
            rates[name] = from_decimal(Decimal(value.strip()), currency)
        except (InvalidOperation, ValueError):
            raise BadTerms(_("“%(value)s” is no amount of %(currency)s."), value=value, currency=currency) from None
        if not 0 <= rates[name] <= _LARGEST:
            raise BadTerms(_("“%(value)s” is no rate: it is below zero or too large."), value=value)
    return rates


def write(terms: Iterable[Term], currency: str) -> str:
    """The text that `read` reads."""
    return "\n".join(f"{_conditions(term)}: {_rates(term, currency)}" for term in terms)


def _conditions(term: Term) -> str:
    words = [f"above {term.above}"] if term.above else []
    if term.has_hours:
        words.append("-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (term.starts, term.ends)))
    return ", ".join(words)


def _rates(term: Term, currency: str) -> str:
    return ", ".join(f"{name} {to_json_number(rate, currency)}" for name, rate in term.rates.items())
