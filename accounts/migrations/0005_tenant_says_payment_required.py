from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_cache_table"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="says_payment_required",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text=(
                    "What the wallet cannot pay for is refused with the status 402 Payment Required instead of 429."
                ),
                verbose_name="402 when the money is used up",
            ),
        ),
    ]
