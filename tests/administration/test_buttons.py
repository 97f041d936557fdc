"""Every button, action and link about a row that the administration shows is in these tables, and is pressed.

What a button does to its rows is tested beside its page.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.contrib import admin
from django.db.models import Model
from django.urls import reverse

from accounts.models import Tenant
from tests.pages import Browser, Page

FRAME: Final = ["English en", "Tiếng Việt vi", "Log out"]
SAVING: Final = ["Save", "Save and continue editing", "Save and add another"]
ADDING: Final = ["Save", "Save and view", "Save and add another"]
PASSWORDS: Final = {"password1": "correct horse battery", "password2": "correct horse battery"}
RATES: Final = {"currency": "USD", "input": "1", "output": "2"}

ACTIONS: Final = {
    "accounts.apikey": {
        "Pause the selected keys": "Changed 1 key.",
        "Resume the selected keys": "Changed 0 keys.",
        "Revoke the selected keys for good": "Changed 1 key.",
    },
    "accounts.tenant": {
        "Suspend the selected tenants": "Changed 1 tenant.",
        "Activate the selected tenants": "Changed 0 tenants.",
    },
    "accounts.user": {
        "Delete selected users": "",
        "Remove the second factors (lost device)": "Removed 0 second factors.",
    },
    "auth.group": {"Delete selected groups": ""},
    "billing.codebatch": {
        "Approve the selected batches": "spare is approved.",
        "Revoke the selected batches": "Revoked 1 batch.",
    },
    "billing.quota": {"End the selected quotas": "1 quota has ended."},
    "billing.quotadefault": {"Delete selected default quotas": ""},
    "billing.taxrate": {"Delete selected tax rates": ""},
    "routing.cataloguemodel": {"Delete selected models": ""},
    "routing.channel": {
        "Delete selected channels": "",
        "Enable the selected channels": "Changed 0 channels.",
        "Disable the selected channels": "Changed 1 channel.",
        "Test the selected channels": "spare has no enabled route to test.",
    },
    "routing.route": {"Delete selected routes": ""},
}
"""On the lists, with what the next page says. What deletes asks first."""

NEW: Final = {
    "accounts.tenant": (SAVING, {"name": "New Ltd"}),
    "accounts.user": (SAVING, {"email": "new@example.com", **PASSWORDS}),
    "auth.group": (SAVING, {"name": "new"}),
    "billing.codebatch": (ADDING, {"label": "new", "worth": "5", "number": "2"}),
    "billing.exchangerate": (ADDING, {"price": "25500.5", "source": "a bank"}),
    "billing.billingprofile": (SAVING, {"name": "Another Ltd"}),
    "billing.legalentity": (SAVING, {"name": "new", "address": "x", "country": "VN", "prefix": "NEW"}),
    "billing.quota": (SAVING, {"limit": "5"}),
    "billing.quotadefault": (SAVING, {"about": "key", "limit": "5"}),
    "billing.price": (ADDING, {"model": "spare", **RATES}),
    "billing.priceplan": (SAVING, {"name": "new", "markup": "5"}),
    "billing.taxrate": (SAVING, {"jurisdiction": "VN", "name": "VAT", "percent": "8"}),
    "routing.cataloguemodel": (SAVING, {"name": "new"}),
    "routing.channel": (SAVING, {"name": "new", "provider": "fake", "base_url": "fake://new"}),
    "routing.costprice": (ADDING, RATES),
    "routing.route": (SAVING, {"upstream_name": "new"}),
}
"""On the pages that add a row, with what has to be typed."""

CHANGE: Final = {
    "accounts.apikey": ["Save", "Save and continue editing"],
    "accounts.tenant": SAVING,
    "accounts.user": SAVING,
    "auth.group": SAVING,
    "billing.billingprofile": SAVING,
    "billing.legalentity": SAVING,
    "billing.priceplan": SAVING,
    "billing.quota": SAVING,
    "billing.quotadefault": SAVING,
    "billing.taxrate": SAVING,
    "routing.cataloguemodel": SAVING,
    "routing.channel": ["Save", "Save and test", "Save and continue editing", "Save and add another"],
    "routing.route": SAVING,
}
"""On the pages of a row."""

LINKS: Final = {
    "accounts.tenant": {
        "Post a ledger entry": "/admin/accounts/tenant/{pk}/post_entry/",
        "Set the credit line": "/admin/accounts/tenant/{pk}/set_credit_line/",
        "Issue an API key": "/admin/accounts/tenant/{pk}/issue_key/",
    },
    "billing.break": {"Close with a reason": "/admin/billing/break/{pk}/close/"},
    "accounts.user": {
        "Set a new password": "/admin/accounts/user/{pk}/password/",
        "Delete user": "/admin/accounts/user/{pk}/delete/",
    },
    "auth.group": {"Delete group": "/admin/auth/group/{pk}/delete/"},
    "billing.ledgerentry": {"Void the grant": "/admin/billing/ledgerentry/{pk}/void/"},
    "billing.postingrequest": {
        "Approve": "/admin/billing/postingrequest/{pk}/approve/",
        "Reject": "/admin/billing/postingrequest/{pk}/reject/",
    },
    "billing.creditnote": {"PDF": "/admin/billing/creditnote/{pk}/draw/"},
    "billing.invoice": {
        "Make it final": "/admin/billing/invoice/{pk}/finalise/",
        "PDF": "/admin/billing/invoice/{pk}/draw/",
        "It was paid": "/admin/billing/invoice/{pk}/pay/",
        "Mail it again": "/admin/billing/invoice/{pk}/mail-again/",
        "It was paid once": "/admin/billing/invoice/{pk}/pay-once/",
        "Void it": "/admin/billing/invoice/{pk}/void/",
        "Issue a credit note": "/admin/billing/invoice/{pk}/credit/",
    },
    "billing.price": {
        "New version": "/admin/billing/price/add/?model=demo-small",
        "Withdraw": "/admin/billing/price/{pk}/withdraw/",
    },
    "billing.banktransfer": {
        "Match with an order": "/admin/billing/banktransfer/{pk}/match/",
        "Mark as returned": "/admin/billing/banktransfer/{pk}/mark_returned/",
    },
    "billing.paymentalarm": {"Close the alarm": "/admin/billing/paymentalarm/{pk}/close/"},
    "billing.paymentorder": {"Refund": "/admin/billing/paymentorder/{pk}/refund/"},
    "billing.paymentrefund": {
        "Approve": "/admin/billing/paymentrefund/{pk}/approve/",
        "Reject": "/admin/billing/paymentrefund/{pk}/reject/",
        "Transferred by hand": "/admin/billing/paymentrefund/{pk}/transferred/",
    },
    "billing.quotadefault": {"Delete default quota": "/admin/billing/quotadefault/{pk}/delete/"},
    "billing.taxrate": {"Delete tax rate": "/admin/billing/taxrate/{pk}/delete/"},
    "routing.cataloguemodel": {"Delete model": "/admin/routing/cataloguemodel/{pk}/delete/"},
    "routing.channel": {
        "Add a route": "/admin/routing/route/add/?channel={pk}",
        "Delete channel": "/admin/routing/channel/{pk}/delete/",
    },
    "routing.costprice": {
        "New version": "/admin/routing/costprice/add/?route=",
        "Withdraw": "/admin/routing/costprice/{pk}/withdraw/",
    },
    "routing.route": {
        "New cost price": "/admin/routing/costprice/add/?route={pk}",
        "Delete route": "/admin/routing/route/{pk}/delete/",
    },
}
"""From the pages of a row, beside its history, with where they lead in the end."""

DELETED: Final = [name for name, links in LINKS.items() if any(label.startswith("Delete ") for label in links)]


def _pairs(table: dict[str, Any]) -> list[Any]:
    """The table's labels one by one; whatever deletes has tests of its own."""
    pairs = [(name, label) for name, labels in table.items() for label in labels]
    return [pytest.param(*pair, id=": ".join(pair)) for pair in pairs if not pair[1].startswith("Delete ")]


