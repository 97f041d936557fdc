"""Orders, refunds, disputes, transfers, exchange rates, saved cards and automatic top-ups."""

import uuid

import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_refused_calls"),
        ("billing", "0019_codes_alerts_and_requests"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PaymentOrder",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "gateway",
                    models.CharField(
                        choices=[("stripe", "card (Stripe)"), ("bank", "bank transfer")],
                        max_length=12,
                        verbose_name="gateway",
                    ),
                ),
                (
                    "pay_currency",
                    models.CharField(choices=[("USD", "USD"), ("VND", "VND")], max_length=3, verbose_name="paid in"),
                ),
                ("pay_amount", models.BigIntegerField(verbose_name="to be paid")),
                (
                    "credit_currency",
                    models.CharField(
                        choices=[("USD", "USD"), ("VND", "VND")], max_length=3, verbose_name="credited in"
                    ),
                ),
                ("credit_amount", models.BigIntegerField(verbose_name="to be credited")),
                ("bonus", models.BigIntegerField(default=0, verbose_name="bonus")),
                ("rate", models.BigIntegerField(blank=True, null=True, verbose_name="exchange rate")),
                ("rate_source", models.CharField(blank=True, max_length=120, verbose_name="source of the rate")),
                ("rate_at", models.DateTimeField(blank=True, null=True, verbose_name="time of the rate")),
                ("is_automatic", models.BooleanField(default=False, verbose_name="automatic")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created at"),
                ),
                ("expires_at", models.DateTimeField(verbose_name="expires at")),
                ("memo", models.CharField(blank=True, max_length=12, null=True, unique=True, verbose_name="memo code")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "open"),
                            ("paid", "paid"),
                            ("expired", "expired"),
                            ("failed", "failed"),
                            ("partly_refunded", "partly refunded"),
                            ("refunded", "refunded"),
                        ],
                        default="open",
                        max_length=16,
                        verbose_name="state",
                    ),
                ),
                (
                    "session_id",
                    models.CharField(
                        blank=True, max_length=120, null=True, unique=True, verbose_name="Checkout session"
                    ),
                ),
                (
                    "payment_id",
                    models.CharField(blank=True, max_length=120, null=True, unique=True, verbose_name="payment"),
                ),
                ("received", models.BigIntegerField(default=0, verbose_name="received")),
                ("credited", models.BigIntegerField(default=0, verbose_name="credited")),
                ("refunded", models.BigIntegerField(default=0, verbose_name="refunded")),
                ("disputed", models.BigIntegerField(default=0, verbose_name="disputed")),
                ("paid_at", models.DateTimeField(blank=True, null=True, verbose_name="paid at")),
                ("look_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="created by",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payment_orders",
                        to="accounts.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "payment order",
                "verbose_name_plural": "payment orders",
                "ordering": ("-created_at",),
            },
        ),
        migrations.CreateModel(
            name="PaymentEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "gateway",
                    models.CharField(
                        choices=[("stripe", "card (Stripe)"), ("bank", "bank transfer")],
                        max_length=12,
                        verbose_name="gateway",
                    ),
                ),
                ("external_id", models.CharField(max_length=120, verbose_name="the gateway's name")),
                ("type", models.CharField(max_length=80, verbose_name="type")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created at"),
                ),
                (
                    "order",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="billing.paymentorder",
                        verbose_name="order",
                    ),
                ),
            ],
            options={
                "verbose_name": "payment event",
                "verbose_name_plural": "payment events",
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="PaymentDispute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("external_id", models.CharField(max_length=120, unique=True, verbose_name="the gateway's name")),
                ("amount", models.BigIntegerField(verbose_name="amount")),
                ("taken", models.BigIntegerField(verbose_name="taken from the wallet")),
                (
                    "state",
                    models.CharField(
                        choices=[("open", "open"), ("won", "won"), ("lost", "lost")],
                        default="open",
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=60, verbose_name="reason")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created at"),
                ),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="closed at")),
                (
                    "order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="billing.paymentorder",
                        verbose_name="order",
                    ),
                ),
            ],
            options={
                "verbose_name": "dispute",
                "verbose_name_plural": "disputes",
                "ordering": ("-created_at",),
            },
        ),
        migrations.CreateModel(
            name="PaymentAlarm",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("crossed", "event of another gateway"),
                            ("unknown_order", "payment for an order that is not known"),
                            ("mismatch", "payment that differs from its order"),
                            ("conflict", "one transfer told in two ways"),
                            ("refund", "refund that failed"),
                            ("dispute", "disputed payment"),
                            ("automatic", "automatic top-up that stopped"),
                        ],
                        max_length=16,
                        verbose_name="kind",
                    ),
                ),
                (
                    "gateway",
                    models.CharField(
                        choices=[("stripe", "card (Stripe)"), ("bank", "bank transfer")],
                        max_length=12,
                        verbose_name="gateway",
                    ),
                ),
                ("reference", models.CharField(max_length=120, verbose_name="reference")),
                ("detail", models.CharField(max_length=300, verbose_name="detail")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created at"),
                ),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="closed at")),
                ("note", models.CharField(blank=True, max_length=300, verbose_name="note")),
                (
                    "closed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="closed by",
                    ),
                ),
                (
                    "order",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="alarms",
                        to="billing.paymentorder",
                        verbose_name="order",
                    ),
                ),
            ],
            options={
                "verbose_name": "payment alarm",
                "verbose_name_plural": "payment alarms",
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="BankTransfer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.CharField(max_length=120, unique=True, verbose_name="reference")),
                ("amount", models.BigIntegerField(verbose_name="amount")),
                (
                    "currency",
                    models.CharField(choices=[("USD", "USD"), ("VND", "VND")], max_length=3, verbose_name="currency"),
                ),
                ("text", models.CharField(blank=True, max_length=300, verbose_name="text")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("matched", "matched"),
                            ("unmatched", "waiting for an operator"),
                            ("returned", "returned"),
                        ],
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                (
                    "doubt",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("no_memo", "no memo code in it"),
                            ("unknown_memo", "no order has its memo code"),
                            ("late", "after the order had expired"),
                            ("under", "less than the order asks for"),
                            ("over", "more than the order asks for"),
                            ("twice", "its order was paid already"),
                        ],
                        max_length=16,
                        verbose_name="doubt",
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=300, verbose_name="note")),
                ("handled_at", models.DateTimeField(blank=True, null=True, verbose_name="handled at")),
                (
                    "arrived_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="arrived at"),
                ),
                (
                    "handled_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="handled by",
                    ),
                ),
                (
                    "order",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="transfers",
                        to="billing.paymentorder",
                        verbose_name="order",
                    ),
                ),
            ],
            options={
                "verbose_name": "bank transfer",
                "verbose_name_plural": "bank transfers",
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="PaymentRefund",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("amount", models.BigIntegerField(verbose_name="amount")),
                ("taken", models.BigIntegerField(verbose_name="taken from the wallet")),
                ("taken_bonus", models.BigIntegerField(default=0, verbose_name="bonus taken back")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("requested", "requested"),
                            ("approved", "approved"),
                            ("sent", "sent"),
                            ("done", "done"),
                            ("failed", "failed"),
                            ("rejected", "rejected"),
                        ],
                        default="requested",
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                (
                    "may_overdraw",
                    models.BooleanField(
                        default=False,
                        help_text="Also if the wallet has spent the money already.",
                        verbose_name="may overdraw",
                    ),
                ),
                ("is_from_gateway", models.BooleanField(default=False, verbose_name="made at the gateway")),
                (
                    "external_id",
                    models.CharField(
                        blank=True, max_length=120, null=True, unique=True, verbose_name="the gateway's name"
                    ),
                ),
                ("failure", models.CharField(blank=True, max_length=300, verbose_name="failure")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created at"),
                ),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="closed at")),
                ("look_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "approved_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="approved by",
                    ),
                ),
                (
                    "order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="refunds",
                        to="billing.paymentorder",
                        verbose_name="order",
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="requested by",
                    ),
                ),
            ],
            options={
                "verbose_name": "refund",
                "verbose_name_plural": "refunds",
                "ordering": ("-created_at",),
            },
        ),
        migrations.CreateModel(
            name="SavedCard",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "customer_id",
                    models.CharField(blank=True, max_length=120, null=True, unique=True, verbose_name="customer"),
                ),
                ("method_id", models.CharField(blank=True, max_length=120, verbose_name="payment method")),
                ("brand", models.CharField(blank=True, max_length=40, verbose_name="brand")),
                ("last_four", models.CharField(blank=True, max_length=4, verbose_name="last four")),
                ("saved_at", models.DateTimeField(blank=True, null=True, verbose_name="saved at")),
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="saved_card",
                        to="accounts.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "saved card",
                "verbose_name_plural": "saved cards",
            },
        ),
        migrations.CreateModel(
            name="AutomaticTopUp",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("is_on", models.BooleanField(default=False, verbose_name="on")),
                ("threshold", models.BigIntegerField(verbose_name="threshold")),
                ("amount", models.BigIntegerField(verbose_name="amount")),
                ("monthly_ceiling", models.BigIntegerField(verbose_name="monthly ceiling")),
                ("failures", models.PositiveSmallIntegerField(default=0, verbose_name="failures in a row")),
                ("rests_until", models.DateTimeField(blank=True, null=True, verbose_name="rests until")),
                ("is_mail_due", models.BooleanField(default=False, editable=False)),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="changed at")),
                (
                    "changed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="changed by",
                    ),
                ),
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="automatic_top_up",
                        to="accounts.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "automatic top-up",
                "verbose_name_plural": "automatic top-ups",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("amount__gt", 0), ("monthly_ceiling__gte", models.F("amount")), ("threshold__gte", 0)
                        ),
                        name="billing_automatic_amounts",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ExchangeRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "currency",
                    models.CharField(
                        choices=[("USD", "USD"), ("VND", "VND")],
                        default="USD",
                        max_length=3,
                        verbose_name="one unit of",
                    ),
                ),
                (
                    "in_currency",
                    models.CharField(
                        choices=[("USD", "USD"), ("VND", "VND")], default="VND", max_length=3, verbose_name="costs in"
                    ),
                ),
                ("rate", models.BigIntegerField(verbose_name="exchange rate")),
                (
                    "source",
                    models.CharField(help_text="Such as a bank's selling rate.", max_length=120, verbose_name="source"),
                ),
                ("at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="time of the rate")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created at"),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="created by",
                    ),
                ),
            ],
            options={
                "verbose_name": "exchange rate",
                "verbose_name_plural": "exchange rates",
                "ordering": ("-at", "-id"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("rate__gt", 0), models.Q(("currency", models.F("in_currency")), _negated=True)
                        ),
                        name="billing_rate_sound",
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="paymentorder",
            index=models.Index(fields=["tenant", "-created_at"], name="billing_order_tenant"),
        ),
        migrations.AddIndex(
            model_name="paymentorder",
            index=models.Index(
                condition=models.Q(("look_at__isnull", False)), fields=["look_at"], name="billing_order_look"
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentorder",
            constraint=models.CheckConstraint(
                condition=models.Q(("bonus__gte", 0), ("credit_amount__gt", 0), ("pay_amount__gt", 0)),
                name="billing_order_amounts",
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentorder",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("credited__gte", 0),
                    ("disputed__gte", 0),
                    ("refunded__gte", 0),
                    (
                        "received__gte",
                        django.db.models.expressions.CombinedExpression(
                            models.F("refunded"), "+", models.F("disputed")
                        ),
                    ),
                ),
                name="billing_order_at_most_what_was_paid",
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentorder",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("pay_currency", models.F("credit_currency")), ("rate", None)),
                    models.Q(
                        ("rate__gt", 0),
                        ("rate_at__isnull", False),
                        models.Q(("pay_currency", models.F("credit_currency")), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="billing_order_rate_where_it_belongs",
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentorder",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("credited", 0), ("received", 0), ("state__in", ("open", "expired", "failed"))),
                    models.Q(
                        ("credited__gt", 0), ("received__gt", 0), ("state__in", ("paid", "partly_refunded", "refunded"))
                    ),
                    _connector="OR",
                ),
                name="billing_order_paid_or_not",
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentorder",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_automatic", True), ("state", "open")),
                fields=("tenant",),
                name="billing_order_one_automatic",
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentevent",
            constraint=models.UniqueConstraint(fields=("gateway", "external_id"), name="billing_payment_event_once"),
        ),
        migrations.AddConstraint(
            model_name="paymentdispute",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gte", 0), ("taken__gte", 0)), name="billing_dispute_amounts"
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentalarm",
            constraint=models.UniqueConstraint(fields=("kind", "reference"), name="billing_payment_alarm_once"),
        ),
        migrations.AddConstraint(
            model_name="banktransfer",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="billing_transfer_amount"),
        ),
        migrations.AddConstraint(
            model_name="paymentrefund",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0), ("taken__gte", 0), ("taken_bonus__gte", 0)),
                name="billing_refund_amounts",
            ),
        ),
    ]
