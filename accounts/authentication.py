"""Who is calling the API plane: keys, cached for a moment, as DRF's authentication contract.

A key's row is read at most about once a second per process however many requests carry it; a revoked key is out
everywhere within two seconds.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final, Literal

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication

from accounts import database, keys
from accounts.errors import GatewayError, ServiceUnavailable
from accounts.limits import Limits
from accounts.models import ApiKey, Tenant
from accounts.networks import Network, parse_address, parse_networks

FRESH_SECONDS: Final = 1.0
"""A cached key this young is used as it is; an older one is used once more while it is read again."""
STALE_SECONDS: Final = 1.8
"""A cached key this old is read again before it is used."""
_MOST_CACHED: Final = 50_000


class KeyRefused(GatewayError):
    """A key that is not let in. `caller` is whose key it is, if it is anybody's; the client is never told."""

    def __init__(self, message: str, caller: Caller | None = None) -> None:
        super().__init__(message)
        self.caller = caller


class InvalidApiKey(KeyRefused):
    """No, malformed, unknown, paused, revoked or expired key: one answer for all, so that none can be told apart."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"

    def __init__(self, caller: Caller | None = None) -> None:
        super().__init__(
            "Incorrect API key provided. Send a valid key as `Authorization: Bearer sk-...`; "
            "keys are created in the portal.",
            caller,
        )

    @property
    def headers(self) -> dict[str, str]:
        return {**super().headers, "www-authenticate": "Bearer"}


class AccountDeactivated(KeyRefused):
    status = 403
    type = "invalid_request_error"
    code = "account_deactivated"

    def __init__(self, caller: Caller | None = None) -> None:
        super().__init__("This account is suspended. Please contact the operator.", caller)


class IpNotAuthorized(KeyRefused):
    status = 403
    type = "invalid_request_error"
    code = "ip_not_authorized"

    def __init__(self, caller: Caller | None = None) -> None:
        super().__init__("Your IP address is not allowed for this API key.", caller)


@dataclass(frozen=True, slots=True)
class Caller:
    """What the API plane knows of a key and its tenant: the value behind `request.user`."""

    key_id: int
    tenant_id: int
    currency: str
    is_tenant_active: bool
    is_key_usable: bool
    expires_at: float | None
    """Seconds since the epoch."""
    allowed_models: frozenset[str]
    """Public model names; empty allows all."""
    allowed_networks: tuple[Network, ...]
    """Empty allows all."""
    limits: tuple[Limits, ...]
    """The key's own and its tenant's, where either has any."""
    legs: tuple[int, ...] = ()
    """The balances that its requests take from, by id; without any, nothing can be held."""
    legs_until: float | None = None
    """When another period begins for one of them, in seconds since the epoch."""
    price_plan: int = 0
    """The id of the plan whose prices its tenant pays; 0 for the list."""
    session_quotas: tuple[int, ...] = ()
    """The ids of quotas that a request with a session draws on besides."""
    spending_limits: Mapping[int, SpendingLimit] = field(default_factory=dict)
    """Of the legs that are quotas."""
    allowed_origins: frozenset[str] = frozenset()
    """Web origins whose scripts may use it; empty allows none."""

    is_authenticated: Final = True

    @property
    def pk(self) -> int:
        """The name under which DRF's throttles ask for a caller's identity."""
        return self.key_id

    @property
    def is_of_past_period(self) -> bool:
        """Whether another period has begun for one of its legs."""
        return self.legs_until is not None and time.time() >= self.legs_until

    def may_call(self, model: str) -> bool:
        return not self.allowed_models or model in self.allowed_models

    def check_usable(self, now: float) -> None:
        """Raises InvalidApiKey or AccountDeactivated."""
        if not self.is_key_usable or (self.expires_at is not None and now >= self.expires_at):
            raise InvalidApiKey(self)
        if not self.is_tenant_active:
            raise AccountDeactivated(self)

    def check_address(self, address: str) -> None:
        """Raises IpNotAuthorized unless one of the networks allows it."""
        try:
            ip = parse_address(address)
        except ValueError:
            raise IpNotAuthorized(self) from None
        if not any(ip in network for network in self.allowed_networks):
            raise IpNotAuthorized(self)


@dataclass(frozen=True, slots=True)
class SpendingLimit:
    """A quota behind a leg, as its refusal tells of it: whose, for which period, ledger units, end (epoch seconds)."""

    subject: Literal["key", "member", "tenant"]
    period: Literal["day", "week", "month", "total", "session"]
    amount: int
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class Legs:
    """The balances that a key's requests take from, by id in rising order, until a moment (seconds since the epoch).

    And by whose prices.
    """

    ids: tuple[int, ...] = ()
    until: float | None = None
    limits: Mapping[int, SpendingLimit] = field(default_factory=dict)
    """Of those that are quotas."""
    price_plan: int = 0
    session_quotas: tuple[int, ...] = ()


NO_LEGS: Final = Legs()
LegsOf = Callable[[ApiKey], Legs]
"""The legs of a key's requests. Billing knows them, which accounts does not."""


