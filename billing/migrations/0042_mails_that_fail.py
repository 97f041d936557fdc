"""A document's mail is tried a bounded number of times, later each time, and says why it failed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0041_two_persons")]
    operations = [
        migrations.AddField(
            "invoicemail", "tries", models.PositiveSmallIntegerField(db_default=0, default=0, verbose_name="tries")
        ),
        migrations.AddField("invoicemail", "next_at", models.DateTimeField(null=True, verbose_name="tried again at")),
        migrations.AddField(
            "invoicemail",
            "failure",
            models.CharField(blank=True, db_default="", default="", max_length=300, verbose_name="failure"),
        ),
    ]
