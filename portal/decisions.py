"""A stored routing decision and its attempts, in words that a tenant may read.

Attempts carry a detail for operators; nothing here reads it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from routing.pipeline import outcomes
from routing.pipeline.outcomes import Ending
from routing.selection import reasons
from routing.selection.reasons import Reason

_TONES: Mapping[str, str] = {Ending.ANSWERED: "good", Ending.REFUSED_CONTENT: "warn", Ending.CANCELLED: "warn"}


class ChannelNames:
    """What tenants may call channels: their names, or "channel 1", "channel 2" in order of appearance.

    `costs_shown` says whether they may see what the operator expected to pay.
    """

    def __init__(self, *, shown: bool, channels: Iterable[str], costs_shown: bool = False) -> None:
        self.shown = shown
        self.costs_shown = costs_shown
        self._numbers = {name: number for number, name in enumerate(dict.fromkeys(channels), start=1)}

    def __getitem__(self, channel: str) -> str:
        return channel if self.shown else _("channel %(number)d") % {"number": self._numbers[channel]}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One route that was considered; the cost in ledger units of the currency, None if unknown or not shown."""

    name: str
    upstream_model: str
    state: str
    sentence: str
    expected_cost: int | None
    currency: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Who was considered and why: the chosen one first, then the others that were ready by cost, then who was out."""

    summary: str
    expectation: str
    candidates: list[Candidate]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one route; milliseconds since the request began. `tone` is a class of the stylesheet."""

    name: str
    upstream_model: str
    outcome: str
    tone: str
    status: int | None
    started_ms: int
    duration_ms: int
    has_answered: bool


def explain(decision: Mapping[str, Any], tried: list[Attempt], names: ChannelNames) -> Decision | None:
    """The decision, and what came of it, in words; None if nothing was stored (a recovered request)."""
    given = sorted(decision.get("candidates", ()), key=_order)
    if not given:
        return None
    chosen = next((candidate for candidate in given if candidate["state"] == "chosen"), None)
    return Decision(
        " ".join(filter(None, (_summary(decision, given), _result(tried)))),
        _expectation(decision.get("expected", {})) if names.costs_shown else "",
        [_candidate(candidate, chosen, names) for candidate in given],
    )


def attempts(given: Iterable[Mapping[str, Any]], names: ChannelNames) -> list[Attempt]:
    """The tries in order, without what is meant for operators."""
    return [
        Attempt(
            name=names[attempt["channel"]],
            upstream_model=attempt["upstream_model"] if names.shown else "",
            outcome=_ending(attempt["outcome"]),
            tone=_TONES.get(attempt["outcome"], "bad"),
            status=attempt["status"],
            started_ms=attempt["started_ms"],
            duration_ms=attempt["duration_ms"],
            has_answered=attempt["outcome"] in outcomes.BEGUN,
        )
        for attempt in given
    ]


def _order(candidate: Mapping[str, Any]) -> tuple[int, int]:
    return ("chosen", "ready", "out").index(candidate["state"]), candidate["expected_cost"] or 0


def _summary(decision: Mapping[str, Any], given: list[Mapping[str, Any]]) -> str:
    more = decision.get("left_out", {})
    all_of_them = len(given) + sum(more.values())
    ready = sum(candidate["state"] != "out" for candidate in given) + more.get("ready", 0)
    considered = ngettext("%(count)d route was considered", "%(count)d routes were considered", all_of_them)
    able = ngettext("%(count)d of them could serve the request.", "%(count)d of them could serve the request.", ready)
    strategy = _strategy(decision.get("strategy", ""))
    return f"{considered % {'count': all_of_them}}, {able % {'count': ready}} {strategy}".strip()


def _result(tried: list[Attempt]) -> str:
    """Whether the first choice answered, and who did if it did not."""
    failed = [attempt for attempt in tried if not attempt.has_answered]
    if not failed:
        return ""
    if len(failed) == len(tried):
        return _("None of those that were tried answered.")
    return _("%(first)s did not answer; %(last)s did.") % {"first": failed[0].name, "last": tried[-1].name}


def _expectation(expected: Mapping[str, int]) -> str:
    if not expected:
        return ""
    text = _(
        "Costs are for the usage expected beforehand: %(input)s input tokens, %(cached)s of them cached, and %(output)s"
        " output tokens; divided by the chance that the route answers."
    )
    counts = {"input": "input", "cached": "cached_input", "output": "output"}
    return text % {name: number_format(expected.get(kind, 0), 0, force_grouping=True) for name, kind in counts.items()}


def _candidate(candidate: Mapping[str, Any], chosen: Mapping[str, Any] | None, names: ChannelNames) -> Candidate:
    return Candidate(
        names[candidate["channel"]],
        candidate["upstream_model"] if names.shown else "",
        candidate["state"],
        _sentence(candidate, chosen, names),
        candidate["expected_cost"] if names.costs_shown else None,
        candidate["currency"],
    )


def _sentence(candidate: Mapping[str, Any], chosen: Mapping[str, Any] | None, names: ChannelNames) -> str:
    if candidate["state"] == "out":
        return _reason(candidate["reason"])
    chance = _("It answers %(percent)s %% of requests.") % {"percent": _percent(candidate["success_rate"])}
    return f"{_standing(candidate, chosen, names)} {chance}"


def _reason(name: str | None) -> str:
    words = reasons.WORDS.get(Reason(name)) if name in set(Reason) else None
    return _(words.tenant) if words else _("Out.")


def _ending(name: str) -> str:
    return _(outcomes.WORDS[Ending(name)].tenant) if name in set(Ending) else name


def _strategy(name: str) -> str:
    words = reasons.STRATEGIES.get(name)
    return _(words) if words else ""


def _percent(share: float) -> str:
    """A share of requests, rounded down: 100 means all of them."""
    return number_format(math.floor(1000 * share + 1e-6) / 10, 0 if share >= 1 else 1)


def _standing(candidate: Mapping[str, Any], chosen: Mapping[str, Any] | None, names: ChannelNames) -> str:
    """How a ready candidate stands to the chosen one."""
    if chosen is None:
        return _("Ready.")
    if candidate is chosen:
        return _("Chosen.")
    if candidate["priority"] < chosen["priority"]:
        return _("Ready, but in a later tier: tried only if the earlier tier fails.")
    own, best = candidate["expected_cost"] or 0, chosen["expected_cost"] or 0
    if own == best:
        return _("Ready at the same expected cost; weights decided.")
    if own < best:
        return _("Ready and cheaper, but the strategy preferred the chosen one.")
    if best == 0:
        return _("Ready, but dearer: the chosen one was expected to cost nothing.")
    if not names.costs_shown:
        return _("Ready, but dearer.")
    dearer = -(-100 * (own - best) // best)
    return _("Ready, but dearer by %(percent)d %%.") % {"percent": dearer}
