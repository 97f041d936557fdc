"""Chat streams of real shapes on their way to the client."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head
from routing.endpoints.chat import CHAT
from routing.endpoints.chat.answer import complete_answer, estimate_output, public_usage
from routing.endpoints.chat.assembler import ChatAssembler
from routing.endpoints.chat.schema import ChatRequest, read
from routing.endpoints.chat.stream import ChatRelay
from routing.providers import ADAPTERS
from routing.providers.base import MalformedAnswer, Reader, UpstreamCall
from routing.wire.events import DONE
from tests.routing.wire.test_events import parsed

FIXTURES = Path(__file__).parents[2] / "providers" / "fixtures"
HEAD = Head("chatcmpl-1", "public", 5)
BILL = Bill(Usage(input=10, output=6), {}, "0.001", {"currency": "USD"})


@pytest.mark.parametrize(
    ("deltas", "tokens"),
    [
        pytest.param([], 0, id="nothing"),
        pytest.param([{"role": "assistant"}, {"role": "assistant", "content": ""}], 0, id="role alone"),
        pytest.param([{"content": "a"}, {"content": " word"}], 2, id="a token a chunk"),
        pytest.param([{"content": "assistant"}], 1, id="the word assistant"),
        pytest.param([{"content": "x" * 41}], 11, id="a long chunk"),
        pytest.param([{"reasoning_content": "hm"}, {"refusal": "no"}], 2, id="other texts"),
        pytest.param([{"tool_calls": [{"index": 0}]}], 1, id="a tool call"),
    ],
)
def test_received_tokens_are_estimated_from_what_came(deltas: list[dict[str, Any]], tokens: int) -> None:
    relay = relay_of()
    relay.relay({"choices": [{"index": 0, "delta": {}}]})
    for delta in deltas:
        relay.relay({"choices": [{"index": 0, "delta": delta}]})
    assert relay.received_tokens() == tokens


# --- relay -----------------------------------------------------------------------------------------------------------


def request(choices: int = 1, *, shows_usage: bool = False) -> ChatRequest:
    options = {"stream_options": {"include_usage": True}} if shows_usage else {}
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True, "n": choices, **options}
    return read(body)


def relay_of(choices: int = 1, *, shows_usage: bool = False) -> ChatRelay:
    return ChatRelay(request(choices, shows_usage=shows_usage), HEAD, most_output=1_000)


def reader_of(name: str, choices: int = 1) -> Reader:
    """What reads this recorded stream: its name begins with the server's."""
    adapter = ADAPTERS.get(name.partition("_")[0], ADAPTERS["openai"])
    return adapter.open(UpstreamCall(CHAT.name, CHAT.path, {}, "up", "h", "", 5, choices, True))


def read_chunks(name: str, reader: Reader) -> list[dict[str, Any]]:
    """The chunks of a recorded stream."""
    events = reader.feed((FIXTURES / name).read_bytes()) + reader.feed(None)
    return [event for event in events if type(event) is dict]


def relayed(relay: ChatRelay, name: str, reader: Reader | None = None) -> list[dict[str, Any]]:
    """The client's chunks of a recorded stream."""
    out = [relay.relay(chunk) for chunk in read_chunks(name, reader or reader_of(name))]
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
    reader, relay = reader_of(name, choices), relay_of(choices)
    chunks = relayed(relay, name, reader)
    assert (text_of(chunks), reader.usage, relay.is_complete) == (text, usage, True)
    assert {(chunk["id"], chunk["model"], chunk["created"], chunk["object"]) for chunk in chunks} == {
        ("chatcmpl-1", "public", 5, "chat.completion.chunk")
    }


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.glob("*.sse") if "killed" not in path.name))
def test_usage_is_shown_only_to_who_asked(name: str) -> None:
    unasked = relayed(relay_of(), name)
    asked = relayed(relay_of(shows_usage=True), name)
    assert [chunk.get("usage", "absent") for chunk in unasked] == ["absent"] * len(unasked)
    assert [chunk["usage"] for chunk in asked] == [None] * len(asked)


