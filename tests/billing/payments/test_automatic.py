"""Automatic top-ups: the whole gap, one at a time, within the ceiling; rest after a declined charge."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import User
from billing import ledger
from billing.models import AutomaticTopUp, Gateway, LedgerEntry, PaymentAlarm, PaymentOrder, SavedCard
from billing.payments import automatic, checkout, events, jobs, orders, stripe_api
from billing.payments.errors import PaymentRefused
from billing.reservations import new_id
from tests import payers
from tests.billing.payments.conftest import DOLLAR, entries, member, ordered, tell
from tests.bookkeeping import Account, account
from tests.payers import StandIn

Kind = LedgerEntry.Kind


@pytest.fixture(autouse=True)
def _alone(database: str) -> None:
    """The wallets of other tests are left alone."""
    AutomaticTopUp.objects.update(is_on=False)


@pytest.fixture
def card(gateway: StandIn, shop: Account) -> SavedCard:
    return SavedCard.objects.create(
        tenant=shop.tenant, customer_id=f"cus_{shop.tenant.pk}", method_id="pm_visa", brand="visa", last_four="4242"
    )


@pytest.fixture
def top_up(card: SavedCard, shop: Account, payer: User) -> AutomaticTopUp:
    """20 dollars whenever less than 10 are left, 100 a month at most; the wallet is empty."""
    return _set_up(shop, payer)


def _set_up(shop: Account, payer: User, **wanted: Any) -> AutomaticTopUp:
    given = {"is_on": True, "threshold": 10 * DOLLAR, "amount": 20 * DOLLAR, "monthly_ceiling": 100 * DOLLAR}
    return automatic.set_up(shop.tenant, by=payer, **(given | wanted))


def _charged(gateway: StandIn) -> list[int]:
    return [each["amount"] for each in gateway.charges()]


def _declines(card: SavedCard, method: str = payers.DECLINED) -> None:
    SavedCard.objects.filter(pk=card.pk).update(method_id=method)


def _rested(top_up: AutomaticTopUp) -> None:
    """Time passes until the rest is over."""
    AutomaticTopUp.objects.filter(pk=top_up.pk).update(rests_until=timezone.now() - dt.timedelta(seconds=1))


def _move(shop: Account, amount: int, kind: LedgerEntry.Kind = Kind.REFUND) -> None:
    ledger.post(balance=shop.wallet, kind=kind, amount=amount, reference=new_id())


def test_low_wallet_is_filled(gateway: StandIn, top_up: AutomaticTopUp, shop: Account) -> None:
    assert automatic.run() == 1

    order = PaymentOrder.objects.get(tenant=shop.tenant)
    assert (order.state, order.is_automatic, order.received, order.credited) == ("paid", True, 2000, 20 * DOLLAR)
    assert (entries(shop), _charged(gateway)) == ([("top_up", 20 * DOLLAR)], [2000])
    sent = next(params for _method, path, params, _key in gateway.asked if path == "/v1/payment_intents")
    assert (sent["off_session"], sent["confirm"], sent["customer"]) == ("true", "true", f"cus_{shop.tenant.pk}")


def test_wallet_at_the_threshold_is_left_alone(gateway: StandIn, top_up: AutomaticTopUp, shop: Account) -> None:
    _move(shop, 10 * DOLLAR, Kind.GRANT)
    assert (automatic.run(), _charged(gateway)) == (0, [])


def test_wallet_a_unit_below_is_filled(gateway: StandIn, top_up: AutomaticTopUp, shop: Account) -> None:
    _move(shop, 10 * DOLLAR - 1, Kind.GRANT)
    assert (automatic.run(), _charged(gateway)) == (1, [2000])


def test_e26_whole_gap_is_closed_in_one_go(gateway: StandIn, top_up: AutomaticTopUp, shop: Account) -> None:
    _move(shop, -(35 * DOLLAR + 1))

    automatic.run()

    assert _charged(gateway) == [4501]  # up to the next cent
    assert 10 * DOLLAR <= shop.available < 10 * DOLLAR + DOLLAR // 100


def test_ceiling_of_the_month_is_not_passed(gateway: StandIn, card: SavedCard, shop: Account, payer: User) -> None:
    _set_up(shop, payer, monthly_ceiling=50 * DOLLAR)

    for _month in range(5):
        automatic.run()
        _move(shop, -20 * DOLLAR)

    assert _charged(gateway) == [2000, 2000, 1000]
    assert automatic.run() == 0


@pytest.mark.parametrize(
    ("ceiling", "charged"),
    [(25 * DOLLAR, [2000, 500]), (25 * DOLLAR - 1, [2000]), (30 * DOLLAR + 1, [2000, 1000])],
    ids=["the least is left", "less than the least is left", "finer than a cent"],
)
def test_what_is_left_of_the_month_is_charged_if_it_can_be_paid(
    gateway: StandIn, card: SavedCard, shop: Account, payer: User, ceiling: int, charged: list[int]
) -> None:
    _set_up(shop, payer, monthly_ceiling=ceiling)

    automatic.run()
    _move(shop, -20 * DOLLAR)
    automatic.run()

    assert _charged(gateway) == charged


@pytest.mark.parametrize(
    ("made_at", "counted"),
    [("2026-03-31T16:59:59.999+00:00", 0), ("2026-03-31T17:00:00+00:00", 20 * DOLLAR)],
    ids=["last of March there", "first of April there"],
)
def test_ceiling_begins_anew_with_the_tenants_month(shop: Account, made_at: str, counted: int) -> None:
    shop.tenant.time_zone = "Asia/Ho_Chi_Minh"
    moment = dt.datetime.fromisoformat(made_at)
    PaymentOrder.objects.create(
        tenant=shop.tenant, gateway="stripe", is_automatic=True, pay_currency="USD", pay_amount=2000,
        credit_currency="USD", credit_amount=20 * DOLLAR, created_at=moment, expires_at=moment,
    )  # fmt: skip

    now = dt.datetime(2026, 4, 15, tzinfo=dt.UTC)

    assert automatic.charged_this_month(shop.tenant, now) == counted


def test_month_that_begins_in_an_hour_that_comes_twice_begins_with_the_first(shop: Account) -> None:
    """Havana's clocks go back to midnight on the first of November 2026."""
    shop.tenant.time_zone = "America/Havana"
    first, second = (dt.datetime(2026, 11, 1, hour, 30, tzinfo=dt.UTC) for hour in (4, 5))
    PaymentOrder.objects.create(
        tenant=shop.tenant, gateway="stripe", is_automatic=True, pay_currency="USD", pay_amount=2000,
        credit_currency="USD", credit_amount=20 * DOLLAR, created_at=first, expires_at=first,
    )  # fmt: skip

    assert automatic.charged_this_month(shop.tenant, second) == 20 * DOLLAR


