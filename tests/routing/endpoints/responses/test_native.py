"""The events of an upstream that has the Responses API itself: as they came, but for what must be ours."""

from __future__ import annotations

from typing import Any

import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head
from routing.endpoints.responses import RESPONSES
from routing.endpoints.responses.schema import read
from routing.providers.base import MalformedAnswer
from tests.responding import Heard, assert_grammar, assert_response

HEAD = Head("resp_" + "a" * 32, "lab/a", 1_700_000_000, hidden=(b"host.example",))
BILL = Bill(Usage(input=12, output=5), {}, "0.5", {"currency": "USD"})
MESSAGE: dict[str, Any] = {"type": "message", "id": "m", "role": "assistant", "status": "in_progress", "content": []}
TEXT: dict[str, Any] = {"type": "output_text", "text": "Hi", "annotations": []}
CALL: dict[str, Any] = {"type": "function_call", "id": "f", "call_id": "c", "name": "g", "arguments": ""}
THOUGHT: dict[str, Any] = {"type": "reasoning", "id": "r", "summary": []}
WHOLE: dict[str, Any] = {"status": "completed", "output": [{**MESSAGE, "content": [TEXT], "status": "completed"}]}


def relay(most_output: int = 10_000) -> Any:
    return RESPONSES.relay(read({"model": "m", "input": "a", "stream": True}), HEAD, most_output)


def event(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **members}


def written(*events: dict[str, Any]) -> list[Any]:
    """What becomes of these, without what is added between them."""
    stream, kinds = relay(), {each["type"] for each in events}
    heard = Heard(200, b"".join([stream.relay(each) for each in events]))
    return [each for each in heard.events if each["type"] in kinds]


def summary(item: str, what: str) -> dict[str, Any]:
    return event(f"reasoning_summary_part.{what}", item_id=item, part={"type": "summary_text", "text": ""})


# --- places ----------------------------------------------------------------------------------------------------------


def test_places_are_told_where_the_upstream_does_not() -> None:
    found = written(
        event("output_item.added", item={**THOUGHT}),
        summary("r", "added"), summary("r", "done"), summary("r", "added"),
        event("output_item.added", item={**MESSAGE}),
        event("content_part.added", item_id="m", part={**TEXT}),
        event("output_text.delta", item_id="m", delta="Hi"),
        event("content_part.added", item_id="m", part={**TEXT}),
        event("output_text.delta", item_id="m", delta="Hi"),
        event("refusal.delta", item_id="m", delta="no"),
        event("output_item.added", item={**CALL}),
        event("function_call_arguments.delta", item_id="f", delta="{"),
        event("custom_tool_call_input.delta", item_id="of another", delta="{"),
        event("output_item.done", item={**MESSAGE}),
    )  # fmt: skip
    places = [(each["output_index"], each.get("summary_index"), each.get("content_index")) for each in found]
    assert places == [
        (0, None, None), (0, 0, None), (0, 0, None), (0, 1, None),
        (1, None, None), (1, None, 0), (1, None, 0), (1, None, 1), (1, None, 1), (1, None, 1),
        (2, None, None), (2, None, None), (2, None, None),
        (1, None, None),
    ]  # fmt: skip


def test_part_of_an_item_that_nobody_added_has_the_first_place() -> None:
    (said,) = written(event("reasoning_text.delta", item_id="r", delta="a"))
    assert (said["output_index"], said["content_index"]) == (0, 0)


def test_places_of_the_upstreams_own_stay() -> None:
    (said,) = written(event("output_text.delta", item_id="m", output_index=3, content_index=2, delta="a"))
    assert (said["output_index"], said["content_index"]) == (3, 2)


def test_event_that_stands_nowhere_is_given_no_place() -> None:
    (said,) = written(event("created"))
    assert "output_index" not in said


# --- what is ours ----------------------------------------------------------------------------------------------------


