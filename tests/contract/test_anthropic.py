"""A chat client before an upstream that speaks Anthropic's format: served, counted, priced and failed over as any."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from billing.kinds import Usage
from tests import upstream as up
from tests.callers import Caller
from tests.envelopes import assert_error
from tests.installation import DOLLAR, Offer, Shape, Tariff, Via
from tests.routing.providers.anthropic.streams import STOP, begins, brings, closes, ends, event, opens
from tests.worlds import World

OWN = Via(
    cost=Tariff(input=DOLLAR, output=4 * DOLLAR, cached_input=DOLLAR // 10, cache_write=2 * DOLLAR),
    provider="anthropic",
)
PRICE = Tariff(input=2 * DOLLAR, cached_input=DOLLAR // 2, cache_write=3 * DOLLAR, cache_write_1h=4 * DOLLAR)
CLAUDE = Shape(vias=(OWN,), price=PRICE)
BOTH = Shape(vias=(OWN, Via(cost=Tariff(input=3 * DOLLAR, output=9 * DOLLAR))), price=PRICE)
CACHING = Shape(vias=(Via(provider="anthropic", options=(("cache", "5m"),)),), price=PRICE)
USAGE = {
    "input_tokens": 10,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 30,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    "output_tokens": 7,
}
COST = 10 * 2_000 + 100 * 500 + 10 * 3_000 + 20 * 4_000 + 7 * 8_000
OWED = 10 * 1_000 + 100 * 100 + 30 * 2_000 + 7 * 4_000
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
ARGUMENTS = '{"city": "Đà Nẵng",  "n": 1.0}'
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})


@pytest.fixture
def claude(world: World) -> Offer:
    return world.offer(CLAUDE)


def told(*blocks: Any, reason: str = "end_turn", usage: Any = USAGE) -> up.Reply:
    content = list(blocks) or [{"type": "text", "text": "Hello there!"}]
    message = {"id": "msg_hidden", "type": "message", "role": "assistant", "model": "hidden-name", "content": content}
    return up.plain(200, {**message, "stop_reason": reason, "stop_sequence": None, "usage": usage})


def spoken(*parts: bytes, reason: str = "end_turn", end: bytes = STOP) -> up.Reply:
    early = {**USAGE, "output_tokens": 1}
    body = parts or (opens(), brings("text", text="Hello"), brings("text", text=" there!"), closes())
    return up.stream(begins(early), *body, ends(reason, usage={"output_tokens": 7}), end)


def assert_billed(caller: Caller) -> None:
    record = caller.only_record()
    assert (record.endpoint, record.usage_source, record.outcome) == ("chat.completions", "upstream", "success")
    assert record.usage == Usage(input=140, cached_input=100, cache_write=30, cache_write_1h=20, output=7)
    assert (record.cost, record.provider_cost) == (COST, OWED)


def test_whole_answer_is_chats_and_costs_what_was_used(caller: Caller, claude: Offer) -> None:
    caller.upstream.on(claude.upstream, told())
    before = caller.available

    response = caller.ask(claude)

    body = response.json()
    assert body["object"] == "chat.completion"
    assert body["model"] == claude.name
    assert body["choices"][0]["message"]["content"] == "Hello there!"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (140, 7)
    assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == 100
    assert Decimal(response.headers["x-costrouter-cost"]) == Decimal(COST).scaleb(-9)
    assert_billed(caller)
    assert caller.available == before - COST
    assert not any(word in response.text for word in ("hidden-name", "msg_hidden"))


def test_stream_is_chats_and_costs_what_was_used(caller: Caller, claude: Offer) -> None:
    caller.upstream.on(claude.upstream, spoken())

    seen = caller.listen(claude, stream_options={"include_usage": True})

    assert (seen.text(), seen.is_done) == ("Hello there!", True)
    assert [usage["prompt_tokens"] for usage in seen.usages] == [140]
    assert_billed(caller)


def test_upstream_is_asked_in_its_own_words(caller: Caller, claude: Offer) -> None:
    caller.upstream.on(claude.upstream, told())
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]

    caller.ask(claude, messages=messages, max_completion_tokens=50, stop="END", tools=[TOOL], tool_choice="required")

    (asked,) = caller.upstream.received(claude.upstream)
    assert asked.path.endswith("/v1/messages")
    assert (asked.header("x-api-key"), asked.header("authorization")) == (claude.secrets[0], None)
    assert asked.json == {
        "model": claude.upstream,
        "max_tokens": 50,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "stop_sequences": ["END"],
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "any"},
    }


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_tool_call_makes_its_round_with_its_thought(caller: Caller, claude: Offer, is_stream: bool) -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    pieces = [brings("input_json", 1, partial_json=ARGUMENTS[at : at + 3]) for at in range(0, len(ARGUMENTS), 3)]
    thought = [
        opens(type="thinking", thinking=""),
        brings("thinking", thinking="hm"),
        brings("signature", signature="s"),
    ]
    raw = json.dumps({**use, "input": 0}).replace('"input": 0', f'"input": {ARGUMENTS}')
    whole = (
        '{"type":"message","content":[{"type":"thinking","thinking":"hm","signature":"s"},'
        f'{raw}],"stop_reason":"tool_use","usage":{{"input_tokens":9,"output_tokens":7}}}}'
    )
    asked = spoken(*thought, closes(), opens(1, **use), *pieces, closes(1), reason="tool_use")
    caller.upstream.on(claude.upstream, asked if is_stream else up.plain(200, whole.encode()), told())

    if is_stream:
        choices = [choice for chunk in caller.listen(claude, tools=[TOOL]).chunks for choice in chunk["choices"]]
        said = [choice["delta"] for choice in choices]
        calls = [call for delta in said for call in delta.get("tool_calls", ())]
        assert "".join(call["function"]["arguments"] for call in calls) == ARGUMENTS
        reasoning = [detail for delta in said for detail in delta.get("reasoning_details", ())]
        call = {**calls[0], "function": {"name": "f", "arguments": ARGUMENTS}}
        finish = choices[-1]["finish_reason"]
    else:
        (choice,) = caller.ask(claude, tools=[TOOL]).json()["choices"]
        (call,), reasoning = choice["message"]["tool_calls"], choice["message"]["reasoning_details"]
        assert call["function"]["arguments"] == ARGUMENTS
        finish = choice["finish_reason"]
    assert finish == "tool_calls"
    turn = {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_details": reasoning}
    result = {"role": "tool", "tool_call_id": call["id"], "content": "warm"}
    caller.ask(claude, messages=[{"role": "user", "content": "Hi"}, turn, result], tools=[TOOL])

    again = caller.upstream.received(claude.upstream)[-1]
    assert again.json["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {**use, "input": json.loads(ARGUMENTS)},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "warm"}]},
    ]
    assert f'"input":{ARGUMENTS}'.encode() in again.body


OVERLOADS = {
    "529": up.plain(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    "an error with success": up.plain(200, {"type": "error", "error": {"message": "Overloaded"}}),
    "an event": up.stream(OVERLOADED),
    "an event behind the beginning": up.stream(begins(USAGE), OVERLOADED),
    "a beginning alone": up.stream(begins(USAGE)),
}


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("reply", OVERLOADS.values(), ids=OVERLOADS)
def test_overload_before_the_first_word_is_invisible(
    world: World, caller: Caller, reply: up.Reply, is_stream: bool
) -> None:
    both = world.offer(BOTH)
    caller.upstream.on(both.upstreams[0], reply)

    if is_stream:
        assert caller.listen(both).is_done
    else:
        assert caller.ask(both).status_code == 200

    assert [attempt["outcome"] for attempt in caller.only_record().attempts][1] == "answered"
    assert caller.only_record().outcome == "success"


def test_overload_within_the_answer_is_one_error_event_and_no_end(caller: Caller, claude: Offer) -> None:
    reply = up.stream(begins(USAGE), opens(), brings("text", text="Hello"), OVERLOADED)
    caller.upstream.on(claude.upstream, reply)

    seen = caller.listen(claude)

    assert (seen.text(), seen.is_done) == ("Hello", False)
    assert seen.error["code"] == "upstream_error"
    record = caller.only_record()
    assert (record.outcome, record.usage_source, record.input_tokens) == ("upstream_error", "upstream", 140)


def test_stream_that_is_cut_is_no_whole_answer(caller: Caller, claude: Offer) -> None:
    caller.upstream.on(claude.upstream, up.stream(begins(USAGE), opens(), brings("text", text="Hello"), closes()))

    seen = caller.listen(claude)

    assert (seen.is_done, seen.error["code"]) == (False, "upstream_error")


def test_what_anthropic_cannot_say_goes_to_a_route_that_can(world: World, caller: Caller) -> None:
    both = world.offer(BOTH)

    assert caller.ask(both, n=2, logprobs=True).status_code == 200

    assert caller.upstream.received(both.upstreams[0]) == []
    assert len(caller.upstream.received(both.upstreams[1])) == 1


@pytest.mark.parametrize(
    "member",
    [
        {"n": 2},
        {"logprobs": True},
        {"frequency_penalty": 1},
        {"response_format": {"type": "json_object"}},
        {"min_p": 0.5},
    ],
    ids=str,
)
def test_what_no_route_can_say_is_refused_by_name(caller: Caller, claude: Offer, member: dict[str, Any]) -> None:
    (name,) = member
    before = caller.available

    response = caller.ask(claude, **member)

    assert_error(response, 400, "invalid_request_error", "unsupported_parameter", param=name)
    assert caller.upstream.received(claude.upstream) == []
    assert (caller.records, caller.available) == ([], before)


def test_prompt_that_is_too_long_is_told_in_chats_words(caller: Caller, claude: Offer) -> None:
    error = {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}
    caller.upstream.on(claude.upstream, up.plain(400, {"type": "error", "error": error}))
    before = caller.available

    response = caller.ask(claude)

    assert_error(response, 400, "invalid_request_error", "context_length_exceeded")
    caller.wait_until_settled()
    assert caller.available == before


def test_channel_marks_for_a_client_that_knows_no_marks(world: World, caller: Caller) -> None:
    model = world.offer(CACHING)
    caller.upstream.on(model.upstream, told())
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two?"},
    ]

    response = caller.ask(model, messages=talk)

    mark = {"type": "ephemeral"}
    (asked,) = caller.upstream.received(model.upstream)
    assert asked.json["system"] == [{"type": "text", "text": "Be brief.", "cache_control": mark}]
    assert asked.json["messages"][0]["content"] == [{"type": "text", "text": "One?", "cache_control": mark}]
    assert "cache_control" not in json.dumps(asked.json["messages"][1:])
    assert "cached_input" in response.json()["usage"]["cost_details"]
