"""Quotas as an app meets them: refused with their name, counted, and told to the key."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from billing import quotas
from billing.models import Balance, Quota
from tests import upstream as up
from tests.callers import Caller, decoded
from tests.envelopes import assert_error, assert_final
from tests.installation import COST, SINGLE, Offer
from tests.worlds import World

DOLLAR = 10**9


def grant(caller: Caller, **fields: Any) -> Quota:
    """A quota of the caller's that the gateway knows."""
    with caller.installation.database():
        quota = quotas.grant(caller.holder.tenant, **fields)
    until(lambda: quota.name in [each["name"] for each in key_of(caller)["quotas"]])
    return quota


def until(happens: Callable[[], bool]) -> None:
    """Within two seconds, as everything that is changed."""
    deadline = time.monotonic() + 2.2
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def used(caller: Caller, quota: Quota) -> int:
    with caller.installation.database():
        row = Balance.objects.get(quota=quota)
        return row.credit_line - row.available


def key_of(caller: Caller) -> Any:
    return decoded(caller.client.get("/v1/key").content)["data"]


@pytest.fixture
def caller(each_world: World) -> Caller:
    return each_world.caller(funds="10")


@pytest.fixture
def model(each_world: World) -> Offer:
    return each_world.offer(SINGLE)


def test_spent_quota_refuses_with_its_name(caller: Caller, model: Offer) -> None:
    quota = grant(caller, amount=COST + 10, period="month", api_key=caller.holder.api_key)
    assert caller.ask(model, max_tokens=1).status_code == 429  # its prompt alone could cost more

    with caller.nothing_changes():
        refused = caller.ask(model, max_tokens=100)

    assert_error(refused, 429, "insufficient_quota", "quota_exceeded")
    assert_final(refused)
    message = refused.json()["error"]["message"]
    assert "this key may spend 0.00006401 USD per month" in message
    assert "0 USD are spent" in message
    assert "The next period begins at 20" in message
    assert used(caller, quota) == 0


def test_quota_counts_what_was_used_and_is_told_to_the_key(caller: Caller, model: Offer) -> None:
    grant(caller, amount=2 * DOLLAR, period="total")
    soft = grant(caller, amount=DOLLAR // 2, period="day", api_key=caller.holder.api_key, is_hard=False)
    assert caller.ask(model).status_code == 200
    caller.wait_until_settled()

    seen = key_of(caller)

    assert used(caller, soft) == COST
    assert (seen["limit_remaining"], seen["limited_by"]) == (Decimal(2 * DOLLAR - COST) / DOLLAR, "tenant_total")
    assert seen["limit"] == Decimal("0.5")
    first, second = seen["quotas"]
    assert (first["name"], first["is_hard"], first["resets_at"]) == ("tenant_total", True, None)
    assert (first["limit"], first["used"]) == (2, Decimal(COST) / DOLLAR)
    assert (second["name"], second["is_hard"], second["limit"]) == ("key_day", False, Decimal("0.5"))
    assert second["resets_at"].endswith("00:00:00Z")


def test_key_without_quotas_has_none(caller: Caller) -> None:
    assert (key_of(caller)["quotas"], key_of(caller)["limit"]) == ([], None)


def test_quota_holds_within_two_seconds_and_not_for_others(each_world: World, caller: Caller, model: Offer) -> None:
    other = each_world.caller()
    assert caller.ask(model).status_code == other.ask(model).status_code == 200
    quota = grant(caller, amount=0, period="day")

    assert caller.ask(model).status_code == 429
    assert other.ask(model).status_code == 200
    with caller.installation.database():
        quotas.end(quota)
    until(lambda: caller.ask(model).status_code == 200)


def test_requests_at_once_pass_no_quota(caller: Caller, model: Offer) -> None:
    """The bound of each is what it holds, and ten of them fit at once."""
    caller.upstream.on(model.upstream, up.Reply((up.Pause(0.05), *up.answer().steps)))
    assert caller.ask(model, max_tokens=5).status_code == 200
    held = caller.only_record().held
    quota = grant(caller, amount=10 * held, period="day")

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _number: caller.ask(model, max_tokens=5), range(200)))

    caller.wait_until_settled()
    served = [answer for answer in answers if answer.status_code == 200]
    refusals = {answer.json()["error"]["code"] for answer in answers if answer.status_code != 200}
    assert used(caller, quota) == COST * len(served) <= 10 * held
    assert len(served) >= 10
    assert refusals <= {"quota_exceeded", "funds_in_flight"}


# --- sessions --------------------------------------------------------------------------------------------------------


@pytest.fixture
def per_session(caller: Caller) -> Quota:
    return grant(caller, amount=COST * 20, period="session", api_key=caller.holder.api_key)


def sessions(caller: Caller, quota: Quota) -> list[int]:
    """What each session has used."""
    with caller.installation.database():
        return [row.credit_line - row.available for row in Balance.objects.filter(quota=quota).order_by("pk")]


@pytest.mark.parametrize("how", ["header", "metadata"])
def test_session_has_the_quota_for_itself(caller: Caller, model: Offer, per_session: Quota, how: str) -> None:
    def ask(name: str) -> Any:
        if how == "header":
            return caller.ask(model, max_tokens=5, headers={"x-costrouter-session": name})
        return caller.ask(model, max_tokens=5, metadata={"session_id": name})

    answers = [ask("first run") for _turn in range(21)]
    refused = answers[-1]
    assert answers[0].status_code == 200
    assert_error(refused, 429, "insufficient_quota", "quota_exceeded")
    assert "per session" in refused.json()["error"]["message"]
    assert ask("another run").status_code == 200
    caller.wait_until_settled()
    served = sum(answer.status_code == 200 for answer in answers)
    assert sessions(caller, per_session) == [COST * served, COST]


def test_request_without_a_session_draws_on_none(caller: Caller, model: Offer, per_session: Quota) -> None:
    assert caller.ask(model, max_tokens=5).status_code == 200
    assert caller.ask(model, max_tokens=5, metadata={"other": "x"}).status_code == 200
    assert sessions(caller, per_session) == []
    (shown,) = (each for each in key_of(caller)["quotas"] if each["name"] == "key_session")
    assert (shown["used"], shown["resets_at"]) == (0, None)


def test_parallel_requests_of_one_session_do_not_pass_it(caller: Caller, model: Offer) -> None:
    quota = grant(caller, amount=COST * 30, period="session")
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda _: caller.ask(model, max_tokens=5, headers={"x-costrouter-session": "one"}), range(100))
        )
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    caller.wait_until_settled()
    assert len(sessions(caller, quota)) == 1
    assert 0 < sessions(caller, quota)[0] <= COST * 30
