"""Roll-ups; quotas per session, defaults for new members and keys, and what was mailed of a period."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_refused_calls"),
        ("billing", "0012_price_plans"),
    ]

    operations = [
        migrations.CreateModel(
            name="QuotaDefault",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "about",
                    models.CharField(
                        choices=[("member", "each new member"), ("key", "each new key")],
                        max_length=6,
                        verbose_name="whose",
                    ),
                ),
                (
                    "period",
                    models.CharField(
                        choices=[
                            ("day", "per day"),
                            ("week", "per week"),
                            ("month", "per month"),
                            ("total", "in total"),
                            ("session", "per session"),
                        ],
                        default="month",
                        max_length=8,
                        verbose_name="period",
                    ),
                ),
                (
                    "amount",
                    models.BigIntegerField(
                        validators=[django.core.validators.MinValueValidator(0)], verbose_name="amount"
                    ),
                ),
                ("is_hard", models.BooleanField(default=True, verbose_name="hard")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created at"),
                ),
            ],
            options={
                "verbose_name": "default quota",
                "verbose_name_plural": "default quotas",
                "ordering": ("tenant_id", "id"),
            },
        ),
        migrations.CreateModel(
            name="RollupState",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("complete_until", models.DateTimeField()),
            ],
            options={
                "verbose_name": "state of the roll-ups",
                "verbose_name_plural": "state of the roll-ups",
            },
        ),
        migrations.CreateModel(
            name="UsageRollup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("starts_at", models.DateTimeField(verbose_name="begins")),
                ("model", models.CharField(max_length=200, verbose_name="model")),
                ("channel", models.CharField(max_length=120, verbose_name="channel")),
                ("upstream_model", models.CharField(max_length=200, verbose_name="upstream model")),
                ("currency", models.CharField(max_length=3, verbose_name="currency")),
                ("provider_currency", models.CharField(max_length=3, verbose_name="provider currency")),
                ("requests", models.BigIntegerField(verbose_name="requests")),
                ("cost", models.BigIntegerField(verbose_name="cost")),
                ("claimed_cost", models.BigIntegerField(verbose_name="claimed cost")),
                ("provider_cost", models.BigIntegerField(verbose_name="provider cost")),
                ("input_tokens", models.BigIntegerField(default=0, verbose_name="input tokens")),
                ("cached_input_tokens", models.BigIntegerField(default=0, verbose_name="cached input tokens")),
                ("cache_write_tokens", models.BigIntegerField(default=0, verbose_name="cache write tokens")),
                ("input_audio_tokens", models.BigIntegerField(default=0, verbose_name="input audio tokens")),
                ("output_tokens", models.BigIntegerField(default=0, verbose_name="output tokens")),
                ("reasoning_tokens", models.BigIntegerField(default=0, verbose_name="reasoning tokens")),
                ("output_audio_tokens", models.BigIntegerField(default=0, verbose_name="output audio tokens")),
                ("images", models.BigIntegerField(default=0, verbose_name="images")),
            ],
            options={
                "verbose_name": "roll-up",
                "verbose_name_plural": "roll-ups",
            },
        ),
        migrations.RemoveConstraint(
            model_name="balance",
            name="billing_balance_one_period",
        ),
        migrations.AddField(
            model_name="balance",
            name="notified",
            field=models.PositiveSmallIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="balance",
            name="session",
            field=models.CharField(blank=True, default="", editable=False, max_length=40, verbose_name="session"),
        ),
        migrations.AlterField(
            model_name="quota",
            name="period",
            field=models.CharField(
                choices=[
                    ("day", "per day"),
                    ("week", "per week"),
                    ("month", "per month"),
                    ("total", "in total"),
                    ("session", "per session"),
                ],
                default="month",
                max_length=8,
                verbose_name="period",
            ),
        ),
        migrations.AddIndex(
            model_name="balance",
            index=models.Index(
                condition=models.Q(("kind", "quota")), fields=["ends_at"], name="billing_balance_periods"
            ),
        ),
        migrations.AddConstraint(
            model_name="balance",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "quota"), ("session", "")),
                fields=("quota", "starts_at"),
                name="billing_balance_one_period",
            ),
        ),
        migrations.AddConstraint(
            model_name="balance",
            constraint=models.UniqueConstraint(
                condition=models.Q(("session", ""), _negated=True),
                fields=("quota", "session"),
                name="billing_balance_one_session",
            ),
        ),
        migrations.AddField(
            model_name="quotadefault",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="quota_defaults",
                to="accounts.tenant",
                verbose_name="tenant",
            ),
        ),
        migrations.AddField(
            model_name="usagerollup",
            name="api_key",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="accounts.apikey",
            ),
        ),
        migrations.AddField(
            model_name="usagerollup",
            name="tenant",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="accounts.tenant",
            ),
        ),
        migrations.AddConstraint(
            model_name="quotadefault",
            constraint=models.UniqueConstraint(
                fields=("tenant", "about", "period"),
                name="billing_quotadefault_one_each",
                violation_error_message="There is a quota of this kind already.",
            ),
        ),
        migrations.AddConstraint(
            model_name="quotadefault",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gte", 0)), name="billing_quotadefault_amount"
            ),
        ),
        migrations.AddIndex(
            model_name="usagerollup",
            index=models.Index(fields=["tenant", "starts_at"], name="billing_rollup_tenant"),
        ),
        migrations.AddIndex(
            model_name="usagerollup",
            index=models.Index(fields=["api_key", "starts_at"], name="billing_rollup_key"),
        ),
        migrations.AddIndex(
            model_name="usagerollup",
            index=models.Index(fields=["starts_at"], name="billing_rollup_time"),
        ),
    ]
