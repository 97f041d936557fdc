"""The operator's pages of the ledger: both sides, previews, voided grants, large postings by two, codes."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone
from lxml import html
from pytest_django import DjangoAssertNumQueries

from accounts.models import ApiKey, Tenant, User
from billing import balances, codes, grants, ledger
from billing.models import Balance, Code, CodeBatch, LedgerEntry, PostingRequest, Price, UsageRollup
from tests.pages import Browser, Page
from tests.records import reservation, usage_record

NANO = 10**9
Kind = LedgerEntry.Kind
ARROW = "\N{RIGHTWARDS ARROW}"


@pytest.fixture
def wallet(tenant: Tenant) -> Balance:
    return balances.open_wallet(tenant)


@pytest.fixture
def oscar(db: None) -> Browser:
    """Another operator's browser."""
    return Browser(User.objects.create_superuser("oscar@example.com", name="Oscar"))


def available(wallet: Balance) -> int:
    return Balance.objects.get(pk=wallet.pk).available


def grant(wallet: Balance, amount: int = 2 * NANO, **fields: Any) -> LedgerEntry:
    return grants.give(balance=wallet, amount=amount, reference=f"g{LedgerEntry.objects.count()}", **fields)


def form(desk: Browser, tenant: Tenant) -> Page:
    return desk.open(reverse("admin:accounts_tenant_change", args=(tenant.pk,))).click("Post a ledger entry")


def row(desk: Browser, one: Model) -> Page:
    return desk.open(reverse(f"admin:{one._meta.label_lower.replace('.', '_')}_change", args=(one.pk,)))


def says(page: Page, text: str) -> bool:
    return text.replace(" USD", "\N{NO-BREAK SPACE}USD") in page.text


# --- entries ---------------------------------------------------------------------------------------------------------


def test_list_shows_both_sides_reason_and_author(desk: Browser, operator: User, wallet: Balance) -> None:
    ledger.post(balance=wallet, kind=Kind.TOP_UP, amount=NANO, reference="r", note="cash in hand", created_by=operator)
    page = desk.open(reverse("admin:billing_ledgerentry_changelist", query={"kind__exact": "top_up"})).text
    for text in ("cash, by hand", "wallets", "cash in hand", "olga@example.com"):
        assert text in page


def test_list_of_many_entries_takes_as_many_queries_as_one_of_few(
    desk: Browser, wallet: Balance, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _entry in range(15):
        grant(wallet)
    grants.draw(wallet, timezone.now())
    with django_assert_max_num_queries(10):
        desk.get(reverse("admin:billing_ledgerentry_changelist"))


def test_entry_says_what_is_left_of_it_now(desk: Browser, tenant: Tenant, wallet: Balance, api_key: ApiKey) -> None:
    given = LedgerEntry.objects.get()
    price = Price.objects.create(model="m", input=1, output=1)
    usage_record(tenant, price, api_key, cost=NANO, started_at=timezone.now())
    assert says(row(desk, given), "4.00 USD")


def test_preview_shows_what_would_be_available_and_posts_nothing(
    desk: Browser, tenant: Tenant, wallet: Balance
) -> None:
    typed = {"kind": "write_off", "amount": "2.5", "reason": "bankrupt"}

    page = form(desk, tenant).press("Preview", **typed)

    assert says(page, "5.00 USD")
    assert says(page, "7.50 USD")
    assert LedgerEntry.objects.count() == 1
    assert page.press("Post").status == 302
    entry = LedgerEntry.objects.latest("pk")
    assert (entry.kind, entry.amount, entry.note, available(wallet)) == (
        "write_off",
        2_500_000_000,
        "bankrupt",
        7_500_000_000,
    )


def test_history_of_a_posting_has_what_was_available_and_what_is(
    desk: Browser, tenant: Tenant, wallet: Balance
) -> None:
    form(desk, tenant).press("Post", kind="adjustment", amount="-1", reason="a mistake")
    message = LogEntry.objects.get(object_id=str(tenant.pk)).get_change_message().replace("\N{NO-BREAK SPACE}", " ")
    assert f"available: 5.00 USD {ARROW} 4.00 USD" in message
    assert "operator:" in message


def test_grant_is_posted_with_priority_and_end(desk: Browser, tenant: Tenant, wallet: Balance) -> None:
    fields = {"kind": "grant", "amount": "1", "reason": "hello", "priority": "-3", "expires_at_0": "2999-01-01",
              "expires_at_1": "12:00:00"}  # fmt: skip
    assert form(desk, tenant).press("Post", **fields).status == 302
    entry = LedgerEntry.objects.latest("pk")
    assert (entry.priority, entry.expires_at) == (-3, dt.datetime(2999, 1, 1, 12, tzinfo=dt.UTC))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "top_up", "priority": "1"}, "Only a grant has this."),
        ({"kind": "top_up", "expires_at_0": "2999-01-01", "expires_at_1": "12:00:00"}, "Only a grant has this."),
        ({"kind": "grant", "expires_at_0": "2020-01-01", "expires_at_1": "12:00:00"}, "expires in the future"),
        ({"kind": "write_off", "amount": "-1"}, "Enter a positive amount"),
        ({"kind": "grant", "priority": "101"}, "less than or equal to 100"),
    ],
)
def test_terms_that_do_not_fit_change_nothing(
    desk: Browser, tenant: Tenant, wallet: Balance, changes: dict[str, str], words: str
) -> None:
    assert words in form(desk, tenant).press("Post", **{"amount": "1", "reason": "x", **changes}).text
    assert LedgerEntry.objects.count() == 1
    assert available(wallet) == 5 * NANO


