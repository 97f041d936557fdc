"""Who gets which page: every portal URL, called as everybody."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from accounts.models import ApiKey, Member, Tenant, User
from accounts.tenants import open_tenant
from billing import codes, quotas
from billing.invoices import crediting, finalising, jobs
from billing.models import (
    Balance,
    BalanceAlert,
    BillingProfile,
    Code,
    CodeBatch,
    CreditNote,
    LegalEntity,
    Price,
    Quota,
    QuotaDefault,
    UsageRecord,
)
from tests.pages import Browser
from tests.records import usage_record

READ = [
    "portal:overview",
    "portal:overview_live",
    "portal:keys",
    "portal:requests",
    "portal:requests_live",
    "portal:quotas",
    "portal:usage",
    "portal:usage_csv",
    "portal:usage_focus",
    "portal:prices",
    "portal:billing",
    "portal:billing_csv",
    "portal:topups",
    "portal:invoices",
]
MANAGE = ["portal:key_create"]
OF_A_KEY = ["portal:key", "portal:key_revoke"]
OF_A_QUOTA = ["portal:quota", "portal:quota_end"]
OF_A_DEFAULT = ["portal:quota_default_end"]
OF_BILLING = ["portal:billing_redeem", "portal:billing_alert", "portal:billing_refusals"]
OF_AN_ORDER = ["portal:topup", "portal:topup_live"]
CHANGE_THE_CARD = ["portal:topup_card", "portal:topup_card_forget", "portal:topup_automatic"]
OF_AN_INVOICE = ["portal:invoice", "portal:invoice_pdf", "portal:invoice_csv"]
OF_A_NOTE = ["portal:credit_note", "portal:credit_note_pdf", "portal:credit_note_csv"]
CHANGE_A_KEY = ["portal:key", "portal:key_pause", "portal:key_resume", "portal:key_revoke"]


@pytest.fixture
def accountant(tenant: Tenant) -> User:
    """A member of Alice's tenant who may look at money, not manage keys."""
    user = User.objects.create_user("accountant@example.com")
    Member.objects.create(tenant=tenant, user=user, role=Member.Role.BILLING)
    return user


def names(patterns: list[URLPattern | URLResolver]) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        found |= names(pattern.url_patterns) if isinstance(pattern, URLResolver) else {f"portal:{pattern.name}"}
    return found


def test_every_portal_url_is_called_by_these_tests() -> None:
    portal = next(p for p in get_resolver().url_patterns if getattr(p, "namespace", None) == "portal")

    assert isinstance(portal, URLResolver)
    assert names(portal.url_patterns) == {
        *READ,
        *MANAGE,
        *OF_A_KEY,
        *CHANGE_A_KEY,
        *OF_A_QUOTA,
        *OF_A_DEFAULT,
        *OF_BILLING,
        *OF_AN_ORDER,
        *CHANGE_THE_CARD,
        *OF_AN_INVOICE,
        *OF_A_NOTE,
        "portal:billing_profile",
        "portal:quota_create",
        "portal:request",
        "portal:choose_tenant",
    }


@pytest.mark.parametrize("name", [*READ, *MANAGE])
def test_anonymous_is_sent_to_sign_in(browser: Browser, name: str) -> None:
    url = reverse(name)

    answer = browser.open(url)

    assert (answer.status, answer.location) == (302, f"{reverse('account_login')}?next={url}")


@pytest.mark.parametrize("name", CHANGE_A_KEY)
def test_anonymous_changes_no_key_by_a_forged_form(browser: Browser, api_key: ApiKey, name: str) -> None:
    answer = browser.forge(reverse(name, args=[api_key.pk]), {"name": "stolen"})

    api_key.refresh_from_db()
    assert answer.status == 302
    assert (api_key.name, api_key.status) == ("production", ApiKey.Status.ACTIVE)


@pytest.fixture
def quota(tenant: Tenant) -> Quota:
    return quotas.grant(tenant, amount=10**9, period="month")