def test_wallets_that_have_reached_their_ceiling_do_not_keep_others_from_being_filled(
    gateway: StandIn, shop: Account, payer: User
) -> None:
    for _number in range(51):
        tenant = account(0).tenant
        SavedCard.objects.create(tenant=tenant, customer_id=f"cus_{tenant.pk}", method_id="pm_visa")
        AutomaticTopUp.objects.create(tenant=tenant, is_on=True, threshold=1, amount=DOLLAR, monthly_ceiling=DOLLAR)
        PaymentOrder.objects.create(
            tenant=tenant, gateway="stripe", is_automatic=True, pay_currency="USD", pay_amount=100, state="paid",
            credit_currency="USD", credit_amount=DOLLAR, received=100, credited=DOLLAR, expires_at=timezone.now(),
        )  # fmt: skip
    SavedCard.objects.create(tenant=shop.tenant, customer_id=f"cus_{shop.tenant.pk}", method_id="pm_visa")
    _set_up(shop, payer)

    assert (automatic.run(), _charged(gateway)) == (1, [2000])


def test_ceiling_counts_only_what_was_or_may_be_paid(gateway: StandIn, top_up: AutomaticTopUp, card: SavedCard,
                                                     shop: Account) -> None:  # fmt: skip
    _declines(card)
    automatic.run()
    assert automatic.charged_this_month(shop.tenant, timezone.now()) == 0