def test_events_are_numbered_and_complete() -> None:
    stream = relay()
    begun = [
        stream.relay(event(kind, sequence_number=9, response={"status": "in_progress", "id": "theirs"}))
        for kind in ("created", "in_progress")
    ]
    said = [
        stream.relay(each)
        for each in (
            event("output_item.added", item={**MESSAGE}),
            event("content_part.added", item_id="m", part={**TEXT, "text": "", "annotations": None}),
            event("output_text.delta", item_id="m", delta="Hi", logprobs=None),
            event("output_text.done", item_id="m", text="Hi"),
            event("content_part.done", item_id="m", part={**TEXT}),
            event("output_item.done", item={**WHOLE["output"][0]}),
        )
    ]
    assert stream.written == 8
    assert not stream.is_complete
    assert stream.relay(event("completed", response={**WHOLE})) == b""
    assert stream.is_complete
    heard = Heard(200, b"".join((*begun, *said, stream.closing(BILL))))
    assert_grammar(heard)
    assert {each["response"]["id"] for each in heard.events if "response" in each} == {HEAD.public_id}
    assert heard.response["usage"]["total_tokens"] == 17
    assert "costrouter" not in heard.response
    assert heard.of("response.output_text.delta")[0]["logprobs"] == []


def test_explanation_stands_in_the_last_event() -> None:
    stream = relay()
    stream.relay(event("incomplete", response={**WHOLE, "status": "incomplete"}))
    (last,) = Heard(200, stream.closing(BILL, {"route": 1})).events
    assert (last["type"], last["response"]["costrouter"]) == ("response.incomplete", {"route": 1})


def test_log_probabilities_stay_and_annotations_get_none() -> None:
    probable, annotated = written(
        event("output_text.delta", item_id="m", delta="a", logprobs=[{"token": "a", "logprob": -1}]),
        event("output_text.annotation.added", item_id="m", annotation={}, annotation_index=0),
    )
    assert probable["logprobs"] == [{"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": []}]
    assert "logprobs" not in annotated


def test_names_of_the_upstream_go_and_so_does_what_holds_its_host() -> None:
    named, hiding, harmless, own = written(
        event("output_text.delta", item_id="m", delta="a", provider="p", region="r"),
        event("output_text.delta", item_id="m", delta="a", served="by host.example"),
        event("output_text.delta", item_id="m", delta="a", served="by nobody"),
        event("output_text.delta", item_id="m", delta="host.example"),
    )
    assert named.keys().isdisjoint({"provider", "region"})
    assert "served" not in hiding
    assert harmless["served"] == "by nobody"
    assert own["delta"] == "host.example"


@pytest.mark.parametrize(
    "broken",
    [
        {"delta": "a"},
        {"type": 5},
        {"type": "a\nb"},
        {"type": "a\rb"},
        event("completed"),
        event("output_item.done", item="none"),
        event("output_item.added"),
    ],
)
def test_event_that_is_none_is_malformed(broken: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        relay().relay(broken)


# --- what came -------------------------------------------------------------------------------------------------------


def test_text_is_counted_and_bounded_as_it_comes() -> None:
    stream = relay(most_output=2)
    delta = event("output_text.delta", item_id="m", delta="four")
    past = [stream.relay({**delta}) and stream.is_past_cap for _time in range(3)]
    assert past == [False, False, True]
    assert stream.received_tokens() == 3
    stream.relay(event("output_text.done", item_id="m", text="fourfourfour"))
    assert stream.received_tokens() == 3


@pytest.mark.parametrize(
    ("output", "tokens"),
    [
        (
            [
                {
                    **MESSAGE,
                    "content": [{**TEXT, "text": "word " * 80, "logprobs": [{"token": "x" * 99, "logprob": -1}]}],
                }
            ],
            100,
        ),
        ([{**CALL, "arguments": '"' + "word " * 79 + '123"'}], 100),
        (
            [{**THOUGHT, "summary": [{"type": "summary_text", "text": "word " * 80}], "encrypted_content": "x" * 999}],
            100,
        ),
        ([{"type": "custom_tool_call", "id": "u", "call_id": "c", "name": "name", "input": "word " * 80}], 101),
    ],
    ids=["text", "call", "thought", "another"],
)
def test_what_comes_in_no_pieces_is_counted_too(output: list[Any], tokens: int) -> None:
    stream = relay()
    stream.relay(event("completed", response={"status": "completed", "output": output}))
    assert stream.received_tokens() == tokens


def test_answer_that_is_cut_has_the_items_that_were_done_in_their_order() -> None:
    stream = relay()
    for item in (THOUGHT, MESSAGE, CALL):
        stream.relay(event("output_item.added", item={**item}))
    stream.relay(event("output_item.done", item={**MESSAGE}))
    stream.relay(event("output_item.done", item={**THOUGHT}))
    assert stream.cut() == b""
    assert stream.is_done
    assert stream.is_complete
    (last,) = Heard(200, stream.closing(BILL)).events
    assert last["type"] == "response.incomplete"
    assert [item["type"] for item in last["response"]["output"]] == ["reasoning", "message"]
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert_response(last["response"])


def test_items_and_parts_do_not_fill_the_memory() -> None:
    stream = relay()
    for place in range(4_096):
        stream.relay(event("output_item.added", output_index=place, item={**MESSAGE}))
    with pytest.raises(MalformedAnswer, match="too many items"):
        stream.relay(event("output_item.added", output_index=4_096, item={**MESSAGE}))
    with pytest.raises(MalformedAnswer, match="too many items"):
        stream.relay(event("output_text.delta", output_index=0, content_index=0, delta="a"))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (event("output_text.delta", delta="a"), "a"),
        (event("output_text.delta", delta=5), ""),
        (event("output_text.delta"), ""),
        (event("reasoning_text.delta", delta="a"), ""),
    ],
)
def test_words_are_the_texts(said: dict[str, Any], words: str) -> None:
    assert RESPONSES.words(said) == words


