"""The operator's pages of channels, models and routes: above all, where a secret must never show up."""

from __future__ import annotations

import datetime as dt
import io
import logging
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.core import serializers
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from django.views.debug import ExceptionReporter
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from administration.channels import ChannelAdmin
from billing.models import Price
from routing.models import CatalogueModel, CatalogueVersion, Channel, CostPrice, Route

CANARY = "sk-canary-0123456789WXYZ"


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_superuser("olga@example.com", name="Olga")


@pytest.fixture
def desk(client: Client, operator: User) -> Client:
    """The operator's browser."""
    client.force_login(operator)
    return client


@pytest.fixture
def channel(db: None) -> Channel:
    made = Channel(name="vendor", provider="openai", base_url="https://one.example/v1")
    made.set_secret(CANARY)
    made.save()
    return made


@pytest.fixture
def route(channel: Channel) -> Route:
    model = CatalogueModel.objects.create(name="demo-small")
    return Route.objects.create(channel=channel, model=model, upstream_name="small-1")


def _form(**changes: str) -> dict[str, str]:
    return {
        "name": "vendor", "provider": "openai", "base_url": "https://one.example/v1", "status": "enabled",
        "priority": "0", "weight": "1", "connect_timeout": "5", "first_byte_timeout": "60", "idle_timeout": "60",
        "total_timeout": "900", "disconnect_policy": "cancel", "routes-TOTAL_FORMS": "0", "routes-INITIAL_FORMS": "0",
        **changes,
    }  # fmt: skip


def _change(desk: Client, channel: Channel, **changes: str) -> str:
    """Sends the form and returns the page that came back, empty if it was accepted."""
    url = reverse("admin:routing_channel_change", args=(channel.pk,))
    page = desk.post(url, _form(**changes)).content.decode()
    channel.refresh_from_db()
    return page


# --- the secret ------------------------------------------------------------------------------------------------------


def test_secret_is_sealed_when_the_channel_is_added(desk: Client) -> None:
    desk.post(reverse("admin:routing_channel_add"), _form(secret=CANARY))
    channel = Channel.objects.get()
    assert channel.secret == CANARY
    assert CANARY.encode() not in bytes(channel.sealed_secret)
    assert channel.secret_last_four == "WXYZ"


def test_other_changes_keep_the_secret(desk: Client, channel: Channel) -> None:
    assert _change(desk, channel, weight="7") == ""
    assert (channel.weight, channel.secret) == (7, CANARY)


def test_new_base_url_clears_the_secret_and_says_so(desk: Client, channel: Channel) -> None:
    assert _change(desk, channel, base_url="https://two.example/v1") == ""
    assert (channel.base_url, channel.secret, channel.secret_last_four) == ("https://two.example/v1", "", "")
    page = desk.get(reverse("admin:routing_channel_changelist")).content.decode()
    assert "The base URL has changed, so the secret was removed." in page


def test_new_base_url_with_a_new_secret_keeps_the_new_one(desk: Client, channel: Channel) -> None:
    _change(desk, channel, base_url="https://two.example/v1", secret="sk-other-0123456789")
    assert channel.secret == "sk-other-0123456789"


def test_secret_is_replaced(desk: Client, channel: Channel) -> None:
    _change(desk, channel, secret="sk-other-0123456789")
    assert (channel.secret, channel.secret_last_four) == ("sk-other-0123456789", "6789")


def test_secret_is_removed(desk: Client, channel: Channel) -> None:
    _change(desk, channel, remove_secret="on")
    assert channel.secret == ""


def test_short_secret_shows_none_of_its_characters(desk: Client, channel: Channel) -> None:
    _change(desk, channel, secret="short")
    assert (channel.secret, channel.secret_last_four) == ("short", "")


@pytest.mark.parametrize("secret", ["two words", "line\nbreak", "tab\there", "carriage\rreturn", "dấu", "nul\x00"])
def test_secret_that_is_no_header_value_is_refused(desk: Client, channel: Channel, secret: str) -> None:
    page = _change(desk, channel, secret=secret)
    assert page != ""
    assert secret not in page
    assert channel.secret == CANARY


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged, however unimportant."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def _pages(desk: Client) -> Iterator[str]:
    """Every list, first row and history of the administration."""
    yield desk.get("/admin/").content.decode()
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield desk.get(reverse(f"{name}_changelist")).content.decode()
        for row in model._default_manager.all()[:1]:
            yield desk.get(reverse(f"{name}_change", args=(row.pk,))).content.decode()
            yield desk.get(reverse(f"{name}_history", args=(row.pk,))).content.decode()


