"""Card payments against localstripe, a process of its own with its own webhooks: payment intents, refunds, cards.

It knows no Checkout sessions and no disputes (the stand-in does), and ignores idempotency keys: what is asked for twice
happens twice there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
from django.conf import settings as configured
from django.core.wsgi import get_wsgi_application
from pytest_django.fixtures import Settings

from accounts.models import User
from billing.models import AutomaticTopUp, Gateway, PaymentEvent, PaymentOrder, SavedCard
from billing.payments import automatic, orders, refunds, stripe_api
from tests import payers
from tests.billing.payments.conftest import DOLLAR, entries
from tests.bookkeeping import Account, assert_books_add_up
from tests.servers import free_port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with payers.localstripe(tmp_path_factory.mktemp("localstripe") / "log") as url:
        yield url


@pytest.fixture
def local(settings: Settings, database: str, server: str) -> Iterator[str]:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = payers.KEY, payers.SECRET
    settings.STRIPE_API_BASE = server
    AutomaticTopUp.objects.update(is_on=False)  # of other tests
    yield server
    assert_books_add_up()


def _post(path: str, **data: Any) -> dict[str, Any]:
    answer = httpx.post(configured.STRIPE_API_BASE + path, data=data, auth=(payers.KEY, ""), timeout=10)
    answer.raise_for_status()
    made: dict[str, Any] = answer.json() if answer.content else {}
    return made


def _card(number: str) -> str:
    card = {"card[number]": number, "card[exp_month]": "12", "card[exp_year]": "2030", "card[cvc]": "123"}
    return str(_post("/v1/payment_methods", type="card", **card)["id"])


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name is the base's
        pass


@pytest.fixture
def live_site(database: str) -> Iterator[str]:
    """Our pages on a real port, in threads of this process and on its database."""
    with make_server("127.0.0.1", free_port(), get_wsgi_application(), handler_class=_Quiet) as site:
        thread = threading.Thread(target=site.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()
        thread.join()


@pytest.fixture
def saved(local: str, shop: Account) -> Callable[[str], SavedCard]:
    """Saves a card of this number for the shop, as its owner would."""

    def save(number: str = "4242424242424242") -> SavedCard:
        customer = stripe_api.create_customer(name=shop.tenant.name, email="payer@example.com", once="x")
        method = _card(number)
        _post(f"/v1/payment_methods/{method}/attach", customer=customer)
        row, _new = SavedCard.objects.update_or_create(
            tenant=shop.tenant, defaults={"customer_id": customer, "method_id": method}
        )
        return row

    return save


@pytest.fixture
def low(saved: Callable[[str], SavedCard], shop: Account, payer: User) -> Callable[[str], None]:
    """The shop's wallet fills itself from a card of this number, and is empty."""

    def set_up(number: str = "4242424242424242") -> None:
        saved(number)
        automatic.set_up(
            shop.tenant, is_on=True, threshold=10 * DOLLAR, amount=20 * DOLLAR, monthly_ceiling=99 * DOLLAR, by=payer
        )

    return set_up


def test_automatic_top_up_is_charged_and_credited(low: Callable[..., None], shop: Account) -> None:
    low()

    automatic.run()

    order = PaymentOrder.objects.get(tenant=shop.tenant)
    assert (order.state, entries(shop)) == ("paid", [("top_up", 20 * DOLLAR)])
    assert stripe_api.payment(str(order.payment_id)).amount == 2000


def test_declined_card_makes_it_rest(low: Callable[..., None], shop: Account) -> None:
    low("4000000000000341")

    automatic.run()

    assert PaymentOrder.objects.get(tenant=shop.tenant).state == "failed"
    assert (entries(shop), AutomaticTopUp.objects.get(tenant=shop.tenant).failures) == ([], 1)


def test_card_that_wants_its_owner_is_called_off(low: Callable[..., None], shop: Account) -> None:
    low("4000002500003155")

    automatic.run()

    order = PaymentOrder.objects.get(tenant=shop.tenant)
    assert (order.state, stripe_api.payment(str(order.payment_id)).state) == ("failed", "canceled")


def test_partial_and_whole_refund(low: Callable[..., None], shop: Account, clerk: User) -> None:
    low()
    automatic.run()
    order = PaymentOrder.objects.get(tenant=shop.tenant)

    for amount in (500, 1500):
        made = refunds.request(order, amount=amount, reason="asked for it", by=clerk)
        refunds.approve(made, by=clerk)
        made.refresh_from_db()
        refunds.send(made)

    order.refresh_from_db()
    assert order.state == "refunded"
    assert sorted(each.amount for each in stripe_api.refunds(str(order.payment_id))) == [500, 1500]
    assert entries(shop) == [("top_up", 20 * DOLLAR), ("refund", -5 * DOLLAR), ("refund", -15 * DOLLAR)]


def test_refund_of_a_process_that_died_goes_once(low: Callable[..., None], shop: Account, clerk: User) -> None:
    """Sent, and nobody has noted it; localstripe has no idempotency keys, so asking blindly would pay twice."""
    low()
    automatic.run()
    order = PaymentOrder.objects.get(tenant=shop.tenant)
    made = refunds.request(order, amount=700, reason="died", by=clerk)
    refunds.approve(made, by=clerk)
    stripe_api.refund(payment_id=str(order.payment_id), amount=700, refund=str(made.pk))

    refunds.send_due()

    made.refresh_from_db()
    assert made.state == "done"
    assert [each.amount for each in stripe_api.refunds(str(order.payment_id))] == [700]


def test_its_own_webhook_credits_the_order(
    local: str, saved: Callable[..., SavedCard], shop: Account, payer: User, live_site: str
) -> None:
    """A payment that our process does not know of yet: localstripe signs the event and calls the real view."""
    card = saved()
    order = orders.place(tenant=shop.tenant, gateway=Gateway.STRIPE, amount=20 * DOLLAR, created_by=payer)
    _post("/_config/webhooks/ours", url=f"{live_site}/webhooks/stripe", secret=payers.SECRET)
    stripe_api.charge(order=str(order.pk), amount=2000, currency="USD", customer=str(card.customer_id),
                      method=card.method_id)  # fmt: skip

    _wait_until(lambda: PaymentEvent.objects.filter(order=order).exists())

    order.refresh_from_db()
    assert (order.state, entries(shop)) == ("paid", [("top_up", 20 * DOLLAR)])


def _wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
