"""A request that holds money: what it claims, keeps and tells of a usage."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import orjson
import pytest

from billing.books import Progress, Settlement
from billing.kinds import NOTHING, Usage
from billing.prices import Tariff
from routing.pipeline.explanation import Shown
from routing.pipeline.outcomes import FAULT_OF_OURS, SUCCESS
from routing.pipeline.run import Run
from routing.selection.health import Health
from tests.routing.pipeline.conftest import Stage
from tests.routing.pipeline.test_admission import Till, admitted, plan
from tests.routing.pipeline.test_plan import model

PAID = Tariff(1, "USD", input=10**9, output=2 * 10**9, request_fee=500)
"""1,000 ledger units for a token of input, 2,000 for one of output, 500 for an answer."""
FREE = Tariff(1, "USD", input=0, output=0)
ANSWER = Usage(input=3, output=4)
PROMPT = Usage(input=3)


class Diary(Till):
    """A till that is never empty, and what it was told."""

    def __init__(self) -> None:
        super().__init__((10**12, 0))
        self.settled: list[Settlement] = []
        self.kept: list[Progress] = []
        self.noted: list[Progress] = []

    def settle(self, settlement: Settlement) -> None:
        self.settled.append(settlement)

    def keep(self, progress: Progress) -> None:
        self.kept.append(progress)

    def note(self, progress: Progress) -> None:
        self.noted.append(progress)


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def begin(stage: Stage, diary: Diary) -> Callable[..., Run]:
    """Admits a request at a price; its attempt has begun unless said otherwise."""

    def begin(price: Tariff = PAID, *, is_tried: bool = True) -> Run:
        run = admitted(stage, plan(model("m", price=price)), diary)
        if is_tried:
            run.attempt(run.plan.options[0]).end()
        return run

    return begin


# --- what is kept of it ----------------------------------------------------------------------------------------------


def test_how_far_an_answer_has_come_is_kept_and_noted(begin: Callable[..., Run], diary: Diary) -> None:
    run = begin()
    run.keep_progress(ANSWER)
    run.note_progress(ANSWER)
    assert run.route is not None
    expected = Progress(run.plan.call.id, run.route.channel.name, 1, ANSWER)
    assert (diary.kept, diary.noted) == ([expected], [expected])


@pytest.mark.parametrize(("is_tried", "usage"), [(False, ANSWER), (True, PROMPT)], ids=["untried", "prompt alone"])
def test_what_has_brought_nothing_is_neither_kept_nor_noted(
    begin: Callable[..., Run], diary: Diary, is_tried: bool, usage: Usage
) -> None:
    run = begin(is_tried=is_tried)
    run.keep_progress(usage)
    run.note_progress(usage)
    assert (diary.kept, diary.noted) == ([], [])


def test_nothing_is_kept_of_a_request_that_is_settled(begin: Callable[..., Run], diary: Diary) -> None:
    run = begin()
    run.settle(SUCCESS, ANSWER, "upstream")
    run.keep_progress(Usage(input=3, output=9))
    assert [(each.usage, each.is_exact) for each in diary.kept] == [(ANSWER, True)]


def test_request_is_settled_once(begin: Callable[..., Run], diary: Diary) -> None:
    run = begin()
    run.settle(SUCCESS, ANSWER, "upstream")
    run.settle(SUCCESS, NOTHING)
    assert [(each.claimed_cost, each.usage) for each in diary.settled] == [(11_500, ANSWER)]


def test_settlement_names_who_served_it_and_what_that_cost_us(begin: Callable[..., Run], diary: Diary) -> None:
    """On a route whose tokens cost 5 ledger units each, after two seconds."""
    run = begin()
    run.first_byte = run.plan.call.started + 2
    run.settle(SUCCESS, ANSWER, "upstream", reported_cost=9)
    (told,) = diary.settled
    assert run.route is not None
    assert (told.channel, told.upstream_model) == (run.route.channel.name, "up")
    assert (told.provider_cost, told.provider_currency, told.reported_cost) == (35, "USD", 9)
    assert told.first_byte_ms in {1999, 2000}
    assert 0 <= told.duration_ms < 60_000


def test_settlement_of_what_was_never_tried_names_nobody(begin: Callable[..., Run], diary: Diary) -> None:
    begin(is_tried=False).settle(FAULT_OF_OURS)
    (told,) = diary.settled
    assert (told.channel, told.upstream_model, told.first_byte_ms) == ("", "", None)
    assert (told.provider_cost, told.provider_currency, told.claimed_cost) == (None, "", 0)


def test_answer_teaches_what_its_route_has_in_its_cache(begin: Callable[..., Run]) -> None:
    run = begin()
    for _time in range(2):
        run.teach(Usage(input=100, cached_input=25, output=4))
    assert run.route is not None
    share = run.gateway.health.cached_share(run.plan.needs.prefix, run.route.id, time.monotonic())
    assert share == pytest.approx(0.25 * 0.3)


@pytest.mark.parametrize("is_all_text", [True, False])
def test_answer_teaches_how_long_a_token_is_where_nothing_but_text_was_sent(
    begin: Callable[..., Run], is_all_text: bool
) -> None:
    run = begin()
    run.gateway = replace(run.gateway, health=Health(0.1))
    run.plan = msgspec.structs.replace(run.plan, needs=msgspec.structs.replace(run.plan.needs, is_all_text=is_all_text))
    before = run.gateway.health.learned.bytes_per_token("m")
    run.teach(Usage(input=2, output=4))
    told = run.plan.needs.text_bytes / 2
    assert run.gateway.health.learned.bytes_per_token("m") == (told if is_all_text else before)


# --- what the client sees of it --------------------------------------------------------------------------------------


def bill(run: Run, usage: Usage) -> tuple[str, dict[str, Any]]:
    """The cost that the client is told, and the terms of its sum."""
    made = run.bill(usage, None)
    return made.cost, json.loads(orjson.dumps(made.details), parse_float=Decimal)


def test_bill_names_each_term_of_its_sum(begin: Callable[..., Run]) -> None:
    cost, details = bill(begin(), ANSWER)
    assert (cost, details.pop("currency")) == ("0.0000115", "USD")
    terms = {"input": "0.000003", "output": "0.000008", "request_fee": "0.0000005"}
    assert details == {name: Decimal(term) for name, term in terms.items()}


def test_bill_of_what_has_brought_nothing_has_no_terms(begin: Callable[..., Run]) -> None:
    assert bill(begin(), PROMPT) == ("0", {"currency": "USD"})


def test_bill_of_an_answer_for_nothing_has_its_terms(begin: Callable[..., Run]) -> None:
    cost, details = bill(begin(FREE), ANSWER)
    assert (cost, set(details)) == ("0", {"currency", "input", "output"})


@pytest.mark.parametrize(
    ("is_shown", "is_tried", "names"),
    [(True, True, [b"x-costrouter-channel"]), (True, False, []), (False, True, [])],
    ids=["shown", "untried", "not shown"],
)
def test_headers_name_the_channel_where_the_operator_shows_it(
    begin: Callable[..., Run], is_shown: bool, is_tried: bool, names: list[bytes]
) -> None:
    run = begin(is_tried=is_tried)
    options = replace(run.gateway.options, shown=Shown(channels=is_shown, costs=False))
    run.gateway = replace(run.gateway, options=options)
    attempts = b"1" if is_tried else b"0"
    assert run.headers()[:2] == [(b"x-costrouter-model", b"m"), (b"x-costrouter-attempts", attempts)]
    assert [name for name, _value in run.headers()[2:]] == names


@pytest.mark.parametrize("is_wanted", [True, False])
def test_decision_is_explained_to_who_asks(begin: Callable[..., Run], is_wanted: bool) -> None:
    run = begin()
    call = msgspec.structs.replace(run.plan.call, wants_explanation=is_wanted)
    run.plan = msgspec.structs.replace(run.plan, call=call)
    assert (run.explanation() is not None) is is_wanted
