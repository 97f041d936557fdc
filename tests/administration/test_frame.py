"""Who may open any page of the administration, and what all of its pages have in common."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.contrib.admin.templatetags.admin_urls import admin_urlname
from django.contrib.admin.utils import flatten, flatten_fieldsets
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils.safestring import mark_safe
from pytest_django import Settings

from accounts.models import User
from costrouter.policy import with_additions
from tests.pages import Browser


@pytest.fixture
def helper(db: None) -> User:
    """Staff without any permission."""
    return User.objects.create_user("henry@example.com", name="Henry", is_staff=True)


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


@pytest.mark.parametrize("object_id", ["x", "9" * 30, "9" * 5_000, "-1", "1_2F2"])
def test_id_that_can_be_none_is_not_found(desk: Browser, object_id: str) -> None:
    """On a row's own page, and on every page of an action with it."""
    urls = {url.replace("/1/", f"/{object_id}/", 1) for url in _urls() if "/1/" in url and "/r/" not in url}

    pages = [desk.open(url) for url in urls]

    assert {page.url: page.status for page in pages if page.status not in {302, 403, 404, 405}} == {}
    assert len(pages) > 50


@pytest.mark.parametrize("value", ["x", "9" * 5_000, "\x01", ""])
def test_form_to_add_a_row_is_filled_by_what_an_address_says_if_that_can_be(desk: Browser, value: str) -> None:
    fields = {
        model: [field.name for field in model._meta.get_fields() if field.concrete] for model in admin.site._registry
    }
    pages = [
        desk.open(
            reverse(
                admin_urlname(model._meta, mark_safe("add")), query=dict.fromkeys(names, value) | {"currency": "USD"}
            )
        )
        for model, names in fields.items()
    ]

    assert {page.url: page.status for page in pages if page.status not in {200, 302, 403}} == {}


def test_row_is_found_by_its_id_where_an_address_names_no_other_field(desk: Browser, alice: User) -> None:
    assert desk.open(f"{reverse('admin:accounts_user_change', args=(alice.pk,))}?_to_field=").status == 200


@pytest.mark.parametrize(
    ("lookup", "value", "status"),
    [
        ("id__in", f"1,{2**63}", 400),
        ("id__range", f"1,{2**63}", 400),
        ("id__in", "1,2", 200),
        ("id__exact", f"{2**63}", 200),
    ],
)
def test_list_is_filtered_by_numbers_that_a_row_can_have(desk: Browser, lookup: str, value: str, status: int) -> None:
    assert desk.open(reverse("admin:accounts_tenant_changelist", query={lookup: value})).status == status


OPEN_TO_ALL = {"/admin/login/", "/admin/logout/"}


def test_every_page_is_among_the_urls() -> None:
    assert {"/admin/", "/admin/billing/usagerecord/", "/admin/accounts/tenant/1/post_entry/"} <= set(_urls())


def _doors(browser: Client, method: str) -> set[str]:
    """Where the pages send whoever asks, be it with a forged form."""
    answers = [getattr(browser, method)(url) for url in set(_urls()) - OPEN_TO_ALL]
    return {answer["location"].partition("?")[0] for answer in answers}


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "post"])
def test_anonymous_visitor_is_sent_to_sign_in(client: Client, method: str) -> None:
    assert _doors(client, method) == {"/admin/login/"}


@pytest.mark.parametrize("method", ["get", "post"])
def test_tenant_user_comes_no_further_than_the_door(client: Client, alice: User, method: str) -> None:
    client.force_login(alice)
    assert _doors(client, method) == {"/admin/login/"}
    assert client.get("/admin/login/").status_code == 403


def test_sign_in_goes_through_the_page_that_knows_second_factors(browser: Browser) -> None:
    answer = browser.open("/admin/login/?next=/admin/routing/channel/")
    assert (answer.status, answer.location) == (302, "/accounts/login/?next=%2Fadmin%2Frouting%2Fchannel%2F")


