"""The books on PostgreSQL, over one connection."""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any, Final

import msgspec
import psycopg
from django.db import connections
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult

from billing.books.postgresql.statements import (
    FREE_KEYS,
    HOLD,
    HOLD_KEYED,
    HOLD_ONE_LEG,
    LOCK,
    PREPARED,
    SETTLE,
    SETTLE_BEYOND,
    SQL_FIRSTS,
    SQL_FREE_KEYS,
    SQL_INSERT_HOLDS,
    SQL_INSERT_KEYS,
    SQL_LOCK,
    SQL_PROGRESS,
    SQL_RELEASE,
    SQL_TAKE,
    SQL_TIED_UP,
)
from billing.books.rows import (
    HELD,
    First,
    Firsts,
    Hold,
    HoldOutcome,
    Progress,
    Settlement,
    choose,
    report_written_off,
)

_FAILED: Final = frozenset((ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE))
_WAYS: Final = {
    "statement_timeout": "10s",
    "lock_timeout": "2s",
    # Every statement here finds a few rows by their keys, in tables that grow and shrink too fast for statistics.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""What holds for the books' statements and for nobody else's."""
_IN_THIS_TRANSACTION: Final = b"SELECT " + b", ".join(
    f"set_config('{name}', '{way}', true)".encode() for name, way in _WAYS.items()
)


class PostgresBooks:
    """The books on PostgreSQL, on a connection of their own with prepared statements.

    `post` speaks to libpq itself (psycopg.pq): what psycopg does for a statement costs more than the statement.

    Behind a pooler (PgBouncer in transaction mode) each transaction may run on another connection of the server.
    Nothing is then left on one: statements are not prepared, and what holds for them is set for the transaction.
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
                "prepare_threshold": None,
            }
        )
        self._pg = self._connection.pgconn
        self._poll = select.poll()
        # A session's time zone is one of the few settings that a pooler carries over.
        self._connection.execute("SET TIME ZONE 'UTC'")
        self._is_pooled = _is_pooled(self._connection)
        if not self._is_pooled:
            self._prepare()

    def _prepare(self) -> None:
        self._connection.prepare_threshold = 0
        for name, way in _WAYS.items():
            self._connection.execute(f"SET {name} = '{way}'")
        with self._pipeline():
            for statement, text in PREPARED.items():
                self._pg.send_prepare(statement, text)
            self._results()

    def post(
        self, holds: Sequence[Hold], settlements: Sequence[Settlement], owner: str
    ) -> tuple[list[HoldOutcome], set[str]]:
        within = [row for row in settlements if row.claimed_cost <= row.held]
        beyond = [row for row in settlements if row.claimed_cost > row.held]
        keyed = [hold for hold in holds if hold.idempotency is not None]
        wanted = _without_repetitions(holds) if keyed else holds
        # What is sent between two syncs of a pipeline is one transaction, and one round trip.
        with self._pipeline():
            self._send(LOCK, _balances((*holds, *settlements)))
            if within:
                self._send(SETTLE, msgspec.json.encode(within))
            for settlement in beyond:
                self._send(SETTLE_BEYOND, msgspec.json.encode([settlement]))
            if keyed:
                self._send(FREE_KEYS, msgspec.json.encode(keyed))
            if holds:
                statement = HOLD_KEYED if keyed else HOLD_ONE_LEG if _have_one_leg(wanted) else HOLD
                self._send(statement, msgspec.json.encode(wanted), owner)
            _locked, *answers = self._results()
        held = _ids(answers.pop(), wanted) if holds else set()
        if keyed:
            answers.pop()
        settled = _ids(answers.pop(0), within) if within else set()
        settled |= _settled_beyond(answers)
        if len(settled) < len(settlements):  # late, or held less than their settlements thought
            settled |= self._settle_one_by_one([row for row in within if row.id not in settled])
        if len(held) == len(holds):
            return [HELD] * len(holds), settled
        rest = [hold for hold in holds if hold.id not in held]
        outcomes: dict[str, HoldOutcome] = dict.fromkeys(held, HELD)
        outcomes.update(zip([hold.id for hold in rest], self._hold_one_by_one(rest, owner), strict=True))
        return [outcomes[hold.id] for hold in holds], settled

    @contextmanager
    def _pipeline(self) -> Iterator[None]:
        """What is sent within runs in the books' ways."""
        self._pg.enter_pipeline_mode()
        try:
            if self._is_pooled:
                self._pg.send_query_params(_IN_THIS_TRANSACTION, None)
            yield
        finally:
            if self._pg.status == ConnStatus.OK:
                self._pg.exit_pipeline_mode()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A transaction whose statements run in the books' ways."""
        with self._connection.transaction():
            if self._is_pooled:
                self._connection.execute(_IN_THIS_TRANSACTION)
            yield

    def _alone(self) -> AbstractContextManager[None]:
        """For a single statement: a transaction only where the books' ways would not reach it."""
        return self._transaction() if self._is_pooled else nullcontext()

    def _send(self, statement: bytes, *parameters: str | bytes) -> None:
        values = [value.encode() if isinstance(value, str) else value for value in parameters]
        if self._is_pooled:
            self._pg.send_query_params(PREPARED[statement], values, result_format=Format.BINARY)
        else:
            self._pg.send_query_prepared(statement, values, result_format=Format.BINARY)

    def _results(self) -> list[PGresult]:
        """The answers to what `_send` sent, once it is committed; raises the first error among them."""
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
        return results[1:] if self._is_pooled else results

    def _settle_one_by_one(self, settlements: Sequence[Settlement]) -> set[str]:
        """For settlements that the statement of many left out; the ids of those whose reservation was open."""
        with self._pipeline():
            self._send(LOCK, _balances(settlements))
            for settlement in settlements:
                self._send(SETTLE_BEYOND, msgspec.json.encode([settlement]))
            _locked, *answers = self._results()
        return _settled_beyond(answers)

    def _hold_one_by_one(self, holds: Sequence[Hold], owner: str) -> list[HoldOutcome]:
        """For holds on balances whose sum did not fit, and repetitions: under their rows' locks, in order."""
        with self._transaction():
            available = dict(self._connection.execute(SQL_LOCK, {"balances": _balances(holds)}).fetchall())
            keyed = [hold for hold in holds if hold.idempotency is not None]
            outcomes, taken = choose(holds, available, cache(self._tied_up), self._firsts(keyed) if keyed else None)
            for balance, amount in taken.items():
                self._connection.execute(SQL_TAKE, [amount, balance, amount])
            fitting = [hold for hold, outcome in zip(holds, outcomes, strict=True) if outcome is HELD]
            if fitting:
                self._connection.execute(SQL_INSERT_HOLDS, {"rows": _document(fitting), "owner": owner})
            if keyed := [hold for hold in fitting if hold.idempotency is not None]:
                self._connection.execute(SQL_INSERT_KEYS, {"rows": _document(keyed)})
        return outcomes

    def _firsts(self, keyed: Sequence[Hold]) -> Firsts:
        """The requests that the holds' idempotency keys stand for, after those were freed that stand for nothing."""
        rows = {"rows": _document(keyed)}
        self._connection.execute(SQL_FREE_KEYS, rows)
        found = self._connection.execute(SQL_FIRSTS, rows).fetchall()
        return {(key, value): First(request.hex, body, flying) for key, value, request, body, flying in found}

    def _tied_up(self, balance: int) -> int:
        (amount,) = self._connection.execute(SQL_TIED_UP, [balance]).fetchone() or (0,)
        return int(amount)

    def held_ids(self, ids: Sequence[str]) -> set[str]:
        with self._alone():
            rows = self._connection.execute(
                "SELECT id FROM billing_reservation WHERE id = ANY(%s::uuid[])", [list(ids)]
            )
            return {row[0].hex for row in rows}

    def release(self, id_: str) -> None:
        with self._transaction():
            found = self._connection.execute("SELECT legs FROM billing_reservation WHERE id = %s", [id_]).fetchone()
            if found is not None:
                self._connection.execute(SQL_LOCK, {"balances": found[0]})
                self._connection.execute(SQL_RELEASE, [id_])

    def note_progress(self, notes: Sequence[Progress]) -> None:
        with self._alone():
            self._connection.execute(SQL_PROGRESS, {"rows": _document(notes)})

    def close(self) -> None:
        self._connection.close()


def _is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Whether somebody stands between: the server's process is then another than the one we were told of."""
    (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    return bool(pid != connection.info.backend_pid)


def _have_one_leg(holds: Sequence[Hold]) -> bool:
    return max([len(hold.legs) for hold in holds]) == 1


def _ids(result: PGresult, rows: Sequence[Hold] | Sequence[Settlement]) -> set[str]:
    """Which of the rows the statement names in its first column: nearly always all."""
    if result.ntuples == len(rows):
        return {row.id for row in rows}
    return {(result.get_value(row, 0) or b"").hex() for row in range(result.ntuples)}


def _without_repetitions(holds: Sequence[Hold]) -> list[Hold]:
    """Of several holds with one idempotency key only the first."""
    firsts: dict[tuple[int, str] | str, Hold] = {}
    for hold in holds:
        firsts.setdefault(hold.key or hold.id, hold)
    return list(firsts.values())


def _settled_beyond(results: Sequence[PGresult]) -> set[str]:
    """Which settlements were made one by one, after an alarm over what had to be written off."""
    settled = set()
    for result in results:
        if result.ntuples:
            id_ = (result.get_value(0, 0) or b"").hex()
            report_written_off(id_, int.from_bytes(result.get_value(0, 1) or b"", signed=True))
            settled.add(id_)
    return settled


def _balances(rows: Iterable[Hold | Settlement]) -> str:
    """The ids of the balances that these rows touch, as PostgreSQL writes an array."""
    return f"{{{','.join(map(str, {leg for row in rows for leg in row.legs}))}}}"


def _document(rows: Sequence[msgspec.Struct]) -> str:
    return msgspec.json.encode(rows).decode()
