"""What an Idempotency-Key of an API key was first used for."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0009_cost_within_claim")]
    operations = [
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "api_key_id", "value", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("api_key_id", models.BigIntegerField()),
                ("value", models.CharField(max_length=64)),
                ("body", models.CharField(max_length=64)),
                ("request_id", models.UUIDField()),
                ("created_at", models.DateTimeField(db_index=True)),
            ],
            options={"verbose_name": "idempotency key", "verbose_name_plural": "idempotency keys"},
        ),
    ]
