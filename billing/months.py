"""Usage records by calendar month (UTC): on PostgreSQL each month is a table of its own, a partition of the records'.

So a month that nobody asks for any more is taken out in one short step, however many records it has, and what is
written and asked for every day stays small. A record belongs to the month in which its request began, which its
reservation knows: the same request can never be in two.

Months are made ahead, by every process and every worker, so that no record waits for one. What still finds no month
(nobody ran for a quarter of a year) goes into the default table and is moved when its month is made. On SQLite there
is one table and nothing to do.
"""

from __future__ import annotations

import datetime as dt
import gzip
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.db import OperationalError, connection, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from billing import balances, grants
from billing.ledger import sums_by_leg
from billing.models import BillingPeriod, Invoice, Reservation, RollupState, UsageArchive

log = logging.getLogger(__name__)

TABLE: Final = "billing_usagerecord"
DEFAULT: Final = f"{TABLE}_default"
AHEAD: Final = 3
"""How many months there are beside the present one."""
_LOCK: Final = 0x6D6F6E746873
"""Of the advisory lock under which tables are made and taken out: the letters of "months"."""
_LATE: Final = dt.timedelta(days=1)
"""More than the time from a request's beginning to its settlement."""
_PATIENCE: Final = "2s"
"""Making and detaching wait this long for statements under way; what comes later waits behind them."""
_BOUND: Final = re.compile(r"'([^']+)'|MINVALUE")


class CannotArchive(Exception):
    """The month has to stay; the message says why."""


@dataclass(frozen=True, slots=True)
class Month:
    """A table of the records: those that began from `begins` (None: any time before) until before `ends`."""

    table: str
    begins: dt.datetime | None
    ends: dt.datetime
    size: int
    """In bytes, with its indexes."""


def is_divided() -> bool:
    """Whether this database keeps a table per month."""
    return connection.vendor == "postgresql"


def listed() -> list[Month]:
    """The months that there are, oldest first, without the default table."""
    if not is_divided():
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), pg_total_relation_size(c.oid) "
            "FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(%s)",
            [TABLE],
        )
        rows = [row for row in cursor.fetchall() if row[0] != DEFAULT]
    return sorted((_month(*row) for row in rows), key=lambda month: month.ends)


def _month(table: str, bounds: str, size: int) -> Month:
    begins, ends = (match[1] for match in _BOUND.finditer(bounds))
    return Month(table, dt.datetime.fromisoformat(begins) if begins else None, dt.datetime.fromisoformat(ends), size)


def strays() -> int:
    """How many records lie in no month, a thousand at most; more than none is a fault."""
    if not is_divided():
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM (SELECT FROM {DEFAULT} LIMIT 1000) AS found")  # noqa: S608 - constants
        return int(cursor.fetchone()[0])


def make_ahead(now: dt.datetime | None = None) -> list[str]:
    """Makes what is missing until three months ahead; returns the names of the new tables.

    Safe to run anywhere at the same time. Where a long statement is in the way it gives up, for the next run.
    """
    if not is_divided():
        return []
    now = now or timezone.now()
    made = []
    begins = max((month.ends for month in listed()), default=first_of_month(now))
    while begins < _months_later(first_of_month(now), AHEAD + 1):
        name = f"{TABLE}_{begins:%Y_%m}"
        if not _make(name, begins, following := _months_later(begins, 1)):
            break
        made.append(name)
        begins = following
    if count := strays():
        log.error("%d usage records or more lie in no month; `manage.py months list` says where", count)
    return made


