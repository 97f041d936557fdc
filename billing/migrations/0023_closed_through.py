"""Until when a wallet is closed. What there is of earlier months stays as it is: it becomes the opening balance."""

import datetime as dt
from zoneinfo import ZoneInfo

from django.db import migrations, models
from django.utils import timezone


def begin_this_month(apps, schema_editor):
    """Documents begin with the month that this version came in."""
    balances = apps.get_model("billing", "Balance").objects
    for wallet in balances.filter(kind="wallet").select_related("tenant"):
        local = timezone.now().astimezone(ZoneInfo(wallet.tenant.time_zone))
        first = dt.datetime(local.year, local.month, 1, tzinfo=local.tzinfo).astimezone(dt.UTC)
        balances.filter(pk=wallet.pk).update(closed_through=first)


class Migration(migrations.Migration):
    dependencies = [("billing", "0021_payment_triggers")]
    operations = [
        migrations.AddField(
            model_name="balance",
            name="closed_through",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="closed through"),
        ),
        migrations.RunPython(begin_this_month, migrations.RunPython.noop),
    ]
