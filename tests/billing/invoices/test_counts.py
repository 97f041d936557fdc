"""Lines add up to what the records cost, to the ledger unit, whatever a price asks and however requests ended."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import ApiKey, User
from billing.invoices.counts import Line, count
from billing.kinds import Usage
from billing.models import BillingPeriod
from tests.billing.invoices.customers import Customer, customer, utc


def march(one: Customer) -> BillingPeriod:
    one.close()
    (period,) = one.periods
    return period


def rows(lines: list[Line]) -> list[tuple[Any, ...]]:
    return [(line.kind, line.quantity, line.rate, line.amount) for line in lines]


def test_kinds_are_lines_and_what_is_within_another_is_not_counted_twice(prepaid: Customer) -> None:
    price = prepaid.price(cached_input=500_000, reasoning=3_000_000)
    prepaid.use(price, Usage(input=100, cached_input=40, output=50, reasoning=20))
    prepaid.use(price, Usage(input=10, output=5))

    found = count(march(prepaid))

    assert rows(found.lines) == [
        ("input", 70, 1_000_000, 70),
        ("cached_input", 40, 500_000, 20),
        ("output", 35, 2_000_000, 70),
        ("reasoning", 20, 3_000_000, 60),
    ]
    assert (found.requests, found.used) == (2, 220)


def test_price_versions_and_models_have_lines_of_their_own(prepaid: Customer) -> None:
    old = prepaid.price(model=f"aa-{prepaid.tenant.pk}")
    new = prepaid.price(model=old.model, input=3_000_000)
    other = prepaid.price(model=f"bb-{prepaid.tenant.pk}")
    for price in (other, new, old):
        prepaid.use(price, Usage(input=10))

    found = count(march(prepaid)).lines

    assert [(line.model[:2], line.version, line.amount) for line in found] == [
        ("aa", 1, 10), ("aa", 2, 30), ("bb", 1, 10)
    ]  # fmt: skip


def test_flat_fees_are_a_line_which_a_client_that_left_before_any_output_does_not_pay(prepaid: Customer) -> None:
    price = prepaid.price(request_fee=1000)
    prepaid.use(price, Usage(input=10, output=5))
    prepaid.use(price, Usage(input=10), outcome="client_gone", cost=10)
    prepaid.use(price, Usage(input=10, output=1), outcome="client_gone")

    found = count(march(prepaid))

    assert ("request_fee", 2, 1000, 2000) in rows(found.lines)
    assert sum(line.amount for line in found.lines) == found.used == 1020 + 10 + 1012


def test_rounding_of_single_requests_is_a_line(prepaid: Customer) -> None:
    price = prepaid.price(input=500_000)
    for _number in range(3):
        prepaid.use(price, Usage(input=1))

    found = count(march(prepaid))

    # Half a unit each, three times rounded up; 1.5 together, rounded up once.
    assert rows(found.lines) == [("input", 3, 500_000, 2), ("rounding", 3, 0, 1)]
    assert found.lines[1] == Line("", 0, 0, "rounding", 0, 3, 1)
    assert found.used == 3


def test_what_was_written_off_is_a_line_of_its_own(prepaid: Customer) -> None:
    prepaid.use(prepaid.price(), Usage(input=100), cost=60, claimed_cost=100)

    found = count(march(prepaid))

    assert rows(found.lines) == [("input", 100, 1_000_000, 100), ("written_off", 1, 0, -40)]
    assert found.used == 60


def test_request_that_brought_nothing_is_counted_and_no_line(prepaid: Customer) -> None:
    prepaid.use(prepaid.price(), Usage(input=100), outcome="upstream_error", cost=0, claimed_cost=0)

    found = count(march(prepaid))

    assert (found.lines, found.requests, found.used) == ([], 1, 0)


def test_request_that_brought_nothing_adds_nothing_to_the_lines_of_those_that_did(prepaid: Customer) -> None:
    price = prepaid.price()
    prepaid.use(price, Usage(input=100), outcome="upstream_error", cost=0, claimed_cost=0)
    prepaid.use(price, Usage(input=10))
    prepaid.use(price, Usage(input=1))

    found = count(march(prepaid))

    assert (rows(found.lines), found.requests) == ([("input", 11, 1_000_000, 11)], 3)


def test_usage_of_a_free_price_has_lines_of_zero(prepaid: Customer) -> None:
    prepaid.use(prepaid.price(input=0, output=0), Usage(input=100, output=3))

    found = count(march(prepaid))

    assert rows(found.lines) == [("input", 100, 0, 0), ("output", 3, 0, 0)]


def test_terms_of_a_price_are_lines_at_their_own_rates(prepaid: Customer) -> None:
    terms = [{"rates": {"input": 3_000_000}, "above": 100}, {"rates": {"input": 500_000}, "starts": 990, "ends": 30}]
    price = prepaid.price(terms=terms)
    prepaid.use(price, Usage(input=100), at=utc(2026, 3, 15, 12))
    prepaid.use(price, Usage(input=101), at=utc(2026, 3, 15, 12))
    prepaid.use(price, Usage(input=2), at=utc(2026, 3, 15, 16, 29))
    prepaid.use(price, Usage(input=40), at=utc(2026, 3, 15, 16, 30))
    prepaid.use(price, Usage(input=60), at=utc(2026, 3, 16, 0, 29))
    prepaid.use(price, Usage(input=7), at=utc(2026, 3, 16, 0, 30))

    found = count(march(prepaid))

    assert rows(found.lines) == [
        ("input", 100, 500_000, 50), ("input", 109, 1_000_000, 109), ("input", 101, 3_000_000, 303)
    ]  # fmt: skip
    assert found.used == 462


def test_hours_hold_for_a_single_token(prepaid: Customer) -> None:
    price = prepaid.price(terms=[{"rates": {"input": 5_000_000}, "starts": 990, "ends": 30}])
    prepaid.use(price, Usage(input=1), at=utc(2026, 3, 15, 23, 59))

    assert rows(count(march(prepaid)).lines) == [("input", 1, 5_000_000, 5)]


def test_length_of_a_price_without_hours_is_known_at_midnight(prepaid: Customer) -> None:
    price = prepaid.price(terms=[{"rates": {"input": 3_000_000}, "above": 100}])
    prepaid.use(price, Usage(input=101), at=utc(2026, 3, 15))

    assert rows(count(march(prepaid)).lines) == [("input", 101, 3_000_000, 303)]


def test_sums_by_key_and_by_member_are_those_of_the_lines(prepaid: Customer) -> None:
    dora = User.objects.create_user(f"dora{prepaid.tenant.pk}@example.com")
    hers = ApiKey.objects.create(
        tenant=prepaid.tenant, name="hers", digest=f"d{prepaid.tenant.pk}", prefix="sk", last_four="abcd",
        created_by=dora,
    )  # fmt: skip
    price = prepaid.price()
    prepaid.use(price, Usage(input=10))
    prepaid.use(price, Usage(input=25), key=hers)
    prepaid.use(price, Usage(input=1), key=hers)

    found = count(march(prepaid))

    assert [(part.name, part.requests, part.amount) for part in found.keys] == [
        (str(hers), 2, 26), (str(prepaid.key), 1, 10)
    ]  # fmt: skip
    assert [(part.name, part.requests, part.amount) for part in found.members] == [(dora.email, 2, 26), ("", 1, 10)]


def test_of_keys_with_the_same_sum_the_older_comes_first(prepaid: Customer) -> None:
    younger = ApiKey.objects.create(
        tenant=prepaid.tenant, name="younger", digest=f"y{prepaid.tenant.pk}", prefix="sk", last_four="abcd"
    )
    prepaid.use(prepaid.price(model=f"aa-{younger.pk}"), Usage(input=10), key=younger)
    prepaid.use(prepaid.price(model=f"bb-{younger.pk}"), Usage(input=10))

    assert [part.id for part in count(march(prepaid)).keys] == [prepaid.key.pk, younger.pk]


USAGES = st.builds(
    lambda own, cached, output, thought: Usage(
        input=own + cached, cached_input=cached, output=output + thought, reasoning=thought
    ),
    *[st.integers(0, 5000)] * 4,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    usages=st.lists(USAGES, min_size=1, max_size=8),
    rates=st.tuples(*[st.integers(0, 10**7)] * 3),
    fee=st.integers(0, 50),
    write_off=st.integers(0, 3),
)
def test_lines_add_up_to_the_records_whatever_was_used(
    entity: object, usages: list[Usage], rates: tuple[int, int, int], fee: int, write_off: int
) -> None:
    one = customer()
    price = one.price(input=rates[0], output=rates[1], cached_input=rates[2], request_fee=fee)
    records = [one.use(price, usage) for usage in usages]
    claimed = records[0].cost + write_off
    records.append(one.use(price, usages[0], cost=records[0].cost, claimed_cost=claimed))

    found = count(march(one))

    assert sum(line.amount for line in found.lines) == found.used == sum(record.cost for record in records)
    assert sum(part.amount for part in found.keys) == found.used
    rounding = sum(line.amount for line in found.lines if line.kind == "rounding") - write_off
    assert abs(rounding) <= len(records) + 4
