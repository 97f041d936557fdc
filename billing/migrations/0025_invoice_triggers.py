"""What is closed, final or credited cannot be changed, whatever the hand; on SQLite too, for documents.

On SQLite a migration that makes one of these tables anew drops its triggers, and has to run `forwards` again.
"""

from django.db import migrations

HISTORY = ("billing_billingperiod", "billing_periodentry", "billing_emptyperiod", "billing_creditnote")
MOVES = ("state", "paid_at", "voided_at", "reason")
"""What a final document may still have changed, once: it is paid, or voided."""

FUNCTION = """
CREATE FUNCTION billing_refuse_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'draft' THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.state = 'final' AND NEW.state IN ('paid', 'void')
       AND to_jsonb(NEW) - %(moves)s::text[] = to_jsonb(OLD) - %(moves)s::text[] THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'billing_invoice is final' USING ERRCODE = 'restrict_violation';
END $$
"""
SQLITE_INVOICE = (
    (
        "CREATE TRIGGER billing_invoice_frozen BEFORE UPDATE OF {fixed} ON billing_invoice WHEN OLD.state <> 'draft' "
        "BEGIN SELECT RAISE(ABORT, 'billing_invoice is final'); END"
    ),
    (
        "CREATE TRIGGER billing_invoice_moves BEFORE UPDATE OF {moves} ON billing_invoice WHEN OLD.state <> 'draft' "
        "AND NOT (OLD.state = 'final' AND NEW.state IN ('paid', 'void')) "
        "BEGIN SELECT RAISE(ABORT, 'billing_invoice is final'); END"
    ),
    (
        "CREATE TRIGGER billing_invoice_stays BEFORE DELETE ON billing_invoice WHEN OLD.state <> 'draft' "
        "BEGIN SELECT RAISE(ABORT, 'billing_invoice is final'); END"
    ),
)
SQLITE_NOTE = (
    (
        "CREATE TRIGGER billing_creditnote_frozen BEFORE UPDATE OF {fixed} ON billing_creditnote "
        "BEGIN SELECT RAISE(ABORT, 'billing_creditnote is append-only'); END"
    ),
    (
        "CREATE TRIGGER billing_creditnote_stays BEFORE DELETE ON billing_creditnote "
        "BEGIN SELECT RAISE(ABORT, 'billing_creditnote is append-only'); END"
    ),
)


def forwards(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        _on_postgresql(schema_editor)
    else:
        _on_sqlite(apps, schema_editor)


def _on_postgresql(schema_editor):
    for table in HISTORY:
        schema_editor.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION billing_refuse_change()"
        )
    schema_editor.execute(FUNCTION % {"moves": f"'{{{','.join(MOVES)}}}'"}, params=None)
    schema_editor.execute(
        "CREATE TRIGGER billing_invoice_final BEFORE UPDATE OR DELETE ON billing_invoice "
        "FOR EACH ROW EXECUTE FUNCTION billing_refuse_final()"
    )


def _on_sqlite(apps, schema_editor):
    for name, statements, free in (("Invoice", SQLITE_INVOICE, MOVES), ("CreditNote", SQLITE_NOTE, ("created_by_id",))):
        fields = apps.get_model("billing", name)._meta.concrete_fields  # noqa: SLF001 - Django's documented name
        columns = [field.column for field in fields]
        fixed = ", ".join(column for column in columns if column not in free)
        for statement in statements:
            schema_editor.execute(statement.format(fixed=fixed, moves=", ".join(free)))


def backwards(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        for name in ("invoice_frozen", "invoice_moves", "invoice_stays", "creditnote_frozen", "creditnote_stays"):
            schema_editor.execute(f"DROP TRIGGER billing_{name}")
        return
    for table in HISTORY:
        schema_editor.execute(f"DROP TRIGGER {table}_append_only ON {table}")
    schema_editor.execute("DROP TRIGGER billing_invoice_final ON billing_invoice")
    schema_editor.execute("DROP FUNCTION billing_refuse_final()")


class Migration(migrations.Migration):
    dependencies = [("billing", "0024_invoices")]
    operations = [migrations.RunPython(forwards, backwards)]
