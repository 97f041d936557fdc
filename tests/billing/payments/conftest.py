"""Payments run the same cases on both databases, against a stand-in for Stripe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from pytest_django.fixtures import Settings

from accounts.models import Member, User
from billing.models import ExchangeRate, Gateway, LedgerEntry, PaymentAlarm, PaymentOrder
from billing.payments import checkout, events, orders
from tests import payers
from tests.bookkeeping import Account, account, assert_books_add_up
from tests.payers import StandIn

BANK_SECRET = "0123456789abcdef0123456789abcdef"
DOLLAR = 10**9


@pytest.fixture
def gateway(settings: Settings, database: str) -> Iterator[StandIn]:
    """Stripe, as far as this installation knows; afterwards the books add up."""
    with payers.configured(settings) as stand_in:
        yield stand_in
    assert_books_add_up()


@pytest.fixture
def bank(settings: Settings, database: str) -> Iterator[None]:
    """A bank account for transfers; afterwards the books add up."""
    settings.BANK_BIN, settings.BANK_ACCOUNT, settings.BANK_ACCOUNT_NAME = "970436", "1023456789", "CONG TY COSTROUTER"
    settings.BANK_WEBHOOK_SECRET = BANK_SECRET
    yield
    assert_books_add_up()


@pytest.fixture
def rate(database: str) -> ExchangeRate:
    """25,500.50 VND for a dollar."""
    return ExchangeRate.objects.create(rate=25_500_500_000, source="a bank's selling rate")


@pytest.fixture
def shop(database: str) -> Account:
    """A tenant with an empty wallet."""
    return account(0)


_numbers = iter(range(1, 10**6))


@pytest.fixture
def payer(shop: Account) -> User:
    """Who owns the shop."""
    return member(shop)


def member(of: Account, role: str = "owner") -> User:
    user = User.objects.create_user(f"payer{next(_numbers)}@example.com")
    Member.objects.create(tenant=of.tenant, user=user, role=role)
    return user


@pytest.fixture
def clerk(database: str) -> User:
    """An operator."""
    return User.objects.create_superuser(f"clerk{next(_numbers)}@example.com")


@pytest.fixture
def boss(database: str) -> User:
    """Another operator."""
    return User.objects.create_superuser(f"boss{next(_numbers)}@example.com")


@pytest.fixture
def order(gateway: StandIn, shop: Account, payer: User) -> PaymentOrder:
    """20 dollars by card; its payer stands on the gateway's page."""
    return ordered(shop, payer)


def ordered(shop: Account, payer: User, amount: int = 20 * DOLLAR) -> PaymentOrder:
    made = orders.place(tenant=shop.tenant, gateway=Gateway.STRIPE, amount=amount, created_by=payer)
    checkout.begin(made, back="http://testserver/portal/topups/", payer=payer)
    made.refresh_from_db()
    return made


@pytest.fixture
def paid(gateway: StandIn, order: PaymentOrder) -> PaymentOrder:
    """The same, paid and credited."""
    intent = gateway.pay(str(order.session_id))
    tell(gateway, "payment_intent.succeeded", intent)
    order.refresh_from_db()
    assert order.state == "paid"
    return order


def tell(gateway: StandIn, type_: str, about: Mapping[str, object], id_: str = "") -> events.Outcome:
    """What came of an event that the gateway sends."""
    body = gateway.event(type_, dict(about), id_=id_)
    return events.receive(body, payers.signed(body))


def entries(of: Account) -> list[tuple[str, int]]:
    """Kinds and amounts of the wallet's ledger, oldest first."""
    return list(LedgerEntry.objects.filter(balance=of.wallet).order_by("id").values_list("kind", "amount"))


def alarms(order: PaymentOrder) -> list[str]:
    return list(PaymentAlarm.objects.filter(order=order).order_by("id").values_list("kind", flat=True))
