"""When an idempotency key stands for its first request, and when it is free: one rule for both databases.

It stands while that request is in flight (its reservation is open), and for a day after it was answered, paid for or
recovered. Everything else leaves it free: a request that was refused or that its client gave up before it cost
anything has no record or one over nothing. So nothing has to be cleared when a request ends: the key is a row that
points at a request, and what has become of that is in the reservations and the usage records.

Whoever asks holds the locks of the balances that the key's requests take from, as everyone does who settles them.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

LIFE: Final = dt.timedelta(days=1)
"""How long a key stands for a request that has ended."""

# A recovered request may have been answered without our knowing, so it stands although it cost nothing.
STANDS: Final = """(
    EXISTS (SELECT 1 FROM billing_reservation v WHERE v.id = k.request_id)
    OR k.created_at >= {past} AND EXISTS (
        SELECT 1 FROM billing_usagerecord r
        WHERE r.id = k.request_id AND r.started_at >= {past}
            AND (r.claimed_cost > 0 OR r.outcome IN ('success', 'recovered'))))"""
"""Of a key `k`; `past` is a day ago.

A key is as old as its request, so that no months before (billing/months.py) are searched for the record.
"""
