"""What the card gateway tells: credited once, whatever comes, comes again, comes late or comes from somebody else."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connections
from django.test import Client
from pytest_django.fixtures import Settings

from accounts.models import User
from billing.migrations._append_only import guard, unguard
from billing.models import Gateway, LedgerEntry, PaymentAlarm, PaymentEvent, PaymentOrder
from billing.payments import gateways, orders, stripe_api
from billing.payments.errors import BadSignature, EventRefused, PaymentsAway
from billing.payments.events import Outcome, receive
from tests import payers
from tests.billing.payments.conftest import DOLLAR, alarms, entries, ordered, tell
from tests.bookkeeping import Account
from tests.payers import StandIn

CREDITED = [("top_up", 20 * DOLLAR)]


def test_paid_session_credits_its_order(gateway: StandIn, order: PaymentOrder, shop: Account) -> None:
    intent = gateway.pay(str(order.session_id))

    outcome = tell(gateway, "checkout.session.completed", gateway.objects[str(order.session_id)])

    order.refresh_from_db()
    assert outcome == Outcome.BOOKED
    assert (order.state, order.received, order.credited) == ("paid", 2000, 20 * DOLLAR)
    assert (order.payment_id, order.look_at) == (intent["id"], None)
    assert entries(shop) == CREDITED
    assert LedgerEntry.objects.get(balance=shop.wallet).reference == f"order:{order.pk}"
    assert PaymentEvent.objects.get(order=order).type == "checkout.session.completed"


def test_session_without_a_payment_credits_nothing(gateway: StandIn, order: PaymentOrder, shop: Account) -> None:
    assert tell(gateway, "checkout.session.completed", gateway.objects[str(order.session_id)]) == Outcome.BOOKED
    order.refresh_from_db()
    assert (order.state, entries(shop)) == ("open", [])


def test_expired_session_ends_its_order(gateway: StandIn, order: PaymentOrder, shop: Account) -> None:
    tell(gateway, "checkout.session.expired", gateway.expire(str(order.session_id)))

    order.refresh_from_db()
    assert (order.state, entries(shop)) == ("expired", [])


def test_declined_attempt_leaves_the_session_open(gateway: StandIn, order: PaymentOrder, shop: Account) -> None:
    """On the gateway's page the payer tries another card."""
    metadata = {stripe_api.ORDER: str(order.pk)}
    attempt = gateway._intent(amount=2000, currency="usd", metadata=metadata, status="requires_payment_method")

    tell(gateway, "payment_intent.payment_failed", attempt)

    order.refresh_from_db()
    assert (order.state, entries(shop)) == ("open", [])


# --- again, late, in another order -----------------------------------------------------------------------------------


def test_same_event_again_changes_nothing(gateway: StandIn, order: PaymentOrder, shop: Account) -> None:
    intent = gateway.pay(str(order.session_id))

    outcomes = [tell(gateway, "payment_intent.succeeded", intent, id_=f"evt_again_{order.pk}") for _time in range(3)]

    assert outcomes == [Outcome.BOOKED, Outcome.SEEN, Outcome.SEEN]
    assert entries(shop) == CREDITED


def test_two_events_of_one_payment_credit_once(gateway: StandIn, order: PaymentOrder, shop: Account) -> None:
    intent = gateway.pay(str(order.session_id))

    tell(gateway, "payment_intent.succeeded", intent)
    tell(gateway, "checkout.session.completed", gateway.objects[str(order.session_id)])

    assert entries(shop) == CREDITED


def test_expiry_told_after_the_payment_changes_nothing(gateway: StandIn, paid: PaymentOrder, shop: Account) -> None:
    tell(gateway, "checkout.session.expired", gateway.objects[str(paid.session_id)])

    paid.refresh_from_db()
    assert (paid.state, entries(shop)) == ("paid", CREDITED)


