"""Who is calling: keys read once, cached for a moment, and never mistaken for unknown when the database is away."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings
from pytest_django.plugin import DjangoDbBlocker

from accounts import keys
from accounts.authentication import ApiKeyAuthentication
from accounts.callers import AccountDeactivated, Caller, InvalidApiKey, IpNotAuthorized, Legs
from accounts.errors import ServiceUnavailable
from accounts.key_cache import FRESH_SECONDS, STALE_SECONDS, UNKNOWN_SECONDS, KeyCache, write_last_used
from accounts.key_rows import KeyRow
from accounts.keys import IssuedKey
from accounts.limits import Limits
from accounts.models import ApiKey, Tenant
from accounts.networks import client_address, parse_networks
from tests.bookkeeping import default_database
from tests.databases import PostgresDatabases
from tests.wires import Wire


@pytest.fixture(scope="module")
def wire(postgres_databases: PostgresDatabases, django_db_blocker: DjangoDbBlocker) -> Iterator[Wire]:
    """The default database of every thread, at the end of a wire."""
    made = Wire(postgres_databases.migrated())
    with default_database(made.url, django_db_blocker):
        yield made
        made.mend()
    made.cut()


@pytest.fixture
def issued(wire: Wire) -> IssuedKey:
    wire.mend()
    connection.close()  # it may have been cut
    return keys.issue(tenant=Tenant.objects.create(name="Alice Ltd"), name="production")


def run(story: Callable[[], Awaitable[Any]]) -> Any:
    async def play() -> Any:
        return await story()

    return asyncio.run(play())


class Headers(dict[str, str]):
    def get_all(self, name: str) -> list[str]:
        return [self[name]] if name in self else []


def ask(headers: dict[str, str], peer: str = "127.0.0.1") -> Caller:
    """What the API plane does for a request with these headers, without a cache from before; and once more, with it."""
    gateway = SimpleNamespace(key_cache=KeyCache())
    request = SimpleNamespace(headers=Headers(headers), peer=peer, started_at=time.time(), gateway=gateway)
    caller: Caller = run(lambda: cast("Awaitable[Any]", ApiKeyAuthentication().authenticate(request)))[0]
    assert ApiKeyAuthentication().authenticate(request) == (caller, caller)
    return caller


def bearer(issued: IssuedKey) -> dict[str, str]:
    return {"authorization": f"Bearer {issued.secret}"}


# --- who it is -------------------------------------------------------------------------------------------------------


def test_caller_is_the_key_and_its_tenant(issued: IssuedKey) -> None:
    caller = ask(bearer(issued))

    assert (caller.key_id, caller.tenant_id, caller.currency) == (issued.api_key.pk, issued.api_key.tenant_id, "USD")
    assert (caller.limits, caller.is_authenticated, caller.may_call("anything")) == ((), True, True)


@pytest.mark.parametrize("form", ["bearer {}", "BEARER {}", "Bearer   {}", "Bearer {}  "])
def test_scheme_is_read_leniently(issued: IssuedKey, form: str) -> None:
    assert ask({"authorization": form.format(issued.secret)}).key_id == issued.api_key.pk


def test_x_api_key_is_accepted_but_authorization_comes_first(issued: IssuedKey) -> None:
    assert ask({"x-api-key": issued.secret}).key_id == issued.api_key.pk
    with pytest.raises(InvalidApiKey):
        ask({"authorization": "Bearer nonsense", "x-api-key": issued.secret})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Basic YTpi"},
        {"authorization": "Bearer sk-cr-short"},
        {"authorization": "Bearer é\x00"},
        {"x-api-key": ""},
    ],
    ids=["none", "empty", "scheme", "blank", "basic", "malformed", "odd", "empty x-api-key"],
)
def test_missing_and_malformed_keys_never_reach_the_database(wire: Wire, headers: dict[str, str]) -> None:
    wire.cut()
    try:
        with pytest.raises(InvalidApiKey) as refusal:
            ask(headers)
    finally:
        wire.mend()
    assert refusal.value.headers["www-authenticate"] == "Bearer"


def test_unknown_key_is_refused(wire: Wire) -> None:
    wire.mend()
    with pytest.raises(InvalidApiKey):
        ask({"authorization": f"Bearer {keys.generate()}"})


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "paused"},
        {"status": "revoked"},
        {"expires_at": timezone.now() - dt.timedelta(seconds=1)},
    ],
    ids=["paused", "revoked", "expired"],
)
def test_key_that_may_not_be_used_is_refused_as_if_it_did_not_exist(
    issued: IssuedKey, fields: dict[str, object]
) -> None:
    ApiKey.objects.filter(pk=issued.api_key.pk).update(**fields)

    with pytest.raises(InvalidApiKey) as refusal:
        ask(bearer(issued))
    assert (refusal.value.envelope, refusal.value.headers) == (InvalidApiKey().envelope, InvalidApiKey().headers)
    assert refusal.value.caller is not None
    assert refusal.value.caller.key_id == issued.api_key.pk


def test_key_expires_at_its_moment_although_it_is_cached(issued: IssuedKey) -> None:
    caller = ask(bearer(issued))
    assert caller.expires_at is None
    ApiKey.objects.filter(pk=issued.api_key.pk).update(expires_at=timezone.now() + dt.timedelta(hours=1))
    caller = ask(bearer(issued))

    assert caller.expires_at is not None
    caller.check_usable(caller.expires_at - 0.001)
    with pytest.raises(InvalidApiKey):
        caller.check_usable(caller.expires_at)


def test_suspended_tenant_is_told_so(issued: IssuedKey) -> None:
    Tenant.objects.filter(pk=issued.api_key.tenant_id).update(status="suspended")

    with pytest.raises(AccountDeactivated):
        ask(bearer(issued))


def test_limits_are_the_keys_and_its_tenants(issued: IssuedKey) -> None:
    tenant_id = issued.api_key.tenant_id
    Tenant.objects.filter(pk=tenant_id).update(concurrency=7)
    ApiKey.objects.filter(pk=issued.api_key.pk).update(requests_per_minute=5, tokens_per_minute=6)

    assert ask(bearer(issued)).limits == (
        Limits(f"key:{issued.api_key.pk}", 5, 6, None),
        Limits(f"tenant:{tenant_id}", None, None, 7),
    )


def test_allowed_models_allow_no_others(issued: IssuedKey) -> None:
    ApiKey.objects.filter(pk=issued.api_key.pk).update(allowed_models=["a"])
    caller = ask(bearer(issued))

    assert (caller.may_call("a"), caller.may_call("A"), caller.may_call("")) == (True, False, False)


def test_key_of_an_older_pepper_still_works(issued: IssuedKey, settings: Settings) -> None:
    settings.KEY_PEPPERS = [b"a newer pepper of enough length!!", *settings.KEY_PEPPERS]

    assert ask(bearer(issued)).key_id == issued.api_key.pk


# --- from where ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("networks", "peer", "is_allowed"),
    [
        ([], "203.0.113.9", True),
        (["203.0.113.0/24"], "203.0.113.9", True),
        (["203.0.113.0/24"], "203.0.114.9", False),
        (["203.0.113.9"], "203.0.113.9", True),
        (["203.0.113.0/24"], "::ffff:203.0.113.9", True),
        (["203.0.113.0/24"], "::ffff:203.0.114.9", False),
        (["2001:db8::/32"], "2001:db8::1", True),
        (["2001:db8::/32"], "203.0.113.9", False),
        (["203.0.113.0/24", "2001:db8::/32"], "2001:db8::1", True),
        (["203.0.113.0/24"], "", False),
        (["203.0.113.0/24"], "unix", False),
        (["203.0.113.0/24"], "203.0.113.9:8080", True),
        (["2001:db8::/32"], "[2001:db8::1]:443", True),
        (["::ffff:203.0.113.0/120"], "203.0.113.9", True),
        (["203.0.113.0/24"], "unknown", False),
    ],
)
def test_addresses(issued: IssuedKey, networks: list[str], peer: str, is_allowed: bool) -> None:
    ApiKey.objects.filter(pk=issued.api_key.pk).update(allowed_networks=networks)
    outcome = contextlib.nullcontext() if is_allowed else pytest.raises(IpNotAuthorized)

    with outcome:
        ask(bearer(issued), peer)


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "expected"),
    [
        ([], "10.0.0.1", "203.0.113.9", "10.0.0.1"),
        (["10.0.0.0/8"], "198.51.100.1", "203.0.113.9", "198.51.100.1"),
        (["10.0.0.0/8"], "10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (["10.0.0.0/8"], "10.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (["10.0.0.0/8"], "10.0.0.1", "6.6.6.6, nonsense", "nonsense"),
        (["10.0.0.0/8"], "10.0.0.1", "", "10.0.0.1"),
        (["10.0.0.0/8"], "10.0.0.1", "10.0.0.7, 10.0.0.2", "10.0.0.7"),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (["10.0.0.0/8"], "10.0.0.1", "203.0.113.9, 10.0.0.2:8080", "203.0.113.9"),
        (["10.0.0.0/8"], "10.0.0.1", '"[2001:db8::1]:443", "10.0.0.2"', '"[2001:db8::1]:443"'),
        (["10.0.0.0/8"], "10.0.0.1", "203.0.113.9, unknown, 10.0.0.2", "unknown"),
        (["::ffff:10.0.0.0/104"], "10.0.0.1", "203.0.113.9", "203.0.113.9"),
    ],
    ids=[
        "no proxies",
        "not a proxy",
        "one hop",
        "spoofed",
        "nonsense",
        "no header",
        "all trusted",
        "mapped",
        "port",
        "quotes and brackets",
        "unknown",
        "mapped network",
    ],
)
def test_address_of_the_client_behind_proxies(proxies: list[str], peer: str, forwarded: str, expected: str) -> None:
    assert client_address(peer, forwarded, parse_networks(proxies)) == expected


# --- the cache -------------------------------------------------------------------------------------------------------


def test_requests_at_the_same_time_read_a_key_once(issued: IssuedKey) -> None:
    async def story() -> None:
        cache = KeyCache()
        callers = await asyncio.gather(*(cache.find(issued.secret) for _request in range(50)))
        assert callers[0] is not None
        assert callers[0].key_id == issued.api_key.pk
        assert all(caller is callers[0] for caller in callers)

    run(story)


def test_caller_has_the_legs_that_the_wiring_knows(issued: IssuedKey) -> None:
    async def story() -> tuple[int, ...]:
        caller = await KeyCache(lambda rows: {row.pk: Legs((row.tenant_id, row.pk)) for row in rows}).find(
            issued.secret
        )
        assert caller is not None
        return caller.legs

    assert run(story) == (issued.api_key.tenant_id, issued.api_key.pk)


def test_caller_has_no_legs_before_anything_is_wired(issued: IssuedKey) -> None:
    assert ask(bearer(issued)).legs == ()


def test_cached_key_is_used_and_renewed_without_waiting(wire: Wire, issued: IssuedKey) -> None:
    async def story() -> None:
        cache = KeyCache()
        caller = await cache.find(issued.secret)
        await asyncio.sleep(FRESH_SECONDS + 0.1)
        wire.hold_still()
        assert await cache.find(issued.secret) is caller  # once more, while it is read again
        wire.mend()
        await asyncio.sleep(STALE_SECONDS - FRESH_SECONDS)
        renewed = await cache.find(issued.secret)
        assert renewed is not None
        assert renewed is not caller

    run(story)


def test_revoked_key_is_out_within_two_seconds_while_it_is_in_use(issued: IssuedKey) -> None:
    async def story() -> float:
        cache = KeyCache()
        await cache.find(issued.secret)
        await asyncio.to_thread(_revoke, issued)
        revoked_at = time.monotonic()
        while True:
            caller = await cache.find(issued.secret)
            if caller is not None and not caller.is_key_usable:
                return time.monotonic() - revoked_at
            await asyncio.sleep(0.02)

    assert run(story) < 2


def test_age_of_a_cached_key_counts_from_before_it_was_read(wire: Wire, issued: IssuedKey) -> None:
    """What a slow database answers was true when it was asked, not when the answer came."""

    async def story() -> None:
        cache = KeyCache()
        began = time.monotonic()
        wire.hold_still()
        asyncio.get_running_loop().call_later(1.2, wire.mend)
        caller = await cache.find(issued.secret)
        await asyncio.sleep(max(0.0, began + STALE_SECONDS + 0.2 - time.monotonic()))
        assert await cache.find(issued.secret) is not caller

    run(story)


def test_key_that_is_made_after_it_was_asked_for_becomes_known(issued: IssuedKey) -> None:
    async def story() -> None:
        cache = KeyCache()
        secret = keys.generate()
        assert await cache.find(secret) is None
        await asyncio.to_thread(_give, issued, secret)
        assert await cache.find(secret) is None  # remembered as unknown
        await asyncio.sleep(UNKNOWN_SECONDS + 0.1)
        assert await cache.find(secret) is not None

    run(story)


def test_keys_that_nobody_has_are_forgotten_where_none_comes_any_more(db: None) -> None:
    async def story() -> None:
        cache = KeyCache()
        assert [await cache.find(keys.generate()) for _flood in range(3)] == [None] * 3
        assert len(cache._unknown) == 3
        await asyncio.sleep(UNKNOWN_SECONDS + 1.5)
        assert (len(cache._unknown), cache._forgetting) == (0, None)

    run(story)


def test_keys_that_are_asked_for_together_are_read_together(issued: IssuedKey) -> None:
    """Of a thousand keys, a handful of queries; SQL that is counted on the connections of the lanes."""

    async def story() -> None:
        reads: list[int] = []

        def no_legs(rows: Sequence[KeyRow]) -> Mapping[int, Legs]:
            reads.append(len(rows))
            return {}

        cache = KeyCache(no_legs)
        secrets_ = [keys.generate() for _key in range(1000)]
        await asyncio.to_thread(_give, issued, *secrets_)
        callers = await asyncio.gather(*(cache.find(secret) for secret in secrets_))
        assert None not in callers
        assert len({caller.key_id for caller in callers if caller is not None}) == 1000
        assert (sum(reads), len(reads) <= 4) == (1000, True)

    run(story)


def test_known_key_does_not_wait_behind_unknown_ones(wire: Wire, issued: IssuedKey) -> None:
    """While a reading of made-up keys hangs, a key that was used before is read again all the same."""

    async def story() -> None:
        cache = KeyCache()
        await cache.find(issued.secret)
        await asyncio.sleep(STALE_SECONDS + 0.1)
        hanging = threading.Event()
        read = cache._unknown_lane._read

        def slowly(asked: Sequence[str]) -> Mapping[str, Caller]:
            hanging.wait(2)
            return read(asked)

        cache._unknown_lane._read = slowly
        flood = [asyncio.ensure_future(cache.find(keys.generate())) for _key in range(2000)]
        await asyncio.sleep(0)
        began = time.monotonic()
        assert await cache.find(issued.secret) is not None
        assert time.monotonic() - began < 0.5
        hanging.set()
        assert await asyncio.gather(*flood) == [None] * 2000

    run(story)


def test_flood_of_unknown_keys_drives_no_known_one_out(issued: IssuedKey) -> None:
    async def story() -> None:
        cache = KeyCache()
        caller = await cache.find(issued.secret)
        for _part in range(5):
            await asyncio.gather(*(cache.find(keys.generate()) for _key in range(5_000)))
        assert len(cache._unknown) <= 20_000
        assert len(cache._callers) == 1
        renewed = await cache.find(issued.secret)
        assert caller is not None
        assert renewed is not None
        assert renewed.key_id == caller.key_id

    run(story)


def test_row_that_cannot_be_read_keeps_no_other_key_out(issued: IssuedKey) -> None:
    async def story() -> None:
        cache = KeyCache()
        odd, fine = keys.generate(), keys.generate()
        await asyncio.to_thread(_give, issued, odd, fine)
        await asyncio.to_thread(_spoil, odd)
        spoilt, found = await asyncio.gather(cache.find(odd), cache.find(fine), return_exceptions=True)
        assert isinstance(spoilt, ValueError)
        assert isinstance(found, Caller)

    run(story)


@pytest.mark.parametrize("fault", ["cut", "hold_still"])
def test_database_away_is_never_an_invalid_key(wire: Wire, issued: IssuedKey, fault: str) -> None:
    async def story() -> None:
        cache = KeyCache()
        getattr(wire, fault)()
        began = time.monotonic()
        with pytest.raises(ServiceUnavailable):
            await cache.find(issued.secret)
        assert time.monotonic() - began < 5
        wire.mend()
        assert (await cache.find(issued.secret)) is not None

    run(story)


def test_fresh_key_needs_no_database(wire: Wire, issued: IssuedKey) -> None:
    async def story() -> None:
        cache = KeyCache()
        await cache.find(issued.secret)
        wire.cut()
        assert (await cache.find(issued.secret)) is not None

    run(story)
    wire.mend()


def test_used_keys_are_stamped_together(issued: IssuedKey) -> None:
    async def story() -> set[int]:
        cache = KeyCache()
        await cache.find(issued.secret)
        await cache.find(keys.generate())
        used = cache.take_used()
        assert cache.take_used() == set()
        return used

    used = run(story)
    assert used == {issued.api_key.pk}
    assert ApiKey.objects.get(pk=issued.api_key.pk).last_used_at is None

    write_last_used(used)

    stamped = ApiKey.objects.get(pk=issued.api_key.pk).last_used_at
    assert stamped is not None
    assert timezone.now() - stamped < dt.timedelta(seconds=5)


def _give(issued: IssuedKey, *secrets_: str) -> None:
    rows = [ApiKey(tenant=issued.api_key.tenant, name="more", digest=keys.digest(secret)) for secret in secrets_]
    ApiKey.objects.bulk_create(rows)
    connection.close()


def _spoil(secret: str) -> None:
    ApiKey.objects.filter(digest=keys.digest(secret)).update(allowed_networks=["no network"])
    connection.close()


def _revoke(issued: IssuedKey) -> None:
    ApiKey.objects.get(pk=issued.api_key.pk).revoke()
    connection.close()
