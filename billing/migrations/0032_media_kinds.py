"""Seconds of audio, characters of text and tokens of pictures, at rates of their own."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0033_code_tries"),
    ]

    operations = [
        migrations.AddField(
            model_name="price",
            name="character",
            field=models.BigIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
                verbose_name="character",
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="output_image",
            field=models.BigIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
                verbose_name="output image",
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="second",
            field=models.BigIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
                verbose_name="second of audio",
            ),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="characters",
            field=models.BigIntegerField(default=0, verbose_name="characters"),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="output_image_tokens",
            field=models.BigIntegerField(default=0, verbose_name="output image tokens"),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="seconds",
            field=models.BigIntegerField(default=0, verbose_name="seconds"),
        ),
        migrations.AddField(
            model_name="usagerollup",
            name="characters",
            field=models.BigIntegerField(default=0, verbose_name="characters"),
        ),
        migrations.AddField(
            model_name="usagerollup",
            name="output_image_tokens",
            field=models.BigIntegerField(default=0, verbose_name="output image tokens"),
        ),
        migrations.AddField(
            model_name="usagerollup",
            name="seconds",
            field=models.BigIntegerField(default=0, verbose_name="seconds"),
        ),
    ]
