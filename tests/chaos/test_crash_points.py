"""A process is killed at each point of a request's way, and of the replay after it: nothing is lost, nothing is twice.

The table stands in billing/README.md. `make chaos` goes through all of it; a few points are in every run.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from billing.models import UsageRecord
from tests import upstream as up
from tests.callers import PATH, Caller
from tests.databases import PostgresDatabases, SqliteDatabases
from tests.gateway import Gateway
from tests.installation import COST, SINGLE, Offer
from tests.worlds import World

HERE: Final = Path(__file__).parent
PIECES: Final = 5


@dataclass(frozen=True, slots=True)
class Point:
    """Where the process dies: by database, because the books have a file each. `then` is a second death, in replay."""

    name: str
    postgresql: str
    sqlite: str = ""
    then: str = ""
    is_admitted: bool = True
    is_sent: bool = True
    streams_only: bool = False

    def at(self, kind: str) -> str:
        return self.sqlite if kind == "sqlite" and self.sqlite else self.postgresql


_PG, _LITE = "billing.books.postgresql.books", "billing.books.sqlite"
_RUN = "routing.pipeline.run:Run"
_THIRD = f"{_RUN}._keep:return:3"
POINTS: Final = (
    Point("before admission", "routing.pipeline.admission:admit:call:1", is_admitted=False, is_sent=False),
    Point("inside the hold, before its commit", f"{_PG}:PostgresBooks._results:call:2", f"{_LITE}:_hold_all:return:1",
          is_admitted=False, is_sent=False),
    Point("hold committed, before the process knows", f"{_PG}:PostgresBooks.post:return:1",
          f"{_LITE}:SqliteBooks.post:return:1", is_sent=False),
    Point("before the upstream is asked", "routing.pipeline.serve:_send:call:1", is_sent=False),
    Point("request sent, no reply", f"{_RUN}.note_sent:return:1"),
    Point("head in, nothing read", "routing.providers:recognise:call:1"),
    Point("first piece in hand, before its line", f"{_RUN}._keep:call:1"),
    Point("first line written, before it is handed on", f"{_RUN}._keep:return:1"),
    Point("in the midst of a stream", _THIRD, streams_only=True),
    Point("everything read, before the end is written", f"{_RUN}.settle:call:1"),
    Point("end written, before it is settled", "billing.reservations:Reservations.settle:call:1"),
    Point("queued, before the writer takes it", "billing.writer.inbox:Inbox.settle:return:1"),
    Point("inside the settlement, before its commit", f"{_PG}:PostgresBooks._results:call:3",
          f"{_LITE}:_settle:return:1"),
    Point("settled, before the process knows", f"{_PG}:PostgresBooks.post:return:2",
          f"{_LITE}:SqliteBooks.post:return:2"),
    Point("settled, before the spool forgets it", "billing.spool:Spool.forget:call:2"),
    Point("during replay, before its commit", f"{_RUN}._keep:return:1", then="billing.recovery:_close:call:1"),
    Point("during replay, after its commit", f"{_RUN}._keep:return:1", then="billing.recovery:_close:return:1"),
    Point("replayed, before the file goes", f"{_RUN}._keep:return:1", then="billing.spool:remove:call:1"),
)  # fmt: skip
_IN_EVERY_RUN: Final = {
    ("hold committed, before the process knows", "json", "postgresql"),
    ("first line written, before it is handed on", "stream", "sqlite"),
    ("inside the settlement, before its commit", "json", "sqlite"),
    ("during replay, after its commit", "stream", "postgresql"),
}


def _cases() -> Iterator[Any]:
    for point, how, kind in itertools.product(POINTS, ("json", "stream"), ("postgresql", "sqlite")):
        if point.streams_only and how == "json":
            continue
        marks = [] if (point.name, how, kind) in _IN_EVERY_RUN else [pytest.mark.chaos]
        yield pytest.param(point, how == "stream", kind, id=f"{point.name}, {how}, {kind}", marks=marks)


@dataclass(slots=True)
class Got:
    """What the client received."""

    pieces: int = 0
    whole: dict[str, Any] | None = None
    is_done: bool = False
    ids: set[str] = field(default_factory=set)


@pytest.mark.parametrize(("point", "is_stream", "kind"), list(_cases()))
def test_process_that_dies_here_loses_nothing_and_bills_nothing_twice(
    start_world: Callable[..., World],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    point: Point,
    is_stream: bool,
    kind: str,
) -> None:
    name = "postgres" if kind == "postgresql" else kind
    databases: PostgresDatabases | SqliteDatabases = request.getfixturevalue(f"{name}_databases")
    url, spools = databases.migrated(), {"SPOOL_DIR": str(tmp_path / "spools")}
    world = start_world(database_url=url, env=spools | _dying(point.at(kind), tmp_path / "first"))
    caller, model = world.caller(funds="10"), world.offer(SINGLE)
    world.upstream.on(model.upstream, _reply)

    got = _ask(caller, model, is_stream=is_stream)
    _wait_for(tmp_path / "first")
    if point.then:
        _start_and_die(url, tmp_path, spools | _dying(point.then, tmp_path / "second"))
    began = time.monotonic()
    reborn = Gateway(database_url=url, var=_folder(tmp_path), env=spools)
    try:
        world.installation.assert_books(seconds=30)
        assert time.monotonic() - began < 30
        _assert_told(caller, world.upstream.received(model.upstream), got, point)
        assert "verified" in reborn.manage("verify")
    finally:
        reborn.stop()


def _assert_told(caller: Caller, received: list[up.Received], got: Got, point: Point) -> None:
    with caller.installation.database():
        records = list(UsageRecord.objects.filter(tenant=caller.holder.tenant))
    assert len(records) == point.is_admitted
    assert len(received) == point.is_sent
    if not records:
        return
    (record,) = records
    assert got.pieces <= record.output_tokens
    if got.whole is not None or got.is_done:
        assert record.cost == COST
    if not point.is_sent:
        assert record.cost == 0


def _reply(request: up.Received) -> up.Reply:
    if not request.json.get("stream"):
        return up.answer()
    steps: list[up.Step] = [up.event(up.chunk({"content": "x "})), up.Pause(0.03)] * PIECES
    return up.stream(*steps, up.event(up.FINISH), up.event(up.usage_chunk(up.USAGE)), up.DONE)


def _ask(caller: Caller, model: Offer, *, is_stream: bool) -> Got:
    got = Got()
    url, body = caller.installation.gateway_url + PATH, caller.body(model, stream=is_stream)
    try:
        with httpx.stream("POST", url, json=body, headers=caller.authorization, timeout=20) as answer:
            if not is_stream:
                got.whole = json.loads(answer.read())
            for line in answer.iter_lines() if is_stream else ():
                got.pieces += '"content":"x "' in line
                got.is_done = got.is_done or "[DONE]" in line
    except httpx.HTTPError:
        pass
    return got


def _dying(point: str, mark: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(HERE / "crashing"), "CRASH_AT": point, "CRASH_MARK": str(mark)}


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / f"process-{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    return folder


def _wait_for(mark: Path) -> None:
    deadline = time.monotonic() + 20
    while not mark.exists():
        assert time.monotonic() < deadline, "the process did not come to this point"
        time.sleep(0.02)


def _start_and_die(url: str, tmp_path: Path, env: dict[str, str]) -> None:
    """Another process, which dies in the replay of the first one's spool: perhaps before it serves anything."""
    dying: list[Gateway] = []
    with suppress(AssertionError):
        dying.append(Gateway(database_url=url, var=_folder(tmp_path), env=env))
    try:
        _wait_for(tmp_path / "second")
    finally:
        for gateway in dying:
            gateway.stop()