# --- voiding ---------------------------------------------------------------------------------------------------------


def test_grant_is_voided_once(desk: Browser, operator: User, wallet: Balance) -> None:
    given = grant(wallet)
    page = row(desk, given).click("Void the grant")

    assert page.press("Void", reason="by mistake").status == 302

    entry = LedgerEntry.objects.latest("pk")
    assert (entry.of, entry.amount, entry.note, entry.created_by) == (given, -2 * NANO, "by mistake", operator)
    assert available(wallet) == 5 * NANO
    message = LogEntry.objects.get(object_id=str(given.pk)).get_change_message().replace("\N{NO-BREAK SPACE}", " ")
    assert f"available: 7.00 USD {ARROW} 5.00 USD" in message
    assert "voided already" in page.press("Void", reason="again").landed().text
    assert LedgerEntry.objects.count() == 3


def test_grant_that_is_held_is_not_voided(desk: Browser, tenant: Tenant, wallet: Balance, api_key: ApiKey) -> None:
    given = LedgerEntry.objects.get()
    reservation(usage_record(tenant, Price.objects.create(model="m", input=1, output=1), api_key, cost=0))
    Balance.objects.filter(pk=wallet.pk).update(available=5 * NANO - 7)
    assert "Requests in flight hold a part" in row(desk, given).click("Void the grant").press("Void", reason="x").text
    assert LedgerEntry.objects.count() == 1


