"""What the books say to PostgreSQL.

Rows travel as one JSON document per statement, which costs the gateway a tenth of binding thirty columns each; jsonb
costs PostgreSQL less than json, for it is read once (ADR 0004).
"""

from __future__ import annotations

from typing import Final

import msgspec

from billing.books.keys import LIFE, STANDS
from billing.books.rows import FROM_HOLD, HOLD_COLUMNS, HOLD_FIELDS, RECORD_COLUMNS, SETTLEMENT_COLUMNS, Settlement
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
    "reported_cost": "bigint",
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
# A record is not of a period that is closed already, whatever the clock says; the row of the wallet is locked, and read
# as it was committed (billing/invoices/closing.py).
_SETTLED_AT: Final = """
    greatest(statement_timestamp(), (
        SELECT max(b.closed_through) FROM billing_balance b, jsonb_array_elements_text(closed.legs) AS leg_id
        WHERE b.id = leg_id::bigint))"""
_HOLD_TABLE: Final = ", ".join(f"{name} {_HOLD_TYPES[name]}" for name in HOLD_FIELDS)
_HOLD_ROWS: Final = f"jsonb_to_recordset(%(rows)s::jsonb) AS wanted({_HOLD_TABLE})"
_KEYED_ROWS: Final = f"jsonb_to_recordset(%(rows)s::jsonb) AS wanted({_HOLD_TABLE}, idempotency jsonb)"
_OUTCOMES: Final = f"""
    outcome AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
            id uuid, usage jsonb, {", ".join(f"{name} {_TYPES[name]}" for name in SETTLEMENT_COLUMNS)}))
"""  # noqa: S608 - constants only
_CLOSED: Final = f"RETURNING v.id, v.legs, v.amount AS held, {', '.join(f'v.{name}' for name in FROM_HOLD.values())}"

# Balance rows are locked in row order before they are changed, so that two processes never wait for each other.
SQL_LOCK = "SELECT id, available FROM billing_balance WHERE id = ANY(%(balances)s::bigint[]) ORDER BY id FOR UPDATE"


def _hold(wanted: str, beside: str = "") -> str:
    """The statement that takes what is `wanted`; `beside` is what else it does with what fits.

    What fits when it is looked at under the lock fits when it is taken. A hold with a leg whose sum does not fit takes
    from none of its legs.
    """
    return f"""
WITH wanted AS MATERIALIZED ({wanted}),
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
    WHERE b.id = sums.balance_id AND b.available >= sums.total){beside}
INSERT INTO billing_reservation (owner, channel, usage, {HOLD_COLUMNS})
SELECT %(owner)s::uuid, '', '{{}}', {HOLD_COLUMNS} FROM fitting
RETURNING id
"""  # noqa: S608 - constants only


SQL_HOLD = _hold(f"SELECT * FROM {_HOLD_ROWS}")  # noqa: S608 - constants only
# The same for holds of one leg each, which is nearly every one: half the work for PostgreSQL (ADR 0004).
SQL_HOLD_ONE_LEG = f"""
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
_OF_WANTED = "k.api_key_id = wanted.api_key_id AND k.value = wanted.idempotency->>'value'"
_INSERT_KEYS = """
    INSERT INTO billing_idempotencykey (api_key_id, value, body, request_id, created_at)
    SELECT api_key_id, idempotency->>'value', idempotency->>'body', id, created_at"""
# Of a batch with idempotency keys, after those were freed that stand for nothing: what then still exists stands.
SQL_HOLD_KEYED = _hold(
    f"""
    SELECT * FROM {_KEYED_ROWS} WHERE NOT EXISTS (SELECT FROM billing_idempotencykey k WHERE {_OF_WANTED})""",  # noqa: S608
    f""",
keyed AS ({_INSERT_KEYS} FROM fitting WHERE idempotency IS NOT NULL)""",
)
_PAST = f"statement_timestamp() - interval '{LIFE.total_seconds():.0f} seconds'"
SQL_FREE_KEYS = f"""
DELETE FROM billing_idempotencykey k USING {_KEYED_ROWS}
WHERE {_OF_WANTED} AND NOT {STANDS.format(past=_PAST)}
"""  # noqa: S608 - constants only
SQL_FIRSTS = f"""
SELECT k.api_key_id, k.value, k.request_id, k.body,
       EXISTS (SELECT FROM billing_reservation v WHERE v.id = k.request_id)
