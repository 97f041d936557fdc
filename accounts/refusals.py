"""Calls that were refused before any upstream was asked: counted in memory, added up in the database.

They leave no usage record, so this is where "why does my app fail" finds its answer. A refused call costs one increment
under a lock; every few seconds the process's scheduler adds what was counted to the table, in one statement. What is
kept of the last call of each kind is bounded, and of a body it is nothing but the model that was asked for.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import connection
from django.db.models import Max, QuerySet, Sum

from accounts.callers import Caller
from accounts.errors import GatewayError, is_plain_name
from accounts.models import RefusedCall, Tenant

log = logging.getLogger(__name__)

KEPT: Final = dt.timedelta(days=30)
MOST_KINDS: Final = 2_000
"""Kinds of refusals that wait to be written; what comes on top is not counted. SQLite binds 32,766 values at most."""
MOST_CHARACTERS: Final = 300
"""Of each text that is kept."""
_SECRET: Final = re.compile(r"\bsk-[\w-]{16,}")

Kind = tuple[int, int, str, int]
"""Tenant, API key (both 0 if the key is nobody's), error code, minute since the epoch."""


class Last(NamedTuple):
    """What is kept of one refused call; `at` is in seconds since the epoch."""

    at: float
    status: int
    message: str
    param: str
    model: str
    path: str


@dataclass(slots=True)
class Tally:
    """How often a kind of refusal happened, and the last time it did."""

    count: int
    last: Last

    def add(self, other: Tally) -> None:
        self.count += other.count
        if other.last.at >= self.last.at:
            self.last = other.last


class Refusals:
    """This process's counts. The event loop's thread counts, the scheduler's writes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[Kind, Tally] = {}
        self._left_out = 0
        self._unwritten: dict[Kind, Tally] = {}
        """Taken from the counts, and not in the database yet."""

    def count(self, error: GatewayError, caller: Caller | None, *, path: str, model: object, at: float) -> None:
        """One refused call of a key's owner, or of a key that nobody has. `at` is in seconds since the epoch."""
        tenant_id = key_id = 0
        if caller is None:
            model = path = ""  # a stranger's words are for nobody to read
        else:
            tenant_id, key_id = caller.tenant_id, caller.key_id
        # Not the error itself: its traceback holds on to the request.
        last = Last(
            at=at,
            status=error.status,
            message=error.kept[:MOST_CHARACTERS],
            param=(error.param or "")[:MOST_CHARACTERS],
            model=str(model) if is_plain_name(model) else "",
            path=path[:MOST_CHARACTERS],
        )
        with self._lock:
            if not _add(self._counted, (tenant_id, key_id, error.code, int(at // 60)), Tally(1, last)):
                self._left_out += 1

    def flush(self) -> None:
        """Adds what was counted to the database's; raises django.db.Error, and the next call tries it again.

        A connection that breaks between commit and answer counts twice: nobody is charged by these numbers.
        """
        with self._lock:
            counted, self._counted = self._counted, {}
            left_out, self._left_out = self._left_out, 0
        for kind, tally in counted.items():
            if not _add(self._unwritten, kind, tally):
                left_out += tally.count
        if left_out:
            log.warning("%d refused calls were not counted: %d kinds wait to be written", left_out, MOST_KINDS)
        if self._unwritten:
            _write(self._unwritten)
            self._unwritten = {}


def _add(tallies: dict[Kind, Tally], kind: Kind, tally: Tally) -> bool:
    """Whether there was room for it."""
    known = tallies.get(kind)
    if known is not None:
        known.add(tally)
    elif len(tallies) < MOST_KINDS:
        tallies[kind] = tally
    else:
        return False
    return True


_COLUMNS: Final = (
    "tenant_id", "api_key_id", "code", "minute", "count", "at", "status", "message", "param", "model", "path",
)  # fmt: skip
_OF_THE_LAST: Final = ("status", "message", "param", "model", "path", "at")


def _sql_upsert(rows: int) -> str:
    """Adds rows to those of other processes; what is of the last call stays of the last one. Of both databases."""
    table = "accounts_refusedcall"
    row = f"({', '.join(['%s'] * len(_COLUMNS))})"
    last = ", ".join(
        f'"{name}" = CASE WHEN excluded."at" >= {table}."at" THEN excluded."{name}" ELSE {table}."{name}" END'
        for name in _OF_THE_LAST
    )
    return f"""
        INSERT INTO {table} ({", ".join(f'"{name}"' for name in _COLUMNS)}) VALUES {", ".join([row] * rows)}
        ON CONFLICT (COALESCE("tenant_id", 0), COALESCE("api_key_id", 0), "code", "minute")
        DO UPDATE SET "count" = {table}."count" + excluded."count", {last}
    """  # noqa: S608 - names of columns only


def _write(tallies: Mapping[Kind, Tally]) -> None:
    # In one order everywhere, so that two processes never wait for each other's rows.
    values = [value for kind in sorted(tallies) for value in _row(kind, tallies[kind])]
    with connection.cursor() as cursor:
        cursor.execute(_sql_upsert(len(tallies)), values)


def _row(kind: Kind, tally: Tally) -> tuple[Any, ...]:
    tenant_id, api_key_id, code, minute = kind
    last = tally.last
    return (
        tenant_id or None,
        api_key_id or None,
        code,
        _moment(minute * 60),
        tally.count,
        _moment(last.at),
        last.status,
        *map(_clean, (last.message, last.param, last.model, last.path)),
    )


def _moment(seconds: float) -> Any:
    return connection.ops.adapt_datetimefield_value(dt.datetime.fromtimestamp(seconds, dt.UTC))


def _clean(text: str) -> str:
    """As the columns take it and pages show it: on one line, and without a key that came in the wrong place."""
    masked = _SECRET.sub("sk-…", text)
    if masked.isprintable():
        return masked
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in masked)


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which refused calls to look at; None and "" let everything pass. From `since` on, before `until`."""

    api_key_id: int | None = None
    code: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class LastHour:
    """How many calls of a tenant were refused within the last hour, and when the last of them came."""

    count: int
    at: dt.datetime | None

    @property
    def fingerprint(self) -> str:
        """A short text that changes when a refused call is added."""
        return f"{self.count}.{self.at.timestamp():.3f}" if self.at else "0"


def last_hour(tenant: Tenant, now: dt.datetime) -> LastHour:
    """Pages ask for it every second: a few rows by an index."""
    found = _of(tenant, Narrowing(since=now - dt.timedelta(hours=1))).aggregate(calls=Sum("count"), last=Max("at"))
    return LastHour(found["calls"] or 0, found["last"])


def count(tenant: Tenant, narrowing: Narrowing) -> int:
    calls: int | None = _of(tenant, narrowing).aggregate(calls=Sum("count"))["calls"]
    return calls or 0


def kinds(tenant: Tenant, narrowing: Narrowing, *, limit: int) -> list[RefusedCall]:
    """The last row of each key and code, the newest first, its `count` being that of all of them; two queries."""
    rows = _of(tenant, narrowing)
    groups = list(
        rows.values_list("api_key_id", "code")
        .annotate(sum=Sum("count"), last=Max("minute"))
        .order_by("-last", "code", "api_key_id")[:limit]
    )
    found = {(row.api_key_id, row.code, row.minute): row for row in rows.filter(minute__in={at for *_, at in groups})}
    newest: list[RefusedCall] = []
    for api_key_id, code, sum_, last in groups:
        row = found.get((api_key_id, code, last))
        if row is not None:  # else it became too old meanwhile
            row.count = sum_
            newest.append(row)
    newest.sort(key=lambda row: row.at, reverse=True)
    return newest


def forget_old(now: dt.datetime, *, most: int = 1_000) -> int:
    """Deletes at most so many rows that are older than `KEPT`; returns how many there were."""
    old = list(RefusedCall.objects.filter(minute__lt=now - KEPT).values_list("pk", flat=True)[:most])
    return RefusedCall.objects.filter(pk__in=old).delete()[0] if old else 0


def _of(tenant: Tenant, narrowing: Narrowing) -> QuerySet[RefusedCall]:
    rows = RefusedCall.objects.filter(tenant=tenant)
    if narrowing.api_key_id is not None:
        rows = rows.filter(api_key_id=narrowing.api_key_id)
    if narrowing.code:
        rows = rows.filter(code=narrowing.code)
    if narrowing.since is not None:
        rows = rows.filter(minute__gte=narrowing.since)
    if narrowing.until is not None:
        rows = rows.filter(minute__lt=narrowing.until)
    return rows
