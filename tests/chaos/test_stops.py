"""Orderly ends, rolling restarts, and processes that die: nobody loses an answer that could have been finished."""

from __future__ import annotations

import contextlib
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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests import upstream as up
from tests.callers import PATH, Caller, Stream
from tests.gateway import ROOT, Gateway
from tests.installation import SINGLE, Offer
from tests.servers import free_port
from tests.waiting import eventually
from tests.wires import Wire
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


@pytest.mark.chaos  # half a minute
def test_stop_while_the_database_hangs_ends_by_itself_and_what_was_held_comes_back(
    start_world: Callable[..., World], migrated_postgres_url: Callable[[], str], start_gateway: Callable[..., Gateway]
) -> None:
    url = migrated_postgres_url()
    wire = Wire(url)
    world = start_world(database_url=wire.url, workers=2, env=DRAIN)
    caller, model = world.caller(), told(world, pause=1.2)
    with listening(caller, model, streams=4) as streams:
        wire.hold_still()
        world.gateway.signal(signal.SIGTERM)
    took = world.gateway.wait(40)
    wire.mend()

    assert (world.gateway.exit_code, "Killing" in world.gateway.log.read_text()) == (0, False)
    assert took < 30
    assert {stream.error["code"] for stream in streams} == {"service_unavailable"}
    spools = str(Path(world.gateway.env["COSTROUTER_VAR"]) / "spool")
    start_gateway(database_url=url, env={"SPOOL_DIR": spools})
    caller.wait_until_settled(seconds=10)
    assert len(caller.records) == 4
    world.installation.assert_books()
    wire.cut()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["stop", "restart"])
def test_page_whose_body_comes_slowly_is_refused_at_the_drains_end(world: World, number: signal.Signals) -> None:
    address, before = urlsplit(world.gateway.url), set(world.gateway.pids)
    with socket.create_connection((address.hostname or "", address.port or 0), 10) as wire:
        wire.sendall(b"POST /accounts/login/ HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 600\r\n\r\n")
        time.sleep(0.3)
        world.gateway.signal(number)
        began = time.monotonic()
        answer = _trickled(wire, seconds=20)
        took = time.monotonic() - began

    assert b" 503 " in answer.partition(b"\r\n")[0]
    assert b"retry-after: 1" in answer.lower()
    assert 2.5 < took < 15
    if number == signal.SIGHUP:
        world.gateway.wait_for_others_than(before, seconds=20)
    else:
        assert world.gateway.wait(5) < 5


def _trickled(wire: socket.socket, *, seconds: float) -> bytes:
    """What is answered while a byte of the body goes out every tenth of a second."""
    wire.settimeout(0.1)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return wire.recv(65_536)
        except TimeoutError:
            wire.sendall(b"x")
    return b""


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
    # The last one's turn: one that has not been told yet still accepts, and then closes what says nothing for so long.
    while world.gateway.log.read_text().count("stopping: 0 requests are open") < len(before):
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


