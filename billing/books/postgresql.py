"""The books on PostgreSQL.

Rows travel as one JSON document per statement, which costs the gateway a tenth of binding thirty columns each; jsonb
costs PostgreSQL less than json, for it is read once (ADR 0004).
"""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator, Sequence
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
    HOLD_FIELDS,
    RECORD_COLUMNS,
    SETTLEMENT_COLUMNS,
    Hold,
    HoldOutcome,
    Progress,
    Settlement,
    choose,
    report_written_off,
)
from billing.kinds import KINDS

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
"""Of a settlement's columns; its usage travels nested."""
_HOLD_TYPES: Final = {
    "id": "uuid",
    "legs": "jsonb",
    "tenant_id": "bigint",
    "amount": "bigint",
    "api_key_id": "bigint",
    "endpoint": "text",
    "model": "text",
    "price_id": "bigint",
    "is_stream": "boolean",
    "created_at": "timestamptz",
}


def _settled_value(name: str) -> str:
    """A settlement's column as SQL, its default where it did not travel."""
    default = _DEFAULTS[name]
    if default is None or default is msgspec.NODEFAULT:
        return f"outcome.{name}"
    return f"coalesce(outcome.{name}, {default!r})"


_DEFAULTS: Final = {field.name: field.default for field in msgspec.structs.fields(Settlement)}
_RECORD_VALUES: Final = ", ".join(
    (
        *map(_settled_value, SETTLEMENT_COLUMNS),
        *(f"coalesce((outcome.usage->>'{kind.name}')::bigint, 0)" for kind in KINDS),
        *(f"closed.{name}" for name in FROM_HOLD.values()),
    )
)
_HOLD_ROWS: Final = f"""
    jsonb_to_recordset(%(rows)s::jsonb) AS wanted({", ".join(f"{name} {_HOLD_TYPES[name]}" for name in HOLD_FIELDS)})
"""
_OUTCOMES: Final = f"""
    outcome AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
            id uuid, usage jsonb, {", ".join(f"{name} {_TYPES[name]}" for name in SETTLEMENT_COLUMNS)}))
"""  # noqa: S608 - constants only
_CLOSED: Final = f"RETURNING v.id, v.legs, v.amount AS held, {', '.join(f'v.{name}' for name in FROM_HOLD.values())}"

