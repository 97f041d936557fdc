"""What a request draws on is found when it is held: its period is the one of that moment, its session begins then."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator

import pytest
from django.utils import timezone

from accounts import database
from accounts.models import ApiKey, Tenant
from billing import quotas
from billing.models import Balance, Quota
from tests.callers import decoded
from tests.routing.pipeline.conftest import Stage
from tests.routing.pipeline.test_second_endpoint import ANSWER, FUNDS, App
from tests.upstream import Upstream, plain

DOLLAR = 10**9
COST = 1560
"""Of one answer, in ledger units."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    started = Upstream().start()
    yield started
    started.stop()


@pytest.fixture
def app(upstream: Upstream, stage: Stage) -> App:  # the stage is left first, with its connections
    made = App(stage, upstream)
    upstream.on(made.upstream_name(1), plain(200, ANSWER))
    return made


def ending_period(quota: Quota, seconds: float) -> Balance:
    """The quota's present period, which ends so soon."""
    row = quotas.balance_of(quota, timezone.now())
    starts_at = timezone.now() - dt.timedelta(hours=3)
    Balance.objects.filter(pk=row.pk).update(
        starts_at=starts_at, ends_at=timezone.now() + dt.timedelta(seconds=seconds)
    )
    row.refresh_from_db()
    return row


def present(quota: Quota) -> Balance:
    return quotas.balance_of(quota, timezone.now())


def used(row: Balance) -> int:
    row.refresh_from_db()
    return row.credit_line - row.available


def test_body_that_arrives_in_the_next_period_draws_on_that_one(app: App) -> None:
    quota = quotas.grant(app.tenant, amount=DOLLAR, period="day")
    ended = ending_period(quota, 0.6)

    response = app.ask(arriving=asyncio.sleep(1))

    assert (response.status, used(ended), used(present(quota))) == (200, 0, COST)
    assert present(quota).pk in app.records[0].legs
    assert ended.pk not in app.records[0].legs


def test_full_period_that_has_ended_when_the_body_is_there_refuses_nothing(app: App) -> None:
    quota = quotas.grant(app.tenant, amount=DOLLAR, period="day")
    ended = ending_period(quota, 0.6)
    Balance.objects.filter(pk=ended.pk).update(available=0)

    assert app.ask(arriving=asyncio.sleep(1)).status == 200


def test_next_period_refuses_what_the_one_before_would_have_held(app: App) -> None:
    quota = quotas.grant(app.tenant, amount=DOLLAR, period="day")
    ended = ending_period(quota, 0.6)
    Quota.objects.filter(pk=quota.pk).update(amount=10)

    response = app.ask(arriving=asyncio.sleep(1))

    error = decoded(response.body)["error"]
    assert (response.status, error["code"]) == (429, "quota_exceeded")
    assert "may spend 0.00000001 USD per day" in error["message"]
    assert (app.records, app.available, used(ended), used(present(quota))) == ([], FUNDS, 0, 0)


def test_session_and_period_together_are_those_of_the_hold(app: App) -> None:
    quota = quotas.grant(app.tenant, amount=DOLLAR, period="day")
    per_session = quotas.grant(app.tenant, amount=DOLLAR, period="session")
    ending_period(quota, 0.6)

    response = app.ask(arriving=asyncio.sleep(1), metadata={"session_id": "run-1"})

    session = Balance.objects.get(quota=per_session)
    assert (response.status, used(present(quota)), used(session)) == (200, COST, COST)
    assert len(app.records[0].legs) == 3


def test_session_of_a_request_beyond_its_rate_limit_is_not_opened(app: App) -> None:
    quotas.grant(app.tenant, amount=DOLLAR, period="session")
    Tenant.objects.filter(pk=app.tenant.pk).update(requests_per_minute=1)
    assert app.ask().status == 200

    response = app.ask(metadata={"session_id": "run-1"})

    assert (response.status, decoded(response.body)["error"]["code"]) == (429, "rate_limit_exceeded")
    assert not app.tenant.balances.exclude(session="").exists()


def test_session_of_a_request_that_no_model_serves_is_not_opened(app: App) -> None:
    quotas.grant(app.tenant, amount=DOLLAR, period="session")

    assert app.ask(model="nobody-knows-it", metadata={"session_id": "run-1"}).status == 404
    assert not app.tenant.balances.exclude(session="").exists()


def test_key_that_is_gone_meanwhile_holds_nothing(app: App) -> None:
    quota = quotas.grant(app.tenant, amount=DOLLAR, period="day")
    ended = ending_period(quota, 0.6)

    async def goes() -> None:
        await asyncio.sleep(1)
        await database.read(ApiKey.objects.filter(tenant=app.tenant).delete)

    response = app.ask(arriving=goes())

    assert (response.status, app.records, app.available, used(ended)) == (401, [], FUNDS, 0)
