"""A reservation's tenant is a foreign key, in the same column, that the database does not check."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_users_tenants_keys"),
        ("billing", "0007_reservation_usage"),
    ]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveField("reservation", "tenant_id"),
                migrations.AddField(
                    "reservation",
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reservations",
                        to="accounts.tenant",
                        verbose_name="tenant",
                    ),
                    preserve_default=False,
                ),
            ],
        ),
    ]
