"""kill -9 of web processes under load: no money stays held, none is taken twice, and the books add up."""

from __future__ import annotations

import collections
import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests import upstream as up
from tests.callers import PATH, Caller, record_id
from tests.databases import PostgresDatabases, SqliteDatabases
from tests.gateway import Gateway
from tests.installation import COST, SINGLE, Offer
from tests.worlds import World

LANES = 12


class Load:
    """Requests without a pause on a dozen lanes, every other one streamed; remembers what was answered whole."""

    def __init__(self, caller: Caller, model: Offer) -> None:
        self.answered: list[str] = []
        self.broken = 0
        self._caller = caller
        self._model = model
        self._is_over = threading.Event()
        self._lanes = [threading.Thread(target=self._run, args=(lane,), daemon=True) for lane in range(LANES)]

    @contextmanager
    def running(self) -> Iterator[None]:
        for lane in self._lanes:
            lane.start()
        try:
            yield
        finally:
            self._is_over.set()
            for lane in self._lanes:
                lane.join()

    def _run(self, lane: int) -> None:
        for number in itertools.count(lane):
            if self._is_over.is_set():
                return
            try:
                self._ask(is_stream=number % 2 == 0)
            except httpx.TransportError:
                self.broken += 1
                time.sleep(0.05)

    def _ask(self, *, is_stream: bool) -> None:
        url = f"{self._caller.installation.gateway_url}{PATH}"
        body = self._caller.body(self._model, stream=is_stream)
        response = httpx.post(url, json=body, headers=self._caller.authorization, timeout=20)
        is_whole = not is_stream or response.text.rstrip().endswith("[DONE]")
        if response.status_code == 200 and is_whole:
            start = response.text.index("chatcmpl-")
            self.answered.append(response.text[start : start + 41])


@pytest.mark.parametrize(
    ("kills", "settings"),
    [
        pytest.param(2, {"HEARTBEAT_SECONDS": "0.5", "OWNER_DEAD_SECONDS": "3"}, id="two kills"),
        pytest.param(10, {}, id="ten kills", marks=pytest.mark.chaos),
    ],
)
def test_killed_processes_leave_no_money_held_and_no_request_billed_twice(
    start_world: Callable[..., World],
    migrated_postgres_url: Callable[[], str],
    kills: int,
    settings: dict[str, str],
) -> None:
    world = start_world(database_url=migrated_postgres_url(), workers=2, env=settings)
    caller, model = world.caller(funds="1000"), world.offer(SINGLE)
    world.upstream.on(model.upstream, _slow)
    load = Load(caller, model)

    with load.running():
        for number in range(5 * kills):  # a process that has no request at the moment takes none with it
            if number < kills or not load.broken:
                _kill_one(world, load)
    last_kill = time.monotonic()
    world.installation.assert_books(seconds=30)
    took = time.monotonic() - last_kill

    records = {record.id: record for record in caller.records}
    outcomes = collections.Counter(record.outcome for record in records.values())
    billed = {record_id(public_id) for public_id in load.answered} & {
        record.id for record in records.values() if record.cost == COST
    }
    assert took < 30
    assert len(load.answered) > 20 * kills
    assert load.broken >= 1
    assert outcomes["success"] > 20 * kills
    assert len(set(load.answered)) == len(load.answered)
    # What was in a killed process's hands is billed from its spool.
    assert len(billed) == len(load.answered)
    assert {record.cost for record in records.values() if record.outcome == "success"} == {COST}
    assert caller.available == 1000 * 10**9 - sum(record.cost for record in records.values())
    assert "verified" in world.gateway.manage("verify")
    assert caller.ask(model).status_code == 200


def _slow(request: up.Received) -> up.Reply:
    """Between nothing and 160 ms, so that a kill finds requests at every stage."""
    pause = random.random() * 0.16
    if request.json.get("stream"):
        return up.told(pause=pause / 8)
    return up.Reply((up.Pause(pause), *up.answer().steps))


def _kill_one(world: World, load: Load) -> None:
    """Kills the oldest worker and waits until another one has taken its place and the load has gone on for a while.

    Not one at random: granian takes the death of a worker within 5.5 s of its start for a crash loop, and exits.
    """
    time.sleep(1)
    victim = world.gateway.pids[0]
    world.gateway.kill(victim)
    deadline = time.monotonic() + 20
    while len(set(world.gateway.pids) - {victim}) < world.gateway.workers:
        assert time.monotonic() < deadline, "no worker took the place of the killed one"
        time.sleep(0.05)
    answered = len(load.answered)
    time.sleep(2)
    while len(load.answered) <= answered + 20:
        assert time.monotonic() < deadline + 20, "nothing is answered any more"
        time.sleep(0.05)


