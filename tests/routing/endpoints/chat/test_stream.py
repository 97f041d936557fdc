"""Chat streams of real shapes on their way to the client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from billing.kinds import Usage
from routing.endpoints.chat.stream import (
    Assembler,
    ChatRelay,
    Tally,
    complete_answer,
    public_usage,
)
from routing.providers import ADAPTERS
from routing.providers.base import MalformedAnswer
from routing.wire.events import DONE, Comment
from tests.routing.wire.test_events import parsed

FIXTURES = Path(__file__).parents[2] / "providers" / "fixtures"
OPENAI = ADAPTERS["openai"]


# --- usage -----------------------------------------------------------------------------------------------------------


def tally(choices: int = 1) -> Tally:
    return Tally(choices, OPENAI.usage)


def counts(input_: Any, output: Any) -> dict[str, Any]:
    return {"prompt_tokens": input_, "completion_tokens": output}


def test_last_valid_usage_wins() -> None:
    told = tally()
    told.note_usage(counts(5, 1), is_total=False)
    told.note_usage(counts(5, 9), is_total=True)
    told.note_usage(counts(5, -1), is_total=True)
    assert (told.reported, told.reported_fields) == (Usage(input=5, output=9), counts(5, 9))


def test_totals_that_come_one_a_choice_are_summed() -> None:
    told = tally(3)
    told.note_usage(counts(23, 5), is_total=True)
    told.note_usage(counts(23, 7), is_total=True)
    told.note_usage(counts(23, 1), is_total=True)
    assert told.reported == Usage(input=23, output=13)


def test_one_total_for_all_choices_is_taken_as_it_is() -> None:
    told = tally(3)
    told.note_usage(counts(23, 5), is_total=False)
    told.note_usage(counts(23, 13), is_total=True)
    assert told.reported == Usage(input=23, output=13)


def test_more_totals_than_choices_are_running_totals() -> None:
    told = tally(2)
    told.note_usage(counts(23, 5), is_total=True)
    told.note_usage(counts(23, 7), is_total=True)
    told.note_usage(counts(23, 14), is_total=True)
    assert told.reported == Usage(input=23, output=14)


@pytest.mark.parametrize(
    "garbage",
    [
        "17",
        17,
        [],
        {},
        True,
        counts(1.5, 2),
        counts("1", "2"),
        counts(None, 2),
        counts(True, 2),
        counts(-1, 2),
        counts(0, 0),
        counts(10**18, 2),
    ],
    ids=str,
)
def test_usage_that_cannot_be_is_ignored(garbage: Any) -> None:
    told = tally()
    told.note_usage(garbage, is_total=True)
    assert (told.reported, told.reported_fields) == (None, {})


def test_timings_count_a_stream_as_it_goes() -> None:
    told = tally()
    told.note_timings({"cache_n": 15, "prompt_n": 8, "predicted_n": 5})
    assert (told.timed, told.received_tokens()) == (Usage(input=23, cached_input=15, output=5), 5)


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        5,
        {},
        {"cache_n": 1, "prompt_n": 1},
        {"cache_n": -1, "prompt_n": 1, "predicted_n": 1},
        {"cache_n": 1.0, "prompt_n": 1, "predicted_n": 1},
        {"cache_n": 1, "prompt_n": 1, "predicted_n": 10**18},
    ],
    ids=str,
)
def test_timings_that_cannot_be_are_ignored(garbage: Any) -> None:
    told = tally()
    told.note_timings(garbage)
    assert told.timed is None


@pytest.mark.parametrize(
    ("deltas", "tokens"),
    [
        pytest.param([], 0, id="nothing"),
        pytest.param([{"role": "assistant"}, {"role": "assistant", "content": ""}], 0, id="role alone"),
        pytest.param([{"content": "a"}, {"content": " word"}], 2, id="a token a chunk"),
        pytest.param([{"content": "assistant"}], 1, id="the word assistant"),
        pytest.param([{"content": "x" * 41}], 11, id="a long chunk"),
        pytest.param([{"reasoning_content": "hm"}, {"refusal": "no"}], 2, id="other texts"),
        pytest.param([{"tool_calls": [{"index": 0}]}], 4, id="a tool call"),
    ],
)
def test_received_tokens_are_estimated_from_what_came(deltas: list[dict[str, Any]], tokens: int) -> None:
    told = tally()
    for delta in deltas:
        told.note_delta(delta)
    assert told.received_tokens() == tokens


# --- relay -----------------------------------------------------------------------------------------------------------


def relay_of(
    told: Tally, *, choices: int = 1, shows_usage: bool = False, strips_timings: bool = False, model: str = "public"
) -> ChatRelay:
    return ChatRelay(
        public_id="chatcmpl-1",
        model=model,
        created=5,
        shows_usage=shows_usage,
        strips_timings=strips_timings,
        tally=told,
        choices=choices,
    )


def relayed(relay: ChatRelay, name: str) -> list[dict[str, Any]]:
    """The client's chunks of a recorded stream."""
    events = parsed((FIXTURES / name).read_bytes())
    out = [relay.relay(OPENAI.event(event)) for event in events if event != b"[DONE]" and type(event) is not Comment]
    relay.is_done = events[-1] == b"[DONE]"
    return [json.loads(event) for event in parsed(*out)]


