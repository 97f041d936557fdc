"""The statements that move money: many holds, or many settlements, in one short transaction.

Used only by the writer's thread (billing/writer.py) and by recovery. Rows travel as one JSON document per statement,
which costs the gateway a tenth of binding thirty columns each; jsonb costs PostgreSQL less than json, for it is read
once.
"""

from __future__ import annotations

import select
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
import psycopg
from django.db import connections
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult


class Hold(msgspec.Struct, frozen=True):
    """A reservation to be: everything that anyone needs to settle it should its owner die.

    `amount` is in ledger units; `id` is the request's UUID in hex; `created_at` UTC text (`timestamp`).
    """

    id: str
    tenant_id: int
    amount: int
    api_key_id: int
    endpoint: str
    model: str
    price_id: int
    is_stream: bool
    created_at: str
    input_tokens: int


@dataclass(frozen=True, slots=True)
class HoldOutcome:
    """`available` is what the wallet had left when it refused, in ledger units."""

    is_held: bool
    available: int = 0


HELD: Final = HoldOutcome(True)


class Settlement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A usage record to be, without what the reservation knows (key, endpoint, beginning) or only the database.

    `claimed_cost` is what the usage costs; the record's cost is that or the hold, whichever is smaller. What has its
    default does not travel: most requests succeed and use two kinds of tokens.
    """

    id: str
    tenant_id: int
    requested_model: str
    model: str
    price_id: int
    currency: str
    outcome: str = "success"
    status: int = 200
    error_code: str = ""
    usage_source: str = "upstream"
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    images: int = 0
    claimed_cost: int
    provider_cost: int | None = None
    provider_currency: str = ""
    channel: str = ""
    upstream_model: str = ""
    attempts: Any
    decision: Any
    first_byte_ms: int | None = None
    duration_ms: int


class Progress(msgspec.Struct, frozen=True):
    """How far a running stream has come: what recovery bills if its owner dies."""

    id: str
    channel: str
    price_id: int
    """Of the model that answers, which may be a fallback."""
    input_tokens: int
    output_tokens: int


class Books(Protocol):
    """One connection to the books. Every method is one transaction and raises the driver's error if it fails."""

    def post(
        self, holds: Sequence[Hold], settlements: Sequence[Settlement], owner: str
    ) -> tuple[list[HoldOutcome], set[str]]:
        """Closes each open reservation with its usage record, then takes each hold from its wallet or refuses it.

        One transaction, so one wait for the disk: what the settlements give back is there for the holds. Returns the
        holds' outcomes in their order, and the ids of the reservations that were still open.
        """

    def held_ids(self, ids: Sequence[str]) -> set[str]:
        """Which of these reservations exist: asked after a commit whose answer got lost."""

    def release(self, id_: str) -> None:
        """Gives back what a reservation holds, if it exists, without a usage record: its request was refused."""

    def note_progress(self, notes: Sequence[Progress]) -> None: ...

    def close(self) -> None: ...


def choose(holds: Iterable[Hold], available: dict[int, int]) -> tuple[list[HoldOutcome], dict[int, int]]:
    """Tries holds one by one against what each tenant has: the outcomes, and what to take from whom."""
    outcomes = []
    taken: dict[int, int] = defaultdict(int)
    for hold in holds:
        left = available.get(hold.tenant_id, -1) - taken[hold.tenant_id]
        if hold.amount <= left:
            taken[hold.tenant_id] += hold.amount
            outcomes.append(HELD)
        else:
            outcomes.append(HoldOutcome(False, max(left, 0)))
    return outcomes, {tenant_id: amount for tenant_id, amount in taken.items() if amount}


