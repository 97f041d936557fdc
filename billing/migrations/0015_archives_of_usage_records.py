"""What stays in the books of usage records that were archived."""

import django.db.models.deletion
from django.db import migrations, models

TABLES = ("billing_usagearchive", "billing_archiveduse")


def forwards(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table in TABLES:
            schema_editor.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION billing_refuse_change()"
            )


class Migration(migrations.Migration):
    dependencies = [("billing", "0014_price_sources")]
    operations = [
        migrations.CreateModel(
            name="UsageArchive",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("table", models.CharField(max_length=63, unique=True, verbose_name="table")),
                (
                    "ends",
                    models.DateTimeField(help_text="Every record in it began before this moment.", verbose_name="ends"),
                ),
                ("records", models.BigIntegerField(verbose_name="records")),
                ("archived_at", models.DateTimeField(auto_now_add=True, verbose_name="archived at")),
            ],
            options={
                "verbose_name": "archive of usage records",
                "verbose_name_plural": "archives of usage records",
                "ordering": ("-ends",),
            },
        ),
        migrations.CreateModel(
            name="ArchivedUse",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("cost", models.BigIntegerField(verbose_name="cost")),
                (
                    "balance",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.balance",
                        verbose_name="balance",
                    ),
                ),
                (
                    "archive",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="uses",
                        to="billing.usagearchive",
                        verbose_name="archive",
                    ),
                ),
            ],
            options={
                "verbose_name": "archived use",
                "verbose_name_plural": "archived uses",
                "constraints": [
                    models.UniqueConstraint(fields=("archive", "balance"), name="billing_archived_use_once")
                ],
            },
        ),
        migrations.RunPython(forwards, migrations.RunPython.noop),
    ]
