"""The callers behind keys, as one process knows them: read once, and followed.

A key's row is read when it is first used, together with those of other keys, and again when something of it changed,
which is asked about once a second; a revoked key is out everywhere within two seconds.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Final

from django.utils import timezone

from accounts import database, key_changes, key_rows, keys
from accounts.batches import Batches, Found
from accounts.callers import NO_LEGS, Caller, InvalidApiKey, Legs, LegsOf
from accounts.errors import ServiceUnavailable
from accounts.key_changes import Changes, Position
from accounts.key_rows import UNLIMITED, KeyRow
from accounts.known_keys import Known, KnownKeys
from accounts.limits import Limits
from accounts.models import ApiKey, Tenant
from accounts.networks import Network, parse_networks
from accounts.pacing import Pace
from accounts.unknown_keys import UnknownKeys

log = logging.getLogger(__name__)

FRESH_SECONDS: Final = 1.0
"""What was known to be true so lately is used as it is; then once more, while it is asked what has changed."""
STALE_SECONDS: Final = 1.8
"""What was true so long ago is used only if it is heard that it has not changed, or else read again."""
UNKNOWN_SECONDS: Final = 1.8
"""So long a key that was not there is not looked for again; one that is made meanwhile is known after that."""
_PATIENCE: Final = 1.0
"""Seconds that a request waits to hear what has changed, before it reads its own key."""
_MOST_CALLERS: Final = 50_000
_MOST_UNKNOWN: Final = 20_000
_FORGET_SECONDS: Final = 1.0
"""Between two looks at unknown keys whose time is over."""


def _no_legs(_rows: Sequence[KeyRow]) -> Mapping[int, Legs]:
    return {}


class KeyCache:
    """Callers by the full digest of their key, read once for however many requests ask at the same time.

    The digest is this process's own, under a salt that nobody else has: cheaper than the database's. What is read goes
    in batches (accounts/batches.py), on two lanes: keys that were found before never wait behind those that nobody
    knows. A key that was not there is remembered apart, so that a flood of made-up ones drives out no other.

    What was read is true as long as it is heard in time what changed (accounts/known_keys.py): one statement at most
    every FRESH_SECONDS, when somebody asks. If that cannot be heard each key is read again as it ages.
    """

    def __init__(self, legs: LegsOf = _no_legs, trusted_proxies: Sequence[Network] = ()) -> None:
        self.legs = legs
        """Asked once for every batch of keys, off the event loop."""
        self.trusted_proxies = trusted_proxies
        """Networks whose `X-Forwarded-For` is believed."""
        self.pace = Pace()
        self._pepper = secrets.token_bytes(blake2b.SALT_SIZE)
        self._callers: KnownKeys[Caller] = KnownKeys(_MOST_CALLERS)
        self._unknown = UnknownKeys(_MOST_UNKNOWN, UNKNOWN_SECONDS)
        self._known_lane = Batches(database.KNOWN_KEYS, self._read)
        self._unknown_lane = Batches(database.UNKNOWN_KEYS, self._read)
        self._forgetting: asyncio.TimerHandle | None = None
        self._listening: asyncio.Task[None] | None = None
        self._listened_at = float("-inf")
        self._is_deaf = False
        self._is_reading_changes = False
        self._used: set[int] = set()

    def at_hand(self, secret: str) -> Caller | None:
        """The caller behind a secret, where he was known a moment ago."""
        known = self._callers.get(self._digest(secret))
        if known is None or self._age(known) > FRESH_SECONDS or known[1].is_of_past_period:
            return None
        self._used.add(known[1].key_id)
        return known[1]

    def _digest(self, secret: str) -> bytes:
        return blake2b(secret.encode(), salt=self._pepper).digest()

    def _age(self, known: Known[Caller]) -> float:
        """Seconds since it was last known to be true."""
        return time.monotonic() - self._callers.true_at(known)

    async def find(self, secret: str) -> Caller | None:
        """The caller behind a secret, or None. Raises ServiceUnavailable if it must be read and cannot be."""
        digest = self._digest(secret)
        listening = self._listen()
        known = self._callers.get(digest)
        if known is not None and listening is not None and self._must_hear(known):
            await asyncio.wait((listening,), timeout=_PATIENCE)
            known = self._callers.get(digest)
        if known is None:
            return await self._find_unknown(digest, secret)
        caller, age = known[1], self._age(known)
        if age > STALE_SECONDS or caller.is_of_past_period:
            found = (await asyncio.shield(self._renew(digest, secret)))[1]
            if found is None:
                return None
            caller = found
        elif age > FRESH_SECONDS and not self._callers.is_followed(known):
            self._renew(digest, secret)
        self._used.add(caller.key_id)
        return caller

    def _must_hear(self, known: Known[Caller]) -> bool:
        return self._callers.is_followed(known) and self._age(known) > STALE_SECONDS

    def _listen(self) -> asyncio.Task[None] | None:
        """The asking for what has changed that is under way; it begins if the last one was FRESH_SECONDS ago."""
        if self._listening is None and time.monotonic() - self._listened_at > FRESH_SECONDS:
            self._listened_at = time.monotonic()
            self._listening = asyncio.get_running_loop().create_task(self._hear(self._listened_at))
        return self._listening

    async def _hear(self, asked_at: float) -> None:
        try:
            changes = await database.read(self._read_changes, self._callers.position)
        except Exception as error:  # noqa: BLE001 - whatever it is, keys are read as they age
            self._miss(error)
        else:
            self._is_deaf = False
            self._callers.hear(changes, asked_at)
        finally:
            self._listening = None

    def _miss(self, error: Exception) -> None:
        if not self._is_deaf:
            log.warning(
                "what changed of keys cannot be read, so each key is read again every second: %s",
                error.__cause__ or error,
            )
        self._is_deaf = True
        self._callers.miss()

    def _read_changes(self, since: Position | None) -> Changes:
        """In a reader's thread."""
        if self._is_reading_changes:
            raise ServiceUnavailable  # the last one is still at it, though nobody waits for it any more
        self._is_reading_changes = True
        try:
            return key_changes.read(since)
        finally:
            self._is_reading_changes = False

    async def _find_unknown(self, digest: bytes, secret: str) -> Caller | None:
        if not keys.is_well_formed(secret):
            return None  # mistyped: no look at the database
        if self._unknown.has(digest, time.monotonic()):
            return None
        asked_at, caller = await asyncio.shield(self._unknown_lane.ask(secret))
        if caller is None:
            self._unknown.add(digest, asked_at)
            if self._forgetting is None:
                self._forget_soon()
            return None
        self._callers.keep(digest, asked_at, caller, self._used)
        self._used.add(caller.key_id)
        return caller

    def _forget_soon(self) -> None:
        self._forgetting = asyncio.get_running_loop().call_later(_FORGET_SECONDS, self._forget)

    def _forget(self) -> None:
        self._forgetting = None
        if self._unknown.forget(time.monotonic()):
            self._forget_soon()

    def _renew(self, digest: bytes, secret: str) -> asyncio.Future[Found[Caller]]:
        """The reading of a key that is known; what it finds is kept, for all who ask meanwhile."""

        def keep(done: asyncio.Future[Found[Caller]]) -> None:
            if done.cancelled() or done.exception() is not None:
                return
            asked_at, caller = done.result()
            if caller is None:
                self._callers.drop(digest)
            else:
                self._callers.keep(digest, asked_at, caller, self._used)

        is_asked = secret in self._known_lane
        reading = self._known_lane.ask(secret)
        if not is_asked:
            reading.add_done_callback(keep)
        return reading

    def _read(self, asked: Sequence[str]) -> Mapping[str, Caller]:
        """The callers behind these secrets, of those that are there. In a lane's thread."""
        secret_of = {digest: secret for secret in asked for digest in keys.digests(secret)}
        rows = key_rows.by_digest(list(secret_of))
        legs = self.legs(rows) if rows else {}
        return {secret_of[row.digest]: _caller(row, legs.get(row.pk, NO_LEGS)) for row in rows}

    async def with_present_legs(self, caller: Caller) -> Caller:
        """The caller with the legs of this moment: its request may have taken long to arrive.

        Raises InvalidApiKey if the key is gone, ServiceUnavailable if it must be read and cannot be.
        """
        if not caller.is_of_past_period:
            return caller
        found = await database.read(self._legs_now, caller.key_id)
        if found is None:
            raise InvalidApiKey(caller)
        return replace(
            caller,
            legs=found.ids,
            legs_until=found.until,
            session_quotas=found.session_quotas,
            spending_limits=found.limits,
        )

    def _legs_now(self, key_id: int) -> Legs | None:
        rows = key_rows.by_id([key_id])
        return self.legs(rows).get(key_id, NO_LEGS) if rows else None

    def take_used(self) -> set[int]:
        """The ids of the keys used since the last call."""
        used, self._used = self._used, set()
        return used


