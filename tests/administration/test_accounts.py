"""The operator's pages of users, tenants and keys; who may open any page of the administration."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts import keys
from accounts.models import ApiKey, Member, Tenant, User
from accounts.tenants import open_tenant
from billing import balances, ledger, money
from billing.models import Balance, LedgerEntry

NANO = 10**9


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_superuser("olga@example.com", name="Olga")


@pytest.fixture
def helper(db: None) -> User:
    """Staff without any permission."""
    return User.objects.create_user("henry@example.com", name="Henry", is_staff=True)


@pytest.fixture
def desk(client: Client, operator: User) -> Client:
    """The operator's browser."""
    client.force_login(operator)
    return client


@pytest.fixture
def wallet(tenant: Tenant) -> Balance:
    return balances.open_wallet(tenant)


# --- who may come in -------------------------------------------------------------------------------------------------


def _urls() -> list[str]:
    """One URL of every page of the administration, with ids that need not exist."""
    patterns = [str(pattern.pattern) for pattern in admin.site.get_urls()]
    inner = [
        f"{model._meta.app_label}/{model._meta.model_name}/{pattern.pattern}"
        for model, page in admin.site._registry.items()
        for pattern in page.get_urls()
    ]
    plain = [re.sub(r"<[^>]+>", "1", path) for path in (*patterns, *inner)]
    return [f"/admin/{path}" for path in plain if re.fullmatch(r"[a-z0-9_/]*", path)]


OPEN_TO_ALL = {"/admin/login/", "/admin/logout/"}


def test_every_page_is_among_the_urls() -> None:
    assert {"/admin/", "/admin/billing/usagerecord/", "/admin/accounts/tenant/1/post_entry/"} <= set(_urls())


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "post"])
def test_anonymous_visitor_is_sent_to_sign_in(client: Client, method: str) -> None:
    answers = {getattr(client, method)(url)["location"].partition("?")[0] for url in set(_urls()) - OPEN_TO_ALL}
    assert answers == {"/admin/login/"}


@pytest.mark.parametrize("method", ["get", "post"])
def test_tenant_user_comes_no_further_than_the_door(client: Client, alice: User, method: str) -> None:
    client.force_login(alice)
    answers = {getattr(client, method)(url)["location"].partition("?")[0] for url in set(_urls()) - OPEN_TO_ALL}
    assert answers == {"/admin/login/"}
    assert client.get("/admin/login/").status_code == 403


def test_sign_in_goes_through_the_page_that_knows_second_factors(client: Client) -> None:
    answer = client.get("/admin/login/?next=/admin/routing/channel/")
    assert answer.status_code == 302
    assert answer["location"] == "/accounts/login/?next=%2Fadmin%2Frouting%2Fchannel%2F"
    assert client.post("/admin/login/", {"username": "olga@example.com", "password": "x"}).status_code == 302


def test_operator_changes_the_password_where_everybody_does(desk: Client) -> None:
    assert desk.get("/admin/password_change/")["location"] == reverse("account_change_password")


def test_sign_out_leads_to_sign_in(desk: Client) -> None:
    assert desk.post("/admin/logout/")["location"] == reverse("account_login")
    assert desk.get("/admin/").status_code == 302