def test_payment_told_after_the_expiry_is_credited(gateway: StandIn, order: PaymentOrder, shop: Account) -> None:
    orders.end(order, PaymentOrder.State.EXPIRED)

    tell(gateway, "payment_intent.succeeded", gateway.pay(str(order.session_id)))

    order.refresh_from_db()
    assert (order.state, entries(shop)) == ("paid", CREDITED)


def test_refund_told_before_its_payment_books_both(gateway: StandIn, order: PaymentOrder, shop: Account) -> None:
    intent = gateway.pay(str(order.session_id))
    refund = gateway.give_back(intent["id"], 500)

    tell(gateway, "refund.created", refund)
    tell(gateway, "payment_intent.succeeded", intent)

    order.refresh_from_db()
    assert entries(shop) == [*CREDITED, ("refund", -5 * DOLLAR)]
    assert (order.state, order.refunded) == ("partly_refunded", 500)


def test_second_payment_of_a_paid_order_is_refused(gateway: StandIn, paid: PaymentOrder, shop: Account) -> None:
    metadata = {stripe_api.ORDER: str(paid.pk)}
    second = gateway.pay_elsewhere(amount=2000, currency="usd", metadata=metadata)

    with pytest.raises(EventRefused):
        tell(gateway, "payment_intent.succeeded", second)

    assert (entries(shop), alarms(paid)) == (CREDITED, ["mismatch"])


@pytest.mark.parametrize("type_", ["customer.created", "invoice.paid", "charge.refunded", "v2.something"])
def test_event_of_no_interest_is_acknowledged(gateway: StandIn, shop: Account, type_: str) -> None:
    assert tell(gateway, type_, {"id": "x", "object": "x"}) == Outcome.IGNORED
    assert not PaymentEvent.objects.filter(type=type_).exists()


def test_payment_that_names_no_order_of_ours_is_acknowledged(gateway: StandIn, shop: Account) -> None:
    other = gateway.pay_elsewhere(amount=2000, currency="usd", metadata={"order": "6735"})

    assert tell(gateway, "payment_intent.succeeded", other) == Outcome.IGNORED


# --- P1 to P8 --------------------------------------------------------------------------------------------------------


def test_p1_event_of_the_card_gateway_does_not_complete_an_order_of_the_bank(
    gateway: StandIn, bank: None, rate: Any, shop: Account, payer: User
) -> None:
    quote = orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=20 * DOLLAR, created_by=payer)
    metadata = {stripe_api.ORDER: str(quote.pk)}
    intent = gateway.pay_elsewhere(amount=quote.pay_amount, currency="vnd", metadata=metadata)

    with pytest.raises(EventRefused):
        tell(gateway, "payment_intent.succeeded", intent)

    quote.refresh_from_db()
    assert (quote.state, quote.received, entries(shop)) == ("open", 0, [])
    assert alarms(quote) == ["crossed"]


@pytest.mark.parametrize("secret", ["", "   ", "short"])
def test_p2_process_refuses_to_start_without_a_webhook_secret(settings: Settings, secret: str) -> None:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = payers.KEY, secret

    assert "costrouter.E006" in {message.id for message in run_checks()}
    with pytest.raises(ImproperlyConfigured, match="STRIPE_WEBHOOK_SECRET"):
        gateways.require_sound()


@pytest.mark.parametrize("secret", ["", "   "])
def test_p2_event_signed_by_an_empty_secret_is_refused(
    settings: Settings, gateway: StandIn, order: PaymentOrder, shop: Account, secret: str
) -> None:
    settings.STRIPE_WEBHOOK_SECRET = secret
    body = gateway.event("payment_intent.succeeded", gateway.pay(str(order.session_id)))

    answer = _post(body, payers.signed(body, secret=secret))

    assert (answer, entries(shop)) == (404, [])


