"""Orderly ends, rolling restarts, and processes that die: nobody loses an answer that could have been finished."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests import upstream as up
from tests.callers import PATH, Caller, Stream
from tests.installation import SINGLE, Offer
from tests.worlds import World

WORDS = "One two three four five"
DRAIN = {"DRAIN_SECONDS": "3"}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def world(request: pytest.FixtureRequest, start_world: Callable[..., World]) -> World:
    """One process on SQLite, two on PostgreSQL."""
    if request.param == "sqlite":
        url, workers = request.getfixturevalue("migrated_sqlite_url")(), 1
    else:
        url, workers = request.getfixturevalue("migrated_postgres_url")(), 2
    return start_world(database_url=url, workers=workers, env=DRAIN)


def told(world: World, *, pause: float) -> Offer:
    """A model whose stream pauses so long after each of its seven events."""
    model = world.offer(SINGLE)
    world.upstream.on(model.upstream, lambda _request: up.told(WORDS, pause=pause))
    return model


@contextmanager
def listening(caller: Caller, model: Offer, *, streams: int) -> Iterator[list[Stream]]:
    """So many streams, all of which have begun; afterwards they are at their end."""
    with ThreadPoolExecutor(streams) as threads:
        listeners = [_listener(caller, model) for _stream in range(streams)]
        running = [threads.submit(listen) for listen, _begun in listeners]
        for _listen, begun in listeners:
            assert begun.wait(20)
        seen: list[Stream] = []
        yield seen
        seen += [each.result(30) for each in running]


def _listener(caller: Caller, model: Offer) -> tuple[Callable[[], Stream], threading.Event]:
    begun = threading.Event()

    def listen() -> Stream:
        with caller.listening(model) as response:
            seen = Stream(response.status_code, response.headers)
            try:
                for data in response.iter_raw():
                    seen.raw += data
                    begun.set()
            except httpx.RemoteProtocolError:
                seen.is_cut = True
            return seen

    return listen, begun


def test_stop_lets_streams_finish_and_gives_the_rest_their_error_event(world: World) -> None:
    caller = world.caller()
    short, long = told(world, pause=0.2), told(world, pause=1.2)
    with listening(caller, short, streams=3) as finished, listening(caller, long, streams=3) as broken:
        world.gateway.signal(signal.SIGTERM)
        took = world.gateway.wait(30)

    assert world.gateway.exit_code == 0
    assert took < 12
    assert [stream.is_done for stream in finished] == [True] * 3
    assert [stream.is_cut for stream in broken] == [False] * 3
    assert {stream.error["code"] for stream in broken} == {"service_unavailable"}
    records = Counter((record.outcome, record.usage_source) for record in caller.records)
    assert records == {("success", "upstream"): 3, ("internal_error", "estimated"): 3}
    assert world.installation.reservations(caller.holder) == 0
    assert all(record.cost > 0 for record in caller.records)


def test_new_requests_are_refused_with_a_time_to_come_back_while_a_process_stops(world: World) -> None:
    caller, model = world.caller(), told(world, pause=0.25)
    with listening(caller, model, streams=1) as streams:
        world.gateway.signal(signal.SIGTERM)
        time.sleep(0.5)
        with httpx.Client(timeout=5) as client:
            refused = client.post(f"{world.gateway.url}{PATH}", json=caller.body(model), headers=caller.authorization)
            ready = client.get(f"{world.gateway.url}/health/ready")

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "service_unavailable")
    assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
    assert (ready.status_code, ready.json()["checks"]) == (503, {"process": "stopping"})
    assert streams[0].is_done
    assert caller.only_record().outcome == "success"


@pytest.mark.parametrize("world", ["postgresql"], indirect=True)
def test_rolling_restart_fails_no_request_and_cuts_no_stream(world: World) -> None:
    caller, model = world.caller(funds="100"), told(world, pause=0.3)
    before = set(world.gateway.pids)
    statuses: Counter[int | str] = Counter()
    is_over = threading.Event()

    def ask() -> None:
        quick = world.offer(SINGLE)
        with httpx.Client(timeout=20) as client:
            while not is_over.is_set():
                try:
                    answer = client.post(
                        f"{world.gateway.url}{PATH}", json=caller.body(quick), headers=caller.authorization
                    )
                    statuses[answer.status_code] += 1
                except httpx.TransportError as error:
                    statuses[repr(error)] += 1
                time.sleep(0.02)

    askers = [threading.Thread(target=ask) for _asker in range(3)]
    for asker in askers:
        asker.start()
    with listening(caller, model, streams=5) as streams:
        world.gateway.signal(signal.SIGHUP)
    world.gateway.wait_for_others_than(before, seconds=60)
    is_over.set()
    for asker in askers:
        asker.join()

    assert set(statuses) == {200}
    assert [stream.is_done for stream in streams] == [True] * 5
    assert world.gateway.exit_code is None


def test_a_connection_whose_request_is_still_on_its_way_is_not_cut_by_a_restart(world: World) -> None:
    before = set(world.gateway.pids)
    world.gateway.signal(signal.SIGHUP)
    deadline = time.monotonic() + 40
    while "stopping: 0 requests are open" not in world.gateway.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    address = urlsplit(world.gateway.url)
    wires = [socket.create_connection((address.hostname or "", address.port or 0), 10) for _wire in range(40)]
    time.sleep(1.5)  # longer than an old process waits for what is on its way
    answers = []
    for wire in wires:
        with wire:
            wire.sendall(b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n")
            answers.append(wire.recv(15))

    assert Counter(answers) == {b"HTTP/1.1 200 OK": 40}
    world.gateway.wait_for_others_than(before, seconds=40)


def test_process_that_dies_again_and_again_is_started_again(world: World) -> None:
    caller, model = world.caller(), world.offer(SINGLE)
    for _death in range(3):
        pid = world.gateway.pids[-1]
        world.gateway.kill(pid)
        world.gateway.wait_for_others_than({pid}, seconds=40)

    assert caller.ask(model).status_code == 200


def test_processes_end_with_their_parent_and_a_second_server_is_refused(world: World) -> None:
    workers = world.gateway.pids
    second = subprocess.run(
        [str(Path(__file__).resolve().parents[2] / "bin" / "serve")],
        env={**os.environ, **world.gateway.env, "DATABASE_URL": world.gateway.database_url},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (second.returncode, "cannot be listened on" in second.stderr) == (1, True)

    world.gateway.signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/stat").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
