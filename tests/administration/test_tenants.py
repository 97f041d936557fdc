"""The operator's pages of tenants: their wallet, and what is done for them."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts import keys
from accounts.models import ApiKey, Member, Tenant, User
from accounts.tenants import open_tenant
from billing import balances, ledger, money, quotas
from billing.models import Balance, LedgerEntry, RollupRefinement
from tests.pages import Browser, Page

NANO = 10**9
TENANTS = "admin:accounts_tenant_changelist"
DORA = {"name": "Dora Ltd", "currency": "VND", "time_zone": "Asia/Ho_Chi_Minh"}


@pytest.fixture
def wallet(tenant: Tenant) -> Balance:
    return balances.open_wallet(tenant)


@pytest.fixture
def new_tenant(desk: Browser) -> Page:
    """The page to add a tenant on."""
    return desk.open(reverse("admin:accounts_tenant_add"))


def _page(desk: Browser, tenant: Tenant) -> Page:
    return desk.open(reverse("admin:accounts_tenant_change", args=(tenant.pk,)))


def test_new_tenant_has_a_wallet(new_tenant: Page) -> None:
    new_tenant.press("Save", **DORA)
    wallet = Balance.objects.get(tenant__name="Dora Ltd")
    assert (wallet.currency, wallet.available) == ("VND", 0)


def test_unknown_time_zone_is_refused(new_tenant: Page) -> None:
    answer = new_tenant.press("Save", **{**DORA, "time_zone": "Mars/Olympus"})
    assert "This is not the name of a time zone" in answer.text
    assert Tenant.objects.count() == 0


def test_change_keeps_the_members(desk: Browser, tenant: Tenant, bob: User) -> None:
    assert _page(desk, tenant).press("Save", name="Renamed").status == 302
    tenant.refresh_from_db()
    assert (tenant.name, tenant.members.count()) == ("Renamed", 2)


@pytest.fixture
def crew(tenant: Tenant) -> list[Member]:
    """As many members as fill a page and begin another, in its order."""
    users = User.objects.bulk_create(User(email=f"crew-{number}@example.com") for number in range(103))
    Member.objects.bulk_create(Member(tenant=tenant, user=user, role="developer") for user in users)
    return list(tenant.members.order_by("pk"))


def _second_page(desk: Browser, tenant: Tenant) -> Page:
    return desk.open(f"{reverse('admin:accounts_tenant_change', args=(tenant.pk,))}?members-page=2")


def test_member_who_moved_to_another_page_meanwhile_is_changed_and_no_neighbour(
    desk: Browser, tenant: Tenant, crew: list[Member]
) -> None:
    page = _second_page(desk, tenant)
    crew[1].delete()

    answer = page.press("Save", **{"members-0-role": "billing"})

    assert answer.status == 302
    assert list(tenant.members.filter(role="billing")) == [crew[100]]
    assert set(tenant.members.values_list("user", flat=True)) == {each.user_id for each in crew if each is not crew[1]}


@pytest.mark.parametrize("gone", [100, -1], ids=["the first", "the last"])
def test_member_who_is_gone_meanwhile_is_told_and_nothing_is_changed(
    desk: Browser, tenant: Tenant, crew: list[Member], gone: int
) -> None:
    page = _second_page(desk, tenant)
    Member.objects.filter(pk=crew[gone].pk).delete()

    answer = page.press("Save", **{"members-1-role": "billing"})

    assert (answer.status, "Please correct the error" in answer.text) == (200, True)
    assert not tenant.members.filter(role="billing").exists()


def test_status_for_an_empty_wallet_is_chosen(desk: Browser, tenant: Tenant) -> None:
    _page(desk, tenant).press("Save", says_payment_required=True)
    tenant.refresh_from_db()
    assert tenant.says_payment_required


def test_member_gets_another_role_and_another_one_leaves(desk: Browser, tenant: Tenant, bob: User) -> None:
    _page(desk, tenant).press("Save", **{"members-0-role": "admin", "members-1-DELETE": True})
    assert [member.role for member in tenant.members.all()] == ["admin"]


def test_member_on_the_second_page_gets_another_role(desk: Browser, tenant: Tenant) -> None:
    users = User.objects.bulk_create([User(email=f"member-{number}@example.com") for number in range(150)])
    Member.objects.bulk_create([Member(tenant=tenant, user=user, role="developer") for user in users])

    page = desk.open(reverse("admin:accounts_tenant_change", args=(tenant.pk,)) + "?members-page=2")
    answer = page.press("Save", **{"members-50-role": "billing"})  # behind the owner

    assert answer.status == 302
    assert [member.user for member in tenant.members.filter(role="billing")] == [users[-1]]
    assert tenant.members.filter(role="developer").count() == 149


def test_currency_of_a_tenant_stays_against_a_forged_form(desk: Browser, tenant: Tenant) -> None:
    page = _page(desk, tenant)
    sent = page.values("Save") | {"name": ["Renamed"], "currency": ["VND"]}
    desk.forge(page.url, sent)
    tenant.refresh_from_db()
    assert "currency" not in page.values("Save")
    assert (tenant.name, tenant.currency) == ("Renamed", "USD")


def test_tenant_is_not_deleted_by_a_forged_form(desk: Browser, tenant: Tenant) -> None:
    assert "Delete tenant" not in _page(desk, tenant).links
    assert desk.forge(reverse("admin:accounts_tenant_delete", args=(tenant.pk,)), {"post": "yes"}).status == 403
    assert Tenant.objects.filter(pk=tenant.pk).exists() is True


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [("Suspend the selected tenants", "active", "suspended"), ("Activate the selected tenants", "suspended", "active")],
)
def test_operator_suspends_and_activates(desk: Browser, tenant: Tenant, action: str, before: str, after: str) -> None:
    Tenant.objects.update(status=before)
    desk.open(reverse(TENANTS)).run(action, tenant)
    tenant.refresh_from_db()
    assert tenant.status == after
    assert LogEntry.objects.get(object_id=str(tenant.pk)).get_change_message() == (
        f"Changed status: {before} \N{RIGHTWARDS ARROW} {after}."
    )


def test_list_shows_what_a_tenant_can_spend(desk: Browser, tenant: Tenant) -> None:
    assert "5.00\N{NO-BREAK SPACE}USD" in desk.open(reverse(TENANTS)).text


def test_tenant_is_found_by_a_member(desk: Browser, tenant: Tenant, bob: User, stranger_tenant: Tenant) -> None:
    page = desk.open(reverse(TENANTS, query={"q": "bob@example.com"})).text
    assert ("Alice Ltd" in page, "Charlie Ltd" in page) == (True, False)


# --- ledger entries --------------------------------------------------------------------------------------------------

ENTRY = {"kind": "top_up", "amount": "12.5", "reason": "bank transfer", "reference": "bank:77"}


def _post_entry(desk: Browser, tenant: Tenant, **changes: str) -> str:
    """Sends the form and returns the page that came back, empty if it was accepted."""
    return _page(desk, tenant).click("Post a ledger entry").press("Post", **{**ENTRY, **changes}).text


def _available(wallet: Balance) -> int:
    return Balance.objects.get(pk=wallet.pk).available


@pytest.mark.parametrize(
    ("changes", "amount"),
    [
        pytest.param({}, 12_500_000_000, id="top-up"),
        pytest.param({"kind": "grant", "amount": "0.000000001"}, 1, id="smallest grant"),
        pytest.param({"kind": "refund", "amount": "2"}, -2 * NANO, id="refund takes away"),
        pytest.param({"kind": "refund", "amount": "7"}, -7 * NANO, id="refund below zero"),
        pytest.param({"kind": "adjustment", "amount": "-1.25"}, -1_250_000_000, id="adjustment down"),
        pytest.param({"kind": "adjustment", "amount": "1"}, NANO, id="adjustment up"),
    ],
)
def test_operator_posts_an_entry(
    desk: Browser, operator: User, tenant: Tenant, wallet: Balance, changes: dict[str, str], amount: int
) -> None:
    assert _post_entry(desk, tenant, **changes) == ""
    entry = LedgerEntry.objects.get(reference="bank:77")
    assert (entry.amount, entry.note, entry.created_by, entry.balance) == (amount, "bank transfer", operator, wallet)
    assert _available(wallet) == 5 * NANO + amount


def test_same_reference_posts_once(desk: Browser, tenant: Tenant, wallet: Balance) -> None:
    _post_entry(desk, tenant)
    assert _post_entry(desk, tenant) == ""
    assert LedgerEntry.objects.filter(reference="bank:77").count() == 1
    assert _available(wallet) == 5 * NANO + 12_500_000_000


@pytest.mark.parametrize("name", ["invoice:7", "order:1b", "Credit-note:5", "late-00-1", "trial:1", "refund:2"])
def test_name_that_the_gateway_gives_its_own_entries_is_refused(
    desk: Browser, tenant: Tenant, wallet: Balance, name: str
) -> None:
    """It would stand in the way of a payment, or pass for one of an invoice."""
    assert "choose another reference" in _post_entry(desk, tenant, reference=name)
    assert not LedgerEntry.objects.filter(reference=name).exists()


def test_reference_of_another_entry_is_refused(desk: Browser, tenant: Tenant, wallet: Balance) -> None:
    _post_entry(desk, tenant)
    assert "This reference was used for another entry." in _post_entry(desk, tenant, amount="99")
    assert _available(wallet) == 5 * NANO + 12_500_000_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amount": "0"}, "Enter a positive amount"),
        ({"amount": "-1"}, "Enter a positive amount"),
        ({"kind": "refund", "amount": "-1"}, "Enter a positive amount"),
        ({"amount": "0.0000000001"}, "at most 9 decimal places"),
        ({"amount": "1e30"}, "no more than"),
        ({"amount": "99999999999"}, "This amount is too large."),
        ({"amount": "NaN"}, "Enter a number."),
        ({"amount": ""}, "This field is required."),
        ({"reason": ""}, "This field is required."),
        ({"reference": ""}, "This field is required."),
        ({"kind": "adjustment", "amount": "-5.01"}, "The balance does not cover this amount."),
    ],
)
def test_refused_entry_changes_nothing(
    desk: Browser, tenant: Tenant, wallet: Balance, changes: dict[str, str], message: str
) -> None:
    assert message in _post_entry(desk, tenant, **changes)
    assert LedgerEntry.objects.filter(balance=wallet).count() == 1
    assert _available(wallet) == 5 * NANO


def test_forged_kind_is_refused(desk: Browser, tenant: Tenant, wallet: Balance) -> None:
    url = reverse("admin:accounts_tenant_post_entry", args=(tenant.pk,))
    assert "Select a valid choice." in desk.forge(url, {**ENTRY, "kind": "expiry"}).text
    assert _available(wallet) == 5 * NANO


def test_looking_at_the_form_posts_nothing(desk: Browser, tenant: Tenant, wallet: Balance) -> None:
    assert desk.open(reverse("admin:accounts_tenant_post_entry", args=(tenant.pk,), query=ENTRY)).status == 200
    assert _available(wallet) == 5 * NANO


def test_posting_needs_its_own_permission_against_a_forged_form(tenant: Tenant, wallet: Balance) -> None:
    editor = User.objects.create_user("henry@example.com", is_staff=True)
    editor.user_permissions.add(*Permission.objects.filter(content_type__app_label="accounts"))
    browser = Browser(editor)
    assert "Post a ledger entry" not in _page(browser, tenant).links
    assert browser.forge(reverse("admin:accounts_tenant_post_entry", args=(tenant.pk,)), ENTRY).status == 403
    assert _available(wallet) == 5 * NANO


@pytest.fixture
def dong(alice: User) -> Tenant:
    """A tenant whose currency has no minor unit."""
    return open_tenant(owner=alice, name="Dong Ltd", currency=Tenant.Currency.VND)


def test_amounts_are_in_the_tenants_currency(desk: Browser, dong: Tenant) -> None:
    assert _post_entry(desk, dong, amount="50000") == ""
    assert LedgerEntry.objects.get().amount == money.from_decimal(Decimal(50_000), "VND")


@pytest.mark.parametrize("kind", ["top_up", "grant", "refund"])
def test_dong_that_are_given_or_paid_back_have_no_fractions(desk: Browser, dong: Tenant, kind: str) -> None:
    assert "VND has no decimals." in _post_entry(desk, dong, kind=kind, amount="50000.5")
    assert not LedgerEntry.objects.exists()


@pytest.mark.parametrize("kind", ["adjustment", "write_off"])
def test_what_corrects_usage_in_dong_is_as_fine_as_usage(desk: Browser, dong: Tenant, kind: str) -> None:
    assert "at most 6 decimal places" in _post_entry(desk, dong, kind=kind, amount="0.0000001")
    assert _post_entry(desk, dong, kind=kind, amount="0.000001") == ""
    assert LedgerEntry.objects.get().amount == 1


def test_credit_line_in_dong_has_no_fractions(desk: Browser, dong: Tenant) -> None:
    form = _page(desk, dong).click("Set the credit line")
    assert "VND has no decimals." in form.press("Save", credit_line="0.5", reason="a good customer").text
    assert balances.open_wallet(dong).credit_line == 0


@pytest.mark.parametrize(
    ("zone", "is_said"), [("Asia/Kolkata", True), ("Asia/Ho_Chi_Minh", False)], ids=["half an hour", "whole hours"]
)
def test_operator_is_told_that_days_are_added_up_again_and_how_far(
    desk: Browser, tenant: Tenant, zone: str, is_said: bool
) -> None:
    answer = _page(desk, tenant).press("Save", time_zone=zone)
    assert ("added up again" in desk.open(answer.location).text) is is_said
    assert "added up again" not in _page(desk, tenant).text

    RollupRefinement.objects.create(tenant=tenant, goes_on_at=dt.datetime(2026, 3, 9, tzinfo=dt.UTC))

    assert "added up again for the zone; done until March 9, 2026" in _page(desk, tenant).text


def test_page_to_add_a_tenant_knows_no_days(desk: Browser) -> None:
    assert "days of usage" not in desk.open(reverse("admin:accounts_tenant_add")).text.lower()


def test_credit_line_is_set_in_currency_units(desk: Browser, tenant: Tenant, wallet: Balance) -> None:
    _page(desk, tenant).click("Set the credit line").press("Save", credit_line="2.5", reason="a good customer")
    wallet.refresh_from_db()
    assert (wallet.credit_line, wallet.available) == (2_500_000_000, 7_500_000_000)


def test_credit_line_has_its_reason_and_a_large_one_is_asked_for_once_more(
    desk: Browser, tenant: Tenant, wallet: Balance
) -> None:
    form = _page(desk, tenant).click("Set the credit line")

    assert form.press("Save", credit_line="5").status == 200
    asked = form.press("Save", credit_line="10000", reason="contract 7")
    assert "look at the amount once more" in asked.text
    wallet.refresh_from_db()
    assert wallet.credit_line == 0
    assert asked.press("Save", is_confirmed=True).status == 302

    wallet.refresh_from_db()
    assert wallet.credit_line == 10_000 * NANO
    assert "Reason: contract 7" in LogEntry.objects.latest("pk").get_change_message()


def test_credit_line_in_use_is_not_lowered(desk: Browser, tenant: Tenant, wallet: Balance) -> None:
    ledger.set_credit_line(balance=wallet, credit_line=2 * NANO)
    ledger.post(balance=wallet, kind=LedgerEntry.Kind.ADJUSTMENT, amount=-6 * NANO, reference="spent")
    form = _page(desk, tenant).click("Set the credit line")
    assert "The balance does not cover this amount." in form.press("Save", credit_line="0", reason="a bad one").text
    wallet.refresh_from_db()
    assert (wallet.credit_line, wallet.available) == (2 * NANO, NANO)


@pytest.mark.parametrize(
    ("action", "button"),
    [("Post a ledger entry", "Post"), ("Set the credit line", "Save"), ("Issue an API key", "Issue")],
)
def test_form_says_what_it_does(desk: Browser, tenant: Tenant, action: str, button: str) -> None:
    page = _page(desk, tenant).click(action)
    assert re.search(rf"<h2[^>]*>{action}</h2>", page.text)
    assert button in page.buttons


# --- a new key -------------------------------------------------------------------------------------------------------


def test_issued_key_is_shown_this_once(desk: Browser, tenant: Tenant, operator: User) -> None:
    answer = _page(desk, tenant).click("Issue an API key").press("Issue", name="robot")
    [secret] = set(keys.PATTERN.findall(answer.text))
    api_key = ApiKey.objects.get()
    assert (api_key.digest, api_key.created_by) == (keys.digest(secret), operator)
    assert "no-store" in answer.response["cache-control"]
    pages = [desk.open(url).text for url in (
        reverse("admin:accounts_apikey_changelist"),
        reverse("admin:accounts_apikey_change", args=(api_key.pk,)),
        reverse("admin:accounts_apikey_history", args=(api_key.pk,)),
        reverse("admin:accounts_tenant_history", args=(tenant.pk,)),
        reverse("admin:index"),
    )]  # fmt: skip
    assert [secret in page or api_key.digest in page for page in pages] == [False] * 5
    assert api_key.masked in pages[0]


# --- lists stay cheap ------------------------------------------------------------------------------------------------


def _fill(rows: int) -> None:
    for number in range(rows):
        owner = User.objects.create_user(f"owner{number}@example.com")
        tenant = open_tenant(owner=owner, name=f"Tenant {number}")
        Member.objects.create(tenant=tenant, user=User.objects.create_user(f"m{number}@example.com"), role="billing")
        balances.open_wallet(tenant)
        keys.issue(tenant=tenant, name="robot", created_by=owner)


@pytest.mark.parametrize("rows", [1, 15])
@pytest.mark.parametrize(("name", "queries"), [("user", 5), ("tenant", 5), ("apikey", 5)])
def test_list_asks_the_same_number_of_queries(
    desk: Browser, django_assert_num_queries: DjangoAssertNumQueries, name: str, queries: int, rows: int
) -> None:
    _fill(rows)
    with django_assert_num_queries(queries):
        desk.get(reverse(f"admin:accounts_{name}_changelist"))


def test_history_keeps_what_was_and_what_is(desk: Browser, tenant: Tenant) -> None:
    page = desk.open(reverse("admin:accounts_tenant_change", args=(tenant.pk,)))
    page.press("Save", name="Alice & Sons", requests_per_minute="60", time_zone="Asia/Ho_Chi_Minh")
    (entry,) = LogEntry.objects.filter(object_id=str(tenant.pk))
    assert entry.get_change_message() == (
        "Changed Name: Alice Ltd \N{RIGHTWARDS ARROW} Alice & Sons, Time zone: UTC \N{RIGHTWARDS ARROW} "
        "Asia/Ho_Chi_Minh and Requests per minute: \N{EN DASH} \N{RIGHTWARDS ARROW} 60."
    )


def test_history_of_money_is_in_currency_units(desk: Browser, tenant: Tenant) -> None:
    desk.open(reverse("admin:accounts_tenant_change", args=(tenant.pk,))).click("Set the credit line").press(
        "Save", credit_line="2.5", reason="a good customer"
    )
    assert "0.00\N{NO-BREAK SPACE}USD \N{RIGHTWARDS ARROW} 2.50\N{NO-BREAK SPACE}USD" in (
        LogEntry.objects.get().get_change_message()
    )
    quota = quotas.grant(tenant, amount=10**9, period="month")
    desk.open(reverse("admin:billing_quota_change", args=(quota.pk,))).press("Save", limit="3", is_hard=False)
    assert LogEntry.objects.latest("pk").get_change_message() == (
        "Changed Amount: 1 \N{RIGHTWARDS ARROW} 3 and Hard: True \N{RIGHTWARDS ARROW} False."
    )


def test_large_posting_is_asked_for_once_more(desk: Browser, tenant: Tenant) -> None:
    page = desk.open(reverse("admin:accounts_tenant_change", args=(tenant.pk,))).click("Post a ledger entry")
    before = LedgerEntry.objects.count()

    asked = page.press("Post", kind="grant", amount="1000.01", reason="a bonus")
    assert "look at the amount once more" in asked.text
    assert LedgerEntry.objects.count() == before
    assert asked.press("Post").status == 200
    assert LedgerEntry.objects.count() == before

    assert asked.press("Post", is_confirmed=True).status == 302
    assert LedgerEntry.objects.count() == before + 1
    assert page.press("Post", kind="grant", amount="1000", reason="a bonus", reference="another").status == 302