def _no_legs(_api_key: ApiKey) -> Legs:
    return NO_LEGS


class KeyCache:
    """Callers by the full digest of their key, read once for however many requests ask at the same time.

    The digest is this process's own, under a key that nobody else has: cheaper than the database's.
    """

    def __init__(self, legs: LegsOf = _no_legs, trusted_proxies: Sequence[Network] = ()) -> None:
        self.legs = legs
        """Asked once for every reading of a key, off the event loop."""
        self.trusted_proxies = trusted_proxies
        """Networks whose `X-Forwarded-For` is believed."""
        self._pepper = secrets.token_bytes(32)
        self._callers: dict[bytes, tuple[float, Caller | None]] = {}
        self._loading: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._used: set[int] = set()

    async def find(self, secret: str) -> Caller | None:
        """The caller behind a secret, or None. Raises ServiceUnavailable if it must be read and cannot be."""
        digest = self._digest(secret)
        loaded_at, caller = self._callers.get(digest, (0.0, None))
        if not loaded_at and not keys.is_well_formed(secret):
            return None  # mistyped: no look at the database
        age = time.monotonic() - loaded_at
        if age > FRESH_SECONDS:
            task = self._load(digest, secret)
            if age > STALE_SECONDS or (caller is not None and caller.is_of_past_period):
                caller = await asyncio.shield(task)
        elif caller is not None and caller.is_of_past_period:
            caller = await asyncio.shield(self._load(digest, secret))
        if caller is not None:
            self._used.add(caller.key_id)
        return caller

    def _digest(self, secret: str) -> bytes:
        return blake2b(secret.encode(), key=self._pepper).digest()

    def _load(self, digest: bytes, secret: str) -> asyncio.Task[Caller | None]:
        task = self._loading.get(digest)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._read(digest, keys.digests(secret)))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._loading[digest] = task
        return task

    async def _read(self, digest: bytes, digests: list[str]) -> Caller | None:
        asked_at = time.monotonic()  # what a slow database answers was true when it was asked
        try:
            caller = await database.read(_load_caller, digests, self.legs)
        finally:
            del self._loading[digest]
        if len(self._callers) >= _MOST_CACHED:
            self._callers.clear()
        self._callers[digest] = (asked_at, caller)
        return caller

    async def with_present_legs(self, caller: Caller) -> Caller:
        """The caller with the legs of this moment: its request may have taken long to arrive.

        Raises InvalidApiKey if the key is gone, ServiceUnavailable if it must be read and cannot be.
        """
        if not caller.is_of_past_period:
            return caller
        found = await database.read(_load_legs, caller.key_id, self.legs)
        if found is None:
            raise InvalidApiKey(caller)
        return replace(
            caller,
            legs=found.ids,
            legs_until=found.until,
            session_quotas=found.session_quotas,
            spending_limits=found.limits,
        )

    def take_used(self) -> set[int]:
        """The ids of the keys used since the last call."""
        used, self._used = self._used, set()
        return used


