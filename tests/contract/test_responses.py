"""POST /v1/responses: OpenAI's Responses API in, whatever the upstream speaks out; priced and held as chat is."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests import upstream as up
from tests.callers import Caller, decoded, record_id
from tests.envelopes import assert_error
from tests.installation import CHEAP, COST, DEAR, Offer, Shape, Via
from tests.responding import PATH, assert_grammar, assert_response, listen, respond
from tests.worlds import World

NATIVE = Shape(vias=(Via(options=(("endpoints", ("responses", "chat.completions")),)),))


@pytest.fixture
def native(world: World) -> Offer:
    """A model whose upstream has the Responses API itself."""
    return world.offer(NATIVE)


# --- over chat -------------------------------------------------------------------------------------------------------


def test_answer_is_the_public_schemas_and_costs_what_the_ledger_says(caller: Caller, model: Offer) -> None:
    before = caller.available

    response = respond(caller, model, instructions="Be brief.", metadata={"a": "b"}, temperature=0.5)

    body, record = decoded(response.content), caller.only_record()
    assert_response(body)
    (message,) = body["output"]
    assert (message["type"], message["role"], message["status"]) == ("message", "assistant", "completed")
    assert message["content"] == [
        {"type": "output_text", "annotations": [], "logprobs": [], "text": "Hello there!"}
    ]  # fmt: skip
    assert (body["object"], body["status"], body["model"]) == ("response", "completed", model.name)
    assert (body["error"], body["incomplete_details"], body["store"]) == (None, None, False)
    assert (body["instructions"], body["metadata"], body["temperature"]) == ("Be brief.", {"a": "b"}, Decimal("0.5"))
    assert body["usage"] == {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 17,
        "cost": Decimal(COST).scaleb(-9),
        "cost_details": body["usage"]["cost_details"],
    }
    assert body["id"] == f"resp_{record.id.hex}"
    assert (record.endpoint, record.input_tokens, record.output_tokens, record.cost) == ("responses", 12, 5, COST)
    assert caller.available == before - COST


def test_upstream_is_asked_in_its_own_format(caller: Caller, model: Offer) -> None:
    respond(
        caller, model, instructions="Be brief.", max_output_tokens=50, temperature=0, reasoning={"effort": "low"},
        text={"verbosity": "low"}, store=True, top_k=3, client_metadata={"a": "b"}, metadata={"c": "d"}, user="u",
    )  # fmt: skip

    asked = caller.upstream.requests[-1]
    assert asked.path.endswith("/chat/completions")
    assert asked.json == {
        "model": model.upstream,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is the sea?"},
        ],
        "max_tokens": 50, "temperature": 0, "reasoning_effort": "low", "verbosity": "low", "top_k": 3, "user": "u",
    }  # fmt: skip


def test_stream_follows_the_grammar_of_events(caller: Caller, model: Offer) -> None:
    heard = listen(caller, model)

    assert heard.kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 5,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert_grammar(heard)
    assert heard.text == "One two three four five"
    record = caller.only_record()
    assert heard.response["usage"]["cost"] == Decimal(COST).scaleb(-9)
    assert {event["response"]["id"] for event in heard.events if "response" in event} == {f"resp_{record.id.hex}"}
    assert {event["response"]["model"] for event in heard.events if "response" in event} == {model.name}
    assert (record.endpoint, record.is_stream, record.cost) == ("responses", True, COST)


def test_whole_and_stream_say_the_same(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.answer("One two three four five"), up.told())
    whole, heard = decoded(respond(caller, model).content), listen(caller, model)

    same = ("status", "tools", "usage", "text", "reasoning", "model", "top_p")
    assert [whole[name] for name in same] == [heard.response[name] for name in same]
    assert whole["output"][0]["content"] == heard.response["output"][0]["content"]


WEATHER = {
    "type": "function", "name": "get_weather", "strict": True,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}  # fmt: skip
PATCH = {
    "type": "custom", "name": "apply_patch", "description": "Edits.",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "x"'},
}  # fmt: skip
ARGUMENTS = '{ "city":"Hà Nội \\ud83c\\udf0f",\n"n": 1.50e0 }'


def calling(*calls: tuple[int, str, str]) -> up.Reply:
    """A stream of tool calls: index, name, arguments, the arguments letter by letter."""
    chunks = []
    for index, name, arguments in calls:
        begun = {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": ""}}
        chunks.append(up.chunk({"tool_calls": [begun]}))
        chunks += [up.chunk({"tool_calls": [{"index": index, "function": {"arguments": a}}]}) for a in arguments]
    ended = [up.chunk({}, finish_reason="tool_calls"), up.usage_chunk()]
    return up.stream(*map(up.event, (up.ROLE, *chunks, *ended)), up.DONE)


def test_arguments_of_streamed_calls_are_the_upstreams_to_the_byte(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, calling((0, "get_weather", ARGUMENTS), (1, "get_weather", "{}")))

    heard = listen(caller, model, tools=[WEATHER], tool_choice="required", parallel_tool_calls=True)

    assert_grammar(heard)
    first, second = heard.response["output"]
    assert (first["type"], first["name"], first["call_id"], first["arguments"]) == (
        "function_call", "get_weather", "call_0", ARGUMENTS,
    )  # fmt: skip
    assert (second["call_id"], second["arguments"]) == ("call_1", "{}")
    asked = caller.upstream.requests[-1].json
    assert asked["tools"] == [
        {
            "type": "function",
            "function": {"name": "get_weather", "parameters": WEATHER["parameters"], "strict": True},
        }
    ]
    assert (asked["tool_choice"], asked["parallel_tool_calls"]) == ("required", True)


def test_text_that_a_custom_tool_takes_comes_as_text(caller: Caller, model: Offer) -> None:
    text = '*** Begin Patch\n+"ü"\n*** End Patch'
    caller.upstream.on(model.upstream, calling((0, "apply_patch", json.dumps({"input": text}))))

    heard = listen(caller, model, tools=[PATCH], tool_choice={"type": "custom", "name": "apply_patch"})

    assert_grammar(heard)
    (call,) = heard.response["output"]
    assert (call["type"], call["name"], call["call_id"], call["input"]) == (
        "custom_tool_call", "apply_patch", "call_0", text,
    )  # fmt: skip
    (asked,) = caller.upstream.requests[-1].json["tools"]
    assert asked["function"]["parameters"]["required"] == ["input"]
    assert 'start: "x"' in asked["function"]["parameters"]["properties"]["input"]["description"]


THINKING = [
    up.chunk({"role": "assistant", "reasoning_content": "Let me "}),
    up.chunk({"reasoning_content": "think."}),
    up.chunk({"reasoning_details": [{"type": "reasoning.text", "text": "", "signature": "sig", "index": 0}]}),
    up.chunk({"content": "Blue."}),
    up.FINISH,
    up.usage_chunk({**up.USAGE, "completion_tokens_details": {"reasoning_tokens": 3}}),
]


@pytest.mark.parametrize(("summary", "place"), [("auto", "summary"), (None, "content")])
def test_what_was_thought_is_an_item_and_comes_back_to_the_upstream(
    caller: Caller, model: Offer, summary: str | None, place: str
) -> None:
    caller.upstream.on(model.upstream, up.stream(*map(up.event, THINKING), up.DONE))
    thinking: dict[str, Any] = {"reasoning": {"summary": summary}, "include": ["reasoning.encrypted_content"]}

    heard = listen(caller, model, **thinking)

    assert_grammar(heard)
    thought, message = heard.response["output"]
    assert [part["text"] for part in thought[place]] == ["Let me think."]
    assert message["content"][0]["text"] == "Blue."
    assert heard.response["usage"]["output_tokens_details"]["reasoning_tokens"] == 3

    respond(caller, model, input=[{"role": "user", "content": "Why?"}, thought, message], **thinking)
    assert caller.upstream.requests[-1].json["messages"][1] == {
        "role": "assistant", "content": "Blue.", "reasoning_content": "Let me think.",
    }  # fmt: skip


def test_encrypted_thoughts_are_shown_only_where_they_are_asked_for(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.stream(*map(up.event, THINKING), up.DONE))
    assert "encrypted_content" not in listen(caller, model).response["output"][0]


def test_schema_is_asked_for_and_comes_as_text(caller: Caller, model: Offer) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    format_ = {"type": "json_schema", "name": "thing", "schema": schema, "strict": True}
    caller.upstream.on(model.upstream, up.answer('{"a": 1}'))

    body = decoded(respond(caller, model, text={"format": format_}).content)

    assert body["text"]["format"] == format_
    assert body["output"][0]["content"][0]["text"] == '{"a": 1}'
    assert caller.upstream.requests[-1].json["response_format"] == {
        "type": "json_schema", "json_schema": {"name": "thing", "schema": schema, "strict": True},
    }  # fmt: skip


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_answer_that_was_ended_early_is_incomplete(caller: Caller, model: Offer, finish: str, reason: str) -> None:
    ended = [up.event(item) for item in (*up.words("One two"), up.chunk({}, finish_reason=finish), up.usage_chunk())]
    caller.upstream.on(model.upstream, up.answer(finish_reason=finish), up.stream(*ended, up.DONE))

    whole, heard = decoded(respond(caller, model).content), listen(caller, model)

    assert_response(whole)
    assert_grammar(heard)
    for response in (whole, heard.response):
        assert response["status"] == response["output"][0]["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": reason}
    assert heard.kinds[-1] == "response.incomplete"


def test_refusal_of_the_model_is_a_part_of_its_own(caller: Caller, model: Offer) -> None:
    said = [up.chunk({"content": "Well. "}), up.chunk({"refusal": "I "}), up.chunk({"refusal": "won't."}), up.FINISH]
    caller.upstream.on(model.upstream, up.stream(*map(up.event, (*said, up.usage_chunk())), up.DONE))

    heard = listen(caller, model)

    assert_grammar(heard)
    assert [part["type"] for part in heard.response["output"][0]["content"]] == ["output_text", "refusal"]
    assert heard.response["output"][0]["content"][1] == {"type": "refusal", "refusal": "I won't."}


# --- what goes wrong -------------------------------------------------------------------------------------------------

WORDS = (up.ROLE, *up.words("One two three four five"), up.FINISH)


@pytest.mark.parametrize("length", range(1, len(WORDS)))
def test_stream_that_is_cut_ends_in_an_error_and_never_looks_whole(caller: Caller, model: Offer, length: int) -> None:
    cut = up.stream(*map(up.event, WORDS[:length]), end=up.End.CLOSE, is_terminated=False)
    caller.upstream.on(model.upstream, cut)

    heard = listen(caller, model)

    assert heard.kinds[-1] == "error"
    assert not {"response.completed", "response.incomplete", "response.output_item.done"}.intersection(heard.kinds)
    error = heard.events[-1]
    assert [event["sequence_number"] for event in heard.events] == list(range(len(heard.events)))
    assert (error["code"], error["param"]) == ("upstream_error", None)
    assert error["error"] == {
        "type": "server_error", "code": "upstream_error", "param": None, "message": error["message"],
    }  # fmt: skip
    caller.wait_until_settled()


def test_failing_first_route_is_invisible(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(vias=(CHEAP, DEAR)))
    caller.upstream.on(offer.upstreams[0], up.plain(500, {"error": {"message": "no"}}))

    heard = listen(caller, offer)

    assert heard.kinds[-1] == "response.completed"
    assert len(caller.only_record().attempts) == 2


def test_a_client_that_leaves_pays_for_what_it_got(world: World, caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.stream(*map(up.event, WORDS[:3]), up.HANG))
    before = caller.available
    with caller.client.stream(
        "POST", PATH, json={"model": model.name, "input": "What is the sea?", "stream": True}
    ) as response:
        for data in response.iter_raw():
            if b"two" in data:
                break

    record = caller.only_record(seconds=5)
    assert (record.outcome, record.usage_source) == ("client_gone", "estimated")
    assert 0 < record.cost == before - caller.available


def test_spent_quota_is_refused_in_openais_envelope(world: World, model: Offer) -> None:
    poor = world.caller(funds="0.000001")
    with poor.nothing_changes():
        for stream in (False, True):
            response = respond(poor, model, max_output_tokens=5000, stream=stream)
            assert_error(response, 429, "insufficient_quota", "insufficient_quota", param=None)


LATER: dict[str, Any] = {
    "previous_response_id": "resp_1", "conversation": "conv_1", "background": True, "prompt": {"id": "pmpt_1"},
}  # fmt: skip


@pytest.mark.parametrize("name", LATER)
@pytest.mark.parametrize("is_native", [False, True], ids=["chat", "native"])
def test_what_needs_something_kept_is_refused_by_name(world: World, caller: Caller, name: str, is_native: bool) -> None:
    offer = world.offer(NATIVE if is_native else Shape())
    with caller.nothing_changes():
        response = respond(caller, offer, **{name: LATER[name]})
    assert_error(response, 400, "invalid_request_error", "unsupported_parameter", param=name)


ITEM = {"role": "user", "content": "a"}
UNSAID: dict[str, dict[str, Any]] = {
    "tools[0].type": {"tools": [{"type": "local_shell"}]},
    "input[1].type": {"input": [ITEM, {"type": "web_search_call", "id": "ws_1", "status": "completed"}]},
    "input[0].content[0].file_url": {
        "input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://a.example/a.pdf"}]}]
    },
    "context_management": {"context_management": [{"type": "compaction"}]},
    "tool_choice": {"tools": [WEATHER], "tool_choice": {"type": "function", "name": "other"}},
}


@pytest.mark.parametrize("param", UNSAID)
def test_what_chat_cannot_say_is_refused_by_name_but_goes_where_it_can_be_said(
    caller: Caller, model: Offer, native: Offer, param: str
) -> None:
    with caller.nothing_changes():
        response = respond(caller, model, **UNSAID[param])
    assert_error(response, 400, "invalid_request_error", "unsupported_parameter", param=param)

    caller.upstream.on(native.upstream, told())
    assert respond(caller, native, **UNSAID[param]).status_code == 200


def test_conversation_that_may_be_shortened_is_answered_where_it_fits_and_refused_where_not(
    caller: Caller, model: Offer
) -> None:
    answer = respond(caller, model, truncation="auto")
    assert (answer.status_code, "truncation" in caller.upstream.requests[-1].json) == (200, False)

    response = respond(caller, model, truncation="auto", input="long " * 1_000_000)
    assert_error(response, 400, "invalid_request_error", "context_length_exceeded", param="input")


@pytest.mark.parametrize("kind", ["web_search", "file_search", "code_interpreter", "image_generation", "mcp"])
def test_hosted_tools_have_no_price(caller: Caller, native: Offer, kind: str) -> None:
    with caller.nothing_changes():
        response = respond(caller, native, tools=[{"type": kind}])
    assert_error(response, 400, "invalid_request_error", "unsupported_parameter", param="tools[0].type")


def test_stored_answers_are_not_there(caller: Caller) -> None:
    with caller.nothing_changes():
        for method, path in (("GET", "resp_1"), ("DELETE", "resp_1"), ("POST", "resp_1/cancel"), ("GET", "a/b")):
            response = caller.client.request(method, f"{PATH}/{path}")
            assert_error(response, 404, "invalid_request_error", "response_not_found", param="response_id")


def test_who_asks_for_a_websocket_is_told_at_once(caller: Caller) -> None:
    headers = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    response = caller.client.get(PATH, headers=headers)
    assert_error(response, 426, "invalid_request_error", "websocket_not_supported", param=None)
    assert caller.client.get(PATH).status_code == 405


# --- native ----------------------------------------------------------------------------------------------------------

USED = {
    "input_tokens": 12, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 17,
}  # fmt: skip
NATIVE_COST = 8 * 2_000 + 4 * 500 + 5 * 8_000
MESSAGE: dict[str, Any] = {
    "id": "msg_up", "type": "message", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": "Blue.", "annotations": []}],
}  # fmt: skip
THOUGHT: dict[str, Any] = {"id": "rs_up", "type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}


def response_of(*output: Any, **members: Any) -> dict[str, Any]:
    return {
        "id": "resp_upstream", "object": "response", "created_at": 1_700_000_000, "status": "completed",
        "model": "hidden-name", "output": list(output), "store": True, **members,
    }  # fmt: skip


def told(*output: Any, usage: Any = USED, **members: Any) -> up.Reply:
    return up.plain(200, response_of(*(output or (MESSAGE,)), usage=usage, **members))


def named(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def native_events(*, last: str = "response.completed", **ended: Any) -> list[bytes]:
    grown: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": response_of(status="in_progress")}),
        ("response.in_progress", {"response": response_of(status="in_progress")}),
        ("response.output_item.added", {"output_index": 0, "item": {**MESSAGE, "content": []}}),
        ("response.content_part.added", {"output_index": 0, "content_index": 0, "item_id": "msg_up",
                                         "part": {"type": "output_text", "text": "", "annotations": []}}),
        ("response.output_text.delta", {"output_index": 0, "content_index": 0, "item_id": "msg_up", "delta": "Bl"}),
        ("response.output_text.delta", {"output_index": 0, "content_index": 0, "item_id": "msg_up", "delta": "ue."}),
        ("response.output_text.done", {"output_index": 0, "content_index": 0, "item_id": "msg_up", "text": "Blue."}),
        ("response.content_part.done", {"output_index": 0, "content_index": 0, "item_id": "msg_up",
                                        "part": MESSAGE["content"][0]}),
        ("response.output_item.done", {"output_index": 0, "item": MESSAGE}),
        (last, {"response": response_of(MESSAGE, usage=USED, **ended)}),
    ]  # fmt: skip
    return [named(kind, **members, sequence_number=number) for number, (kind, members) in enumerate(grown)]


def test_native_answer_passes_with_what_is_ours(caller: Caller, native: Offer) -> None:
    caller.upstream.on(native.upstream, told(THOUGHT, MESSAGE))

    body = decoded(respond(caller, native, top_k=3, max_output_tokens=50).content)

    assert_response(body)
    record = caller.only_record()
    assert (body["id"], body["model"], body["store"]) == (f"resp_{record.id.hex}", native.name, False)
    assert body["created_at"] == 1_700_000_000
    assert [item["id"] for item in body["output"]] == ["rs_up", "msg_up"]
    assert body["output"][0]["encrypted_content"] == "gAAAA"
    assert body["usage"]["input_tokens_details"]["cached_tokens"] == 4
    assert body["usage"]["output_tokens_details"]["reasoning_tokens"] == 2
    assert body["usage"]["cost"] == Decimal(NATIVE_COST).scaleb(-9)
    assert (record.cost, record.usage_source) == (NATIVE_COST, "upstream")
    asked = caller.upstream.requests[-1]
    assert asked.path.endswith("/responses")
    assert asked.json == {
        "model": native.upstream, "input": "What is the sea?", "top_k": 3, "max_output_tokens": 50, "store": False,
    }  # fmt: skip


def test_native_stream_passes_with_what_is_ours(caller: Caller, native: Offer) -> None:
    caller.upstream.on(native.upstream, up.stream(*native_events()))

    heard = listen(caller, native)

    assert_grammar(heard)
    assert heard.kinds[-1] == "response.completed"
    assert heard.text == "Blue."
    record = caller.only_record()
    assert {event["response"]["id"] for event in heard.events if "response" in event} == {f"resp_{record.id.hex}"}
    assert heard.response["usage"]["cost"] == Decimal(NATIVE_COST).scaleb(-9)
    assert b"hidden-name" not in heard.raw
    assert caller.upstream.requests[-1].json["stream"] is True


CALL: dict[str, Any] = {
    "id": "fc_up", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "f", "arguments": "{}",
}  # fmt: skip
PARTS: list[Any] = [{"type": "output_text", "text": text, "annotations": []} for text in ("Blue.", "Deep.")]


def placeless_events() -> list[bytes]:
    """As llama.cpp's server sends them: nothing says where it stands; two parts, then a call."""
    message = {**MESSAGE, "content": PARTS}
    grown: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": response_of(status="in_progress")}),
        ("response.in_progress", {"response": response_of(status="in_progress")}),
        ("response.output_item.added", {"item": {**message, "content": []}}),
    ]
    for part in PARTS:
        grown += [
            ("response.content_part.added", {"item_id": "msg_up", "part": {**part, "text": ""}}),
            ("response.output_text.delta", {"item_id": "msg_up", "delta": part["text"]}),
            ("response.output_text.done", {"item_id": "msg_up", "text": part["text"]}),
            ("response.content_part.done", {"item_id": "msg_up", "part": part}),
        ]
    grown += [
        ("response.output_item.done", {"item": message}),
        ("response.output_item.added", {"item": {**CALL, "arguments": "", "status": "in_progress"}}),
        ("response.function_call_arguments.delta", {"item_id": "fc_up", "delta": "{}"}),
        ("response.function_call_arguments.done", {"item_id": "fc_up", "arguments": "{}", "name": "f"}),
        ("response.output_item.done", {"item": CALL}),
        ("response.completed", {"response": response_of(message, CALL, usage=USED)}),
    ]
    return [named(kind, **members) for kind, members in grown]


