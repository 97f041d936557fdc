from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_users_tenants_keys"),
    ]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="allowed_origins",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="Web origins whose scripts may use the key; empty allows none.",
                verbose_name="allowed origins",
            ),
        ),
    ]