class Listener(threading.Thread):
    """Reads streams one after the other, and counts what it got of each."""

    def __init__(self, caller: Caller, model: Offer, is_over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.received: dict[str, int] = {}
        self.whole: set[str] = set()
        self._caller = caller
        self._model = model
        self._is_over = is_over

    def run(self) -> None:
        while not self._is_over.is_set():
            try:
                with self._caller.listening(self._model) as response:
                    for line in response.iter_lines():
                        self._read(line)
            except httpx.TransportError:
                time.sleep(0.05)

    def _read(self, line: str) -> None:
        if '"content":"x "' in line:
            start = line.index("chatcmpl-")
            self._last = line[start : start + 41]
            self.received[self._last] = self.received.get(self._last, 0) + 1
        elif "[DONE]" in line:
            self.whole.add(self._last)


CHUNKS = 300


@pytest.mark.parametrize(("kind", "workers"), [("postgres", 2), ("sqlite", 1)])
@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.chaos)])
def test_every_chunk_that_a_client_received_is_billed(
    start_world: Callable[..., World], request: pytest.FixtureRequest, kills: int, kind: str, workers: int
) -> None:
    """Twelve streams of 300 chunks in 3 s each, whose processes are killed in their midst."""
    databases: PostgresDatabases | SqliteDatabases = request.getfixturevalue(f"{kind}_databases")
    world = start_world(database_url=databases.migrated(), workers=workers)
    caller, model = world.caller(funds="1000"), world.offer(SINGLE)
    steps: list[up.Step] = [up.Pause(0.01), up.event(up.chunk({"content": "x "}))] * CHUNKS
    world.upstream.on(model.upstream, up.stream(*steps, up.event(up.FINISH), up.DONE))
    is_over = threading.Event()
    listeners = [Listener(caller, model, is_over) for _lane in range(LANES)]
    for listener in listeners:
        listener.start()

    for _kill in range(kills):
        time.sleep(6 if _kill else 1.5)  # in which streams begin
        world.gateway.kill(_first_worker(world.gateway))
    is_over.set()
    for listener in listeners:
        listener.join()
    world.installation.assert_books(seconds=30)

    received = {id_: count for listener in listeners for id_, count in listener.received.items()}
    whole = {id_ for listener in listeners for id_ in listener.whole}
    records = {record.id: record for record in caller.records}
    unbilled = {id_: count - records[record_id(id_)].output_tokens for id_, count in received.items()}
    assert max(unbilled.values()) == 0
    assert min(unbilled.values()) >= -LANES  # what was written down and not handed on any more
    assert len(whole) < len(received)
    assert all(record.cost >= record.output_tokens * 8_000 for record in records.values())


def _first_worker(gateway: Gateway) -> int:
    """One that lives, as soon as there is any: what dies often is started again after a pause that grows."""
    deadline = time.monotonic() + 60
    while not gateway.pids:
        assert time.monotonic() < deadline, "no process was started again"
        time.sleep(0.05)
    return gateway.pids[0]


@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_process_that_only_stood_still_is_paid_what_its_answers_say(
    start_world: Callable[..., World], migrated_postgres_url: Callable[[], str], is_stream: bool
) -> None:
    """Others take it for dead and close its requests; it goes on, answers, and the difference is booked."""
    world = start_world(
        database_url=migrated_postgres_url(), workers=2, env={"HEARTBEAT_SECONDS": "0.5", "OWNER_DEAD_SECONDS": "2"}
    )
    caller, model = world.caller(funds="1000"), world.offer(SINGLE)
    pause = up.Pause(2)
    world.upstream.on(
        model.upstream, up.told("one two", pause=1) if is_stream else up.Reply((pause, *up.answer().steps))
    )
    answers: list[httpx.Response] = []

    def ask() -> None:
        url = f"{caller.installation.gateway_url}{PATH}"
        members = {"stream": True, "stream_options": {"include_usage": True}} if is_stream else {}
        body = caller.body(model, **members)
        answers.append(httpx.post(url, json=body, headers=caller.authorization, timeout=60))

    asking = [threading.Thread(target=ask) for _number in range(16)]
    for each in asking:
        each.start()
    time.sleep(1.2)
    victim = world.gateway.pids[0]
    os.kill(victim, signal.SIGSTOP)
    time.sleep(9)
    os.kill(victim, signal.SIGCONT)
    for each in asking:
        each.join()
    world.installation.assert_books(seconds=30)

    outcomes = collections.Counter(record.outcome for record in caller.records)
    assert outcomes.keys() == {"success", "recovered"}
    assert {answer.status_code for answer in answers} == {200}
    ids = [answer.text[(start := answer.text.index("chatcmpl-")) : start + 41] for answer in answers]
    deadline = time.monotonic() + 3
    while caller.available != 1000 * 10**9 - COST * len(ids) and time.monotonic() < deadline:
        time.sleep(0.05)  # a settlement is some milliseconds behind its answer
    assert caller.available == 1000 * 10**9 - COST * len(ids)
    shown = {id_: caller.client.get("/v1/generation", params={"id": id_}).json()["data"] for id_ in ids}
    assert {id_: round(one["total_cost"] * 10**9) for id_, one in shown.items()} == dict.fromkeys(ids, COST)


def test_orderly_stop_lets_requests_finish(
    start_world: Callable[..., World], migrated_postgres_url: Callable[[], str]
) -> None:
    world = start_world(database_url=migrated_postgres_url())
    caller, model = world.caller(), world.offer(SINGLE)
    world.upstream.on(model.upstream, up.told("one two three four five six", pause=0.2))
    seen: list[bytes] = []

    def listen() -> None:
        with caller.listening(model) as response:
            seen.extend(response.iter_raw())

    listening = threading.Thread(target=listen)
    listening.start()
    world.upstream.wait_for(model.upstream)
    time.sleep(0.5)
    world.gateway.stop()
    listening.join()

    assert b"".join(seen).rstrip().endswith(b"data: [DONE]")
    world.installation.assert_books()
    assert [(record.outcome, record.cost) for record in caller.records] == [("success", COST)]
