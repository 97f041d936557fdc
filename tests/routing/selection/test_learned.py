"""What usages teach: usual and dense bytes a token, and output to expect."""

from __future__ import annotations

import random

import pytest

from routing.selection.learned import DENSE, Learned


def test_output_is_learned_per_tenant_and_model_and_bounded_by_the_cap() -> None:
    learned = Learned()
    assert (learned.expected_output(1, "m", 100), learned.expected_output(1, "m", 4096)) == (100, 256)
    learned.note_output(1, "m", 50)
    assert (learned.expected_output(1, "m", 4096), learned.expected_output(1, "m", 10)) == (51, 10)
    assert (learned.expected_output(2, "m", 4096), learned.expected_output(1, "n", 4096)) == (256, 256)


def test_bytes_per_token_are_learned_and_never_below_one() -> None:
    learned = Learned()
    assert learned.bytes_per_token("m") == 4
    learned.note_input("m", 300, 100)
    assert learned.bytes_per_token("m") == 3
    for _ in range(100):
        learned.note_input("m", 1000, 500_000)
    assert (learned.bytes_per_token("m") >= 1, learned.dense_bytes_per_token("m")) == (True, 1)


def test_usage_without_input_teaches_nothing_about_the_input() -> None:
    learned = Learned()
    learned.note_input("m", 3000, 0)
    assert (learned.bytes_per_token("m"), learned.dense_bytes_per_token("m")) == (4, DENSE)


def test_short_requests_say_nothing_about_dense_text() -> None:
    learned = Learned()
    learned.note_input("m", 400, 390)
    assert learned.dense_bytes_per_token("m") == DENSE


def test_hold_becomes_no_larger_than_the_text_needs() -> None:
    learned = Learned()
    for _ in range(2000):
        learned.note_input("m", 4000, 1000)
    assert 3 < learned.dense_bytes_per_token("m") < 4


def test_dense_text_is_remembered_at_once_and_forgotten_in_time() -> None:
    learned = Learned()
    for _ in range(2000):
        learned.note_input("m", 4000, 1000)
    learned.note_input("m", 4000, 3000)
    assert learned.dense_bytes_per_token("m") == pytest.approx(4000 / 3000 * 0.85)
    for _ in range(2000):
        learned.note_input("m", 4000, 1000)
    assert learned.dense_bytes_per_token("m") > 3


def test_new_figures_move_what_is_known_by_a_tenth() -> None:
    learned = Learned()
    learned.note_output(1, "m", 100)
    learned.note_output(1, "m", 200)
    assert learned.expected_output(1, "m", 4096) == 110 + 1
    learned.note_output(1, "m", 0)
    assert learned.expected_output(1, "m", 4096) == 99 + 1
    learned.note_input("m", 400, 100)
    learned.note_input("m", 600, 100)
    assert learned.bytes_per_token("m") == pytest.approx(4.2)
    learned.note_input("m", 220, 100)
    assert learned.bytes_per_token("m") == pytest.approx(4.0)


@pytest.mark.parametrize(("text_bytes", "says_something"), [(511, False), (512, True)])
def test_half_a_kilobyte_says_something_about_dense_text(text_bytes: int, says_something: bool) -> None:
    learned = Learned()
    learned.note_input("m", text_bytes, text_bytes)
    assert (learned.dense_bytes_per_token("m") < DENSE) is says_something


def test_the_tenants_heard_of_longest_ago_are_forgotten() -> None:
    learned = Learned()
    for tenant in range(100_000):
        learned.note_output(tenant, "m", 7)
    learned.note_output(0, "m", 7)
    assert learned.expected_output(1, "m", 99) == 8

    learned.note_output(100_000, "m", 7)

    assert [learned.expected_output(tenant, "m", 99) for tenant in (0, 1, 2)] == [8, 99, 8]


# Mean and deviation of the logarithm of bytes a token: English prose and code by OpenAI's tokenizers, Vietnamese, and
# a tenant who sends all of these in turn.
TEXTS = {"prose": [(1.45, 0.08)], "code": [(1.2, 0.15)], "mixed": [(1.45, 0.08), (1.2, 0.15), (0.9, 0.1)]}


@pytest.mark.parametrize("name", TEXTS)
def test_nearly_all_requests_stay_inside_their_bound(name: str) -> None:
    learned, draw = Learned(), random.Random(5)
    inside = 0
    for _ in range(20_000):
        mean, deviation = draw.choice(TEXTS[name])
        text_bytes = draw.randrange(512, 50_000)
        tokens = int(text_bytes / max(1.0, draw.lognormvariate(mean, deviation)))
        inside += tokens <= text_bytes / learned.dense_bytes_per_token("m")
        learned.note_input("m", text_bytes, tokens)
    assert inside / 20_000 >= 0.999
