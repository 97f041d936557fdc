"""The money core behind PgBouncer in transaction mode, where no two transactions need share a connection of the server.

Two connections stand behind the pooler here, so that sessions take turns on them. All tests of the money core pass
through one with `make test-pooled`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from accounts.models import Tenant
from administration import doctor
from administration.doctor import State
from billing.books import HELD, Books, Idempotency, Progress, Repeated
from billing.kinds import Usage
from billing.models import Balance, LedgerEntry, Price
from billing.portions import in_portions
from tests import servers
from tests.bookkeeping import Account, account, assert_books_add_up, default_database, race
from tests.databases import PostgresDatabases

OWNER = "0" * 32


@pytest.fixture(scope="module")
def narrow(postgres_databases: PostgresDatabases) -> Iterator[servers.Server]:
    """A pooler with two connections to each database."""
    server = servers.start_pgbouncer(postgres_databases.server_url, "default_pool_size = 2")
    yield server
    server.process.stop()


@pytest.fixture(scope="module")
def database(
    narrow: servers.Server, postgres_databases: PostgresDatabases, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """The URL of a migrated database behind that pooler, the default one of every thread."""
    url = servers.through(postgres_databases.migrated(), servers.port_of(narrow.url))
    with default_database(url, django_db_blocker):
        yield url


def test_twenty_writers_on_two_connections_spend_a_wallet_exactly(database: str) -> None:
    rich = account(1000)
    outcomes: list[object] = []

    def story(books: Books) -> None:
        for _round in range(5):
            held = rich.hold(20)
            (outcome,), _settled = books.post([held], [], OWNER)
            outcomes.append(outcome)
            if outcome is HELD:
                books.post([], [rich.settlement(held.id, 20)], OWNER)

    race(story, 20)

    assert Counter(outcome is HELD for outcome in outcomes) == {True: 50, False: 50}
    assert (rich.available, len(rich.records), rich.reservations) == (0, 50, set())
    assert_books_add_up()


def test_every_statement_of_the_books_goes_through(rich: Account, books: Books) -> None:
    same = Idempotency("1" * 64, "2" * 64)
    first, again = rich.hold(100, idempotency=same), rich.hold(100, idempotency=same)
    other, dear = rich.hold(200), rich.hold(10_000)

    outcomes, _settled = books.post([first, again, other, dear], [], OWNER)
    books.note_progress([Progress(first.id, "first", rich.price.pk, Usage(input=12, output=34))])
    books.release(other.id)
    _outcomes, settled = books.post([], [rich.settlement(first.id, 130, held=100)], OWNER)

    assert (outcomes[0], type(outcomes[1]), outcomes[2]) == (HELD, Repeated, HELD)
    assert settled == {first.id}
    assert (books.held_ids([first.id, other.id]), rich.available) == (set(), 870)
    assert_books_add_up()


def test_nothing_of_the_books_is_left_on_a_connection_of_the_server(database: str, rich: Account) -> None:
    race(lambda books: books.post([rich.hold(1)], [], OWNER), 4)

    with psycopg.connect(database, autocommit=True, prepare_threshold=None) as page:
        left = [page.execute(f"SHOW {name}").fetchone() for name in ("statement_timeout", "enable_seqscan", "jit")]
        prepared = page.execute("SELECT name FROM pg_prepared_statements").fetchall()

    assert (left, prepared) == ([("0",), ("on",), ("on",)], [])


def test_long_lists_are_read_in_portions_while_others_take_the_connections(database: str, rich: Account) -> None:
    for number in range(5):
        Price.objects.create(model=f"many-{rich.tenant.pk}-{number}", input=1, output=1)
    seen = []

    for price in in_portions(Price.objects.filter(model__startswith=f"many-{rich.tenant.pk}-"), 2):
        race(lambda books: books.post([rich.hold(1)], [], OWNER), 2)
        seen.append(price.model.rpartition("-")[2])

    assert seen == ["0", "1", "2", "3", "4"]


def test_choices_of_a_form_are_read_without_a_cursor_on_the_server(database: str, rich: Account) -> None:
    tenants = Tenant.objects.order_by("pk").iterator()
    first = next(tenants)
    race(lambda books: books.post([rich.hold(1)], [], OWNER), 2)

    assert rich.tenant in [first, *tenants]


def test_books_open_again_after_the_server_ended_its_connections(
    database: str, rich: Account, postgres_databases: PostgresDatabases
) -> None:
    race(lambda books: books.post([rich.hold(10)], [], OWNER), 2)
    with psycopg.connect(postgres_databases.server_url, autocommit=True) as direct:
        name = urlsplit(database).path.lstrip("/")
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        direct.execute(ended, [name])
    connection.close()

    race(lambda books: books.post([rich.hold(10)], [], OWNER), 2)

    assert rich.available == 960
    assert LedgerEntry.objects.filter(balance=rich.wallet).count() == 1
    assert Balance.objects.get(pk=rich.wallet.pk).available == 960


def test_doctor_says_that_a_pooler_stands_between(database: str) -> None:
    found = doctor.database()

    assert (found.state, "through a pooler" in found.words) == (State.WELL, True)
