"""Parallel requests against one wallet: whatever the timing, it is spent exactly and never past its end."""

from __future__ import annotations

import asyncio
import collections
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

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
