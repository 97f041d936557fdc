"""Tokens written to the prompt cache for an hour, at a rate of their own."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0025_invoice_triggers"),
    ]

    operations = [
        migrations.AddField(
            model_name="price",
            name="cache_write_1h",
            field=models.BigIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
                verbose_name="cache write for 1 hour",
            ),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="cache_write_1h_tokens",
            field=models.BigIntegerField(default=0, verbose_name="cache write 1h tokens"),
        ),
        migrations.AddField(
            model_name="usagerollup",
            name="cache_write_1h_tokens",
            field=models.BigIntegerField(default=0, verbose_name="cache write 1h tokens"),
        ),
    ]
