"""Who gets which page: every portal URL, called as everybody."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from accounts import keys
from accounts.models import ApiKey, Member, Tenant, User
from accounts.tenants import open_tenant

READ = ["portal:overview", "portal:overview_live", "portal:keys", "portal:requests", "portal:requests_live"]
MANAGE = ["portal:key_create"]
OF_A_KEY = ["portal:key", "portal:key_revoke"]
CHANGE_A_KEY = ["portal:key", "portal:key_pause", "portal:key_resume", "portal:key_revoke"]


@pytest.fixture
def api_key(tenant: Tenant) -> ApiKey:
    return keys.issue(tenant=tenant, name="production").api_key


@pytest.fixture
def accountant(tenant: Tenant) -> User:
    """A member of Alice's tenant who may look at money, not manage keys."""
    user = User.objects.create_user("accountant@example.com")
    Member.objects.create(tenant=tenant, user=user, role=Member.Role.BILLING)
    return user


@pytest.fixture
def as_user(client: Client) -> Callable[[User], Client]:
    def sign_in(user: User) -> Client:
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return sign_in


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
        "portal:request",
        "portal:choose_tenant",
    }


@pytest.mark.parametrize("name", [*READ, *MANAGE])
def test_anonymous_is_sent_to_sign_in(client: Client, db: None, name: str) -> None:
    url = reverse(name)

    answer = client.get(url)

    assert (answer.status_code, answer["location"]) == (302, f"{reverse('account_login')}?next={url}")


@pytest.mark.parametrize("name", CHANGE_A_KEY)
def test_anonymous_changes_no_key(client: Client, api_key: ApiKey, name: str) -> None:
    answer = client.post(reverse(name, args=[api_key.pk]), {"name": "stolen"})

    api_key.refresh_from_db()
    assert answer.status_code == 302
    assert (api_key.name, api_key.status) == ("production", ApiKey.Status.ACTIVE)


@pytest.mark.parametrize("name", ["portal:request", "portal:choose_tenant"])
def test_anonymous_sees_nothing_by_id(client: Client, tenant: Tenant, name: str) -> None:
    value = uuid.uuid4() if name == "portal:request" else tenant.pk

    answer = client.generic("GET" if name == "portal:request" else "POST", reverse(name, args=[value]))

    assert answer.status_code == 302


@pytest.mark.parametrize("name", [*READ, *MANAGE])
def test_the_owner_sees_every_page(as_user: Callable[[User], Client], alice: User, tenant: Tenant, name: str) -> None:
    assert as_user(alice).get(reverse(name)).status_code == 200


@pytest.mark.parametrize("name", [*READ, *MANAGE])
def test_a_developer_sees_every_page(as_user: Callable[[User], Client], bob: User, name: str) -> None:
    assert as_user(bob).get(reverse(name)).status_code == 200


@pytest.mark.parametrize("name", OF_A_KEY)
def test_a_developer_sees_a_key(as_user: Callable[[User], Client], bob: User, api_key: ApiKey, name: str) -> None:
    assert as_user(bob).get(reverse(name, args=[api_key.pk])).status_code == 200


@pytest.mark.parametrize("name", READ)
def test_a_billing_member_reads(as_user: Callable[[User], Client], accountant: User, name: str) -> None:
    assert as_user(accountant).get(reverse(name)).status_code == 200


def test_a_billing_member_is_offered_no_key_management(
    as_user: Callable[[User], Client], accountant: User, api_key: ApiKey
) -> None:
    page = as_user(accountant).get(reverse("portal:keys")).content.decode()

    assert "production" in page
    assert reverse("portal:key_create") not in page
    assert reverse("portal:key_pause", args=[api_key.pk]) not in page


def test_a_billing_member_creates_no_key(as_user: Callable[[User], Client], accountant: User) -> None:
    answer = as_user(accountant).post(reverse("portal:key_create"), {"name": "mine"})

    assert answer.status_code == 403
    assert ApiKey.objects.count() == 0


@pytest.mark.parametrize("name", CHANGE_A_KEY)
def test_a_billing_member_changes_no_key(
    as_user: Callable[[User], Client], accountant: User, api_key: ApiKey, name: str
) -> None:
    answer = as_user(accountant).post(reverse(name, args=[api_key.pk]), {"name": "mine"})

    api_key.refresh_from_db()
    assert answer.status_code == 403
    assert (api_key.name, api_key.status) == ("production", ApiKey.Status.ACTIVE)


@pytest.mark.parametrize("name", OF_A_KEY)
def test_a_stranger_does_not_find_the_key(
    as_user: Callable[[User], Client], charlie: User, stranger_tenant: Tenant, api_key: ApiKey, name: str
) -> None:
    assert as_user(charlie).get(reverse(name, args=[api_key.pk])).status_code == 404


@pytest.mark.parametrize("name", CHANGE_A_KEY)
def test_a_stranger_changes_no_key(
    as_user: Callable[[User], Client], charlie: User, stranger_tenant: Tenant, api_key: ApiKey, name: str
) -> None:
    answer = as_user(charlie).post(reverse(name, args=[api_key.pk]), {"name": "stolen"})

    api_key.refresh_from_db()
    assert answer.status_code == 404
    assert (api_key.name, api_key.status) == ("production", ApiKey.Status.ACTIVE)


def test_a_stranger_does_not_see_the_tenant(
    as_user: Callable[[User], Client], charlie: User, stranger_tenant: Tenant, api_key: ApiKey
) -> None:
    page = as_user(charlie).get(reverse("portal:keys")).content.decode()

    assert "Charlie Ltd" in page
    assert "Alice Ltd" not in page
    assert "production" not in page


def test_a_stranger_cannot_switch_to_the_tenant(
    as_user: Callable[[User], Client], charlie: User, stranger_tenant: Tenant, tenant: Tenant
) -> None:
    signed_in = as_user(charlie)

    answer = signed_in.post(reverse("portal:choose_tenant", args=[tenant.pk]))

    assert answer.status_code == 404
    assert signed_in.get(reverse("portal:keys")).context["request"].tenant == stranger_tenant


def test_a_member_of_several_tenants_switches(as_user: Callable[[User], Client], alice: User, tenant: Tenant) -> None:
    second = open_tenant(owner=alice, name="Second Ltd")
    signed_in = as_user(alice)

    signed_in.post(reverse("portal:choose_tenant", args=[second.pk]))

    assert signed_in.get(reverse("portal:keys")).context["request"].tenant == second


def test_the_switch_takes_a_post(as_user: Callable[[User], Client], alice: User, tenant: Tenant) -> None:
    assert as_user(alice).get(reverse("portal:choose_tenant", args=[tenant.pk])).status_code == 405


def test_a_removed_member_loses_the_tenant_at_once(
    as_user: Callable[[User], Client], bob: User, tenant: Tenant
) -> None:
    signed_in = as_user(bob)
    signed_in.post(reverse("portal:choose_tenant", args=[tenant.pk]))

    bob.memberships.all().delete()

    assert signed_in.get(reverse("portal:overview")).status_code == 403


@pytest.mark.parametrize("name", [*READ, *MANAGE])
def test_an_operator_without_membership_is_shown_to_the_administration(
    as_user: Callable[[User], Client], db: None, name: str
) -> None:
    operator = User.objects.create_superuser("operator@example.com")

    answer = as_user(operator).get(reverse(name))

    assert answer.status_code == 403
    assert reverse("admin:index") in answer.content.decode()


def test_pages_are_never_cached(as_user: Callable[[User], Client], alice: User, tenant: Tenant) -> None:
    answer = as_user(alice).get(reverse("portal:overview"))

    assert answer["cache-control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
