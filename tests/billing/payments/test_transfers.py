"""Bank transfers: a quote with a frozen rate; what fits it exactly is credited, what does not waits for an operator."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connections
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import Tenant, User
from billing import ledger
from billing.models import BankTransfer, ExchangeRate, Gateway, LedgerEntry, PaymentAlarm, PaymentOrder
from billing.payments import jobs, memos, orders, refunds, transfers
from billing.payments.errors import NotConfigured, PaymentRefused
from billing.reservations import new_id
from tests.billing.payments.conftest import BANK_SECRET, DOLLAR, entries
from tests.bookkeeping import Account, is_postgres

PAID = [("top_up", 20 * DOLLAR)]
DONG = 10**6


@pytest.fixture
def quote(bank: None, rate: ExchangeRate, shop: Account, payer: User) -> PaymentOrder:
    """20 dollars, 510,010 dong."""
    return orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=20 * DOLLAR, created_by=payer)


def told_of(text: str, amount: int, **fields: Any) -> dict[str, Any]:
    given = {"reference": f"FT{new_id()}", "amount": amount, "currency": "VND", "account": "1023456789", "text": text}
    return given | fields


def post(told: Any, *, secret: str = BANK_SECRET, at: int | None = None, header: str | None = None) -> tuple[int, str]:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    signature = transfers.sign(body, secret=secret, at=int(time.time()) if at is None else at)
    answer = Client(raise_request_exception=False).post(
        "/webhooks/bank", body, content_type="application/json",
        headers={"x-signature": signature if header is None else header},
    )  # fmt: skip
    said = answer.json()
    return answer.status_code, said.get("outcome") or said["error"]


def _state(order: PaymentOrder) -> str:
    order.refresh_from_db()
    return order.state


def test_p6_quote_keeps_both_sums_and_the_rate(quote: PaymentOrder, rate: ExchangeRate) -> None:
    quote.refresh_from_db()
    assert (quote.pay_amount, quote.pay_currency) == (510_010, "VND")
    assert (quote.credit_amount, quote.credit_currency) == (20 * DOLLAR, "USD")
    assert (quote.rate, quote.rate_source, quote.rate_at) == (rate.rate, rate.source, rate.at)
    assert quote.expires_at - quote.created_at == dt.timedelta(minutes=60)


def test_exact_transfer_is_credited(quote: PaymentOrder, shop: Account) -> None:
    told = told_of(f"MBVCB.77.{quote.memo}.CT", 510_010)

    assert post(told) == (200, "matched")

    assert (_state(quote), quote.received, quote.credited) == ("paid", 510_010, 20 * DOLLAR)
    assert (entries(shop), quote.payment_id) == (PAID, f"bank:{told['reference']}")
    assert quote.transfers.get().doubt == ""


def test_same_transfer_again_changes_nothing(quote: PaymentOrder, shop: Account) -> None:
    told = told_of(str(quote.memo), 510_010)

    assert [post(told) for _time in range(3)] == [(200, "matched")] * 3

    assert (entries(shop), quote.transfers.count()) == (PAID, 1)


@pytest.fixture
def in_dong(bank: None, shop: Account, payer: User) -> PaymentOrder:
    """500,000 dong for a wallet in dong."""
    Tenant.objects.filter(pk=shop.tenant.pk).update(currency="VND")
    type(shop.wallet).objects.filter(pk=shop.wallet.pk).update(currency="VND")
    shop.tenant.refresh_from_db()
    return orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=500_000 * DONG, created_by=payer)


def test_wallet_in_dong_needs_no_rate(in_dong: PaymentOrder, shop: Account) -> None:
    quote = in_dong
    assert post(told_of(str(quote.memo), 500_000)) == (200, "matched")

    assert (quote.pay_amount, quote.rate, entries(shop)) == (500_000, None, [("top_up", 500_000 * DONG)])


@pytest.mark.parametrize(
    ("case", "doubt"),
    [("under", "under"), ("over", "over"), ("late", "late"), ("memo of nobody", "unknown_memo"), ("none", "no_memo"),
     ("two codes", "unknown_memo"), ("expired and swept", "late")],
)  # fmt: skip
def test_transfer_that_does_not_fit_waits(
    quote: PaymentOrder, shop: Account, payer: User, case: str, doubt: str
) -> None:
    other = orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=20 * DOLLAR, created_by=payer)
    texts = {"memo of nobody": memos.new(), "none": "thanks", "two codes": f"{quote.memo} {other.memo}"}
    amounts = {"under": 510_009, "over": 510_011}
    if case in {"late", "expired and swept"}:
        PaymentOrder.objects.filter(pk=quote.pk).update(expires_at=timezone.now())
    if case == "expired and swept":
        jobs.run()

    answer = post(told_of(texts.get(case, str(quote.memo)), amounts.get(case, 510_010)))

    transfer = BankTransfer.objects.latest("id")
    assert (answer, transfer.doubt, entries(shop)) == ((200, "unmatched"), doubt, [])
    assert _state(quote) == ("expired" if case == "expired and swept" else "open")


def test_second_transfer_for_one_order_waits(quote: PaymentOrder, shop: Account) -> None:
    post(told_of(str(quote.memo), 510_010))

    assert post(told_of(str(quote.memo), 510_010)) == (200, "unmatched")

    assert (entries(shop), BankTransfer.objects.latest("id").doubt) == (PAID, "twice")


def test_one_reference_told_in_two_ways_is_alarmed(quote: PaymentOrder, shop: Account) -> None:
    told = told_of("thanks", 5)
    post(told)

    assert post(told | {"amount": 510_010, "text": quote.memo}) == (400, "payment_refused")

    assert (entries(shop), PaymentAlarm.objects.get(reference=told["reference"]).kind) == ([], "conflict")


@pytest.mark.parametrize("field", [{"account": "999"}, {"currency": "USD"}])
def test_p1_transfer_to_somebody_else_is_refused_and_alarmed(
    quote: PaymentOrder, shop: Account, field: dict[str, str]
) -> None:
    told = told_of(str(quote.memo), 510_010, **field)

    assert post(told) == (400, "payment_refused")

    assert (entries(shop), BankTransfer.objects.filter(reference=told["reference"]).exists()) == ([], False)
    assert PaymentAlarm.objects.get(reference=told["reference"]).kind == "mismatch"


def test_p1_transfer_does_not_complete_an_order_by_card(
    gateway: Any, bank: None, order: PaymentOrder, shop: Account
) -> None:
    assert post(told_of(f"{order.pk} {order.session_id}", order.pay_amount)) == (200, "unmatched")
    assert (_state(order), entries(shop)) == ("open", [])


@pytest.mark.parametrize("secret", ["", "  ", "fifteen letters"])
def test_p2_process_refuses_to_start_without_the_banks_secret(settings: Settings, bank: None, secret: str) -> None:
    settings.BANK_WEBHOOK_SECRET = secret
    assert "costrouter.E006" in {message.id for message in run_checks()}


@pytest.mark.parametrize(("name", "value"), [("BANK_BIN", "97043"), ("BANK_ACCOUNT", "10 23")])
def test_account_that_no_code_can_carry_is_named(settings: Settings, bank: None, name: str, value: str) -> None:
    setattr(settings, name, value)
    assert "costrouter.E006" in {message.id for message in run_checks()}


@pytest.mark.parametrize("secret", ["", "  "])
def test_p2_transfer_signed_by_an_empty_secret_is_refused(
    settings: Settings, quote: PaymentOrder, shop: Account, secret: str
) -> None:
    settings.BANK_WEBHOOK_SECRET = secret
    assert post(told_of(str(quote.memo), 510_010), secret=secret)[0] == 404
    assert entries(shop) == []


def test_installation_without_an_account_takes_no_transfers(
    settings: Settings, quote: PaymentOrder, shop: Account
) -> None:
    settings.BANK_ACCOUNT = ""
    assert post(told_of(str(quote.memo), 510_010, account=""))[0] == 404
    assert entries(shop) == []


@pytest.mark.parametrize("header", ["", "t=1,v1=00", "v1=" + "0" * 64, "t=1,v1=" + "0" * 64, "nonsense"])
def test_forged_transfer_is_refused(quote: PaymentOrder, shop: Account, header: str) -> None:
    assert post(told_of(str(quote.memo), 510_010), header=header)[0] == 400
    assert entries(shop) == []


@pytest.mark.parametrize(("age", "status"), [(297, 200), (300, 400), (-297, 200), (-303, 400)])
def test_signature_of_another_time_is_refused(quote: PaymentOrder, shop: Account, age: int, status: int) -> None:
    assert post(told_of(str(quote.memo), 510_010), at=int(time.time()) - age)[0] == status
    assert entries(shop) == (PAID if status == 200 else [])


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"reference": "x"}', b"\xff", told_of("x", 0), told_of("x", -5), told_of("x", 10**12 + 1),
     told_of("x", 1, reference=""), told_of("x", 1, reference="x" * 101), told_of("x" * 301, 1),
     told_of("x", 1, extra=1), told_of("x", 1, reference="a\0b"), told_of("x", 1, account="\0"),
     told_of("x", 1, currency="V\0")],
    ids=range(14),
)  # fmt: skip
def test_signed_nonsense_is_refused(bank: None, body: Any) -> None:
    before = BankTransfer.objects.count()
    assert post(body)[0] == 400
    assert BankTransfer.objects.count() == before


@pytest.mark.parametrize(
    "told",
    [told_of("x", 1), told_of("x", 10**12), told_of("x", 1, reference="r" * 100), told_of("x" * 300, 1)],
    ids=["the least", "the most", "reference", "text"],
)
def test_notice_at_its_bounds_is_kept(bank: None, told: dict[str, Any]) -> None:
    assert post(told) == (200, "unmatched")
    kept = BankTransfer.objects.latest("id")
    assert (kept.reference, kept.amount, kept.text) == (told["reference"], told["amount"], told["text"])


def test_text_with_what_no_column_keeps_is_a_transfer_all_the_same(quote: PaymentOrder, shop: Account) -> None:
    told = told_of(f"{quote.memo}\0CT", 510_010)

    assert [post(told) for _time in range(2)] == [(200, "matched")] * 2

    assert (entries(shop), quote.transfers.get().text) == (PAID, f"{quote.memo} CT")


# --- by hand ---------------------------------------------------------------------------------------------------------


def _waiting(quote: PaymentOrder, amount: int) -> BankTransfer:
    post(told_of(str(quote.memo), amount))
    return BankTransfer.objects.latest("id")


def test_operator_credits_what_was_received_at_the_frozen_rate(quote: PaymentOrder, shop: Account, clerk: User) -> None:
    ExchangeRate.objects.create(rate=20_000_000_000, source="a later one")
    transfer = _waiting(quote, 255_005)

    transfers.match(transfer, order=quote, as_ordered=False, by=clerk, reason="paid half")

    transfer.refresh_from_db()
    assert entries(shop) == [("top_up", 10 * DOLLAR)]
    assert (_state(quote), quote.received, quote.credited) == ("paid", 255_005, 10 * DOLLAR)
    assert (transfer.state, transfer.handled_by, transfer.note) == ("matched", clerk, "paid half")


def test_operator_credits_dong_as_they_came(in_dong: PaymentOrder, shop: Account, clerk: User) -> None:
    transfer = _waiting(in_dong, 499_999)

    transfers.match(transfer, order=in_dong, as_ordered=False, by=clerk, reason="a dong was missing")

    assert entries(shop) == [("top_up", 499_999 * DONG)]


@pytest.mark.parametrize(
    ("received", "credited", "bonus"), [(255_005, 10, 1), (510_010 * 3, 60, 2)], ids=["half", "three times"]
)
def test_bonus_is_of_what_was_received_and_no_more_than_was_promised(
    settings: Settings, bank: None, rate: ExchangeRate, shop: Account, payer: User, clerk: User, received: int,
    credited: int, bonus: int,
) -> None:  # fmt: skip
    """Whoever orders much and pays little gets little."""
    settings.TOP_UP_BONUS_PERCENT = 10
    quote = orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=20 * DOLLAR, created_by=payer)

    transfers.match(_waiting(quote, received), order=quote, as_ordered=False, by=clerk, reason="not what was asked for")

    assert entries(shop) == [("top_up", credited * DOLLAR), ("grant", bonus * DOLLAR)]


@pytest.mark.parametrize(("received", "bonus"), [(600_000, 35_003), (249_999, 17_499)], ids=["more", "less"])
def test_bonus_in_dong_has_no_fractions(
    settings: Settings, bank: None, shop: Account, payer: User, clerk: User, received: int, bonus: int
) -> None:
    settings.TOP_UP_BONUS_PERCENT = 7
    Tenant.objects.filter(pk=shop.tenant.pk).update(currency="VND")
    type(shop.wallet).objects.filter(pk=shop.wallet.pk).update(currency="VND")
    shop.tenant.refresh_from_db()
    quote = orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=500_050 * DONG, created_by=payer)

    transfers.match(_waiting(quote, received), order=quote, as_ordered=False, by=clerk, reason="what came")

    assert entries(shop) == [("top_up", received * DONG), ("grant", bonus * DONG)]


def test_refund_takes_back_the_bonus_that_was_given(
    settings: Settings, bank: None, rate: ExchangeRate, shop: Account, payer: User, clerk: User
) -> None:
    settings.TOP_UP_BONUS_PERCENT = 10
    quote = orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=20 * DOLLAR, created_by=payer)
    transfers.match(_waiting(quote, 255_005), order=quote, as_ordered=False, by=clerk, reason="paid half")
    quote.refresh_from_db()
    balance, name = shop.wallet, f"test:{shop.wallet.pk}"
    ledger.post(balance=balance, kind=LedgerEntry.Kind.GRANT, amount=50 * DOLLAR, reference=name)

    refunds.approve(refunds.request(quote, amount=255_005, reason="asked for it", by=clerk), by=clerk)

    assert (quote.refunds.get().taken_bonus, shop.available) == (DOLLAR, 50 * DOLLAR)


def test_operator_credits_what_was_ordered(quote: PaymentOrder, shop: Account, clerk: User) -> None:
    PaymentOrder.objects.filter(pk=quote.pk).update(expires_at=timezone.now())
    transfer = _waiting(quote, 510_010)
    quote.refresh_from_db()

    transfers.match(transfer, order=quote, as_ordered=True, by=clerk, reason="a minute late")

    assert (entries(shop), _state(quote)) == (PAID, "paid")


def test_second_transfer_is_credited_as_an_order_of_its_own(quote: PaymentOrder, shop: Account, clerk: User) -> None:
    post(told_of(str(quote.memo), 510_010))
    transfer = _waiting(quote, 510_010)
    quote.refresh_from_db()
    with pytest.raises(PaymentRefused):
        transfers.match(transfer, order=quote, as_ordered=True, by=clerk, reason="twice")
    assert entries(shop) == PAID

    made = transfers.match(transfer, order=quote, as_ordered=False, by=clerk, reason="paid twice")

    assert entries(shop) == PAID * 2
    assert (made.pk == quote.pk, made.rate, made.rate_at) == (False, quote.rate, quote.rate_at)
    transfer.refresh_from_db()
    assert transfer.order == made


def test_returned_transfer_credits_nothing(quote: PaymentOrder, shop: Account, clerk: User) -> None:
    transfer = _waiting(quote, 1)

    transfers.mark_returned(transfer, by=clerk, reason="sent back by FT99")

    transfer.refresh_from_db()
    assert (transfer.state, entries(shop), _state(quote)) == ("returned", [], "open")


def test_transfer_is_dealt_with_once(quote: PaymentOrder, shop: Account, clerk: User) -> None:
    transfer = _waiting(quote, 1)
    transfers.mark_returned(transfer, by=clerk, reason="first")

    with pytest.raises(PaymentRefused):
        transfers.match(transfer, order=quote, as_ordered=True, by=clerk, reason="second")
    with pytest.raises(PaymentRefused):
        transfers.mark_returned(transfer, by=clerk, reason="second")

    transfer.refresh_from_db()
    assert (transfer.note, entries(shop), _state(quote)) == ("first", [], "open")


# --- quotes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("age", [dt.timedelta(days=7), dt.timedelta(days=-1)], ids=["a week old", "of tomorrow"])
def test_rate_that_does_not_hold_is_not_sold_at(bank: None, shop: Account, payer: User, age: dt.timedelta) -> None:
    with connections["default"].cursor() as cursor:
        if is_postgres():
            cursor.execute("TRUNCATE billing_exchangerate")
        else:
            cursor.execute("DELETE FROM billing_exchangerate")
    ExchangeRate.objects.create(rate=25_000_000_000, source="old", at=timezone.now() - age)

    with pytest.raises(PaymentRefused):
        orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=20 * DOLLAR, created_by=payer)
    assert not PaymentOrder.objects.filter(tenant=shop.tenant).exists()


def test_newest_rate_holds(bank: None, rate: ExchangeRate, shop: Account, payer: User) -> None:
    ExchangeRate.objects.create(rate=1_000_000, source="older", at=rate.at - dt.timedelta(hours=1))
    assert (
        orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=20 * DOLLAR, created_by=payer).rate == rate.rate
    )


@pytest.mark.parametrize("amount", [0, 5 * DOLLAR - 1, 5000 * DOLLAR + 1, 20 * DOLLAR + 1])
def test_amount_that_cannot_be_topped_up_is_refused(
    bank: None, rate: ExchangeRate, shop: Account, payer: User, amount: int
) -> None:
    with pytest.raises(PaymentRefused):
        orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=amount, created_by=payer)
    assert not PaymentOrder.objects.filter(tenant=shop.tenant).exists()


@pytest.mark.parametrize("amount", [5 * DOLLAR, 5000 * DOLLAR])
def test_bounds_themselves_can_be_topped_up(
    bank: None, rate: ExchangeRate, shop: Account, payer: User, amount: int
) -> None:
    assert orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=amount, created_by=payer).state == "open"


def test_way_that_is_not_configured_is_refused(bank: None, shop: Account, payer: User) -> None:
    with pytest.raises(NotConfigured):
        orders.place(tenant=shop.tenant, gateway=Gateway.STRIPE, amount=20 * DOLLAR, created_by=payer)
    assert not PaymentOrder.objects.filter(tenant=shop.tenant).exists()
