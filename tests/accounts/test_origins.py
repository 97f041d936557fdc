"""Web origins as browsers send them, and what any key allows, read now and then."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, Tenant
from accounts.origins import Origins, allowed_origins, normalise


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://app.example", "https://app.example"),
        (" HTTPS://App.Example/ ", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://app.example:8443", "https://app.example:8443"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_origin_is_written_as_browsers_send_it(text: str, origin: str) -> None:
    assert normalise(text) == origin


@pytest.mark.parametrize(
    "text",
    ["", "*", "null", "app.example", "https://", "https://*", "https://*.example", "https://app.example/path",
     "https://app.example?x", "https://app.example#x", "https://user@app.example", "https://app.example:x",
     "https://app.example:70000", "ftp://app.example", "javascript:alert(1)", "chrome-extension://abc",
     "https://app .example", "https://-app.example", "https://[::g]", "https://a..b", "https://app.example\r\nx: y"],
)  # fmt: skip
def test_what_no_browser_sends_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        normalise(text)


def test_only_keys_that_may_be_used_count(tenant: Tenant, stranger_tenant: Tenant) -> None:
    soon, past = timezone.now() + dt.timedelta(hours=1), timezone.now() - dt.timedelta(hours=1)
    keys.issue(tenant=tenant, name="a", allowed_origins=["https://a.example", "https://b.example"], expires_at=soon)
    keys.issue(tenant=tenant, name="none")
    keys.issue(tenant=tenant, name="old", allowed_origins=["https://old.example"], expires_at=past)
    keys.issue(tenant=tenant, name="paused", allowed_origins=["https://paused.example"]).api_key.pause()
    keys.issue(tenant=stranger_tenant, name="s", allowed_origins=["https://suspended.example"])
    Tenant.objects.filter(pk=stranger_tenant.pk).update(status=Tenant.Status.SUSPENDED)

    assert allowed_origins() == {"https://a.example", "https://b.example"}


def test_many_who_ask_at_once_cost_one_reading() -> None:
    readings: list[int] = []

    def read() -> frozenset[str]:
        readings.append(1)
        return frozenset(("https://app.example",))

    async def ask() -> list[bool]:
        origins = Origins(read)
        names = ["https://app.example", "https://other.example"] * 20
        return await asyncio.gather(*map(origins.allow, names)) + [await origins.allow("null")]

    assert asyncio.run(ask()) == [True, False] * 20 + [False]
    assert len(readings) == 1


def test_new_key_allows_no_origin(api_key: ApiKey) -> None:
    assert api_key.allowed_origins == []