@pytest.mark.parametrize("name", OF_A_QUOTA)
@pytest.mark.parametrize(("who", "status"), [("", 302), ("bob", 403), ("accountant", 403), ("charlie", 404)])
def test_nobody_but_owners_and_admins_changes_a_quota_by_a_forged_form(
    request: pytest.FixtureRequest, stranger_tenant: Tenant, quota: Quota, who: str, status: int, name: str
) -> None:
    browser = Browser(request.getfixturevalue(who) if who else None)

    answer = browser.forge(reverse(name, args=[quota.pk]), {"amount": "99", "is_hard": "on"})

    quota.refresh_from_db()
    assert answer.status == status
    assert (quota.amount, quota.ended_at) == (10**9, None)


@pytest.mark.parametrize(("who", "status"), [("", 302), ("bob", 403), ("accountant", 403), ("charlie", 404)])
def test_nobody_but_owners_and_admins_ends_a_default_by_a_forged_form(
    request: pytest.FixtureRequest, tenant: Tenant, stranger_tenant: Tenant, who: str, status: int
) -> None:
    default = QuotaDefault.objects.create(tenant=tenant, about="key", amount=1)
    browser = Browser(request.getfixturevalue(who) if who else None)

    for name in OF_A_DEFAULT:
        assert browser.forge(reverse(name, args=[default.pk])).status == status
    assert QuotaDefault.objects.count() == 1


@pytest.mark.parametrize(("who", "status"), [("", 302), ("bob", 403), ("accountant", 403), ("alice", 200)])
def test_owners_and_admins_alone_set_quotas(
    request: pytest.FixtureRequest, tenant: Tenant, who: str, status: int
) -> None:
    browser = Browser(request.getfixturevalue(who) if who else None)

    assert browser.open(reverse("portal:quota_create")).status == status
    browser.forge(reverse("portal:quota_create"), {"about": "tenant", "period": "day", "amount": "1"})
    assert Quota.objects.count() == (1 if who == "alice" else 0)


@pytest.mark.parametrize("name", OF_BILLING)
@pytest.mark.parametrize(
    ("who", "status"), [("", 302), ("bob", 403), ("accountant", 403), ("alice", 302), ("charlie", 302)]
)
def test_owners_and_admins_alone_change_what_is_paid(
    request: pytest.FixtureRequest, tenant: Tenant, stranger_tenant: Tenant, who: str, status: int, name: str
) -> None:
    """The stranger changes his own."""
    (code,) = codes.make(CodeBatch(label="x", amount=7, currency="USD", number=1))
    browser = Browser(request.getfixturevalue(who) if who else None)

    assert (
        browser.forge(reverse(name), {"code": code, "threshold": "1", "says_payment_required": "on"}).status == status
    )

    alice_may = who == "alice"
    assert BalanceAlert.objects.filter(balance__tenant=tenant).exists() is (alice_may and name == OF_BILLING[1])
    assert Code.objects.filter(tenant=tenant).exists() is (alice_may and name == OF_BILLING[0])
    tenant.refresh_from_db()
    assert tenant.says_payment_required is (alice_may and name == OF_BILLING[2])


@pytest.fixture
def note(tenant: Tenant, record: UsageRecord) -> CreditNote:
    """Of a statement of Alice's tenant."""
    LegalEntity.objects.create(name="Router Ltd", address="x", country="VN", prefix="R", is_default=True)
    wallet = Balance.objects.get(tenant=tenant)
    (draft, *_later) = jobs.close(wallet, now=timezone.now() + dt.timedelta(days=40))
    invoice = finalising.finalise(draft.pk)
    return crediting.credit(invoice.pk, lines={0: 1}, effect=CreditNote.Effect.WALLET, reason="an outage")


@pytest.fixture
def record(tenant: Tenant, api_key: ApiKey) -> UsageRecord:
    price = Price.objects.create(model="gpt-test", input=10**12, output=0)
    return usage_record(tenant, price, api_key, cost=10**7, started_at=timezone.now(), output_tokens=0)


