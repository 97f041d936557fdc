"""What settled an invoice: a row of its own, so that it is settled once and later documents know of it."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

TABLE = "billing_invoicepayment"


def guard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f"CREATE TRIGGER {TABLE}_append_only BEFORE UPDATE OR DELETE ON {TABLE} "
            "FOR EACH ROW EXECUTE FUNCTION billing_refuse_change()"
        )


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0035_prices_in_force"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="InvoicePayment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("from_wallet", models.BigIntegerField(verbose_name="paid from the wallet")),
                ("posted", models.BigIntegerField(verbose_name="posted to the wallet")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created at"),
                ),
                (
                    "after",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.billingperiod",
                        verbose_name="billing period",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "invoice",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payment",
                        to="billing.invoice",
                        verbose_name="document",
                    ),
                ),
            ],
            options={
                "verbose_name": "payment of an invoice",
                "verbose_name_plural": "payments of invoices",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("from_wallet__gte", 0), ("posted__gte", 0)),
                        name="billing_invoice_payment_amounts",
                    )
                ],
            },
        ),
        migrations.RunPython(guard, migrations.RunPython.noop),
    ]
