"""Past requests computed again."""

from __future__ import annotations

import random

import pytest
from django.core.management import CommandError, call_command

from accounts import keys
from billing.books import Books
from billing.kinds import Usage
from billing.models import Price, UsageRecord
from billing.prices import cost
from billing.repricing import reprice
from tests.bookkeeping import Account, account
from tests.records import usage_record

OWNER = "0" * 32


def usages(draw: random.Random) -> Usage:
    input_, output = draw.randrange(0, 5000), draw.randrange(1, 900)
    cached = draw.randrange(0, input_ + 1)
    written = draw.randrange(0, input_ - cached + 1)
    return Usage(
        input=input_, cached_input=cached, cache_write=written, output=output, reasoning=draw.randrange(0, output)
    )


def test_a_month_of_requests_costs_what_it_cost(books: Books, database: str) -> None:
    payer, draw = account(10**15), random.Random(7)
    prices = [
        Price.objects.create(
            model=f"repriced-{number}", input=draw.randrange(10**6, 10**9), output=draw.randrange(10**6, 10**9),
            cached_input=draw.choice([None, 12_345]), request_fee=draw.choice([0, 77]),
        )
        for number in range(8)
    ]  # fmt: skip
    for _number in range(40):
        price, usage = draw.choice(prices), usages(draw)
        held = payer.hold(draw.choice([0, 10**12]), price_id=price.pk)
        books.post([held], [], OWNER)
        claimed = cost(usage, price.tariff)
        row = payer.settlement(held.id, claimed, held=held.amount, usage=usage, price_id=price.pk, model=price.model)
        books.post([], [row], OWNER)

    mine = [row for row in reprice(None, None) if row.record.tenant_id == payer.tenant.pk]

    assert len(mine) == 40
    assert all(row.is_same for row in mine)


def write(rich: Account, **fields: object) -> UsageRecord:
    price = Price.objects.create(model=f"odd-{rich.tenant.pk}", input=2_000_000, output=4_000_000, request_fee=9)
    api_key = keys.issue(tenant=rich.tenant, name="a key").api_key
    return usage_record(rich.tenant, price, api_key, input_tokens=10, **fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"output_tokens": 5, "cost": 49}, 49, id="an answer"),
        pytest.param({"output_tokens": 0, "cost": 0, "outcome": "upstream_error"}, 0, id="nothing came"),
        pytest.param({"output_tokens": 0, "cost": 20, "outcome": "client_gone"}, 20, id="the prompt of one who left"),
        pytest.param({"output_tokens": 5, "cost": 30, "claimed_cost": 49}, 49, id="a part was written off"),
        pytest.param({"output_tokens": 5, "cost": 48}, 49, id="a unit too little"),
        pytest.param({"output_tokens": 5, "cost": 0}, 49, id="given away"),
        pytest.param({"output_tokens": 0, "cost": 29, "outcome": "client_gone"}, 20, id="the fee of one who left"),
    ],
)
def test_each_record_is_measured_by_its_outcomes_rule(rich: Account, fields: dict[str, object], expected: int) -> None:
    record = write(rich, **fields)
    (row,) = [row for row in reprice(record.settled_at, None) if row.record.pk == record.pk]
    assert (row.expected, row.is_same) == (expected, record.claimed_cost == expected)


def test_command_names_what_differs(rich: Account, capsys: pytest.CaptureFixture[str]) -> None:
    record = write(rich, output_tokens=5, cost=48)
    with pytest.raises(CommandError, match="cost something else"):
        call_command("reprice", "--from", "2026-03-01", "--to", "2026-03-02")
    assert f"request {record.id.hex}: recorded 48, its usage costs 49 ledger units" in capsys.readouterr().err


def test_command_says_what_it_looked_at(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("reprice", "--from", "1999-01-01", "--to", "1999-01-02")
    assert capsys.readouterr().out == "repriced 0 requests, 0 ledger units: nothing changes\n"
