"""Plans, terms and withdrawals of prices."""

from decimal import Decimal

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

TABLE = "billing_pricewithdrawal"


def forwards(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f"CREATE TRIGGER {TABLE}_append_only BEFORE UPDATE OR DELETE ON {TABLE} "
            "FOR EACH ROW EXECUTE FUNCTION billing_refuse_change()"
        )


def backwards(apps, schema_editor):
    """Refuses while the former version would read a plan's price, a term or a withdrawal as something else."""
    prices = apps.get_model("billing", "Price").objects
    if (
        prices.exclude(plan=None).exists()
        or prices.exclude(terms=None).exists()
        or apps.get_model("billing", "PriceWithdrawal").objects.exists()
    ):
        raise RuntimeError("prices of plans, with terms, or withdrawn ones mean something else to the former version")
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP TRIGGER {TABLE}_append_only ON {TABLE}")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_refused_calls"),
        ("billing", "0011_quotas"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="price",
            name="copy_of",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="copies",
                to="billing.price",
                verbose_name="copy of",
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="terms",
            field=models.JSONField(blank=True, default=None, null=True, verbose_name="terms"),
        ),
        migrations.CreateModel(
            name="PricePlan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=80, unique=True, verbose_name="name")),
                ("description", models.CharField(blank=True, default="", max_length=300, verbose_name="description")),
                (
                    "markup",
                    models.DecimalField(
                        decimal_places=3,
                        default=Decimal(0),
                        help_text="In percent of the list price; negative is a discount. Prices entered for the plan go before it.",
                        max_digits=7,
                        validators=[
                            django.core.validators.MinValueValidator(Decimal(-100)),
                            django.core.validators.MaxValueValidator(Decimal(9999)),
                        ],
                        verbose_name="markup",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created at"),
                ),
            ],
            options={
                "verbose_name": "price plan",
                "verbose_name_plural": "price plans",
                "ordering": ("name",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("markup__gte", -100)), name="billing_plan_markup_not_below_free"
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="price",
            name="plan",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                help_text="Empty: the list, which tenants without a plan pay.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="prices",
                to="billing.priceplan",
                verbose_name="price plan",
            ),
        ),
        migrations.CreateModel(
            name="PriceWithdrawal",
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
                        to="billing.price",
                        verbose_name="price",
                    ),
                ),
            ],
            options={
                "verbose_name": "withdrawn price",
                "verbose_name_plural": "withdrawn prices",
            },
        ),
        migrations.CreateModel(
            name="TenantPlan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "since",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="since"),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="tenants",
                        to="billing.priceplan",
                        verbose_name="price plan",
                    ),
                ),
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="price_plan",
                        to="accounts.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "plan of a tenant",
                "verbose_name_plural": "plans of tenants",
            },
        ),
        migrations.RunPython(forwards, backwards),
    ]
