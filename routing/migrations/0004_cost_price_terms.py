"""Terms and withdrawals of cost prices; a withdrawal changes the catalogue as a new price does."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

OWN = "routing_costpricewithdrawal"
TABLES = (OWN, "billing_pricewithdrawal")
BUMP = (
    "INSERT INTO routing_catalogueversion (id, number) VALUES (1, 1) "
    "ON CONFLICT (id) DO UPDATE SET number = routing_catalogueversion.number + 1"
)


def forwards(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table in TABLES:
            schema_editor.execute(
                f"CREATE TRIGGER {table}_catalogue AFTER INSERT OR UPDATE OR DELETE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION routing_catalogue_changed()"
            )
        schema_editor.execute(
            f"CREATE TRIGGER {OWN}_append_only BEFORE UPDATE OR DELETE ON {OWN} "
            "FOR EACH ROW EXECUTE FUNCTION billing_refuse_change()"
        )
        return
    for table in TABLES:
        schema_editor.execute(f"CREATE TRIGGER {table}_catalogue AFTER INSERT ON {table} BEGIN {BUMP}; END")


def backwards(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table in TABLES:
            schema_editor.execute(f"DROP TRIGGER {table}_catalogue ON {table}")
        schema_editor.execute(f"DROP TRIGGER {OWN}_append_only ON {OWN}")
        return
    for table in TABLES:
        schema_editor.execute(f"DROP TRIGGER {table}_catalogue")


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0012_price_plans"),
        ("routing", "0003_cost_price_append_only_trigger"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="costprice",
            name="terms",
            field=models.JSONField(blank=True, default=None, null=True, verbose_name="terms"),
        ),
        migrations.CreateModel(
            name="CostPriceWithdrawal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created at"),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "price",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="withdrawal",
                        to="routing.costprice",
                        verbose_name="cost price",
                    ),
                ),
            ],
            options={
                "verbose_name": "withdrawn cost price",
                "verbose_name_plural": "withdrawn cost prices",
            },
        ),
        migrations.RunPython(forwards, backwards),
    ]
