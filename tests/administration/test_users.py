"""The operator's pages of users and groups."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group, Permission
from django.urls import reverse

from accounts.models import User
from tests.pages import Browser, Page

PASSWORDS = {"password1": "correct horse battery", "password2": "correct horse battery"}
USERS = "admin:accounts_user_changelist"


def _user(browser: Browser, user: User) -> Page:
    return browser.open(reverse("admin:accounts_user_change", args=(user.pk,)))


def test_user_page_shows_nothing_of_the_password(desk: Browser, alice: User) -> None:
    alice.set_password("correct horse battery")
    alice.save()
    page = _user(desk, alice)
    assert "argon2" not in page.text
    assert alice.password.rpartition("$")[2] not in page.text


def test_who_may_only_look_sees_nothing_of_the_password(alice: User) -> None:
    alice.set_password("correct horse battery")
    alice.save()
    reader = User.objects.create_user("henry@example.com", name="Henry", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_user"))

    page = _user(Browser(reader), alice)

    assert (page.status, alice.email in page.text) == (200, True)
    assert "argon2" not in page.text
    assert alice.password.rpartition("$")[2] not in page.text


def test_operator_sets_a_password(desk: Browser, alice: User) -> None:
    _user(desk, alice).click("Set a new password").press("Change password", **PASSWORDS)
    alice.refresh_from_db()
    assert alice.check_password("correct horse battery") is True


def test_operator_adds_a_user_in_lower_case(desk: Browser) -> None:
    answer = desk.open(reverse("admin:accounts_user_add")).press("Save", email="Dora@Example.com", **PASSWORDS)
    assert answer.status == 302
    assert User.objects.get(email="dora@example.com").is_staff is False


def test_old_address_signs_nobody_in_after_a_change(desk: Browser, alice: User) -> None:
    EmailAddress.objects.create(user=alice, email="alice@example.com", verified=True, primary=True)
    _user(desk, alice).press("Save", email="new@example.com")
    alice.refresh_from_db()
    assert alice.email == "new@example.com"
    assert EmailAddress.objects.filter(user=alice).exists() is False


@pytest.fixture
def editor(db: None) -> Browser:
    """Staff who may change users, but is no superuser."""
    user = User.objects.create_user("henry@example.com", name="Henry", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(content_type__app_label="accounts"))
    user.user_permissions.add(*Permission.objects.filter(content_type__model="group"))
    return Browser(user)


def test_only_a_superuser_is_offered_rights_to_give(desk: Browser, editor: Browser, alice: User) -> None:
    rights = {"is_staff", "is_superuser", "groups", "user_permissions"}
    assert set(_user(desk, alice).values("Save")) >= rights
    assert set(_user(editor, alice).values("Save")) & rights == set()


def test_forged_rights_are_not_given(editor: Browser, alice: User) -> None:
    forged = {"email": alice.email, "name": "Alicia", "language": "en", "is_active": "on"}
    url = reverse("admin:accounts_user_change", args=(alice.pk,))
    answer = editor.forge(url, {**forged, "is_superuser": "on", "is_staff": "on"})
    alice.refresh_from_db()
    assert (answer.status, alice.name) == (302, "Alicia")
    assert (alice.is_staff, alice.is_superuser) == (False, False)


def test_staff_cannot_touch_an_operator_by_a_forged_form(editor: Browser, operator: User) -> None:
    page = reverse("admin:accounts_user_change", args=(operator.pk,))
    password = reverse("admin:auth_user_password_change", args=(operator.pk,))
    assert "Save" not in editor.open(page).buttons
    assert editor.forge(page, {"email": operator.email, "name": "Mallory", "language": "en"}).status == 403
    assert editor.forge(password, PASSWORDS).status == 403
    operator.refresh_from_db()
    assert operator.name == "Olga"


def test_staff_cannot_compose_groups_by_a_forged_form(editor: Browser) -> None:
    assert editor.open(reverse("admin:auth_group_add")).status == 403
    assert editor.forge(reverse("admin:auth_group_add"), {"name": "Gods"}).status == 403
    assert Group.objects.count() == 0


@pytest.fixture
def authenticator(alice: User) -> Authenticator:
    """Alice's second factor."""
    return Authenticator.objects.create(user=alice, type=Authenticator.Type.TOTP, data={"secret": "x"})


def test_lost_second_factor_is_removed_by_a_superuser(desk: Browser, authenticator: Authenticator) -> None:
    desk.open(reverse(USERS)).run("Remove the second factors (lost device)", authenticator.user)
    assert Authenticator.objects.count() == 0


def test_lost_second_factor_is_not_removed_by_other_staff(
    editor: Browser, alice: User, authenticator: Authenticator
) -> None:
    page = editor.open(reverse(USERS))
    editor.forge(reverse(USERS), {"action": "remove_second_factors", "_selected_action": [alice.pk]})
    assert "Remove the second factors (lost device)" not in page.actions
    assert Authenticator.objects.count() == 1