@pytest.mark.parametrize(("who", "status"), [("", 302), ("bob", 200), ("accountant", 200), ("charlie", 404)])
def test_members_alone_see_documents(
    request: pytest.FixtureRequest, stranger_tenant: Tenant, note: CreditNote, who: str, status: int
) -> None:
    browser = Browser(request.getfixturevalue(who) if who else None)
    urls = [reverse(name, args=[note.invoice_id]) for name in OF_AN_INVOICE]
    urls += [reverse(name, args=[note.pk]) for name in OF_A_NOTE]

    assert {browser.open(url).status for url in urls} == {status}


def test_nobody_sees_a_draft(alices: Browser, tenant: Tenant, record: UsageRecord) -> None:
    (draft, *_later) = jobs.close(Balance.objects.get(tenant=tenant), now=timezone.now() + dt.timedelta(days=40))

    assert {alices.open(reverse(name, args=[draft.pk])).status for name in OF_AN_INVOICE} == {404}


@pytest.mark.parametrize(("who", "status"), [("", 302), ("bob", 403), ("accountant", 403), ("alice", 200)])
def test_owners_and_admins_alone_change_the_billing_profile(
    request: pytest.FixtureRequest, tenant: Tenant, who: str, status: int
) -> None:
    browser = Browser(request.getfixturevalue(who) if who else None)
    url = reverse("portal:billing_profile")

    assert browser.open(url).status == status
    browser.forge(url, {"name": "Stolen Ltd", "language": "en"})
    assert BillingProfile.objects.filter(name="Stolen Ltd").exists() == (who == "alice")


def test_anonymous_sees_no_request_by_its_id(browser: Browser) -> None:
    assert browser.open(reverse("portal:request", args=[uuid.uuid4()])).status == 302


@pytest.mark.parametrize("name", OF_AN_ORDER)
def test_anonymous_sees_no_order_by_its_id(browser: Browser, name: str) -> None:
    assert browser.open(reverse(name, args=[uuid.uuid4()])).status == 302


@pytest.mark.parametrize("name", ["portal:topups", *CHANGE_THE_CARD])
@pytest.mark.parametrize(("who", "status"), [("", 302), ("bob", 403)])
def test_nobody_else_pays_or_changes_the_card_by_a_forged_form(
    request: pytest.FixtureRequest, tenant: Tenant, who: str, status: int, name: str
) -> None:
    browser = Browser(request.getfixturevalue(who) if who else None)

    assert browser.forge(reverse(name), {"amount": "20", "way": "stripe"}).status == status
    assert (tenant.payment_orders.count(), hasattr(tenant, "saved_card")) == (0, False)


def test_anonymous_chooses_no_tenant_by_a_forged_switch(browser: Browser, tenant: Tenant) -> None:
    assert browser.forge(reverse("portal:choose_tenant", args=[tenant.pk])).status == 302


@pytest.mark.parametrize("name", [*READ, *MANAGE])
def test_the_owner_sees_every_page(alice: User, tenant: Tenant, name: str) -> None:
    assert Browser(alice).open(reverse(name)).status == 200


@pytest.mark.parametrize("name", [*READ, *MANAGE])
def test_a_developer_sees_every_page(bob: User, name: str) -> None:
    assert Browser(bob).open(reverse(name)).status == 200


@pytest.mark.parametrize("name", OF_A_KEY)
def test_a_developer_sees_a_key(bob: User, api_key: ApiKey, name: str) -> None:
    assert Browser(bob).open(reverse(name, args=[api_key.pk])).status == 200


@pytest.mark.parametrize("name", READ)
def test_a_billing_member_reads(accountant: User, name: str) -> None:
    assert Browser(accountant).open(reverse(name)).status == 200


