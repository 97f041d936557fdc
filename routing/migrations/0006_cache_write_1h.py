"""Tokens written to the prompt cache for an hour, at a rate of their own."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("routing", "0005_price_sources"),
    ]

    operations = [
        migrations.AddField(
            model_name="costprice",
            name="cache_write_1h",
            field=models.BigIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
                verbose_name="cache write for 1 hour",
            ),
        ),
    ]
