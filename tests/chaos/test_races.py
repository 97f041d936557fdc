"""Parallel requests against one wallet: whatever the timing, it is spent exactly and never past its end."""

from __future__ import annotations

import asyncio
import collections
import datetime as dt
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx
import psycopg
import pytest
from django.utils import timezone

from accounts import keys
from accounts.key_cache import UNKNOWN_SECONDS
from accounts.models import ApiKey, Tenant
from billing import quotas
from billing.models import Balance
from tests import upstream as up
from tests.callers import PATH, Caller
from tests.installation import DOLLAR, Offer, Shape, Tariff
from tests.worlds import World, redis_database

FLAT = Shape(price=Tariff(input=0, output=0, cached_input=None, request_fee=DOLLAR // 20))
"""Five cents a request, whatever it says: the hold is the cost."""


def ask_at_once(
    caller: Caller, model: Offer, count: int, *, is_stream: bool = False, **members: Any
) -> list[httpx.Response]:
    """So many requests at the same time, each on a connection of its own."""

    async def ask_all() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=count, max_keepalive_connections=0)
        async with httpx.AsyncClient(
            base_url=caller.installation.gateway_url, headers=caller.authorization, limits=limits, timeout=60
        ) as client:
            body = caller.body(model, stream=is_stream, **members)
            return await asyncio.gather(*(client.post(PATH, json=body) for _count in range(count)))

    return asyncio.run(ask_all())


@pytest.mark.parametrize(
    ("database", "processes", "is_stream"),
    [
        pytest.param("migrated_postgres_url", 4, False, id="postgresql with 4 processes"),
        pytest.param("migrated_postgres_url", 4, True, id="postgresql with 4 processes, streams"),
        pytest.param("pooled_postgres_url", 4, False, id="postgresql behind pgbouncer with 4 processes"),
        pytest.param("migrated_sqlite_url", 1, False, id="sqlite with 1 process"),
    ],
)
def test_wallet_that_covers_twenty_answers_twenty_of_two_hundred(
    request: pytest.FixtureRequest,
    start_world: Callable[..., World],
    database: str,
    processes: int,
    is_stream: bool,
) -> None:
    world = start_world(database_url=request.getfixturevalue(database)(), workers=processes)
    caller, model = world.caller(funds="1.00"), world.offer(FLAT)
    gate = threading.Event()
    reply = up.told() if is_stream else up.answer()
    world.upstream.on(model.upstream, up.Reply((up.Until(gate), *reply.steps)))

    before = _ticks(world)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask_at_once, caller, model, 200, is_stream=is_stream)
        world.upstream.wait_for(model.upstream, 20, seconds=20)
        gate.set()
        answers = asking.result()

    assert collections.Counter(answer.status_code for answer in answers) == {200: 20, 429: 180}
    refused = [answer.json()["error"]["code"] for answer in answers if answer.status_code == 429]
    assert set(refused) <= {"funds_in_flight", "insufficient_quota"}
    world.installation.assert_books()
    assert caller.available == 0
    assert len(caller.records) == 20
    assert len(world.upstream.received(model.upstream)) == 20
    assert "verified" in world.gateway.manage("verify")
    busy = [now - then for then, now in zip(before, _ticks(world), strict=True)]
    assert sum(ticks > 1 for ticks in busy) >= min(processes, 2), f"not spread over the processes: {busy}"


def test_one_client_that_asks_one_by_one_is_never_refused_over_its_own_settlements(
    start_world: Callable[..., World], migrated_postgres_url: Callable[[], str]
) -> None:
    """A wallet of 1.9 holds, each request at another process than the one before, whose settlement is still queued."""
    world = start_world(database_url=migrated_postgres_url(), workers=4)
    caller, model = world.caller(funds="0.0625"), world.offer(Shape())

    answers = [ask_at_once(caller, model, 1, max_tokens=4_000)[0] for _count in range(60)]

    assert collections.Counter(answer.status_code for answer in answers) == {200: 60}
    world.installation.assert_books()


