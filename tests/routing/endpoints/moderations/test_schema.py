"""What a moderation asks about."""

from __future__ import annotations

from typing import Any

import pytest

from routing.endpoints.moderations.schema import read

PICTURE = {"type": "image_url", "image_url": {"url": "data:x"}}


@pytest.mark.parametrize(
    ("given", "results", "images"),
    [
        ("a", 1, []),
        ("", 1, []),
        (["a", "b"], 2, []),
        ([{"type": "text", "text": "a"}, PICTURE, PICTURE], 1, ["data:x", "data:x"]),
    ],
    ids=["a text", "nothing", "texts", "parts"],
)
def test_input_has_so_many_results_and_these_images(given: Any, results: int, images: list[str]) -> None:
    request = read({"model": "m", "input": given})
    assert (request.results, request.images) == (results, images)


def test_model_is_the_public_apis_where_none_is_named() -> None:
    assert read({"input": "a"}).model == "omni-moderation-latest"
