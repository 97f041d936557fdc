"""How well routes do, as this process has seen it: a breaker per route, rests, load, speed and caches.

A breaker opens after five failures in a row, or when half of at least twenty answers in thirty seconds failed; it
stays open for ten seconds, twice as long each time it opens again, then lets one real request through. A 429, or a 503
that says when to come back, rests a route for as long as it says, ten minutes at most. Faults that the tenant's request
caused never count.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from routing.selection.lately import Lately
from routing.selection.learned import Learned
from routing.selection.reasons import Reason
from routing.selection.remembered import Remembered

FAILURES_IN_A_ROW: Final = 5
WINDOW_SECONDS: Final = 30.0
WINDOW_LEAST: Final = 20
WINDOW_RATE: Final = 0.5
OPEN_SECONDS: Final = 10.0
OPEN_MOST: Final = 300.0
REST_DEFAULT: Final = 5.0
REST_MOST: Final = 600.0
CHANNEL_REST: Final = 30.0
"""After the upstream refused our own key."""
ACCOUNT_REST: Final = 300.0
"""After it said that our account there is empty."""
CACHE_MEMORY_SECONDS: Final = 300.0
MOST_PREFIXES: Final = 20_000
MOST_ROUTES: Final = 10_000
"""Of routes, and of channels, that are remembered at once."""
RETRY_SECONDS: Final = 10.0
_SMOOTHING: Final = 0.1
_AS_NEW: Final = 1 - 1e-9
"""Of answers that came; it is reached again by some two hundred in a row."""


@dataclass(slots=True)
class RouteHealth:
    """One route's state. Times are of the monotonic clock."""

    failures_in_a_row: int = 0
    answers: Lately = field(default_factory=lambda: Lately(WINDOW_SECONDS))
    """Good and bad ones."""
    failures: Lately = field(default_factory=lambda: Lately(WINDOW_SECONDS))
    opened: int = 0
    """How many times in a row the breaker has opened."""
    open_until: float = 0.0
    is_probing: bool = False
    resting_until: float = 0.0
    success_rate: float = 1.0
    latency: float = 0.0
    cached_share: float = 0.0
    """The share of input tokens that came from the cache, where the route had served the prefix before."""
    dialect: str = ""
    """What its upstream was recognised to speak; empty: not met yet."""

    def is_as_new(self, now: float) -> bool:
        """Whether nothing tells it from a route that never failed, but its speed and caches."""
        return self.success_rate > _AS_NEW and not self.opened and now >= self.resting_until

    def reason_out(self, now: float) -> Reason | None:
        if now < self.resting_until:
            return Reason.RESTING
        if self.opened and (now < self.open_until or self.is_probing):
            return Reason.BREAKER_OPEN
        return None

    def available_at(self) -> float:
        return max(self.resting_until, self.open_until)

    def started(self, now: float) -> None:
        """A request goes out; through a breaker whose time is over it is the one probe."""
        if self.opened and now >= self.open_until:
            self.is_probing = True

    def succeeded(self, now: float, seconds: float) -> None:
        self.failures_in_a_row = 0
        self.opened = 0
        self.is_probing = False
        self.answers.note(now)
        self.success_rate += (1 - self.success_rate) * _SMOOTHING
        self.latency += (seconds - self.latency) * (_SMOOTHING if self.latency else 1)

    def failed(self, now: float) -> None:
        self.success_rate -= self.success_rate * _SMOOTHING
        if self.opened and now < self.open_until:  # it was under way when the breaker opened: nothing new
            return
        self.failures_in_a_row += 1
        self.answers.note(now)
        self.failures.note(now)
        if self.is_probing or self.failures_in_a_row >= FAILURES_IN_A_ROW or self._rate_is_bad(now):
            self._open(now)

    def ended_without_verdict(self) -> None:
        """The request says nothing about the route: the client left, or it was refused for its content."""
        self.is_probing = False

    def rest(self, now: float, seconds: float | None) -> None:
        self.is_probing = False
        self.resting_until = now + min(REST_DEFAULT if seconds is None else seconds, REST_MOST)

    def _open(self, now: float) -> None:
        self.opened += 1
        self.is_probing = False
        self.failures_in_a_row = 0
        self.answers.forget()
        self.failures.forget()
        self.open_until = now + min(OPEN_SECONDS * 2 ** (self.opened - 1), OPEN_MOST)

    def _rate_is_bad(self, now: float) -> bool:
        answers = self.answers.count(now)
        return answers >= WINDOW_LEAST and self.failures.count(now) / answers >= WINDOW_RATE


