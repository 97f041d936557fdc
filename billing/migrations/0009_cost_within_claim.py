"""A cost may pass its hold, since what a usage costs beyond it is taken; it never passes what the usage costs."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_reservation_tenant")]
    operations = [
        migrations.AlterField(
            "usagerecord",
            "claimed_cost",
            models.BigIntegerField(
                help_text="What the usage would cost; more than the cost if hold and balance together could not pay for it.",
                verbose_name="claimed cost",
            ),
        ),
        migrations.RemoveConstraint("usagerecord", "billing_usage_cost_within_hold"),
        migrations.AddConstraint(
            "usagerecord",
            models.CheckConstraint(
                condition=models.Q(("cost__lte", models.F("claimed_cost"))), name="billing_usage_cost_within_claim"
            ),
        ),
    ]