def text_of(chunks: list[dict[str, Any]], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


@pytest.mark.parametrize(
    ("name", "choices", "text", "usage"),
    [
        ("vllm_usage.sse", 1, "The sea is calm", Usage(input=28, output=4)),
        ("transformers_no_done.sse", 1, "Xin chào", Usage(input=32, output=2)),
        ("llamacpp_tools.sse", 1, "", Usage(input=230, cached_input=134, output=35)),
        ("llamacpp_two_choices.sse", 2, "Hey you two", Usage(input=23, cached_input=15, output=5)),
        ("litellm_zero_usage.sse", 1, "Chào", None),
    ],
)
def test_recorded_stream_arrives_whole_and_is_counted(name: str, choices: int, text: str, usage: Usage | None) -> None:
    told = tally(choices)
    relay = relay_of(told, choices=choices)
    chunks = relayed(relay, name)
    assert (text_of(chunks), told.reported, relay.is_complete) == (text, usage, True)
    assert {(chunk["id"], chunk["model"], chunk["created"], chunk["object"]) for chunk in chunks} == {
        ("chatcmpl-1", "public", 5, "chat.completion.chunk")
    }


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.glob("*.sse") if "killed" not in path.name))
def test_usage_is_shown_only_to_who_asked(name: str) -> None:
    unasked = relayed(relay_of(tally()), name)
    asked = relayed(relay_of(tally(), shows_usage=True), name)
    assert [chunk.get("usage", "absent") for chunk in unasked] == ["absent"] * len(unasked)
    assert [chunk["usage"] for chunk in asked] == [None] * len(asked)


def test_first_delta_of_each_choice_names_the_role_and_no_other_is_changed() -> None:
    chunks = relayed(relay_of(tally(2), choices=2), "llamacpp_two_choices.sse")
    deltas = [(choice["index"], choice["delta"]) for chunk in chunks for choice in chunk["choices"]]
    assert deltas == [
        (1, {"role": "assistant", "content": None}),
        (1, {"content": "Good"}),
        (0, {"role": "assistant", "content": None}),
        (0, {"content": "Hey"}),
        (1, {"content": " day"}),
        (1, {}),
        (0, {"content": " you"}),
        (0, {"content": " two"}),
        (0, {}),
    ]


def test_tool_call_pieces_and_unknown_fields_pass_unchanged() -> None:
    sent = [json.loads(event) for event in parsed((FIXTURES / "llamacpp_tools.sse").read_bytes())[:-1]]
    chunks = relayed(relay_of(tally()), "llamacpp_tools.sse")
    assert [chunk["choices"][0]["delta"] for chunk in chunks[1:]] == [
        chunk["choices"][0]["delta"] for chunk in sent[1:-1]
    ]
    vllm = relayed(relay_of(tally()), "vllm_usage.sse")
    assert vllm[0]["prompt_token_ids"] is None
    assert vllm[1]["choices"][0]["token_ids"] is None


def test_timings_that_were_not_asked_for_are_taken_out() -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "x"}}], "timings": {"predicted_n": 1}}
    kept = relay_of(tally()).relay(json.loads(json.dumps(chunk)))
    stripped = relay_of(tally(), strips_timings=True).relay(json.loads(json.dumps(chunk)))
    assert ("timings" in json.loads(kept[6:]), "timings" in json.loads(stripped[6:])) == (True, False)


@pytest.mark.parametrize("reason", ["eos", "", 5, [], {}], ids=str)
def test_finish_reason_outside_the_schema_becomes_stop(reason: Any) -> None:
    relay = relay_of(tally())
    chunk = json.loads(relay.relay({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})[6:])
    assert (chunk["choices"][0]["finish_reason"], relay.is_complete) == ("stop", True)


@pytest.mark.parametrize("index", ["0", None, 1.0, True, [], {}], ids=str)
def test_choice_without_a_place_is_malformed(index: Any) -> None:
    chunk = {"choices": [{"index": index, "delta": {"content": "x"}}]}
    with pytest.raises(MalformedAnswer):
        relay_of(tally()).relay(chunk)
    with pytest.raises(MalformedAnswer):
        Assembler(tally()).add(chunk)


@pytest.mark.parametrize("delta", [{"content": "x", "deep": None}, {"deep": None}])
def test_chunk_nested_deeper_than_can_be_written_is_malformed(delta: dict[str, Any]) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(MalformedAnswer):
        relay_of(tally()).relay({"choices": [{"index": 0, "delta": {**delta, "deep": deep}}]})


