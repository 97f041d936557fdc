"""What a bank took is kept beside what of it could be taken: a refund that fails later leaves the rest."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0038_ledger_by_time")]
    operations = [
        migrations.AddField("paymentdispute", "claimed", models.BigIntegerField(editable=False, null=True)),
    ]