def first_of_month(moment: dt.datetime) -> dt.datetime:
    """The beginning of the moment's month, in UTC."""
    return moment.astimezone(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _months_later(first: dt.datetime, count: int) -> dt.datetime:
    years, month = divmod(first.month - 1 + count, 12)
    return first.replace(year=first.year + years, month=month + 1)


def _make(name: str, begins: dt.datetime, ends: dt.datetime) -> bool:
    """Makes one month's table; False if another process is about it or statements are in the way."""
    try:
        with _alone() as cursor:
            cursor.execute("SELECT to_regclass(%s)", [name])
            if cursor.fetchone()[0] is not None:
                return True
            cursor.execute(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
            _gather_strays(cursor, name, begins, ends)
            # Attaching lets the records be written meanwhile; a table created as a partition would not.
            cursor.execute(
                f"ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM ('{begins:%F}Z') TO ('{ends:%F}Z')"
            )
    except OperationalError as error:
        log.warning("the table of the month %s waits: %s", begins.date(), error)
        return False
    return True


@contextmanager
def _alone() -> Iterator[Any]:
    """A cursor in a transaction of its own; OperationalError if somebody else is about the tables or uses them."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        yield cursor


def _gather_strays(cursor: Any, name: str, begins: dt.datetime, ends: dt.datetime) -> None:
    """Moves the month's records out of the default table; history stays word for word, so its guard is lifted."""
    if not strays():
        return
    guard = f"TRIGGER {TABLE}_append_only"
    cursor.execute(f"ALTER TABLE {DEFAULT} DISABLE {guard}")
    cursor.execute(
        f"WITH moved AS (DELETE FROM {DEFAULT} WHERE started_at >= %s AND started_at < %s RETURNING *) "  # noqa: S608
        f"INSERT INTO {name} SELECT * FROM moved",
        [begins, ends],
    )
    cursor.execute(f"ALTER TABLE {DEFAULT} ENABLE {guard}")


def archive(table: str, now: dt.datetime | None = None) -> UsageArchive:
    """Takes a month out of the books and leaves what its records took from every balance, in one transaction.

    The table stays in the database, by itself. Raises CannotArchive if the month has to stay, OperationalError if
    statements are in the way.
    """
    month = next((month for month in listed() if month.table == table), None)
    if month is None:
        raise CannotArchive(f"there is no month {table}")
    _refuse_what_must_stay(month, now or timezone.now())
    with _alone() as cursor:
        # Nothing comes into this month any more; readers of it and writers of all others go on until it is detached.
        cursor.execute(f"LOCK TABLE {table} IN SHARE MODE")
        cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - a name out of the catalog
        row = UsageArchive.objects.create(table=table, ends=month.ends, records=cursor.fetchone()[0])
        cursor.executemany(
            "INSERT INTO billing_archiveduse (archive_id, balance_id, cost) VALUES (%s, %s, %s)",
            [(row.pk, balance, cost) for balance, cost in sorted(sums_by_leg(table, "cost").items())],
        )
        cursor.execute(f"ALTER TABLE {TABLE} DETACH PARTITION {table}")
    return row


def _refuse_what_must_stay(month: Month, now: dt.datetime) -> None:
    """What is still written, asked for by limits or not yet added up stays in the books."""
    if month.ends > first_of_month(now - dt.timedelta(days=31)):
        raise CannotArchive(f"{month.table} ends on {month.ends:%F}; this month and the two before it stay")
    if Reservation.objects.filter(created_at__lt=month.ends).exists():
        raise CannotArchive(f"a request that began before {month.ends:%F} is still open")
    complete = RollupState.objects.values_list("complete_until", flat=True).first()
    if complete is None or complete < month.ends + _LATE:
        raise CannotArchive(f"usage is added up until {complete or 'no time'} only; run `manage.py rollups catch-up`")
    if grants.undrawn(month.ends + _LATE).exists():
        raise CannotArchive(
            "who paid for some of this usage is not drawn yet; a running process does that every minute"
        )
    if tenant := _unwritten(month.ends + _LATE):
        raise CannotArchive(f"usage of tenant {tenant} is in no final document yet; `manage.py invoices show` says why")


def _unwritten(until: dt.datetime) -> int | None:
    """A tenant with a document of before this moment that is not final, or not made: it could not be added up again."""
    closed = BillingPeriod.objects.filter(wallet=OuterRef("pk"), ends_at__gte=until)
    wallets = balances.wallets().filter(~Exists(closed), created_at__lt=until)
    written = Invoice.objects.filter(period=OuterRef("pk"), state__in=(Invoice.State.FINAL, Invoice.State.PAID))
    periods = BillingPeriod.objects.filter(~Exists(written), starts_at__lt=until, empty=None)
    found = (wallets, periods.exclude(cut=BillingPeriod.Cut.OPENING))
    return next((tenant for rows in found for tenant in rows.values_list("tenant", flat=True)[:1]), None)


def kept_since() -> dt.datetime | None:
    """What settled before this moment may be archived, so it cannot be added up again; None if nothing ever was.

    A day after the month's end, because a request may settle when the next month has begun.
    """
    ends = UsageArchive.objects.order_by("-ends").values_list("ends", flat=True).first()
    return ends and ends + _LATE


def export(table: str, file: Path) -> int:
    """Writes an archived table as gzipped CSV with a header; the number of its records. Constant memory.

    The file appears under its name when it is whole.
    """
    part = file.with_name(file.name + ".part")
    with gzip.open(part, "wb") as out:
        lines = _copy(table, out)
    part.replace(file)
    return lines


def _copy(table: str, out: gzip.GzipFile) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        with cursor.copy(f"COPY {table} TO STDOUT WITH (FORMAT csv, HEADER)") as rows:
            for chunk in rows:
                out.write(chunk)
        return int(cursor.rowcount)
