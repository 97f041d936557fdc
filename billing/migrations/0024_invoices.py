"""Billing periods, their documents, and who sells and buys."""

import uuid
from decimal import Decimal

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_refused_calls"),
        ("billing", "0023_closed_through"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BillingPeriod",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("month", models.PositiveIntegerField(verbose_name="month")),
                (
                    "cut",
                    models.CharField(
                        choices=[
                            ("opening", "what was before"),
                            ("month", "end of the month"),
                            ("threshold", "threshold reached"),
                        ],
                        max_length=10,
                        verbose_name="closed because of",
                    ),
                ),
                ("starts_at", models.DateTimeField(verbose_name="begins")),
                ("ends_at", models.DateTimeField(verbose_name="ends")),
                ("time_zone", models.CharField(max_length=64, verbose_name="time zone")),
                ("is_postpaid", models.BooleanField(default=False, verbose_name="post-paid")),
                ("opening", models.BigIntegerField(editable=False, null=True)),
                ("closed_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="closed at")),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="periods",
                        to="accounts.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "wallet",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="periods",
                        to="billing.balance",
                        verbose_name="wallet",
                    ),
                ),
            ],
            options={
                "verbose_name": "billing period",
                "verbose_name_plural": "billing periods",
                "ordering": ("wallet", "id"),
            },
        ),
        migrations.CreateModel(
            name="EmptyPeriod",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "period",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="empty",
                        to="billing.billingperiod",
                        verbose_name="period",
                    ),
                ),
            ],
            options={
                "verbose_name": "empty period",
                "verbose_name_plural": "empty periods",
            },
        ),
        migrations.CreateModel(
            name="Invoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("statement", "statement"), ("invoice", "invoice")], max_length=10, verbose_name="kind"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("draft", "draft"), ("final", "final"), ("paid", "paid"), ("void", "void")],
                        default="draft",
                        max_length=6,
                        verbose_name="state",
                    ),
                ),
                ("currency", models.CharField(max_length=3, verbose_name="currency")),
                ("content", models.JSONField(default=dict, verbose_name="content")),
                ("content_hash", models.CharField(max_length=64)),
                ("opening", models.BigIntegerField(verbose_name="opening balance")),
                ("closing", models.BigIntegerField(verbose_name="closing balance")),
                ("used", models.BigIntegerField(verbose_name="used")),
                ("carried", models.BigIntegerField(default=0)),
                ("total", models.BigIntegerField(blank=True, null=True, verbose_name="total")),
                ("drafted_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="drafted at")),
                ("number", models.CharField(blank=True, max_length=60, null=True, unique=True, verbose_name="number")),
                ("issued_on", models.DateField(blank=True, null=True, verbose_name="issued on")),
                ("snapshot", models.TextField(blank=True, verbose_name="snapshot")),
                ("snapshot_hash", models.CharField(blank=True, max_length=64, verbose_name="SHA-256 of the snapshot")),
                ("finalised_at", models.DateTimeField(blank=True, null=True, verbose_name="finalised at")),
                ("paid_at", models.DateTimeField(blank=True, null=True, verbose_name="paid at")),
                ("voided_at", models.DateTimeField(blank=True, null=True, verbose_name="voided at")),
                ("reason", models.CharField(blank=True, max_length=300, verbose_name="reason")),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoices",
                        to="billing.billingperiod",
                        verbose_name="period",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoices",
                        to="accounts.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "invoice or statement",
                "verbose_name_plural": "invoices and statements",
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="CreditNote",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("number", models.CharField(max_length=60, unique=True, verbose_name="number")),
                (
                    "effect",
                    models.CharField(
                        choices=[
                            ("wallet", "credited to the wallet"),
                            ("offset", "taken off what is due"),
                            ("paid_out", "paid out"),
                        ],
                        max_length=10,
                        verbose_name="effect",
                    ),
                ),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                ("lines", models.JSONField(verbose_name="lines")),
                ("taxes", models.JSONField(verbose_name="taxes")),
                ("net", models.BigIntegerField(verbose_name="before taxes")),
                ("total", models.BigIntegerField(verbose_name="total")),
                ("snapshot", models.TextField(verbose_name="snapshot")),
                ("snapshot_hash", models.CharField(max_length=64, verbose_name="SHA-256 of the snapshot")),
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
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credit_notes",
                        to="billing.invoice",
                        verbose_name="document",
                    ),
                ),
            ],
            options={
                "verbose_name": "credit note",
                "verbose_name_plural": "credit notes",
                "ordering": ("-created_at",),
            },
        ),
        migrations.CreateModel(
            name="InvoiceMail",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("claimed_at", models.DateTimeField(null=True, verbose_name="begun at")),
                ("sent_at", models.DateTimeField(null=True, verbose_name="sent at")),
                ("recipients", models.JSONField(default=list, verbose_name="recipients")),
                (
                    "invoice",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="mail",
                        to="billing.invoice",
                        verbose_name="document",
                    ),
                ),
            ],
            options={
                "verbose_name": "mail of a document",
                "verbose_name_plural": "mails of documents",
            },
        ),
        migrations.CreateModel(
            name="JobRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                ("slot", models.CharField(max_length=40, verbose_name="slot")),
                ("started_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="started at")),
                ("finished_at", models.DateTimeField(null=True, verbose_name="finished at")),
                ("outcome", models.CharField(default="", max_length=300, verbose_name="outcome")),
            ],
            options={
                "verbose_name": "job run",
                "verbose_name_plural": "job runs",
                "ordering": ("-id",),
                "constraints": [models.UniqueConstraint(fields=("name", "slot"), name="billing_job_run_once")],
            },
        ),
        migrations.CreateModel(
            name="LegalEntity",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200, verbose_name="name")),
                ("address", models.TextField(max_length=600, verbose_name="address")),
                (
                    "country",
                    models.CharField(
                        max_length=2,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z]{2}\\Z", "Two capital letters, such as VN (ISO 3166-1)."
                            )
                        ],
                        verbose_name="country",
                    ),
                ),
                ("tax_id", models.CharField(blank=True, max_length=40, verbose_name="tax id")),
                (
                    "bank",
                    models.TextField(
                        blank=True, help_text="As it stands on invoices.", max_length=600, verbose_name="bank account"
                    ),
                ),
                ("email", models.EmailField(blank=True, max_length=254, verbose_name="e-mail address")),
                (
                    "prefix",
                    models.CharField(
                        max_length=8,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator("^[A-Z0-9]+\\Z", "Capital letters and digits.")
                        ],
                        verbose_name="prefix of numbers",
                    ),
                ),
                (
                    "numbering",
                    models.CharField(
                        choices=[("entity", "one series for all tenants"), ("tenant", "a series for each tenant")],
                        default="entity",
                        max_length=8,
                        verbose_name="numbering",
                    ),
                ),
                (
                    "time_zone",
                    models.CharField(
                        default="UTC",
                        help_text="Of the dates on its documents.",
                        max_length=64,
                        verbose_name="time zone",
                    ),
                ),
                (
                    "is_default",
                    models.BooleanField(
                        default=False,
                        help_text="Sells to every tenant whose billing profile names no other.",
                        verbose_name="default",
                    ),
                ),
            ],
            options={
                "verbose_name": "legal entity",
                "verbose_name_plural": "legal entities",
                "ordering": ("name",),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("is_default", True)),
                        fields=("is_default",),
                        name="billing_one_default_seller",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="invoice",
            name="entity",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.legalentity",
                verbose_name="sold by",
            ),
        ),
        migrations.CreateModel(
            name="BillingProfile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200, verbose_name="name on invoices")),
                ("address", models.TextField(blank=True, max_length=600, verbose_name="address")),
                (
                    "country",
                    models.CharField(
                        blank=True,
                        help_text="Two letters, such as VN.",
                        max_length=2,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z]{2}\\Z", "Two capital letters, such as VN (ISO 3166-1)."
                            )
                        ],
                        verbose_name="country",
                    ),
                ),
                ("tax_id", models.CharField(blank=True, max_length=40, verbose_name="tax id")),
                (
                    "email",
                    models.EmailField(
                        blank=True,
                        help_text="Empty: owners and billing members get them.",
                        max_length=254,
                        verbose_name="e-mail address for invoices",
                    ),
                ),
                (
                    "language",
                    models.CharField(
                        choices=[("en", "English"), ("vi", "Tiếng Việt")],
                        default="en",
                        max_length=5,
                        verbose_name="language of invoices",
                    ),
                ),
                (
                    "billed",
                    models.CharField(
                        choices=[
                            ("prepaid", "prepaid: a statement each month"),
                            ("postpaid", "post-paid: an invoice each month"),
                        ],
                        default="prepaid",
                        max_length=8,
                        verbose_name="billed",
                    ),
                ),
                (
                    "threshold",
                    models.BigIntegerField(
                        blank=True,
                        help_text="Ledger units of unbilled usage; an invoice is drafted as soon as they are passed.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="invoice at",
                    ),
                ),
                (
                    "tax_exemption",
                    models.CharField(
                        blank=True,
                        help_text="The certificate's number; no tax is added.",
                        max_length=80,
                        verbose_name="tax exemption",
                    ),
                ),
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="billing_profile",
                        to="accounts.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "entity",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: the default legal entity.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.legalentity",
                        verbose_name="sold by",
                    ),
                ),
            ],
            options={
                "verbose_name": "billing profile",
                "verbose_name_plural": "billing profiles",
                "ordering": ("tenant_id",),
            },
        ),
        migrations.CreateModel(
            name="NumberSeries",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("invoice", "invoice"), ("statement", "statement"), ("credit_note", "credit note")],
                        max_length=12,
                        verbose_name="kind",
                    ),
                ),
                ("year", models.PositiveSmallIntegerField(verbose_name="year")),
                ("last", models.PositiveIntegerField(default=0, verbose_name="last number")),
                (
                    "entity",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="series",
                        to="billing.legalentity",
                        verbose_name="legal entity",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: of all tenants.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "number series",
                "verbose_name_plural": "number series",
                "ordering": ("entity", "kind", "-year", "tenant"),
            },
        ),
        migrations.CreateModel(
            name="ParkedTenant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "step",
                    models.CharField(
                        choices=[
                            ("close", "closing the month"),
                            ("finalise", "finalising"),
                            ("mail", "sending mail"),
                        ],
                        max_length=12,
                        verbose_name="step",
                    ),
                ),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                ("since", models.DateTimeField(default=django.utils.timezone.now, verbose_name="since")),
                ("attempts", models.PositiveIntegerField(default=1, verbose_name="attempts")),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="parked",
                        to="accounts.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "parked tenant",
                "verbose_name_plural": "parked tenants",
                "ordering": ("-since",),
            },
        ),
        migrations.CreateModel(
            name="PeriodEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "entry",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="period",
                        to="billing.ledgerentry",
                        verbose_name="ledger entry",
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="entries",
                        to="billing.billingperiod",
                        verbose_name="period",
                    ),
                ),
            ],
            options={
                "verbose_name": "ledger entry of a period",
                "verbose_name_plural": "ledger entries of periods",
            },
        ),
        migrations.CreateModel(
            name="TaxRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "jurisdiction",
                    models.CharField(
                        max_length=2,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z]{2}\\Z", "Two capital letters, such as VN (ISO 3166-1)."
                            )
                        ],
                        verbose_name="country of the buyer",
                    ),
                ),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                (
                    "percent",
                    models.DecimalField(
                        decimal_places=5,
                        max_digits=8,
                        validators=[
                            django.core.validators.MinValueValidator(Decimal(0)),
                            django.core.validators.MaxValueValidator(Decimal(100)),
                        ],
                        verbose_name="percent",
                    ),
                ),
                ("starts_on", models.DateField(default=django.utils.timezone.localdate, verbose_name="from")),
                (
                    "ends_on",
                    models.DateField(
                        blank=True, help_text="The last day; empty: until further notice.", null=True, verbose_name="to"
                    ),
                ),
                (
                    "is_inclusive",
                    models.BooleanField(
                        default=False,
                        help_text="It is extracted from the amounts instead of added.",
                        verbose_name="included in prices",
                    ),
                ),
                (
                    "is_reverse_charge",
                    models.BooleanField(
                        default=False,
                        help_text="A buyer abroad with a tax id owes it; the invoice says so and adds nothing.",
                        verbose_name="reverse charge",
                    ),
                ),
                (
                    "is_on_statements",
                    models.BooleanField(
                        default=False,
                        help_text="Where usage that was paid in advance is a taxed sale. It must be included in prices.",
                        verbose_name="on statements of prepaid tenants",
                    ),
                ),
            ],
            options={
                "verbose_name": "tax rate",
                "verbose_name_plural": "tax rates",
                "ordering": ("jurisdiction", "name", "-starts_on"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("ends_on", None), ("ends_on__gte", models.F("starts_on")), _connector="OR"),
                        name="billing_tax_rate_ends_later",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("is_on_statements", False), ("is_inclusive", True), _connector="OR"),
                        name="billing_tax_on_statements_is_inclusive",
                    ),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="billingperiod",
            constraint=models.UniqueConstraint(fields=("wallet", "ends_at"), name="billing_period_ends_once"),
        ),
        migrations.AddConstraint(
            model_name="billingperiod",
            constraint=models.UniqueConstraint(
                condition=models.Q(("cut", "month")), fields=("wallet", "month"), name="billing_period_month_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="billingperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("cut", "opening"), ("ends_at", models.F("starts_at"))),
                    ("ends_at__gt", models.F("starts_at")),
                    _connector="OR",
                ),
                name="billing_period_has_length",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditnote",
            constraint=models.CheckConstraint(
                condition=models.Q(("total__gt", 0)), name="billing_credit_note_is_positive"
            ),
        ),
        migrations.AddIndex(
            model_name="invoicemail",
            index=models.Index(condition=models.Q(("sent_at", None)), fields=["id"], name="billing_mail_unsent"),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(fields=["tenant", "-id"], name="billing_invoice_tenant"),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(condition=models.Q(("state", "draft")), fields=["state"], name="billing_invoice_drafts"),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "void"), _negated=True),
                fields=("period",),
                name="billing_invoice_one_per_period",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("number", None), ("snapshot", ""), ("state", "draft")),
                    models.Q(
                        models.Q(("state", "draft"), _negated=True),
                        ("number__isnull", False),
                        models.Q(("snapshot", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="billing_invoice_number_once_final",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ("statement", "invoice"))), name="billing_invoice_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="numberseries",
            constraint=models.UniqueConstraint(
                condition=models.Q(("tenant", None)), fields=("entity", "kind", "year"), name="billing_series_of_entity"
            ),
        ),
        migrations.AddConstraint(
            model_name="numberseries",
            constraint=models.UniqueConstraint(
                fields=("entity", "kind", "year", "tenant"), name="billing_series_of_tenant"
            ),
        ),
        migrations.AddConstraint(
            model_name="parkedtenant",
            constraint=models.UniqueConstraint(fields=("tenant", "step"), name="billing_parked_once"),
        ),
    ]