# Balance rows are locked in row order before they are changed, so that two processes never wait for each other.
_SQL_LOCK = "SELECT id, available FROM billing_balance WHERE id = ANY(%(balances)s::bigint[]) ORDER BY id FOR UPDATE"
# What fits when it is looked at under the lock fits when it is taken. A hold with a leg whose sum does not fit takes
# from none of its legs.
_SQL_HOLD = f"""
WITH wanted AS MATERIALIZED (SELECT * FROM {_HOLD_ROWS}),
leg AS MATERIALIZED (
    SELECT wanted.id, wanted.amount, value::bigint AS balance_id
    FROM wanted, jsonb_array_elements_text(wanted.legs) AS value),
locked AS MATERIALIZED (
    SELECT b.id, b.available FROM billing_balance b
    WHERE b.id IN (SELECT balance_id FROM leg) ORDER BY b.id FOR UPDATE),
short AS MATERIALIZED (
    SELECT sums.balance_id
    FROM (SELECT balance_id, sum(amount) AS total FROM leg GROUP BY balance_id) AS sums
    LEFT JOIN locked ON locked.id = sums.balance_id
    WHERE locked.available IS NULL OR locked.available < sums.total),
fitting AS MATERIALIZED (
    SELECT * FROM wanted
    WHERE jsonb_array_length(legs) > 0
      AND NOT EXISTS (SELECT FROM leg JOIN short USING (balance_id) WHERE leg.id = wanted.id)),
taken AS (
    UPDATE billing_balance b SET available = b.available - sums.total
    FROM (SELECT balance_id, sum(leg.amount)::bigint AS total FROM leg JOIN fitting USING (id) GROUP BY 1) AS sums
    WHERE b.id = sums.balance_id AND b.available >= sums.total)
INSERT INTO billing_reservation (owner, channel, usage, {HOLD_COLUMNS})
SELECT %(owner)s::uuid, '', '{{}}', {HOLD_COLUMNS} FROM fitting
RETURNING id
"""  # noqa: S608 - constants only
# The same for holds of one leg each, which is nearly every one: half the work for PostgreSQL (ADR 0004).
_SQL_HOLD_ONE_LEG = f"""
WITH wanted AS MATERIALIZED (SELECT *, (legs->>0)::bigint AS balance_id FROM {_HOLD_ROWS}),
taken AS (
    UPDATE billing_balance b SET available = b.available - sums.total
    FROM (SELECT balance_id, sum(amount)::bigint AS total FROM wanted GROUP BY 1) AS sums
    WHERE b.id = sums.balance_id AND b.available >= sums.total
    RETURNING b.id AS balance_id)
INSERT INTO billing_reservation (owner, channel, usage, {HOLD_COLUMNS})
SELECT %(owner)s::uuid, '', '{{}}', {HOLD_COLUMNS} FROM wanted JOIN taken USING (balance_id)
RETURNING id
"""  # noqa: S608 - constants only
_SQL_INSERT_HOLDS = f"""
INSERT INTO billing_reservation (owner, channel, usage, {HOLD_COLUMNS})
SELECT %(owner)s, '', '{{}}', {HOLD_COLUMNS} FROM {_HOLD_ROWS}
"""  # noqa: S608 - constants only
_SQL_TAKE = "UPDATE billing_balance SET available = available - %s WHERE id = %s AND available >= %s"
_SQL_TIED_UP = "SELECT coalesce(sum(amount), 0)::bigint FROM billing_reservation WHERE legs @> to_jsonb(%s::bigint)"
_SQL_SETTLE = f"""
WITH {_OUTCOMES},
closed AS (
    DELETE FROM billing_reservation v USING outcome WHERE v.id = outcome.id AND v.amount >= outcome.claimed_cost
    {_CLOSED}),
recorded AS (
    INSERT INTO billing_usagerecord (id, legs, held, cost, settled_at, {RECORD_COLUMNS})
    SELECT id, closed.legs, held, claimed_cost, statement_timestamp(), {_RECORD_VALUES}
    FROM outcome JOIN closed USING (id)
    RETURNING id, legs, held - cost AS unused),
back AS (
    SELECT value::bigint AS balance_id, sum(unused)::bigint AS total
    FROM recorded, jsonb_array_elements_text(legs) AS value GROUP BY 1),
given AS (
    UPDATE billing_balance b SET available = b.available + back.total
    FROM back WHERE b.id = back.balance_id AND back.total > 0)
SELECT id FROM recorded
"""  # noqa: S608 - constants only
# Of one settlement, whose cost depends on what the balances have left: as much of each as the one with the least has.
_SQL_SETTLE_BEYOND = f"""
WITH {_OUTCOMES},
closed AS (DELETE FROM billing_reservation v USING outcome WHERE v.id = outcome.id {_CLOSED}),
leg AS MATERIALIZED (SELECT value::bigint AS balance_id FROM closed, jsonb_array_elements_text(legs) AS value),
spare AS MATERIALIZED (
    SELECT greatest(coalesce(min(b.available), 0), 0) AS most FROM billing_balance b JOIN leg ON b.id = leg.balance_id),
recorded AS (
    INSERT INTO billing_usagerecord (id, legs, held, cost, settled_at, {RECORD_COLUMNS})
    SELECT id, closed.legs, held,
           CASE WHEN claimed_cost > held THEN held + least(claimed_cost - held, most) ELSE claimed_cost END,
           statement_timestamp(), {_RECORD_VALUES}
    FROM outcome JOIN closed USING (id) CROSS JOIN spare
    RETURNING id, held - cost AS unused, claimed_cost - cost AS written_off),
moved AS (
    UPDATE billing_balance b SET available = b.available + recorded.unused
    FROM recorded CROSS JOIN leg
    WHERE b.id = leg.balance_id AND (recorded.unused >= 0 OR b.available >= -recorded.unused))
SELECT id, written_off FROM recorded
"""  # noqa: S608 - constants only
_SQL_RELEASE = """
WITH freed AS (DELETE FROM billing_reservation WHERE id = %s RETURNING legs, amount)
UPDATE billing_balance b SET available = b.available + freed.amount
FROM freed, jsonb_array_elements_text(freed.legs) AS value WHERE b.id = value::bigint
"""
_SQL_PROGRESS = """
UPDATE billing_reservation v SET channel = n.channel, price_id = n.price_id, usage = n.usage
FROM jsonb_to_recordset(%(rows)s::jsonb) AS n(id uuid, channel text, price_id bigint, usage jsonb)
WHERE v.id = n.id
"""