def _list(desk: Browser, name: str) -> Page:
    return desk.open(reverse(f"admin:{name.replace('.', '_')}_changelist"))


def _newcomer() -> Tenant:
    """A tenant without a billing profile."""
    return Tenant.objects.create(name="Another Ltd")


def _add(desk: Browser, rows: dict[str, Model], name: str) -> Page:
    """The page that adds a row; what is chosen with the help of a script comes with the address."""
    if name == "billing.billingprofile":
        return desk.open(reverse("admin:billing_billingprofile_add", query={"tenant": _newcomer().pk}))
    chosen = {"billing.quota": {"tenant": rows["accounts.tenant"].pk, "period": "day"},
              "billing.quotadefault": {"tenant": rows["accounts.tenant"].pk},
              "routing.route": {"model": rows["routing.cataloguemodel"].pk, "channel": rows["routing.channel"].pk},
              "routing.costprice": {"route": rows["routing.route"].pk}}  # fmt: skip
    return desk.open(reverse(f"admin:{name.replace('.', '_')}_add", query=chosen.get(name)))


def _page(desk: Browser, row: Model) -> Page:
    return desk.open(reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_change", args=(row.pk,)))


def _own(page: Page) -> list[str]:
    """The page's buttons but for those of the frame."""
    return [label for label in page.buttons if label not in FRAME] if page.status == 200 else []


def test_every_model_has_a_row(rows: dict[str, Model]) -> None:
    assert set(rows) == {model._meta.label_lower for model in admin.site._registry}


def test_lists_offer_these_actions_and_no_other(desk: Browser, rows: dict[str, Model]) -> None:
    shown = {name: list(_list(desk, name).actions) for name in rows}
    assert {name: actions for name, actions in shown.items() if actions} == {
        name: list(actions) for name, actions in ACTIONS.items()
    }


def test_lists_have_these_buttons_and_no_other(desk: Browser, rows: dict[str, Model]) -> None:
    shown = {name: set(_own(_list(desk, name))) for name in rows}
    assert set().union(*shown.values()) == {"Run", "Apply Filters"}
    assert {name for name, buttons in shown.items() if "Run" in buttons} == set(ACTIONS)


def test_pages_to_add_have_these_buttons_and_no_other(desk: Browser, rows: dict[str, Model]) -> None:
    shown = {name: _own(_add(desk, rows, name)) for name in rows}
    assert {name: buttons for name, buttons in shown.items() if buttons} == {
        name: buttons for name, (buttons, _typed) in NEW.items()
    }


def test_pages_of_a_row_have_these_buttons_and_no_other(desk: Browser, rows: dict[str, Model]) -> None:
    shown = {name: _own(_page(desk, row)) for name, row in rows.items()}
    assert {name: buttons for name, buttons in shown.items() if buttons} == CHANGE


def test_pages_of_a_row_have_these_links_and_no_other(desk: Browser, rows: dict[str, Model]) -> None:
    shown = {}
    for name, row in rows.items():
        page = _page(desk, row)
        inner = page.url.removesuffix("change/")
        inside = {label for label, target in page.links.items() if target.startswith(inner)}
        shown[name] = inside - {label for label, target in page.links.items() if target == page.url}
    assert shown == {name: {"History", *LINKS.get(name, ())} for name in rows}


@pytest.mark.parametrize(("name", "action"), _pairs(ACTIONS))
def test_action_of_a_list_runs(desk: Browser, rows: dict[str, Model], name: str, action: str) -> None:
    assert ACTIONS[name][action] in _list(desk, name).run(action, rows[name]).landed().text


@pytest.mark.parametrize("name", DELETED)
def test_selected_rows_are_deleted_after_a_question(desk: Browser, rows: dict[str, Model], name: str) -> None:
    [action] = [action for action in ACTIONS[name] if action.startswith("Delete ")]
    question = _list(desk, name).run(action, rows[name])
    assert type(rows[name])._default_manager.filter(pk=rows[name].pk).exists() is True
    question.press("Yes, I’m sure")
    assert type(rows[name])._default_manager.filter(pk=rows[name].pk).exists() is False


@pytest.mark.parametrize("name", NEW)
def test_row_is_added(desk: Browser, rows: dict[str, Model], name: str) -> None:
    stored = type(rows[name])._default_manager
    before = stored.count()
    shown_at_once = name == "billing.codebatch"  # this time, and never again
    assert _add(desk, rows, name).press("Save", **NEW[name][1]).status == (200 if shown_at_once else 302)
    assert stored.count() == before + (2 if name == "billing.price" else 1)  # the plan follows the list


@pytest.mark.parametrize(("name", "button"), _pairs(CHANGE))
def test_button_saves_the_page_as_it_was_shown(desk: Browser, rows: dict[str, Model], name: str, button: str) -> None:
    stored = type(rows[name])._default_manager
    before = stored.values().get(pk=rows[name].pk)
    assert _page(desk, rows[name]).press(button).status == 302
    assert stored.values().get(pk=rows[name].pk) == before


@pytest.mark.parametrize(("name", "link"), _pairs(LINKS))
def test_link_leads_where_it_says(desk: Browser, rows: dict[str, Model], name: str, link: str) -> None:
    page = _page(desk, rows[name]).click(link)
    assert page.status == 200
    assert page.url.startswith(LINKS[name][link].format(pk=rows[name].pk))


@pytest.mark.parametrize("name", DELETED)
def test_row_is_deleted_after_a_question(desk: Browser, rows: dict[str, Model], name: str) -> None:
    [link] = [link for link in LINKS[name] if link.startswith("Delete ")]
    question = _page(desk, rows[name]).click(link)
    assert type(rows[name])._default_manager.filter(pk=rows[name].pk).exists() is True
    question.press("Yes, I’m sure")
    assert type(rows[name])._default_manager.filter(pk=rows[name].pk).exists() is False


@pytest.mark.parametrize(
    "name", ["accounts.refusedcall", "billing.ledgerentry", "billing.usagerecord", "routing.channel"]
)
def test_filters_are_applied(desk: Browser, rows: dict[str, Model], name: str) -> None:
    assert _list(desk, name).press("Apply Filters").landed().status == 200
