"""Indexes that tell which price is in force, and which are to come, without those before."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0034_trial_credits"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name="price",
            index=models.Index(
                condition=models.Q(("plan", None)),
                fields=["model", "currency", "effective_from", "version"],
                name="billing_price_of_list",
            ),
        ),
        migrations.AddIndex(
            model_name="price",
            index=models.Index(
                fields=["plan", "model", "currency", "effective_from", "version"], name="billing_price_of_plan"
            ),
        ),
        migrations.AddIndex(
            model_name="price",
            index=models.Index(fields=["effective_from"], name="billing_price_coming"),
        ),
    ]
