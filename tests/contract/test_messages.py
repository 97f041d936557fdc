"""POST /v1/messages: Anthropic's format in, whatever the upstream speaks; billed, held and broken off as chat is."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import anthropic
import httpx
import pytest

from tests import upstream as up
from tests.callers import MESSAGES, Caller, Stream, decoded
from tests.grammar import assert_refused, assert_valid_message, assert_whole, begun, events_in
from tests.installation import CHEAP, COST, DEAR, Offer, Shape, Via
from tests.routing.providers.anthropic.streams import STOP, begins, brings, closes, ends, opens
from tests.worlds import World

PATH = "/v1/messages"
TURNS: Any = MESSAGES
TOOLS = [{"name": "get_weather", "description": "d", "input_schema": {"type": "object", "properties": {}}}]


def body(model: Offer | str, /, **members: Any) -> dict[str, Any]:
    return {"model": getattr(model, "name", model), "max_tokens": 64, "messages": MESSAGES, **members}


def ask(caller: Caller, model: Offer | str, /, **members: Any) -> httpx.Response:
    return caller.client.post(PATH, json=body(model, **members))


def listen(caller: Caller, model: Offer, /, **members: Any) -> Stream:
    with caller.client.stream("POST", PATH, json=body(model, stream=True, **members)) as response:
        seen = Stream(response.status_code, response.headers)
        with contextlib.suppress(httpx.RemoteProtocolError):
            for data in response.iter_raw():
                seen.raw += data
    return seen


@contextlib.contextmanager
def sdk(caller: Caller) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=caller.installation.gateway_url, api_key=caller.secret, max_retries=0
    ) as client:  # fmt: skip
        yield client


# --- answers ---------------------------------------------------------------------------------------------------------


def test_answer_is_a_message_and_billed_as_it_says(each_caller: Caller, each_world: World) -> None:
    model = each_world.offer(Shape())
    before = each_caller.available

    response = ask(each_caller, model)

    message, record = decoded(response.content), each_caller.only_record()
    assert_valid_message(json.loads(response.content))
    assert message["content"] == [{"type": "text", "text": "Hello there!"}]
    assert (message["model"], message["stop_reason"], message["id"]) == (model.name, "end_turn", f"msg_{record.id.hex}")
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (12, 5)
    assert message["usage"]["cost"] == Decimal(COST).scaleb(-9)
    assert (record.endpoint, record.outcome, record.cost, record.input_tokens) == ("messages", "success", COST, 12)
    assert each_caller.available == before - COST
    assert response.headers["request-id"] == response.headers["x-request-id"]


def test_stream_is_a_whole_message_and_billed_as_it_says(each_caller: Caller, each_world: World) -> None:
    model = each_world.offer(Shape())
    before = each_caller.available

    stream = listen(each_caller, model)

    message, record = assert_whole(events_in(stream.raw)), each_caller.only_record()
    assert stream.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert message["content"] == [{"type": "text", "text": "One two three four five"}]
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (12, 5)
    assert Decimal(str(message["usage"]["cost"])) == Decimal(COST).scaleb(-9)
    assert (record.endpoint, record.outcome, record.cost) == ("messages", "success", COST)
    assert message["id"] == f"msg_{record.id.hex}"
    assert each_caller.available == before - COST


def test_upstream_is_asked_in_its_own_format(caller: Caller, model: Offer) -> None:
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    ask(caller, model, system=system, tools=TOOLS, tool_choice={"type": "any"}, stop_sequences=["END"], top_k=5,
        thinking={"type": "adaptive"}, metadata={"user_id": "u"}, max_tokens=50)  # fmt: skip

    asked = caller.upstream.received(model.upstream)[-1]
    assert asked.path.endswith("/chat/completions")
    assert asked.json == {
        "model": model.upstream,
        "messages": [{"role": "system", "content": "Be brief."}, *MESSAGES],
        "max_tokens": 50,
        "tools": [
            {
                "type": "function",
                "function": {"name": "get_weather", "description": "d", "parameters": TOOLS[0]["input_schema"]},
            }
        ],
        "tool_choice": "required",
        "stop": ["END"],
        "top_k": 5,
        "user": "u",
    }


def test_cap_is_lowered_to_what_the_model_can_write(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(output_limit=100))
    assert ask(caller, offer, max_tokens=32_000).status_code == 200
    assert caller.upstream.received(offer.upstream)[-1].json["max_tokens"] == 100


def test_tool_call_and_its_result(caller: Caller, model: Offer) -> None:
    arguments = '{ "city": "Paris" }'
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
    pieces = [{"tool_calls": [call]}] + [
        {"tool_calls": [{"index": 0, "function": {"arguments": arguments[at : at + 5]}}]} for at in range(0, 20, 5)
    ]
    events = [up.event(up.chunk(piece)) for piece in pieces]
    last = up.event(up.chunk({}, finish_reason="tool_calls", usage=up.USAGE))
    caller.upstream.on(model.upstream, up.stream(*events, last, up.DONE), up.answer("21 C"))

    first = assert_whole(events_in(listen(caller, model, tools=TOOLS).raw))
    (block,) = first["content"]
    assert (block["arguments"], first["stop_reason"]) == (arguments, "tool_use")
    del block["arguments"]
    result = {"type": "tool_result", "tool_use_id": block["id"], "content": "21 C", "is_error": True}
    turns = [*MESSAGES, {"role": "assistant", "content": [block]}, {"role": "user", "content": [result]}]
    assert ask(caller, model, tools=TOOLS, messages=turns).status_code == 200

    said = caller.upstream.received(model.upstream)[-1].json["messages"]
    assert said[1]["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city":"Paris"}'}
    assert said[2] == {"role": "tool", "tool_call_id": "call_1", "content": "Error:\n21 C"}


def test_first_channel_that_fails_is_invisible(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(vias=(CHEAP, DEAR)))
    caller.upstream.on(offer.upstreams[0], up.plain(500, {"error": {"message": "no"}}))
    assert assert_whole(events_in(listen(caller, offer).raw))["stop_reason"] == "end_turn"
    assert len(caller.only_record().attempts) == 2


def test_generation_tells_of_it_afterwards(caller: Caller, model: Offer) -> None:
    id_ = ask(caller, model).json()["id"]
    caller.wait_until_settled()
    assert caller.client.get("/v1/generation", params={"id": id_}).json()["data"]["id"] == id_


def test_repetition_with_an_idempotency_key_is_billed_once(caller: Caller, model: Offer) -> None:
    key = {"idempotency-key": "one"}
    first, second = (caller.client.post(PATH, json=body(model), headers=key) for _ in range(2))
    assert first.json() == second.json()
    assert caller.only_record().cost == COST


# --- upstreams of the same format -----------------------------------------------------------------------------------

OWN = Shape(vias=(Via(provider="anthropic"),))
THEIRS = {"input_tokens": 7, "cache_read_input_tokens": 5, "output_tokens": 5}
NATIVE_COST = 7 * 2_000 + 5 * 500 + 5 * 8_000


@pytest.fixture
def native(world: World) -> Offer:
    return world.offer(OWN)


def spoken(*parts: bytes, end: tuple[bytes, ...] = ()) -> up.Reply:
    body_ = parts or (opens(), brings("text", text="Hello"), brings("text", text=" there!"), closes())
    return up.stream(begins({**THEIRS, "output_tokens": 1}), *body_, *(end or (ends(usage={"output_tokens": 5}), STOP)))


def test_native_answer_passes_as_it_came(caller: Caller, native: Offer) -> None:
    content = [{"type": "text", "text": "Hi", "citations": None}]
    answer: dict[str, Any] = {
        "id": "msg_hidden",
        "type": "message",
        "role": "assistant",
        "model": "hidden-name",
        "content": content,
    }
    answer |= {"stop_reason": "stop_sequence", "stop_sequence": "END", "usage": THEIRS}
    caller.upstream.on(native.upstream, up.plain(200, answer))

    response = ask(caller, native)

    message, record = response.json(), caller.only_record()
    assert_valid_message(message)
    assert (message["content"], message["stop_reason"], message["stop_sequence"]) == (content, "stop_sequence", "END")
    assert (message["usage"]["input_tokens"], message["usage"]["cache_read_input_tokens"]) == (7, 5)
    assert (record.input_tokens, record.usage.cached_input, record.cost) == (12, 5, NATIVE_COST)
    assert "hidden" not in response.text


def test_native_stream_passes_as_it_came(caller: Caller, native: Offer) -> None:
    caller.upstream.on(native.upstream, spoken())
    message = assert_whole(events_in(listen(caller, native).raw))
    assert message["content"][0]["text"] == "Hello there!"
    assert Decimal(str(message["usage"]["cost"])) == Decimal(NATIVE_COST).scaleb(-9)
    assert caller.only_record().cost == NATIVE_COST


def test_native_request_goes_on_as_it_came(caller: Caller, native: Offer) -> None:
    caller.upstream.on(native.upstream, spoken())
    beta = {"anthropic-beta": "a-2025-01-01,b-2025-02-02", "anthropic-version": "2023-06-01"}
    asked = body(
        native, stream=True, mcp_servers=[{"type": "url"}], tools=[{"type": "bash_20250124", "name": "bash"}], mood=1
    )

    assert caller.client.post(PATH, json=asked, headers=beta).status_code == 200

    (received,) = caller.upstream.received(native.upstream)
    assert received.path.endswith("/v1/messages")
    assert {name: received.header(name) for name in beta} == beta
    assert received.json == {**asked, "model": native.upstream}


SUMMARY = {"type": "compaction", "input_tokens": 4_000, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0,
           "output_tokens": 300}  # fmt: skip
TURN = {"type": "message", "model": "hidden-name", "input_tokens": 7, "output_tokens": 5}


@pytest.mark.parametrize("is_stream", [False, True])
def test_summary_of_the_conversation_is_billed_beside_the_answer(
    caller: Caller, native: Offer, is_stream: bool
) -> None:
    """The upstream tells of it beside the counts of the answer, and charges for both."""
    iterations = [SUMMARY, TURN]
    answer: dict[str, Any] = {
        "id": "msg_x",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "stop_sequence": None,
    }
    answer |= {"content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    whole = up.plain(200, {**answer, "usage": {**THEIRS, "iterations": iterations}})
    streamed = spoken(end=(ends(usage={"output_tokens": 5, "iterations": iterations}), STOP))
    caller.upstream.on(native.upstream, streamed if is_stream else whole)
    members: dict[str, Any] = {"context_management": {"edits": [{"type": "compact_20260112"}]}}

    if is_stream:
        stream = listen(caller, native, **members)
        told, raw = assert_whole(events_in(stream.raw))["usage"], stream.raw.decode()
    else:
        response = ask(caller, native, **members)
        told, raw = response.json()["usage"], response.text

    record = caller.only_record()
    assert (record.input_tokens, record.output_tokens) == (7 + 5 + 4_000, 5 + 300)
    assert record.cost == NATIVE_COST + 4_000 * 2_000 + 300 * 8_000
    assert Decimal(str(told["cost"])) == Decimal(record.cost).scaleb(-9)
    assert [each["type"] for each in told["iterations"]] == ["compaction", "message"]
    assert "hidden-name" not in raw


def test_budget_of_thoughts_is_lowered_with_the_cap(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(vias=OWN.vias, output_limit=8_000))
    caller.upstream.on(offer.upstream, spoken())
    listen(caller, offer, max_tokens=32_000, thinking={"type": "enabled", "budget_tokens": 31_999})
    (asked,) = caller.upstream.received(offer.upstream)
    assert asked.json["max_tokens"] == 8_000
    assert asked.json["thinking"] == {"type": "enabled", "budget_tokens": 7_999}


@pytest.mark.parametrize(
    "members",
    [{"fallbacks": [{"model": "dear-model"}]}, {"fallbacks": "default"}, {"thread": {"type": "create"}}],
    ids=str,
)
def test_what_would_be_served_by_another_price_or_kept_is_refused(
    caller: Caller, native: Offer, members: dict[str, Any]
) -> None:
    with caller.nothing_changes():
        response = ask(caller, native, **members)
    assert_refused(response, 400, "invalid_request_error", "unsupported_parameter")


@pytest.mark.parametrize("shown", range(1, 6))
def test_native_stream_that_breaks_off_ends_in_an_error_event(caller: Caller, native: Offer, shown: int) -> None:
    parts = [opens(), brings("text", text="Hello"), brings("text", text=" there!"), closes(), ends(), STOP][:shown]
    whole = up.stream(begins(THEIRS), *parts, up.Pause(0.05), is_terminated=False, end=up.End.RESET)
    caller.upstream.on(native.upstream, whole)

    *events, last = events_in(listen(caller, native).raw)

    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    assert not {"message_delta", "message_stop"} & {event["type"] for event in events}
    assert caller.only_record().outcome == "upstream_error"


# --- failures --------------------------------------------------------------------------------------------------------


CUT = [up.event(up.ROLE), *(up.event(word) for word in up.words("One two three"))]


@pytest.mark.parametrize("shown", range(1, len(CUT) + 1))
def test_stream_that_breaks_off_ends_in_an_error_event(caller: Caller, model: Offer, shown: int) -> None:
    broken = up.stream(*CUT[:shown], up.Pause(0.05), is_terminated=False, end=up.End.RESET)
    caller.upstream.on(model.upstream, broken)
    before = caller.available

    *events, last = events_in(listen(caller, model).raw)

    assert (last["type"], last["error"]["type"], last["error"]["code"]) == ("error", "api_error", "upstream_error")
    assert not {"message_delta", "message_stop"} & {event["type"] for event in events}
    text = "".join(block["text"] for block in begun(events)["content"])
    assert text == " ".join(["One", "two", "three"][: shown - 1])
    record = caller.only_record()
    assert (record.outcome, record.output_tokens) == ("upstream_error", shown - 1)
    assert before - caller.available == record.cost


def test_client_that_leaves_pays_for_what_it_got(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.stream(*CUT, up.HANG))
    with (
        httpx.Client(base_url=caller.installation.gateway_url, headers=caller.authorization, timeout=10) as client,
        client.stream("POST", PATH, json=body(model, stream=True)) as response,
    ):
        seen = b""
        for data in response.iter_raw():
            seen += data
            if b"three" in seen:
                break
    record = caller.only_record()
    assert (record.outcome, record.output_tokens) == ("client_gone", 3)
    assert record.cost == record.input_tokens * 2_000 + 3 * 8_000


def test_answer_that_is_none_costs_nothing(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.plain(200, {"choices": []}))
    before = caller.available
    error = assert_refused(ask(caller, model), 502, "api_error", "upstream_error")
    assert error["message"]
    assert (caller.only_record().cost, caller.available) == (0, before)


def test_upstreams_own_words_are_passed_on(caller: Caller, model: Offer) -> None:
    said = {"error": {"message": "Bad picture.", "type": "invalid_request_error", "code": "bad_image", "param": None}}
    caller.upstream.on(model.upstream, up.plain(400, said))
    error = decoded(ask(caller, model).content)["error"]
    assert (error["type"], error["message"]) == ("invalid_request_error", "Bad picture.")


# --- refusals --------------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no cap": ({"max_tokens": None}, "missing_required_parameter", "max_tokens: Field required"),
    "no messages": ({"messages": []}, "empty_array", "messages: "),
    "a role": ({"messages": [{"role": "tool", "content": "a"}]}, "invalid_value", "messages.0.role: "),
    "a type": ({"max_tokens": "5"}, "invalid_type", "max_tokens: Expected int, got str"),
    "a tool with a price of its own": (
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        "unsupported_parameter",
        "tools.0.type: ",
    ),
    "a tool that chat has not": (
        {"tools": [{"type": "bash_20250124", "name": "bash"}]},
        "unsupported_parameter",
        "'tools.0.type' asks for",
    ),
    "servers of tools": ({"mcp_servers": [{"type": "url"}]}, "unsupported_parameter", "'mcp_servers' asks for"),
    "more than one answer": ({"n": 4}, "unsupported_parameter", "'n' asks for"),
    "a budget beyond the cap": (
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        "invalid_value",
        "`max_tokens` must be greater than `thinking.budget_tokens`.",
    ),
}


@pytest.mark.parametrize(("members", "code", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_anthropics_words_and_changes_nothing(
    caller: Caller, model: Offer, members: dict[str, Any], code: str, words: str
) -> None:
    with caller.nothing_changes():
        whole, stream = ask(caller, model, **members), ask(caller, model, stream=True, **members)
    for response in (whole, stream):
        assert words in assert_refused(response, 400, "invalid_request_error", code)["message"]


def test_prompt_that_cannot_fit_is_refused_in_the_words_that_agents_look_for(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(context_window=100))
    long = [{"role": "user", "content": "word " * 2000}]
    with caller.nothing_changes():
        response = ask(caller, offer, messages=long)
    error = assert_refused(response, 400, "invalid_request_error", "context_length_exceeded")
    assert error["message"].startswith("prompt is too long: ")


def test_refusals_before_the_body_have_the_shape_too(caller: Caller, model: Offer) -> None:
    client, wrong = caller.client, {"authorization": "Bearer sk-wrong"}
    with caller.nothing_changes():
        no_key = client.post(PATH, json=body(model), headers=wrong)
        no_model = ask(caller, "lab/nowhere")
        no_path = client.post(f"{PATH}/batches", json={})
        no_method = client.get(PATH)
        no_json = client.post(PATH, content=b"{", headers={"content-type": "application/json"})
        no_type = client.post(PATH, content=b"{}", headers={"content-type": "text/plain"})
    assert_refused(no_key, 401, "authentication_error", "invalid_api_key")
    assert_refused(no_model, 404, "not_found_error", "model_not_found")
    assert_refused(no_path, 404, "not_found_error", "unknown_url")
    assert_refused(no_method, 405, "invalid_request_error", "method_not_supported")
    assert_refused(no_json, 400, "invalid_request_error", "invalid_json")
    assert_refused(no_type, 415, "invalid_request_error", "unsupported_media_type")


def test_empty_wallet_is_a_matter_of_billing(world: World, model: Offer) -> None:
    poor = world.caller(funds="0")
    with poor.nothing_changes():
        response = ask(poor, model)
    assert_refused(response, 429, "billing_error", "insufficient_quota")
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
def test_key_comes_under_either_name(caller: Caller, model: Offer, header: str) -> None:
    value = caller.secret if header == "x-api-key" else f"Bearer {caller.secret}"
    url = f"{caller.installation.gateway_url}{PATH}?beta=true"
    headers = {header: value, "anthropic-version": "2023-06-01", "anthropic-beta": "a-2025-01-01,b-2025-02-02"}
    assert httpx.post(url, json=body(model), headers=headers).status_code == 200


# --- counting --------------------------------------------------------------------------------------------------------


def test_tokens_are_counted_for_nothing(caller: Caller, model: Offer) -> None:
    asked = {"model": model.name, "messages": MESSAGES, "tools": TOOLS}
    with caller.nothing_changes():
        short = caller.client.post(f"{PATH}/count_tokens", json=asked)
        long = caller.client.post(f"{PATH}/count_tokens", json={**asked, "system": "word " * 1000})
    assert short.json().keys() == {"input_tokens"}
    assert 1 <= short.json()["input_tokens"] < long.json()["input_tokens"] <= 5_000


def test_count_is_refused_as_a_message_is(caller: Caller, model: Offer) -> None:
    path = f"{PATH}/count_tokens"
    with caller.nothing_changes():
        no_model = caller.client.post(path, json={"model": "lab/nowhere", "messages": MESSAGES})
        no_messages = caller.client.post(path, json={"model": model.name})
        no_key = caller.client.post(path, json={}, headers={"authorization": "Bearer sk-wrong"})
    assert_refused(no_model, 404, "not_found_error", "model_not_found")
    assert_refused(no_messages, 400, "invalid_request_error", "missing_required_parameter")
    assert_refused(no_key, 401, "authentication_error", "invalid_api_key")


# --- models ----------------------------------------------------------------------------------------------------------


def test_models_are_listed_in_anthropics_shape_for_its_clients(world: World, caller: Caller, model: Offer) -> None:
    vectors = world.offer(Shape(endpoints=("embeddings",)))
    with sdk(caller) as client:
        found = {each.id: each for each in client.models.list(limit=2)}
        one = client.models.retrieve(model.name)
        with pytest.raises(anthropic.NotFoundError) as refused:
            client.models.retrieve(vectors.name)
    assert found[model.name] == one
    assert (one.type, one.display_name, one.max_input_tokens) == ("model", model.name, 128_000)
    assert one.created_at.tzinfo is not None
    assert vectors.name not in found
    assert refused.value.type == "not_found_error"


def test_pages_of_models_are_whole(caller: Caller, model: Offer, double: Offer) -> None:
    def page(**query: Any) -> dict[str, Any]:
        response = caller.client.get("/v1/models", params=query, headers={"anthropic-version": "2023-06-01"})
        whole: dict[str, Any] = response.json()
        return whole

    pages = [page(limit=1000)]
    while pages[-1]["has_more"]:
        pages.append(page(limit=1000, after_id=pages[-1]["last_id"]))
    assert all((one["first_id"], one["last_id"]) == (one["data"][0]["id"], one["data"][-1]["id"]) for one in pages)
    assert page() == pages[0]
    names = [each["id"] for one in pages for each in one["data"]]
    assert len({*names}) == len(names)
    assert {model.name, double.name} <= {*names}
    first, last = page(limit=1), page(after_id=names[-2])
    assert ([each["id"] for each in first["data"]], first["has_more"]) == (names[:1], True)
    assert ([each["id"] for each in last["data"]], last["has_more"]) == (names[-1:], False)
    before = page(before_id=names[1], limit=1)
    assert [each["id"] for each in before["data"]] == names[:1]
    assert page(limit="none")["error"]["type"] == "invalid_request_error"


# --- the official package --------------------------------------------------------------------------------------------


def test_the_official_sdk_gets_its_message(caller: Caller, model: Offer) -> None:
    with sdk(caller) as client:
        message = client.messages.create(model=model.name, max_tokens=20, messages=TURNS)
    assert message.content[0].text == "Hello there!"  # type: ignore[union-attr]
    assert (message.usage.input_tokens, message.stop_reason) == (12, "end_turn")
    assert message._request_id


def test_the_official_sdk_adds_the_stream_up(caller: Caller, model: Offer) -> None:
    with (
        sdk(caller) as client,
        client.messages.stream(model=model.name, max_tokens=20, messages=TURNS) as stream,
    ):
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert message.content[0].text == "One two three four five"  # type: ignore[union-attr]
    assert (message.usage.input_tokens, message.usage.output_tokens) == (12, 5)
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")


def test_the_official_sdk_raises_its_own_errors(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.stream(*CUT, is_terminated=False, end=up.End.RESET))
    with sdk(caller) as client:
        with pytest.raises(anthropic.BadRequestError) as refused:
            client.messages.create(model=model.name, max_tokens=20, messages=[])
        with (
            pytest.raises(anthropic.APIStatusError) as broken,
            client.messages.stream(model=model.name, max_tokens=20, messages=TURNS) as stream,
        ):
            stream.until_done()
    assert (refused.value.type, broken.value.type) == ("invalid_request_error", "api_error")
    assert refused.value.request_id == refused.value.body["request_id"]  # type: ignore[index]


def test_first_event_is_not_held_back(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.stream(*CUT, up.Pause(1), up.event(up.FINISH), up.DONE))
    began = time.monotonic()
    with caller.client.stream("POST", PATH, json=body(model, stream=True)) as response:
        assert b"message_start" in next(response.iter_raw())
        assert time.monotonic() - began < 0.9
