"""What a process knows of keys, and until when it is true; without a database."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import pytest

from accounts.key_changes import Changes, Position
from accounts.known_keys import KnownKeys


@dataclass(frozen=True, slots=True)
class Found:
    key_id: int
    tenant_id: int = 1


HERE = Position(1, "server", frozenset())
A, B, C, D = b"a", b"b", b"c", b"d"


def silence(**fields: object) -> Changes:
    return Changes(HERE, **fields)  # type: ignore[arg-type]


@pytest.fixture
def known() -> KnownKeys[Found]:
    """It has heard once, that nothing changed."""
    made: KnownKeys[Found] = KnownKeys(most=3)
    made.hear(silence(), time.monotonic())
    return made


def age(known: KnownKeys[Found], digest: bytes) -> float:
    row = known.get(digest)
    assert row is not None
    return time.monotonic() - known.true_at(row)


def is_followed(known: KnownKeys[Found], digest: bytes) -> bool:
    row = known.get(digest)
    assert row is not None
    return known.is_followed(row)


def test_key_that_is_followed_is_as_young_as_the_last_word(known: KnownKeys[Found]) -> None:
    asked_at = time.monotonic()
    known.keep(A, asked_at, Found(1))
    time.sleep(0.1)
    assert age(known, A) >= 0.1

    known.hear(silence(), time.monotonic())

    assert age(known, A) < 0.1
    assert is_followed(known, A)


def test_word_is_as_old_as_its_question(known: KnownKeys[Found]) -> None:
    known.keep(A, time.monotonic(), Found(1))
    time.sleep(0.1)
    asked_at = time.monotonic()
    time.sleep(0.1)

    known.hear(silence(), asked_at)

    assert 0.1 <= age(known, A) < 0.2


@pytest.mark.parametrize("named", [{"keys": frozenset({1})}, {"tenants": frozenset({7})}], ids=["key", "tenant"])
def test_named_key_is_outdated_and_no_other_one(known: KnownKeys[Found], named: dict[str, frozenset[int]]) -> None:
    known.keep(A, time.monotonic(), Found(1, tenant_id=7))
    known.keep(B, time.monotonic(), Found(2, tenant_id=8))

    known.hear(silence(**named), time.monotonic())

    assert (age(known, A), is_followed(known, A)) == (math.inf, False)
    assert (age(known, B) < 1, is_followed(known, B)) == (True, True)


def test_key_that_was_being_read_when_a_word_named_it_is_not_followed(known: KnownKeys[Found]) -> None:
    asked_at = time.monotonic()
    known.hear(silence(keys=frozenset({1})), time.monotonic())
    known.hear(silence(), time.monotonic())
    known.keep(A, asked_at, Found(1))
    known.keep(B, asked_at, Found(2))
    assert (is_followed(known, A), is_followed(known, B)) == (False, True)
    time.sleep(0.05)
    known.hear(silence(), time.monotonic())
    assert age(known, A) >= 0.05  # from when it was asked for, as without words

    known.keep(A, time.monotonic(), Found(1))

    assert is_followed(known, A)


@pytest.mark.parametrize("fault", ["before the first word", "after a gap", "after a word that did not come"])
def test_key_that_was_asked_for_before_the_line_began_is_not_followed(known: KnownKeys[Found], fault: str) -> None:
    asked_at = time.monotonic()
    if fault == "before the first word":
        known = KnownKeys(most=3)
        known.hear(silence(), time.monotonic())
    elif fault == "after a gap":
        known.hear(silence(has_gap=True), time.monotonic())
    else:
        known.miss()
        known.hear(silence(), time.monotonic())
    known.keep(A, asked_at, Found(1))
    known.keep(B, time.monotonic(), Found(2))

    assert (is_followed(known, A), is_followed(known, B)) == (False, True)


def test_gap_leaves_keys_as_old_as_their_reading(known: KnownKeys[Found]) -> None:
    known.keep(A, time.monotonic() - 5, Found(1))
    known.keep(B, time.monotonic(), Found(2))

    known.hear(silence(has_gap=True), time.monotonic())

    assert (age(known, A) >= 5, age(known, B) < 1) == (True, True)
    assert not is_followed(known, B)


def test_word_that_does_not_come_leaves_keys_as_old_as_the_last_one(known: KnownKeys[Found]) -> None:
    known.keep(A, time.monotonic(), Found(1))
    known.hear(silence(), time.monotonic() - 0.5)
    known.hear(silence(), heard := time.monotonic())
    known.miss()

    row = known.get(A)
    assert row is not None
    assert (known.true_at(row), known.is_followed(row)) == (heard, False)


def test_what_took_too_long_to_read_is_not_followed(known: KnownKeys[Found]) -> None:
    known._line_began_at = -math.inf  # it listens for long
    known.keep(A, time.monotonic() - 11, Found(1))
    known.keep(B, time.monotonic() - 3, Found(2))

    assert (is_followed(known, A), is_followed(known, B)) == (False, True)


def test_full_cache_lets_go_of_the_longest_unread_alone(known: KnownKeys[Found]) -> None:
    for number, digest in enumerate((A, B, C)):
        known.keep(digest, time.monotonic(), Found(number))
    known.keep(A, time.monotonic(), Found(0))
    known.keep(D, time.monotonic(), Found(3))

    assert [known.get(digest) is not None for digest in (A, B, C, D)] == [True, False, True, True]
    assert len(known) == 3


def test_full_cache_spares_what_is_in_use(known: KnownKeys[Found]) -> None:
    for number, digest in enumerate((A, B, C)):
        known.keep(digest, time.monotonic(), Found(number))
    known.keep(D, time.monotonic(), Found(3), spared={0})
    assert [known.get(digest) is not None for digest in (A, B, C, D)] == [True, False, True, True]

    known.keep(B, time.monotonic(), Found(1), spared={0, 1, 2, 3})

    assert (len(known), known.get(B) is not None) == (3, True)