def test_staff_without_permissions_opens_no_list(client: Client, helper: User) -> None:
    client.force_login(helper)
    urls = [reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") for model in _models()]
    assert {client.get(url).status_code for url in urls} == {403}


def _models() -> list[type[Model]]:
    return list(admin.site._registry)


def test_internal_tables_have_no_pages() -> None:
    names = {f"{model._meta.app_label}.{model._meta.model_name}" for model in _models()}
    assert names == {
        "accounts.apikey", "accounts.tenant", "accounts.user", "auth.group",
        "billing.balance", "billing.ledgerentry", "billing.price", "billing.process", "billing.reservation",
        "billing.usagerecord",
        "routing.cataloguemodel", "routing.channel", "routing.costprice", "routing.route",
    }  # fmt: skip


def test_scripts_come_from_our_own_host_alone(desk: Client) -> None:
    policy = dict(part.split(" ", 1) for part in desk.get("/admin/")["content-security-policy"].split("; "))
    assert policy["script-src"] == "'self' 'unsafe-eval'"
    assert policy["style-src"] == "'self'"
    assert policy["default-src"] == "'self'"


def test_only_the_administration_evaluates_scripts(client: Client) -> None:
    assert "unsafe" not in client.get(reverse("account_login"))["content-security-policy"]


def test_first_page_shows_how_things_are(desk: Client, tenant: Tenant) -> None:
    page = desk.get("/admin/").content.decode()
    assert [label in page for label in ("Requests today", "Spent today", "Open reservations", "Disabled channels")] == [
        True
    ] * 4


# --- users -----------------------------------------------------------------------------------------------------------


def test_user_page_shows_nothing_of_the_password(desk: Client, alice: User) -> None:
    alice.set_password("correct horse battery")
    alice.save()
    page = desk.get(reverse("admin:accounts_user_change", args=(alice.pk,))).content.decode()
    assert "argon2" not in page
    assert alice.password.rpartition("$")[2] not in page
    assert reverse("admin:auth_user_password_change", args=(alice.pk,)) in page


def test_operator_sets_a_password(desk: Client, alice: User) -> None:
    url = reverse("admin:auth_user_password_change", args=(alice.pk,))
    desk.post(
        url, {"usable_password": "true", "password1": "correct horse battery", "password2": "correct horse battery"}
    )
    alice.refresh_from_db()
    assert alice.check_password("correct horse battery") is True


def test_operator_adds_a_user_in_lower_case(desk: Client) -> None:
    answer = desk.post(
        reverse("admin:accounts_user_add"),
        {"email": "Dora@Example.com", "usable_password": "true", "password1": "correct horse battery",
         "password2": "correct horse battery"},
    )  # fmt: skip
    assert answer.status_code == 302
    assert User.objects.get(email="dora@example.com").is_staff is False


def _user_form(user: User, **changes: str) -> dict[str, str]:
    return {"email": user.email, "name": user.name, "language": "en", "is_active": "on", **changes}


def test_old_address_signs_nobody_in_after_a_change(desk: Client, alice: User) -> None:
    EmailAddress.objects.create(user=alice, email="alice@example.com", verified=True, primary=True)
    desk.post(reverse("admin:accounts_user_change", args=(alice.pk,)), _user_form(alice, email="new@example.com"))
    alice.refresh_from_db()
    assert alice.email == "new@example.com"
    assert EmailAddress.objects.filter(user=alice).exists() is False


@pytest.fixture
def user_editor(helper: User) -> User:
    """Staff who may change users, but is no superuser."""
    helper.user_permissions.add(*Permission.objects.filter(content_type__app_label="accounts"))
    return helper


def test_only_a_superuser_gives_rights(client: Client, user_editor: User, alice: User) -> None:
    client.force_login(user_editor)
    url = reverse("admin:accounts_user_change", args=(alice.pk,))
    answer = client.post(url, _user_form(alice, name="Alicia", is_superuser="on", is_staff="on"))
    alice.refresh_from_db()
    assert (answer.status_code, alice.name) == (302, "Alicia")
    assert (alice.is_staff, alice.is_superuser) == (False, False)


def test_staff_cannot_touch_an_operator(client: Client, user_editor: User, operator: User) -> None:
    client.force_login(user_editor)
    page = reverse("admin:accounts_user_change", args=(operator.pk,))
    password = reverse("admin:auth_user_password_change", args=(operator.pk,))
    assert client.post(page, _user_form(operator, name="Mallory")).status_code == 403
    assert client.post(password, {"password1": "x", "password2": "x"}).status_code == 403
    operator.refresh_from_db()
    assert operator.name == "Olga"


def test_staff_cannot_compose_groups(client: Client, user_editor: User) -> None:
    user_editor.user_permissions.add(*Permission.objects.filter(content_type__model="group"))
    client.force_login(user_editor)
    assert client.post(reverse("admin:auth_group_add"), {"name": "Gods"}).status_code == 403
    assert Group.objects.count() == 0


def test_lost_second_factor_is_removed_by_a_superuser(desk: Client, alice: User) -> None:
    Authenticator.objects.create(user=alice, type=Authenticator.Type.TOTP, data={"secret": "x"})
    desk.post(
        reverse("admin:accounts_user_changelist"), {"action": "remove_second_factors", "_selected_action": [alice.pk]}
    )
    assert Authenticator.objects.count() == 0


def test_lost_second_factor_is_not_removed_by_other_staff(client: Client, user_editor: User, alice: User) -> None:
    Authenticator.objects.create(user=alice, type=Authenticator.Type.TOTP, data={"secret": "x"})
    client.force_login(user_editor)
    client.post(
        reverse("admin:accounts_user_changelist"), {"action": "remove_second_factors", "_selected_action": [alice.pk]}
    )
    assert Authenticator.objects.count() == 1


# --- tenants ---------------------------------------------------------------------------------------------------------


def _tenant_form(**changes: str) -> dict[str, str]:
    return {
        "name": "Dora Ltd", "status": "active", "currency": "VND", "time_zone": "Asia/Ho_Chi_Minh",
        "members-TOTAL_FORMS": "0", "members-INITIAL_FORMS": "0", **changes,
    }  # fmt: skip


def test_new_tenant_has_a_wallet(desk: Client) -> None:
    desk.post(reverse("admin:accounts_tenant_add"), _tenant_form())
    wallet = Balance.objects.get(tenant__name="Dora Ltd")
    assert (wallet.currency, wallet.available) == ("VND", 0)


def test_unknown_time_zone_is_refused(desk: Client) -> None:
    answer = desk.post(reverse("admin:accounts_tenant_add"), _tenant_form(time_zone="Mars/Olympus"))
    assert "This is not the name of a time zone" in answer.content.decode()
    assert Tenant.objects.count() == 0


def test_currency_of_a_tenant_stays(desk: Client, tenant: Tenant) -> None:
    desk.post(reverse("admin:accounts_tenant_change", args=(tenant.pk,)), _tenant_form(name="Renamed", currency="VND"))
    tenant.refresh_from_db()
    assert (tenant.name, tenant.currency) == ("Renamed", "USD")


def test_tenant_is_not_deleted(desk: Client, tenant: Tenant) -> None:
    assert desk.post(reverse("admin:accounts_tenant_delete", args=(tenant.pk,)), {"post": "yes"}).status_code == 403
    assert Tenant.objects.filter(pk=tenant.pk).exists() is True


@pytest.mark.parametrize(
    ("action", "before", "after"), [("suspend", "active", "suspended"), ("activate", "suspended", "active")]
)
def test_operator_suspends_and_activates(desk: Client, tenant: Tenant, action: str, before: str, after: str) -> None:
    Tenant.objects.update(status=before)
    desk.post(reverse("admin:accounts_tenant_changelist"), {"action": action, "_selected_action": [tenant.pk]})
    tenant.refresh_from_db()
    assert tenant.status == after
    assert LogEntry.objects.get(object_id=str(tenant.pk)).get_change_message() == "Changed status."


def test_list_shows_what_a_tenant_can_spend(desk: Client, tenant: Tenant) -> None:
    assert "5.00\N{NO-BREAK SPACE}USD" in desk.get(reverse("admin:accounts_tenant_changelist")).content.decode()


def test_tenant_is_found_by_a_member(desk: Client, tenant: Tenant, bob: User, stranger_tenant: Tenant) -> None:
    page = desk.get(reverse("admin:accounts_tenant_changelist"), {"q": "bob@example.com"}).content.decode()
    assert ("Alice Ltd" in page, "Charlie Ltd" in page) == (True, False)


# --- ledger entries --------------------------------------------------------------------------------------------------


def _entry(**changes: str) -> dict[str, str]:
    return {"kind": "top_up", "amount": "12.5", "reason": "bank transfer", "reference": "bank:77", **changes}


def _post_entry(desk: Client, tenant: Tenant, **changes: str) -> str:
    """Sends the form and returns the page that came back, empty if it was accepted."""
    return desk.post(reverse("admin:accounts_tenant_post_entry", args=(tenant.pk,)), _entry(**changes)).content.decode()


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
    desk: Client, operator: User, tenant: Tenant, wallet: Balance, changes: dict[str, str], amount: int
) -> None:
    assert _post_entry(desk, tenant, **changes) == ""
    entry = LedgerEntry.objects.get(reference="bank:77")
    assert (entry.amount, entry.note, entry.created_by, entry.balance) == (amount, "bank transfer", operator, wallet)
    assert _available(wallet) == 5 * NANO + amount