_LOCK, _SETTLE, _SETTLE_BEYOND, _HOLD, _HOLD_ONE_LEG = b"lock", b"settle", b"settle_beyond", b"hold", b"hold_one_leg"
_PREPARED: Final = {
    _LOCK: _SQL_LOCK % {"balances": "$1"},
    _SETTLE: _SQL_SETTLE % {"rows": "$1"},
    _SETTLE_BEYOND: _SQL_SETTLE_BEYOND % {"rows": "$1"},
    _HOLD: _SQL_HOLD % {"rows": "$1", "owner": "$2"},
    _HOLD_ONE_LEG: _SQL_HOLD_ONE_LEG % {"rows": "$1", "owner": "$2"},
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
        within = [row for row in settlements if row.claimed_cost <= row.held]
        beyond = [row for row in settlements if row.claimed_cost > row.held]
        # What is sent between two syncs of a pipeline is one transaction, and one round trip.
        with self._pipeline():
            self._send(_LOCK, _balances((*holds, *settlements)))
            if within:
                self._send(_SETTLE, msgspec.json.encode(within))
            for settlement in beyond:
                self._send(_SETTLE_BEYOND, msgspec.json.encode([settlement]))
            if holds:
                statement = _HOLD_ONE_LEG if max([len(hold.legs) for hold in holds]) == 1 else _HOLD
                self._send(statement, msgspec.json.encode(holds), owner)
            _locked, *answers = self._results()
        held = _ids(answers.pop(), holds) if holds else set()
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

    def _settle_one_by_one(self, settlements: Sequence[Settlement]) -> set[str]:
        """For settlements that the statement of many left out; the ids of those whose reservation was open."""
        with self._pipeline():
            self._send(_LOCK, _balances(settlements))
            for settlement in settlements:
                self._send(_SETTLE_BEYOND, msgspec.json.encode([settlement]))
            _locked, *answers = self._results()
        return _settled_beyond(answers)

    def _hold_one_by_one(self, holds: Sequence[Hold], owner: str) -> list[HoldOutcome]:
        """For holds on balances whose sum did not fit: under their rows' locks, as many as fit, in order."""
        with self._connection.transaction():
            available = dict(self._connection.execute(_SQL_LOCK, {"balances": _balances(holds)}).fetchall())
            outcomes, taken = choose(holds, available, self._tied_up)
            for balance, amount in taken.items():
                self._connection.execute(_SQL_TAKE, [amount, balance, amount])
            fitting = [hold for hold, outcome in zip(holds, outcomes, strict=True) if outcome is HELD]
            if fitting:
                self._connection.execute(_SQL_INSERT_HOLDS, {"rows": _document(fitting), "owner": owner})
        return outcomes

    def _tied_up(self, balance: int) -> int:
        (amount,) = self._connection.execute(_SQL_TIED_UP, [balance]).fetchone() or (0,)
        return int(amount)

    def held_ids(self, ids: Sequence[str]) -> set[str]:
        found = self._connection.execute("SELECT id FROM billing_reservation WHERE id = ANY(%s::uuid[])", [list(ids)])
        return {row[0].hex for row in found}

    def release(self, id_: str) -> None:
        with self._connection.transaction():
            found = self._connection.execute("SELECT legs FROM billing_reservation WHERE id = %s", [id_]).fetchone()
            if found is not None:
                self._connection.execute(_SQL_LOCK, {"balances": found[0]})
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