def test_requests_per_minute_hold_over_all_processes(
    start_world: Callable[..., World], migrated_postgres_url: Callable[[], str], redis_url: str
) -> None:
    world = start_world(database_url=migrated_postgres_url(), workers=4, redis_url=redis_database(2))
    caller, model = world.caller(requests_per_minute=20), world.offer(Shape())

    answers = ask_at_once(caller, model, 100)

    assert collections.Counter(answer.status_code for answer in answers)[200] in {20, 21}
    world.installation.assert_books()


def _ticks(world: World) -> list[int]:
    """Processor time of each worker so far, in hundredths of a second."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in world.gateway.pids]
    return [int(fields[11]) + int(fields[12]) for fields in stats]


# --- what changes while requests are admitted ------------------------------------------------------------------------


class Stir:
    """Does something to the database again and again while a block runs, in a thread with a connection of its own."""

    def __init__(self, world: World, deed: Callable[[int], object]) -> None:
        self.turns = 0
        self._world, self._deed = world, deed
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        with self._world.installation.database_of_this_thread():
            while not self._is_over.is_set():
                self._deed(self.turns)
                self.turns += 1
                time.sleep(0.01)


@pytest.fixture
def busy(start_world: Callable[..., World], migrated_postgres_url: Callable[[], str]) -> World:
    return start_world(database_url=migrated_postgres_url(), workers=2)


def test_saving_a_profile_while_requests_are_admitted_moves_no_money(busy: World) -> None:
    caller, model = busy.caller(funds="5.00"), busy.offer(FLAT)
    tenant, api_key = caller.holder.tenant, caller.holder.api_key

    def save(turn: int) -> None:
        tenant.name = f"renamed {turn}"
        tenant.save()
        api_key.name = f"renamed {turn}"
        api_key.save()

    with Stir(busy, save) as stir:
        answers = [*ask_at_once(caller, model, 60), *ask_at_once(caller, model, 60)]

    statuses = collections.Counter(answer.status_code for answer in answers)
    assert stir.turns > 10
    assert (statuses[200], caller.available) == (100, 0)
    busy.installation.assert_books()


def test_quota_that_is_edited_while_requests_are_admitted_is_never_passed(busy: World) -> None:
    caller, model = busy.caller(funds="100"), busy.offer(FLAT)
    with busy.installation.database():
        quota = quotas.grant(caller.holder.tenant, amount=DOLLAR, period="month")
    time.sleep(2)

    def edit(turn: int) -> None:
        quotas.change(quota, amount=(DOLLAR, DOLLAR // 2)[turn % 2], is_hard=True)

    with Stir(busy, edit) as stir:
        answers = [answer for _turn in range(3) for answer in ask_at_once(caller, model, 60)]

    with busy.installation.database():
        row = Balance.objects.get(quota=quota)
    served = sum(answer.status_code == 200 for answer in answers)
    assert stir.turns > 10
    assert 10 <= served <= 20  # half a dollar and a dollar, at five cents
    assert row.credit_line - row.available == served * DOLLAR // 20
    busy.installation.assert_books()


def test_period_that_ends_under_load_counts_each_request_in_the_one_in_which_it_was_held(busy: World) -> None:
    caller, model = busy.caller(funds="100"), busy.offer(FLAT)
    with busy.installation.database():
        quota = quotas.grant(caller.holder.tenant, amount=50 * DOLLAR, period="day")
        first = quotas.balance_of(quota, timezone.now())
        ends_at = timezone.now() + dt.timedelta(seconds=4)
        Balance.objects.filter(pk=first.pk).update(ends_at=ends_at, starts_at=ends_at - dt.timedelta(days=1))
    time.sleep(2.2)

    answers = []
    while timezone.now() < ends_at + dt.timedelta(seconds=1):
        answers += ask_at_once(caller, model, 20)

    with busy.installation.database():
        rows = list(Balance.objects.filter(quota=quota).order_by("starts_at"))
    assert {answer.status_code for answer in answers} == {200}
    assert len(rows) == 2
    for row in rows:
        own = [record for record in caller.records if row.pk in record.legs]
        assert len(own) > 0
        assert row.credit_line - row.available == sum(record.cost for record in own)
    assert all(len(record.legs) == 2 for record in caller.records)
    busy.installation.assert_books()


def test_revoked_key_is_out_within_two_seconds_and_what_it_was_answered_is_billed(busy: World) -> None:
    caller, model = busy.caller(funds="100"), busy.offer(FLAT)
    answers = ask_at_once(caller, model, 20)
    with busy.installation.database():
        caller.holder.api_key.revoke()
    revoked = time.monotonic()
    while time.monotonic() < revoked + 2:
        answers += ask_at_once(caller, model, 10)
    after = ask_at_once(caller, model, 20)

    assert {answer.status_code for answer in answers} == {200, 401}
    assert {answer.status_code for answer in after} == {401}
    busy.installation.assert_books()
    assert len(caller.records) == sum(answer.status_code == 200 for answer in answers)


def test_revocations_that_commit_late_hold_in_four_processes_for_keys_that_are_rarely_used(
    start_world: Callable[..., World], migrated_postgres_url: Callable[[], str]
) -> None:
    """Each process has read the keys, hears of other changes meanwhile, and has no other reason to read them again."""
    world = start_world(database_url=migrated_postgres_url(), workers=4)
    model, callers = world.offer(FLAT), [world.caller(funds="10") for _caller in range(4)]
    revoked, kept, stirred = callers[:2], callers[2], callers[3]
    assert [_statuses(caller, model, caller.secret) for caller in callers] == [{200}] * 4
    with psycopg.connect(world.gateway.database_url) as late:
        ids = [caller.holder.api_key.pk for caller in revoked]
        late.execute("UPDATE accounts_apikey SET status = 'revoked' WHERE id = ANY(%s)", [ids])
        for concurrency in (100, 200):
            time.sleep(1.1)
            with world.installation.database():
                Tenant.objects.filter(pk=stirred.holder.tenant.pk).update(concurrency=concurrency)
            assert _statuses(stirred, model, stirred.secret) == {200}
        late.commit()
    time.sleep(2)

    assert [_statuses(caller, model, caller.secret) for caller in revoked] == [{401}] * 2
    assert _statuses(kept, model, kept.secret) == {200}
    world.installation.assert_books()


def test_p14_key_is_replaced_in_all_processes_and_none_refuses_the_one_that_holds(busy: World) -> None:
    """A rotation is a second key beside the first, which goes when the apps have the new one."""
    caller, model = busy.caller(funds="100"), busy.offer(FLAT)
    old, secret = caller.holder.api_key, keys.generate()
    assert _statuses(caller, model, secret) == {401}  # every process has seen that it is nobody's
    with busy.installation.database():
        new = keys.issue(tenant=old.tenant, name="the next").api_key
        ApiKey.objects.filter(pk=new.pk).update(digest=keys.digest(secret))

    time.sleep(UNKNOWN_SECONDS)  # so long is a key nobody's that was asked for before it was made
    assert _statuses(caller, model, secret) == {200}
    assert _statuses(caller, model, caller.secret) == {200}
    with busy.installation.database():
        old.revoke()
    time.sleep(2)

    assert _statuses(caller, model, caller.secret) == {401}
    assert _statuses(caller, model, secret) == {200}
    busy.installation.assert_books()


def _statuses(caller: Caller, model: Offer, secret: str) -> set[int]:
    """Of twenty requests with this key, each on a connection of its own, so that every process gets some."""
    ask = partial(caller.ask, model, headers={"authorization": f"Bearer {secret}", "connection": "close"})
    return {ask().status_code for _turn in range(20)}


@pytest.mark.chaos
def test_a_thousand_requests_over_eight_processes_get_what_a_wallet_for_a_hundred_pays(
    start_world: Callable[..., World], migrated_postgres_url: Callable[[], str]
) -> None:
    world = start_world(database_url=migrated_postgres_url(), workers=8)
    caller, model = world.caller(funds="5.00"), world.offer(FLAT)

    answers = ask_at_once(caller, model, 1000)

    assert collections.Counter(answer.status_code for answer in answers) == {200: 100, 429: 900}
    assert caller.available == 0
    assert len(world.upstream.received(model.upstream)) == 100
    world.installation.assert_books()
    assert "verified" in world.gateway.manage("verify")