def test_same_reference_posts_once(desk: Client, tenant: Tenant, wallet: Balance) -> None:
    _post_entry(desk, tenant)
    assert _post_entry(desk, tenant) == ""
    assert LedgerEntry.objects.filter(reference="bank:77").count() == 1
    assert _available(wallet) == 5 * NANO + 12_500_000_000


def test_reference_of_another_entry_is_refused(desk: Client, tenant: Tenant, wallet: Balance) -> None:
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
        ({"kind": "expiry"}, "Select a valid choice."),
        ({"kind": "adjustment", "amount": "-5.01"}, "The balance does not cover this amount."),
    ],
)
def test_refused_entry_changes_nothing(
    desk: Client, tenant: Tenant, wallet: Balance, changes: dict[str, str], message: str
) -> None:
    assert message in _post_entry(desk, tenant, **changes)
    assert LedgerEntry.objects.filter(balance=wallet).count() == 1
    assert _available(wallet) == 5 * NANO


def test_looking_at_the_form_posts_nothing(desk: Client, tenant: Tenant, wallet: Balance) -> None:
    assert desk.get(reverse("admin:accounts_tenant_post_entry", args=(tenant.pk,)), _entry()).status_code == 200
    assert _available(wallet) == 5 * NANO


@pytest.mark.parametrize(
    ("page", "title", "button"),
    [("post_entry", "Post a ledger entry", "Post"), ("set_credit_line", "Set the credit line", "Save"),
     ("issue_key", "Issue an API key", "Issue")],
)  # fmt: skip
def test_form_says_what_it_does(desk: Client, tenant: Tenant, page: str, title: str, button: str) -> None:
    text = desk.get(reverse(f"admin:accounts_tenant_{page}", args=(tenant.pk,))).content.decode()
    assert re.search(rf"<h2[^>]*>{title}</h2>", text)
    assert re.search(rf'<button type="submit"[^>]*>\s*{button}\s*</button>', text)


