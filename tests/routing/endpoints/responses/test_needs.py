"""What a Responses request may use, its cap, what it asks of a route, and which conversation it is."""

from __future__ import annotations

from typing import Any

import pytest

from routing.endpoints.base import Needs
from routing.endpoints.invalid import IntegerAboveMaxValue
from routing.endpoints.responses import RESPONSES
from routing.errors import ContextLengthExceeded
from tests.routing.endpoints import media

FUNCTION = {"type": "function", "name": "f"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 978}


class Model(media.Model):
    context_window = 10_000
    output_limit = 4_000
    prompt_overhead = 100


class Learned(media.Learned):
    def expected_output(self, tenant_id: int, model: str, cap: int) -> int:
        return min(cap, 300)


def needs(size: int = 4_000, tenant_id: int = 1, **members: Any) -> Needs:
    given = {"model": "m", "input": "a", **members}
    return RESPONSES.needs(RESPONSES.read(given), given, size, Model(), Learned(), tenant_id)


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def text(words: str) -> dict[str, Any]:
    return {"type": "input_text", "text": words}


def test_needs_of_a_text() -> None:
    found = needs(max_output_tokens=500)
    assert (found.text_bytes, found.is_all_text) == (4_000, True)
    assert (found.expected_input, found.input_bound, found.least_input) == (1_000, 2_100, 500)
    assert (found.cap, found.is_cap_ours, found.answers, found.expected_output) == (500, False, 1, 300)
    assert found.capabilities == frozenset()


def test_pictures_and_pages_are_not_text_wherever_they_stand() -> None:
    far = {"type": "input_image", "image_url": "https://a.example/b.png"}
    paged = {"type": "input_file", "file_data": "data:application/pdf;base64," + "A" * (2 * 64 * 1024 - 28)}
    plain = {"type": "input_file", "file_data": "data:text/plain;base64,aGk="}
    letters = len(PICTURE["image_url"]) + len(far["image_url"]) + len(paged["file_data"])
    shown = {"type": "function_call_output", "call_id": "c", "output": [far]}
    found = needs(letters + 2_000, input=[user(text("a"), PICTURE, paged, plain), CALL, shown])
    assert (found.text_bytes, found.is_all_text, found.least_input) == (2_000, False, 250)
    assert found.expected_input == 500 + 2 * 1_024 + 3 * 3_000
    assert found.input_bound == 1_000 + 2 * 4_096 + 3 * 7_096 + 100
    assert found.capabilities == {"images"}


@pytest.mark.parametrize(
    "part", [PICTURE, {"type": "input_file", "file_data": "data:application/pdf;base64,aGk="}], ids=["picture", "pages"]
)
def test_either_alone_is_more_than_text(part: dict[str, Any]) -> None:
    assert not needs(input=[user(part)]).is_all_text


@pytest.mark.parametrize(
    ("members", "capabilities"),
    [
        ({"tools": [FUNCTION]}, {"tools"}),
        ({"input": [{"type": "additional_tools", "tools": [FUNCTION]}, user(text("a"))]}, {"tools"}),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}}, {"json_schema"}),
        ({"text": {"format": {"type": "json_object"}}}, set()),
        ({"tools": []}, set()),
    ],
    ids=["tools", "tools among the items", "schema", "any object", "no tools"],
)
def test_capabilities_are_what_is_asked_for(members: dict[str, Any], capabilities: set[str]) -> None:
    assert needs(**members).capabilities == capabilities


@pytest.mark.parametrize(
    ("size", "cap"),
    [(4_000, 1_000), (36_400, 900), (39_960, 16), (79_992, 16)],
    ids=["the model's default", "room in the window", "little room", "hardly any"],
)
def test_cap_is_the_models_as_far_as_the_window_allows(size: int, cap: int) -> None:
    found = needs(size)
    assert (found.cap, found.is_cap_ours, found.expected_output) == (cap, True, min(cap, 300))


def test_cap_beyond_the_models_limit_is_refused() -> None:
    assert needs(max_output_tokens=4_000).cap == 4_000
    with pytest.raises(IntegerAboveMaxValue, match=r"is too large: 4001\. .* at most 4000 output tokens") as refused:
        needs(max_output_tokens=4_001)
    assert refused.value.param == "max_output_tokens"


def test_input_and_cap_beyond_the_window_are_refused() -> None:
    assert needs(64_000, max_output_tokens=2_000).cap == 2_000
    assert needs(79_999).cap == 16
    for size, members, least in ((64_008, {"max_output_tokens": 2_000}, 10_001), (80_000, {}, 10_001)):
        with pytest.raises(ContextLengthExceeded, match=rf"is 10000 tokens, but at least {least} were") as refused:
            needs(size, **members)
        assert refused.value.param == "input"


def test_conversation_is_known_by_its_beginning() -> None:
    first, said = user(text("a"), PICTURE), {"role": "assistant", "content": "b"}
    known = needs(input=[first, said], instructions="i").prefix
    assert needs(input=[first, said, user(text("c"))], instructions="i").prefix == known
    assert needs(input=[user(text("a"), text("z")), said], instructions="i").prefix == known
    others = (
        needs(input=[user(text("z")), said], instructions="i"),
        needs(input=[first, {**said, "content": "z"}], instructions="i"),
        needs(input=[first, said], instructions="z"),
        needs(input=[first, said]),
        needs(2_000, 2, input=[first, said], instructions="i"),
    )
    assert known not in {other.prefix for other in others}


def test_what_stands_behind_the_beginning_makes_no_other_conversation() -> None:
    long = "a" * 512
    assert needs(input=long, instructions=long).prefix == needs(input=long + "b", instructions=long + "c").prefix
    assert needs(input="a" * 511).prefix != needs(input="a" * 511 + "b").prefix
    assert needs(instructions="a" * 511).prefix != needs(instructions="a" * 511 + "b").prefix


def test_message_without_text_is_a_beginning_too() -> None:
    assert needs(input=[user(PICTURE)]).prefix == needs(input=[user()]).prefix == needs(input=[user(text(""))]).prefix
    assert needs(input=[CALL, user(text("a"))]).prefix == needs(input=[user(text("a"))]).prefix