@dataclass(slots=True)
class ChannelHealth:
    in_flight: int = 0
    resting_until: float = 0.0
    remarks: set[str] = field(default_factory=set)
    """What has been said of it in the log already."""


def _is_idle(channel: ChannelHealth) -> bool:
    """Its places are not lost count of."""
    return not channel.in_flight


UNMET: Final = RouteHealth()
UNMET_CHANNEL: Final = ChannelHealth()
"""Of whom nothing is remembered; only to be read."""


class RetryBudget:
    """Extra attempts: a share of the requests of the last ten seconds, and one a second in any case.

    Without it, a failing upstream would be met with a multiple of the usual load.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._requests = Lately(RETRY_SECONDS)
        self._extra = Lately(RETRY_SECONDS)

    def note_request(self, now: float) -> None:
        self._requests.note(now)

    def take(self, now: float) -> bool:
        """Whether one more extra attempt is allowed, which is then counted."""
        if self._extra.count(now) >= max(10, self._share * self._requests.count(now)):
            return False
        self._extra.note(now)
        return True


class Health:
    """Everything this process has learned about routes, channels and conversations; `learned` of models and tenants."""

    def __init__(self, retry_share: float) -> None:
        self.routes: Remembered[RouteHealth] = Remembered(RouteHealth, MOST_ROUTES)
        """By the route's id; one not met yet is healthy."""
        self.channels: Remembered[ChannelHealth] = Remembered(ChannelHealth, MOST_ROUTES, is_idle=_is_idle)
        self._prefixes: OrderedDict[int, tuple[int, float]] = OrderedDict()
        self.learned = Learned()
        self.retries = RetryBudget(retry_share)
        self._troubled: set[int] = set()
        self.resting: set[int] = set()
        """Channels that were sent to rest; some may be back."""

    def note_trouble(self, route_id: int) -> None:
        """The route has failed, or was told to rest."""
        self._troubled.add(route_id)
        if len(self._troubled) > MOST_ROUTES:
            self._troubled.intersection_update(self.routes)

    def troubled(self, route_ids: AbstractSet[int], now: float) -> list[int]:
        """Those of these routes that failed or were told to rest, and are not as if new since."""
        found = self._troubled & route_ids if self._troubled else ()
        well = [route_id for route_id in found if self.routes.get(route_id, UNMET).is_as_new(now)]
        self._troubled.difference_update(well)
        return [route_id for route_id in found if route_id in self._troubled]

    def reason_out(self, route_id: int, channel_id: int, concurrency: int | None, now: float) -> Reason | None:
        """Why this process would not send a request there just now; `concurrency` is the channel's limit."""
        channel = self.channels.get(channel_id, UNMET_CHANNEL)
        if now < channel.resting_until:
            return Reason.RESTING
        if concurrency is not None and channel.in_flight >= concurrency:
            return Reason.CHANNEL_BUSY
        route = self.routes.get(route_id, UNMET)
        return route.reason_out(now) if route.resting_until or route.opened else None

    def rest_channel(self, channel_id: int, seconds: float = CHANNEL_REST) -> None:
        """The upstream refuses us, whoever asks: no route of the channel is of use for a while."""
        self.channels[channel_id].resting_until = time.monotonic() + seconds
        self.resting.add(channel_id)
        if len(self.resting) > MOST_ROUTES:
            self.resting.intersection_update(self.channels)

    # --- what conversations taught ---

    def told_apart(self, route_ids: AbstractSet[int], prefix: int, now: float) -> list[int]:
        """Those of these routes whose health changes what a request costs: in trouble, or with it in the cache."""
        served = self._prefixes.get(prefix)
        troubled = self.troubled(route_ids, now)
        return troubled if served is None or served[0] not in route_ids else [served[0], *troubled]

    def cached_share(self, prefix: int, route_id: int, now: float) -> float:
        """The share of a conversation's input that this route likely has in its cache."""
        served = self._prefixes.get(prefix)
        if served is None or served[0] != route_id or now - served[1] > CACHE_MEMORY_SECONDS:
            return 0.0
        return self.routes.get(route_id, UNMET).cached_share

    def note_served(self, prefix: int, route_id: int, now: float, cached_share: float) -> None:
        served = self._prefixes.pop(prefix, None)
        if served is not None and served[0] == route_id:
            route = self.routes[route_id]
            route.cached_share += (cached_share - route.cached_share) * 0.3
        self._prefixes[prefix] = (route_id, now)
        if len(self._prefixes) > MOST_PREFIXES:
            self._prefixes.popitem(last=False)
