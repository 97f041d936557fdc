"""A process is killed by signal 9 at each step of a credit, a refund and an automatic charge; another completes it.

Nothing happens twice, at the gateway or in the books, and nothing stays half done.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from django.db import connections
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from accounts.models import User
from billing.models import AutomaticTopUp, PaymentEvent, PaymentOrder, PaymentRefund, SavedCard
from billing.payments import automatic, jobs, refunds
from billing.payments.events import receive
from tests import payers
from tests.billing.payments.conftest import DOLLAR, entries
from tests.bookkeeping import Account, default_database
from tests.databases import ROOT, PostgresDatabases, SqliteDatabases
from tests.payers import StandIn

PAID = [("top_up", 20 * DOLLAR)]
RECEIVE: Final = """
import sys
from billing.payments.events import receive
#ARM
receive(sys.argv[1].encode(), sys.argv[2])
"""
REFUND: Final = """
import sys
from accounts.models import User
from billing.models import PaymentRefund
from billing.payments import refunds
#ARM
made = PaymentRefund.objects.get(pk=sys.argv[1])
refunds.approve(made, by=User.objects.get(pk=sys.argv[2]))
refunds.send_due()
"""
CHARGE: Final = """
from billing.payments import automatic
#ARM
automatic.run()
"""
_P: Final = "billing.payments"


@pytest.fixture(
    scope="module",
    params=["postgres_databases", pytest.param("sqlite_databases", marks=pytest.mark.chaos)],
    ids=["postgresql", "sqlite"],
)
def database(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Each step is a process of its own: PostgreSQL in every run, SQLite in the long form."""
    databases: PostgresDatabases | SqliteDatabases = request.getfixturevalue(request.param)
    url = databases.migrated()
    with default_database(url, django_db_blocker):
        yield url


