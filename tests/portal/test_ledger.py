"""The wallet's page: what is there, codes, the alert, and the ledger with its export."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import ApiKey, Tenant, User
from accounts.tenants import open_tenant
from billing import balances, codes, grants, ledger
from billing.models import Balance, BalanceAlert, CodeBatch, LedgerEntry, Price
from tests.pages import Browser, Page
from tests.records import reservation, usage_record

PAGE = "portal:billing"
DOLLAR = 10**9
Kind = LedgerEntry.Kind


@pytest.fixture
def wallet(tenant: Tenant) -> Balance:
    return balances.open_wallet(tenant)


def post(wallet: Balance, kind: LedgerEntry.Kind, amount: int, **fields: Any) -> LedgerEntry:
    reference = f"{kind}:{LedgerEntry.objects.count()}"
    return ledger.post(balance=wallet, kind=kind, amount=amount, **({"reference": reference} | fields))


def code(**fields: Any) -> str:
    given: dict[str, Any] = {"label": "Hackathon", "amount": 2 * DOLLAR, "currency": "USD", "number": 1}
    return codes.make(CodeBatch(**(given | fields)))[0]


def test_page_says_what_is_there_and_where_it_came_from(
    alices: Browser, tenant: Tenant, wallet: Balance, api_key: ApiKey
) -> None:
    post(wallet, Kind.TOP_UP, 20 * DOLLAR)
    ends = timezone.now() + dt.timedelta(days=30)
    grants.give(balance=wallet, amount=3 * DOLLAR, reference="g", expires_at=ends, note="Welcome")
    ledger.set_credit_line(balance=wallet, credit_line=DOLLAR)
    record = usage_record(
        tenant, Price.objects.create(model="m", input=1, output=1), api_key, cost=DOLLAR, started_at=timezone.now()
    )
    reservation(record)
    Balance.objects.filter(pk=wallet.pk).update(available=28 * DOLLAR - 7)

    page = alices.open(reverse(PAGE))

    standing = page.response.context["standing"]
    assert (standing.available, standing.held, standing.credit_line) == (28 * DOLLAR - 7, 7, DOLLAR)
    assert (standing.paid, standing.granted, standing.owed) == (20 * DOLLAR, 7 * DOLLAR, 0)
    assert standing.paid + standing.granted == standing.available + standing.held - standing.credit_line
    assert [(grant.note, grant.lot.rest) for grant in page.response.context["grants"]] == [
        ("", 4 * DOLLAR), ("Welcome", 3 * DOLLAR),
    ]  # fmt: skip
    assert "Welcome" in page.text
    assert "with a credit line of" in page.text
    assert ends.strftime("%Y-%m-%d") in page.text


def many_grants(wallet: Balance, number: int) -> None:
    for place in range(number):
        grants.give(balance=wallet, amount=DOLLAR, reference=f"g{place}", note=f"no. {place}", priority=place + 1)


def shown(page: Page) -> list[str]:
    return [grant.note for grant in page.response.context["grants"]]


def test_grants_are_listed_by_pages_in_their_order(
    alices: Browser, wallet: Balance, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    many_grants(wallet, 30)  # and the one that the tenant has
    first = alices.open(reverse(PAGE))
    assert shown(first) == ["", *(f"no. {place}" for place in range(23))]
    assert "Spent sooner" not in first.links
    assert first.response.context["standing"].granted == 35 * DOLLAR

    second = first.click("Spent later")

    assert shown(second) == [f"no. {place}" for place in range(23, 30)]
    assert "Spent later" not in second.links
    assert shown(second.click("Spent sooner")) == shown(first)
    grants.draw(wallet, timezone.now())  # as each hour does
    with django_assert_max_num_queries(20):
        alices.get(reverse(PAGE))


def test_pages_of_grants_and_of_the_ledger_do_not_move_each_other(alices: Browser, wallet: Balance) -> None:
    many_grants(wallet, 60)
    page = alices.open(reverse(PAGE)).click("Spent later").click("Older")
    assert (shown(page)[0], "Spent sooner" in page.links, "Newest" in page.links) == ("no. 23", True, True)
    assert shown(page.click("Newest"))[0] == "no. 23"


@pytest.mark.parametrize("forged", ["0", "-1", "999", "x", "9" * 30])
def test_forged_page_of_grants_is_one_that_there_is(alices: Browser, wallet: Balance, forged: str) -> None:
    many_grants(wallet, 30)
    assert shown(alices.open(reverse(PAGE) + f"?grants={forged}"))


def test_wallet_without_entries_says_what_will_stand_there(alice: User) -> None:
    open_tenant(owner=alice, name="Fresh Ltd")
    assert "Nothing was posted" in Browser(alice).open(reverse(PAGE)).text


# --- codes -----------------------------------------------------------------------------------------------------------


def test_code_is_redeemed(alices: Browser, alice: User, wallet: Balance) -> None:
    typed = code().lower().replace("-", " ")

    page = alices.open(reverse(PAGE)).press("Redeem", code=typed).landed()

    assert "The code is redeemed: 2.00\N{NO-BREAK SPACE}USD were added." in page.text
    assert "Hackathon" in page.text
    assert LedgerEntry.objects.get(note="Hackathon").created_by == alice
    assert Balance.objects.get(pk=wallet.pk).available == 7 * DOLLAR


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"currency": "VND"}, "worth VND; your wallet holds USD"), ({"expires_at": timezone.now()}, "has expired")],
)
def test_code_that_is_refused_says_why_and_gives_nothing(
    alices: Browser, wallet: Balance, fields: dict[str, Any], words: str
) -> None:
    typed = code(**fields)
    page = alices.open(reverse(PAGE)).press("Redeem", code=typed)
    assert words in page.text
    assert page.values("Redeem")["code"] == [typed]
    assert Balance.objects.get(pk=wallet.pk).available == 5 * DOLLAR


def test_empty_code_is_asked_for_again(alices: Browser, tenant: Tenant) -> None:
    assert alices.open(reverse(PAGE)).press("Redeem", code="").status == 200


# --- the alert -------------------------------------------------------------------------------------------------------


def test_alert_is_chosen_shown_and_ended(alices: Browser, wallet: Balance) -> None:
    alices.open(reverse(PAGE)).press("Save", threshold="2.50")
    assert BalanceAlert.objects.get(balance=wallet).threshold == 2_500_000_000
    page = alices.open(reverse(PAGE))
    assert page.values("Save")["threshold"] == ["2.5"]
    page.press("Save", threshold="")
    assert not BalanceAlert.objects.exists()


@pytest.mark.parametrize(("is_confirmed", "words"), [(False, 1), (True, 0)])
def test_who_gets_no_mails_is_told_so(
    alices: Browser, alice: User, settings: Settings, is_confirmed: bool, words: int
) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "optional"
    EmailAddress.objects.update_or_create(user=alice, email=alice.email, defaults={"verified": is_confirmed})

    page = alices.open(reverse(PAGE)).press("Save", threshold="2.50").landed()

    assert page.text.count("You get no mails before you have confirmed your e-mail address.") == words


@pytest.mark.parametrize("typed", ["-1", "abc", "0.0000000001", "99999999999999"])
def test_alert_that_is_no_amount_is_refused(alices: Browser, wallet: Balance, typed: str) -> None:
    assert alices.open(reverse(PAGE)).press("Save", threshold=typed).status == 200
    assert not BalanceAlert.objects.exists()


def test_alert_in_dong_has_no_fractions(alices: Browser, tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(currency="VND")
    assert "VND has no decimals." in alices.open(reverse(PAGE)).press("Save", threshold="1000.5").text
    assert not BalanceAlert.objects.exists()


def test_status_of_refusals_is_chosen_shown_and_taken_back(alices: Browser, tenant: Tenant) -> None:
    alices.open(reverse(PAGE)).press("Save the status", says_payment_required=True)
    tenant.refresh_from_db()
    assert tenant.says_payment_required
    page = alices.open(reverse(PAGE))
    assert page.values("Save the status")["says_payment_required"] == ["on"]
    page.press("Save the status", says_payment_required=False)
    tenant.refresh_from_db()
    assert not tenant.says_payment_required


def test_who_may_not_change_sees_no_forms(bob: User) -> None:
    page = Browser(bob).open(reverse(PAGE))
    assert "Ledger" in page.text
    assert not {"Redeem", "Save", "Save the status"} & set(page.buttons)


# --- the ledger ------------------------------------------------------------------------------------------------------


def test_ledger_has_pages(alices: Browser, wallet: Balance) -> None:
    for number in range(60):
        post(wallet, Kind.TOP_UP, number + 1, note=f"number {number}.")

    first = alices.open(reverse(PAGE))
    assert "number 59." in first.text
    assert "number 9." not in first.text
    second = first.click("Older")
    assert "number 9." in second.text
    assert "number 10." not in second.text
    assert "Older" not in second.links
    assert second.click("Newest").url == reverse(PAGE)


@pytest.mark.parametrize("after", ["x", "-1", "9" * 40, "9" * 5_000, "\N{SUPERSCRIPT TWO}"])
def test_page_that_is_none_shows_something(alices: Browser, tenant: Tenant, after: str) -> None:
    assert alices.open(reverse(PAGE, query={"after": after})).status == 200


def test_page_of_many_entries_takes_as_many_queries_as_one_of_few(
    alices: Browser, wallet: Balance, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _entry in range(20):
        post(wallet, Kind.TOP_UP, 1)
    grants.draw(wallet, timezone.now())
    with django_assert_max_num_queries(22):
        alices.open(reverse(PAGE))


def test_export_has_every_entry_exactly_and_no_formula(alices: Browser, wallet: Balance, tenant: Tenant) -> None:
    post(wallet, Kind.TOP_UP, 1_000_000_001, note="=HYPERLINK(1)", reference="+cmd")

    answer = alices.open(reverse("portal:billing_csv"))

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["kind"], row["amount"], row["currency"]) for row in rows] == [
        ("grant", "5", "USD"), ("top_up", "1.000000001", "USD"),
    ]  # fmt: skip
    assert (rows[1]["note"], rows[1]["reference"]) == ("'=HYPERLINK(1)", "'+cmd")
    assert "attachment" in answer.response["content-disposition"]


def test_another_tenants_entries_are_not_there(alices: Browser, stranger_tenant: Tenant, tenant: Tenant) -> None:
    post(balances.open_wallet(stranger_tenant), Kind.TOP_UP, 1, note="theirs alone")
    assert "theirs alone" not in alices.open(reverse(PAGE)).text
    assert "theirs alone" not in alices.open(reverse("portal:billing_csv")).text