def test_void_takes_a_reason_and_a_permission(desk: Browser, wallet: Balance) -> None:
    given = grant(wallet)
    assert row(desk, given).click("Void the grant").press("Void", reason="").status == 200
    viewer = User.objects.create_user("vera@example.com", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_ledgerentry"))
    browser = Browser(viewer)
    assert "Void the grant" not in row(browser, given).links
    assert browser.forge(reverse("admin:billing_ledgerentry_void", args=(given.pk,)), {"reason": "x"}).status == 403
    assert available(wallet) == 7 * NANO


# --- two persons -----------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(desk: Browser, tenant: Tenant) -> PostingRequest:
    typed = {"kind": "grant", "amount": "10000.01", "reason": "a partner"}
    page = form(desk, tenant).press("Post", **typed)
    assert page.press("Post", is_confirmed=True).status == 302
    return PostingRequest.objects.get()


def test_very_large_posting_waits_for_somebody_else(
    desk: Browser, oscar: Browser, tenant: Tenant, wallet: Balance, asked: PostingRequest, operator: User
) -> None:
    assert (asked.status, asked.amount, asked.created_by) == ("waiting", 10_000_010_000_000, operator)
    assert available(wallet) == 5 * NANO
    own = row(desk, asked).click("Approve").press("Approve")
    assert "Another operator than the one who asked" in own.text
    assert available(wallet) == 5 * NANO

    page = row(oscar, asked).click("Approve")
    assert says(page, "10,005.01 USD")
    assert page.press("Approve").status == 302

    asked.refresh_from_db()
    assert (asked.status, asked.decided_by and asked.decided_by.email) == ("posted", "oscar@example.com")
    assert available(wallet) == 5 * NANO + 10_000_010_000_000
    assert LedgerEntry.objects.latest("pk").created_by == operator
    message = LogEntry.objects.filter(object_id=str(tenant.pk)).first()
    assert message is not None
    assert "available: 5.00" in message.get_change_message()
    assert "decided already" in page.press("Approve").text


def test_very_large_posting_is_rejected(oscar: Browser, wallet: Balance, asked: PostingRequest) -> None:
    assert row(oscar, asked).click("Reject").press("Reject").status == 302
    asked.refresh_from_db()
    assert (asked.status, available(wallet)) == ("rejected", 5 * NANO)


def test_preview_says_that_it_takes_two(desk: Browser, tenant: Tenant) -> None:
    page = form(desk, tenant).press("Post", kind="grant", amount="10000.01", reason="x")
    assert "Another operator has to approve it." in page.press("Preview", is_confirmed=True).text
    assert not PostingRequest.objects.exists()


def test_reference_of_a_request_is_not_used_for_another_posting(
    desk: Browser, tenant: Tenant, wallet: Balance, asked: PostingRequest
) -> None:
    typed = {"kind": "grant", "amount": "1", "reason": "x", "reference": asked.reference}
    assert "used for another entry" in form(desk, tenant).press("Post", **typed).text
    assert available(wallet) == 5 * NANO


def test_who_may_only_look_decides_nothing(asked: PostingRequest, wallet: Balance) -> None:
    viewer = User.objects.create_user("vera@example.com", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_postingrequest"))
    browser = Browser(viewer)
    assert not {"Approve", "Reject"} & set(row(browser, asked).links)
    for name in ("approve", "reject"):
        assert browser.forge(reverse(f"admin:billing_postingrequest_{name}", args=(asked.pk,))).status == 403
    assert available(wallet) == 5 * NANO


def line_form(desk: Browser, tenant: Tenant, **typed: Any) -> Page:
    page = desk.open(reverse("admin:accounts_tenant_change", args=(tenant.pk,))).click("Set the credit line")
    return page.press("Save", **({"reason": "a partner"} | typed))


def test_very_large_credit_line_waits_for_somebody_else(
    desk: Browser, oscar: Browser, tenant: Tenant, wallet: Balance
) -> None:
    assert line_form(desk, tenant, credit_line="10000.01").press("Save", is_confirmed=True).status == 302
    asked = PostingRequest.objects.get()
    assert (asked.kind, asked.amount, available(wallet)) == ("credit_line", 10_000_010_000_000, 5 * NANO)
    assert "Another operator than the one who asked" in row(desk, asked).click("Approve").press("Approve").text

    page = row(oscar, asked).click("Approve")
    assert says(page, "10,000.01 USD")
    assert page.press("Approve").status == 302

    wallet.refresh_from_db()
    assert (wallet.credit_line, wallet.available) == (10_000_010_000_000, 5 * NANO + 10_000_010_000_000)
    message = LogEntry.objects.filter(object_id=str(tenant.pk)).first()
    assert message is not None
    assert "credit line: 0.00" in message.get_change_message()


def test_credit_line_below_the_limit_is_set_at_once(desk: Browser, tenant: Tenant, wallet: Balance) -> None:
    assert line_form(desk, tenant, credit_line="10000").press("Save", is_confirmed=True).status == 302
    wallet.refresh_from_db()
    assert (wallet.credit_line, PostingRequest.objects.count()) == (10_000 * NANO, 0)


# --- codes -----------------------------------------------------------------------------------------------------------


def make_batch(desk: Browser, **changes: str) -> Page:
    typed = {"label": "Hackathon", "worth": "2.5", "number": "3", "per_tenant": "2", "grant_days": "30"}
    return desk.open(reverse("admin:billing_codebatch_add")).press("Save", **(typed | changes))


def test_codes_are_shown_once_and_hold(desk: Browser, operator: User, alice: User, wallet: Balance) -> None:
    page = make_batch(desk)

    batch = CodeBatch.objects.get()
    text = html.document_fromstring(page.text).xpath("string(//pre)")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(line["amount"], line["currency"]) for line in rows] == [("2.5", "USD")] * 3
    assert (batch.created_by, batch.amount, batch.per_tenant, batch.grant_days) == (operator, 2_500_000_000, 2, 30)
    assert "no-store" in page.response["cache-control"]
    assert "data:text/csv" in page.links["Download as CSV"]
    first = rows[0]["code"]
    for url in ("admin:billing_codebatch_changelist", "admin:billing_codebatch_change"):
        shown = desk.open(reverse(url, args=(batch.pk,) if url.endswith("change") else ()))
        assert first not in shown.text
    assert first not in "".join(entry.get_change_message() for entry in LogEntry.objects.all())
    assert codes.redeem(first, balance=wallet, user=alice).amount == 2_500_000_000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"worth": "0"}, "Enter a positive amount."),
        ({"worth": "-1"}, "greater than or equal to 0"),
        ({"worth": "0.0000000001"}, "at most 9 decimal places"),
        ({"worth": "0.5", "currency": "VND"}, "VND has no decimals."),
        ({"number": "0"}, "greater than or equal to 1"),
        ({"number": "5001"}, "less than or equal to 5000"),
        ({"per_tenant": "0"}, "greater than or equal to 1"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "12:00:00"}, "This moment has passed."),
    ],
)
def test_batch_that_does_not_fit_makes_no_codes(desk: Browser, changes: dict[str, str], words: str) -> None:
    assert words in make_batch(desk, **changes).text
    assert not CodeBatch.objects.exists()
    assert not Code.objects.exists()


