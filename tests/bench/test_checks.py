"""What the benchmark sends and expects, against the gateway as it is now, so that it cannot rot unnoticed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from bench import books, load, payloads, stream_client
from bench.load import Target
from bench.payloads import BURST, CHAT_STREAM, MESSAGES_STREAM, SHORT, StreamForm, StreamShape
from bin import leash
from tests import upstream as up
from tests.databases import PostgresDatabases
from tests.servers import free_port
from tests.worlds import World

FORMS = {"chat": CHAT_STREAM, "messages": MESSAGES_STREAM}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


@dataclass
class Bench:
    """The tests' gateway, set up as the benchmark sets up its own."""

    world: World
    target: Target

    def counted(self) -> dict[str, int]:
        with self.world.installation.database():
            return books.count()


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the benchmark's upstream of streams."""
    port, log = free_port(), tmp_path_factory.mktemp("streams") / "log"
    process = leash.start([sys.executable, "-m", "bench.stream_upstream", str(port)], log=log)
    try:
        yield port
    finally:
        process.stop()


@pytest.fixture(scope="module")
def bench(start_shared_world: Callable[..., World], postgres_databases: PostgresDatabases, streams: int) -> Bench:
    world = start_shared_world(database_url=postgres_databases.migrated())
    world.upstream.on(payloads.JSON_MODEL, up.plain(200, payloads.answer()))
    world.upstream.on(payloads.EMBEDDINGS_MODEL, up.plain(200, payloads.embeddings_answer()))
    with world.installation.changes():
        key = books.open_books(world.upstream.port, streams)
    port = urlsplit(world.gateway.url).port
    return Bench(world, Target("gateway", int(port or 0), {"authorization": f"Bearer {key}"}))


def test_checks_hold_and_the_books_have_each_request_once(bench: Bench) -> None:
    load.check(bench.target)
    load.check_embeddings(bench.target)
    for form in FORMS.values():
        load.check_stream(bench.target, form)
    bench.world.installation.assert_books()

    assert bench.counted() == {"success": bench.target.completed, "open_reservations": 0}


@each_form
@pytest.mark.parametrize("shape", [BURST, SHORT], ids=["at once", "paced"])
def test_load_of_streams_reads_them_whole(bench: Bench, shape: StreamShape, form: StreamForm) -> None:
    said = load.stream_order(bench.target, shape, form)
    order = stream_client.Order(
        said["port"], said["request"].encode(), said["events"], said["last"].encode(), 2, 0, 0, 10
    )

    tally = asyncio.run(stream_client.load(order))
    bench.target.completed += tally.streams

    assert (tally.streams, tally.events) == (2, 2 * form.events(shape))
