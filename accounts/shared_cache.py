"""The cache that throttles of pages count in: Redis, shared by all processes.

While Redis is away each process counts by itself: nobody is kept from signing in for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

_PAUSE_SECONDS: Final = 5.0
"""So long Redis is not asked again after it has failed."""


class SharedCache(BaseCache):
    """Django's Redis cache, with one of this process's own behind it."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._shared = RedisCache(server, params)
        self._own = LocMemCache("shared", {"OPTIONS": {"MAX_ENTRIES": 100_000}})
        self._back_at = 0.0

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(self._ask(lambda cache: cache.add(key, value, timeout, version)))

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self._ask(lambda cache: cache.get(key, default, version))

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self._ask(lambda cache: cache.set(key, value, timeout, version))

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(self._ask(lambda cache: cache.touch(key, timeout, version)))

    def delete(self, key: str, version: int | None = None) -> bool:
        return bool(self._ask(lambda cache: cache.delete(key, version)))

    def clear(self) -> None:
        self._own.clear()
        self._ask(lambda cache: cache.clear())

    @property
    def is_shared(self) -> bool:
        """Whether Redis answered when it was last asked."""
        return time.monotonic() >= self._back_at

    def _ask(self, question: Callable[[BaseCache], Any]) -> Any:
        if self.is_shared:
            try:
                return question(self._shared)
            except (RedisError, OSError) as error:
                log.warning("Redis is away, throttles of pages are per process: %s", type(error).__name__)
                self._back_at = time.monotonic() + _PAUSE_SECONDS
        return question(self._own)
