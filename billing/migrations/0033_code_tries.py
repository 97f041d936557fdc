"""What was typed for a wallet and was no good code, so that all processes count the same tries."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0031_reported_cost"),
    ]

    operations = [
        migrations.CreateModel(
            name="CodeTry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "balance",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="billing.balance"
                    ),
                ),
            ],
            options={
                "verbose_name": "wrong code",
                "verbose_name_plural": "wrong codes",
                "indexes": [models.Index(fields=["balance", "at"], name="billing_code_try")],
            },
        ),
    ]
