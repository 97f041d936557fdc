"""The books on SQLite: the same transactions, each begun as the database's only writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec
from django.db import connections

from billing.books.rows import (
    FROM_HOLD,
    HELD_COLUMNS,
    HOLD_COLUMNS,
    RECORD_COLUMNS,
    SETTLEMENT_COLUMNS,
    Hold,
    HoldOutcome,
    Progress,
    Settlement,
    choose,
)

_SQL_DELETE_RESERVATION: Final = (
    f"DELETE FROM billing_reservation WHERE id = ? RETURNING balance_id, amount, {HELD_COLUMNS}"  # noqa: S608
)
_SQL_TIME: Final = "strftime('%Y-%m-%d %H:%M:%f', 'now')"
_SQL_INSERT_HOLD = f"""
INSERT INTO billing_reservation (balance_id, owner, channel, output_tokens, {HOLD_COLUMNS})
SELECT b.id, :owner, '', 0, {", ".join(":" + name.strip() for name in HOLD_COLUMNS.split(","))}
FROM billing_balance b WHERE b.tenant_id = :tenant_id AND b.kind = 'wallet'
"""  # noqa: S608 - constants only
_SQL_INSERT_RECORD = f"""
INSERT INTO billing_usagerecord (id, balance_id, held, cost, settled_at, {RECORD_COLUMNS})
VALUES (:id, :balance_id, :held, min(:claimed_cost, :held), {_SQL_TIME},
        {", ".join(":" + name for name in (*SETTLEMENT_COLUMNS, *FROM_HOLD))})
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
            freed = run.execute(_SQL_DELETE_RESERVATION, [id_]).fetchone()
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
    closed = run.execute(_SQL_DELETE_RESERVATION, [settlement.id]).fetchone()
    if closed is None:
        return False
    balance_id, held, *rest = closed
    row = msgspec.structs.asdict(settlement) | dict(zip(FROM_HOLD, rest, strict=True))
    row |= {"balance_id": balance_id, "held": held}
    row["attempts"] = msgspec.json.encode(settlement.attempts).decode()
    row["decision"] = msgspec.json.encode(settlement.decision).decode()
    run.execute(_SQL_INSERT_RECORD, row)
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
    run.executemany(_SQL_INSERT_HOLD, [msgspec.structs.asdict(hold) | {"owner": owner} for hold in held])
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
