"""The official `openai` SDK, unchanged: only its base URL and its key are ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from accounts import keys
from tests import upstream as up
from tests.callers import Caller
from tests.faults import BROKEN_STREAMS, CONTENT_REFUSED, TEXT
from tests.installation import SINGLE, Offer
from tests.worlds import World

ASK: list[Any] = [{"role": "user", "content": "Hi"}]
TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture
def sdk(caller: Caller) -> Iterator[openai.OpenAI]:
    url = f"{caller.installation.gateway_url}/v1"
    with openai.OpenAI(base_url=url, api_key=caller.secret, timeout=10) as client:
        yield client


def test_plain(sdk: openai.OpenAI, model: Offer) -> None:
    answer = sdk.chat.completions.create(model=model.name, messages=ASK, max_tokens=16, temperature=0)

    assert answer.choices[0].message.content == "Hello there!"
    assert answer.model == model.name
    assert answer.usage is not None
    assert answer.usage.total_tokens == 17
    assert answer._request_id


def test_stream(sdk: openai.OpenAI, model: Offer) -> None:
    chunks = list(sdk.chat.completions.create(model=model.name, messages=ASK, stream=True))

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert {chunk.usage for chunk in chunks} == {None}


def test_stream_with_usage(sdk: openai.OpenAI, model: Offer) -> None:
    *others, last = sdk.chat.completions.create(
        model=model.name, messages=ASK, stream=True, stream_options={"include_usage": True}
    )

    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 5
    assert {chunk.usage for chunk in others} == {None}


def test_tools_round_trip(sdk: openai.OpenAI, caller: Caller, model: Offer) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Huế"}'}}
    called = up.answer(None, finish_reason="tool_calls", message={"tool_calls": [call]})
    caller.upstream.on(model.upstream, called, up.answer("It is 21 C."))

    first = sdk.chat.completions.create(model=model.name, messages=ASK, tools=[TOOL], tool_choice="required")
    calls = first.choices[0].message.tool_calls or []
    history = [*ASK, first.choices[0].message, {"role": "tool", "tool_call_id": calls[0].id, "content": "21"}]
    second = sdk.chat.completions.create(model=model.name, messages=history, tools=[TOOL])

    assert json.loads(calls[0].function.arguments) == {"city": "Huế"}  # type: ignore[union-attr]
    assert second.choices[0].message.content == "It is 21 C."


def test_streamed_tools_with_the_helper(sdk: openai.OpenAI, caller: Caller, model: Offer) -> None:
    pieces = ["", '{"ci', 'ty": "Hu', 'ế"}']
    start = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
    deltas = [{"tool_calls": [start]}, *({"tool_calls": [{"index": 0, "function": {"arguments": p}}]} for p in pieces)]
    events = [up.ROLE, *map(up.chunk, deltas), up.chunk({}, finish_reason="tool_calls"), up.usage_chunk()]
    caller.upstream.on(model.upstream, up.stream(*map(up.event, events), up.DONE))

    with sdk.chat.completions.stream(model=model.name, messages=ASK, tools=[TOOL]) as stream:
        final = stream.get_final_completion()

    (call,) = final.choices[0].message.tool_calls or []
    assert call.function.arguments == '{"city": "Huế"}'


def test_json_schema_is_parsed(sdk: openai.OpenAI, caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.answer('{"name": "John", "age": 30}'))

    answer = sdk.chat.completions.parse(model=model.name, messages=ASK, response_format=Person)

    assert answer.choices[0].message.parsed == Person(name="John", age=30)


def test_two_choices(sdk: openai.OpenAI, model: Offer) -> None:
    answer = sdk.chat.completions.create(model=model.name, messages=ASK, n=2, logprobs=True, top_logprobs=2, seed=1)

    assert [choice.index for choice in answer.choices] == [0, 1]


def test_wrong_key_is_an_authentication_error_and_not_tried_again(caller: Caller, model: Offer) -> None:
    url = f"{caller.installation.gateway_url}/v1"
    with (
        openai.OpenAI(base_url=url, api_key=keys.generate()) as client,
        pytest.raises(openai.AuthenticationError) as error,
    ):
        client.chat.completions.create(model=model.name, messages=ASK)

    assert (error.value.code, error.value.type, error.value.param) == ("invalid_api_key", "invalid_request_error", None)
    assert error.value.request_id


def test_unknown_model_is_a_not_found_error(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        sdk.chat.completions.create(model="no-such-model", messages=ASK)

    assert (error.value.code, error.value.param) == ("model_not_found", "model")


def test_bad_request_is_a_bad_request_error(sdk: openai.OpenAI, model: Offer) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        sdk.chat.completions.create(model=model.name, messages=[{"role": "user"}])  # type: ignore[typeddict-item]

    assert error.value.code == "missing_required_parameter"


def test_context_overflow_of_the_upstream_is_named_as_frameworks_look_for_it(
    sdk: openai.OpenAI, caller: Caller, model: Offer
) -> None:
    caller.upstream.on(model.upstream, CONTENT_REFUSED["llama.cpp over context"].reply)

    with pytest.raises(openai.BadRequestError) as error:
        sdk.chat.completions.create(model=model.name, messages=ASK)

    assert error.value.code == "context_length_exceeded"
    assert "exceeds the available context size" in str(error.value)


def test_spent_wallet_is_a_rate_limit_error_that_is_tried_once(world: World) -> None:
    caller, model = world.caller(funds="0"), world.offer(SINGLE)
    url = f"{caller.installation.gateway_url}/v1"

    with (
        openai.OpenAI(base_url=url, api_key=caller.secret) as client,
        pytest.raises(openai.RateLimitError) as error,
    ):
        client.chat.completions.create(model=model.name, messages=ASK)

    assert error.value.code == "insufficient_quota"
    assert error.value.response.request.headers["x-stainless-retry-count"] == "0"


def test_broken_stream_raises_and_never_ends_silently(sdk: openai.OpenAI, caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, BROKEN_STREAMS["clean end without finish or done"])
    said: list[str] = []

    with pytest.raises(openai.APIError) as error:
        said.extend(
            chunk.choices[0].delta.content or ""
            for chunk in sdk.chat.completions.create(model=model.name, messages=ASK, stream=True)
        )

    assert "".join(said) == TEXT
    assert error.value.code == "upstream_error"


def test_keep_alives_do_not_disturb_the_reader(sdk: openai.OpenAI, caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.told("one two", pause=0.6))

    chunks = list(sdk.chat.completions.create(model=model.name, messages=ASK, stream=True))

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two"


def test_closing_a_stream_early_is_noticed(sdk: openai.OpenAI, caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.stream(up.event(up.ROLE), up.HANG))

    stream = sdk.chat.completions.create(model=model.name, messages=ASK, stream=True)
    next(iter(stream))
    stream.close()

    assert caller.upstream.received(model.upstream)[0].was_left_within(1)
    assert caller.only_record().outcome == "client_gone"


def test_models_are_listed_and_retrieved(sdk: openai.OpenAI, model: Offer) -> None:
    assert model.name in [item.id for item in sdk.models.list()]
    assert sdk.models.retrieve(model.name).id == model.name


def test_sdk_retries_with_its_key_until_the_first_request_is_answered(
    sdk: openai.OpenAI, caller: Caller, model: Offer
) -> None:
    """It hangs up after half a second and asks again: the request is sent upstream once, and billed once."""
    caller.upstream.on(model.upstream, up.Reply((up.Pause(1.2), *up.answer().steps)))

    answer = sdk.with_options(timeout=0.5, max_retries=4).chat.completions.create(
        model=model.name, messages=ASK, extra_headers={"Idempotency-Key": "the order of today"}
    )

    assert answer.choices[0].message.content == "Hello there!"
    assert len(caller.upstream.received(model.upstream)) == 1
    caller.only_record()
