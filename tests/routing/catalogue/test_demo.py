"""The demo is made once and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command
from django.urls import reverse
from pytest_django.fixtures import Settings

from accounts.models import ApiKey, Tenant, User
from billing import ledger
from billing.models import Balance, Price
from routing.catalogue import demo
from routing.models import CatalogueModel, Channel, CostPrice, Route
from tests.pages import Browser

NO_VALUES: dict[str, str] = {}


def test_demo_has_three_priced_channels_one_of_them_flaky(db: None) -> None:
    demo.furnish(NO_VALUES, real_base_urls=[])

    assert set(Channel.objects.values_list("name", flat=True)) == {"Flaky", "Cheap", "Steady"}
    assert [name for name, url in Channel.objects.values_list("name", "base_url") if "fail=0.3" in url] == ["Flaky"]
    assert not Route.objects.filter(cost_prices=None).exists()
    assert set(CatalogueModel.objects.values_list("name", flat=True)) == set(
        Price.objects.values_list("model", flat=True)
    )
    costs = CostPrice.objects.filter(route__model__name=demo.MODEL).values_list("input", flat=True)
    assert len(set(costs)) == 3


def test_demo_sells_nothing_below_cost(db: None) -> None:
    demo.furnish(NO_VALUES, real_base_urls=["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"])

    for cost in CostPrice.objects.select_related("route__model"):
        price = Price.objects.get(model=cost.route.model.name)
        assert price.input > cost.input
        assert price.output > cost.output


def test_second_run_keeps_everything(transactional_db: None) -> None:
    first = demo.furnish(NO_VALUES, real_base_urls=[])
    second = demo.furnish(first, real_base_urls=[])

    assert second == first
    assert (Tenant.objects.count(), ApiKey.objects.count(), User.objects.count()) == (1, 1, 2)
    assert (Route.objects.count(), CostPrice.objects.count(), Price.objects.count()) == (5, 5, 2)
    assert Balance.objects.get().available == 5_000_000_000
    assert [account.difference for account in ledger.accounts()] == [0]


def test_second_run_keeps_what_an_operator_changed(db: None) -> None:
    first = demo.furnish(NO_VALUES, real_base_urls=[])
    Channel.objects.filter(name="Cheap").update(status=Channel.Status.DISABLED)
    Price.objects.create(model=demo.MODEL, input=1, output=1)

    demo.furnish(first, real_base_urls=[])

    assert Channel.objects.get(name="Cheap").status == Channel.Status.DISABLED
    assert Price.objects.filter(model=demo.MODEL).latest("version").input == 1


def test_revoked_key_is_replaced(db: None) -> None:
    first = demo.furnish(NO_VALUES, real_base_urls=[])
    ApiKey.objects.get().revoke()

    second = demo.furnish(first, real_base_urls=[])

    assert second["COSTROUTER_KEY"] != first["COSTROUTER_KEY"]
    assert ApiKey.objects.filter(status=ApiKey.Status.ACTIVE).count() == 1


def test_real_channels_are_switched_off_when_they_do_not_run(db: None) -> None:
    first = demo.furnish(NO_VALUES, real_base_urls=["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"])
    assert CatalogueModel.objects.get(name=demo.REAL_MODEL).is_enabled

    demo.furnish(first, real_base_urls=[])

    assert not CatalogueModel.objects.get(name=demo.REAL_MODEL).is_enabled
    assert not Channel.objects.filter(name__startswith="Llama", status=Channel.Status.ENABLED).exists()


@pytest.mark.parametrize(
    ("email", "password", "page"),
    [
        pytest.param("COSTROUTER_ADMIN_EMAIL", "COSTROUTER_ADMIN_PASSWORD", "admin:index", id="operator"),
        pytest.param("COSTROUTER_ADMIN_EMAIL", "COSTROUTER_ADMIN_PASSWORD", "portal:overview", id="operator's portal"),
        pytest.param("COSTROUTER_PORTAL_EMAIL", "COSTROUTER_PORTAL_PASSWORD", "portal:overview", id="owner"),
    ],
)
def test_printed_login_opens_its_page(browser: Browser, email: str, password: str, page: str) -> None:
    values = demo.furnish(NO_VALUES, real_base_urls=[])

    browser.open(reverse("account_login")).press("Sign In", login=values[email], password=values[password])

    assert browser.open(reverse(page)).status == 200


def test_command_writes_a_file_that_only_its_owner_reads(db: None, settings: Settings, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path

    call_command("demo", "--url", "http://127.0.0.1:9", verbosity=0)

    path = tmp_path / "demo.env"
    values = dict(line.split("=", 1) for line in path.read_text().splitlines())
    assert path.stat().st_mode & 0o777 == 0o600
    assert values["COSTROUTER_URL"] == "http://127.0.0.1:9"
    assert values.keys() >= {
        "COSTROUTER_KEY",
        "COSTROUTER_MODEL",
        "COSTROUTER_ADMIN_EMAIL",
        "COSTROUTER_ADMIN_PASSWORD",
    }