_SETTLEMENT_TYPES: Final = {
    "tenant_id": "bigint",
    "requested_model": "text",
    "model": "text",
    "price_id": "bigint",
    "currency": "text",
    "outcome": "text",
    "status": "smallint",
    "error_code": "text",
    "usage_source": "text",
    "input_tokens": "bigint",
    "cached_input_tokens": "bigint",
    "cache_write_tokens": "bigint",
    "output_tokens": "bigint",
    "reasoning_tokens": "bigint",
    "input_audio_tokens": "bigint",
    "output_audio_tokens": "bigint",
    "images": "bigint",
    "claimed_cost": "bigint",
    "provider_cost": "bigint",
    "provider_currency": "text",
    "channel": "text",
    "upstream_model": "text",
    "attempts": "jsonb",
    "decision": "jsonb",
    "first_byte_ms": "integer",
    "duration_ms": "integer",
}
_FROM_HOLD: Final = {
    "api_key_id": "api_key_id",
    "endpoint": "endpoint",
    "is_stream": "is_stream",
    "started_at": "created_at",
}
"""The record's columns that the reservation has, under its names."""
_HELD_COLUMNS: Final = ", ".join(_FROM_HOLD.values())
_RECORD_COLUMNS: Final = ", ".join((*_SETTLEMENT_TYPES, *_FROM_HOLD))


def _settled_value(name: str) -> str:
    """A settlement's column as SQL, its default where it did not travel."""
    default = _DEFAULTS[name]
    if default is None or default is msgspec.NODEFAULT:
        return f"outcome.{name}"
    return f"coalesce(outcome.{name}, {default!r})"


_DEFAULTS: Final = {field.name: field.default for field in msgspec.structs.fields(Settlement)}
_RECORD_VALUES: Final = ", ".join(
    (*map(_settled_value, _SETTLEMENT_TYPES), *(f"closed.{name}" for name in _FROM_HOLD.values()))
)
_HOLD_COLUMNS: Final = (
    "id, amount, tenant_id, api_key_id, endpoint, model, price_id, is_stream, created_at, input_tokens"
)
_HOLD_ROWS: Final = """
    jsonb_to_recordset(%(rows)s::jsonb) AS wanted(
        id uuid, tenant_id bigint, amount bigint, api_key_id bigint, endpoint text, model text, price_id bigint,
        is_stream boolean, created_at timestamptz, input_tokens bigint)
"""

# Balance rows are locked in row order before they are changed, so that two processes never wait for each other.
_PG_LOCK = """
SELECT id FROM billing_balance WHERE kind = 'wallet' AND tenant_id = ANY(%(tenants)s::bigint[]) ORDER BY id FOR UPDATE
"""
_PG_HOLD = f"""
WITH wanted AS MATERIALIZED (SELECT * FROM {_HOLD_ROWS}),
sums AS (SELECT tenant_id, sum(amount)::bigint AS total FROM wanted GROUP BY tenant_id),
taken AS (
    UPDATE billing_balance b SET available = b.available - sums.total
    FROM sums WHERE b.tenant_id = sums.tenant_id AND b.kind = 'wallet' AND b.available >= sums.total
    RETURNING b.id AS balance_id, b.tenant_id)
INSERT INTO billing_reservation (balance_id, owner, channel, output_tokens, {_HOLD_COLUMNS})
SELECT balance_id, %(owner)s::uuid, '', 0, {_HOLD_COLUMNS.replace("tenant_id", "wanted.tenant_id")}
FROM wanted JOIN taken USING (tenant_id)
RETURNING id
"""  # noqa: S608 - constants only
_PG_INSERT_HOLDS = f"""
INSERT INTO billing_reservation (balance_id, owner, channel, output_tokens, {_HOLD_COLUMNS})
SELECT b.id, %(owner)s, '', 0, {", ".join("wanted." + name.strip() for name in _HOLD_COLUMNS.split(","))}
FROM {_HOLD_ROWS} JOIN billing_balance b ON b.tenant_id = wanted.tenant_id AND b.kind = 'wallet'
"""  # noqa: S608 - constants only
_PG_SETTLE = f"""
WITH outcome AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
        id uuid, {", ".join(f"{name} {type_}" for name, type_ in _SETTLEMENT_TYPES.items())})),
closed AS (
    DELETE FROM billing_reservation v USING outcome WHERE v.id = outcome.id
    RETURNING v.id, v.balance_id, v.amount AS held, {", ".join(f"v.{name}" for name in _FROM_HOLD.values())}),
recorded AS (
    INSERT INTO billing_usagerecord (id, balance_id, held, cost, settled_at, {_RECORD_COLUMNS})
    SELECT id, balance_id, held, least(claimed_cost, held), statement_timestamp(), {_RECORD_VALUES}
    FROM outcome JOIN closed USING (id)
    RETURNING id, balance_id, held - cost AS unused),
back AS (SELECT balance_id, sum(unused)::bigint AS total FROM recorded GROUP BY balance_id),
given AS (
    UPDATE billing_balance b SET available = b.available + back.total
    FROM back WHERE b.id = back.balance_id AND back.total > 0)
SELECT id FROM recorded
"""  # noqa: S608 - constants only
_PG_RELEASE = """
WITH freed AS (DELETE FROM billing_reservation WHERE id = %s RETURNING balance_id, amount)
UPDATE billing_balance b SET available = b.available + freed.amount FROM freed WHERE b.id = freed.balance_id
"""
_PG_PROGRESS = """
UPDATE billing_reservation v
SET channel = n.channel, price_id = n.price_id, input_tokens = n.input_tokens, output_tokens = n.output_tokens
FROM jsonb_to_recordset(%(rows)s::jsonb)
    AS n(id uuid, channel text, price_id bigint, input_tokens bigint, output_tokens bigint)
WHERE v.id = n.id
"""