@pytest.mark.parametrize(("amount", "currency"), [(1999, "usd"), (2001, "usd"), (2000, "eur"), (2000, "vnd")], ids=str)
def test_p3_payment_that_is_not_what_the_order_asks_for_is_refused(
    gateway: StandIn, order: PaymentOrder, shop: Account, amount: int, currency: str
) -> None:
    intent = gateway.pay(str(order.session_id), amount=amount, currency=currency)

    with pytest.raises(EventRefused):
        tell(gateway, "payment_intent.succeeded", intent)

    order.refresh_from_db()
    assert (order.state, entries(shop), alarms(order)) == ("open", [], ["mismatch"])
    assert not PaymentEvent.objects.filter(order=order).exists()


def test_p3_what_the_event_says_of_the_payment_is_not_believed(
    gateway: StandIn, order: PaymentOrder, shop: Account
) -> None:
    metadata = {stripe_api.ORDER: str(order.pk)}
    intent = gateway._intent(amount=2000, currency="usd", metadata=metadata, status="processing")

    tell(gateway, "payment_intent.succeeded", intent | {"status": "succeeded", "amount_received": 2000})

    order.refresh_from_db()
    assert (order.state, entries(shop)) == ("open", [])


def test_p3_payment_is_credited_to_the_order_that_it_names(
    gateway: StandIn, order: PaymentOrder, shop: Account, payer: User
) -> None:
    """An event cannot have somebody else's payment credited: the payment itself says whose it is."""
    other = ordered(shop, payer, 20 * DOLLAR)
    intent = gateway.pay(str(order.session_id))

    tell(gateway, "payment_intent.succeeded", intent | {"metadata": {stripe_api.ORDER: str(other.pk)}})

    order.refresh_from_db()
    other.refresh_from_db()
    assert (order.state, other.state) == ("paid", "open")


def test_p3_unknown_order_is_alarmed(gateway: StandIn, shop: Account) -> None:
    metadata = {stripe_api.ORDER: "00000000-0000-4000-8000-000000000000"}
    intent = gateway.pay_elsewhere(amount=2000, currency="usd", metadata=metadata)
    body = gateway.event("payment_intent.succeeded", intent, id_=f"evt_unknown_{shop.tenant.pk}")

    assert [_post(body, payers.signed(body)) for _time in range(2)] == [400, 400]

    alarm = PaymentAlarm.objects.get(reference=f"evt_unknown_{shop.tenant.pk}")
    assert (alarm.kind, alarm.closed_at) == ("unknown_order", None)


def test_p4_event_is_not_taken_for_seen_before_it_has_credited(
    gateway: StandIn, order: PaymentOrder, shop: Account
) -> None:
    """The ledger refuses, so order and event are as before; the repetition credits."""
    intent = gateway.pay(str(order.session_id))
    name = f"evt_failing_{order.pk}"
    stolen = LedgerEntry.objects.create(balance=shop.wallet, kind="adjustment", amount=1, reference=f"order:{order.pk}")
    with pytest.raises(IntegrityError):
        tell(gateway, "payment_intent.succeeded", intent, id_=name)
    order.refresh_from_db()
    assert (order.state, PaymentEvent.objects.filter(external_id=name).exists()) == ("open", False)

    _forget(stolen)
    outcome = tell(gateway, "payment_intent.succeeded", intent, id_=name)

    assert (outcome, entries(shop)) == (Outcome.BOOKED, CREDITED)


def test_p4_gateway_that_cannot_be_read_has_the_event_sent_again(
    gateway: StandIn, order: PaymentOrder, shop: Account
) -> None:
    intent = gateway.pay(str(order.session_id))
    body = gateway.event("payment_intent.succeeded", intent)
    gateway.is_away = True
    assert _post(body, payers.signed(body)) == 503
    assert entries(shop) == []

    gateway.is_away = False

    assert _post(body, payers.signed(body)) == 200
    assert entries(shop) == CREDITED


