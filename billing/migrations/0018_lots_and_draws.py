"""What came into wallets, what is left of it, and what it was spent on."""

from django.db import migrations, models

from billing.migrations._append_only import guard, unguard


def guard_draws(apps, schema_editor):
    guard(schema_editor, "billing_draw")


def unguard_draws(apps, schema_editor):
    unguard(schema_editor, "billing_draw")


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0017_ledger_sides"),
    ]

    operations = [
        migrations.CreateModel(
            name="Draw",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount", models.BigIntegerField()),
                ("since", models.DateTimeField(null=True)),
                ("at", models.DateTimeField()),
                ("record", models.UUIDField(null=True)),
            ],
            options={
                "verbose_name": "draw",
                "verbose_name_plural": "draws",
            },
        ),
        migrations.CreateModel(
            name="Drawing",
            fields=[
                (
                    "balance",
                    models.OneToOneField(
                        on_delete=models.PROTECT,
                        primary_key=True,
                        related_name="drawing",
                        serialize=False,
                        to="billing.balance",
                    ),
                ),
                ("until", models.DateTimeField()),
                ("posted", models.BigIntegerField(default=0)),
                ("in_flight", models.JSONField(default=list)),
            ],
            options={
                "verbose_name": "state of the draws",
                "verbose_name_plural": "state of the draws",
            },
        ),
        migrations.CreateModel(
            name="Lot",
            fields=[
                (
                    "entry",
                    models.OneToOneField(
                        on_delete=models.PROTECT,
                        primary_key=True,
                        related_name="lot",
                        serialize=False,
                        to="billing.ledgerentry",
                    ),
                ),
                ("amount", models.BigIntegerField(verbose_name="amount")),
                ("rest", models.BigIntegerField(verbose_name="rest")),
                ("is_granted", models.BooleanField(verbose_name="granted")),
                ("priority", models.SmallIntegerField(default=0, verbose_name="priority")),
                ("starts_at", models.DateTimeField(verbose_name="given at")),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="expires at")),
            ],
            options={
                "verbose_name": "lot",
                "verbose_name_plural": "lots",
                "ordering": ("-entry_id",),
            },
        ),
        migrations.AddField(
            model_name="draw",
            name="balance",
            field=models.ForeignKey(
                db_index=False, on_delete=models.PROTECT, related_name="draws", to="billing.balance"
            ),
        ),
        migrations.AddField(
            model_name="draw",
            name="entry",
            field=models.ForeignKey(
                null=True, on_delete=models.PROTECT, related_name="draws", to="billing.ledgerentry"
            ),
        ),
        migrations.AddField(
            model_name="draw",
            name="of",
            field=models.ForeignKey(null=True, on_delete=models.PROTECT, related_name="followers", to="billing.draw"),
        ),
        migrations.AddField(
            model_name="lot",
            name="balance",
            field=models.ForeignKey(
                on_delete=models.PROTECT, related_name="lots", to="billing.balance", verbose_name="balance"
            ),
        ),
        migrations.AddField(
            model_name="draw",
            name="lot",
            field=models.ForeignKey(null=True, on_delete=models.PROTECT, related_name="draws", to="billing.lot"),
        ),
        migrations.AddIndex(
            model_name="lot",
            index=models.Index(condition=models.Q(("rest__gt", 0)), fields=["expires_at"], name="billing_lot_expiring"),
        ),
        migrations.AddIndex(
            model_name="lot",
            index=models.Index(condition=models.Q(("rest__gt", 0)), fields=["balance"], name="billing_lot_open"),
        ),
        migrations.AddConstraint(
            model_name="lot",
            constraint=models.CheckConstraint(
                condition=models.Q(("rest__gte", 0), ("rest__lte", models.F("amount"))),
                name="billing_lot_rest_within_amount",
            ),
        ),
        migrations.AddIndex(
            model_name="draw",
            index=models.Index(fields=["balance", "at"], name="billing_draw_wallet"),
        ),
        migrations.AddConstraint(
            model_name="draw",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount", 0), _negated=True), name="billing_draw_not_zero"
            ),
        ),
        migrations.AddConstraint(
            model_name="draw",
            constraint=models.UniqueConstraint(
                condition=models.Q(("of", None), ("since__isnull", False)),
                fields=("balance", "lot", "since", "at"),
                name="billing_draw_stretch_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="draw",
            constraint=models.UniqueConstraint(
                condition=models.Q(("of", None), ("record__isnull", False)),
                fields=("record", "lot"),
                name="billing_draw_record_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="draw",
            constraint=models.UniqueConstraint(
                condition=models.Q(("entry__isnull", False), ("of", None)),
                fields=("entry", "lot"),
                name="billing_draw_entry_once",
            ),
        ),
        migrations.RunPython(guard_draws, unguard_draws),
    ]
