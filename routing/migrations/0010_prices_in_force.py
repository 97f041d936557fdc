"""Indexes that tell which cost price is in force, and which are to come, without those before."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("routing", "0009_media_kinds"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="costprice",
            index=models.Index(fields=["route", "effective_from", "version"], name="routing_costprice_of_route"),
        ),
        migrations.AddIndex(
            model_name="costprice",
            index=models.Index(fields=["effective_from"], name="routing_costprice_coming"),
        ),
    ]
