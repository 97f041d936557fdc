"""The books on PostgreSQL.

Rows travel as one JSON document per statement, which costs the gateway a tenth of binding thirty columns each; jsonb
costs PostgreSQL less than json, for it is read once (ADR 0004).
"""

from __future__ import annotations

import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import psycopg
from django.db import connections
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult

from billing.books.rows import (
    FROM_HOLD,
    HELD,
    HOLD_COLUMNS,
    RECORD_COLUMNS,
    SETTLEMENT_COLUMNS,
    Hold,
    HoldOutcome,
    Progress,
    Settlement,
    choose,
)

_TYPES: Final = {
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


def _settled_value(name: str) -> str:
    """A settlement's column as SQL, its default where it did not travel."""
    default = _DEFAULTS[name]
    if default is None or default is msgspec.NODEFAULT:
        return f"outcome.{name}"
    return f"coalesce(outcome.{name}, {default!r})"


_DEFAULTS: Final = {field.name: field.default for field in msgspec.structs.fields(Settlement)}
_RECORD_VALUES: Final = ", ".join(
    (*map(_settled_value, SETTLEMENT_COLUMNS), *(f"closed.{name}" for name in FROM_HOLD.values()))
)
_HOLD_ROWS: Final = """
    jsonb_to_recordset(%(rows)s::jsonb) AS wanted(
        id uuid, tenant_id bigint, amount bigint, api_key_id bigint, endpoint text, model text, price_id bigint,
        is_stream boolean, created_at timestamptz, input_tokens bigint)
"""

# Balance rows are locked in row order before they are changed, so that two processes never wait for each other.
_SQL_LOCK = """
SELECT id FROM billing_balance WHERE kind = 'wallet' AND tenant_id = ANY(%(tenants)s::bigint[]) ORDER BY id FOR UPDATE
"""
_SQL_HOLD = f"""
WITH wanted AS MATERIALIZED (SELECT * FROM {_HOLD_ROWS}),
sums AS (SELECT tenant_id, sum(amount)::bigint AS total FROM wanted GROUP BY tenant_id),
taken AS (
    UPDATE billing_balance b SET available = b.available - sums.total
    FROM sums WHERE b.tenant_id = sums.tenant_id AND b.kind = 'wallet' AND b.available >= sums.total
    RETURNING b.id AS balance_id, b.tenant_id)
INSERT INTO billing_reservation (balance_id, owner, channel, output_tokens, {HOLD_COLUMNS})
SELECT balance_id, %(owner)s::uuid, '', 0, {HOLD_COLUMNS.replace("tenant_id", "wanted.tenant_id")}
FROM wanted JOIN taken USING (tenant_id)
RETURNING id
"""  # noqa: S608 - constants only
_SQL_INSERT_HOLDS = f"""
INSERT INTO billing_reservation (balance_id, owner, channel, output_tokens, {HOLD_COLUMNS})
SELECT b.id, %(owner)s, '', 0, {", ".join("wanted." + name.strip() for name in HOLD_COLUMNS.split(","))}
FROM {_HOLD_ROWS} JOIN billing_balance b ON b.tenant_id = wanted.tenant_id AND b.kind = 'wallet'
"""  # noqa: S608 - constants only
_SQL_SETTLE = f"""
WITH outcome AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
        id uuid, {", ".join(f"{name} {_TYPES[name]}" for name in SETTLEMENT_COLUMNS)})),
closed AS (
    DELETE FROM billing_reservation v USING outcome WHERE v.id = outcome.id
    RETURNING v.id, v.balance_id, v.amount AS held, {", ".join(f"v.{name}" for name in FROM_HOLD.values())}),
recorded AS (
    INSERT INTO billing_usagerecord (id, balance_id, held, cost, settled_at, {RECORD_COLUMNS})
    SELECT id, balance_id, held, least(claimed_cost, held), statement_timestamp(), {_RECORD_VALUES}
    FROM outcome JOIN closed USING (id)
    RETURNING id, balance_id, held - cost AS unused),
back AS (SELECT balance_id, sum(unused)::bigint AS total FROM recorded GROUP BY balance_id),
given AS (
    UPDATE billing_balance b SET available = b.available + back.total
    FROM back WHERE b.id = back.balance_id AND back.total > 0)
SELECT id FROM recorded
"""  # noqa: S608 - constants only
_SQL_RELEASE = """
WITH freed AS (DELETE FROM billing_reservation WHERE id = %s RETURNING balance_id, amount)
UPDATE billing_balance b SET available = b.available + freed.amount FROM freed WHERE b.id = freed.balance_id
"""
_SQL_PROGRESS = """
UPDATE billing_reservation v
SET channel = n.channel, price_id = n.price_id, input_tokens = n.input_tokens, output_tokens = n.output_tokens
FROM jsonb_to_recordset(%(rows)s::jsonb)
    AS n(id uuid, channel text, price_id bigint, input_tokens bigint, output_tokens bigint)
WHERE v.id = n.id
"""


_LOCK, _SETTLE, _HOLD = b"lock", b"settle", b"hold"
_PREPARED: Final = {
    _LOCK: _SQL_LOCK % {"tenants": "$1"},
    _SETTLE: _SQL_SETTLE % {"rows": "$1"},
    _HOLD: _SQL_HOLD % {"rows": "$1", "owner": "$2"},
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
        settled = _ids(answers[0], settlements) if settlements else set()
        held = _ids(answers[-1], holds) if holds else set()
        if len(held) == len(holds):
            return [HELD] * len(holds), settled
        rest = [hold for hold in holds if hold.id not in held]
        outcomes = dict.fromkeys(held, HELD)
        outcomes.update(zip([hold.id for hold in rest], self._hold_one_by_one(rest, owner), strict=True))
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
                self._connection.execute(_SQL_INSERT_HOLDS, {"rows": _document(fitting), "owner": owner})
        return outcomes

    def held_ids(self, ids: Sequence[str]) -> set[str]:
        found = self._connection.execute("SELECT id FROM billing_reservation WHERE id = ANY(%s::uuid[])", [list(ids)])
        return {row[0].hex for row in found}

    def release(self, id_: str) -> None:
        self._connection.execute(_SQL_RELEASE, [id_])

    def note_progress(self, notes: Sequence[Progress]) -> None:
        self._connection.execute(_SQL_PROGRESS, {"rows": _document(notes)})

    def close(self) -> None:
        self._connection.close()


def _ids(result: PGresult, rows: Sequence[Hold] | Sequence[Settlement]) -> set[str]:
    """Which of the rows the statement names in its first column: nearly always all."""
    if result.ntuples == len(rows):
        return {row.id for row in rows}
    return {(result.get_value(row, 0) or b"").hex() for row in range(result.ntuples)}


def _document(rows: Sequence[msgspec.Struct]) -> str:
    return msgspec.json.encode(rows).decode()
