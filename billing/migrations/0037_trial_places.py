"""Places of networks for trial credits: kept where the money is, so that no race and no restart loses one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0036_invoice_payments"),
    ]

    operations = [
        migrations.CreateModel(
            name="TrialPlace",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("network", models.CharField(max_length=64)),
                ("number", models.PositiveIntegerField()),
                ("taken_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "place for a trial credit",
                "verbose_name_plural": "places for trial credits",
                "constraints": [models.UniqueConstraint(fields=("network", "number"), name="billing_trial_place_once")],
            },
        ),
    ]