def test_posting_needs_its_own_permission(client: Client, user_editor: User, tenant: Tenant, wallet: Balance) -> None:
    client.force_login(user_editor)
    url = reverse("admin:accounts_tenant_post_entry", args=(tenant.pk,))
    assert client.post(url, _entry()).status_code == 403
    assert _available(wallet) == 5 * NANO


def test_amounts_are_in_the_tenants_currency(desk: Client, alice: User) -> None:
    tenant = open_tenant(owner=alice, name="Dong Ltd", currency=Tenant.Currency.VND)
    assert "at most 6 decimal places" in _post_entry(desk, tenant, amount="0.0000001")
    assert _post_entry(desk, tenant, amount="50000") == ""
    assert LedgerEntry.objects.get().amount == money.from_decimal(Decimal(50_000), "VND")


def test_credit_line_is_set_in_currency_units(desk: Client, tenant: Tenant, wallet: Balance) -> None:
    url = reverse("admin:accounts_tenant_set_credit_line", args=(tenant.pk,))
    desk.post(url, {"credit_line": "2.5"})
    wallet.refresh_from_db()
    assert (wallet.credit_line, wallet.available) == (2_500_000_000, 7_500_000_000)


def test_credit_line_in_use_is_not_lowered(desk: Client, tenant: Tenant, wallet: Balance) -> None:
    ledger.set_credit_line(balance=wallet, credit_line=2 * NANO)
    ledger.post(balance=wallet, kind=LedgerEntry.Kind.ADJUSTMENT, amount=-6 * NANO, reference="spent")
    url = reverse("admin:accounts_tenant_set_credit_line", args=(tenant.pk,))
    assert "The balance does not cover this amount." in desk.post(url, {"credit_line": "0"}).content.decode()
    wallet.refresh_from_db()
    assert (wallet.credit_line, wallet.available) == (2 * NANO, NANO)