def test_batch_that_is_worth_much_is_asked_for_once_more(desk: Browser) -> None:
    asked = make_batch(desk, worth="400")
    assert "look at the amount once more" in asked.text
    assert not CodeBatch.objects.exists()

    asked.press("Save", is_confirmed=True)

    assert CodeBatch.objects.get().amount == 400 * NANO


def test_batch_above_the_limit_waits_for_another_operator(
    desk: Browser, oscar: Browser, alice: User, wallet: Balance
) -> None:
    page = make_batch(desk, worth="4000").press("Save", is_confirmed=True)
    assert "Another operator has to approve the batch" in page.text
    code = html.document_fromstring(page.text).xpath("string(//pre)").split()[1].split(",")[0]
    batch = CodeBatch.objects.get()
    listed = reverse("admin:billing_codebatch_changelist")
    assert "waits for approval" in desk.open(listed).text
    own = desk.open(listed).run("Approve the selected batches", batch).landed().text
    assert "Another operator than the one who made it" in own
    with pytest.raises(codes.CannotRedeem):
        codes.redeem(code, balance=wallet, user=alice)

    assert "is approved." in oscar.open(listed).run("Approve the selected batches", batch).landed().text

    assert codes.redeem(code, balance=wallet, user=alice).amount == 4000 * NANO


def test_batch_is_revoked(desk: Browser) -> None:
    make_batch(desk)
    batch = CodeBatch.objects.get()
    listed = desk.open(reverse("admin:billing_codebatch_changelist"))
    assert "Revoked 1 batch." in listed.run("Revoke the selected batches", batch).landed().text
    batch.refresh_from_db()
    assert batch.revoked_at is not None
    assert f"state: valid {ARROW} revoked" in LogEntry.objects.latest("pk").get_change_message()
    assert "Revoked 0 batches." in listed.run("Revoke the selected batches", batch).landed().text


# --- who runs dry ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spent", "days", "expected"),
    [(7 * NANO, 7, True), (7 * NANO, 3, False), (35 * NANO // 3, 3, False), (12 * NANO, 3, True), (0, 14, False)],
)
def test_tenants_about_to_run_dry_are_found(
    desk: Browser, tenant: Tenant, api_key: ApiKey, spent: int, days: int, expected: bool
) -> None:
    """5 USD are left; at 7 USD a week that is five days."""
    for ago, cost in ((1, spent), (9, 100 * NANO)):
        UsageRollup.objects.create(
            starts_at=timezone.now() - dt.timedelta(days=ago), tenant=tenant, api_key=api_key, model="m", channel="c",
            upstream_model="u", currency="USD", provider_currency="", requests=1, cost=cost, claimed_cost=cost,
            provider_cost=0,
        )  # fmt: skip
    page = desk.open(reverse("admin:accounts_tenant_changelist", query={"dry": days}))
    assert ("Alice Ltd" in page.text) is expected


def test_forged_number_of_days_is_no_filter(desk: Browser, tenant: Tenant) -> None:
    assert "Alice Ltd" in desk.open(reverse("admin:accounts_tenant_changelist", query={"dry": "x"})).text


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"day": "2026-03-01"}, [True, True, False]),
        ({"day": "2026-03-01 23"}, [False, True, False]),
        ({"day": "2026-03-02", "kind__exact": "grant"}, [False, False, True]),
        ({"q": "entry-1"}, [False, True, False]),
        ({"day": "soon"}, [False, False, False]),
    ],
    ids=["day", "hour", "day and kind", "reference", "no day"],
)
def test_entries_are_found_by_day_and_hour(
    desk: Browser, tenant: Tenant, asked: dict[str, str], expected: list[bool]
) -> None:
    wallet = balances.open_wallet(tenant)
    moments = (dt.datetime(2026, 3, day, hour, tzinfo=dt.UTC) for day, hour in ((1, 22), (1, 23), (2, 0)))
    entries = [
        LedgerEntry.objects.create(
            balance=wallet, kind="grant", contra="promotions", amount=1, reference=f"entry-{place}", created_at=moment
        )
        for place, moment in enumerate(moments)
    ]  # fmt: skip
    page = desk.open(reverse("admin:billing_ledgerentry_changelist"), data=asked).text
    links = [reverse("admin:billing_ledgerentry_change", args=(entry.pk,)) for entry in entries]
    assert [link in page for link in links] == expected