def test_first_delta_of_each_choice_names_the_role_and_no_other_is_changed() -> None:
    name = "llamacpp_two_choices.sse"
    chunks = relayed(relay_of(2), name, reader_of(name, 2))
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
    chunks = relayed(relay_of(), "llamacpp_tools.sse")
    expected = [chunk["choices"][0]["delta"] for chunk in sent[1:-1]]
    (empty,) = (delta["tool_calls"][0] for delta in expected if '"{}"' in json.dumps(delta))
    empty["function"]["arguments"] = ""  # an empty object waits for what may come behind it
    expected[-1] = {"tool_calls": [{"index": empty["index"], "function": {"arguments": "{}"}}]}
    assert [chunk["choices"][0]["delta"] for chunk in chunks[1:]] == expected
    vllm = relayed(relay_of(), "vllm_usage.sse")
    assert vllm[0]["prompt_token_ids"] is None
    assert vllm[1]["choices"][0]["token_ids"] is None


@pytest.mark.parametrize("reason", ["eos", "", 5, [], {}], ids=str)
def test_finish_reason_outside_the_schema_becomes_stop(reason: Any) -> None:
    relay = relay_of()
    chunk = json.loads(relay.relay({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})[6:])
    assert (chunk["choices"][0]["finish_reason"], relay.is_complete) == ("stop", True)


@pytest.mark.parametrize("index", ["0", None, 1.0, True, [], {}], ids=str)
def test_choice_without_a_place_is_malformed(index: Any) -> None:
    chunk = {"choices": [{"index": index, "delta": {"content": "x"}}]}
    with pytest.raises(MalformedAnswer):
        ChatAssembler(1).add(chunk)


@pytest.mark.parametrize("delta", [{"content": "x", "deep": None}, {"deep": None}])
def test_chunk_nested_deeper_than_can_be_written_is_malformed(delta: dict[str, Any]) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(MalformedAnswer):
        relay_of().relay({"choices": [{"index": 0, "delta": {**delta, "deep": deep}}]})