def test_e26_declined_charge_makes_it_rest(
    gateway: StandIn, top_up: AutomaticTopUp, card: SavedCard, shop: Account
) -> None:
    _declines(card)

    assert [automatic.run() for _second in range(3)] == [1, 0, 0]

    top_up.refresh_from_db()
    order = PaymentOrder.objects.get(tenant=shop.tenant)
    assert (order.state, entries(shop), top_up.failures, top_up.is_on) == ("failed", [], 1, True)
    assert top_up.rests_until is not None
    assert dt.timedelta(minutes=59) < top_up.rests_until - timezone.now() <= dt.timedelta(hours=1)


def test_card_that_wants_its_owner_counts_as_declined(
    gateway: StandIn, top_up: AutomaticTopUp, card: SavedCard, shop: Account
) -> None:
    _declines(card, payers.ASKS_BACK)

    automatic.run()

    order = PaymentOrder.objects.get(tenant=shop.tenant)
    assert (order.state, entries(shop)) == ("failed", [])
    assert gateway.objects[str(order.payment_id)]["status"] == "canceled"


def test_p5_rest_grows_until_it_stops_and_owners_are_told(
    gateway: StandIn, top_up: AutomaticTopUp, card: SavedCard, shop: Account, payer: User
) -> None:
    member(shop, "developer")
    _declines(card)
    rests = []
    for _time in range(6):
        automatic.run()
        top_up.refresh_from_db()
        rests.append(round((top_up.rests_until - timezone.now()).total_seconds() / 3600) if top_up.rests_until else 0)
        if top_up.rests_until:
            _rested(top_up)

    assert rests == [1, 4, 16, 0, 0, 0]
    assert (top_up.is_on, top_up.failures) == (False, 4)
    assert PaymentOrder.objects.filter(tenant=shop.tenant, state="failed").count() == 4
    assert PaymentAlarm.objects.filter(order__tenant=shop.tenant, kind="automatic").count() == 1
    assert [automatic.tell() for _time in range(2)] == [1, 0]
    (sent,) = mail.outbox
    assert sent.to == [payer.email]
    assert shop.tenant.name in sent.subject


def test_e26_paid_top_up_ends_the_rest(
    gateway: StandIn, top_up: AutomaticTopUp, card: SavedCard, shop: Account, payer: User
) -> None:
    _declines(card)
    automatic.run()
    order = ordered(shop, payer, 5 * DOLLAR)

    tell(gateway, "payment_intent.succeeded", gateway.pay(str(order.session_id)))

    top_up.refresh_from_db()
    assert (top_up.failures, top_up.rests_until) == (0, None)
    assert automatic.run() == 1


def test_e26_free_grant_does_not_end_the_rest(
    gateway: StandIn, top_up: AutomaticTopUp, card: SavedCard, shop: Account
) -> None:
    _declines(card)
    automatic.run()

    _move(shop, DOLLAR, Kind.GRANT)

    top_up.refresh_from_db()
    assert (top_up.failures, top_up.rests_until is None, automatic.run()) == (1, False, 0)


def test_p5_open_order_keeps_others_away(gateway: StandIn, top_up: AutomaticTopUp, shop: Account) -> None:
    assert automatic.start(top_up) is not None

    assert [automatic.start(top_up) for _runner in range(15)] == [None] * 15
    assert automatic.run() == 0
    assert PaymentOrder.objects.filter(tenant=shop.tenant).count() == 1


@pytest.mark.parametrize("reason", ["switched off", "rests", "filled"])
def test_wallet_that_was_found_low_a_moment_ago_is_looked_at_again(
    gateway: StandIn, top_up: AutomaticTopUp, shop: Account, payer: User, reason: str
) -> None:
    match reason:
        case "switched off":
            _set_up(shop, payer, is_on=False)
        case "rests":
            AutomaticTopUp.objects.update(rests_until=timezone.now() + dt.timedelta(minutes=1))
        case "filled":
            _move(shop, 10 * DOLLAR, Kind.GRANT)

    assert automatic.start(top_up) is None
    assert not PaymentOrder.objects.filter(tenant=shop.tenant).exists()


def test_every_wallet_that_has_run_low_is_filled_in_one_run(
    gateway: StandIn, top_up: AutomaticTopUp, shop: Account
) -> None:
    other = account(0)
    SavedCard.objects.create(tenant=other.tenant, customer_id=f"cus_{other.tenant.pk}", method_id="pm_visa")
    _set_up(other, member(other))

    assert automatic.run() == 2

    assert (entries(shop), entries(other)) == ([("top_up", 20 * DOLLAR)], [("top_up", 20 * DOLLAR)])


