"""What has come of an answer, counted where its upstream does not count."""

from __future__ import annotations

import pytest

from routing.endpoints.received import Received, least_tokens_of, tokens_of


@pytest.mark.parametrize(
    ("pieces", "size", "tokens"),
    [(0, 0, 0), (1, 1, 1), (1, 12, 1), (1, 13, 4), (2, 24, 2), (2, 25, 7), (1, 16, 4), (1, 17, 5), (9, 9, 9)],
)
def test_short_piece_is_a_token_and_of_a_long_one_four_letters_are(pieces: int, size: int, tokens: int) -> None:
    assert tokens_of(pieces, size) == tokens


@pytest.mark.parametrize(
    ("pieces", "size", "tokens"),
    [(0, 0, 0), (5, 8, 2), (5, 7, 1), (3, 12, 3), (4, 15, 3), (1, 100, 8), (1, 24, 2), (1, 23, 1), (2, 3, 0)],
)
def test_neither_a_letter_nor_a_sentence_is_a_token_for_certain(pieces: int, size: int, tokens: int) -> None:
    assert least_tokens_of(pieces, size) == tokens


@pytest.mark.parametrize(
    ("texts", "tokens", "is_past_cap"),
    [
        ([], 0, False),
        ([""], 0, False),
        (["abcd", "", "efgh"], 2, False),
        (["abc", "abc", "abc"], 3, False),
        (["abcd", "abcd", "abcd"], 3, True),
        (["x" * 35], 9, False),
        (["x" * 36], 9, True),
        (["x"] * 8, 8, False),
        (["x"] * 11, 11, False),
        (["x"] * 12, 12, True),
    ],
)
def test_what_has_come_is_past_its_cap_only_for_certain(texts: list[str], tokens: int, is_past_cap: bool) -> None:
    received = Received(2)
    for text in texts:
        received.add(text)
    assert (received.tokens(), received.is_past_cap) == (tokens, is_past_cap)
