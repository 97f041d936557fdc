"""The books on SQLite: the same transactions, each begun as the database's only writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache, partial
from typing import Any, Final

import msgspec
from django.db import connections

from billing.books.keys import LIFE, STANDS
from billing.books.rows import (
    FROM_HOLD,
    HELD,
    HELD_COLUMNS,
    HOLD_COLUMNS,
    HOLD_FIELDS,
    RECORD_COLUMNS,
    SETTLEMENT_COLUMNS,
    USAGE_COLUMNS,
    First,
    Firsts,
    Hold,
    HoldOutcome,
    Progress,
    Settlement,
    choose,
    report_written_off,
    usage_columns,
)

_SQL_DELETE_RESERVATION: Final = f"DELETE FROM billing_reservation WHERE id = ? RETURNING legs, amount, {HELD_COLUMNS}"  # noqa: S608
# A record is not of a period that is closed already, whatever the clock says (billing/invoices/closing.py).
_SQL_TIME: Final = """
    max(strftime('%Y-%m-%d %H:%M:%f', 'now'), coalesce((
        SELECT max(closed_through) FROM billing_balance WHERE id IN (SELECT value FROM json_each(:legs))), ''))"""
_SQL_INSERT_HOLD: Final = f"""
INSERT INTO billing_reservation (owner, channel, usage, {HOLD_COLUMNS})
VALUES (:owner, '', '{{}}', {", ".join(":" + name for name in HOLD_FIELDS)})
"""  # noqa: S608 - constants only
_SQL_INSERT_RECORD: Final = f"""
INSERT INTO billing_usagerecord (id, legs, held, cost, settled_at, {RECORD_COLUMNS})
VALUES (:id, :legs, :held, :cost, {_SQL_TIME},
        {", ".join(":" + name for name in (*SETTLEMENT_COLUMNS, *USAGE_COLUMNS, *FROM_HOLD))})
