"""The operator's pages of reconciliation: a break is seen, and closed with a reason."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse

from accounts.models import Tenant, User
from billing import breaks
from billing.models import Break
from tests.pages import Browser


@pytest.fixture
def found(tenant: Tenant) -> Break:
    return Break.objects.create(check_name="identity", tenant=tenant, subject="balance 1", expected=5, found=1_234_567)


def test_break_is_closed_with_its_reason_which_is_logged(desk: Browser, operator: User, found: Break) -> None:
    page = desk.open(reverse("admin:billing_break_change", args=(found.pk,))).click("Close with a reason")

    assert "1,234,567" in page.press("Close", reason="a slip of the pen").landed().text
    found.refresh_from_db()
    assert (found.reason, found.closed_by) == ("a slip of the pen", operator)
    assert "a slip of the pen" in LogEntry.objects.get().get_change_message()


def test_break_is_not_closed_without_a_reason(desk: Browser, tenant: Tenant, found: Break) -> None:
    page = desk.open(reverse("admin:billing_break_close", args=(found.pk,))).press("Close", reason=" ")

    assert page.status == 200
    assert breaks.is_frozen(tenant.pk)


def test_second_closing_changes_nothing(desk: Browser, found: Break) -> None:
    page = desk.open(reverse("admin:billing_break_close", args=(found.pk,)))
    page.press("Close", reason="first")

    assert "It had been closed already." in page.press("Close", reason="second").landed().text
    found.refresh_from_db()
    assert found.reason == "first"


def test_who_may_only_look_cannot_close(charlie: User, tenant: Tenant, found: Break) -> None:
    charlie.is_staff = True
    charlie.save()
    charlie.user_permissions.add(Permission.objects.get(codename="view_break"))
    browser = Browser(charlie)

    assert browser.open(reverse("admin:billing_break_change", args=(found.pk,))).status == 200
    assert browser.forge(reverse("admin:billing_break_close", args=(found.pk,)), {"reason": "mine"}).status == 403
    assert breaks.is_frozen(tenant.pk)


def test_first_page_counts_what_is_open(desk: Browser, found: Break) -> None:
    assert "Open breaks in the books" in desk.open(reverse("admin:index")).text
    page = desk.open(reverse("admin:billing_break_changelist") + "?closed_at__isempty=1")
    assert "balance 1" in page.text
