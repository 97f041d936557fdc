"""Throttles of pages: counted for all processes together, and still counted while Redis is away."""

from __future__ import annotations

from accounts.shared_cache import SharedCache


def test_processes_share_what_is_counted(redis_url: str) -> None:
    one, other = SharedCache(redis_url, {}), SharedCache(redis_url, {})

    assert one.add("attempts", 1, 60)
    assert not other.add("attempts", 1, 60)
    other.set("attempts", 2, 60)
    assert one.get("attempts") == 2
    assert one.delete("attempts")
    assert other.get("attempts", "none") == "none"


def test_process_counts_by_itself_while_redis_is_away() -> None:
    cache = SharedCache("redis://127.0.0.1:1/0", {"OPTIONS": {"socket_connect_timeout": 1}})

    assert cache.add("attempts", 1, 60)
    assert not cache.add("attempts", 1, 60)
    assert cache.get("attempts") == 1
