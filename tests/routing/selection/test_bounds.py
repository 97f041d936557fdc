"""What is remembered is bounded, and forgotten one at a time."""

from __future__ import annotations

import sys

import pytest

from routing.selection.health import MOST_PREFIXES, MOST_ROUTES, Health, RouteHealth
from routing.selection.lately import Lately
from routing.selection.learned import MOST_MODELS, MOST_OUTPUTS, Learned
from routing.selection.remembered import Remembered

NOW = 1000.0


# --- counts of late --------------------------------------------------------------------------------------------------


def test_what_happened_counts_until_its_time_is_over() -> None:
    lately = Lately(10.0)
    for at in (NOW, NOW, NOW + 4):
        lately.note(at)
    assert [lately.count(NOW + later) for later in (4, 9.9, 10, 13.9, 14)] == [3, 3, 1, 1, 0]


def test_a_long_silence_is_forgotten_whole() -> None:
    lately = Lately(30.0)
    lately.note(NOW)
    assert lately.count(NOW + 1e6) == 0
    lately.note(NOW + 1e6)
    assert lately.count(NOW + 1e6) == 1


def test_a_clock_that_was_read_a_little_earlier_counts_with_the_rest() -> None:
    lately = Lately(10.0)
    lately.note(NOW)
    lately.note(NOW - 1)
    assert (lately.count(NOW - 1), lately.count(NOW + 9), lately.count(NOW + 10)) == (2, 2, 0)


def test_all_of_it_can_be_forgotten() -> None:
    lately = Lately(10.0)
    lately.note(NOW)
    lately.forget()
    assert (lately.count(NOW), lately.count(NOW + 20)) == (0, 0)
    lately.note(NOW + 20)
    assert lately.count(NOW + 20) == 1


# --- the bound -------------------------------------------------------------------------------------------------------


def test_the_one_not_recalled_for_longest_is_forgotten() -> None:
    remembered = Remembered(list[int], 3)
    for key in (1, 2, 3, 1):
        remembered.recall(key).append(key)

    remembered.recall(4)

    assert list(remembered) == [3, 1, 4]
    assert (remembered[1], remembered.get(2)) == ([1, 1], None)


def test_reading_makes_and_moves_nothing() -> None:
    remembered = Remembered(list[int], 3)
    for key in (1, 2, 3):
        remembered.recall(key)
    assert (remembered.get(9), remembered[1], list(remembered)) == (None, [], [1, 2, 3])


def test_what_is_in_use_is_not_forgotten() -> None:
    remembered = Remembered(list[int], 2, is_idle=lambda value: not value)
    remembered.recall(1).append(1)
    remembered.recall(2)

    for key in (3, 4, 5):
        remembered.recall(key)

    assert remembered.get(1) == [1]
    assert len(remembered) == 2


def test_the_bound_holds_again_once_what_was_in_use_is_idle() -> None:
    remembered = Remembered(list[int], 2, is_idle=lambda value: not value)
    for key in range(6):
        remembered.recall(key).append(key)
    assert len(remembered) == 6
    for value in remembered.values():
        value.clear()

    for key in range(10, 15):
        remembered.recall(key)

    assert len(remembered) == 2


# --- what a process remembers ----------------------------------------------------------------------------------------


def test_routes_and_channels_beyond_the_bound_are_forgotten() -> None:
    health = Health(0.1)
    for number in range(MOST_ROUTES + 50):
        health.routes.recall(number)
        health.channels.recall(number)
    assert (len(health.routes), len(health.channels)) == (MOST_ROUTES, MOST_ROUTES)
    assert health.routes.get(49) is None


def test_who_was_in_trouble_is_forgotten_with_the_rest() -> None:
    health = Health(0.1)
    for number in range(MOST_ROUTES + 50):
        health.routes[number].failed(NOW)
        health.note_trouble(number)
        health.rest_channel(number)
    assert (len(health._troubled), len(health.resting)) == (MOST_ROUTES, MOST_ROUTES)


def test_channel_keeps_its_count_of_places_however_many_others_come() -> None:
    health = Health(0.1)
    health.channels.recall(1).in_flight = 1
    for number in range(2, MOST_ROUTES + 50):
        health.channels.recall(number)
    assert health.reason_out(7, 1, 1, NOW) == "channel_busy"


def test_asking_after_routes_remembers_none() -> None:
    health = Health(0.1)
    assert health.reason_out(1, 1, 5, NOW) is None
    assert (len(health.routes), len(health.channels)) == (0, 0)


def test_conversations_beyond_the_bound_are_forgotten() -> None:
    health = Health(0.1)
    for prefix in range(MOST_PREFIXES + 50):
        health.note_served(prefix, 1, NOW, 0.0)
    assert len(health._prefixes) == MOST_PREFIXES


def test_tenants_and_models_beyond_the_bound_are_forgotten() -> None:
    learned = Learned()
    for number in range(MOST_OUTPUTS + 50):
        learned.note_output(number, "m", 7)
    for number in range(MOST_MODELS + 50):
        learned.note_input(f"m{number}", 3_000, 1_000)

    sizes = [len(each) for each in (learned._outputs, learned._usual, learned._densest)]
    assert sizes == [MOST_OUTPUTS, MOST_MODELS, MOST_MODELS]
    assert [learned.bytes_per_token(f"m{number}") for number in (49, 50)] == [4, 3]


@pytest.mark.parametrize("answers", [1, 10_000])
def test_a_busy_route_takes_as_little_as_a_quiet_one(answers: int) -> None:
    state = RouteHealth()
    for number in range(answers):
        state.succeeded(NOW + number / 100, 0.1)
    counts = [state.answers, state.failures]
    assert sum(sys.getsizeof(each) + sys.getsizeof(each._counts) for each in counts) < 500