def test_charge_is_one_processs_for_two_minutes_and_can_be_repeated_for_twenty_hours(
    gateway: StandIn, top_up: AutomaticTopUp
) -> None:
    order = automatic.start(top_up)
    assert order is not None
    assert order.look_at == order.created_at + dt.timedelta(minutes=2)
    assert order.expires_at == order.created_at + dt.timedelta(hours=20)


def test_installation_without_cards_charges_nobody(
    settings: Settings, gateway: StandIn, top_up: AutomaticTopUp, shop: Account
) -> None:
    settings.STRIPE_SECRET_KEY = ""
    assert (automatic.run(), PaymentOrder.objects.filter(tenant=shop.tenant).count()) == (0, 0)


@pytest.mark.parametrize("reason", ["off", "no card", "suspended", "resting"])
def test_wallet_is_left_alone(
    gateway: StandIn, top_up: AutomaticTopUp, card: SavedCard, shop: Account, payer: User, reason: str
) -> None:
    match reason:
        case "off":
            _set_up(shop, payer, is_on=False)
        case "no card":
            SavedCard.objects.filter(pk=card.pk).update(method_id="")
        case "suspended":
            type(shop.tenant).objects.filter(pk=shop.tenant.pk).update(status="suspended")
        case "resting":
            AutomaticTopUp.objects.update(rests_until=timezone.now() + dt.timedelta(minutes=1))

    assert (automatic.run(), _charged(gateway)) == (0, [])


