"""On PostgreSQL, usage records are divided by the month in which their requests began (billing/months.py).

What there is becomes the first part as it is, nothing is copied: everything before the month that follows the newest
record. Going back copies the records into one table.
"""

import datetime as dt

from django.db import migrations

TABLE = "billing_usagerecord"
BEFORE = f"{TABLE}_before"
INDEXES = {
    "billing_usage_tenant_time": "tenant_id, started_at DESC",
    "billing_usage_tenant_settled": "tenant_id, settled_at",
}
LIKE = "INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
PRIMARY = f"CONSTRAINT {TABLE}_pkey PRIMARY KEY (id, started_at)"
TRIGGER = (
    f"CREATE TRIGGER {TABLE}_append_only BEFORE UPDATE OR DELETE ON {TABLE} "
    "FOR EACH ROW EXECUTE FUNCTION billing_refuse_change()"
)


def divide(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    this_month = _first_of_month(dt.datetime.now(dt.UTC))
    newest = _newest(schema_editor)
    begins = max(this_month, _next(_first_of_month(newest))) if newest else this_month
    for statement in (
        f"DROP TRIGGER {TABLE}_append_only ON {TABLE}",
        f"ALTER TABLE {TABLE} RENAME TO {BEFORE}",
        f"ALTER TABLE {BEFORE} RENAME CONSTRAINT {TABLE}_pkey TO {BEFORE}_id",
        *(f"ALTER INDEX {name} RENAME TO {name}_before" for name in INDEXES),
        f"CREATE TABLE {TABLE} (LIKE {BEFORE} {LIKE}, {PRIMARY}) PARTITION BY RANGE (started_at)",
        *(f"CREATE INDEX {name} ON {TABLE} ({columns})" for name, columns in INDEXES.items()),
        f"ALTER TABLE {BEFORE} DROP CONSTRAINT {BEFORE}_id, ADD CONSTRAINT {BEFORE}_pkey PRIMARY KEY (id, started_at)",
        TRIGGER,
        f"ALTER TABLE {TABLE} ATTACH PARTITION {BEFORE} FOR VALUES FROM (MINVALUE) TO ('{begins:%F}Z')",
        f"CREATE TABLE {TABLE}_default PARTITION OF {TABLE} DEFAULT",
    ):
        schema_editor.execute(statement)
    for _ in range(4):
        ends = _next(begins)
        schema_editor.execute(
            f"CREATE TABLE {TABLE}_{begins:%Y_%m} PARTITION OF {TABLE} "
            f"FOR VALUES FROM ('{begins:%F}Z') TO ('{ends:%F}Z')"
        )
        begins = ends


def unite(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    if apps.get_model("billing", "UsageArchive").objects.exists():
        raise RuntimeError("usage records were archived; an older version's books would not add up without them")
    for statement in (
        f"CREATE TABLE {BEFORE}_all (LIKE {TABLE} {LIKE})",
        f"INSERT INTO {BEFORE}_all SELECT * FROM {TABLE}",  # noqa: S608 - constants only
        f"DROP TABLE {TABLE}",
        f"ALTER TABLE {BEFORE}_all RENAME TO {TABLE}",
        f"ALTER TABLE {TABLE} ADD CONSTRAINT {TABLE}_pkey PRIMARY KEY (id)",
        *(f"CREATE INDEX {name} ON {TABLE} ({columns})" for name, columns in INDEXES.items()),
        TRIGGER,
    ):
        schema_editor.execute(statement)


def _newest(schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"SELECT max(started_at) FROM {TABLE}")  # noqa: S608 - a constant
        return cursor.fetchone()[0]


def _first_of_month(moment):
    return moment.astimezone(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next(first):
    return _first_of_month(first + dt.timedelta(days=32))


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_archives_of_usage_records")]
    operations = [migrations.RunPython(divide, unite)]
