"""A reservation keeps the whole usage that was noted, in one column."""

from django.db import migrations, models


def fill_usage(apps, schema_editor):
    """From the counts where there is an answer: without one the input was only what was expected."""
    document = {
        "postgresql": "jsonb_build_object('input', input_tokens, 'output', output_tokens)",
        "sqlite": "json_object('input', input_tokens, 'output', output_tokens)",
    }
    value = document[schema_editor.connection.vendor]
    schema_editor.execute(
        f"UPDATE billing_reservation SET usage = {value} WHERE output_tokens > 0"  # noqa: S608 - constants only
    )


def fill_counts(apps, schema_editor):
    count = {
        "postgresql": "coalesce((usage->>'{0}')::bigint, 0)",
        "sqlite": "coalesce(json_extract(usage, '$.{0}'), 0)",
    }[schema_editor.connection.vendor]
    columns = ", ".join(f"{kind}_tokens = {count.format(kind)}" for kind in ("input", "output"))
    schema_editor.execute(f"UPDATE billing_reservation SET {columns}")  # noqa: S608 - constants only


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_remove_balance_of_reservations_and_records")]
    operations = [
        migrations.AddField("reservation", "usage", models.JSONField(default=dict)),
        migrations.RunPython(fill_usage, fill_counts),
        migrations.RemoveField("reservation", "input_tokens"),
        migrations.RemoveField("reservation", "output_tokens"),
    ]
