"""What pictures may use: as many as are asked for, and the tokens of the largest that may come."""

from __future__ import annotations

from typing import Any

import pytest

from billing.kinds import NOTHING, Usage
from billing.prices import Tariff
from routing.endpoints.base import Bill, Head, Needs, ceiling_of
from routing.endpoints.images import IMAGES
from tests.routing.endpoints.media import LEARNED, MODEL

PICTURE = {"b64_json": "AAAA"}


def needs(**members: Any) -> Needs:
    request = IMAGES.read({"model": "m", "prompt": "The sea", **members})
    return IMAGES.needs(request, {}, 100, MODEL, LEARNED, 1)


@pytest.mark.parametrize(
    ("members", "tokens"),
    [
        ({}, 6_242),
        ({"size": "auto"}, 6_242),
        ({"size": "1024x1024"}, 4_162),
        ({"size": "1024x1024", "quality": "high"}, 4_162),
        ({"size": "1024x1024", "quality": "medium"}, 1_249),
        ({"size": "1024x1024", "quality": "low"}, 417),
        ({"size": "1024x1024", "n": 3}, 12_486),
        ({"size": "1024x1024", "partial_images": 2}, 4_362),
        ({"size": "large"}, 6_242),
    ],
    ids=["default", "auto", "square", "high", "medium", "low", "three", "partial", "in words"],
)
def test_tokens_are_held_for_the_size_and_quality_that_is_asked_for(members: dict[str, Any], tokens: int) -> None:
    """OpenAI's own: 272, 1,056 and 4,160 for a square, 100 for each partial one."""
    assert needs(**members).uncapped == tokens


def test_pictures_are_held() -> None:
    asked = needs(n=4)
    assert (asked.beside, asked.cap, asked.answers, asked.input_bound) == (Usage(images=4), 0, 1, 50 + 256)
    tariff = Tariff(1, "USD", input=0, output=0, image=1_000_000)
    assert ceiling_of(asked, tariff, 0) == 4


def test_tokens_are_held_at_the_highest_rate() -> None:
    tariff = Tariff(1, "USD", input=0, output=1_000_000, output_image=3_000_000)
    assert ceiling_of(needs(size="1024x1024"), tariff, 0) == 3 * 4_162


@pytest.mark.parametrize(
    ("usage", "is_something"),
    [(NOTHING, False), (Usage(input=5), False), (Usage(images=1), True), (Usage(output=1), True)],
    ids=["nothing", "a prompt", "a picture", "tokens"],
)
def test_what_is_worth_paying_for(usage: Usage, is_something: bool) -> None:
    assert IMAGES.has_produced(usage) is is_something


def test_tokens_of_the_prompt_are_told_by_what_they_are() -> None:
    request = IMAGES.read({"model": "m", "prompt": "p"})
    reported = {"input_tokens_details": {"image_tokens": 4, "text_tokens": 6}}
    bill = Bill(Usage(input=10, output=9, output_image=7, images=1), reported, "0.5", {"currency": "USD"})
    whole = IMAGES.complete(request, {"created": 7, "data": [PICTURE]}, Head("img-1", "m", 5), bill)
    assert whole == (
        b'{"created":7,"id":"img-1","model":"m","data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":10,'
        b'"output_tokens":9,"total_tokens":19,"input_tokens_details":{"text_tokens":6,"image_tokens":4},'
        b'"output_tokens_details":{"text_tokens":2,"image_tokens":7},"cost":0.5,"cost_details":{"currency":"USD"}}}'
    )


@pytest.mark.parametrize("seen", [-5, 99, "4", None], ids=["negative", "too many", "text", "null"])
def test_details_that_cannot_be_believed_are_within_their_whole(seen: Any) -> None:
    request = IMAGES.read({"model": "m", "prompt": "p"})
    bill = Bill(Usage(input=10, images=1), {"input_tokens_details": {"image_tokens": seen}}, "0", {})
    whole = IMAGES.complete(request, {"data": [PICTURE]}, Head("img-1", "m", 5), bill)
    expected = 10 if seen == 99 else 0
    assert b'{"text_tokens":%d,"image_tokens":%d}' % (10 - expected, expected) in whole
    assert whole.startswith(b'{"created":5,')