_LOCK, _SETTLE, _HOLD = b"lock", b"settle", b"hold"
_PREPARED: Final = {
    _LOCK: _PG_LOCK % {"tenants": "$1"},
    _SETTLE: _PG_SETTLE % {"rows": "$1"},
    _HOLD: _PG_HOLD % {"rows": "$1", "owner": "$2"},
}
_FAILED: Final = frozenset((ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE))


class PostgresBooks:
    """The books on PostgreSQL, on a connection of their own with prepared statements.

    `post` speaks to libpq itself (psycopg.pq): what psycopg does for a statement costs more than the statement.
    """

    def __init__(self, alias: str = "default") -> None:
        parameters = connections[alias].get_connection_params()
        for name in ("cursor_factory", "context", "prepare_threshold"):
            parameters.pop(name, None)
        self._connection: psycopg.Connection[Any] = psycopg.connect(
            **{
                "connect_timeout": 3,
                "keepalives_idle": 5,
                "tcp_user_timeout": 5000,
                "application_name": "costrouter-writer",
                **parameters,
                "autocommit": True,
                "prepare_threshold": 0,
            }
        )
        self._connection.execute("SET TIME ZONE 'UTC'")
        self._connection.execute("SET statement_timeout = '10s'")
        self._connection.execute("SET lock_timeout = '2s'")
        # Every statement here finds a few rows by their keys, in tables that grow and shrink too fast for statistics.
        for method in ("seqscan", "hashjoin", "mergejoin"):
            self._connection.execute(f"SET enable_{method} = off")
        self._connection.execute("SET jit = off")
        self._connection.execute("SET plan_cache_mode = force_generic_plan")
        self._pg = self._connection.pgconn
        self._poll = select.poll()
        with self._pipeline():
            for statement, text in _PREPARED.items():
                self._pg.send_prepare(statement, text.encode())
            self._results()

    def post(
        self, holds: Sequence[Hold], settlements: Sequence[Settlement], owner: str
    ) -> tuple[list[HoldOutcome], set[str]]:
        tenants = {row.tenant_id for row in holds} | {row.tenant_id for row in settlements}
        # What is sent between two syncs of a pipeline is one transaction, and one round trip.
        with self._pipeline():
            self._send(_LOCK, f"{{{','.join(map(str, tenants))}}}")
            if settlements:
                self._send(_SETTLE, msgspec.json.encode(settlements))
            if holds:
                self._send(_HOLD, msgspec.json.encode(holds), owner)
            _locked, *answers = self._results()
        settled = _ids(answers[0]) if settlements else set()
        held = _ids(answers[-1]) if holds else set()
        outcomes = dict.fromkeys(held, HELD)
        rest = [hold for hold in holds if hold.id not in held]
        if rest:
            outcomes.update(zip((hold.id for hold in rest), self._hold_one_by_one(rest, owner), strict=True))
        return [outcomes[hold.id] for hold in holds], settled

    @contextmanager
    def _pipeline(self) -> Iterator[None]:
        self._pg.enter_pipeline_mode()
        try:
            yield
        finally:
            if self._pg.status == ConnStatus.OK:
                self._pg.exit_pipeline_mode()

    def _send(self, statement: bytes, *parameters: str | bytes) -> None:
        values = [value.encode() if isinstance(value, str) else value for value in parameters]
        self._pg.send_query_prepared(statement, values, result_format=Format.BINARY)

    def _results(self) -> list[PGresult]:
        """The answers to what was sent, once it is committed; raises the first error among them."""
        pg, results = self._pg, []
        pg.pipeline_sync()
        self._poll.register(pg.socket, select.POLLIN | select.POLLOUT)
        while pg.flush():  # until everything is sent, reading what comes meanwhile
            self._poll.poll()
            pg.consume_input()
        self._poll.modify(pg.socket, select.POLLIN)
        while True:
            while pg.is_busy():
                self._poll.poll()
                pg.consume_input()
            result = pg.get_result()
            if result is None:  # between the answers of two statements
                if pg.status != ConnStatus.OK:
                    raise psycopg.OperationalError("the connection is lost")
            elif result.status == ExecStatus.PIPELINE_SYNC:
                break
            else:
                results.append(result)
        for result in results:
            if result.status in _FAILED:
                raise psycopg.errors.error_from_result(result, encoding="utf-8")
        return results

    def _hold_one_by_one(self, holds: Sequence[Hold], owner: str) -> list[HoldOutcome]:
        """For tenants whose sum did not fit: under their rows' locks, as many as fit, in order."""
        tenants = [hold.tenant_id for hold in holds]
        with self._connection.transaction():
            available = dict(
                self._connection.execute(
                    "SELECT tenant_id, available FROM billing_balance "
                    "WHERE kind = 'wallet' AND tenant_id = ANY(%s) ORDER BY id FOR UPDATE",
                    [tenants],
                ).fetchall()
            )
            outcomes, taken = choose(holds, available)
            for tenant_id, amount in taken.items():
                self._connection.execute(
                    "UPDATE billing_balance SET available = available - %s "
                    "WHERE kind = 'wallet' AND tenant_id = %s AND available >= %s",
                    [amount, tenant_id, amount],
                )
            fitting = [hold for hold, outcome in zip(holds, outcomes, strict=True) if outcome.is_held]
            if fitting:
                self._connection.execute(_PG_INSERT_HOLDS, {"rows": _document(fitting), "owner": owner})
        return outcomes

    def held_ids(self, ids: Sequence[str]) -> set[str]:
        found = self._connection.execute("SELECT id FROM billing_reservation WHERE id = ANY(%s::uuid[])", [list(ids)])
        return {row[0].hex for row in found}

    def release(self, id_: str) -> None:
        self._connection.execute(_PG_RELEASE, [id_])

    def note_progress(self, notes: Sequence[Progress]) -> None:
        self._connection.execute(_PG_PROGRESS, {"rows": _document(notes)})

    def close(self) -> None:
        self._connection.close()


