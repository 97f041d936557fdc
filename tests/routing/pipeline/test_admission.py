"""Admitting a request: what is held, what a balance affords, and what a refusal says."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import msgspec
import pytest

from accounts.callers import SpendingLimit
from accounts.limits import Standing
from billing.books import HELD, Hold, HoldOutcome, Progress, Refused, Settlement
from billing.prices import Tariff, ceiling
from billing.reservations import FundsInFlight, InsufficientQuota, QuotaExceeded, Reservations
from routing.catalogue.snapshot import ModelView
from routing.endpoints.base import LEAST_USEFUL_OUTPUT
from routing.pipeline.admission import _affordable_cap, admit
from routing.pipeline.call import Plan
from routing.pipeline.run import Run
from tests.routing.pipeline.conftest import Stage
from tests.routing.pipeline.test_plan import model, planned

FLAT = Tariff(id=1, currency="USD", input=0, output=10**9)
"""1000 ledger units for each output token, the prompt free."""
QUOTA = 5


class Till:
    """A journal of one balance, which holds what has been asked for as long as there is so much."""

    def __init__(self, *states: tuple[int, int], balance: int | None = None) -> None:
        """`states`: available and tied up at each hold; the last stays."""
        self.states = list(states)
        self.balance = balance
        self.asked: list[int] = []

    def hold(self, hold: Hold) -> asyncio.Future[HoldOutcome]:
        available, tied_up = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        self.asked.append(hold.amount)
        answer: asyncio.Future[HoldOutcome] = asyncio.get_running_loop().create_future()
        answer.set_result(HELD if hold.amount <= available else Refused(self.balance, available, tied_up))
        return answer

    def settle(self, settlement: Settlement) -> None: ...
    def keep(self, progress: Progress) -> None: ...
    def note(self, progress: Progress) -> None: ...
    def release(self, id_: str) -> None: ...


def plan(*models: ModelView, limit: SpendingLimit | None = None, **body: Any) -> Plan:
    """Of these models; without any, of one at 1000 ledger units for each output token."""
    offered = models or (model("m", price=FLAT),)
    made = planned({"model": offered[0].name, "models": [each.name for each in offered[1:]], **body}, *offered)
    limits = {} if limit is None else {QUOTA: limit}
    return msgspec.structs.replace(made, call=msgspec.structs.replace(made.call, spending_limits=limits))


def admitted(stage: Stage, plan_: Plan, till: Till) -> Run:
    gateway = dataclasses.replace(stage.gateway, reservations=Reservations(till))
    return stage.runner.run(admit(plan_, Standing(), gateway))


def refused(stage: Stage, plan_: Plan, till: Till) -> InsufficientQuota:
    with pytest.raises(InsufficientQuota) as refusal:
        admitted(stage, plan_, till)
    return refusal.value


# --- what is held ----------------------------------------------------------------------------------------------------


def test_most_that_the_request_can_cost_is_held(stage: Stage) -> None:
    till = Till((500_000, 0))
    run = admitted(stage, plan(max_tokens=500), till)
    assert (run.cap, run.held, till.asked) == (500, 500_000, [500_000])


@pytest.mark.parametrize(("max_tokens", "asked"), [(1, [2**62]), (2, [])], ids=["the most", "more"])
def test_more_than_any_balance_can_hold_is_refused_unasked(stage: Stage, max_tokens: int, asked: list[int]) -> None:
    dear = model("m", price=Tariff(id=1, currency="USD", input=0, output=10**6 * 2**62))
    till = Till((2**61, 0))
    refused(stage, plan(dear, max_tokens=max_tokens), till)
    assert till.asked == asked


def test_dearest_of_the_models_bounds_what_is_held(stage: Stage) -> None:
    dear = model("dear", price=Tariff(id=2, currency="USD", input=0, output=3 * 10**9))
    till = Till((10**9, 0))
    run = admitted(stage, plan(model("m", price=FLAT), dear, max_tokens=500), till)
    assert (run.held, run.model.name) == (1_500_000, "m")


def test_cap_that_is_ours_is_lowered_to_what_the_balance_affords(stage: Stage) -> None:
    till = Till((300_999, 0))
    run = admitted(stage, plan(), till)
    assert (run.cap, run.held, till.asked) == (300, 300_000, [1_000_000, 300_000])


def test_cap_that_is_ours_is_lowered_to_what_is_just_useful(stage: Stage) -> None:
    assert admitted(stage, plan(), Till((LEAST_USEFUL_OUTPUT * 1000, 0))).cap == LEAST_USEFUL_OUTPUT


def test_cap_that_is_ours_is_not_lowered_below_what_is_useful(stage: Stage) -> None:
    till = Till((LEAST_USEFUL_OUTPUT * 1000 - 1, 0))
    refused(stage, plan(), till)
    assert till.asked == [1_000_000]


def test_cap_of_the_client_is_never_lowered(stage: Stage) -> None:
    till = Till((300_000, 0))
    error = refused(stage, plan(max_tokens=500), till)
    assert (till.asked, error.available) == ([500_000], 300_000)


def test_whoever_was_faster_leaves_nothing_to_hold(stage: Stage) -> None:
    till = Till((300_000, 0), (20_000, 0))
    error = refused(stage, plan(), till)
    assert till.asked == [1_000_000, 300_000]
    assert "which affords 20 output tokens" in error.message


# --- what comes back -------------------------------------------------------------------------------------------------


def test_hold_is_tried_again_while_money_may_come_back(stage: Stage) -> None:
    till = Till((100_000, 400_000), (500_000, 0))
    assert admitted(stage, plan(max_tokens=500), till).held == 500_000
    assert till.asked == [500_000, 500_000]


def test_what_does_not_come_back_in_time_is_in_flight(stage: Stage) -> None:
    till = Till((100_000, 400_000))
    with pytest.raises(FundsInFlight, match=r"cost up to 0\.0005 USD; 0\.0001 USD .* hold 0\.0004 USD"):
        admitted(stage, plan(max_tokens=500), till)
    assert till.asked == [500_000] * 5


@pytest.mark.parametrize(
    ("available", "tied_up"), [(100_000, 399_999), (0, 0), (-1, 500_000)], ids=["too little", "nothing", "overdrawn"]
)
def test_what_would_not_fit_with_all_that_comes_back_is_final(stage: Stage, available: int, tied_up: int) -> None:
    till = Till((available, tied_up))
    error = refused(stage, plan(max_tokens=500), till)
    assert (till.asked, error.available, error.tied_up) == ([500_000], available, tied_up)


def test_cap_that_is_ours_waits_for_what_is_useful(stage: Stage) -> None:
    till = Till((0, 16_000), (16_000, 0))
    assert admitted(stage, plan(), till).cap == LEAST_USEFUL_OUTPUT


# --- what a balance affords ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("available", "cap"), [(0, 0), (-1, 0), (999, 0), (1000, 1), (600_500, 600)])
def test_balance_affords_whole_tokens(available: int, cap: int) -> None:
    assert _affordable_cap(plan(), available) == cap


def test_balance_affords_what_it_has_beyond_the_prompt() -> None:
    price = Tariff(id=1, currency="USD", input=10**9, output=10**9, request_fee=7)
    made = plan(model("m", price=price))
    prompt = ceiling(made.needs.input_bound, 0, price)
    assert [_affordable_cap(made, prompt + rest) for rest in (-1, 0, 5000)] == [0, 0, 5]


def test_every_choice_is_paid_for() -> None:
    assert _affordable_cap(plan(n=3), 9000) == 3


def test_dearest_model_at_its_dearest_length_bounds_what_is_affordable() -> None:
    long = Tariff(id=2, currency="USD", input=0, output=5 * 10**9)
    tiered = Tariff(id=2, currency="USD", input=0, output=0, tiers=((1, long),))
    assert _affordable_cap(plan(model("m", price=FLAT), model("n", price=tiered)), 50_000) == 10


def test_output_for_nothing_is_affordable_whole() -> None:
    free = Tariff(id=1, currency="USD", input=0, output=0)
    assert _affordable_cap(plan(model("m", price=free)), 0) == 1_000


# --- what a refusal says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("available", "told"), [(20_999, "0.000020999"), (-5, "0")])
def test_refusal_names_cost_balance_and_affordable_tokens(stage: Stage, available: int, told: str) -> None:
    error = refused(stage, plan(max_tokens=500), Till((available, 0)))
    assert error.message == (
        "You exceeded your current quota: this request can cost up to 0.0005 USD and "
        f"{told} USD are available, which affords {max(0, available) // 1000} output tokens. "
        "Lower max_tokens or add credit."
    )


def test_refusal_of_a_request_without_a_cap_names_no_tokens(stage: Stage) -> None:
    price = Tariff(id=1, currency="USD", input=0, output=0, request_fee=1000)
    made = plan(model("m", price=price))
    capless = msgspec.structs.replace(made, needs=msgspec.structs.replace(made.needs, cap=0, is_cap_ours=False))
    error = refused(stage, capless, Till((999, 0)))
    assert error.message.endswith("0.000000999 USD are available. Add credit.")


@pytest.mark.parametrize(
    ("ends_at", "end"),
    [
        (None, "this request can cost up to 0.0005 USD."),
        (1_790_000_000.5, " The next period begins at 2026-09-21T14:13:20Z."),
    ],
    ids=["in total", "a period"],
)
def test_refusal_of_a_quota_names_it_and_what_is_used(stage: Stage, ends_at: float | None, end: str) -> None:
    limit = SpendingLimit("key", "month", 600_000, ends_at)
    error = refused(stage, plan(max_tokens=500, limit=limit), Till((100_000, 200_000), balance=QUOTA))

    assert isinstance(error, QuotaExceeded)
    assert "this key may spend 0.0006 USD per month; 0.0003 USD are spent, 0.0002 USD are held" in error.message
    assert error.message.endswith(end)
    assert (error.available, error.tied_up, error.balance) == (100_000, 200_000, QUOTA)


@pytest.mark.parametrize("balance", [None, 6], ids=["no leg", "the wallet"])
def test_refusal_of_another_balance_names_no_quota(stage: Stage, balance: int | None) -> None:
    limit = SpendingLimit("key", "month", 600_000, None)
    error = refused(stage, plan(max_tokens=500, limit=limit), Till((100_000, 200_000), balance=balance))
    assert not isinstance(error, QuotaExceeded)
