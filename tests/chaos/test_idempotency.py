"""kill -9 under requests that all carry one Idempotency-Key: one upstream call, one record, one bill at most."""

from __future__ import annotations

import collections
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from billing.models import Process, Reservation
from tests import upstream as up
from tests.callers import PATH, Caller, record_id
from tests.installation import COST, SINGLE, Offer
from tests.worlds import World

LANES = 16
SETTINGS = {"HEARTBEAT_SECONDS": "0.5", "OWNER_DEAD_SECONDS": "3"}
SIZES = [pytest.param(120, id="120 requests"), pytest.param(1000, id="1000 requests", marks=pytest.mark.chaos)]


def _client(caller: Caller) -> httpx.Client:
    """Every request on a connection of its own, so that all processes get some."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=caller.installation.gateway_url, limits=limits, timeout=30)


class Repetitions:
    """One request, sent again and again on many lanes, each time on a connection of its own."""

    def __init__(self, caller: Caller, model: Offer, count: int) -> None:
        self.answers: list[httpx.Response] = []
        self.broken = 0
        self._client = _client(caller)
        self._body = caller.body(model)
        self._headers = {**caller.authorization, "idempotency-key": secrets.token_hex(16)}
        self._numbers = iter(range(count))
        self._pause = threading.Event()
        self._lanes = [threading.Thread(target=self._run, daemon=True) for _lane in range(LANES)]

    @contextmanager
    def running(self) -> Iterator[None]:
        for lane in self._lanes:
            lane.start()
        yield
        for lane in self._lanes:
            lane.join()

    def close(self) -> None:
        self._client.close()

    def ask(self) -> httpx.Response:
        return self._client.post(PATH, json=self._body, headers=self._headers)

    def wait_for(self, count: int) -> None:
        """Until so many have come back."""
        deadline = time.monotonic() + 30
        while len(self.answers) + self.broken < count:
            assert time.monotonic() < deadline, f"{len(self.answers)} answers"
            time.sleep(0.01)

    def _run(self) -> None:
        for _number in self._numbers:
            try:
                self.answers.append(self.ask())
            except httpx.TransportError:
                self.broken += 1


def _holder(world: World, caller: Caller) -> int:
    """The worker that holds money for the caller's one request."""
    with world.installation.database():
        (reservation,) = Reservation.objects.filter(tenant=caller.holder.tenant)
        return Process.objects.get(pk=reservation.owner).pid


def _grow_old() -> None:
    """Granian takes the death of a worker within 5.5 s of its start for a crash loop, and exits."""
    time.sleep(6)


def _codes(answers: list[httpx.Response]) -> collections.Counter[str]:
    return collections.Counter(
        answer.json()["error"]["code"] if answer.status_code != 200 else "answered" for answer in answers
    )


def _staged(
    start_world: Callable[..., World], database_url: str, count: int
) -> tuple[World, Caller, Offer, threading.Event, Repetitions]:
    """Four workers that are no longer young, and an upstream that answers when the gate is opened."""
    world = start_world(database_url=database_url, workers=4, env=SETTINGS)
    caller, model, gate = world.caller(), world.offer(SINGLE), threading.Event()
    world.upstream.on(model.upstream, up.Reply((up.Until(gate), *up.answer().steps)))
    _grow_old()
    return world, caller, model, gate, Repetitions(caller, model, count)


@pytest.mark.parametrize("count", SIZES)
def test_process_that_dies_with_the_request_leaves_a_key_that_names_it(
    start_world: Callable[..., World], migrated_postgres_url: Callable[[], str], count: int
) -> None:
    world, caller, model, gate, repeated = _staged(start_world, migrated_postgres_url(), count)

    with repeated.running():
        world.upstream.wait_for(model.upstream)
        repeated.wait_for(count // 4)
        world.gateway.kill(_holder(world, caller))
        gate.set()
    world.installation.assert_books(seconds=30)
    afterwards = [repeated.ask() for _count in range(12)]

    record = caller.only_record()
    assert record.outcome == "recovered"
    assert repeated.broken >= 1
    assert set(_codes(repeated.answers)) <= {"idempotency_key_in_use", "idempotency_key_used"}
    assert {answer.headers["x-costrouter-first-request"] for answer in afterwards} == {f"chatcmpl-{record.id.hex}"}
    assert len(world.upstream.received(model.upstream)) == 1
    assert caller.available == 10 * 10**9 - record.cost
    assert "verified" in world.gateway.manage("verify")
    repeated.close()


@pytest.mark.parametrize("count", SIZES)
def test_process_that_dies_beside_the_request_changes_nothing(
    start_world: Callable[..., World], migrated_postgres_url: Callable[[], str], count: int
) -> None:
    world, caller, model, gate, repeated = _staged(start_world, migrated_postgres_url(), count)

    with repeated.running():
        world.upstream.wait_for(model.upstream)
        repeated.wait_for(count // 4)
        holder = _holder(world, caller)
        world.gateway.kill(next(pid for pid in world.gateway.pids if pid != holder))
        repeated.wait_for(count // 2)
        gate.set()
    world.installation.assert_books(seconds=30)

    record = caller.only_record()
    whole = [answer for answer in repeated.answers if answer.status_code == 200]
    assert (record.outcome, record.cost) == ("success", COST)
    assert {record_id(answer.json()["id"]) for answer in whole} == {record.id}
    assert set(_codes(repeated.answers)) <= {"answered", "idempotency_key_in_use", "idempotency_key_used"}
    assert len(world.upstream.received(model.upstream)) == 1
    assert caller.available == 10 * 10**9 - COST
    assert "verified" in world.gateway.manage("verify")
    repeated.close()


@pytest.mark.parametrize(
    "kills", [pytest.param(1, id="one kill"), pytest.param(4, id="four kills", marks=pytest.mark.chaos)]
)
def test_kills_at_any_moment_leave_one_record_for_each_key(
    start_world: Callable[..., World], migrated_postgres_url: Callable[[], str], kills: int
) -> None:
    """Many keys, each sent from several lanes until it is settled; the kills find them at every stage."""
    world = start_world(database_url=migrated_postgres_url(), workers=4, env=SETTINGS)
    caller, model = world.caller(funds="1000"), world.offer(SINGLE)
    world.upstream.on(model.upstream, up.Reply((up.Pause(0.05), *up.answer().steps)))
    client, is_over, numbers = _client(caller), threading.Event(), itertools.count()
    seen: dict[str, set[str]] = collections.defaultdict(set)

    def run() -> None:
        while not is_over.is_set():
            key = f"key {next(numbers) // 4}"
            headers = {**caller.authorization, "idempotency-key": key}
            try:
                answer = client.post(PATH, json=caller.body(model), headers=headers)
            except httpx.TransportError:
                continue
            if answer.status_code == 200:
                seen[key].add(answer.json()["id"])

    lanes = [threading.Thread(target=run, daemon=True) for _lane in range(LANES)]
    for lane in lanes:
        lane.start()
    for _kill in range(kills):
        _grow_old()
        world.gateway.kill(world.gateway.pids[0])
    time.sleep(1)
    is_over.set()
    for lane in lanes:
        lane.join()
    world.installation.assert_books(seconds=30)

    records = caller.records
    client.close()
    assert len(seen) > 10
    assert {len(ids) for ids in seen.values()} == {1}
    assert len(records) <= next(numbers) // 4 + 1
    assert len(world.upstream.received(model.upstream)) <= len(records)
    assert caller.available == 1000 * 10**9 - sum(record.cost for record in records)
    assert "verified" in world.gateway.manage("verify")