_SQLITE_DELETE_RESERVATION: Final = (
    f"DELETE FROM billing_reservation WHERE id = ? RETURNING balance_id, amount, {_HELD_COLUMNS}"  # noqa: S608
)
_SQLITE_TIME: Final = "strftime('%Y-%m-%d %H:%M:%f', 'now')"
_SQLITE_INSERT_HOLD = f"""
INSERT INTO billing_reservation (balance_id, owner, channel, output_tokens, {_HOLD_COLUMNS})
SELECT b.id, :owner, '', 0, {", ".join(":" + name.strip() for name in _HOLD_COLUMNS.split(","))}
FROM billing_balance b WHERE b.tenant_id = :tenant_id AND b.kind = 'wallet'
"""  # noqa: S608 - constants only
_SQLITE_INSERT_RECORD = f"""
INSERT INTO billing_usagerecord (id, balance_id, held, cost, settled_at, {_RECORD_COLUMNS})
VALUES (:id, :balance_id, :held, min(:claimed_cost, :held), {_SQLITE_TIME},
        {", ".join(":" + name for name in (*_SETTLEMENT_TYPES, *_FROM_HOLD))})
"""  # noqa: S608 - constants only


class SqliteBooks:
    """The books on SQLite: the same transactions, each begun as the database's only writer."""

    def __init__(self, alias: str = "default") -> None:
        parameters = connections[alias].get_connection_params()
        self._connection = sqlite3.connect(
            parameters["database"], timeout=20, isolation_level=None, check_same_thread=False, uri=parameters["uri"]
        )
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA foreign_keys=ON")

    def post(
        self, holds: Sequence[Hold], settlements: Sequence[Settlement], owner: str
    ) -> tuple[list[HoldOutcome], set[str]]:
        with _Immediate(self._connection) as run:
            settled = {row.id for row in settlements if _settle_one(run, row)}
            return _hold_all(run, holds, owner), settled

    def held_ids(self, ids: Sequence[str]) -> set[str]:
        found = self._connection.execute(
            "SELECT id FROM billing_reservation WHERE id IN (SELECT value FROM json_each(?))",
            [msgspec.json.encode(list(ids)).decode()],
        )
        return {row[0] for row in found}

    def release(self, id_: str) -> None:
        with _Immediate(self._connection) as run:
            freed = run.execute(_SQLITE_DELETE_RESERVATION, [id_]).fetchone()
            if freed is not None:
                run.execute("UPDATE billing_balance SET available = available + ? WHERE id = ?", [freed[1], freed[0]])

    def note_progress(self, notes: Sequence[Progress]) -> None:
        with _Immediate(self._connection) as run:
            run.executemany(
                "UPDATE billing_reservation SET channel = :channel, price_id = :price_id, "
                "input_tokens = :input_tokens, output_tokens = :output_tokens WHERE id = :id",
                [msgspec.structs.asdict(note) for note in notes],
            )

    def close(self) -> None:
        self._connection.close()


