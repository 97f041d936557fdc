"""A kind of usage that stands in billing/kinds.py alone is priced, settled and shown."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.databases import ROOT, SqliteDatabases

FIELD = """\
    pages: Annotated[int, Kind(label=_("pages of print"), unit="pages")] = 0


NOTHING: Final"""

STORY = """
import json, secrets, time, django
django.setup()
from django.conf import settings
from django.test import Client
from django.urls import reverse
from accounts import keys
from accounts.models import Member, Tenant, User
from billing import balances, ledger
from billing.books import Hold, Settlement, open_books
from billing.kinds import Usage
from billing.models import LedgerEntry, Price, UsageRecord
from billing.prices import cost
from billing.reservations import new_id, timestamp

settings.ALLOWED_HOSTS = ["testserver"]
owner = User.objects.create_superuser("owner@example.com")
tenant = Tenant.objects.create(name="Example Ltd")
Member.objects.create(tenant=tenant, user=owner, role=Member.Role.OWNER)
key = keys.issue(tenant=tenant, name="key").api_key
wallet = balances.open_wallet(tenant)
ledger.post(balance=wallet, kind=LedgerEntry.Kind.GRANT, amount=10**9, reference="grant")
price = Price.objects.create(model="whisper", input=0, output=0, pages=100_000_000_000)
usage = Usage(pages=1_234)
amount = cost(usage, price.tariff)
books = open_books()
hold = Hold(id=new_id(), legs=(wallet.pk,), tenant_id=tenant.pk, amount=amount, api_key_id=key.pk, model="whisper",
            endpoint="audio.transcriptions", price_id=price.pk, is_stream=False, created_at=timestamp(time.time()))
outcomes, _ = books.post([hold], [], secrets.token_hex(16))
settlement = Settlement(id=hold.id, legs=hold.legs, held=amount, tenant_id=tenant.pk, requested_model="whisper",
                        model="whisper", price_id=price.pk, currency="USD", usage=usage, claimed_cost=amount,
                        attempts=[], decision={}, duration_ms=5)
books.post([], [settlement], secrets.token_hex(16))
books.close()
record = UsageRecord.objects.get()
browser = Client()
browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
pages = {
    "portal": reverse("portal:request", args=[record.pk]),
    "administration": reverse("admin:billing_usagerecord_change", args=[record.pk]),
    "price form": reverse("admin:billing_price_add"),
    "cost price form": reverse("admin:routing_costprice_add"),
    "price": reverse("admin:billing_price_change", args=[price.pk]),
}
print(json.dumps({
    "outcomes": [type(outcome).__name__ for outcome in outcomes],
    "pages": record.pages, "cost": record.cost, "same": record.usage == usage,
    "wrong": [account.balance_id for account in ledger.accounts() if account.difference],
    **{name: browser.get(url).content.decode().replace("\\N{NO-BREAK SPACE}", " ") for name, url in pages.items()},
}))
"""


def test_new_kind_is_one_line_in_the_table(tmp_path: Path, sqlite_databases: SqliteDatabases) -> None:
    database = sqlite_databases.migrated()
    _copy_project(tmp_path)
    kinds = tmp_path / "billing" / "kinds.py"
    kinds.write_text(kinds.read_text().replace("\n\nNOTHING: Final", FIELD))

    _run(tmp_path, database, "manage.py", "makemigrations", "--verbosity", "0")
    _run(tmp_path, database, "manage.py", "migrate", "--verbosity", "0")
    told = json.loads(_run(tmp_path, database, "-c", STORY))

    assert (told["outcomes"], told["pages"], told["cost"], told["same"]) == (["Held"], 1_234, 123_400_000, True)
    assert told["wrong"] == []
    assert '<th scope="row">Pages of print<span' in told["portal"]
    assert ">1,234</td>" in told["portal"]
    assert ">0.1234 <span" in told["portal"]
    assert ">pages of print</td>" in told["administration"]
    assert ">0.1234 USD</td>" in told["administration"]
    assert 'name="pages"' in told["price form"]
    assert "Second of audio" in told["price form"]
    assert 'name="pages"' in told["cost price form"]
    assert "100.00 USD" in told["price"]


def _copy_project(folder: Path) -> None:
    """The files that the project runs with."""
    for name in ("accounts", "administration", "billing", "costrouter", "locale", "portal", "routing", "templates"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("static", "docs"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "manage.py", folder)


def _run(folder: Path, database: str, *words: str) -> str:
    environment = {
        **os.environ,
        "DATABASE_URL": database,
        "REDIS_URL": "",
        "ADMIN_SECOND_FACTOR": "0",
        "COSTROUTER_VAR": str(folder / "var"),
        "DJANGO_SETTINGS_MODULE": "costrouter.settings",
    }
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
