"""Their legs say it."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_usage_by_tenant_and_time")]
    operations = [
        migrations.RemoveField("reservation", "balance"),
        migrations.RemoveField("usagerecord", "balance"),
    ]