# --- API keys --------------------------------------------------------------------------------------------------------


@pytest.fixture
def issued(tenant: Tenant) -> keys.IssuedKey:
    return keys.issue(tenant=tenant, name="robot")


def test_issued_key_is_shown_this_once(desk: Client, tenant: Tenant, operator: User) -> None:
    answer = desk.post(reverse("admin:accounts_tenant_issue_key", args=(tenant.pk,)), {"name": "robot"})
    [secret] = set(keys.PATTERN.findall(answer.content.decode()))
    api_key = ApiKey.objects.get()
    assert (api_key.digest, api_key.created_by) == (keys.digest(secret), operator)
    assert "no-store" in answer["cache-control"]
    pages = [desk.get(url).content.decode() for url in (
        reverse("admin:accounts_apikey_changelist"),
        reverse("admin:accounts_apikey_change", args=(api_key.pk,)),
        reverse("admin:accounts_apikey_history", args=(api_key.pk,)),
        reverse("admin:accounts_tenant_history", args=(tenant.pk,)),
        reverse("admin:index"),
    )]  # fmt: skip
    assert [secret in page or api_key.digest in page for page in pages] == [False] * 5
    assert api_key.masked in pages[0]


@pytest.mark.parametrize(
    ("before", "action", "after"),
    [("active", "pause", "paused"), ("paused", "resume", "active"), ("active", "revoke", "revoked"),
     ("revoked", "resume", "revoked")],
)  # fmt: skip
def test_operator_moves_a_key(desk: Client, issued: keys.IssuedKey, before: str, action: str, after: str) -> None:
    ApiKey.objects.update(status=before)
    url = reverse("admin:accounts_apikey_changelist")
    desk.post(url, {"action": action, "_selected_action": [issued.api_key.pk]})
    assert ApiKey.objects.get().status == after


def test_key_is_limited_on_its_page(desk: Client, issued: keys.IssuedKey) -> None:
    desk.post(
        reverse("admin:accounts_apikey_change", args=(issued.api_key.pk,)),
        {"name": "robot", "allowed_models": "demo\n\n other ", "allowed_networks": "203.0.113.0/24\n::1",
         "requests_per_minute": "5", "status": "revoked", "digest": "0" * 64},
    )  # fmt: skip
    stored = ApiKey.objects.get()
    assert stored.allowed_models == ["demo", "other"]
    assert stored.allowed_networks == ["203.0.113.0/24", "::1/128"]
    assert stored.requests_per_minute == 5
    assert (stored.status, stored.digest) == ("active", issued.api_key.digest)


def test_malformed_network_is_refused(desk: Client, issued: keys.IssuedKey) -> None:
    url = reverse("admin:accounts_apikey_change", args=(issued.api_key.pk,))
    assert "Enter networks such as" in desk.post(url, {"name": "x", "allowed_networks": "10.0.0.1/8"}).content.decode()
    assert ApiKey.objects.get().name == "robot"


def test_key_is_neither_added_nor_deleted_here(desk: Client, issued: keys.IssuedKey) -> None:
    delete = reverse("admin:accounts_apikey_delete", args=(issued.api_key.pk,))
    assert desk.post(reverse("admin:accounts_apikey_add"), {"name": "x"}).status_code == 403
    assert desk.post(delete, {"post": "yes"}).status_code == 403
    assert ApiKey.objects.count() == 1


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
    desk: Client, django_assert_num_queries: DjangoAssertNumQueries, name: str, queries: int, rows: int
) -> None:
    _fill(rows)
    with django_assert_num_queries(queries):
        desk.get(reverse(f"admin:accounts_{name}_changelist"))
