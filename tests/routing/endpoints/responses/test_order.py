"""What goes before an event whose upstream leaves others out: each case with all that the client is told."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

import pytest

from tests.responding import Heard, assert_grammar
from tests.routing.endpoints.responses.test_native import BILL, CALL, HEAD, MESSAGE, TEXT, THOUGHT, event, relay

ARGUMENTS: Final = "function_call_arguments"
CALLED: Final = {**CALL, "arguments": '{"a":1}', "status": "completed"}
SAID: Final = {**MESSAGE, "content": [TEXT], "status": "completed"}
REFUSED: Final = {**SAID, "content": [{"type": "refusal", "refusal": "No"}]}
ADDED: Final = ("output_item.added", 0)


def heard(*events: dict[str, Any], output: Any = ()) -> Heard:
    """All that a client hears of these and of a last event with this output, in OpenAI's grammar."""
    stream = relay()
    last = event("completed", response={"status": "completed", "output": [*output]})
    found = Heard(200, b"".join([stream.relay(deepcopy(each)) for each in (*events, last)]) + stream.closing(BILL))
    assert_grammar(found)
    return found


def told(*events: dict[str, Any], output: Any = ()) -> list[Any]:
    """The kind and the place of each event between the beginning and the end, and the text that it has."""
    texts = ("delta", "text", "refusal", "arguments")
    return [
        (each["type"].removeprefix("response."), each["output_index"], *(each[name] for name in texts if name in each))
        for each in heard(*events, output=output).events[2:-1]
    ]


# --- calls -----------------------------------------------------------------------------------------------------------

ADDS_CALL: Final = event("output_item.added", output_index=0, item={**CALL})
GROWS: Final = event(f"{ARGUMENTS}.delta", output_index=0, item_id="f", delta='{"a":1}')
SAYS: Final = event(f"{ARGUMENTS}.done", output_index=0, item_id="f", name="g", arguments='{"a":1}')
ENDS: Final = event("output_item.done", output_index=0, item={**CALLED})
WHOLE_CALL: Final = [
    ADDED, (f"{ARGUMENTS}.delta", 0, '{"a":1}'), (f"{ARGUMENTS}.done", 0, '{"a":1}'), ("output_item.done", 0),
]  # fmt: skip


@pytest.mark.parametrize(
    "events",
    [
        pytest.param((ADDS_CALL, GROWS, SAYS, ENDS), id="whole"),
        pytest.param((ADDS_CALL, SAYS, ENDS), id="no deltas"),
        pytest.param((ADDS_CALL, GROWS, ENDS), id="arguments that are not done"),
        pytest.param((ADDS_CALL, GROWS, SAYS | {"arguments": None}, ENDS), id="arguments whose end says nothing"),
        pytest.param((ADDS_CALL, ENDS), id="nothing between"),
        pytest.param((ADDS_CALL, GROWS, SAYS), id="an item that is not done"),
        pytest.param((ENDS,), id="the item alone"),
        pytest.param((), id="the end alone"),
        pytest.param((GROWS, SAYS, ENDS), id="arguments of a call that nobody has named yet"),
    ],
)
def test_call_is_added_grows_and_is_done(events: tuple[Any, ...]) -> None:
    assert told(*events, output=[CALLED]) == WHOLE_CALL


def test_call_without_arguments_grows_by_nothing() -> None:
    empty = event(f"{ARGUMENTS}.done", output_index=0, item_id="f", arguments="")
    item = {**CALL, "status": "incomplete"}
    done = event("output_item.done", output_index=0, item={**item})
    assert told(ADDS_CALL, empty, done, output=[item]) == [ADDED, (f"{ARGUMENTS}.done", 0, ""), ("output_item.done", 0)]
    assert told(ADDS_CALL, done, output=[item]) == [ADDED, (f"{ARGUMENTS}.done", 0, ""), ("output_item.done", 0)]


def test_call_that_came_alone_is_added_without_its_arguments() -> None:
    found = heard(output=[CALLED])
    assert [each["item"] for each in found.of("response.output_item.added")] == [{**CALL, "status": "in_progress"}]
    assert [each["name"] for each in found.of(f"response.{ARGUMENTS}.done")] == ["g"]


def test_end_of_arguments_names_the_function() -> None:
    nameless = event(f"{ARGUMENTS}.done", output_index=0, item_id="f", arguments='{"a":1}')
    assert heard(ADDS_CALL, nameless, output=[CALLED]).of(f"response.{ARGUMENTS}.done")[0]["name"] == "g"


# --- texts -----------------------------------------------------------------------------------------------------------

WHOLE_TEXT: Final = [
    ADDED, ("content_part.added", 0), ("output_text.delta", 0, "Hi"), ("output_text.done", 0, "Hi"),
    ("content_part.done", 0), ("output_item.done", 0),
]  # fmt: skip


def at(kind: str, **members: Any) -> dict[str, Any]:
    return event(kind, output_index=0, content_index=0, item_id="m", **members)


