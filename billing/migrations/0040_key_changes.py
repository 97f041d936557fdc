"""What changes of the balances that a key's requests draw on is recorded as well (accounts 0006, ADR 0027).

A hold and a settlement name none of these columns. The balance of a period or session that begins is new to no key that
was read before: whoever reads a key makes it. On SQLite a migration that makes one of these tables anew drops its
triggers, and has to record it once more.
"""

from django.db import migrations

from accounts.migrations._key_changes import Recorded, forget, record

TABLES = (
    Recorded(
        "billing_quota",
        ("id", "tenant_id", "user_id", "api_key_id", "period", "amount", "ended_at"),
        tenant="tenant_id",
        api_key="api_key_id",
        inserted="TRUE",
    ),
    Recorded("billing_tenantplan", ("tenant_id", "plan_id"), tenant="tenant_id", inserted="TRUE"),
    Recorded(
        "billing_balance",
        ("id", "tenant_id", "kind", "quota_id", "starts_at", "ends_at", "session"),
        tenant="tenant_id",
        inserted="NEW.kind = 'wallet'",
    ),
)


def forwards(apps, schema_editor):
    for each in TABLES:
        record(schema_editor, each)


def backwards(apps, schema_editor):
    for each in TABLES:
        forget(schema_editor, each)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_key_changes"),
        ("billing", "0039_claimed_by_disputes"),
    ]

    operations = [migrations.RunPython(forwards, backwards)]
