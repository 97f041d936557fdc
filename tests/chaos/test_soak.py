"""Everything fails, again and again, for as long as SOAK_SECONDS says: the books stay exact.

Three processes, killed one after the other as soon as the last one is back, and one that stands still; a PostgreSQL
whose connections all break, a Redis that comes and goes, clients that leave. `make soak` runs it for half an hour.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import psycopg
import pytest

from billing import corrections
from billing.models import UsageRecord
from billing.money import to_decimal
from tests import databases, servers
from tests import upstream as up
from tests.callers import PATH, Caller, record_id
from tests.databases import PostgresDatabases
from tests.gateway import Gateway
from tests.installation import SINGLE, Offer
from tests.wires import Wire
from tests.worlds import World, redis_database

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
CLIENTS = 30
SLOTS = 3
STILL_SECONDS = 26.0
"""How long a process stands still in a long run; in a short one, for half of it."""
OUTAGE_EVERY, REDIS_EVERY = 10.0, 7.0
PIECES = 40


class Fleet:
    """Three gateways of one process over one database and one folder of spools; what is killed comes back."""

    def __init__(self, database_url: str, redis_url: str, var: Path) -> None:
        self._database_url, self._redis_url, self._var = database_url, redis_url, var
        self._numbers = itertools.count()
        self._slots: list[Gateway | None] = [None] * SLOTS
        self._is_over = threading.Event()
        self.kills = 0
        for slot in range(SLOTS):
            self._start(slot)

    def urls(self) -> list[str]:
        return [gateway.url for gateway in self._slots if gateway is not None]

    def living(self) -> list[int]:
        return [slot for slot, gateway in enumerate(self._slots) if gateway is not None]

    def kill(self, slot: int) -> None:
        """The process and its master, at once, as when the power of a machine fails; another takes its place."""
        gateway = self._slots[slot]
        if gateway is None:
            return
        self._slots[slot] = None
        self.kills += 1
        for pid in (*gateway.pids, gateway._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        threading.Thread(target=self._replace, args=(slot, gateway), daemon=True).start()

    def stand_still(self, slot: int, seconds: float) -> None:
        gateway = self._slots[slot]
        assert gateway is not None
        pids = gateway.pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        self._is_over.set()
        deadline = time.monotonic() + 60
        while len(self.living()) < SLOTS and time.monotonic() < deadline:
            time.sleep(0.1)
        for gateway in self._slots:
            if gateway is not None:
                gateway.stop()

    def _replace(self, slot: int, dead: Gateway) -> None:
        dead.stop()
        self._start(slot)

    def _start(self, slot: int) -> None:
        for attempt in itertools.count():
            var = self._var / f"process-{next(self._numbers)}"
            var.mkdir(parents=True)
            try:
                self._slots[slot] = Gateway(
                    database_url=self._database_url, redis_url=self._redis_url, var=var,
                    env={"SPOOL_DIR": str(self._var / "spools"), "RETRY_BUDGET": "1"},
                )  # fmt: skip
                return
            except AssertionError:  # the database was away just then
                if attempt >= 10:
                    raise


class Client(threading.Thread):
    """Asks without a pause, whole answers and streams in turn, now and then leaving in the midst of one."""

    def __init__(self, fleet: Fleet, caller: Caller, model: Offer, is_over: threading.Event, seed: int) -> None:
        super().__init__(daemon=True)
        self.received: dict[str, int] = {}
        """Pieces of each stream."""
        self.shown: dict[str, Decimal] = {}
        """What whole answers said they cost."""
        self.statuses: collections.Counter[int] = collections.Counter()
        self.broken = 0
        self._fleet, self._caller, self._model, self._is_over = fleet, caller, model, is_over
        self._draw = random.Random(seed)

    def run(self) -> None:
        for number in itertools.count():
            urls = self._fleet.urls()
            if self._is_over.is_set():
                return
            try:
                if urls:
                    self._ask(self._draw.choice(urls), is_stream=number % 2 == 0)
            except httpx.HTTPError:
                self.broken += 1
            time.sleep(0.02)

    def _ask(self, url: str, *, is_stream: bool) -> None:
        body = self._caller.body(self._model, stream=is_stream)
        leaves_after = self._draw.randrange(1, PIECES) if self._draw.random() < 0.1 else PIECES * 2
        with httpx.stream("POST", url + PATH, json=body, headers=self._caller.authorization, timeout=60) as answer:
            self.statuses[answer.status_code] += 1
            if answer.status_code != 200:
                answer.read()
            elif is_stream:
                self._listen(answer, leaves_after)
            else:
                whole = json.loads(answer.read(), parse_float=Decimal)
                self.shown[whole["id"]] = Decimal(whole["usage"]["cost"])

    def _listen(self, answer: httpx.Response, leaves_after: int) -> None:
        for line in answer.iter_lines():
            if '"content":"x "' in line:
                start = line.index("chatcmpl-")
                id_ = line[start : start + 41]
                self.received[id_] = self.received.get(id_, 0) + 1
                if self.received[id_] >= leaves_after:
                    return


@contextlib.contextmanager
def every(seconds: float, deed: Callable[[], object], is_over: threading.Event) -> Iterator[None]:
    def repeat() -> None:
        while not is_over.wait(seconds):
            deed()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    yield
    thread.join()


def break_connections(url: str) -> None:
    """A backend dies by signal 9: PostgreSQL ends all the others and recovers, as after a crash."""
    with contextlib.suppress(psycopg.Error), psycopg.connect(url, connect_timeout=5) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)


def blink(wire: Wire) -> None:
    wire.cut()
    time.sleep(1)
    wire.mend()


@pytest.fixture
def lasting_postgres() -> Iterator[servers.Server]:
    """A PostgreSQL that a test may break: what it has committed outlives its processes."""
    if "PostgreSQL" in servers.missing:
        pytest.skip(servers.missing["PostgreSQL"])
    server = servers.start_postgres("synchronous_commit=on")
    yield server
    server.process.stop()


def test_books_stay_exact_while_everything_fails(
    start_world: Callable[..., World], lasting_postgres: servers.Server, tmp_path: Path
) -> None:
    database_url = PostgresDatabases(lasting_postgres.url).migrated()
    world = start_world(database_url=database_url)
    caller, model = world.caller(funds="100000"), world.offer(SINGLE)
    world.gateway.stop()
    world.upstream.on(model.upstream, _reply)
    wire = Wire(redis_database(9))
    fleet = Fleet(database_url, wire.url, tmp_path)
    is_over = threading.Event()
    clients = [Client(fleet, caller, model, is_over, seed) for seed in range(CLIENTS)]
    for client in clients:
        client.start()

    ends_at = time.monotonic() + SECONDS
    with (
        every(OUTAGE_EVERY, lambda: break_connections(lasting_postgres.url), is_over),
        every(REDIS_EVERY, lambda: blink(wire), is_over),
    ):
        still = threading.Thread(target=fleet.stand_still, args=(0, min(STILL_SECONDS, SECONDS / 2)))
        still.start()
        victims = itertools.cycle(range(1, SLOTS))
        while time.monotonic() < ends_at:
            time.sleep(0.5)
            if len(fleet.living()) == SLOTS:
                fleet.kill(next(victims) if still.is_alive() else random.randrange(SLOTS))
        still.join()
        is_over.set()
    for client in clients:
        client.join()
    world.installation.close()
    world.installation.assert_books(seconds=45)
    fleet.stop()

    told = sum((client.statuses for client in clients), collections.Counter())
    print(f"{SECONDS:g} s: {fleet.kills} kills, {dict(told)}, {sum(client.broken for client in clients)} broken")  # noqa: T201
    assert set(told) <= {200, 429, 503, 504}  # 504 of one that stood still for longer than its upstream may take
    assert fleet.kills >= SECONDS / 15
    _assert_billed(caller, clients)
    assert "verified" in databases.manage("verify", database_url=database_url)


def _assert_billed(caller: Caller, clients: list[Client]) -> None:
    with caller.installation.database():
        records = {record.id: record for record in UsageRecord.objects.filter(tenant=caller.holder.tenant)}
        late = {pk: corrections.of(record) for pk, record in records.items() if record.outcome != "success"}
    received = {id_: count for client in clients for id_, count in client.received.items()}
    shown = {id_: cost for client in clients for id_, cost in client.shown.items()}
    assert len(received) > SECONDS
    assert len(shown) > SECONDS

    wrong = {
        id_: (cost, records[record_id(id_)].cost, late.get(record_id(id_)))
        for id_, cost in shown.items()
        if cost != to_decimal(records[record_id(id_)].cost + late.get(record_id(id_), 0), "USD")
    }
    assert wrong == {}, "what an answer said it cost is not what the ledger took"
    # A piece of one word is a token, or a correction has billed what was known later.
    unbilled = {
        id_: count - records[record_id(id_)].output_tokens
        for id_, count in received.items()
        if count > records[record_id(id_)].output_tokens and not late.get(record_id(id_))
    }
    assert unbilled == {}, "pieces that a client received and nobody paid"


def _reply(request: up.Received) -> up.Reply:
    pause = up.Pause(random.random() * 0.05)
    if request.json.get("stream"):
        steps: list[up.Step] = [pause, up.event(up.chunk({"content": "x "}))] * PIECES
        return up.stream(*steps, up.event(up.FINISH), up.DONE)
    return up.Reply((pause, *up.answer().steps))
