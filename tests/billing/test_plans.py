"""Price plans: copies of the list with a markup, prices of their own, and versions taken back in time."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from accounts import keys
from accounts.models import Tenant
from billing import balances, plans, terms
from billing.legs import legs_of_key
from billing.models import Price, PricePlan, PriceWithdrawal
from billing.plans import TooLateToWithdraw
from billing.terms import Term
from routing.catalogue.models import CatalogueModel, Channel, CostPrice, CostPriceWithdrawal, Route
from routing.catalogue.snapshot import ModelView, build, read_version

pytestmark = pytest.mark.django_db
_numbers = itertools.count(1)
HOUR = dt.timedelta(hours=1)


def model() -> str:
    return CatalogueModel.objects.create(name=f"planned-{next(_numbers)}").name


def plan(markup: str = "0") -> PricePlan:
    made = PricePlan.objects.create(name=f"plan {next(_numbers)}")
    plans.set_markup(made, Decimal(markup))
    return made


def listed(name: str, amount: int = 1000, *, since: dt.timedelta = -HOUR, **fields: Any) -> Price:
    values = {"input": amount, "output": 2 * amount} | fields
    return plans.publish(Price(model=name, effective_from=timezone.now() + since, **values))


def view(name: str) -> ModelView:
    return build(1).models[name]


def paid(name: str, plan_: PricePlan | None, after: dt.timedelta = dt.timedelta(0)) -> int | None:
    """The input rate that the plan's tenants pay so much later than now."""
    price = view(name).price("USD", plan_.pk if plan_ else 0, (timezone.now() + after).timestamp())
    return None if price is None else price.input


def test_plan_copies_the_list_with_its_markup_rounded_once() -> None:
    name, dearer, cheaper = model(), plan("12.5"), plan("-33.333")
    row = listed(name, 1001, request_fee=7, cached_input=3, terms=terms.stored([Term({"input": 5}, above=9)]))

    (copy,) = Price.objects.filter(plan=dearer, model=name)
    assert [getattr(copy, name) for name in ("input", "output", "cached_input", "cache_write")] == [1126, 2252, 3, None]
    assert (copy.request_fee, copy.copy_of, copy.effective_from) == (8, row, row.effective_from)
    assert terms.loaded(copy.terms) == (Term({"input": 6}, above=9),)
    assert (paid(name, None), paid(name, dearer), paid(name, cheaper)) == (1001, 1126, 667)


def test_plan_made_later_has_the_prices_in_force_and_those_to_come() -> None:
    name = model()
    listed(name, 500, since=-2 * HOUR)
    listed(name, 1000)
    listed(name, 2000, since=HOUR)

    late = plan("10")

    assert [paid(name, late, after) for after in (dt.timedelta(0), 2 * HOUR)] == [1100, 2200]
    assert Price.objects.filter(plan=late, model=name).count() == 2


def test_plan_of_its_own_price_goes_before_the_list_until_it_follows_again() -> None:
    name, special = model(), plan("10")
    listed(name)
    plans.publish(Price(model=name, plan=special, input=77, output=77))
    listed(name, 3000, since=dt.timedelta(0))
    assert (paid(name, special), paid(name, None)) == (77, 3000)
    plans.set_markup(special, Decimal(50))
    assert paid(name, special) == 77

    plans.follow_list(special, name, "USD")
    assert paid(name, special) == 4500
    listed(name, 4000, since=dt.timedelta(0))
    assert paid(name, special) == 6000


def test_markup_changed_is_a_new_version_and_the_same_markup_none() -> None:
    name, changing = model(), plan("10")
    listed(name)
    plans.set_markup(changing, Decimal(20))
    assert paid(name, changing) == 1200
    plans.set_markup(changing, Decimal("20.000"))
    assert Price.objects.filter(plan=changing, model=name).count() == 2


def test_plan_pays_the_list_where_it_has_no_price_yet() -> None:
    name = model()
    bare = PricePlan.objects.create(name=f"plan {next(_numbers)}")
    Price.objects.create(model=name, input=5, output=5)
    Price.objects.create(model=name, plan=bare, input=9, output=9, effective_from=timezone.now() + HOUR)
    assert [paid(name, bare), paid(name, bare, 2 * HOUR)] == [5, 9]


def test_version_is_withdrawn_with_its_copies_before_it_takes_effect() -> None:
    name, following = model(), plan("10")
    listed(name)
    coming = listed(name, 9000, since=HOUR)
    assert [paid(name, each, 2 * HOUR) for each in (None, following)] == [9000, 9900]

    plans.withdraw(coming)
    plans.withdraw(coming)  # a second press of the button

    assert [paid(name, each, 2 * HOUR) for each in (None, following)] == [1000, 1100]
    assert PriceWithdrawal.objects.filter(price__model=name).count() == 2


@pytest.mark.parametrize("since", [-HOUR, dt.timedelta(0), dt.timedelta(seconds=9)], ids=str)
def test_version_in_force_or_about_to_be_cannot_be_withdrawn(since: dt.timedelta) -> None:
    name = model()
    row = listed(name, since=since)
    with pytest.raises(TooLateToWithdraw):
        plans.withdraw(row)
    assert not PriceWithdrawal.objects.exists()
    assert paid(name, None, HOUR) == 1000


def test_tenant_is_on_one_plan_and_its_keys_are_told() -> None:
    tenant = Tenant.objects.create(name="planned")
    balances.open_wallet(tenant)
    api_key = keys.issue(tenant=tenant, created_by=None, name="a key").api_key
    first, second = plan(), plan()
    assert legs_of_key(api_key).price_plan == 0
    plans.put_on(tenant, first)
    plans.put_on(tenant, second)
    assert (legs_of_key(api_key).price_plan, plans.plan_of(tenant.pk)) == (second.pk, second.pk)
    plans.put_on(tenant, None)
    assert (legs_of_key(api_key).price_plan, plans.plan_of(tenant.pk)) == (0, 0)


