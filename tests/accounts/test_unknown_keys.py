"""What is remembered of keys that nobody has: for a while, so many, and never more."""

from __future__ import annotations

from accounts.unknown_keys import UnknownKeys


def digest(number: int) -> bytes:
    return number.to_bytes(8)


def test_remembers_a_key_for_so_long() -> None:
    unknown = UnknownKeys(most=3, seconds=2.0)
    unknown.add(digest(1), 10.0)
    assert [unknown.has(digest(1), now) for now in (10.0, 11.9, 12.0)] == [True, True, False]
    assert not unknown.has(digest(2), 10.0)


def test_forgets_the_longest_looked_for_where_there_is_no_room() -> None:
    unknown = UnknownKeys(most=3, seconds=100.0)
    for number in (1, 2, 3, 1, 4):
        unknown.add(digest(number), 10.0 + number)
    assert [number for number in range(1, 5) if unknown.has(digest(number), 11.0)] == [1, 3, 4]


def test_flood_is_let_go_of_when_its_time_is_over() -> None:
    unknown = UnknownKeys(most=10_000, seconds=2.0)
    for number in range(1_000):
        unknown.add(digest(number), 10.0)
    lengths = []
    for number in range(1_000, 2_100):
        unknown.add(digest(number), 12.0)
        lengths.append(len(unknown))
    assert (lengths[0], lengths[499], lengths[999], lengths[1_099]) == (999, 500, 1_000, 1_100)
    assert all(unknown.has(digest(number), 13.0) for number in range(1_000, 2_100))


def test_flood_is_let_go_of_where_none_comes_any_more() -> None:
    unknown = UnknownKeys(most=10_000, seconds=2.0)
    for number in range(1_500):
        unknown.add(digest(number), 10.0)
    unknown.add(digest(1_500), 11.0)
    said = [(unknown.forget(now), len(unknown)) for now in (11.9, 12.0, 12.0, 12.9, 13.0)]
    assert said == [(True, 1_501), (True, 501), (True, 1), (True, 1), (False, 0)]
