"""Credit lines and batches of codes that are worth much take a second person, as large postings do."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("billing", "0040_key_changes"),
    ]
    operations = [
        migrations.AlterField(
            "postingrequest",
            "kind",
            models.CharField(
                choices=[
                    ("top_up", "top-up"),
                    ("grant", "grant"),
                    ("refund", "refund"),
                    ("adjustment", "adjustment"),
                    ("expiry", "expiry"),
                    ("write_off", "write-off"),
                    ("credit_line", "credit line"),
                ],
                max_length=12,
                verbose_name="kind",
            ),
        ),
        migrations.AddField(
            "codebatch",
            "needs_approval",
            models.BooleanField(db_default=False, default=False, editable=False, verbose_name="needs approval"),
        ),
        migrations.AddField(
            "codebatch",
            "approved_by",
            models.ForeignKey(
                blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+",
                to=settings.AUTH_USER_MODEL, verbose_name="approved by",
            ),
        ),
        migrations.AddField(
            "codebatch",
            "approved_at",
            models.DateTimeField(blank=True, editable=False, null=True, verbose_name="approved at"),
        ),
        migrations.AddConstraint(
            "codebatch",
            models.CheckConstraint(
                condition=models.Q(approved_by=None) | ~models.Q(approved_by=models.F("created_by")),
                name="billing_codebatch_two_persons",
            ),
        ),
    ]  # fmt: skip