def test_secret_shows_up_nowhere(desk: Client, route: Route, logged: io.StringIO) -> None:
    channel = route.channel
    refused = _change(desk, channel, secret=CANARY, base_url="ftp://nowhere")
    _change(desk, channel, secret=CANARY)
    desk.post(reverse("admin:routing_channel_changelist"), {"action": "test", "_selected_action": [channel.pk]})
    pages = list(_pages(desk))
    entries = serializers.serialize("json", LogEntry.objects.all())
    everything = "".join([refused, *pages, entries, logged.getvalue(), repr(channel), str(channel)])
    assert len(pages) > 15
    assert CANARY not in everything
    assert "…WXYZ" in everything


def test_failing_save_hides_the_secret_from_the_report(operator: User, settings: Settings) -> None:
    settings.DEBUG = False
    settings.MASTER_KEYS = {}
    request = RequestFactory().post("/admin/routing/channel/add/", _form(secret=CANARY))
    request.user = operator
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]  # as the test client does
    with pytest.raises(StopIteration) as failure:
        ChannelAdmin(Channel, admin.site).changeform_view(request)
    reporter = ExceptionReporter(request, failure.type, failure.value, failure.tb)
    assert "save_model" in reporter.get_traceback_html()
    assert CANARY not in reporter.get_traceback_html()
    assert CANARY not in reporter.get_traceback_text()


# --- base URLs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://one.example", "The URL must begin with https://"),
        ("https://user:pass@one.example", "must not contain a user name or password"),
        ("https://one.example?x=1", "must not contain a query"),
        ("https://2130706433", "written as four decimal numbers"),
        ("https://169.254.169.254/latest", "The host has no public address"),
        ("https://10.0.0.1", "The host has no public address"),
        ("https://[::1]", "The host has no public address"),
        ("http://8.8.8.8", "Plain http is allowed only"),
        ("fake://cheap", "The fake provider has fake:// URLs, and it alone."),
    ],
)
def test_base_url_that_may_not_be_reached_is_refused(
    desk: Client, channel: Channel, settings: Settings, url: str, message: str
) -> None:
    settings.CHANNEL_NETWORKS = []
    assert message in _change(desk, channel, base_url=url)
    assert (channel.base_url, channel.secret) == ("https://one.example/v1", CANARY)


@pytest.mark.parametrize("url", ["http://10.0.0.1:8080/v1", "https://10.0.0.1/v1", "https://8.8.8.8/v1"])
def test_base_url_that_may_be_reached_is_accepted(desk: Client, channel: Channel, settings: Settings, url: str) -> None:
    settings.CHANNEL_NETWORKS = ["10.0.0.0/8"]
    assert _change(desk, channel, base_url=url) == ""
    assert channel.base_url == url


def test_fake_provider_needs_a_fake_url(desk: Client, channel: Channel) -> None:
    assert "it alone" in _change(desk, channel, provider="fake")
    assert _change(desk, channel, provider="fake", base_url="fake://cheap?delay_ms=5") == ""


# --- what is done to channels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "before", "after"), [("enable", "disabled", "enabled"), ("disable", "enabled", "disabled")]
)
def test_operator_enables_and_disables(desk: Client, channel: Channel, action: str, before: str, after: str) -> None:
    Channel.objects.update(status=before)
    version = CatalogueVersion.objects.get().number
    desk.post(reverse("admin:routing_channel_changelist"), {"action": action, "_selected_action": [channel.pk]})
    channel.refresh_from_db()
    assert channel.status == after
    assert CatalogueVersion.objects.get().number > version


def test_test_of_a_channel_says_what_came_of_it(desk: Client, channel: Channel) -> None:
    Channel.objects.update(provider="fake", base_url="fake://cheap")
    answer = desk.post(
        reverse("admin:routing_channel_changelist"), {"action": "test", "_selected_action": [channel.pk]}
    )
    [message] = [str(message) for message in get_messages(answer.wsgi_request)]
    assert message.startswith("vendor: The built-in upstream needs no test.")


