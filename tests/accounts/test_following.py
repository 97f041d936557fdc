"""A key that did not change is not read again, and one that did is as soon as ever; on both databases."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from accounts.callers import Caller
from accounts.key_cache import FRESH_SECONDS, STALE_SECONDS, KeyCache
from accounts.key_changes import Position
from accounts.keys import IssuedKey
from accounts.models import ApiKey, KeyChange, Tenant
from billing import balances, legs, quotas
from billing.models import PricePlan, TenantPlan
from tests.accounts.using import OUT_WITHIN, Counting, begin, execute, find, issue, run, seconds_until, use, write


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    legs._wallet_ids.clear()
    yield
    legs._wallet_ids.clear()


def test_key_in_use_is_read_once(database: str) -> None:
    first, second, legs_of = issue(), issue(), Counting()

    async def story() -> None:
        cache = KeyCache(legs_of)
        await begin(cache, first)  # which is read while it begins to listen, and once more for that
        await use(cache, 3.5 * FRESH_SECONDS, first, second)

    run(story)
    assert legs_of.reads[first.api_key.pk] <= 2
    assert legs_of.reads[second.api_key.pk] == 1


def test_key_that_is_used_less_than_once_a_second_is_not_read_again(database: str) -> None:
    rare, legs_of = issue(), Counting()

    async def story() -> None:
        cache = KeyCache(legs_of)
        await begin(cache, rare)
        for _turn in range(2):
            assert await cache.find(rare.secret) is not None
            await asyncio.sleep(STALE_SECONDS + 0.1)
        assert cache.at_hand(rare.secret) is None  # nobody has asked what changed
        assert await cache.find(rare.secret) is not None
        assert cache.at_hand(rare.secret) is not None

    run(story)
    assert legs_of.reads[rare.api_key.pk] <= 2


def test_only_what_changed_is_read_again(database: str) -> None:
    changed, other, legs_of = issue(), issue(), Counting()

    async def story() -> None:
        cache = KeyCache(legs_of)
        await use(cache, 1.5, changed, other)
        before = legs_of.reads.copy()
        await asyncio.to_thread(write, lambda: ApiKey.objects.filter(pk=changed.api_key.pk).update(concurrency=3))
        await use(cache, 2.5, changed, other)
        assert legs_of.reads - before == Counter({changed.api_key.pk: 1})

    run(story)


CHANGES: dict[str, tuple[Callable[[IssuedKey], object], Callable[[Caller], bool]]] = {
    "revoked": (lambda issued: issued.api_key.revoke(), lambda caller: not caller.is_key_usable),
    "suspended": (
        lambda issued: Tenant.objects.filter(pk=issued.api_key.tenant_id).update(status="suspended"),
        lambda caller: not caller.is_tenant_active,
    ),
    "origins": (
        lambda issued: ApiKey.objects.filter(pk=issued.api_key.pk).update(allowed_origins=["https://a.example"]),
        lambda caller: bool(caller.allowed_origins),
    ),
    "limits": (
        lambda issued: Tenant.objects.filter(pk=issued.api_key.tenant_id).update(concurrency=1),
        lambda caller: bool(caller.limits),
    ),
    "wallet": (lambda issued: balances.open_wallet(issued.api_key.tenant), lambda caller: bool(caller.legs)),
    "quota": (
        lambda issued: (
            balances.open_wallet(issued.api_key.tenant),
            quotas.grant(issued.api_key.tenant, api_key=issued.api_key, amount=5, period="day"),
        ),
        lambda caller: bool(caller.spending_limits),
    ),
    "plan": (
        lambda issued: (
            balances.open_wallet(issued.api_key.tenant),
            TenantPlan.objects.create(
                tenant=issued.api_key.tenant, plan=PricePlan.objects.create(name=f"plan {issued.api_key.pk}")
            ),
        ),
        lambda caller: caller.price_plan > 0,
    ),
}
"""What is changed of a key, and how a caller shows that it holds."""


def test_every_change_holds_within_two_seconds_while_the_keys_are_in_use(database: str) -> None:
    """All of them at once; each key is followed by then."""

    async def story() -> dict[str, float]:
        issued = dict(zip(CHANGES, made, strict=True))
        cache = KeyCache(legs.legs_of_keys)
        await use(cache, 1.5, *issued.values())
        for name, (change, _holds) in CHANGES.items():
            await asyncio.to_thread(write, partial(change, issued[name]))
        changed_at, holds_after = time.monotonic(), dict[str, float]()
        while len(holds_after) < len(CHANGES) and time.monotonic() < changed_at + 2 * OUT_WITHIN:
            for name, (_change, holds) in CHANGES.items():
                caller = await find(cache, issued[name])
                if caller is not None and holds(caller):
                    holds_after.setdefault(name, time.monotonic() - changed_at)
            await asyncio.sleep(0.02)
        return holds_after

    made = [issue() for _change in CHANGES]
    holds_after = run(story)
    assert holds_after.keys() == CHANGES.keys()
    assert max(holds_after.values()) < OUT_WITHIN


def test_deleted_key_is_unknown_within_two_seconds(database: str) -> None:
    issued = issue()

    async def story() -> float:
        cache = KeyCache()
        await use(cache, 1.2, issued)
        await asyncio.to_thread(write, issued.api_key.delete)
        return await seconds_until(cache, issued, lambda caller: caller is None)

    assert run(story) < OUT_WITHIN


# --- what changed cannot be read -------------------------------------------------------------------------------------


def test_keys_are_read_every_second_where_changes_cannot_be_read_and_followed_again_where_they_can(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    issued, legs_of = issue(), Counting()
    table = KeyChange._meta.db_table

    async def story() -> None:
        cache = KeyCache(legs_of)
        await begin(cache, issued)
        await use(cache, 0.1, issued)
        await asyncio.to_thread(write, lambda: execute(f"ALTER TABLE {table} RENAME TO put_away"))
        try:
            before = legs_of.reads[issued.api_key.pk]
            await use(cache, 1.5, issued)
            assert 1 <= legs_of.reads[issued.api_key.pk] - before <= 2
        finally:
            await asyncio.to_thread(write, lambda: execute(f"ALTER TABLE put_away RENAME TO {table}"))
        await use(cache, 2.2 * FRESH_SECONDS, issued)
        before = legs_of.reads[issued.api_key.pk]
        await use(cache, 1.1 * FRESH_SECONDS, issued)
        assert legs_of.reads[issued.api_key.pk] == before

    run(story)
    assert len([record for record in caplog.records if "cannot be read" in record.message]) == 1


def test_process_that_slept_longer_than_changes_are_kept_reads_anew(database: str) -> None:
    issued = issue()

    async def story() -> None:
        cache = KeyCache()
        await use(cache, 1.2, issued)
        asleep = cache._callers.position
        assert asleep is not None
        cache._callers.position = Position(asleep.number, "the server before", asleep.seen)
        await asyncio.to_thread(write, lambda: _silently_revoke(issued))
        await asyncio.sleep(STALE_SECONDS)
        caller = await find(cache, issued)
        assert caller is not None
        assert not caller.is_key_usable

    run(story)


def _silently_revoke(issued: IssuedKey) -> None:
    """As if it had been told and cleared while the process slept."""
    ApiKey.objects.filter(pk=issued.api_key.pk).update(status="revoked")
    KeyChange.objects.filter(api_key_id=issued.api_key.pk).delete()