FROM billing_idempotencykey k, {_KEYED_ROWS} WHERE {_OF_WANTED}
"""  # noqa: S608 - constants only
SQL_INSERT_KEYS = f"{_INSERT_KEYS} FROM {_KEYED_ROWS}"
SQL_INSERT_HOLDS = f"""
INSERT INTO billing_reservation (owner, channel, usage, {HOLD_COLUMNS})
SELECT %(owner)s, '', '{{}}', {HOLD_COLUMNS} FROM {_HOLD_ROWS}
"""  # noqa: S608 - constants only
SQL_TAKE = "UPDATE billing_balance SET available = available - %s WHERE id = %s AND available >= %s"
SQL_TIED_UP = "SELECT coalesce(sum(amount), 0)::bigint FROM billing_reservation WHERE legs @> to_jsonb(%s::bigint)"
SQL_SETTLE = f"""
WITH {_OUTCOMES},
closed AS (
    DELETE FROM billing_reservation v USING outcome WHERE v.id = outcome.id AND v.amount >= outcome.claimed_cost
    {_CLOSED}),
recorded AS (
    INSERT INTO billing_usagerecord (id, legs, held, cost, settled_at, {RECORD_COLUMNS})
    SELECT id, closed.legs, held, claimed_cost, {_SETTLED_AT}, {_RECORD_VALUES}
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
SQL_SETTLE_BEYOND = f"""
WITH {_OUTCOMES},
closed AS (DELETE FROM billing_reservation v USING outcome WHERE v.id = outcome.id {_CLOSED}),
leg AS MATERIALIZED (SELECT value::bigint AS balance_id FROM closed, jsonb_array_elements_text(legs) AS value),
spare AS MATERIALIZED (
    SELECT greatest(coalesce(min(b.available), 0), 0) AS most FROM billing_balance b JOIN leg ON b.id = leg.balance_id),
recorded AS (
    INSERT INTO billing_usagerecord (id, legs, held, cost, settled_at, {RECORD_COLUMNS})
    SELECT id, closed.legs, held,
           CASE WHEN claimed_cost > held THEN held + least(claimed_cost - held, most) ELSE claimed_cost END,
           {_SETTLED_AT}, {_RECORD_VALUES}
    FROM outcome JOIN closed USING (id) CROSS JOIN spare
    RETURNING id, held - cost AS unused, claimed_cost - cost AS written_off),
moved AS (
    UPDATE billing_balance b SET available = b.available + recorded.unused
    FROM recorded CROSS JOIN leg
    WHERE b.id = leg.balance_id AND (recorded.unused >= 0 OR b.available >= -recorded.unused))
SELECT id, written_off FROM recorded
"""  # noqa: S608 - constants only
SQL_RELEASE = """
WITH freed AS (DELETE FROM billing_reservation WHERE id = %s RETURNING legs, amount)
UPDATE billing_balance b SET available = b.available + freed.amount
FROM freed, jsonb_array_elements_text(freed.legs) AS value WHERE b.id = value::bigint
"""
SQL_PROGRESS = """
UPDATE billing_reservation v SET channel = n.channel, price_id = n.price_id, usage = n.usage
FROM jsonb_to_recordset(%(rows)s::jsonb) AS n(id uuid, channel text, price_id bigint, usage jsonb)
WHERE v.id = n.id
"""

LOCK, SETTLE, SETTLE_BEYOND, HOLD = b"lock", b"settle", b"settle_beyond", b"hold"
FREE_KEYS, HOLD_KEYED, HOLD_ONE_LEG = b"free_keys", b"hold_keyed", b"hold_one_leg"
PREPARED: Final = {
    LOCK: (SQL_LOCK % {"balances": "$1"}).encode(),
    SETTLE: (SQL_SETTLE % {"rows": "$1"}).encode(),
    SETTLE_BEYOND: (SQL_SETTLE_BEYOND % {"rows": "$1"}).encode(),
    HOLD: (SQL_HOLD % {"rows": "$1", "owner": "$2"}).encode(),
    HOLD_ONE_LEG: (SQL_HOLD_ONE_LEG % {"rows": "$1", "owner": "$2"}).encode(),
    FREE_KEYS: (SQL_FREE_KEYS % {"rows": "$1"}).encode(),
    HOLD_KEYED: (SQL_HOLD_KEYED % {"rows": "$1", "owner": "$2"}).encode(),
}
