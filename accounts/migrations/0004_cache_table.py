"""The table of the cache that all processes share where there is no Redis (settings.CACHES)."""

from django.core.management import call_command
from django.db import migrations

TABLE = "costrouter_cache"


def create(apps, schema_editor):
    call_command("createcachetable", TABLE, database=schema_editor.connection.alias, verbosity=0)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_refused_calls")]
    operations = [
        migrations.RunPython(create, migrations.RunPython.noop),
        migrations.RunSQL(migrations.RunSQL.noop, f"DROP TABLE {TABLE}"),
    ]