def _load_caller(digests: list[str], legs: LegsOf) -> Caller | None:
    row = ApiKey.objects.select_related("tenant").filter(digest__in=digests).first()
    if row is None:
        return None
    tenant = row.tenant
    own = Limits(f"key:{row.pk}", row.requests_per_minute, row.tokens_per_minute, row.concurrency)
    shared = Limits(f"tenant:{tenant.pk}", tenant.requests_per_minute, tenant.tokens_per_minute, tenant.concurrency)
    found = legs(row)
    return Caller(
        key_id=row.pk,
        tenant_id=tenant.pk,
        currency=tenant.currency,
        is_tenant_active=tenant.status == Tenant.Status.ACTIVE,
        is_key_usable=row.status == ApiKey.Status.ACTIVE,
        expires_at=row.expires_at.timestamp() if row.expires_at else None,
        allowed_models=frozenset(row.allowed_models),
        allowed_networks=parse_networks(row.allowed_networks),
        limits=tuple(limits for limits in (own, shared) if not limits.is_unlimited),
        legs=found.ids,
        legs_until=found.until,
        price_plan=found.price_plan,
        session_quotas=found.session_quotas,
        spending_limits=found.limits,
        allowed_origins=frozenset(row.allowed_origins),
    )


def _load_legs(key_id: int, legs: LegsOf) -> Legs | None:
    row = ApiKey.objects.select_related("tenant").filter(pk=key_id).first()
    return None if row is None else legs(row)


def write_last_used(key_ids: set[int]) -> None:
    """Stamps the keys as just used; called every few seconds, not per request."""
    if key_ids:
        ApiKey.objects.filter(pk__in=key_ids).update(last_used_at=timezone.now())


def client_address(peer: str, forwarded_for: str, trusted_proxies: Sequence[Network]) -> str:
    """The caller's address: the peer, or where the peer is a trusted proxy the nearest untrusted hop it names.

    If all that it names are trusted too, the farthest. `forwarded_for` is `X-Forwarded-For`, empty if absent. A hop
    that is no address, such as `unknown`, is returned as it is: nobody's.
    """
    if not trusted_proxies:
        return peer
    address = peer
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    for address in (peer, *reversed(hops)):
        try:
            ip = parse_address(address)
        except ValueError:
            return address
        if not any(ip in network for network in trusted_proxies):
            return address
    return address


class ApiKeyAuthentication(BaseAuthentication):
    """DRF's contract with an awaitable `authenticate`: the API plane's dispatch awaits it.

    Accepts `Authorization: Bearer sk-...` and `x-api-key: sk-...` (Anthropic's clients).
    """

    async def authenticate(self, request: Any) -> tuple[Caller, Caller]:  # type: ignore[override]
        key_cache: KeyCache = request.gateway.key_cache
        caller = await key_cache.find(_secret(request.headers))
        if caller is None:
            raise InvalidApiKey
        try:
            caller.check_usable(request.started_at)
            if caller.allowed_networks:
                forwarded_for = ", ".join(request.headers.get_all("x-forwarded-for"))
                caller.check_address(client_address(request.peer, forwarded_for, key_cache.trusted_proxies))
        except (AccountDeactivated, IpNotAuthorized):
            request.auth = caller  # a browser may read why
            raise
        return caller, caller

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"


async def whose(request: Any) -> Caller | None:
    """Whose key a request carries that was refused before anybody looked at it, whether it may be used or not."""
    try:
        caller: Caller | None = await request.gateway.key_cache.find(_secret(request.headers))
    except ServiceUnavailable:
        return None
    return caller


def _secret(headers: Mapping[str, str]) -> str:
    authorization = headers.get("authorization")
    if authorization is None:
        return headers.get("x-api-key", "")
    scheme, _space, secret = authorization.partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""