def test_forged_sign_in_goes_there_too(browser: Browser) -> None:
    assert browser.forge("/admin/login/", {"username": "olga@example.com", "password": "x"}).status == 302


def test_operator_changes_the_password_where_everybody_does(desk: Browser) -> None:
    assert desk.open("/admin/password_change/").location == reverse("account_change_password")


def test_sign_out_leads_to_sign_in(desk: Browser) -> None:
    assert desk.open("/admin/").press("Log out").location == reverse("account_login")
    assert desk.open("/admin/").status == 302


def test_language_is_switched_here_as_well(desk: Browser) -> None:
    assert '<html lang="vi"' in desk.open("/admin/").press("Tiếng Việt vi").landed().text


def test_what_an_operator_adds_to_the_policy_holds_here_as_well(desk: Browser, settings: Settings) -> None:
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": with_additions("script-src https://stats.example.com")}

    policy = desk.open("/admin/").response.headers["Content-Security-Policy"]

    assert "script-src 'self' https://stats.example.com 'unsafe-eval'" in policy.split("; ")


def test_staff_without_permissions_opens_no_list(helper: User) -> None:
    browser = Browser(helper)
    urls = [reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") for model in _models()]
    pages = [browser.open(url) for url in urls]
    assert {page.status for page in pages} == {403}
    assert {"A superuser can change that" in page.text for page in pages} == {True}
    assert pages[0].click("Administration").status == 200


def _models() -> list[type[Model]]:
    return list(admin.site._registry)


def test_fields_on_pages_have_names_that_are_translated() -> None:
    plain = []
    for kind, page in admin.site._registry.items():
        names = {*map(str, page.list_display), *flatten(page.fields or ()), *flatten_fieldsets(page.fieldsets or ())}
        fields = [field for field in kind._meta.fields if field.name in names - {"id"}]
        plain += [str(field) for field in fields if isinstance(field.verbose_name, str)]
    assert plain == []


def test_head_of_a_page_has_room_for_its_actions() -> None:
    """More than three do not fit beside its title at 1280 pixels in Vietnamese; the rare ones stand in a menu."""
    crowded = [each for each in admin.site._registry.values() if len(getattr(each, "actions_detail", ())) > 3]
    assert crowded == []


def test_internal_tables_have_no_pages() -> None:
    names = {f"{model._meta.app_label}.{model._meta.model_name}" for model in _models()}
    assert names == {
        "accounts.apikey",
        "accounts.refusedcall",
        "accounts.tenant",
        "accounts.user",
        "auth.group",
        "billing.automatictopup",
        "billing.balance",
        "billing.banktransfer",
        "billing.billingprofile",
        "billing.break",
        "billing.codebatch",
        "billing.creditnote",
        "billing.exchangerate",
        "billing.invoice",
        "billing.ledgerentry",
        "billing.legalentity",
        "billing.parkedtenant",
        "billing.paymentalarm",
        "billing.paymentdispute",
        "billing.paymentevent",
        "billing.paymentorder",
        "billing.paymentrefund",
        "billing.postingrequest",
        "billing.price",
        "billing.priceplan",
        "billing.process",
        "billing.quota",
        "billing.quotadefault",
        "billing.reconciliation",
        "billing.reservation",
        "billing.taxrate",
        "billing.usagerecord",
        "routing.cataloguemodel",
        "routing.channel",
        "routing.costprice",
        "routing.route",
    }


def test_scripts_come_from_our_own_host_alone(desk: Browser) -> None:
    policy = dict(part.split(" ", 1) for part in desk.open("/admin/").response["content-security-policy"].split("; "))
    assert policy["script-src"] == "'self' 'unsafe-eval'"
    assert policy["style-src"] == "'self'"
    assert policy["default-src"] == "'self'"


def test_only_the_administration_evaluates_scripts(browser: Browser) -> None:
    assert "unsafe" not in browser.open(reverse("account_login")).response["content-security-policy"]
