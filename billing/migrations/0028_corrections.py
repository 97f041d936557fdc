"""Which requests' late outcomes have come, also where nothing was to be paid or nothing was there to pay it."""

import django.utils.timezone
from django.db import migrations, models

TABLE = "billing_correction"


def guard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f"CREATE TRIGGER {TABLE}_append_only BEFORE UPDATE OR DELETE ON {TABLE} "
            "FOR EACH ROW EXECUTE FUNCTION billing_refuse_change()"
        )


class Migration(migrations.Migration):
    dependencies = [("billing", "0027_cache_write_1h")]
    operations = [
        migrations.CreateModel(
            name="Correction",
            fields=[
                (
                    "record",
                    models.UUIDField(editable=False, primary_key=True, serialize=False, verbose_name="usage record"),
                ),
                ("due", models.BigIntegerField(verbose_name="due")),
                ("taken", models.BigIntegerField(verbose_name="taken")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created at"),
                ),
            ],
            options={
                "verbose_name": "correction",
                "verbose_name_plural": "corrections",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("taken__lte", models.F("due"))), name="billing_correction_within_due"
                    )
                ],
            },
        ),
        migrations.RunPython(guard, migrations.RunPython.noop),
    ]
