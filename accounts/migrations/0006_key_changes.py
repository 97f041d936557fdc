"""What changes of keys and tenants is recorded, so that a key that did not change is not read again (ADR 0027).

On SQLite a migration that makes one of these tables anew drops its triggers, and has to record it once more.
"""

import django.db.models.functions.datetime
from django.db import migrations, models

from accounts.migrations._key_changes import Recorded, drop_function, forget, make_function, record

TABLES = (
    Recorded(
        "accounts_apikey",
        (
            "id",
            "digest",
            "tenant_id",
            "created_by_id",
            "status",
            "expires_at",
            "allowed_models",
            "allowed_networks",
            "allowed_origins",
            "requests_per_minute",
            "tokens_per_minute",
            "concurrency",
        ),
        api_key="id",
    ),
    Recorded(
        "accounts_tenant",
        (
            "id",
            "status",
            "currency",
            "requests_per_minute",
            "tokens_per_minute",
            "concurrency",
            "says_payment_required",
        ),
        tenant="id",
    ),
)


def forwards(apps, schema_editor):
    make_function(schema_editor)
    for each in TABLES:
        record(schema_editor, each)


def backwards(apps, schema_editor):
    for each in TABLES:
        forget(schema_editor, each)
    drop_function(schema_editor)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_tenant_says_payment_required"),
    ]

    operations = [
        migrations.CreateModel(
            name="KeyChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("tenant_id", models.BigIntegerField(null=True)),
                ("api_key_id", models.BigIntegerField(null=True)),
                ("cleared", models.BigIntegerField(null=True)),
                ("xact", models.BigIntegerField(db_index=True)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "verbose_name": "change of keys",
                "verbose_name_plural": "changes of keys",
            },
        ),
        migrations.RunPython(forwards, backwards),
    ]