@pytest.mark.parametrize(
    "wanted",
    [
        {"amount": 4 * DOLLAR}, {"amount": 5001 * DOLLAR, "monthly_ceiling": 9000 * DOLLAR},
        {"amount": 20 * DOLLAR + 1}, {"monthly_ceiling": 20 * DOLLAR - 1},
    ],
    ids=["too little", "too much", "finer than a cent", "ceiling below one"],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(
    gateway: StandIn, card: SavedCard, shop: Account, payer: User, wanted: dict[str, int]
) -> None:
    with pytest.raises(PaymentRefused):
        _set_up(shop, payer, **wanted)
    assert not AutomaticTopUp.objects.filter(tenant=shop.tenant).exists()


@pytest.mark.parametrize("amount", [5 * DOLLAR, 5000 * DOLLAR], ids=["the least", "the most"])
def test_bounds_themselves_can_be_set_up(
    gateway: StandIn, card: SavedCard, shop: Account, payer: User, amount: int
) -> None:
    assert _set_up(shop, payer, amount=amount, monthly_ceiling=amount).is_on


def test_customer_whose_card_was_not_saved_has_none(
    gateway: StandIn, card: SavedCard, shop: Account, payer: User
) -> None:
    SavedCard.objects.filter(pk=card.pk).update(method_id="")
    with pytest.raises(PaymentRefused):
        _set_up(shop, payer)


def test_it_is_not_switched_on_without_a_card(gateway: StandIn, shop: Account, payer: User) -> None:
    with pytest.raises(PaymentRefused):
        _set_up(shop, payer)
    assert not _set_up(shop, payer, is_on=False).is_on


def test_setting_it_up_again_ends_the_rest(
    gateway: StandIn, top_up: AutomaticTopUp, card: SavedCard, shop: Account, payer: User
) -> None:
    _declines(card)
    automatic.run()

    again = _set_up(shop, payer)

    assert (again.failures, again.rests_until) == (0, None)


# --- a process that dies, a gateway that is away ---------------------------------------------------------------------


def _due(order: PaymentOrder) -> None:
    PaymentOrder.objects.filter(pk=order.pk).update(look_at=timezone.now() - dt.timedelta(seconds=1))


def test_charge_of_a_process_that_died_is_found_by_its_name(
    gateway: StandIn, top_up: AutomaticTopUp, shop: Account, card: SavedCard
) -> None:
    """It was charged, and nobody has noted it: asking again by the order's name is the same charge."""
    order = automatic.start(top_up)
    assert order is not None
    stripe_api.charge(
        order=str(order.pk), amount=2000, currency="USD", customer=str(card.customer_id), method="pm_visa"
    )
    jobs.run()
    assert entries(shop) == []  # it may still be at it

    _due(order)
    jobs.run()

    assert (entries(shop), _charged(gateway)) == ([("top_up", 20 * DOLLAR)], [2000])


def test_event_of_a_charge_nobody_has_noted_credits_it(gateway: StandIn, top_up: AutomaticTopUp, shop: Account) -> None:
    order = automatic.start(top_up)
    assert order is not None
    intent = gateway.pay_elsewhere(amount=2000, currency="usd", metadata={"costrouter_order": str(order.pk)})

    tell(gateway, "payment_intent.succeeded", intent)
    automatic.run()

    assert (entries(shop), _charged(gateway)) == ([("top_up", 20 * DOLLAR)], [2000])


def test_event_of_a_declined_charge_makes_it_rest_once(
    gateway: StandIn, top_up: AutomaticTopUp, card: SavedCard, shop: Account
) -> None:
    _declines(card)
    automatic.run()
    (intent,) = [each for each in gateway.objects.values() if each["object"] == "payment_intent"]

    tell(gateway, "payment_intent.payment_failed", intent)

    top_up.refresh_from_db()
    assert top_up.failures == 1


def test_declined_charge_that_nobody_has_noted_makes_it_rest(gateway: StandIn, top_up: AutomaticTopUp) -> None:
    order = automatic.start(top_up)
    assert order is not None
    intent = gateway.pay_elsewhere(amount=2000, currency="usd", metadata={"costrouter_order": str(order.pk)})
    intent["status"] = "requires_payment_method"

    tell(gateway, "payment_intent.payment_failed", intent)

    order.refresh_from_db()
    top_up.refresh_from_db()
    assert (order.state, top_up.failures) == ("failed", 1)


def test_gateway_that_is_away_leaves_the_order_open(gateway: StandIn, top_up: AutomaticTopUp, shop: Account) -> None:
    gateway.is_away = True
    automatic.run()
    order = PaymentOrder.objects.get(tenant=shop.tenant)
    top_up.refresh_from_db()
    assert (order.state, top_up.failures) == ("open", 0)

    gateway.is_away = False
    _due(order)
    jobs.run()

    assert (entries(shop), _charged(gateway)) == ([("top_up", 20 * DOLLAR)], [2000])


def test_charge_that_cannot_be_asked_for_again_is_alarmed_and_not_repeated(
    gateway: StandIn, top_up: AutomaticTopUp, shop: Account
) -> None:
    order = automatic.start(top_up)
    assert order is not None
    past = timezone.now() - dt.timedelta(seconds=1)
    PaymentOrder.objects.filter(pk=order.pk).update(look_at=past, expires_at=past)

    jobs.look_at_orders()

    order.refresh_from_db()
    assert (order.state, _charged(gateway)) == ("failed", [])
    assert PaymentAlarm.objects.filter(order=order, kind="automatic").count() == 1


def test_order_whose_events_got_lost_is_looked_at(gateway: StandIn, order: PaymentOrder, shop: Account) -> None:
    gateway.pay(str(order.session_id))
    jobs.run()
    assert entries(shop) == []

    _due(order)
    jobs.run()

    assert entries(shop) == [("top_up", 20 * DOLLAR)]


def test_payment_of_a_charge_that_was_slow_is_looked_up_by_its_name(
    gateway: StandIn, top_up: AutomaticTopUp, shop: Account
) -> None:
    order = automatic.start(top_up)
    assert order is not None
    slow = gateway.pay_elsewhere(amount=2000, currency="usd", metadata={"costrouter_order": str(order.pk)})
    slow["status"] = "processing"
    PaymentOrder.objects.filter(pk=order.pk).update(payment_id=slow["id"])
    _due(order)
    jobs.look_at_orders()
    assert entries(shop) == []

    slow["status"] = "succeeded"
    _due(order)
    jobs.look_at_orders()

    assert entries(shop) == [("top_up", 20 * DOLLAR)]


@pytest.mark.parametrize(("since", "state"), [(1, "open"), (2, "expired")], ids=["a day ago", "two days ago"])
def test_page_that_nobody_paid_on_is_looked_at_for_two_days_after_its_hour(
    gateway: StandIn, order: PaymentOrder, since: int, state: str
) -> None:
    ended = timezone.now() - dt.timedelta(days=since)
    PaymentOrder.objects.filter(pk=order.pk).update(expires_at=ended, look_at=ended)

    assert jobs.look_at_orders() == 1

    order.refresh_from_db()
    assert order.state == state


def test_look_at_a_gateway_that_is_away_is_tried_again_in_ten_minutes(gateway: StandIn, order: PaymentOrder) -> None:
    gateway.is_away = True
    _due(order)

    assert (jobs.look_at_orders(), jobs.look_at_orders()) == (1, 0)

    order.refresh_from_db()
    assert order.look_at is not None
    assert dt.timedelta(minutes=9) < order.look_at - timezone.now() <= dt.timedelta(minutes=10)


def test_order_that_nobody_was_sent_to_pay_expires(gateway: StandIn, shop: Account, payer: User) -> None:
    order = orders.place(tenant=shop.tenant, gateway=Gateway.STRIPE, amount=5 * DOLLAR, created_by=payer)
    past = timezone.now() - dt.timedelta(seconds=1)
    PaymentOrder.objects.filter(pk=order.pk).update(look_at=past, expires_at=past)

    jobs.run()

    order.refresh_from_db()
    assert order.state == "expired"


def test_card_order_can_be_paid_for_an_hour_and_is_looked_at_after_five_minutes(
    gateway: StandIn, order: PaymentOrder
) -> None:
    assert order.expires_at - order.created_at == dt.timedelta(hours=1)
    assert order.look_at is not None
    assert order.look_at - order.created_at == dt.timedelta(minutes=5)


@pytest.mark.parametrize("left", [None, {"method_id": ""}, {"customer_id": None}], ids=["nothing", "no card", "nobody"])
def test_charge_whose_card_is_gone_has_failed_and_makes_it_rest(
    gateway: StandIn, top_up: AutomaticTopUp, card: SavedCard, left: dict[str, str | None] | None
) -> None:
    order = automatic.start(top_up)
    assert order is not None
    card.delete() if left is None else SavedCard.objects.filter(pk=card.pk).update(**left)

    automatic.charge(order)

    order.refresh_from_db()
    top_up.refresh_from_db()
    assert (order.state, top_up.failures, _charged(gateway)) == ("failed", 1, [])


def test_charge_that_fails_when_nothing_is_set_up_any_more_ends_its_order(
    gateway: StandIn, top_up: AutomaticTopUp
) -> None:
    order = automatic.start(top_up)
    assert order is not None
    top_up.delete()

    assert [automatic.fail(order, "declined") for _time in range(2)] == [True, False]

    order.refresh_from_db()
    assert order.state == "failed"


def test_charge_that_failed_is_counted_once(gateway: StandIn, top_up: AutomaticTopUp) -> None:
    order = automatic.start(top_up)
    assert order is not None

    assert [automatic.fail(order, "declined") for _time in range(2)] == [True, False]

    top_up.refresh_from_db()
    assert top_up.failures == 1


class AwayBackend(BaseEmailBackend):
    """A mail server that cannot be reached."""

    def send_messages(self, _messages: object) -> int:
        raise OSError


def test_owners_are_told_as_soon_as_mail_goes_out_again(
    settings: Settings, gateway: StandIn, top_up: AutomaticTopUp
) -> None:
    AutomaticTopUp.objects.filter(pk=top_up.pk).update(is_mail_due=True)
    before, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, f"{__name__}.AwayBackend"
    assert (automatic.tell(), mail.outbox) == (0, [])

    settings.EMAIL_BACKEND = before
    assert (automatic.tell(), len(mail.outbox)) == (1, 1)


def test_owners_whom_another_process_tells_are_told_once(gateway: StandIn, top_up: AutomaticTopUp) -> None:
    AutomaticTopUp.objects.filter(pk=top_up.pk).update(is_mail_due=True)

    def meanwhile(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE"):
            execute("UPDATE billing_automatictopup SET is_mail_due = %s", [False], *rest[1:])
        return execute(sql, *rest)

    with connection.execute_wrapper(meanwhile):
        assert (automatic.tell(), mail.outbox) == (0, [])


# --- the saved card --------------------------------------------------------------------------------------------------


def test_card_is_saved_on_the_gateways_page(gateway: StandIn, shop: Account, payer: User) -> None:
    url = checkout.begin_saving(shop.tenant, back="http://testserver/", payer=payer)
    session = gateway.save_card(url.rpartition("/")[2])

    told = [tell(gateway, "checkout.session.completed", session, "evt_card") for _time in range(2)]

    assert told == [events.Outcome.BOOKED, events.Outcome.SEEN]
    saved = SavedCard.objects.get(tenant=shop.tenant)
    assert (saved.customer_id, saved.method_id) == (session["customer"], "pm_visa")
    assert (saved.brand, saved.last_four) == ("visa", "4242")


def test_card_of_a_customer_that_is_not_ours_is_not_kept(gateway: StandIn, card: SavedCard) -> None:
    session = gateway._new("cs", "checkout.session", mode="setup", status="open", url="", customer="cus_other",
                           payment_intent=None, setup_intent=None, metadata={})  # fmt: skip

    told = tell(gateway, "checkout.session.completed", gateway.save_card(session["id"], "pm_other"))

    assert told == events.Outcome.IGNORED
    card.refresh_from_db()
    assert card.method_id == "pm_visa"


def _moment(second: int) -> dt.datetime:
    return dt.datetime(2026, 11, 1, 12, 0, second, tzinfo=dt.UTC)


def _chosen(gateway: StandIn, shop: Account, payer: User, method: str, second: int) -> dict[str, Any]:
    """The session in which the owner typed this card in."""
    url = checkout.begin_saving(shop.tenant, back="http://testserver/", payer=payer)
    return gateway.save_card(url.rpartition("/")[2], method, _moment(second).timestamp())


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=lambda order: "".join(map(str, order)))
@pytest.mark.parametrize(
    ("seconds", "kept"),
    [((0, 1, 2), 2), ((1, 1, 1), 2), ((1, 1, 0), 1)],
    ids=["one after the other", "at once", "two at once"],
)
def test_card_that_was_chosen_last_is_kept_in_whatever_order_events_come(
    gateway: StandIn, shop: Account, payer: User, order: tuple[int, ...], seconds: tuple[int, ...], kept: int
) -> None:
    sessions = [_chosen(gateway, shop, payer, f"pm_{number}", after) for number, after in enumerate(seconds)]

    told = [tell(gateway, "checkout.session.completed", sessions[each]) for each in (*order, *order)]

    assert told == [events.Outcome.BOOKED] * 6
    saved = SavedCard.objects.get(tenant=shop.tenant)
    assert (saved.method_id, saved.saved_at) == (f"pm_{kept}", _moment(seconds[kept]))


def test_forgotten_card_does_not_come_back_with_an_event_and_a_new_one_does(
    gateway: StandIn, shop: Account, payer: User
) -> None:
    older, forgotten = (_chosen(gateway, shop, payer, f"pm_{name}", name) for name in (1, 2))
    tell(gateway, "checkout.session.completed", forgotten)
    checkout.forget_card(shop.tenant)

    for session in (older, forgotten):
        assert tell(gateway, "checkout.session.completed", session) == events.Outcome.BOOKED
        assert SavedCard.objects.get(tenant=shop.tenant).method_id == ""

    tell(gateway, "checkout.session.completed", _chosen(gateway, shop, payer, "pm_3", 3))
    assert SavedCard.objects.get(tenant=shop.tenant).method_id == "pm_3"


def test_forgotten_card_is_charged_no_more(gateway: StandIn, top_up: AutomaticTopUp, shop: Account) -> None:
    gateway.objects["pm_visa"] = {"id": "pm_visa", "object": "payment_method"}

    checkout.forget_card(shop.tenant)

    top_up.refresh_from_db()
    assert (top_up.is_on, SavedCard.objects.get(tenant=shop.tenant).method_id) == (False, "")
    assert (automatic.run(), _charged(gateway)) == (0, [])
    assert ("POST", "/v1/payment_methods/pm_visa/detach") in [asked[:2] for asked in gateway.asked]
