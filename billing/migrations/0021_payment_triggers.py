"""On PostgreSQL, what an order asked for cannot be changed, no order goes, and the payments' history refuses changes."""

from django.db import migrations

HISTORY = ("billing_paymentevent", "billing_exchangerate")
FROZEN = ("tenant_id", "gateway", "pay_currency", "pay_amount", "credit_currency", "credit_amount", "bonus", "rate",
          "rate_source", "rate_at", "is_automatic", "created_at", "memo")  # fmt: skip

FUNCTION = """
CREATE FUNCTION billing_refuse_another_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what a payment order asked for stays' USING ERRCODE = 'restrict_violation';
END $$
"""


def forwards(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    for table in HISTORY:
        schema_editor.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION billing_refuse_change()"
        )
    old, new = (", ".join(f"{row}.{column}" for column in FROZEN) for row in ("OLD", "NEW"))
    schema_editor.execute(FUNCTION, params=None)
    schema_editor.execute(
        "CREATE TRIGGER billing_paymentorder_frozen BEFORE UPDATE ON billing_paymentorder FOR EACH ROW "
        f"WHEN (({old}) IS DISTINCT FROM ({new})) EXECUTE FUNCTION billing_refuse_another_order()"
    )
    schema_editor.execute(
        "CREATE TRIGGER billing_paymentorder_kept BEFORE DELETE ON billing_paymentorder FOR EACH ROW "
        "EXECUTE FUNCTION billing_refuse_another_order()"
    )


def backwards(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    for name, table in (("frozen", "billing_paymentorder"), ("kept", "billing_paymentorder"),
                        *(("append_only", table) for table in HISTORY)):  # fmt: skip
        schema_editor.execute(f"DROP TRIGGER {table}_{name} ON {table}")
    schema_editor.execute("DROP FUNCTION billing_refuse_another_order()")


class Migration(migrations.Migration):
    dependencies = [("billing", "0020_payments")]
    operations = [migrations.RunPython(forwards, backwards)]
