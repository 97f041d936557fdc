"""Rate limits: requests and tokens per minute, and requests in flight, of keys and tenants.

Buckets refill continuously; a bucket holds one minute's worth. With Redis the buckets are shared by all processes, and
the checks of concurrent requests travel together in one script call. Redis holds no money: while it is away, each
process keeps buckets of its own with its share of every limit, and no request fails for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, cast

import msgspec
from redis.exceptions import NoScriptError, RedisError

from accounts.errors import GatewayError
from accounts.redis_line import RedisLine

log = logging.getLogger(__name__)

Kind = Literal["requests", "tokens", "concurrency"]
LEASE_SECONDS: Final = 20
"""A place in flight ends so long after its process was last heard of, which renews its places as long as it lives."""
RENEW_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 1800.0
"""A request in flight that never reported its end is not renewed after this."""
_MOST_RENEWED: Final = 1_000
"""In one call, so that Redis is free for others in between."""
RELEASE_SECONDS: Final = 0.01
"""Nobody waits for a release: it goes along with the next asks, or by itself after this."""
_REDIS_TIMEOUT: Final = 0.25
_REDIS_PAUSE: Final = 1.0
_MOST_UNDELIVERED: Final = 10_000
_SWEEP_SECONDS: Final = 60.0
_SCRIPT: Final = (Path(__file__).parent / "limits.lua").read_text()
_SHA: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
"""By what Redis knows a script that it has run."""


class RateLimited(GatewayError):
    """A request, token or concurrency limit is reached; nothing was taken from any bucket."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retriable = True