def test_message_that_came_alone_is_added_empty() -> None:
    found = heard(output=[SAID])
    assert [each["item"] for each in found.of("response.output_item.added")] == [MESSAGE]
    assert [each["part"]["text"] for each in found.of("response.content_part.added")] == [""]
    assert told(output=[SAID]) == WHOLE_TEXT


@pytest.mark.parametrize(
    ("told_id", "item_id"), [("m", "m"), ("", "msg_" + "a" * 32 + "0000"), (5, "msg_" + "a" * 32 + "0000")]
)
def test_text_of_an_item_that_nobody_added_has_the_id_that_it_told(told_id: Any, item_id: str) -> None:
    found = heard(at("output_text.delta", delta="Hi") | {"item_id": told_id}, output=[SAID])
    assert {each["item_id"] for each in found.events if "item_id" in each} == {item_id}
    assert found.response["output"][0]["id"] == item_id
    assert told(at("output_text.delta", delta="Hi"), output=[SAID]) == WHOLE_TEXT


@pytest.mark.parametrize("text", ["", None, 5])
def test_end_of_a_text_that_says_nothing_has_what_has_come(text: Any) -> None:
    assert told(at("output_text.delta", delta="Hi"), at("output_text.done", text=text), output=[SAID]) == WHOLE_TEXT


@pytest.mark.parametrize(
    ("kind", "member"),
    [("reasoning_text", "text"), ("reasoning_summary_text", "text"), ("custom_tool_call_input", "input")],
)
def test_texts_that_are_none_are_empty(kind: str, member: str) -> None:
    stream = relay()
    grown, done = (stream.relay(event(f"{kind}.{what}")) for what in ("delta", "done"))
    assert Heard(200, grown).events[-1]["delta"] == ""
    assert Heard(200, done).events[-1][member] == ""


def test_refusal_grows_and_is_done_as_a_text_does() -> None:
    refused = [
        ADDED, ("content_part.added", 0), ("refusal.delta", 0, "No"), ("refusal.done", 0, "No"),
        ("content_part.done", 0), ("output_item.done", 0),
    ]  # fmt: skip
    assert told(at("refusal.delta", delta="No"), output=[REFUSED]) == refused
    assert told(output=[REFUSED]) == refused
    found = heard(at("refusal.delta", delta="No"), output=[REFUSED])
    assert [each["part"] for each in found.of("response.content_part.added")] == [{"type": "refusal", "refusal": ""}]
    assert "logprobs" not in found.of("response.refusal.done")[0]


def test_delta_that_is_none_brings_nothing() -> None:
    refused = told(at("refusal.delta", delta=None), at("refusal.delta", delta="No"), output=[REFUSED])
    assert [each for each in refused if each[0].startswith("refusal")] == [
        ("refusal.delta", 0, ""), ("refusal.delta", 0, "No"), ("refusal.done", 0, "No")
    ]  # fmt: skip


def test_part_of_another_kind_is_added_as_it_is() -> None:
    part, stream = {"type": "of another kind", "text": "Hm"}, relay()
    last = event("completed", response={"status": "completed", "output": [{**SAID, "content": [{**part}]}]})
    found = Heard(200, stream.relay(last))
    assert [each["part"] for each in found.events if "part" in each] == [part, part]


# --- items -----------------------------------------------------------------------------------------------------------


def test_item_of_another_kind_is_added_as_it_is() -> None:
    found = heard(output=[THOUGHT])
    assert [each["item"] for each in found.of("response.output_item.added")] == [THOUGHT]
    assert told(output=[THOUGHT]) == [ADDED, ("output_item.done", 0)]


@pytest.mark.parametrize("told_id", [None, "another", "r"])
def test_events_of_an_item_have_its_id(told_id: Any) -> None:
    place = {"item_id": told_id, "output_index": 0, "summary_index": 0}
    found = heard(
        event("output_item.added", output_index=0, item={**THOUGHT}),
        event("reasoning_summary_part.added", **place, part={"type": "summary_text", "text": ""}),
        event("reasoning_summary_part.done", **place, part={"type": "summary_text", "text": ""}),
        output=[THOUGHT],
    )
    assert [each["item_id"] for each in found.events if "item_id" in each] == ["r", "r"]


def test_item_that_nobody_told_of_has_a_place_behind_the_others() -> None:
    """The last event's output leaves one out: its items stand where they were told of, not where they are listed."""
    stream = relay()
    for place, item in enumerate((THOUGHT, CALL)):
        stream.relay(event("output_item.added", output_index=place, item={**item}))
    last = event("completed", response={"status": "completed", "output": [{**SAID}, {**CALLED}]})
    raw = stream.relay(last) + stream.closing(BILL)
    done = Heard(200, raw).of("response.output_item.done")
    assert [(each["output_index"], each["item"]["type"]) for each in done] == [(2, "message"), (1, "function_call")]


def test_ids_are_the_answers_own() -> None:
    (added,) = heard(output=[{**SAID, "id": None}]).of("response.output_item.added")
    assert added["item"]["id"] == f"msg_{HEAD.public_id.removeprefix('resp_')}0000"