def test_native_stream_that_does_not_say_where_its_events_stand_is_completed(caller: Caller, native: Offer) -> None:
    caller.upstream.on(native.upstream, up.stream(*placeless_events()))

    heard = listen(caller, native)

    assert_grammar(heard)
    deltas = heard.of("response.output_text.delta")
    assert [(event["output_index"], event["content_index"]) for event in deltas] == [(0, 0), (0, 1)]
    assert [event["output_index"] for event in heard.of("response.output_item.added")] == [0, 1]
    caller.wait_until_settled()


BARE: dict[str, list[bytes]] = {
    "deltas and no output (vLLM)": [
        named("response.created", response=response_of(status="in_progress")),
        named("response.output_text.delta", delta="Blue."),
        named("response.completed", response=response_of(usage=USED)),
    ],
    "the end alone": [named("response.completed", response=response_of(MESSAGE, usage=USED))],
    "the item alone": [
        named("response.output_item.done", item=MESSAGE), named("response.completed", response=response_of(usage=USED)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("events", BARE.values(), ids=BARE.keys())
def test_native_stream_that_leaves_events_out_has_the_whole_grammar(
    caller: Caller, native: Offer, events: list[bytes]
) -> None:
    caller.upstream.on(native.upstream, up.stream(*events))

    heard = listen(caller, native)

    assert_grammar(heard)
    assert (heard.text, heard.response["output"][0]["content"][0]["text"]) == ("Blue.", "Blue.")
    assert caller.only_record().cost == NATIVE_COST


@pytest.mark.parametrize("length", range(1, 10))
def test_native_stream_that_is_cut_ends_in_an_error(caller: Caller, native: Offer, length: int) -> None:
    cut = up.stream(*native_events()[:length], end=up.End.CLOSE, is_terminated=False)
    caller.upstream.on(native.upstream, cut)

    heard = listen(caller, native)

    assert heard.kinds[-1] == "error"
    assert "response.completed" not in heard.kinds
    assert [event["sequence_number"] for event in heard.events] == list(range(len(heard.events)))
    caller.wait_until_settled()


def test_native_failure_after_the_beginning_is_an_error_and_its_usage_is_billed(caller: Caller, native: Offer) -> None:
    error = {"code": "server_error", "message": "CANARY"}
    events = [
        *native_events()[:6],
        named("response.failed", response=response_of(status="failed", error=error, usage=USED)),
    ]
    caller.upstream.on(native.upstream, up.stream(*events))

    heard = listen(caller, native)

    assert heard.kinds[-1] == "error"
    assert b"CANARY" not in heard.raw
    record = caller.only_record()
    assert (record.input_tokens, record.output_tokens) == (12, 5)


@pytest.mark.parametrize(
    "broken",
    [
        up.plain(200, response_of(status="failed", error={"code": "server_error", "message": "no"})),
        up.plain(200, {"object": "response", "status": "completed"}),
        up.plain(200, response_of(None)),
        up.plain(200, b"<html>"),
    ],
    ids=["failed", "no output", "no item", "no JSON"],
)
def test_native_answer_that_is_none_is_an_error_and_free(caller: Caller, native: Offer, broken: up.Reply) -> None:
    caller.upstream.on(native.upstream, broken)
    before = caller.available
    response = respond(caller, native)
    assert_error(response, 502, "server_error", "upstream_error", param=None)
    assert (caller.only_record().cost, caller.available) == (0, before)


def test_native_upstream_gets_no_thoughts_that_are_not_its_own(caller: Caller, model: Offer, native: Offer) -> None:
    caller.upstream.on(model.upstream, up.stream(*map(up.event, THINKING), up.DONE))
    caller.upstream.on(native.upstream, told())
    thought, message = listen(caller, model, include=["reasoning.encrypted_content"]).response["output"]
    assert thought["encrypted_content"]

    respond(caller, native, input=[ITEM, thought, THOUGHT, message])

    _user, sent, own, _message = caller.upstream.requests[-1].json["input"]
    assert "encrypted_content" not in sent
    assert own["encrypted_content"] == "gAAAA"


def test_one_route_may_be_native_and_the_next_speak_chat(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(vias=(Via(options=(("endpoints", ("responses",)),)), DEAR)))
    caller.upstream.on(offer.upstreams[0], up.plain(500, {"error": {"message": "no"}}))

    heard = listen(caller, offer)

    assert_grammar(heard)
    assert heard.text == "One two three four five"


# --- Codex -----------------------------------------------------------------------------------------------------------


def test_search_that_may_not_reach_the_web_is_an_offer_that_nobody_needs(caller: Caller, model: Offer) -> None:
    search = {"type": "web_search", "external_web_access": False}
    body = decoded(respond(caller, model, tools=[WEATHER, search]).content)
    assert [tool["type"] for tool in body["tools"]] == ["function"]
    assert len(caller.upstream.requests[-1].json["tools"]) == 1


# --- clients ---------------------------------------------------------------------------------------------------------


class Thing(BaseModel):
    a: int


def test_the_official_sdk_creates_streams_and_parses(caller: Caller, model: Offer) -> None:
    with openai.OpenAI(
        base_url=f"{caller.installation.gateway_url}/v1", api_key=caller.secret, max_retries=0
    ) as client:
        assert client.responses.create(model=model.name, input="Hi").output_text == "Hello there!"

        with client.responses.stream(model=model.name, input="Hi") as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            assert stream.get_final_response().output_text == text == "One two three four five"

        caller.upstream.on(model.upstream, up.answer('{"a": 1}'))
        assert client.responses.parse(model=model.name, input="Hi", text_format=Thing).output_parsed == Thing(a=1)

        caller.upstream.on(model.upstream, up.stream(*map(up.event, WORDS[:3]), end=up.End.CLOSE, is_terminated=False))
        with pytest.raises(openai.APIError, match="upstream"):
            list(client.responses.create(model=model.name, input="Hi", stream=True))


def test_generation_tells_of_it_afterwards(caller: Caller, model: Offer) -> None:
    id_ = decoded(respond(caller, model).content)["id"]
    caller.wait_until_settled()
    assert caller.client.get("/v1/generation", params={"id": id_}).json()["data"]["id"] == id_
    assert record_id(id_) == caller.only_record().id
