"""Reservations and usage records name the balances they took from by id: one column of legs, filled from `balance`."""

import django.db.models.deletion
from django.db import migrations, models

from billing.migrations._append_only import writable

TABLES = ("billing_reservation", "billing_usagerecord")


def fill_legs(apps, schema_editor):
    array = {"postgresql": "jsonb_build_array(balance_id)", "sqlite": "json_array(balance_id)"}
    _update(schema_editor, f"legs = {array[schema_editor.connection.vendor]}")


def fill_balance(apps, schema_editor):
    first = {"postgresql": "(legs->>0)::bigint", "sqlite": "json_extract(legs, '$[0]')"}
    _update(schema_editor, f"balance_id = {first[schema_editor.connection.vendor]}")


def _update(schema_editor, assignment):
    with writable(schema_editor, "billing_usagerecord"):
        for table in TABLES:
            schema_editor.execute(f"UPDATE {table} SET {assignment}")  # noqa: S608 - constants only


def _balance(related_name):
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        null=True,
        on_delete=django.db.models.deletion.PROTECT,
        related_name=related_name,
        to="billing.balance",
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_reservation_balance_unconstrained")]
    operations = [
        migrations.AddField("reservation", "legs", models.JSONField(default=list)),
        migrations.AddField("usagerecord", "legs", models.JSONField(default=list)),
        # Backwards, the column comes back empty, is filled, and only then must not be empty.
        migrations.AlterField("reservation", "balance", _balance("reservations")),
        migrations.AlterField("usagerecord", "balance", _balance("usage_records")),
        migrations.RunPython(fill_legs, fill_balance),
    ]
