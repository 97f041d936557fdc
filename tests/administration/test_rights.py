"""Who may look at one kind of rows is not told by their pages what another right guards."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import pytest
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiKey, Tenant, User
from billing import approvals, balances, ledger, quotas
from billing.models import LedgerEntry, Price
from routing.models import CatalogueModel, Channel, CostPrice, Route
from tests.pages import Browser, Page
from tests.records import usage_record

NANO = 10**9


@pytest.fixture
def rows(tenant: Tenant, api_key: ApiKey, price: Price, model: CatalogueModel, operator: User) -> Mapping[str, Model]:
    """A row of each kind, each with an amount that another right guards."""
    wallet = balances.open_wallet(tenant)
    ledger.set_credit_line(balance=wallet, credit_line=41_414_000_000)
    entry = ledger.post(balance=wallet, kind=LedgerEntry.Kind.TOP_UP, amount=3_737_000_000, reference="bank-1")
    asked = approvals.request(
        balance=wallet, kind=LedgerEntry.Kind.GRANT, amount=NANO, note="n", reference="asked", created_by=operator
    )
    quotas.grant(tenant, amount=6_161_000_000, period="month", api_key=api_key)
    channel = Channel.objects.create(name="vendor", provider="openai", base_url="https://one.example/v1")
    route = Route.objects.create(channel=channel, model=model, upstream_name="small-1")
    yesterday = timezone.now() - dt.timedelta(days=1)
    CostPrice.objects.create(route=route, input=2_929_000_000, output=NANO, effective_from=yesterday)
    chosen = {"channel": "vendor", "state": "chosen", "expected_cost": 5_959_000, "currency": "USD"}
    record = usage_record(
        tenant, price, api_key, provider_cost=4_343_000, provider_currency="USD", reported_cost=8_383_000,
        decision={"candidates": [chosen]},
    )  # fmt: skip
    return {"accounts.tenant": tenant, "billing.ledgerentry": entry, "billing.postingrequest": asked,
            "accounts.apikey": api_key, "routing.route": route, "billing.usagerecord": record}  # fmt: skip


def reader(email: str, *models: str) -> Browser:
    """The browser of somebody who may look at these."""
    user = User.objects.create_user(email, is_staff=True)
    for app, name in (model.split(".") for model in models):
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=f"view_{name}"))
    return Browser(user)


def page_of(browser: Browser, model: str, row: Model | None) -> Page:
    """A row's own page, or the list of all."""
    place, args = ("changelist", ()) if row is None else ("change", (row.pk,))
    return browser.open(reverse(f"admin:{model.replace('.', '_')}_{place}", args=args))


TOLD = [
    pytest.param("accounts.tenant", "billing.balance", False, "50.151", id="a tenant's wallet in the list"),
    pytest.param("accounts.tenant", "billing.balance", True, "50.151", id="a tenant's wallet"),
    pytest.param("accounts.tenant", "billing.balance", True, "41.414", id="a tenant's credit line"),
    pytest.param("billing.postingrequest", "billing.balance", True, "50.151", id="the wallet that is posted to"),
    pytest.param("accounts.apikey", "billing.quota", True, "6.161", id="a key's quotas"),
    pytest.param("routing.route", "routing.costprice", False, "2.929", id="a route's cost price in the list"),
    pytest.param("routing.route", "routing.costprice", True, "2.929", id="a route's cost price"),
    pytest.param("billing.usagerecord", "routing.costprice", True, "0.004343", id="what a request cost the operator"),
    pytest.param("billing.usagerecord", "routing.costprice", True, "0.008383", id="what its upstream reported"),
    pytest.param("billing.usagerecord", "routing.costprice", True, "0.005959", id="what a route would have cost"),
]


@pytest.mark.parametrize(("kind", "other", "is_own_page", "amount"), TOLD)
def test_what_another_right_guards_is_told_to_who_has_both(
    rows: Mapping[str, Model], kind: str, other: str, is_own_page: bool, amount: str
) -> None:
    page = page_of(reader("vera@example.com", kind, other), kind, rows[kind] if is_own_page else None)

    assert (page.status, amount in page.text) == (200, True)


@pytest.mark.parametrize(("kind", "other", "is_own_page", "amount"), TOLD)
def test_what_another_right_guards_is_not_told_by_the_page(
    rows: Mapping[str, Model], kind: str, other: str, is_own_page: bool, amount: str
) -> None:
    page = page_of(reader("vera@example.com", kind), kind, rows[kind] if is_own_page else None)

    assert (page.status, amount in page.text) == (200, False)


@pytest.mark.parametrize(
    ("kind", "other", "query"),
    [
        pytest.param("accounts.tenant", "billing.balance", "available__gt=1", id="the wallet"),
        pytest.param("accounts.tenant", "billing.balance", "dry=3", id="the days that it lasts"),
        pytest.param("billing.usagerecord", "routing.costprice", "provider_cost__gt=1", id="what a request cost"),
        pytest.param("billing.usagerecord", "routing.costprice", "decision__has_key=candidates",
                     id="what a route would have cost"),
        pytest.param("routing.route", "routing.costprice", "cost_input__gt=1", id="a route's cost price"),
    ],
)  # fmt: skip
def test_list_is_not_filtered_by_what_it_does_not_show(
    rows: Mapping[str, Model], kind: str, other: str, query: str
) -> None:
    place = reverse(f"admin:{kind.replace('.', '_')}_changelist")

    alone = reader("vera@example.com", kind).open(f"{place}?{query}")
    both = reader("rob@example.com", kind, other).open(f"{place}?{query}")

    assert (alone.status, both.status) == (400, 200)


@pytest.mark.parametrize("kind", ["accounts.tenant", "billing.ledgerentry"])
def test_history_that_tells_of_the_wallet_is_for_who_may_look_at_it(rows: Mapping[str, Model], kind: str) -> None:
    browser, url = (
        reader("vera@example.com", kind),
        reverse(f"admin:{kind.replace('.', '_')}_history", args=(rows[kind].pk,)),
    )

    assert "History" not in page_of(browser, kind, rows[kind]).links
    assert browser.open(url).status == 403


@pytest.mark.parametrize("kind", ["accounts.tenant", "billing.ledgerentry"])
def test_history_is_shown_to_who_may_look_at_the_wallet(rows: Mapping[str, Model], kind: str) -> None:
    assert page_of(reader("vera@example.com", kind, "billing.balance"), kind, rows[kind]).click("History").status == 200
