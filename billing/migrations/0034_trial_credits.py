"""Trial credits wait for a confirmed address, and are given once per person: also to those of before."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from accounts.mailboxes import digest_of


def remember(apps, schema_editor):
    """Whose mailboxes have had a credit already."""
    granted = apps.get_model("billing", "LedgerEntry").objects.filter(kind="grant", reference__startswith="trial:")
    owners = apps.get_model("accounts", "Member").objects.filter(
        role="owner", tenant__in=granted.values("balance__tenant")
    )
    trials: dict[int, int] = {}
    people: dict[str, None] = {}
    for tenant, user, email in owners.order_by("pk").values_list("tenant", "user", "user__email"):
        trials.setdefault(tenant, user)
        people[digest_of(email)] = None
    trial, person = apps.get_model("billing", "Trial"), apps.get_model("billing", "TrialPerson")
    trial.objects.bulk_create(
        [trial(tenant_id=tenant, user_id=user, state="granted") for tenant, user in trials.items()], batch_size=500
    )
    person.objects.bulk_create([person(digest=digest) for digest in people], batch_size=500)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_cache_table"),
        ("billing", "0032_media_kinds"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="TrialPerson",
            fields=[
                ("digest", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "verbose_name": "person with a trial credit",
                "verbose_name_plural": "people with a trial credit",
            },
        ),
        migrations.CreateModel(
            name="Trial",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="trial",
                        serialize=False,
                        to="accounts.tenant",
                    ),
                ),
                ("network", models.CharField(max_length=64)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "waits for a confirmed address"),
                            ("queued", "waits for its network"),
                            ("granted", "granted"),
                            ("repeated", "this person has had one"),
                        ],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="trials",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "trial credit",
                "verbose_name_plural": "trial credits",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "queued")), fields=["created_at"], name="billing_trial_queued"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ("waiting", "queued", "granted", "repeated"))),
                        name="billing_trial_state_known",
                    )
                ],
            },
        ),
        migrations.RunPython(remember, migrations.RunPython.noop),
    ]