def _caller(row: KeyRow, legs: Legs) -> Caller:
    return Caller(
        key_id=row.pk,
        tenant_id=row.tenant_id,
        currency=row.currency,
        is_tenant_active=row.tenant_status == Tenant.Status.ACTIVE,
        is_key_usable=row.status == ApiKey.Status.ACTIVE,
        expires_at=row.expires_at,
        allowed_models=frozenset(row.allowed_models),
        allowed_networks=parse_networks(row.allowed_networks),
        limits=tuple(_limits(row)),
        legs=legs.ids,
        legs_until=legs.until,
        price_plan=legs.price_plan,
        session_quotas=legs.session_quotas,
        spending_limits=legs.limits,
        allowed_origins=frozenset(row.allowed_origins),
        says_payment_required=row.says_payment_required,
    )


def _limits(row: KeyRow) -> Iterator[Limits]:
    """Those that bound anything: most keys have none."""
    if row.rates != UNLIMITED:
        yield Limits(f"key:{row.pk}", *row.rates)
    if row.tenant_rates != UNLIMITED:
        yield Limits(f"tenant:{row.tenant_id}", *row.tenant_rates)


def write_last_used(key_ids: set[int]) -> None:
    """Stamps the keys as just used; called every few seconds, not per request."""
    if key_ids:
        ApiKey.objects.filter(pk__in=key_ids).update(last_used_at=timezone.now())
