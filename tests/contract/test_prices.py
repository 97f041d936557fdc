"""Prices that depend on the tenant, the length of the input and the hour, as a tenant meets them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from billing import plans, terms
from billing.models import Price, PricePlan
from billing.money import to_decimal
from billing.repricing import reprice
from billing.terms import Term
from tests.callers import Caller
from tests.contract.test_quotas import until
from tests.installation import SINGLE, Offer
from tests.worlds import World

INPUT, OUTPUT = 12, 5
"""What the scripted upstream says it used."""
LIST_COST = INPUT * 2_000 + OUTPUT * 8_000
OTHER: dict[str, Any] = {"input": 7 * 10**9, "output": 11 * 10**9}
COST = INPUT * 7_000 + OUTPUT * 11_000


@pytest.fixture
def caller(each_world: World) -> Caller:
    return each_world.caller(funds="10")


@pytest.fixture
def model(each_world: World) -> Offer:
    return each_world.offer(SINGLE)


def publish(caller: Caller, model: Offer, **fields: Any) -> Price:
    """A new version of the model's price that the gateway knows."""
    listed = {"input": 2 * 10**9, "output": 8 * 10**9}
    with caller.installation.changes():
        return plans.publish(Price(model=model.name, **(listed | fields)))


def paid(caller: Caller, model: Offer) -> int:
    """What one more request costs, which its answer says too."""
    before = {record.pk for record in caller.records}
    answer = caller.ask(model, max_tokens=100)
    assert answer.status_code == 200
    caller.wait_until_settled()
    (record,) = (record for record in caller.records if record.pk not in before)
    shown = answer.json()["usage"]
    assert Decimal(str(shown["cost"])) == to_decimal(record.cost, "USD")
    assert sum(Decimal(str(part)) for name, part in shown["cost_details"].items() if name != "currency") == to_decimal(
        record.cost, "USD"
    )
    return int(record.cost)


def test_tenant_on_a_plan_pays_its_price_and_others_the_list(each_world: World, caller: Caller, model: Offer) -> None:
    other = each_world.caller(funds="10")
    with caller.installation.changes():
        plan = PricePlan.objects.create(name=f"plan of {model.name}")
        plans.set_markup(plan, Decimal(50))
        plans.put_on(caller.holder.tenant, plan)
    until(lambda: paid(caller, model) == LIST_COST * 3 // 2)
    assert paid(other, model) == LIST_COST

    with caller.installation.changes():
        plans.publish(Price(model=model.name, plan=plan, **OTHER))
    assert paid(caller, model) == COST
    with caller.installation.database():
        plans.put_on(caller.holder.tenant, None)
    until(lambda: paid(caller, model) == LIST_COST)


@pytest.mark.parametrize(("above", "expected"), [(INPUT - 1, COST), (INPUT, LIST_COST)])
def test_length_of_the_input_decides_for_the_whole_request(
    caller: Caller, model: Offer, above: int, expected: int
) -> None:
    publish(caller, model, terms=terms.stored([Term(OTHER, above)]))
    assert paid(caller, model) == expected


def test_hour_at_which_a_request_begins_decides(caller: Caller, model: Offer) -> None:
    minute = timezone.now().hour * 60 + timezone.now().minute
    around = Term(OTHER, starts=(minute - 60) % 1440, ends=(minute + 60) % 1440)
    publish(caller, model, terms=terms.stored([around]))
    assert paid(caller, model) == COST
    later = Term(OTHER, starts=(minute + 60) % 1440, ends=(minute + 120) % 1440)
    publish(caller, model, terms=terms.stored([later]))
    assert paid(caller, model) == LIST_COST


def test_hold_covers_the_dearest_term_that_may_be_reached(each_world: World, model: Offer) -> None:
    poor = each_world.caller(funds="0.01")
    publish(poor, model, terms=terms.stored([Term({"output": 10**12}, above=1)]))
    with poor.nothing_changes():
        assert poor.ask(model, max_tokens=100).status_code == 429
    publish(poor, model, terms=terms.stored([Term({"output": 10**12}, above=100_000)]))
    assert paid(poor, model) == LIST_COST


def test_version_withdrawn_before_its_time_never_holds(caller: Caller, model: Offer) -> None:
    coming = publish(caller, model, **OTHER, effective_from=timezone.now() + dt.timedelta(seconds=13))
    with caller.installation.changes():
        plans.withdraw(coming)
    with caller.installation.database():
        assert Price.objects.in_use().filter(model=model.name, plan=None).count() == 1
    assert paid(caller, model) == LIST_COST


def test_what_was_paid_by_terms_and_plans_reprices_to_the_last_unit(caller: Caller, model: Offer) -> None:
    publish(caller, model, terms=terms.stored([Term(OTHER, INPUT - 1), Term({"input": 1}, starts=1, ends=2)]))
    paid(caller, model)
    with caller.installation.database():
        (own,) = (row for row in reprice(None, None) if row.record.tenant_id == caller.holder.tenant.pk)
    assert own.is_same
    assert own.expected == COST