def test_whole_answer_is_the_last_events() -> None:
    assembler: Any = RESPONSES.assembler(read({"model": "m", "input": "a"}))
    for each in (event("created", response={"status": "in_progress"}), event("completed", response=5)):
        assembler.add(each)
    assert not assembler.is_complete
    with pytest.raises(MalformedAnswer):
        assembler.answer()
    assembler.add(event("completed", response=WHOLE))
    assembler.add(event("in_progress", response={"status": "in_progress"}))
    assert assembler.is_complete
    assert assembler.answer() == WHOLE


def test_whole_answer_has_the_items_that_were_done_where_the_last_event_has_none() -> None:
    for output, found in (([], [MESSAGE, CALL]), (None, [MESSAGE, CALL]), ([THOUGHT], [THOUGHT])):
        assembler: Any = RESPONSES.assembler(read({"model": "m", "input": "a"}))
        for each in (MESSAGE, CALL):
            assembler.add(event("output_item.added", item={**THOUGHT}))
            assembler.add(event("output_item.done", item={**each}))
        assembler.add(event("completed", response={**WHOLE, "output": output}))
        assert assembler.answer()["output"] == found


def test_beginning_that_was_left_out_is_ours_and_what_was_told_stays() -> None:
    told = relay().relay(event("in_progress", response={"metadata": {"a": "b"}}))
    created, begun = Heard(200, told).events
    assert (created["type"], created["response"]["metadata"]) == ("response.created", {})
    assert (begun["type"], begun["response"]["metadata"]) == ("response.in_progress", {"a": "b"})


def test_end_whose_status_is_none_has_the_events_own() -> None:
    stream = relay()
    stream.relay(event("incomplete", response={"status": "odd", "output": []}))
    (last,) = Heard(200, stream.closing(BILL)).events
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "incomplete")


def test_item_that_grows_is_in_progress_as_it_is_added() -> None:
    added = [{**MESSAGE, "status": "completed"}, {**CALL, "status": "completed"}, {**THOUGHT, "status": "completed"}]
    found = written(*(event("output_item.added", item=item) for item in added))
    assert [each["item"]["status"] for each in found] == ["in_progress", "in_progress", "completed"]


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_whole_answer_as_events_is_a_stream_of_its_own(status: str) -> None:
    stream = relay()
    pieces = RESPONSES.pieces({**WHOLE, "status": status})
    heard = Heard(200, b"".join([stream.relay(each) for each in pieces]) + stream.closing(BILL))
    assert_grammar(heard)
    assert heard.kinds[-1] == f"response.{status}"
    assert [each["output_index"] for each in heard.of("response.output_item.done")] == [0]
    assert heard.events[0]["response"]["output"] == []
