"""The operator's pages of channels: above all, where a secret must never show up."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core import serializers
from django.test import RequestFactory
from django.urls import reverse
from django.views.debug import ExceptionReporter
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from administration.channels import ChannelAdmin
from routing.models import CatalogueModel, CatalogueVersion, Channel, CostPrice, Route
from tests import upstream as up
from tests.pages import Browser, Page
from tests.upstream import Upstream

CANARY = "sk-canary-0123456789WXYZ"
CHANNELS = "admin:routing_channel_changelist"
VENDOR = {"name": "vendor", "provider": "openai", "base_url": "https://one.example/v1"}


@pytest.fixture
def channel(db: None) -> Channel:
    made = Channel(**VENDOR)
    made.set_secret(CANARY)
    made.save()
    return made


def _page(desk: Browser, channel: Channel) -> Page:
    return desk.open(reverse("admin:routing_channel_change", args=(channel.pk,)))


def _change(desk: Browser, channel: Channel, **changes: str | bool) -> str:
    """Sends the form and returns the page that came back, empty if it was accepted."""
    answer = _page(desk, channel).press("Save", **changes)
    channel.refresh_from_db()
    return answer.text


# --- the secret ------------------------------------------------------------------------------------------------------


def test_secret_is_sealed_when_the_channel_is_added(desk: Browser) -> None:
    desk.open(reverse("admin:routing_channel_add")).press("Save", **VENDOR, secret=CANARY)
    channel = Channel.objects.get()
    assert channel.secret == CANARY
    assert CANARY.encode() not in bytes(channel.sealed_secret)
    assert channel.secret_last_four == "WXYZ"


def test_other_changes_keep_the_secret(desk: Browser, channel: Channel) -> None:
    assert _change(desk, channel, weight="7") == ""
    assert (channel.weight, channel.secret) == (7, CANARY)


def test_new_base_url_clears_the_secret_and_says_so(desk: Browser, channel: Channel) -> None:
    assert _change(desk, channel, base_url="https://two.example/v1") == ""
    assert (channel.base_url, channel.secret, channel.secret_last_four) == ("https://two.example/v1", "", "")
    page = desk.open(reverse("admin:routing_channel_changelist")).text
    assert "The base URL has changed, so the secret was removed." in page


def test_new_base_url_with_a_new_secret_keeps_the_new_one(desk: Browser, channel: Channel) -> None:
    _change(desk, channel, base_url="https://two.example/v1", secret="sk-other-0123456789")
    assert channel.secret == "sk-other-0123456789"


def test_secret_is_replaced(desk: Browser, channel: Channel) -> None:
    _change(desk, channel, secret="sk-other-0123456789")
    assert (channel.secret, channel.secret_last_four) == ("sk-other-0123456789", "6789")


def test_secret_is_removed(desk: Browser, channel: Channel) -> None:
    _change(desk, channel, remove_secret=True)
    assert channel.secret == ""


def test_short_secret_shows_none_of_its_characters(desk: Browser, channel: Channel) -> None:
    _change(desk, channel, secret="short")
    assert (channel.secret, channel.secret_last_four) == ("short", "")


@pytest.mark.parametrize("secret", ["two words", "tab\there", "dấu", "'sk-quoted'", "`sk-quoted`"])
def test_secret_that_is_no_header_value_is_refused(desk: Browser, channel: Channel, secret: str) -> None:
    page = _change(desk, channel, secret=secret)
    assert page != ""
    assert secret not in page
    assert channel.secret == CANARY


@pytest.mark.parametrize("secret", ["line\nbreak", "carriage\rreturn", "nul\x00"])
def test_forged_secret_that_no_browser_sends_is_refused(desk: Browser, channel: Channel, secret: str) -> None:
    page = _page(desk, channel)
    answer = desk.forge(page.url, page.values("Save") | {"secret": [secret]})
    channel.refresh_from_db()
    assert answer.status == 200
    assert secret not in answer.text
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


def _pages(desk: Browser) -> Iterator[str]:
    """Every list, first row and history of the administration."""
    yield desk.open("/admin/").text
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield desk.open(reverse(f"{name}_changelist")).text
        for row in model._default_manager.all()[:1]:
            yield desk.open(reverse(f"{name}_change", args=(row.pk,))).text
            yield desk.open(reverse(f"{name}_history", args=(row.pk,))).text


def test_secret_shows_up_nowhere(desk: Browser, channel: Channel, logged: io.StringIO) -> None:
    model = CatalogueModel.objects.create(name="demo-small")
    Route.objects.create(channel=channel, model=model, upstream_name="small-1")
    refused = _change(desk, channel, secret=CANARY, base_url="ftp://nowhere")
    _change(desk, channel, secret=CANARY)
    desk.open(reverse(CHANNELS)).run("Test the selected channels", channel)
    pages = list(_pages(desk))
    entries = serializers.serialize("json", LogEntry.objects.all())
    everything = "".join([refused, *pages, entries, logged.getvalue(), repr(channel), str(channel)])
    assert len(pages) > 15
    assert CANARY not in everything
    assert "…WXYZ" in everything


@pytest.mark.parametrize("rights", [["view_channel"], ["view_channel", "add_channel"]], ids=["looks", "adds"])
def test_who_may_only_look_does_not_see_the_secret(channel: Channel, rights: list[str]) -> None:
    reader = User.objects.create_user("henry@example.com", name="Henry", is_staff=True)
    reader.user_permissions.add(*Permission.objects.filter(codename__in=rights))

    page = _page(Browser(reader), channel)

    assert (page.status, channel.base_url in page.text, "\N{HORIZONTAL ELLIPSIS}WXYZ" in page.text) == (200, True, True)
    assert CANARY not in page.text


def test_failing_save_hides_the_secret_from_the_report(desk: Browser, operator: User, settings: Settings) -> None:
    """Raw: the view is called outside the site, so that its own report can be looked at."""
    settings.DEBUG = False
    settings.MASTER_KEYS = {}
    url = reverse("admin:routing_channel_add")
    request = RequestFactory().post(url, desk.open(url).values("Save") | VENDOR | {"secret": CANARY})
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
    desk: Browser, channel: Channel, settings: Settings, url: str, message: str
) -> None:
    settings.CHANNEL_NETWORKS = []
    assert message in _change(desk, channel, base_url=url)
    assert (channel.base_url, channel.secret) == ("https://one.example/v1", CANARY)


@pytest.mark.parametrize("url", ["http://10.0.0.1:8080/v1", "https://10.0.0.1/v1", "https://8.8.8.8/v1"])
def test_base_url_that_may_be_reached_is_accepted(
    desk: Browser, channel: Channel, settings: Settings, url: str
) -> None:
    settings.CHANNEL_NETWORKS = ["10.0.0.0/8"]
    assert _change(desk, channel, base_url=url) == ""
    assert channel.base_url == url


def test_fake_provider_needs_a_fake_url(desk: Browser, channel: Channel) -> None:
    assert "it alone" in _change(desk, channel, provider="fake")
    assert _change(desk, channel, provider="fake", base_url="fake://cheap?delay_ms=5") == ""


# --- what is done to channels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [("Enable the selected channels", "disabled", "enabled"), ("Disable the selected channels", "enabled", "disabled")],
)
def test_operator_enables_and_disables(desk: Browser, channel: Channel, action: str, before: str, after: str) -> None:
    Channel.objects.update(status=before)
    version = CatalogueVersion.objects.get().number
    desk.open(reverse(CHANNELS)).run(action, channel)
    channel.refresh_from_db()
    assert channel.status == after
    assert CatalogueVersion.objects.get().number > version


@pytest.fixture
def route(channel: Channel) -> Route:
    """One enabled route of the channel, at 1 and 2 USD per million tokens."""
    model = CatalogueModel.objects.create(name="small")
    made = Route.objects.create(channel=channel, model=model, upstream_name="up-small")
    CostPrice.objects.create(route=made, input=10**9, output=2 * 10**9)
    return made


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    started = Upstream().start()
    yield started
    started.stop()


def test_test_of_a_channel_says_what_came_of_it(
    desk: Browser, channel: Channel, route: Route, upstream: Upstream
) -> None:
    Channel.objects.update(base_url=upstream.url)
    upstream.on(route.upstream_name, up.told("Good morning", usage=up.USAGE))
    page = desk.open(reverse(CHANNELS)).run("Test the selected channels", channel).landed()
    assert "small @ vendor: The upstream answers. · HTTP 200 · first token after" in page.text
    assert "12 → 5 tokens · 0.000022\N{NO-BREAK SPACE}USD · “Good morning”" in page.text
    assert len(upstream.received(route.upstream_name)) == 1


def test_test_of_a_channel_whose_every_call_fails_is_not_green(
    desk: Browser, channel: Channel, route: Route, upstream: Upstream
) -> None:
    Channel.objects.update(base_url=upstream.url)
    upstream.on(route.upstream_name, up.plain(404, {"error": {"message": "model up-small not found"}}))
    page = desk.open(reverse(CHANNELS)).run("Test the selected channels", channel).landed()
    assert "small @ vendor: The upstream has no such model or endpoint" in page.text
    assert "“404: model up-small not found”" in page.text
    assert "The upstream answers." not in page.text


def test_disabled_routes_are_not_tested(desk: Browser, channel: Channel, route: Route, upstream: Upstream) -> None:
    Channel.objects.update(base_url=upstream.url)
    Route.objects.update(is_enabled=False)
    page = desk.open(reverse(CHANNELS)).run("Test the selected channels", channel).landed()
    assert "vendor has no enabled route to test." in page.text
    assert upstream.requests == []


@pytest.mark.django_db(transaction=True)
def test_channel_is_saved_and_tested(desk: Browser, channel: Channel, route: Route, upstream: Upstream) -> None:
    page = _page(desk, channel).press("Save and test", base_url=upstream.url, secret="x").landed()
    channel.refresh_from_db()
    assert (channel.base_url, channel.secret) == (upstream.url, "x")
    assert "small @ vendor: The upstream answers." in page.text
    assert upstream.received(route.upstream_name)[0].header("authorization") == "Bearer x"


@pytest.mark.django_db(transaction=True)
def test_channel_that_is_refused_is_not_tested(
    desk: Browser, channel: Channel, route: Route, upstream: Upstream
) -> None:
    Channel.objects.update(base_url=upstream.url)
    answer = _page(desk, channel).press("Save and test", base_url="fake://cheap")
    assert (answer.status, upstream.requests) == (200, [])


def test_looking_at_the_test_action_tests_nothing(desk: Browser, channel: Channel) -> None:
    assert desk.open(reverse(CHANNELS, query={"action": "test"})).status in {200, 302}
    assert desk.open(f"/admin/routing/channel/{channel.pk}/save_and_test/").status == 302


# --- lists stay cheap ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 15])
def test_list_asks_the_same_number_of_queries(
    desk: Browser, django_assert_num_queries: DjangoAssertNumQueries, rows: int
) -> None:
    model = CatalogueModel.objects.create(name="m")
    for number in range(rows):
        channel = Channel.objects.create(name=f"c{number}", provider="fake", base_url="fake://c")
        Route.objects.create(channel=channel, model=model, upstream_name="u")
    with django_assert_num_queries(5):
        desk.get(reverse(CHANNELS))


def test_channel_with_a_thousand_routes_is_shown_a_hundred_at_once_and_saved(desk: Browser) -> None:
    channel = Channel.objects.create(name="wide", provider="fake", base_url="fake://wide")
    models = CatalogueModel.objects.bulk_create([CatalogueModel(name=f"m{number}") for number in range(1000)])
    Route.objects.bulk_create([Route(channel=channel, model=model, upstream_name="u") for model in models])

    page = desk.open(reverse("admin:routing_channel_change", args=(channel.pk,)))
    answer = page.press("Save", name="wider")

    channel.refresh_from_db()
    assert len(page.text) < 600_000
    assert (answer.status, channel.name, channel.routes.count()) == (302, "wider", 1000)
