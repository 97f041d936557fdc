"""The page to top up: who may pay, which ways there are, what an order shows, and the wallet that fills itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from accounts.models import Member, Tenant, User
from billing.models import AutomaticTopUp, ExchangeRate, Gateway, LedgerEntry, PaymentOrder, SavedCard
from billing.payments import orders
from tests import payers
from tests.pages import Browser
from tests.payers import StandIn

DOLLAR = 10**9
PAGE = "portal:topups"
GO_ON = "Go on to the payment"
AUTOMATIC = {"is_on": True, "threshold": "10", "amount": "20.5", "monthly_ceiling": "100"}


@pytest.fixture
def account(settings: Settings, db: None) -> None:
    settings.BANK_BIN, settings.BANK_ACCOUNT, settings.BANK_ACCOUNT_NAME = "970436", "1023456789", "CONG TY COSTROUTER"
    settings.BANK_WEBHOOK_SECRET, settings.BANK_NAME = "0123456789abcdef", "Vietcombank"


@pytest.fixture
def bank(account: None) -> None:
    """An account, and a rate to sell at."""
    ExchangeRate.objects.create(rate=25_500_500_000, source="a bank's selling rate")


@pytest.fixture
def gateway(settings: Settings) -> Iterator[StandIn]:
    with payers.configured(settings) as stand_in:
        yield stand_in


@pytest.fixture
def card(gateway: StandIn, tenant: Tenant) -> SavedCard:
    return SavedCard.objects.create(
        tenant=tenant, customer_id="cus_alice", method_id="pm_visa", brand="visa", last_four="4242"
    )


def _quote(tenant: Tenant, alice: User) -> PaymentOrder:
    return orders.place(tenant=tenant, gateway=Gateway.BANK, amount=20 * DOLLAR, created_by=alice)


def test_page_without_a_gateway_says_so(alices: Browser) -> None:
    page = alices.open(reverse(PAGE))

    assert "Payments are not set up on this installation" in page.text
    assert GO_ON not in page.buttons
    assert "No order yet" in page.text


def test_card_payment_leads_to_the_gateways_page(gateway: StandIn, alices: Browser, alice: User) -> None:
    answer = alices.open(reverse(PAGE)).press(GO_ON, amount="20", way="stripe")

    order = PaymentOrder.objects.get()
    assert answer.location == f"{gateway.url}/pay/{order.session_id}"
    assert (order.gateway, order.pay_amount, order.credit_amount, order.created_by) == (
        "stripe", 2000, 20 * DOLLAR, alice,
    )  # fmt: skip
    assert LedgerEntry.objects.filter(kind="top_up").count() == 0
    sent = next(asked for asked in gateway.asked if asked[1] == "/v1/checkout/sessions")
    assert (sent[3], sent[2]["client_reference_id"]) == (str(order.pk), str(order.pk))
    assert sent[2]["success_url"].endswith(reverse("portal:topup", args=[order.pk]))


def test_page_lets_its_form_lead_to_checkout(gateway: StandIn, alices: Browser) -> None:
    policy = alices.open(reverse(PAGE)).response["content-security-policy"]
    assert "form-action 'self' https://checkout.stripe.com" in policy


def test_other_pages_lead_to_nobody_else(alices: Browser) -> None:
    policy = alices.open(reverse("portal:keys")).response["content-security-policy"]
    assert "form-action 'self';" in policy + ";"


def test_gateway_that_is_away_is_said_and_the_order_has_failed(gateway: StandIn, alices: Browser) -> None:
    gateway.is_away = True

    answer = alices.open(reverse(PAGE)).press(GO_ON, amount="20", way="stripe")

    assert (answer.status, "cannot be reached" in answer.text) == (200, True)
    assert PaymentOrder.objects.get().state == "failed"


def test_transfer_shows_code_account_amount_and_memo(bank: None, alices: Browser) -> None:
    page = alices.open(reverse(PAGE)).press(GO_ON, amount="20", way="bank").landed()

    order = PaymentOrder.objects.get()
    assert page.url == reverse("portal:topup", args=[order.pk])
    assert "<svg" in page.text
    values = ['value="1023456789"', 'value="510010"', f'value="{order.memo}"']
    values += ["CONG TY COSTROUTER", "Vietcombank", "NAPAS 970436", "510,010", "25,500.5"]
    assert [shown for shown in values if shown not in page.text] == []


@pytest.mark.parametrize(("amount", "said"), [("4.99", "outside"), ("5001", "outside"), ("20.005", "finer"), ("x", "")])
def test_amount_that_cannot_be_paid_is_refused(bank: None, alices: Browser, amount: str, said: str) -> None:
    answer = alices.open(reverse(PAGE)).press(GO_ON, amount=amount, way="bank")

    assert (answer.status, said in answer.text, PaymentOrder.objects.count()) == (200, True, 0)


def test_transfer_without_a_rate_is_refused(account: None, alices: Browser) -> None:
    answer = alices.open(reverse(PAGE)).press(GO_ON, amount="20", way="bank")

    assert ("There is no exchange rate" in answer.text, PaymentOrder.objects.count()) == (True, 0)


def test_way_that_is_not_offered_is_refused(bank: None, alices: Browser) -> None:
    assert alices.forge(reverse(PAGE), {"amount": "20", "way": "stripe"}).status == 200
    assert PaymentOrder.objects.count() == 0


@pytest.mark.parametrize(("role", "status"), [("developer", 403), ("billing", 302), ("admin", 302)])
def test_developers_do_not_pay(bank: None, tenant: Tenant, role: str, status: int) -> None:
    user = User.objects.create_user("someone@example.com")
    Member.objects.create(tenant=tenant, user=user, role=role)
    browser = Browser(user)

    assert (GO_ON in browser.open(reverse(PAGE)).buttons) is (status == 302)
    assert browser.forge(reverse(PAGE), {"amount": "20", "way": "bank"}).status == status
    assert PaymentOrder.objects.count() == (1 if status == 302 else 0)


def test_order_tells_what_became_of_it(bank: None, alices: Browser, tenant: Tenant, alice: User) -> None:
    order = _quote(tenant, alice)
    live = reverse("portal:topup_live", args=[order.pk])
    assert alices.open(f"{live}?seen=open").status == 204

    orders.credit(order, payment_id="bank:FT1", received=510_010)

    answer = alices.open(f"{live}?seen=open")
    assert (answer.status, "hx-get" in answer.text, "<svg class" in answer.text) == (200, False, False)
    assert "paid" in answer.text


def test_expired_quote_shows_no_code(bank: None, alices: Browser, tenant: Tenant, alice: User) -> None:
    order = _quote(tenant, alice)
    PaymentOrder.objects.filter(pk=order.pk).update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    orders.expire_transfers()

    page = alices.open(reverse("portal:topup", args=[order.pk]))

    assert ("1023456789" in page.text, "The rate holds no more" in page.text) == (False, True)


def test_stranger_does_not_find_the_order(
    bank: None, tenant: Tenant, alice: User, charlie: User, stranger_tenant: Tenant
) -> None:
    order = _quote(tenant, alice)
    for name in ("portal:topup", "portal:topup_live"):
        assert Browser(charlie).open(reverse(name, args=[order.pk])).status == 404


def test_list_takes_the_same_queries_for_many_orders(
    bank: None, alices: Browser, tenant: Tenant, alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _order in range(5):
        _quote(tenant, alice)
    with django_assert_num_queries(6):
        page = alices.open(reverse(PAGE))
    assert page.text.count("20.00") == 5


# --- automatic -------------------------------------------------------------------------------------------------------


def test_card_is_saved_on_the_gateways_page(gateway: StandIn, alices: Browser, tenant: Tenant) -> None:
    answer = alices.open(reverse(PAGE)).press("Save a card")

    assert answer.location.startswith(f"{gateway.url}/pay/")
    assert SavedCard.objects.get(tenant=tenant).method_id == ""


def test_saved_card_is_shown_by_brand_and_last_four(card: SavedCard, alices: Browser) -> None:
    text = alices.open(reverse(PAGE)).text
    assert ("Visa" in text, "4242" in text, "pm_visa" in text, "cus_alice" in text) == (True, True, False, False)


def test_automatic_top_up_is_set_up_and_read_back(
    card: SavedCard, alices: Browser, tenant: Tenant, alice: User
) -> None:
    answer = alices.open(reverse(PAGE)).press("Save", **AUTOMATIC)

    row = AutomaticTopUp.objects.get(tenant=tenant)
    assert answer.location == reverse(PAGE)
    assert (row.is_on, row.threshold, row.amount, row.monthly_ceiling, row.changed_by) == (
        True, 10 * DOLLAR, 20_500_000_000, 100 * DOLLAR, alice,
    )  # fmt: skip
    assert alices.open(reverse(PAGE)).values("Save") | {"csrfmiddlewaretoken": []} == {
        "csrfmiddlewaretoken": [], "is_on": ["on"], "threshold": ["10"], "amount": ["20.5"],
        "monthly_ceiling": ["100"],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["threshold", "amount", "monthly_ceiling"])
def test_automatic_top_up_in_dong_has_no_fractions(
    gateway: StandIn, alices: Browser, tenant: Tenant, name: str
) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(currency="VND")
    SavedCard.objects.create(tenant=tenant, customer_id="cus_dong", method_id="pm_visa", brand="visa")
    wanted = {"is_on": True, "threshold": "200000", "amount": "500000", "monthly_ceiling": "900000"}

    answer = alices.open(reverse(PAGE)).press("Save", **wanted | {name: f"{wanted[name]}.5"})

    assert ("VND has no decimals." in answer.text, AutomaticTopUp.objects.count()) == (True, 0)


def test_ceiling_below_one_charge_is_refused(card: SavedCard, alices: Browser) -> None:
    answer = alices.open(reverse(PAGE)).press("Save", **AUTOMATIC | {"monthly_ceiling": "20"})

    assert ("monthly ceiling is less" in answer.text, AutomaticTopUp.objects.count()) == (True, 0)


@pytest.mark.parametrize("name", ["portal:topup_card", "portal:topup_card_forget", "portal:topup_automatic"])
@pytest.mark.parametrize("role", ["developer", "billing"])
def test_owners_and_admins_alone_decide_about_the_card(card: SavedCard, tenant: Tenant, name: str, role: str) -> None:
    user = User.objects.create_user("someone@example.com")
    Member.objects.create(tenant=tenant, user=user, role=role)

    assert Browser(user).forge(reverse(name), AUTOMATIC).status == 403

    card.refresh_from_db()
    assert (card.method_id, AutomaticTopUp.objects.count()) == ("pm_visa", 0)


def test_card_is_forgotten(gateway: StandIn, card: SavedCard, alices: Browser, tenant: Tenant) -> None:
    gateway.is_away = True  # here it is forgotten all the same

    alices.open(reverse(PAGE)).press("Forget the card")

    card.refresh_from_db()
    assert card.method_id == ""


def test_rest_after_a_declined_charge_is_said(card: SavedCard, alices: Browser, tenant: Tenant, alice: User) -> None:
    AutomaticTopUp.objects.create(
        tenant=tenant, is_on=True, threshold=1, amount=5 * DOLLAR, monthly_ceiling=5 * DOLLAR, failures=1,
        rests_until=timezone.now() + dt.timedelta(hours=1),
    )  # fmt: skip
    assert "The last charge was declined." in alices.open(reverse(PAGE)).text