def killed(database: str, gateway: StandIn, mark: Path, script: str, *arguments: str, at: str) -> None:
    """Runs the script in a process of its own, which dies at that point."""
    env = {
        **os.environ, "DATABASE_URL": database, "STRIPE_SECRET_KEY": payers.KEY, "STRIPE_API_BASE": gateway.url,
        "STRIPE_WEBHOOK_SECRET": payers.SECRET, "CRASH_MARK": str(mark),
        "PYTHONPATH": f"{ROOT / 'tests/chaos/crashing'}:{ROOT}",
    }  # fmt: skip
    # Armed once everything is imported, which is slow while each call is told of.
    program = f"import django, sitecustomize; django.setup(){script}".replace("#ARM", f"sitecustomize._arm('{at}')")
    # A shell between us: the point's end takes the parent with it.
    command = ["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", program, *arguments]
    subprocess.run(command, env=env, cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert mark.exists(), "the point was never reached"
    connections["default"].close()


@pytest.mark.parametrize(
    ("at", "is_booked"),
    [
        (f"{_P}.events:read:call:1", False), (f"{_P}.events:_book:call:1", False),
        (f"{_P}.orders:credit:call:1", False), ("billing.ledger:post:call:1", False),
        ("billing.ledger:post:return:1", False), (f"{_P}.orders:credit:return:1", False),
        (f"{_P}.events:_book:return:1", True),
    ],
    ids=["before reading", "before booking", "event noted", "order paid", "ledger posted", "before the commit",
         "committed"],
)  # fmt: skip
def test_kill_at_a_step_of_a_credit(
    database: str, gateway: StandIn, order: PaymentOrder, shop: Account, tmp_path: Path, at: str, is_booked: bool
) -> None:
    body = gateway.event("payment_intent.succeeded", gateway.pay(str(order.session_id)))
    header = payers.signed(body)

    killed(database, gateway, tmp_path / "mark", RECEIVE, body.decode(), header, at=at)
    order.refresh_from_db()
    assert (order.state == "paid", entries(shop) == PAID) == (is_booked, is_booked)
    assert PaymentEvent.objects.filter(order=order).exists() is is_booked

    receive(body, header)  # as the gateway sends it again

    order.refresh_from_db()
    assert (order.state, entries(shop)) == ("paid", PAID)
    assert PaymentEvent.objects.filter(order=order).count() == 1


@pytest.mark.parametrize(
    ("at", "state", "is_taken"),
    [
        (f"{_P}.refunds:_take:call:1", "requested", False), ("billing.ledger:post:return:1", "requested", False),
        (f"{_P}.refunds:approve:return:1", "approved", True), (f"{_P}.stripe_api:refund:call:1", "approved", True),
        (f"{_P}.stripe_api:refund:return:1", "approved", True), (f"{_P}.refunds:follow:return:1", "approved", True),
        (f"{_P}.refunds:send:return:1", "done", True),
    ],
    ids=["before it is taken", "taken, not committed", "approved", "before the gateway is asked",
         "the gateway has it, we do not know", "noted, not committed", "done"],
)  # fmt: skip
def test_kill_at_a_step_of_a_refund(
    database: str, gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User, tmp_path: Path, at: str,
    state: str, is_taken: bool,
) -> None:  # fmt: skip
    made = refunds.request(paid, amount=800, reason="kill", by=clerk)

    killed(database, gateway, tmp_path / "mark", REFUND, str(made.pk), str(clerk.pk), at=at)
    made.refresh_from_db()
    taken = [("refund", -8 * DOLLAR)] if is_taken else []
    assert (made.state, entries(shop)) == (state, PAID + taken)

    _resume(gateway, made, clerk)

    paid.refresh_from_db()
    assert (made.state, paid.state, paid.refunded) == ("done", "partly_refunded", 800)
    assert entries(shop) == [*PAID, ("refund", -8 * DOLLAR)]
    assert [each["amount"] for each in gateway.refunds()] == [800]


@pytest.mark.parametrize(
    "at", [f"{_P}.refunds:_fail:call:1", "billing.ledger:post:return:2", f"{_P}.refunds:_fail:return:1"],
    ids=["refused", "given back, not committed", "before the commit"],
)  # fmt: skip
def test_kill_while_a_refused_refund_is_given_back(
    database: str, gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User, tmp_path: Path, at: str
) -> None:
    made = refunds.request(paid, amount=800, reason="kill", by=clerk)
    gateway.give_back(str(paid.payment_id), 2000)

    killed(database, gateway, tmp_path / "mark", REFUND, str(made.pk), str(clerk.pk), at=at)
    assert entries(shop) == [*PAID, ("refund", -8 * DOLLAR)]

    _resume(gateway, made, clerk)

    assert made.state == "failed"
    assert entries(shop) == [*PAID, ("refund", -8 * DOLLAR), ("adjustment", 8 * DOLLAR)]


def _resume(gateway: StandIn, made: PaymentRefund, clerk: User) -> None:
    """Minutes later, and a day later for the names that the gateway remembers."""
    gateway._remembered.clear()
    made.refresh_from_db()
    if made.state == "requested":
        refunds.approve(made, by=clerk)
    before = timezone.now() - dt.timedelta(seconds=1)
    PaymentRefund.objects.filter(pk=made.pk, look_at__isnull=False).update(look_at=before)
    jobs.run()
    made.refresh_from_db()


@pytest.mark.parametrize(
    "at",
    [f"{_P}.automatic:charge:call:1", f"{_P}.stripe_api:charge:return:1", f"{_P}.orders:credit:call:1",
     "billing.ledger:post:return:1", f"{_P}.orders:credit:return:1", f"{_P}.automatic:charge:return:1"],
    ids=["ordered", "charged, we do not know", "charged", "posted, not committed", "before the return", "done"],
)  # fmt: skip
def test_kill_at_a_step_of_an_automatic_top_up(
    database: str, gateway: StandIn, shop: Account, payer: User, tmp_path: Path, at: str
) -> None:
    AutomaticTopUp.objects.update(is_on=False)  # of other tests
    SavedCard.objects.create(tenant=shop.tenant, customer_id=f"cus_{shop.tenant.pk}", method_id="pm_visa")
    automatic.set_up(
        shop.tenant, is_on=True, threshold=10 * DOLLAR, amount=20 * DOLLAR, monthly_ceiling=90 * DOLLAR, by=payer
    )

    killed(database, gateway, tmp_path / "mark", CHARGE, at=at)
    jobs.run()  # at once: whoever died may still be at it
    before = timezone.now() - dt.timedelta(seconds=1)
    PaymentOrder.objects.filter(tenant=shop.tenant, look_at__isnull=False).update(look_at=before)
    jobs.run()

    assert entries(shop) == PAID
    assert [each["amount"] for each in gateway.charges()] == [2000]
    assert PaymentOrder.objects.get(tenant=shop.tenant).state == "paid"
