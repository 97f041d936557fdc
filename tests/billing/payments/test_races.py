"""Payments at once, on PostgreSQL and SQLite: the same webhook twenty times, refunds, automatic top-ups, requests."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connections
from django.test import Client

from accounts.errors import GatewayError
from accounts.models import User
from billing.books import Books
from billing.invoices import paying
from billing.invoices.finalising import InvoiceConflict
from billing.models import AutomaticTopUp, ExchangeRate, Gateway, LedgerEntry, PaymentEvent, PaymentOrder, SavedCard
from billing.payments import automatic, orders, refunds, transfers
from billing.payments.events import Outcome
from billing.reservations import new_id
from tests import payers
from tests.billing.invoices.customers import customer, seller
from tests.billing.payments.conftest import DOLLAR, entries, member, ordered, tell
from tests.billing.payments.test_transfers import post, told_of
from tests.bookkeeping import Account, account, race
from tests.payers import StandIn


def at_once(racers: int, deed: Callable[[int], object]) -> list[object]:
    """What each of so many threads, with connections of their own, got from the deed; its refusals are results."""
    together = threading.Barrier(racers, timeout=30)

    def run(number: int) -> object:
        together.wait()
        try:
            return deed(number)
        except GatewayError as refusal:
            return type(refusal).__name__
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(run, range(racers)))


def test_same_webhook_from_twenty_connections_credits_once(
    gateway: StandIn, order: PaymentOrder, shop: Account
) -> None:
    body = gateway.event("payment_intent.succeeded", gateway.pay(str(order.session_id)))
    header = payers.signed(body)

    def post(_number: int) -> int:
        client = Client(raise_request_exception=False)
        return client.post(
            "/webhooks/stripe", body, content_type="application/json", headers={"stripe-signature": header}
        ).status_code

    answers = at_once(20, post)

    assert (answers, entries(shop)) == ([200] * 20, [("top_up", 20 * DOLLAR)])
    assert PaymentEvent.objects.filter(order=order).count() == 1


def test_different_events_of_one_payment_at_once_credit_once(
    gateway: StandIn, order: PaymentOrder, shop: Account
) -> None:
    intent = gateway.pay(str(order.session_id))

    at_once(10, lambda number: tell(gateway, "payment_intent.succeeded", intent, id_=f"evt_{order.pk}_{number}"))

    assert entries(shop) == [("top_up", 20 * DOLLAR)]
    assert PaymentEvent.objects.filter(order=order).count() == 10


def test_same_transfer_from_twenty_connections_credits_once(
    bank: None, rate: ExchangeRate, shop: Account, payer: User
) -> None:
    quote = orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=20 * DOLLAR, created_by=payer)
    told = told_of(str(quote.memo), quote.pay_amount)

    assert at_once(20, lambda _number: post(told)) == [(200, "matched")] * 20

    assert (entries(shop), quote.transfers.count()) == ([("top_up", 20 * DOLLAR)], 1)


def test_two_transfers_for_one_order_at_once_credit_once(
    bank: None, rate: ExchangeRate, shop: Account, payer: User
) -> None:
    quote = orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=20 * DOLLAR, created_by=payer)

    answers = at_once(6, lambda _number: post(told_of(str(quote.memo), quote.pay_amount)))

    assert Counter(answers) == {(200, "matched"): 1, (200, "unmatched"): 5}
    assert entries(shop) == [("top_up", 20 * DOLLAR)]


def test_two_operators_match_one_transfer_once(
    bank: None, rate: ExchangeRate, shop: Account, payer: User, clerk: User, boss: User
) -> None:
    quote = orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=20 * DOLLAR, created_by=payer)
    post(told_of(str(quote.memo), 5))
    transfer = quote.transfers.get()

    def match(number: int) -> bool:
        transfers.match(transfer, order=quote, as_ordered=True, by=(clerk, boss)[number % 2], reason="by hand")
        return True

    assert Counter(at_once(6, match)) == {True: 1, "PaymentRefused": 5}
    assert entries(shop) == [("top_up", 20 * DOLLAR)]


def test_p7_refund_against_refund_never_passes_what_was_paid(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    def give_back(_number: int) -> bool:
        made = refunds.request(paid, amount=600, reason="race", by=clerk)
        refunds.approve(made, by=clerk)
        made.refresh_from_db()
        refunds.send(made)
        return True

    results = at_once(8, give_back)

    paid.refresh_from_db()
    assert Counter(results) == {True: 3, "PaymentRefused": 5}
    assert (paid.refunded, shop.available, len(gateway.refunds())) == (1800, 2 * DOLLAR, 3)


def test_one_refund_approved_and_sent_by_many_goes_once(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User, boss: User
) -> None:
    made = refunds.request(paid, amount=2000, reason="race", by=clerk)

    def approve_and_send(_number: int) -> bool:
        with contextlib.suppress(GatewayError):
            refunds.approve(made, by=boss)
        refunds.send_due()
        return True

    at_once(8, approve_and_send)
    gateway._remembered.clear()
    refunds.send_due()

    made.refresh_from_db()
    assert (made.state, len(gateway.refunds())) == ("done", 1)
    assert entries(shop) == [("top_up", 20 * DOLLAR), ("refund", -20 * DOLLAR)]


def test_refund_told_by_many_events_while_it_is_sent_is_booked_once(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    made = refunds.request(paid, amount=700, reason="race", by=clerk)
    refunds.approve(made, by=clerk)
    told = {"id": "ch", "object": "charge", "payment_intent": paid.payment_id}

    def either(number: int) -> object:
        return refunds.send_due() if number == 0 else tell(gateway, "charge.refunded", told)

    at_once(8, either)
    gateway.give_back(str(paid.payment_id), 300)
    at_once(8, lambda _number: tell(gateway, "charge.refunded", told))

    assert entries(shop) == [("top_up", 20 * DOLLAR), ("refund", -7 * DOLLAR), ("refund", -3 * DOLLAR)]


def test_p5_automatic_top_ups_at_once_charge_once(gateway: StandIn, payer: User, shop: Account) -> None:
    AutomaticTopUp.objects.update(is_on=False)
    SavedCard.objects.create(tenant=shop.tenant, customer_id=f"cus_{shop.tenant.pk}", method_id="pm_visa")
    automatic.set_up(
        shop.tenant, is_on=True, threshold=10 * DOLLAR, amount=20 * DOLLAR, monthly_ceiling=900 * DOLLAR, by=payer
    )

    at_once(8, lambda _number: automatic.run())

    assert entries(shop) == [("top_up", 20 * DOLLAR)]
    assert [each["amount"] for each in gateway.charges()] == [2000]


def test_top_up_while_requests_hold_money(gateway: StandIn, payer: User, database: str) -> None:
    """Holds and settlements go on while events credit; nothing is lost and nothing deadlocks."""
    busy = account(DOLLAR)
    placed = [ordered(busy, payer, 5 * DOLLAR) for _order in range(5)]
    intents = [gateway.pay(str(order.session_id)) for order in placed]

    def spend(books: Books) -> None:
        for _request in range(20):
            held = busy.hold(1000)
            books.post([held], [], new_id())
            books.post([], [busy.settlement(held.id, 7)], new_id())

    def pay() -> None:
        for intent in intents:
            tell(gateway, "payment_intent.succeeded", intent)
        connections["default"].close()

    payers_ = [threading.Thread(target=pay) for _payer in range(2)]
    for thread in payers_:
        thread.start()
    race(spend, 3)
    for thread in payers_:
        thread.join()

    assert busy.available == DOLLAR + 25 * DOLLAR - 60 * 7
    assert LedgerEntry.objects.filter(balance=busy.wallet, kind="top_up").count() == 5


def test_invoice_that_is_paid_by_card_while_operators_note_it_is_credited_once(
    gateway: StandIn, clerk: User, boss: User
) -> None:
    """What the card paid is never posted a second time, whoever comes first; who comes too early is told to wait."""
    seller()
    one = customer(postpaid=True)
    one.spend(20 * DOLLAR)
    invoice = one.final()
    shop = Account(one.tenant, one.wallet, one.price())
    order = ordered(shop, member(shop))
    intent = gateway.pay(str(order.session_id))

    def settle(number: int) -> object:
        if number % 2:
            return tell(gateway, "payment_intent.succeeded", intent, id_=f"evt_{order.pk}_{number}")
        return paying.pay(invoice.pk, reason="by card", by=(clerk, boss)[number // 2 % 2]).state

    answers = Counter(at_once(12, settle))
    with contextlib.suppress(InvoiceConflict):
        paying.pay(invoice.pk, reason="by card", by=clerk)  # where all of them came too early

    invoice.refresh_from_db()
    assert answers[Outcome.BOOKED] == 6
    assert answers["InvoiceConflict"] >= 5
    assert (invoice.state, entries(shop)) == ("paid", [("top_up", 20 * DOLLAR)])
    assert (invoice.payment.from_wallet, invoice.payment.posted) == (20 * DOLLAR, 0)


def test_two_operators_note_a_payment_at_once_and_it_is_posted_once(database: str, clerk: User, boss: User) -> None:
    seller()
    one = customer(postpaid=True)
    one.spend(20 * DOLLAR)
    invoice = one.final()

    answers = Counter(
        at_once(8, lambda number: paying.pay(invoice.pk, reason="bank", by=(clerk, boss)[number % 2]).state)
    )

    assert answers == {"paid": 1, "InvoiceConflict": 7}
    assert entries(Account(one.tenant, one.wallet, one.price())) == [("top_up", 20 * DOLLAR)]
