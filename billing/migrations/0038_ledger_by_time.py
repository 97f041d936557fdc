"""The administration's list of ledger entries is asked for by day. One entry is written for each posting, not request."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0037_trial_places")]
    operations = [
        migrations.AddIndex("ledgerentry", models.Index(fields=["created_at"], name="billing_ledger_time")),
    ]
