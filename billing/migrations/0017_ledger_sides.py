"""Each entry names the account of the house on its other side, what it takes back, and a grant its terms.

Old rows get the side that their kind says. SQLite refuses changes of the ledger from here on, as PostgreSQL does.
"""

from django.db import migrations, models

from billing.migrations._append_only import guard, unguard, writable

TABLE = "billing_ledgerentry"
CONTRA = {
    "top_up": "cash", "refund": "cash", "grant": "promotions", "adjustment": "adjustments", "expiry": "expired",
}  # fmt: skip


def name_sides(apps, schema_editor):
    entries = apps.get_model("billing", "LedgerEntry").objects
    with writable(schema_editor, TABLE):
        for kind, contra in CONTRA.items():
            entries.filter(kind=kind, contra=None).update(contra=contra)


def guard_on_sqlite(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        guard(schema_editor, TABLE, author="created_by_id")


def unguard_on_sqlite(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        unguard(schema_editor, TABLE)


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0016_usage_records_by_month"),
    ]

    operations = [
        migrations.AddField(
            model_name="ledgerentry",
            name="contra",
            field=models.CharField(
                choices=[
                    ("wallets", "wallets"),
                    ("cash", "cash, by hand"),
                    ("cash_stripe", "cash at Stripe"),
                    ("cash_transfer", "cash at the bank"),
                    ("promotions", "promotions"),
                    ("adjustments", "adjustments"),
                    ("expired", "expired credit"),
                    ("write_offs", "write-offs"),
                ],
                editable=False,
                max_length=16,
                null=True,
                verbose_name="other side",
            ),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="expires_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="expires at"),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="of",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=models.PROTECT,
                related_name="followers",
                to="billing.ledgerentry",
                verbose_name="of",
            ),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="priority",
            field=models.SmallIntegerField(blank=True, editable=False, null=True, verbose_name="priority"),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("top_up", "top-up"),
                    ("grant", "grant"),
                    ("refund", "refund"),
                    ("adjustment", "adjustment"),
                    ("expiry", "expiry"),
                    ("write_off", "write-off"),
                ],
                max_length=12,
                verbose_name="kind",
            ),
        ),
        migrations.RunPython(name_sides, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False)), fields=["expires_at"], name="billing_ledger_expiring"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("contra", None),
                    models.Q(
                        ("contra__in", ("cash", "cash_stripe", "cash_transfer")), ("kind__in", ("top_up", "refund"))
                    ),
                    models.Q(("contra", "promotions"), ("kind", "grant")),
                    models.Q(("contra__in", ("adjustments", "cash_stripe", "cash_transfer")), ("kind", "adjustment")),
                    models.Q(("contra", "expired"), ("kind", "expiry")),
                    models.Q(("amount__gt", 0), ("contra", "write_offs"), ("kind", "write_off")),
                    _connector="OR",
                ),
                name="billing_ledger_sides_fit",
            ),
        ),
        migrations.RunPython(guard_on_sqlite, unguard_on_sqlite),
    ]