def test_channel_is_saved_and_tested(desk: Client, channel: Channel) -> None:
    url = reverse("admin:routing_channel_change", args=(channel.pk,))
    form = _form(provider="fake", base_url="fake://cheap", secret="x", routing_channel_save_and_test="1")
    answer = desk.post(url, form)
    messages = [str(message) for message in get_messages(answer.wsgi_request)]
    assert [message.startswith("vendor: The built-in upstream") for message in messages] == [True, False]


def test_looking_at_the_test_action_tests_nothing(desk: Client, channel: Channel) -> None:
    assert desk.get(reverse("admin:routing_channel_changelist"), {"action": "test"}).status_code in {200, 302}
    assert desk.get(f"/admin/routing/channel/{channel.pk}/save_and_test/").status_code == 302


# --- models, routes, cost prices -------------------------------------------------------------------------------------


def test_model_shows_the_price_that_holds(desk: Client, route: Route) -> None:
    Price.objects.create(model="demo-small", input=250_000_000, output=2_000_000_000)
    earlier, later = (timezone.now() + dt.timedelta(days=days) for days in (-1, 1))
    Price.objects.create(model="demo-small", input=990_000_000, output=9_000_000_000, effective_from=later)
    Price.objects.create(model="demo-small", input=880_000_000, output=9_000_000_000, effective_from=earlier)
    page = desk.get(reverse("admin:routing_cataloguemodel_changelist")).content.decode()
    assert "0.25\N{NO-BREAK SPACE}USD / 2.00\N{NO-BREAK SPACE}USD" in page
    assert ("0.99" in page, "0.88" in page) == (False, False)


def test_limits_of_a_model_must_fit_each_other(desk: Client) -> None:
    answer = desk.post(
        reverse("admin:routing_cataloguemodel_add"),
        {"name": "m", "context_window": "1000", "output_limit": "2000", "default_output": "10", "prompt_overhead": "1"},
    )
    assert "must not exceed" in answer.content.decode()
    assert CatalogueModel.objects.count() == 0


def test_cost_price_is_added_exactly(desk: Client, route: Route) -> None:
    form = {"route": str(route.pk), "currency": "USD", "input": "0.15", "output": "0.6", "cached_input": "0.0375"}
    assert desk.post(reverse("admin:routing_costprice_add"), form).status_code == 302
    written = CostPrice.objects.values_list("input", "output", "cached_input", "version")
    assert list(written) == [(150_000_000, 600_000_000, 37_500_000, 1)]


@pytest.mark.parametrize("page", ["change", "delete"])
def test_written_cost_price_stays(desk: Client, route: Route, page: str) -> None:
    cost_price = CostPrice.objects.create(route=route, input=1, output=1)
    url = reverse(f"admin:routing_costprice_{page}", args=(cost_price.pk,))
    assert desk.post(url, {"input": "9", "output": "9", "post": "yes"}).status_code == 403
    assert CostPrice.objects.get().input == 1


def test_route_leads_to_its_next_cost_price(desk: Client, route: Route) -> None:
    CostPrice.objects.create(route=route, input=150_000_000, output=600_000_000)
    page = desk.get(reverse("admin:routing_route_add_cost_price", args=(route.pk,)), follow=True).content.decode()
    assert 'name="input" value="0.15"' in page


def test_route_shows_the_cost_price_that_holds(desk: Client, route: Route) -> None:
    CostPrice.objects.create(route=route, input=150_000_000, output=600_000_000)
    page = desk.get(reverse("admin:routing_route_changelist")).content.decode()
    assert "0.15\N{NO-BREAK SPACE}USD / 0.60\N{NO-BREAK SPACE}USD" in page


@pytest.mark.parametrize("rows", [1, 15])
@pytest.mark.parametrize(("name", "queries"), [("channel", 5), ("cataloguemodel", 5), ("route", 5), ("costprice", 7)])
def test_list_asks_the_same_number_of_queries(
    desk: Client, django_assert_num_queries: DjangoAssertNumQueries, name: str, queries: int, rows: int
) -> None:
    for number in range(rows):
        channel = Channel.objects.create(name=f"c{number}", provider="fake", base_url="fake://c")
        model = CatalogueModel.objects.create(name=f"m{number}")
        route = Route.objects.create(channel=channel, model=model, upstream_name="u")
        CostPrice.objects.create(route=route, input=1, output=1)
        Price.objects.create(model=model.name, input=1, output=1)
    with django_assert_num_queries(queries):
        desk.get(reverse(f"admin:routing_{name}_changelist"))