def _settle_one(run: sqlite3.Connection, settlement: Settlement) -> bool:
    closed = run.execute(_SQLITE_DELETE_RESERVATION, [settlement.id]).fetchone()
    if closed is None:
        return False
    balance_id, held, *rest = closed
    row = msgspec.structs.asdict(settlement) | dict(zip(_FROM_HOLD, rest, strict=True))
    row |= {"balance_id": balance_id, "held": held}
    row["attempts"] = msgspec.json.encode(settlement.attempts).decode()
    row["decision"] = msgspec.json.encode(settlement.decision).decode()
    run.execute(_SQLITE_INSERT_RECORD, row)
    run.execute(
        "UPDATE billing_balance SET available = available + ? WHERE id = ?",
        [held - min(settlement.claimed_cost, held), balance_id],
    )
    return True


def _hold_all(run: sqlite3.Connection, holds: Sequence[Hold], owner: str) -> list[HoldOutcome]:
    available = {}
    for tenant_id in {hold.tenant_id for hold in holds}:
        row = run.execute(
            "SELECT available FROM billing_balance WHERE kind = 'wallet' AND tenant_id = ?", [tenant_id]
        ).fetchone()
        available[tenant_id] = row[0] if row else -1
    outcomes, taken = choose(holds, available)
    for tenant_id, amount in taken.items():
        run.execute(
            "UPDATE billing_balance SET available = available - ? "
            "WHERE kind = 'wallet' AND tenant_id = ? AND available >= ?",
            [amount, tenant_id, amount],
        )
    held = [hold for hold, outcome in zip(holds, outcomes, strict=True) if outcome.is_held]
    run.executemany(_SQLITE_INSERT_HOLD, [msgspec.structs.asdict(hold) | {"owner": owner} for hold in held])
    return outcomes


class _Immediate:
    """A transaction that is the database's writer from its first statement on."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> sqlite3.Connection:
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        try:
            self._connection.execute("COMMIT" if kind is None else "ROLLBACK")
        except sqlite3.Error:
            # A refused COMMIT (foreign keys are checked there) leaves the transaction open.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def open_books(alias: str = "default") -> Books:
    """A connection to the books of a configured database; raises the driver's error."""
    return PostgresBooks(alias) if connections[alias].vendor == "postgresql" else SqliteBooks(alias)


AWAY: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    sqlite3.OperationalError,
)
"""What the drivers raise when the database is away, busy, full or read-only: the same work may succeed later."""


def _ids(result: PGresult) -> set[str]:
    """The first column, UUIDs in their binary form."""
    return {(result.get_value(row, 0) or b"").hex() for row in range(result.ntuples)}


def _document(rows: Sequence[msgspec.Struct]) -> str:
    return msgspec.json.encode(rows).decode()
