"""Redemption codes, alerts of low balances, and large postings that wait for a second person."""

import django.core.validators
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_refused_calls"),
        ("accounts", "__first__"),
        ("billing", "0018_lots_and_draws"),
    ]

    operations = [
        migrations.CreateModel(
            name="BalanceAlert",
            fields=[
                (
                    "balance",
                    models.OneToOneField(
                        on_delete=models.PROTECT,
                        primary_key=True,
                        related_name="alert",
                        serialize=False,
                        to="billing.balance",
                    ),
                ),
                ("threshold", models.BigIntegerField(verbose_name="alert below")),
                ("is_below", models.BooleanField(default=False)),
            ],
            options={
                "verbose_name": "balance alert",
                "verbose_name_plural": "balance alerts",
            },
        ),
        migrations.CreateModel(
            name="Code",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("redeemed_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "code",
                "verbose_name_plural": "codes",
            },
        ),
        migrations.CreateModel(
            name="CodeBatch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("label", models.CharField(max_length=80, verbose_name="label")),
                ("amount", models.BigIntegerField(editable=False, verbose_name="amount")),
                (
                    "currency",
                    models.CharField(choices=[("USD", "USD"), ("VND", "VND")], max_length=3, verbose_name="currency"),
                ),
                (
                    "number",
                    models.PositiveIntegerField(
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(5000),
                        ],
                        verbose_name="number of codes",
                    ),
                ),
                (
                    "per_tenant",
                    models.PositiveIntegerField(
                        default=1,
                        help_text="How many one tenant may redeem.",
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="codes per tenant",
                    ),
                ),
                (
                    "expires_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="Empty: they can be redeemed until they are revoked.",
                        null=True,
                        verbose_name="codes expire at",
                    ),
                ),
                (
                    "grant_days",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="How long the credit lasts once it is redeemed; empty: for ever.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(3650),
                        ],
                        verbose_name="days of the credit",
                    ),
                ),
                (
                    "priority",
                    models.SmallIntegerField(
                        default=0, help_text="Credit with a lower number is spent first.", verbose_name="priority"
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created at"),
                ),
                ("revoked_at", models.DateTimeField(blank=True, editable=False, null=True, verbose_name="revoked at")),
            ],
            options={
                "verbose_name": "batch of codes",
                "verbose_name_plural": "batches of codes",
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="PostingRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
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
                ("amount", models.BigIntegerField(verbose_name="amount")),
                ("reference", models.CharField(max_length=120, unique=True, verbose_name="reference")),
                ("note", models.CharField(max_length=300, verbose_name="reason")),
                ("priority", models.SmallIntegerField(null=True, verbose_name="priority")),
                ("expires_at", models.DateTimeField(null=True, verbose_name="expires at")),
                (
                    "status",
                    models.CharField(
                        choices=[("waiting", "waiting"), ("posted", "posted"), ("rejected", "rejected")],
                        default="waiting",
                        max_length=8,
                        verbose_name="status",
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="requested at")),
                ("decided_at", models.DateTimeField(null=True, verbose_name="decided at")),
            ],
            options={
                "verbose_name": "posting request",
                "verbose_name_plural": "posting requests",
                "ordering": ("-id",),
            },
        ),
        migrations.AddConstraint(
            model_name="balancealert",
            constraint=models.CheckConstraint(condition=models.Q(("threshold__gt", 0)), name="billing_alert_positive"),
        ),
        migrations.AddField(
            model_name="code",
            name="entry",
            field=models.OneToOneField(
                null=True, on_delete=models.PROTECT, related_name="code", to="billing.ledgerentry"
            ),
        ),
        migrations.AddField(
            model_name="code",
            name="tenant",
            field=models.ForeignKey(
                null=True, on_delete=models.PROTECT, related_name="redeemed_codes", to="accounts.tenant"
            ),
        ),
        migrations.AddField(
            model_name="codebatch",
            name="created_by",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=models.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="created by",
            ),
        ),
        migrations.AddField(
            model_name="code",
            name="batch",
            field=models.ForeignKey(on_delete=models.PROTECT, related_name="codes", to="billing.codebatch"),
        ),
        migrations.AddField(
            model_name="postingrequest",
            name="balance",
            field=models.ForeignKey(
                on_delete=models.PROTECT, related_name="posting_requests", to="billing.balance", verbose_name="balance"
            ),
        ),
        migrations.AddField(
            model_name="postingrequest",
            name="created_by",
            field=models.ForeignKey(
                on_delete=models.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="requested by"
            ),
        ),
        migrations.AddField(
            model_name="postingrequest",
            name="decided_by",
            field=models.ForeignKey(
                null=True,
                on_delete=models.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="decided by",
            ),
        ),
        migrations.AddConstraint(
            model_name="codebatch",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="billing_codebatch_amount_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="code",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("entry", None), ("redeemed_at", None), ("tenant", None)),
                    models.Q(("entry__isnull", False), ("redeemed_at__isnull", False), ("tenant__isnull", False)),
                    _connector="OR",
                ),
                name="billing_code_redeemed_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="postingrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("decided_by", None),
                    models.Q(("decided_by", models.F("created_by")), _negated=True),
                    _connector="OR",
                ),
                name="billing_postingrequest_two_persons",
            ),
        ),
        migrations.AddConstraint(
            model_name="postingrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("decided_by", None), ("status", "waiting")),
                    models.Q(("decided_by__isnull", False), ("status__in", ("posted", "rejected"))),
                    _connector="OR",
                ),
                name="billing_postingrequest_decided_by_somebody",
            ),
        ),
    ]