def test_stream_is_complete_only_when_every_choice_is() -> None:
    relay = relay_of(tally(2), choices=2)
    relay.relay({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    half = relay.is_complete
    relay.relay({"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]})
    assert (half, relay.is_complete) == (False, True)


def test_closing_is_done_alone_unless_more_was_asked_for() -> None:
    assert relay_of(tally()).closing({"total_tokens": 1}) == DONE
    usage, done = parsed(relay_of(tally(), shows_usage=True).closing({"total_tokens": 1}))
    assert (json.loads(usage)["usage"], json.loads(usage)["choices"], done) == ({"total_tokens": 1}, [], b"[DONE]")
    explained, _done = parsed(relay_of(tally()).closing({"total_tokens": 1}, {"strategy": "cheapest"}))
    assert ("usage" in json.loads(explained), json.loads(explained)["costrouter"]) == (False, {"strategy": "cheapest"})


def test_closing_finishes_what_the_upstream_left_unfinished() -> None:
    relay = relay_of(tally(), shows_usage=True)
    relay.relay({"choices": [{"index": 0, "delta": {"content": "x"}}]})
    finish, usage, done = parsed(relay.closing({"total_tokens": 1}))
    assert json.loads(finish)["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert (json.loads(finish)["usage"], json.loads(usage)["choices"], done) == (None, [], b"[DONE]")


# --- whole answers ---------------------------------------------------------------------------------------------------


def assembled(name: str, choices: int) -> dict[str, Any]:
    assembler = Assembler(tally(choices))
    events = [event for event in parsed((FIXTURES / name).read_bytes()) if event != b"[DONE]"]
    for event in events:
        assembler.add(OPENAI.event(event))
    assert assembler.is_complete(choices)
    return assembler.answer()


def test_stream_is_assembled_into_an_answer() -> None:
    answer = assembled("llamacpp_two_choices.sse", 2)
    texts = [(choice["index"], choice["message"]["content"]) for choice in answer["choices"]]
    assert texts == [(0, "Hey you two"), (1, "Good day")]
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["stop", "length"]
    assert [entry["token"] for entry in answer["choices"][0]["logprobs"]["content"]] == ["Hey", " you", " two"]
    assert (answer["system_fingerprint"], answer["usage"]["prompt_tokens"]) == ("b0-unknown", 23)


def test_tool_calls_are_assembled_from_their_pieces() -> None:
    answer = assembled("llamacpp_tools.sse", 1)
    assert answer["choices"][0]["message"]["tool_calls"] == [
        {"id": "call-a", "type": "function", "function": {"name": "get_tide", "arguments": '{"port":"Huế"}'}},
        {"id": "call-b", "type": "function", "function": {"name": "get_wind", "arguments": "{}"}},
    ]


@pytest.mark.parametrize(
    "calls", [5, "x", {"a": 1}, [5], [None], [{"index": "0"}], [{"index": -1}], [{"index": 10**9}]], ids=str
)
def test_tool_calls_that_are_none_make_no_answer(calls: Any) -> None:
    with pytest.raises(MalformedAnswer):
        Assembler(tally()).add({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]})


@pytest.mark.parametrize(
    "choice",
    [
        {"delta": {"tool_calls": [{"function": 5}]}},
        {"delta": {"content": 5}},
        {"delta": {"content": "a"}, "logprobs": [1]},
        {"delta": {"content": "a"}, "finish_reason": {}},
    ],
    ids=str,
)
def test_odd_values_do_not_break_the_assembling(choice: dict[str, Any]) -> None:
    assembler = Assembler(tally())
    assembler.add({"choices": [{"index": 0, **choice}]})
    assert len(assembler.answer()["choices"]) == 1


def test_unfinished_choices_make_no_whole_answer() -> None:
    assembler = Assembler(tally(2))
    assembler.add({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]})
    assert not assembler.is_complete(2)


def test_what_the_schema_requires_is_added_and_what_is_there_is_kept() -> None:
    answer = {"id": "up", "system_fingerprint": None, "x": 1, "choices": [{"message": {"tool_calls": None, "y": 2}}]}
    complete_answer(answer, public_id="chatcmpl-1", model="public", created=5)
    assert answer == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "public",
        "x": 1,
        "choices": [
            {
                "index": 0,
                "logprobs": None,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": None, "refusal": None, "y": 2},
            }
        ],
    }


@pytest.mark.parametrize("reason", [None, "eos", 5, [], {}], ids=str)
def test_whole_answer_gets_a_finish_reason_of_the_schema(reason: Any) -> None:
    answer = {"choices": [{"message": {}, "finish_reason": reason}]}
    complete_answer(answer, public_id="chatcmpl-1", model="public", created=5)
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_shown_usage_is_what_is_paid_and_what_else_the_upstream_said() -> None:
    usage = Usage(input=10, cached_input=4, output=6, reasoning=2)
    reported = {
        "prompt_tokens": 99,
        "completion_tokens": 6,
        "extra": 1,
        "nothing": None,
        "prompt_tokens_details": {"cached_tokens": 99, "audio_tokens": 0, "bad": None},
    }
    public = public_usage(usage, reported, "0.001", {"currency": "USD"})
    assert {name: value for name, value in public.items() if name != "cost"} == {
        "prompt_tokens": 10,
        "completion_tokens": 6,
        "total_tokens": 16,
        "extra": 1,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2},
        "cost_details": {"currency": "USD"},
    }