def test_a_billing_member_is_offered_no_key_management(accountant: User, api_key: ApiKey) -> None:
    page = Browser(accountant).open(reverse("portal:keys")).text

    assert "production" in page
    assert reverse("portal:key_create") not in page
    assert reverse("portal:key_pause", args=[api_key.pk]) not in page


def test_a_billing_member_creates_no_key_by_a_forged_form(accountant: User) -> None:
    answer = Browser(accountant).forge(reverse("portal:key_create"), {"name": "mine"})

    assert answer.status == 403
    assert ApiKey.objects.count() == 0


@pytest.mark.parametrize("name", CHANGE_A_KEY)
def test_a_billing_member_changes_no_key_by_a_forged_form(accountant: User, api_key: ApiKey, name: str) -> None:
    answer = Browser(accountant).forge(reverse(name, args=[api_key.pk]), {"name": "mine"})

    api_key.refresh_from_db()
    assert answer.status == 403
    assert (api_key.name, api_key.status) == ("production", ApiKey.Status.ACTIVE)


@pytest.mark.parametrize("name", OF_A_KEY)
def test_a_stranger_does_not_find_the_key(charlie: User, stranger_tenant: Tenant, api_key: ApiKey, name: str) -> None:
    assert Browser(charlie).open(reverse(name, args=[api_key.pk])).status == 404


@pytest.mark.parametrize("name", CHANGE_A_KEY)
def test_a_stranger_changes_no_key_by_a_forged_form(
    charlie: User, stranger_tenant: Tenant, api_key: ApiKey, name: str
) -> None:
    answer = Browser(charlie).forge(reverse(name, args=[api_key.pk]), {"name": "stolen"})

    api_key.refresh_from_db()
    assert answer.status == 404
    assert (api_key.name, api_key.status) == ("production", ApiKey.Status.ACTIVE)


def test_a_stranger_does_not_see_the_tenant(charlie: User, stranger_tenant: Tenant, api_key: ApiKey) -> None:
    page = Browser(charlie).open(reverse("portal:keys")).text

    assert "Charlie Ltd" in page
    assert "Alice Ltd" not in page
    assert "production" not in page


def test_a_stranger_cannot_switch_to_the_tenant_by_a_forged_form(
    charlie: User, stranger_tenant: Tenant, tenant: Tenant
) -> None:
    signed_in = Browser(charlie)

    answer = signed_in.forge(reverse("portal:choose_tenant", args=[tenant.pk]))

    assert answer.status == 404
    assert signed_in.get(reverse("portal:keys")).context["request"].tenant == stranger_tenant


def test_a_member_of_several_tenants_switches(alice: User, tenant: Tenant) -> None:
    second = open_tenant(owner=alice, name="Second Ltd")
    signed_in = Browser(alice)

    signed_in.open(reverse("portal:keys")).press("Second Ltd")

    assert signed_in.get(reverse("portal:keys")).context["request"].tenant == second


def test_the_switch_takes_a_post(alice: User, tenant: Tenant) -> None:
    assert Browser(alice).open(reverse("portal:choose_tenant", args=[tenant.pk])).status == 405


def test_a_removed_member_loses_the_tenant_at_once(bob: User, tenant: Tenant) -> None:
    signed_in = Browser(bob)
    signed_in.forge(reverse("portal:choose_tenant", args=[tenant.pk]))  # one organisation alone has no switch

    bob.memberships.all().delete()

    assert signed_in.open(reverse("portal:overview")).status == 403


@pytest.mark.parametrize("name", [*READ, *MANAGE])
def test_an_operator_without_membership_is_shown_to_the_administration(db: None, name: str) -> None:
    operator = User.objects.create_superuser("operator@example.com")

    answer = Browser(operator).open(reverse(name))

    assert answer.status == 403
    assert reverse("admin:index") in answer.text


def test_pages_are_never_cached(alice: User, tenant: Tenant) -> None:
    answer = Browser(alice).get(reverse("portal:overview"))

    assert answer["cache-control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
