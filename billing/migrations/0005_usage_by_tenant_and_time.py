"""The portal's figures are read by tenant and time of settling, no longer by balance."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_legs_of_reservations_and_records")]
    operations = [
        migrations.RemoveIndex("usagerecord", "billing_usage_balance_time"),
        migrations.AddIndex(
            "usagerecord", models.Index(fields=["tenant", "settled_at"], name="billing_usage_tenant_settled")
        ),
    ]
