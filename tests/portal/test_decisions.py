"""A stored decision and its attempts in words."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from portal import decisions
from portal.decisions import ChannelNames
from routing.selection.reasons import Reason
from tests.records import attempt, candidate, decision

SHOWN = ChannelNames(shown=True, costs_shown=True, channels=())


def sentences(*candidates: dict[str, Any]) -> list[str]:
    explained = decisions.explain(decision(*candidates), [], SHOWN)
    assert explained is not None
    return [str(each.sentence) for each in explained.candidates]


def test_the_chosen_one_comes_first_and_who_was_out_last() -> None:
    explained = decisions.explain(
        decision(
            candidate("out", "out", reason="resting", expected_cost=None),
            candidate("dear", expected_cost=300),
            candidate("cheap", "chosen"),
            candidate("middle", expected_cost=200),
        ),
        [],
        SHOWN,
    )

    assert explained is not None
    assert [each.name for each in explained.candidates] == ["cheap", "middle", "dear", "out"]
    assert explained.summary == (
        "4 routes were considered, 3 of them could serve the request. The cheapest healthy channel was wanted."
    )


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        pytest.param({"expected_cost": 159}, "Ready, but dearer by 59 %.", id="dearer"),
        pytest.param({"expected_cost": 100}, "Ready at the same expected cost; weights decided.", id="a tie"),
        pytest.param(
            {"expected_cost": 1},
            "Ready and cheaper, but the strategy preferred the chosen one.",
            id="cheaper",
        ),
        pytest.param(
            {"expected_cost": 1, "priority": -1},
            "Ready, but in a later tier: tried only if the earlier tier fails.",
            id="later tier",
        ),
    ],
)
def test_how_the_others_stand_to_the_chosen_one(other: dict[str, Any], sentence: str) -> None:
    assert sentences(candidate("a", "chosen"), candidate("b", **other)) == [
        "Chosen. It answers 100 % of requests.",
        f"{sentence} It answers 100 % of requests.",
    ]


def test_how_much_dearer_is_not_told_where_costs_are_not_shown() -> None:
    names = ChannelNames(shown=True, channels=())

    explained = decisions.explain(decision(candidate("a", "chosen"), candidate("b", expected_cost=159)), [], names)

    assert explained is not None
    assert [each.expected_cost for each in explained.candidates] == [None, None]
    assert explained.candidates[1].sentence.startswith("Ready, but dearer. It")


def test_a_chance_is_never_rounded_up_to_certainty() -> None:
    assert sentences(candidate("a", "chosen", success_rate=0.9999)) == ["Chosen. It answers 99.9 % of requests."]


@pytest.mark.parametrize("language", ["en", "vi"])
def test_every_reason_has_words_of_its_own(language: str) -> None:
    with translation.override(language):
        words = sentences(*(candidate(reason, "out", reason=reason, expected_cost=None) for reason in Reason))

    assert len(set(words)) == len(Reason)
    assert "Out." not in words


@pytest.mark.parametrize(
    ("tried", "words"),
    [
        pytest.param(["answered"], "", id="the first answered"),
        pytest.param(["connect_failed", "answered"], "blue did not answer; green did.", id="failover"),
        pytest.param(["bad_status", "idle_timeout"], "None of those that were tried answered.", id="none"),
        pytest.param(["broken_stream"], "", id="broke off"),
        pytest.param(["cancelled"], "", id="the client left"),
    ],
)
def test_the_summary_says_what_came_of_the_choice(tried: list[str], words: str) -> None:
    attempts = [attempt(channel, outcome) for channel, outcome in zip(("blue", "green"), tried, strict=False)]

    explained = decisions.explain(decision(candidate("blue", "chosen")), decisions.attempts(attempts, SHOWN), SHOWN)

    assert explained is not None
    assert explained.summary.partition("was wanted.")[2].strip() == words
