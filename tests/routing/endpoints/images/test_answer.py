"""Pictures as they are told: as many as were asked for, whole or as events, those that are partial numbered."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head
from routing.endpoints.images import IMAGES
from routing.endpoints.images.schema import read
from routing.providers.base import MalformedAnswer
from tests.routing.endpoints.media import LEARNED, MODEL

HEAD = Head("img-" + "a" * 32, "lab/a", 5)
BILL = Bill(Usage(images=2), {}, "0.5", {"currency": "USD"})
PICTURE = {"b64_json": "aGk="}
PARTIAL: dict[str, Any] = {"type": "image_generation.partial_image", **PICTURE}
COMPLETED: dict[str, Any] = {"type": "image_generation.completed", **PICTURE}


def asked(**members: Any) -> Any:
    return read({"model": "m", "prompt": "A dot", **members})


def told(raw: bytes) -> list[Any]:
    return [orjson.loads(block.rpartition(b"data: ")[2]) for block in raw.split(b"\n\n") if block]


@pytest.mark.parametrize(("count", "is_whole"), [(0, False), (1, False), (2, True), (3, False)])
def test_answer_has_as_many_pictures_as_were_asked_for(count: int, is_whole: bool) -> None:
    answer = {"data": [PICTURE] * count}
    if is_whole:
        IMAGES.check(asked(n=2), answer)
        return
    with pytest.raises(MalformedAnswer, match=f"the answer has {count} pictures for 2"):
        IMAGES.check(asked(n=2), answer)


def test_whole_answer_is_a_stream_of_its_pictures() -> None:
    answer = {"created": 9, "size": "8x8", "quality": "odd", "data": [PICTURE, {"b64_json": "eQ=="}]}
    pieces = IMAGES.pieces(answer)
    event = {"type": "image_generation.completed", "created_at": 9, "size": "8x8"}
    assert pieces == [{**event, **PICTURE}, {**event, "b64_json": "eQ=="}]
    with pytest.raises(MalformedAnswer, match="addresses"):
        IMAGES.pieces({"data": [PICTURE, {"url": "https://a.example/a.png"}]})


def test_partial_pictures_are_numbered_anew_for_each() -> None:
    relay = IMAGES.relay(asked(n=2, stream=True), HEAD, 0)
    events: list[dict[str, Any]] = [
        PARTIAL,
        PARTIAL,
        COMPLETED,
        PARTIAL,
        {**PARTIAL, "partial_image_index": 0},
        COMPLETED,
    ]
    found = told(b"".join([relay.relay({**each}) for each in events]) + relay.closing(BILL))
    assert [each.get("partial_image_index") for each in found] == [0, 1, None, 0, 0, None]
    assert [each["usage"].get("cost") for each in found if "usage" in each] == [None, 0.5]
    assert relay.images == 2


def test_stream_is_complete_with_its_last_picture() -> None:
    relay = IMAGES.relay(asked(n=2, stream=True), HEAD, 0)
    complete = [bool(relay.relay({**COMPLETED})) or relay.is_complete for _time in range(2)]
    assert complete == [True, True]
    assert relay.is_complete
    one = IMAGES.relay(asked(stream=True), HEAD, 0)
    assert one.relay({**COMPLETED}) == b""
    assert one.is_complete


def test_events_of_other_kinds_are_left_out() -> None:
    relay = IMAGES.relay(asked(stream=True), HEAD, 0)
    assert relay.relay({"type": "image_generation.of another kind", **PICTURE}) == b""
    assert not relay.is_complete


def test_half_of_the_tokens_at_most_is_expected() -> None:
    needs = IMAGES.needs(asked(size="1024x1024", quality="high"), {}, 40, MODEL, LEARNED, 1)
    assert needs.expected_output == needs.uncapped // 2
