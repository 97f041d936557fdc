"""Seconds of audio, characters of text and tokens of pictures, at rates of their own."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("routing", "0008_channel_options"),
    ]

    operations = [
        migrations.AddField(
            model_name="costprice",
            name="character",
            field=models.BigIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
                verbose_name="character",
            ),
        ),
        migrations.AddField(
            model_name="costprice",
            name="output_image",
            field=models.BigIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
                verbose_name="output image",
            ),
        ),
        migrations.AddField(
            model_name="costprice",
            name="second",
            field=models.BigIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
                verbose_name="second of audio",
            ),
        ),
    ]