def test_what_a_plan_would_pay_by_the_list_is_told_of_its_model_and_of_the_price_in_force() -> None:
    name, other, coming, special = model(), model(), model(), plan("10")
    listed(other, 500)
    row = listed(name)
    listed(name, 2000, since=HOUR)
    listed(coming, since=HOUR)

    found = plans.as_listed(special, name, "USD")

    assert found is not None
    assert not Price.objects.filter(plan=special, input=found.input, effective_from=found.effective_from).exists()
    assert (found.model, found.input, found.copy_of) == (name, 1100, row)
    assert [plans.as_listed(special, *each) for each in ((name, "VND"), (coming, "USD"), ("none", "USD"))] == [None] * 3


def test_cost_price_is_withdrawn_before_it_takes_effect() -> None:
    channel = Channel.objects.create(name=model(), provider="fake", base_url="fake://quick")
    route = Route.objects.create(channel=channel, model=CatalogueModel.objects.get(name=model()), upstream_name="up")
    coming = CostPrice.objects.create(route=route, input=1, output=1, effective_from=timezone.now() + HOUR)

    plans.withdraw(coming)

    assert CostPriceWithdrawal.objects.filter(price=coming).count() == 1


def test_withdrawal_moves_the_catalogue() -> None:
    name = model()
    coming = listed(name, since=HOUR)
    before = read_version()
    plans.withdraw(coming)
    assert read_version() > before


# --- what comes in another order -------------------------------------------------------------------------------------


def test_return_to_an_earlier_price_reaches_the_plan_though_the_figures_are_the_same() -> None:
    name, following = model(), plan()
    listed(name, 1000)
    listed(name, 1000, since=8 * HOUR)
    listed(name, 500, since=2 * HOUR)
    assert [paid(name, following, after) for after in (HOUR, 3 * HOUR, 9 * HOUR)] == [1000, 500, 1000]


def test_withdrawal_leaves_the_copies_of_equal_versions() -> None:
    name, following = model(), plan()
    listed(name, 1000)
    coming = listed(name, 700, since=2 * HOUR)
    listed(name, 700, since=4 * HOUR)
    plans.withdraw(coming)
    assert [paid(name, following, after) for after in (3 * HOUR, 5 * HOUR)] == [1000, 700]


def test_own_price_goes_before_copies_that_are_still_to_come() -> None:
    name, special = model(), plan()
    listed(name, 1000)
    listed(name, 2000, since=HOUR)
    plans.publish(Price(model=name, plan=special, input=77, output=77))
    assert [paid(name, special, after) for after in (dt.timedelta(0), 2 * HOUR)] == [77, 77]


def test_own_price_goes_before_a_copy_that_is_about_to_hold() -> None:
    name, special = model(), plan()
    listed(name, 1000)
    listed(name, 2000, since=dt.timedelta(seconds=5))
    plans.publish(Price(model=name, plan=special, input=77, output=77))
    assert [paid(name, special, after) for after in (dt.timedelta(0), HOUR)] == [77, 77]


def test_own_price_goes_before_one_of_the_list_that_begins_with_it() -> None:
    name, special, begins = model(), plan(), timezone.now() + HOUR
    listed(name, 1000)
    plans.publish(Price(model=name, plan=special, input=77, output=77, effective_from=begins))
    plans.publish(Price(model=name, input=2000, output=4000, effective_from=begins))
    assert [paid(name, each, 2 * HOUR) for each in (special, None)] == [77, 2000]


@pytest.mark.parametrize(
    ("since", "withdrawn", "versions"),
    [
        pytest.param(HOUR, 1, [77], id="withdrawn"),
        pytest.param(dt.timedelta(seconds=5), 0, [77, 77], id="followed at once"),
    ],
)
def test_copy_still_to_come_is_withdrawn_or_followed(since: dt.timedelta, withdrawn: int, versions: list[int]) -> None:
    name, special = model(), plan()
    listed(name, 1000)
    listed(name, 2000, since=since)
    plans.publish(Price(model=name, plan=special, input=77, output=77))

    own = Price.objects.filter(plan=special, copy_of=None).values_list("input", flat=True)
    assert (list(own), PriceWithdrawal.objects.filter(price__plan=special).count()) == (versions, withdrawn)


def test_own_price_withdrawn_gives_way_to_what_the_list_has_had_since() -> None:
    name, special = model(), plan()
    listed(name, 1000)
    own = plans.publish(Price(model=name, plan=special, input=77, output=77, effective_from=timezone.now() + HOUR))
    listed(name, 2000, since=2 * HOUR)
    assert paid(name, special, 3 * HOUR) == 77
    plans.withdraw(own)
    assert [paid(name, special, after) for after in (HOUR, 3 * HOUR)] == [1000, 2000]


def test_following_again_at_the_same_figure_follows_what_comes() -> None:
    name, special = model(), plan()
    listed(name, 1000)
    plans.publish(Price(model=name, plan=special, input=1000, output=2000))
    plans.follow_list(special, name, "USD")
    listed(name, 3000, since=dt.timedelta(0))
    assert paid(name, special) == 3000


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer at a time anyway")
def test_whoever_changes_prices_waits_for_the_one_before() -> None:
    name = model()
    with contextlib.closing(connection.copy()) as another, another.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [plans._LOCK])
        with connection.cursor() as own:
            own.execute("SET LOCAL lock_timeout = '10ms'")
        with pytest.raises(OperationalError, match="lock timeout"):
            listed(name)
    assert not Price.objects.filter(model=name).exists()
