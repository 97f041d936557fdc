"""A form that another site sends in an operator's browser does nothing, wherever in the administration it is sent to.

The addresses are those of the URLconf, so that a new one is tried as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from django.apps import apps
from django.db.models import Model
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse

from accounts.models import User
from tests.pages import Browser

ROW = "<path:object_id>/"
DJANGOS = ("change", "delete", "history")
"""What Django itself shows of a row."""
FORGERIES = [
    pytest.param({}, "", id="no token"),
    pytest.param({}, "another's", id="another session's token"),
    pytest.param({"HTTP_ORIGIN": "https://evil.example"}, "own", id="another site"),
    pytest.param({"HTTP_ORIGIN": "http://evil.testserver"}, "own", id="a subdomain"),
    pytest.param({"HTTP_ORIGIN": "null"}, "own", id="a sandboxed frame"),
    pytest.param({"HTTP_REFERER": "https://evil.example/admin/", "secure": True}, "own", id="another site's referrer"),
    pytest.param({"secure": True}, "own", id="no referrer"),
]
"""What such a request has: headers, and whose token."""


def routes(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = before + str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


@pytest.fixture
def addresses(rows: Mapping[str, Model]) -> dict[str, str]:
    """Every address of the administration, by its route; those about a row are about one that exists."""
    found = [route for route in routes(get_resolver().url_patterns) if route.startswith("admin/")]
    return {route: f"/{_filled(route, rows)}" for route in found}


def _filled(route: str, rows: Mapping[str, Model]) -> str:
    """The route as an address."""
    row = rows.get(".".join(route.split("/")[1:3]))
    fillings = {
        "<path:object_id>": str(row.pk if row else 1),
        "<path:content_type_id>": "1",
        "(?P<url>.*)$": "nowhere/",
    }
    for hole, filling in fillings.items():
        route = route.replace(hole, filling)
    before, hole, _apps = route.partition("(?P<app_label>")
    return f"{before}billing/" if hole else route


def _token(browser: Browser) -> str:
    return str(browser.get(reverse("admin:index")).context["csrf_token"])


def _stored() -> dict[str, list[Any]]:
    """All rows of all tables."""
    return {model._meta.label: list(model._base_manager.order_by("pk").values()) for model in apps.get_models()}


def _form(**more: str) -> dict[str, str]:
    """What confirms a deletion and runs an action."""
    return {"post": "yes", "action": "delete_selected", "_selected_action": "1", **more}


def test_every_route_of_the_administration_is_tried(addresses: dict[str, str]) -> None:
    assert {route: resolve(address).route for route, address in addresses.items()} == {each: each for each in addresses}
    assert len(addresses) > 200


@pytest.mark.parametrize(("headers", "whose"), FORGERIES)
def test_form_of_another_site_is_refused_everywhere_and_changes_nothing(
    desk: Browser, addresses: dict[str, str], headers: dict[str, Any], whose: str
) -> None:
    elsewhere = Browser(User.objects.create_superuser("oscar2@example.com"))
    tokens = {"own": _token(desk), "another's": _token(elsewhere)}
    form = _form(csrfmiddlewaretoken=tokens[whose]) if whose else _form()
    before = _stored()

    answers = {address: desk.post(address, form, **headers) for address in addresses.values()}

    assert {address: answer.status_code for address, answer in answers.items() if answer.status_code != 403} == {}
    assert [address for address, answer in answers.items() if "form has expired" not in answer.content.decode()] == []
    assert _stored() == before


def test_nor_is_another_method_a_way_around(desk: Browser, addresses: dict[str, str]) -> None:
    assert {desk.delete(address).status_code for address in addresses.values()} == {403}


@pytest.mark.parametrize(
    "headers", [{"HTTP_ORIGIN": "http://testserver"}, {"HTTP_REFERER": "https://testserver/admin/", "secure": True}]
)
def test_own_form_is_taken(desk: Browser, rows: Mapping[str, Model], headers: dict[str, Any]) -> None:
    group = rows["auth.group"]
    form = _form(csrfmiddlewaretoken=_token(desk))

    answer = desk.post(reverse("admin:auth_group_delete", args=[group.pk]), form, **headers)

    assert (answer.status_code, type(group)._default_manager.filter(pk=group.pk).exists()) == (302, False)


def test_links_of_a_row_change_nothing_by_being_opened(desk: Browser, addresses: dict[str, str]) -> None:
    """A link of another site is followed with the operator's cookies."""
    own = [
        each for route, each in addresses.items() if ROW in route and not route.rpartition(ROW)[2].startswith(DJANGOS)
    ]
    before = _stored()

    statuses = {address: desk.get(address).status_code for address in own}

    assert len([status for status in statuses.values() if status == 200]) > 15
    assert _stored() == before
