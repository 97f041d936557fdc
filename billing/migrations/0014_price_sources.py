"""Where a price comes from, if it was taken over from a list."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0013_rollups_and_quota_sessions"),
    ]

    operations = [
        migrations.AddField(
            model_name="price",
            name="source",
            field=models.CharField(
                blank=True, default=None, editable=False, max_length=60, null=True, verbose_name="source"
            ),
        ),
    ]