def test_stream_is_complete_only_when_every_choice_is() -> None:
    relay = relay_of(2)
    relay.relay({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    half = relay.is_complete
    relay.relay({"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]})
    assert (half, relay.is_complete) == (False, True)


def test_stream_whose_upstream_is_done_is_no_whole_one_without_every_choice() -> None:
    relay = relay_of(choices=2)
    relay.relay({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]})
    relay.is_done = True
    before = relay.is_complete
    relay.relay({"choices": [{"index": 1, "delta": {"content": "b"}}]})
    assert (before, relay.is_complete) == (False, True)


@pytest.mark.parametrize(("count", "is_whole"), [(0, False), (1, False), (2, True), (3, True)])
def test_answer_has_as_many_choices_as_were_asked_for(count: int, is_whole: bool) -> None:
    answer = {"choices": [{"message": {"content": "a"}}] * count}
    with nullcontext() if is_whole else pytest.raises(MalformedAnswer, match="choices"):
        CHAT.check(request(2), answer)


def test_closing_is_done_alone_unless_more_was_asked_for() -> None:
    assert relay_of().closing(BILL) == DONE
    usage, done = parsed(relay_of(shows_usage=True).closing(BILL))
    assert (json.loads(usage)["usage"]["total_tokens"], json.loads(usage)["choices"], done) == (16, [], b"[DONE]")
    explained, _done = parsed(relay_of().closing(BILL, {"strategy": "cheapest"}))
    assert ("usage" in json.loads(explained), json.loads(explained)["costrouter"]) == (False, {"strategy": "cheapest"})


def test_closing_finishes_what_the_upstream_left_unfinished() -> None:
    relay = relay_of(shows_usage=True)
    relay.relay({"choices": [{"index": 0, "delta": {"content": "x"}}]})
    finish, usage, done = parsed(relay.closing(BILL))
    assert json.loads(finish)["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert (json.loads(finish)["usage"], json.loads(usage)["choices"], done) == (None, [], b"[DONE]")


# --- whole answers ---------------------------------------------------------------------------------------------------


def assembled(name: str, choices: int) -> dict[str, Any]:
    assembler = ChatAssembler(choices)
    for chunk in read_chunks(name, reader_of(name, choices)):
        assembler.add(chunk)
    assert assembler.is_complete
    return assembler.answer()


def test_stream_is_assembled_into_an_answer() -> None:
    answer = assembled("llamacpp_two_choices.sse", 2)
    texts = [(choice["index"], choice["message"]["content"]) for choice in answer["choices"]]
    assert texts == [(0, "Hey you two"), (1, "Good day")]
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["stop", "length"]
    assert [entry["token"] for entry in answer["choices"][0]["logprobs"]["content"]] == ["Hey", " you", " two"]
    assert answer["system_fingerprint"] == "b0-unknown"


def test_tool_calls_are_assembled_from_their_pieces() -> None:
    answer = assembled("llamacpp_tools.sse", 1)
    assert answer["choices"][0]["message"]["tool_calls"] == [
        {"id": "call-a", "type": "function", "function": {"name": "get_tide", "arguments": '{"port":"Huế"}'}},
        {"id": "call-b", "type": "function", "function": {"name": "get_wind", "arguments": "{}"}},
    ]


@pytest.mark.parametrize("calls", [5, "x", {"a": 1}, [5], [None], [{"index": "0"}]], ids=str)
def test_tool_calls_that_are_none_make_no_answer(calls: Any) -> None:
    with pytest.raises(MalformedAnswer):
        ChatAssembler(1).add({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]})


@pytest.mark.parametrize("first", [-1, 0, 1, 10**9])
def test_tool_calls_stand_in_the_order_in_which_they_came(first: int) -> None:
    assembler = ChatAssembler(2)
    parts: list[tuple[int, dict[str, Any]]] = [(first, {"id": "a", "function": {"name": "f", "arguments": "["}})]
    parts.append((5, {"id": "b"}))
    for index, part in (*parts, (first, {"function": {"arguments": "]"}})):
        choices = [{"index": at, "delta": {"tool_calls": [{"index": index, **part}]}} for at in (0, 1)]
        assembler.add({"choices": choices})

    calls = [choice["message"]["tool_calls"] for choice in assembler.answer()["choices"]]
    assert calls == [[{"id": "a", "function": {"name": "f", "arguments": "[]"}}, {"id": "b"}]] * 2


@pytest.mark.parametrize("empty", [None, []])
def test_no_tool_calls_are_none_in_the_answer(empty: Any) -> None:
    assembler = ChatAssembler(1)
    assembler.add({"choices": [{"index": 0, "delta": {"content": "a", "tool_calls": empty}}]})

    assert assembler.answer()["choices"][0]["message"] == {"role": "assistant", "content": "a"}


def test_tool_calls_of_an_answer_are_bounded() -> None:
    assembler = ChatAssembler(1)
    calls = [{"index": index} for index in range(1024)]
    assembler.add({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]})

    with pytest.raises(MalformedAnswer, match="too many tool calls"):
        assembler.add({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": -1}]}}]})


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
    assembler = ChatAssembler(1)
    assembler.add({"choices": [{"index": 0, **choice}]})
    assert len(assembler.answer()["choices"]) == 1


def test_unfinished_choices_make_no_whole_answer() -> None:
    assembler = ChatAssembler(2)
    assembler.add({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]})
    assert not assembler.is_complete


def test_what_the_schema_requires_is_added_and_what_is_there_is_kept() -> None:
    answer = {"id": "up", "system_fingerprint": None, "x": 1, "choices": [{"message": {"tool_calls": None, "y": 2}}]}
    complete_answer(answer, HEAD)
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
    complete_answer(answer, HEAD)
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
    public = public_usage(Bill(usage, reported, "0.001", {"currency": "USD"}))
    assert {name: value for name, value in public.items() if name != "cost"} == {
        "prompt_tokens": 10,
        "completion_tokens": 6,
        "total_tokens": 16,
        "extra": 1,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2},
        "cost_details": {"currency": "USD"},
    }


# --- what is ours to mend --------------------------------------------------------------------------------------------


def choices_of(relay: ChatRelay, *choices: dict[str, Any]) -> list[dict[str, Any]]:
    """What clients get of these choices, one a chunk."""
    out = [relay.relay({"choices": [{"index": 0, "delta": {}, **choice}]}) for choice in choices]
    return [json.loads(event)["choices"][0] for event in parsed(*out)]


@pytest.mark.parametrize(
    "beside",
    [
        {
            "annotations": [
                {"type": "url_citation", "url_citation": {"url": "https://x.example/" * 9, "title": "x" * 99}}
            ]
        },
        {"citations": ["https://x.example/" * 9]},
    ],
    ids=["annotations", "citations"],
)
def test_what_nobody_wrote_is_not_counted(beside: dict[str, Any]) -> None:
    relay = relay_of()
    for _time in range(10):
        relay.relay({"choices": [{"index": 0, "delta": {"content": "ab", **beside}}]})

    assert relay.received_tokens() == 10
    message = {"content": "four", "annotations": [{**beside}]}
    assert estimate_output({"choices": [{"message": message}]}) == 1


@pytest.mark.parametrize("role", ["model", "Assistant", 1, "tool"])
def test_whoever_speaks_is_the_assistant(role: Any) -> None:
    said = choices_of(relay_of(), {"delta": {"role": role, "content": "a"}}, {"delta": {"role": role, "content": "b"}})
    assert [choice["delta"]["role"] for choice in said] == ["assistant", "assistant"]


def test_first_finish_reason_is_the_only_one() -> None:
    said = choices_of(relay_of(), *({"delta": {"content": "a"}, "finish_reason": word} for word in ("length", "stop")))
    assert [choice["finish_reason"] for choice in said] == ["length", None]
    assert [choice["delta"]["content"] for choice in said] == ["a", "a"]


@pytest.mark.parametrize(
    ("delta", "is_complete"),
    [
        ({"role": "assistant"}, False),
        ({"role": "assistant", "content": ""}, False),
        ({"reasoning_content": "hm"}, False),
        ({"reasoning": "hm", "reasoning_details": [{"text": "hm"}]}, False),
        ({"content": "a"}, True),
        ({"reasoning": "hm", "content": "a"}, True),
        ({"refusal": "no"}, True),
        ({"function_call": {"name": "f", "arguments": "{}"}}, True),
        ({"function_call": {"name": "f", "arguments": '{"x":'}}, False),
    ],
)
def test_done_without_a_reason_ends_only_what_was_answered(delta: dict[str, Any], is_complete: bool) -> None:
    relay = relay_of()
    choices_of(relay, {"delta": delta})
    relay.is_done = True
    assert relay.is_complete is is_complete


def test_function_call_without_a_reason_is_one() -> None:
    relay = relay_of()
    choices_of(relay, {"delta": {"function_call": {"name": "f", "arguments": "{}"}}})
    relay.is_done = True
    assert b'"finish_reason":"function_call"' in relay.closing(BILL)
    answer: dict[str, Any] = {"choices": [{"message": {"function_call": {"name": "f", "arguments": "{}"}}}]}
    complete_answer(answer, HEAD)
    assert answer["choices"][0]["finish_reason"] == "function_call"
    with pytest.raises(MalformedAnswer):
        complete_answer({"choices": [{"message": {"function_call": {"name": "f", "arguments": "{"}}}]}, HEAD)


@pytest.mark.parametrize("logprobs", [[], False, "x", 5])
def test_logprobs_of_another_form_go(logprobs: Any) -> None:
    assert choices_of(relay_of(), {"delta": {"content": "a"}, "logprobs": logprobs})[0]["logprobs"] is None


def test_logprobs_get_what_the_schema_requires() -> None:
    token = {"token": "a", "logprob": None, "top_logprobs": [{"token": "b", "logprob": -1}]}
    said = choices_of(
        relay_of(), {"delta": {"content": "a"}, "logprobs": {"content": [token, {"token": "c", "logprob": -2}]}}
    )
    assert said[0]["logprobs"] == {
        "content": [
            {"token": "a", "logprob": -9999.0, "bytes": None,
             "top_logprobs": [{"token": "b", "logprob": -1, "bytes": None}]},
            {"token": "c", "logprob": -2, "bytes": None, "top_logprobs": []},
        ],
        "refusal": None,
    }  # fmt: skip


def test_tokens_that_are_none_go() -> None:
    tokens = [None, 5, {"token": None}, {"token": "a", "logprob": "-1", "bytes": "x", "top_logprobs": [None]}]

    (choice,) = choices_of(relay_of(), {"delta": {"content": "a"}, "logprobs": {"content": tokens}})

    right = {"token": "a", "logprob": -9999.0, "bytes": None, "top_logprobs": []}
    assert choice["logprobs"] == {"content": [right], "refusal": None}


def test_thought_that_comes_under_two_names_counts_once() -> None:
    relay, text = relay_of(), "thinking about it for a while " * 4
    choices_of(relay, {"delta": {"reasoning": text, "reasoning_content": text}})
    assert relay.received_tokens() == len(text) // 4
    message = {"content": None, "reasoning": text, "reasoning_content": text}
    assert estimate_output({"choices": [{"message": message}]}) == len(text) // 4


def test_details_of_a_thought_count_no_more_than_its_text() -> None:
    relay, text = relay_of(), "thinking about it for a while " * 4
    choices_of(relay, {"delta": {"reasoning_content": text, "reasoning_details": [{"text": text, "index": 0}]}})
    assert relay.received_tokens() == len(text) // 4
    choices_of(relay, {"delta": {"reasoning_details": [{"text": text, "index": 0}]}})
    assert relay.received_tokens() == 2 * len(text) // 4


HIDDEN = (b"host.example", b"sk-upstream")


@pytest.mark.parametrize("name", ["delta", "message"])
def test_upstreams_identity_is_nowhere_beside_what_the_model_said(name: str) -> None:
    function = {"name": "f", "arguments": "{}", "by": "host.example"}
    call = {"index": 0, "id": "c", "type": "function", "function": function, "from": "sk-upstream"}
    said = {"content": "see host.example", "provider": "x", "organization": "org-1",
            "served_by": "https://host.example", "tool_calls": [call]}  # fmt: skip
    choice = {"index": 0, name: said, "finish_reason": "stop", "account_id": "a", "node": "sk-upstream",
              "logprobs": {"content": [], "from": "host.example"}}  # fmt: skip
    value = {"choices": [choice], "system_fingerprint": "fp host.example", "via": "host.example"}
    head = Head("chatcmpl-1", "public", 5, HIDDEN)
    if name == "delta":
        (chunk,) = parsed(ChatRelay(request(), head, 100).relay(value))
        out = json.loads(chunk)
    else:
        out = json.loads(CHAT.complete(request(), value, head, BILL))
    kept = out["choices"][0][name]
    assert kept["content"] == "see host.example"
    text = json.dumps({**out, "choices": [{**out["choices"][0], name: {**kept, "content": ""}}]})
    assert not [word for word in ("host.example", "sk-upstream", "org-1", "account_id", "provider") if word in text]
    assert kept["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


@pytest.mark.parametrize(
    "member",
    [
        pytest.param({"cost_in_usd_ticks": 232_856_000}, id="xAI"),
        pytest.param({"estimated_cost": 0.5}, id="DeepInfra"),
        pytest.param({"cost": 0.77, "cost_details": {"upstream_inference_cost": 66}}, id="OpenRouter"),
        pytest.param({"cost": {"total_cost": 2}}, id="Perplexity"),
        pytest.param(
            {"upstream_inference_cost": 1, "totalCost": 2, "Price": 3, "credits_used": 4, "quota": 5}, id="others"
        ),
        pytest.param({"billing": {"prompt": 1}}, id="an object"),
        pytest.param({"prompt_tokens_details": {"cost_in_usd_ticks": 1}}, id="in the prompt's details"),
        pytest.param({"completion_tokens_details": {"price": 1}}, id="in the completion's details"),
        pytest.param({"server_tool_use": {"cost": 1}}, id="in another object"),
        pytest.param({"queue_time": 0.1, "is_byok": True, "search_context_size": "low", "list": [1]}, id="no counts"),
    ],
)
def test_shown_usage_keeps_what_the_operator_pays(member: dict[str, Any]) -> None:
    bill = Bill(Usage(input=10, output=6), {"prompt_tokens": 10, **member}, "0.001", {"currency": "USD"})
    assert orjson.loads(orjson.dumps(public_usage(bill))) == {
        "prompt_tokens": 10,
        "completion_tokens": 6,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "cost": 0.001,
        "cost_details": {"currency": "USD"},
    }


def test_shown_usage_has_counts_alone_and_grouped() -> None:
    reported = {
        "num_sources_used": 3,
        "cache_creation": {"ephemeral_5m_input_tokens": 4, "price": 1},
        "prompt_tokens_details": {"text_tokens": 9},
    }
    public = public_usage(Bill(Usage(input=10, output=6), reported, "0.001", {}))
    assert public["num_sources_used"] == 3
    assert public["cache_creation"] == {"ephemeral_5m_input_tokens": 4}
    assert public["prompt_tokens_details"] == {"text_tokens": 9, "cached_tokens": 0}


def test_names_in_usage_that_no_count_has_are_not_shown_nor_kept() -> None:
    usage = public_usage(Bill(Usage(input=1, output=1), {"x" * 64: 1, "y" * 65: 1, "z" * 10**6: 1}, "0", {}))
    assert [name for name in usage if name[0] in "xyz"] == ["x" * 64]
