"""Calls that were refused before any upstream was asked, by tenant, API key, error code and minute."""

import django.db.models.deletion
import django.db.models.functions.comparison
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_apikey_allowed_origins")]
    operations = [
        migrations.CreateModel(
            name="RefusedCall",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=64, verbose_name="error code")),
                ("minute", models.DateTimeField(verbose_name="minute")),
                ("count", models.BigIntegerField(verbose_name="calls")),
                ("at", models.DateTimeField(verbose_name="last at")),
                ("status", models.PositiveSmallIntegerField(verbose_name="HTTP status")),
                ("message", models.CharField(max_length=300, verbose_name="message")),
                ("param", models.CharField(blank=True, max_length=300, verbose_name="field")),
                ("model", models.CharField(blank=True, max_length=300, verbose_name="model")),
                ("path", models.CharField(blank=True, max_length=300, verbose_name="path")),
                (
                    "api_key",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.apikey",
                        verbose_name="API key",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="refused_calls",
                        to="accounts.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "refused call",
                "verbose_name_plural": "refused calls",
                "indexes": [
                    models.Index(fields=["tenant", "minute"], name="accounts_refused_tenant_minute"),
                    models.Index(fields=["minute"], name="accounts_refused_minute"),
                    models.Index(
                        fields=["tenant", "api_key", "code", "minute", "count"], name="accounts_refused_kinds"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        django.db.models.functions.comparison.Coalesce(
                            "tenant", 0, output_field=models.BigIntegerField()
                        ),
                        django.db.models.functions.comparison.Coalesce(
                            "api_key", 0, output_field=models.BigIntegerField()
                        ),
                        models.F("code"),
                        models.F("minute"),
                        name="accounts_refused_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("count__gte", 1)), name="accounts_refused_count_positive"
                    ),
                ],
            },
        ),
    ]