class Unguarded:
    """A server whose processes nobody ends but itself: what guards the others kills what a parent leaves behind."""

    def __init__(self, address: Address) -> None:
        self.log = address.var / f"{time.monotonic_ns()}.log"
        env = {"DATABASE_URL": address.database_url, "REDIS_URL": "", "COSTROUTER_VAR": str(address.var), **DRAIN}
        with self.log.open("w") as log:
            self.parent = subprocess.Popen(
                [str(ROOT / "bin" / "serve")], env={**os.environ, **env, "PORT": str(address.port)},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait_for(self, words: str) -> None:
        assert eventually(lambda: words in self.log.read_text()), self.log.read_text()

    def is_over(self) -> bool:
        """Whether its parent and all that comes from it have ended."""
        self.parent.poll()
        try:
            os.killpg(self.parent.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.parent.pid, signal.SIGKILL)
        self.parent.wait()


@dataclass
class Address:
    """Where one server after the other serves the same database."""

    port: int
    var: Path
    database_url: str

    def upload(self) -> socket.socket:
        """A connection over which a page's body has begun to come."""
        wire = socket.create_connection(("127.0.0.1", self.port), 10)
        wire.sendall(b"POST /accounts/login/ HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 600\r\n\r\n")
        time.sleep(0.3)
        return wire


@pytest.fixture
def address(migrated_sqlite_url: Callable[[], str], tmp_path: Path) -> Address:
    return Address(free_port(), tmp_path, migrated_sqlite_url())


@pytest.fixture
def start(address: Address) -> Iterator[Callable[[], Unguarded]]:
    """Starts a server there."""
    started: list[Unguarded] = []

    def one_more() -> Unguarded:
        started.append(Unguarded(address))
        return started[-1]

    yield one_more
    for each in started:
        each.kill()


SERVES = "Started worker-1"


def test_another_server_takes_the_place_of_one_that_was_killed_while_its_requests_finish(
    start: Callable[[], Unguarded], address: Address
) -> None:
    killed = start()
    killed.wait_for(SERVES)
    with address.upload() as wire:
        os.kill(killed.parent.pid, signal.SIGKILL)
        killed.parent.wait()
        start().wait_for(SERVES)
        is_over_before = killed.is_over()
        answer = _trickled(wire, seconds=20)

    assert (is_over_before, b" 503 " in answer.partition(b"\r\n")[0]) == (False, True)
    assert eventually(killed.is_over)


@pytest.mark.parametrize(
    "words",
    ["Listening at", "Spawning worker-1", SERVES],
    ids=["while it imports", "while it starts", "when it serves"],
)
def test_nothing_outlives_a_parent_that_was_killed(start: Callable[[], Unguarded], words: str) -> None:
    server = start()
    server.wait_for(words)
    os.kill(server.parent.pid, signal.SIGKILL)

    assert eventually(server.is_over)


@pytest.mark.parametrize("words", ["Listening at", SERVES], ids=["while it starts", "when it serves"])
def test_stop_that_is_asked_for_twice_is_a_stop(start: Callable[[], Unguarded], words: str) -> None:
    server = start()
    server.wait_for(words)
    server.parent.send_signal(signal.SIGTERM)
    server.parent.send_signal(signal.SIGTERM)

    assert server.parent.wait(20) == 0
    assert server.is_over()


def test_terminal_that_hangs_up_cuts_nothing(start: Callable[[], Unguarded], address: Address) -> None:
    """It tells the whole group: the parent replaces its processes, which let their requests finish."""
    server = start()
    server.wait_for(SERVES)
    with address.upload() as wire:
        os.killpg(server.parent.pid, signal.SIGHUP)
        wire.sendall(b"x" * 600)
        answer = wire.recv(65_536)

    assert answer.startswith(b"HTTP/1.1 403"), "a form without its token, which has been read"


def test_terminal_on_which_ctrl_c_is_pressed_twice_stops_it_in_order(
    start: Callable[[], Unguarded], address: Address
) -> None:
    """It tells the whole group, each time: the parent says what that means for its processes."""
    server = start()
    server.wait_for(SERVES)
    with address.upload() as wire:
        for _press in range(2):
            os.killpg(server.parent.pid, signal.SIGINT)
            time.sleep(0.3)
        answer = _trickled(wire, seconds=10)

    assert b" 503 " in answer.partition(b"\r\n")[0]
    assert server.parent.wait(10) == 0
    assert server.is_over()


def test_process_that_dies_in_a_loop_is_waited_for_longer_and_longer(start: Callable[[], Unguarded]) -> None:
    server = start()
    server.wait_for(SERVES)
    time.sleep(0.5)  # until it has told its parent
    for pause in ("0", "0.5", "1"):
        gone = named(server, "worker")
        os.kill(gone[0], signal.SIGKILL)
        server.wait_for(f"worker-1 has ended (signal 9); another one starts in {pause} s")
        assert eventually(partial(have_followed, server, gone))


def have_followed(server: Unguarded, gone: list[int]) -> bool:
    return named(server, "worker") not in ([], gone)


def named(server: Unguarded, name: str) -> list[int]:
    """The processes of that name that the parent has."""
    children = Path(f"/proc/{server.parent.pid}/task/{server.parent.pid}/children").read_text().split()
    return [int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() == name]


def test_second_server_on_an_address_is_refused(start: Callable[[], Unguarded]) -> None:
    start().wait_for(SERVES)
    second = start()

    assert second.parent.wait(20) == 1
    second.wait_for("cannot be listened on")
