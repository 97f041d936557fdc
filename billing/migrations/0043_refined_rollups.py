"""Which tenants' roll-ups are quarters of an hour, and how far they have been made again for that."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_key_changes"), ("billing", "0042_mails_that_fail")]
    operations = [
        migrations.CreateModel(
            name="RollupRefinement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("goes_on_at", models.DateTimeField(null=True, verbose_name="done until")),
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "refinement of roll-ups",
                "verbose_name_plural": "refinements of roll-ups",
            },
        ),
    ]