"""  # noqa: S608 - constants only
_SQL_LEAST_AVAILABLE: Final = """
SELECT coalesce(min(available), 0) FROM billing_balance WHERE id IN (SELECT value FROM json_each(?))
"""
_SQL_GIVE: Final = """
UPDATE billing_balance SET available = available + :amount WHERE id IN (SELECT value FROM json_each(:legs))
"""
_SQL_TAKE: Final = """
UPDATE billing_balance SET available = available - :amount
WHERE id IN (SELECT value FROM json_each(:legs)) AND available >= :amount
"""
_PAST: Final = f"strftime('%Y-%m-%d %H:%M:%f', 'now', '-{LIFE.total_seconds():.0f} seconds')"
_SQL_FREE_KEY: Final = f"""
DELETE FROM billing_idempotencykey AS k WHERE api_key_id = ? AND value = ? AND NOT {STANDS.format(past=_PAST)}
"""  # noqa: S608 - constants only
_SQL_FIRST: Final = """
SELECT request_id, body, EXISTS (SELECT 1 FROM billing_reservation v WHERE v.id = k.request_id)
FROM billing_idempotencykey k WHERE api_key_id = ? AND value = ?
"""
_SQL_INSERT_KEY: Final = """
INSERT INTO billing_idempotencykey (api_key_id, value, body, request_id, created_at)
VALUES (:api_key_id, :value, :body, :id, :created_at)
"""
_SQL_TIED_UP: Final = """
SELECT coalesce(sum(amount), 0) FROM billing_reservation
WHERE EXISTS (SELECT 1 FROM json_each(legs) WHERE value = ?)
"""


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
            # What is given back is there for those that need more than they held.
            by_need = sorted(settlements, key=lambda row: row.claimed_cost > row.held)
            written_off = {row.id: _settle(run, row) for row in by_need}
            outcomes = _hold_all(run, holds, owner)
        settled = {id_: amount for id_, amount in written_off.items() if amount is not None}
        for id_, amount in settled.items():
            report_written_off(id_, amount)
        return outcomes, set(settled)

    def held_ids(self, ids: Sequence[str]) -> set[str]:
        found = self._connection.execute(
            "SELECT id FROM billing_reservation WHERE id IN (SELECT value FROM json_each(?))", [_json(list(ids))]
        )
        return {row[0] for row in found}

    def release(self, id_: str) -> None:
        with _Immediate(self._connection) as run:
            freed = run.execute(_SQL_DELETE_RESERVATION, [id_]).fetchone()
            if freed is not None:
                run.execute(_SQL_GIVE, {"legs": freed[0], "amount": freed[1]})

    def note_progress(self, notes: Sequence[Progress]) -> None:
        with _Immediate(self._connection) as run:
            run.executemany(
                "UPDATE billing_reservation SET channel = :channel, price_id = :price_id, usage = :usage "
                "WHERE id = :id",
                [msgspec.structs.asdict(note) | {"usage": _json(note.usage)} for note in notes],
            )

    def close(self) -> None:
        self._connection.close()


def _settle(run: sqlite3.Connection, settlement: Settlement) -> int | None:
    """What had to be written off, usually 0; None if there is no such reservation any more."""
    closed = run.execute(_SQL_DELETE_RESERVATION, [settlement.id]).fetchone()
    if closed is None:
        return None
    legs, held, *rest = closed
    beyond = max(0, settlement.claimed_cost - held)
    if beyond:
        (left,) = run.execute(_SQL_LEAST_AVAILABLE, [legs]).fetchone()
        beyond = min(beyond, max(0, left))
    cost: int = min(settlement.claimed_cost, held + beyond)
    row = msgspec.structs.asdict(settlement) | usage_columns(settlement.usage) | dict(zip(FROM_HOLD, rest, strict=True))
    row |= {"legs": legs, "held": held, "cost": cost}
    row |= {"attempts": _json(settlement.attempts), "decision": _json(settlement.decision)}
    run.execute(_SQL_INSERT_RECORD, row)
    if cost > held:
        run.execute(_SQL_TAKE, {"legs": legs, "amount": beyond})
    else:
        run.execute(_SQL_GIVE, {"legs": legs, "amount": held - cost})
    return settlement.claimed_cost - cost


def _hold_all(run: sqlite3.Connection, holds: Sequence[Hold], owner: str) -> list[HoldOutcome]:
    if not holds:
        return []
    wanted = _json(sorted({leg for hold in holds for leg in hold.legs}))
    available = dict(
        run.execute(
            "SELECT id, available FROM billing_balance WHERE id IN (SELECT value FROM json_each(?))", [wanted]
        ).fetchall()
    )
    outcomes, taken = choose(holds, available, cache(partial(_tied_up, run)), _firsts(run, holds))
    for balance, amount in taken.items():
        run.execute(_SQL_TAKE, {"legs": _json([balance]), "amount": amount})
    held = [hold for hold, outcome in zip(holds, outcomes, strict=True) if outcome is HELD]
    run.executemany(
        _SQL_INSERT_HOLD, [msgspec.structs.asdict(hold) | {"legs": _json(hold.legs), "owner": owner} for hold in held]
    )
    for hold in held:
        if hold.idempotency is not None:
            run.execute(_SQL_INSERT_KEY, msgspec.structs.asdict(hold) | msgspec.structs.asdict(hold.idempotency))
    return outcomes


def _firsts(run: sqlite3.Connection, holds: Sequence[Hold]) -> Firsts:
    """The requests that the holds' idempotency keys stand for, after those were freed that stand for nothing."""
    firsts: dict[tuple[int, str], First] = {}
    for key in {hold.key for hold in holds if hold.key is not None}:
        run.execute(_SQL_FREE_KEY, key)
        found = run.execute(_SQL_FIRST, key).fetchone()
        if found is not None:
            firsts[key] = First(found[0], found[1], bool(found[2]))
    return firsts


def _tied_up(run: sqlite3.Connection, balance: int) -> int:
    return int(run.execute(_SQL_TIED_UP, [balance]).fetchone()[0])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


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