@dataclass(frozen=True)
class Limits:
    """The limits of one subject ("key:7", "tenant:3"); None is unlimited."""

    subject: str
    requests: int | None
    tokens: int | None
    concurrency: int | None

    @cached_property
    def row(self) -> tuple[str, int, int, int]:
        """As an ask carries it: -1 is unlimited."""

        def number(limit: int | None) -> int:
            return -1 if limit is None else limit

        return self.subject, number(self.requests), number(self.tokens), number(self.concurrency)

    def share(self, processes: int) -> Limits:
        """One process's part, at least one unless the limit is zero, of limits that cannot be shared."""

        def part(limit: int | None) -> int | None:
            return None if limit is None else max(min(1, limit), limit // processes)

        return Limits(self.subject, part(self.requests), part(self.tokens), part(self.concurrency))


class Standing(msgspec.Struct, frozen=True):
    """Where the tightest buckets stand after a request was admitted; -1 where nothing limits."""

    limit_requests: int = -1
    remaining_requests: int = -1
    limit_tokens: int = -1
    remaining_tokens: int = -1

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """OpenAI's `x-ratelimit-*` headers; `reset` is the time until the bucket is full again."""
        pairs: list[tuple[bytes, bytes]] = []
        limit, remaining = self.limit_requests, self.remaining_requests
        if limit >= 0:
            pairs += (
                (b"x-ratelimit-limit-requests", f"{limit}".encode()),
                (b"x-ratelimit-remaining-requests", f"{remaining}".encode()),
                (b"x-ratelimit-reset-requests", f"{-((remaining - limit) * 60_000 // limit)}ms".encode()),
            )
        limit, remaining = self.limit_tokens, self.remaining_tokens
        if limit >= 0:
            pairs += (
                (b"x-ratelimit-limit-tokens", f"{limit}".encode()),
                (b"x-ratelimit-remaining-tokens", f"{remaining}".encode()),
                (b"x-ratelimit-reset-tokens", f"{-((remaining - limit) * 60_000 // limit)}ms".encode()),
            )
        return pairs


UNLIMITED: Final = Standing()


class Ask(msgspec.Struct, array_like=True, frozen=True):
    """One request at the buckets: taken from all of them or from none."""

    id: str
    tokens: int
    subjects: list[tuple[str, int, int, int]]
    """(subject, requests, tokens, concurrency); -1 is unlimited."""


class Release(msgspec.Struct, array_like=True, frozen=True):
    """The end of a request: its place in flight, and tokens that it took (at most the limit) but did not use."""

    id: str
    subject: str
    asked: int
    used: int
    limit_tokens: int
    """-1 is unlimited."""

    @property
    def unused(self) -> int:
        return max(0, min(self.asked, self.limit_tokens) - self.used)

    def share(self, processes: int) -> Release:
        """The same for one process's part of the limit (`Limits.share`)."""
        if self.limit_tokens < 0:
            return self
        return Release(self.id, self.subject, self.asked, self.used, max(1, self.limit_tokens // processes))


Renewal = tuple[str, list[str]]
"""A subject, and requests that still have a place there."""


class Batch(msgspec.Struct, array_like=True, frozen=True):
    asks: list[Ask]
    releases: list[Release]
    lease: int
    renewals: Sequence[Renewal] = ()


Reply = tuple[str, float, int, int, int, int]
"""(refusing kind or "", seconds to wait, limit and remaining requests, limit and remaining tokens); -1 is none."""


class LocalBuckets:
    """The same rules as limits.lua, in this process's memory."""

    def __init__(self) -> None:
        self._levels: dict[tuple[str, str], tuple[float, float]] = {}
        self._in_flight: dict[str, dict[str, float]] = {}
        self._swept_at = 0.0

    def run(self, batch: Batch, now: float) -> list[Reply]:
        if now - self._swept_at > _SWEEP_SECONDS:
            self._sweep(now)
        for release in batch.releases:
            self._release(release, now)
        for subject, ids in batch.renewals:
            self._in_flight.setdefault(subject, {}).update(dict.fromkeys(ids, now + batch.lease))
        return [self._ask(ask, now, batch.lease) for ask in batch.asks]

    def leave(self, release: Release) -> None:
        """Gives back the place in flight alone."""
        self._in_flight.get(release.subject, {}).pop(release.id, None)

    def _release(self, release: Release, now: float) -> None:
        self.leave(release)
        if release.unused:
            level = self._level(release.subject, "tokens", release.limit_tokens, now)
            back = min(level + release.unused, float(release.limit_tokens))
            self._levels[release.subject, "tokens"] = (back, now)

    def _ask(self, ask: Ask, now: float, lease: int) -> Reply:
        tight = {"requests": (-1, -1), "tokens": (-1, -1)}
        takes: dict[tuple[str, str], float] = {}
        for subject, requests, tokens, concurrency in ask.subjects:
            if concurrency >= 0 and self._count_in_flight(subject, now) >= concurrency:
                return ("concurrency", 1.0, *tight["requests"], *tight["tokens"])
            for kind, limit, amount in (("requests", requests, 1), ("tokens", tokens, max(1, min(ask.tokens, tokens)))):
                if limit < 0:
                    continue
                left = self._level(subject, kind, limit, now) - amount
                if left < 0:
                    return (kind, -left * 60 / max(1, limit), *tight["requests"], *tight["tokens"])
                takes[subject, kind] = left
                if tight[kind][0] < 0 or math.floor(left) < tight[kind][1]:
                    tight[kind] = (limit, math.floor(left))
        self._take(ask, takes, now, lease)
        return ("", 0.0, *tight["requests"], *tight["tokens"])

    def _take(self, ask: Ask, takes: dict[tuple[str, str], float], now: float, lease: int) -> None:
        self._levels.update({bucket: (level, now) for bucket, level in takes.items()})
        for subject, _requests, _tokens, concurrency in ask.subjects:
            if concurrency >= 0:
                self._in_flight[subject][ask.id] = now + lease

    def _count_in_flight(self, subject: str, now: float) -> int:
        leases = self._in_flight.setdefault(subject, {})
        for request_id in [request_id for request_id, ends in leases.items() if ends <= now]:
            del leases[request_id]
        return len(leases)

    def _level(self, subject: str, kind: str, limit: int, now: float) -> float:
        level, at = self._levels.get((subject, kind), (float(limit), now))
        return min(float(limit), level + (now - at) * limit / 60)

    def _sweep(self, now: float) -> None:
        """Forgets buckets that are full again after a minute's rest, and subjects with nothing in flight."""
        self._swept_at = now
        for key in [key for key, (_level, at) in self._levels.items() if now - at > 60]:
            del self._levels[key]
        for subject in [subject for subject in self._in_flight if not self._count_in_flight(subject, now)]:
            del self._in_flight[subject]


class Limiter:
    """This process's door to the buckets."""

    def __init__(self, redis_url: str) -> None:
        self._redis = RedisLine(redis_url, _REDIS_TIMEOUT) if redis_url else None
        self._local = LocalBuckets()
        self._redis_back_at = 0.0
        self._waiting: list[tuple[Ask, Sequence[Limits], asyncio.Future[Reply]]] = []
        self._releases: list[Release] = []
        self._undelivered: list[Release] = []
        """Releases that Redis missed while it was away, of places taken there: told again as soon as it may be back."""
        self._retry_timer: asyncio.TimerHandle | None = None
        self._is_retry_due = False
        self._places: dict[str, tuple[float, Sequence[str]]] = {}
        """Of each request in flight that has any: since when (monotonic), and at which subjects."""
        self._renewals: list[Renewal] = []
        self._renew_timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._release_timer: asyncio.TimerHandle | None = None
        self.processes = 1
        """How many processes share the limits while Redis is away."""

    async def admit(self, request_id: str, limits: Sequence[Limits], tokens: int) -> Standing:
        """Takes one request and `tokens` tokens from every bucket, or raises RateLimited and takes nothing."""
        if not limits:
            return UNLIMITED
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((_ask(request_id, limits, tokens), limits, future))
        self._flush_soon()
        try:
            kind, wait, *standing = await future
        except asyncio.CancelledError:
            if not future.cancelled():  # let in, and gone before it heard of it
                self.finish(request_id, limits, asked=tokens, used=0)
            raise
        if kind:
            raise _refusal(cast("Kind", kind), wait)
        self._keep_places(request_id, limits)
        return Standing(*standing)

    def finish(self, request_id: str, limits: Sequence[Limits], *, asked: int, used: int) -> None:
        """Gives back the place in flight and the tokens that were taken but not used. Returns at once.

        `asked` is what `admit` was told, `used` what the request came to.
        """
        self._places.pop(request_id, None)
        for limit in limits:
            if limit.concurrency is not None or (limit.tokens is not None and used < asked):
                tokens = -1 if limit.tokens is None else limit.tokens
                self._releases.append(Release(request_id, limit.subject, asked, used, tokens))
        if self._releases and self._release_timer is None:
            self._release_timer = asyncio.get_running_loop().call_later(RELEASE_SECONDS, self._flush_releases)

    def _keep_places(self, request_id: str, limits: Sequence[Limits]) -> None:
        subjects = [limit.subject for limit in limits if limit.concurrency is not None]
        if subjects:
            self._places[request_id] = (time.monotonic(), subjects)
            if self._renew_timer is None:
                self._renew_timer = asyncio.get_running_loop().call_later(RENEW_SECONDS, self._renew)

    def _renew(self) -> None:
        """Says that what is in flight still is; places whose process says nothing end by themselves."""
        self._renew_timer = None
        earliest = time.monotonic() - LONGEST_SECONDS
        by_subject: dict[str, list[str]] = {}
        for request_id, (since, subjects) in self._places.items():
            if since > earliest:
                for subject in subjects:
                    by_subject.setdefault(subject, []).append(request_id)
        self._renewals = [
            (subject, ids[start : start + _MOST_RENEWED])
            for subject, ids in by_subject.items()
            for start in range(0, len(ids), _MOST_RENEWED)
        ]
        if by_subject:
            self._renew_timer = asyncio.get_running_loop().call_later(RENEW_SECONDS, self._renew)
            self._flush_soon()

    def _flush_releases(self) -> None:
        self._release_timer = None
        if self._releases:
            self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        """Sends what is waiting; what arrives meanwhile goes together in the next call."""
        try:
            while self._waiting or self._releases or self._renewals or self._is_retry_due:
                self._is_retry_due = False
                waiting, self._waiting = [one for one in self._waiting if not one[2].done()], []
                releases, self._releases = self._releases, []
                replies = await self._run(waiting, releases, self._next_renewals())
                for (ask, limits, future), reply in zip(waiting, replies, strict=True):
                    if not future.done():
                        future.set_result(reply)
                    elif not reply[0]:  # let in, and gone meanwhile
                        self.finish(ask.id, limits, asked=ask.tokens, used=0)
        finally:
            self._flushing = None

    def _next_renewals(self) -> list[Renewal]:
        """As many as one call takes, without those of requests that have ended meanwhile."""
        taken: list[Renewal] = []
        while self._renewals and sum(len(ids) for _subject, ids in taken) < _MOST_RENEWED:
            subject, ids = self._renewals.pop()
            taken.append((subject, [id_ for id_ in ids if id_ in self._places]))
        return taken

    async def _run(
        self,
        waiting: list[tuple[Ask, Sequence[Limits], asyncio.Future[Reply]]],
        releases: list[Release],
        renewals: Sequence[Renewal],
    ) -> list[Reply]:
        asks_too_late: list[Ask] = []
        if self._redis is not None:
            for release in releases:
                self._local.leave(release)  # it may have been let in here, while Redis was away
            self._undelivered += releases
            if time.monotonic() >= self._redis_back_at:
                asks = [ask for ask, _, _ in waiting]
                try:
                    replies = await self._run_redis(Batch(asks, self._undelivered, LEASE_SECONDS, renewals))
                    self._undelivered = []
                    return replies
                except (RedisError, OSError, TimeoutError, msgspec.MsgspecError) as error:
                    log.warning("Redis is away, limits are per process: %s", type(error).__name__)
                    self._redis_back_at = time.monotonic() + _REDIS_PAUSE
                    asks_too_late = asks
            del self._undelivered[:-_MOST_UNDELIVERED]
        shares = [
            _ask(ask.id, [limit.share(self.processes) for limit in limits], ask.tokens) for ask, limits, _ in waiting
        ]
        parts = [release.share(self.processes) for release in releases]
        replies = self._local.run(Batch(shares, parts, LEASE_SECONDS, renewals), time.monotonic())
        for ask, reply in zip(asks_too_late, replies, strict=False):
            if reply[0]:  # refused here, and let in by a Redis that only was slow
                self._undelivered += [Release(ask.id, subject, 0, 0, -1) for subject, *_limits in ask.subjects]
        if self._undelivered and self._retry_timer is None:
            seconds = max(0.0, self._redis_back_at - time.monotonic())
            self._retry_timer = asyncio.get_running_loop().call_later(seconds, self._retry)
        return replies

    def _retry(self) -> None:
        """Nobody else may come to this process for a while, and others count the places that it has left."""
        self._retry_timer = None
        if self._undelivered:
            self._is_retry_due = True
            self._flush_soon()

    async def _run_redis(self, batch: Batch) -> list[Reply]:
        assert self._redis is not None  # noqa: S101 - narrowed by the caller
        payload = msgspec.msgpack.encode(batch)
        try:
            answer = await self._redis.ask("EVALSHA", _SHA, 0, payload)
        except NoScriptError:
            answer = await self._redis.ask("EVAL", _SCRIPT, 0, payload)  # from which Redis keeps it
        return msgspec.msgpack.decode(answer, type=list[Reply])

    async def close(self) -> None:
        """Writes the last releases, and ends."""
        for timer in (self._renew_timer, self._retry_timer):
            if timer is not None:
                timer.cancel()
        if self._releases:
            self._flush_soon()
        if self._flushing is not None:
            await self._flushing
        if self._redis is not None:
            self._redis.close()


def _ask(request_id: str, limits: Iterable[Limits], tokens: int) -> Ask:
    return Ask(request_id, tokens, [limit.row for limit in limits])


def _refusal(kind: Kind, wait: float) -> RateLimited:
    seconds = max(1, math.ceil(wait))
    what = {
        "requests": "Rate limit reached for requests per minute.",
        "tokens": "Rate limit reached for tokens per minute.",
        "concurrency": "Too many requests in flight.",
    }[kind]
    return RateLimited(f"{what} Please try again in {seconds} s.", retry_after=seconds)
