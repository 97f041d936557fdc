"""Quotas per session: one agent's run, named by its client, is a period of its own.

Nobody but the client knows where a run begins and ends, so such a quota binds requests that name their session. Its
balance is found once a process and kept for a while.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Final

from accounts import database
from accounts.callers import Caller, SpendingLimit
from billing import quotas
from billing.models import Quota

_FRESH_SECONDS: Final = 60.0
_MOST_KNOWN: Final = 20_000

Found = tuple[int, SpendingLimit]
"""A balance by its id, and what a refusal tells of its quota."""


class Sessions:
    """The balances of sessions that this process has seen lately."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], tuple[float, Found]] = {}

    async def legs(self, caller: Caller, session: str) -> tuple[tuple[int, ...], Mapping[int, SpendingLimit]]:
        """The caller's legs and those of this session, with what refusals tell of them.

        Raises ServiceUnavailable if a new session has to be written down and cannot be.
        """
        digest, now = hashlib.sha256(session.encode()).hexdigest()[:40], time.monotonic()
        found = [self._known.get((quota_id, digest), (0.0, None)) for quota_id in caller.session_quotas]
        if all(each is not None and now - since < _FRESH_SECONDS for since, each in found):
            limits = dict(each for _since, each in found if each is not None)
        else:
            limits = dict(await database.read(_open, caller.session_quotas, digest))
            self._remember(caller.session_quotas, digest, limits, now)
        return tuple(sorted((*caller.legs, *limits))), {**caller.spending_limits, **limits}

    def _remember(
        self, quota_ids: tuple[int, ...], digest: str, limits: Mapping[int, SpendingLimit], now: float
    ) -> None:
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        if len(limits) == len(quota_ids):  # else one has ended, which the caller's next reading knows
            self._known |= {(pk, digest): (now, each) for pk, each in zip(quota_ids, limits.items(), strict=True)}


def _open(quota_ids: tuple[int, ...], digest: str) -> list[Found]:
    rows = Quota.objects.filter(pk__in=quota_ids, ended_at=None).select_related("tenant").order_by("pk")
    return [quotas.session_limit(quota, digest) for quota in rows]
