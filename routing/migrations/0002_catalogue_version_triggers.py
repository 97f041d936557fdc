"""Every change of what the snapshot holds moves the catalogue version, whoever makes it: form, shell or SQL."""

from django.db import migrations

TABLES = (
    "routing_channel",
    "routing_cataloguemodel",
    "routing_route",
    "routing_costprice",
    "billing_price",
)
BUMP = (
    "INSERT INTO routing_catalogueversion (id, number) VALUES (1, 1) "
    "ON CONFLICT (id) DO UPDATE SET number = routing_catalogueversion.number + 1"
)


def forwards(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE FUNCTION routing_catalogue_changed() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {BUMP}; RETURN NULL; END $$"
        )
        for table in TABLES:
            schema_editor.execute(
                f"CREATE TRIGGER {table}_catalogue AFTER INSERT OR UPDATE OR DELETE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION routing_catalogue_changed()"
            )
        return
    for table in TABLES:
        for event in ("insert", "update", "delete"):
            schema_editor.execute(
                f"CREATE TRIGGER {table}_catalogue_{event} AFTER {event} ON {table} BEGIN {BUMP}; END"
            )


def backwards(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table in TABLES:
            schema_editor.execute(f"DROP TRIGGER {table}_catalogue ON {table}")
        schema_editor.execute("DROP FUNCTION routing_catalogue_changed()")
        return
    for table in TABLES:
        for event in ("insert", "update", "delete"):
            schema_editor.execute(f"DROP TRIGGER {table}_catalogue_{event}")


class Migration(migrations.Migration):
    dependencies = [
        ("routing", "0001_channels_models_routes"),
        ("billing", "0002_append_only_triggers"),
    ]
    operations = [migrations.RunPython(forwards, backwards)]