def test_p6_bonus_is_a_grant_of_its_own(settings: Settings, gateway: StandIn, shop: Account, payer: User) -> None:
    settings.TOP_UP_BONUS_PERCENT = 10
    order = ordered(shop, payer)

    tell(gateway, "payment_intent.succeeded", gateway.pay(str(order.session_id)))

    assert entries(shop) == [("top_up", 20 * DOLLAR), ("grant", 2 * DOLLAR)]
    order.refresh_from_db()
    assert (order.received, order.credited, order.bonus) == (2000, 20 * DOLLAR, 2 * DOLLAR)


def test_p8_dong_is_sent_without_a_hundred_times_too_much(gateway: StandIn, shop: Account, payer: User) -> None:
    type(shop.tenant).objects.filter(pk=shop.tenant.pk).update(currency="VND")
    type(shop.wallet).objects.filter(pk=shop.wallet.pk).update(currency="VND")
    shop.tenant.refresh_from_db()

    order = ordered(shop, payer, 500_000 * 10**6)

    sent = next(params for method, path, params, _key in gateway.asked if path == "/v1/checkout/sessions")
    assert sent["line_items[0][price_data][unit_amount]"] == "500000"
    assert sent["line_items[0][price_data][currency]"] == "vnd"
    tell(gateway, "payment_intent.succeeded", gateway.pay(str(order.session_id)))
    assert entries(shop) == [("top_up", 500_000 * 10**6)]


# --- signatures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "", "t=1", "v1=abc", "nonsense", "t=x,v1=y", pytest.param(payers.signed(b"{}"), id="of another body"),
    ],
)  # fmt: skip
def test_forged_event_is_refused(gateway: StandIn, order: PaymentOrder, shop: Account, header: str) -> None:
    body = gateway.event("payment_intent.succeeded", gateway.pay(str(order.session_id)))

    assert _post(body, header) == 400
    assert entries(shop) == []


def test_event_signed_with_another_secret_is_refused(gateway: StandIn, order: PaymentOrder, shop: Account) -> None:
    body = gateway.event("payment_intent.succeeded", gateway.pay(str(order.session_id)))

    with pytest.raises(BadSignature):
        receive(body, payers.signed(body, secret="whsec_of_somebody_else"))
    assert entries(shop) == []


@pytest.mark.parametrize(("age", "status"), [(290, 200), (310, 400)])
def test_old_signature_is_refused(gateway: StandIn, order: PaymentOrder, shop: Account, age: int, status: int) -> None:
    body = gateway.event("payment_intent.succeeded", gateway.pay(str(order.session_id)))

    assert _post(body, payers.signed(body, at=int(time.time()) - age)) == status
    assert entries(shop) == (CREDITED if status == 200 else [])


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"object": "event"}', b"\xff\xfe", b"{" * 300])
def test_signed_nonsense_is_refused(gateway: StandIn, body: bytes) -> None:
    text = body.decode(errors="replace")
    header = payers.signed(text.encode())

    assert _post(body, header) == 400


def test_large_body_is_refused(gateway: StandIn) -> None:
    body = b"x" * (256 * 1024 + 1)
    assert _post(body, payers.signed(body)) == 413


def test_webhook_takes_posts_alone(gateway: StandIn) -> None:
    assert Client().get("/webhooks/stripe").status_code == 405


def test_away_is_said_in_our_words(gateway: StandIn) -> None:
    gateway.is_away = True
    with pytest.raises(PaymentsAway):
        stripe_api.payment("pi_1")


def _post(body: bytes, signature: str) -> int:
    client = Client(raise_request_exception=False)
    answer = client.post(
        "/webhooks/stripe", body, content_type="application/json", headers={"stripe-signature": signature}
    )
    return answer.status_code


def _forget(entry: LedgerEntry) -> None:
    """Takes a row out of the history, as nobody may."""
    with connections["default"].schema_editor(atomic=False) as editor:
        unguard(editor, "billing_ledgerentry")
        editor.execute("DELETE FROM billing_ledgerentry WHERE id = %s", [entry.pk])
        guard(editor, "billing_ledgerentry", author="created_by_id")
