"""On PostgreSQL, cost prices refuse UPDATE and DELETE from whatever hand, as the tables of billing do."""

from django.db import migrations

TABLE = "routing_costprice"


def forwards(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f"CREATE TRIGGER {TABLE}_append_only BEFORE UPDATE OR DELETE ON {TABLE} "
            "FOR EACH ROW EXECUTE FUNCTION billing_refuse_change()"
        )


def backwards(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP TRIGGER {TABLE}_append_only ON {TABLE}")


class Migration(migrations.Migration):
    dependencies = [
        ("routing", "0002_catalogue_version_triggers"),
        ("billing", "0002_append_only_triggers"),
    ]
    operations = [migrations.RunPython(forwards, backwards)]
