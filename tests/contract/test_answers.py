"""A complete JSON answer: its fields, its headers, its price, and what of the upstream's stays in it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from billing.models import Price
from tests import schemas
from tests import upstream as up
from tests.callers import MESSAGES, Caller, decoded, record_id
from tests.faults import CANARY, OWN_HEADERS, slow_answer, zipped_answer
from tests.installation import CHEAP, COST, DOLLAR, Offer, Shape, Tariff
from tests.worlds import World

NESTED = json.loads("[" * 400 + "]" * 400)
"""Lists in lists, deeper than can be written."""
"""Nano-dollars of the scripted upstream's ordinary answer at the ordinary price."""


def test_answer_has_the_public_shape_our_id_and_the_public_model(each_caller: Caller, each_world: World) -> None:
    model = each_world.offer(Shape())
    each_caller.upstream.on(model.upstream, up.answer("Xin chào!"))

    response = each_caller.ask(model)
    body = decoded(response.content)

    assert response.status_code == 200
    assert response.headers["content-type"].partition(";")[0] == "application/json"
    assert schemas.faults(schemas.COMPLETION, body) == []
    assert body["model"] == model.name
    assert body["id"] != up.UPSTREAM_ID
    assert body["created"] == up.CREATED
    assert body["choices"] == [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": None,
            "message": {"role": "assistant", "content": "Xin chào!", "refusal": None},
        }
    ]


def test_cost_equals_the_ledger_exactly(each_caller: Caller, each_world: World) -> None:
    model = each_world.offer(Shape())
    before = each_caller.available

    response = each_caller.ask(model)

    body, record = decoded(response.content), each_caller.only_record()
    assert record.cost == COST
    assert body["usage"]["cost"] == Decimal("0.000064")
    assert response.headers["x-costrouter-cost"] == "0.000064"
    assert each_caller.available == before - COST


def test_usage_record_tells_the_whole_story(caller: Caller, model: Offer) -> None:
    body = decoded(caller.ask(model).content)

    record = caller.only_record()
    assert record.id == record_id(body["id"])
    assert record.tenant_id == caller.holder.tenant.pk
    assert record.api_key_id == caller.holder.api_key.pk
    assert (record.requested_model, record.model) == (model.name, model.name)
    assert (record.channel, record.upstream_model) == (model.channels[0], model.upstream)
    assert record.price_id == model.price_id
    assert (record.outcome, record.status, record.error_code) == ("success", 200, "")
    assert (record.usage_source, record.is_stream) == ("upstream", False)
    assert (record.input_tokens, record.output_tokens, record.usage.cached_input) == (12, 5, 0)
    assert record.claimed_cost == record.cost
    assert (record.provider_cost, record.provider_currency) == (12 * 1_000 + 5 * 4_000, "USD")
    assert record.cost <= record.held
    (attempt,) = record.attempts
    assert (attempt["channel"], attempt["outcome"], attempt["status"]) == (model.channels[0], "answered", 200)
    (candidate,) = record.decision["candidates"]
    assert (candidate["state"], candidate["reason"]) == ("chosen", None)


def test_headers_tell_the_id_the_route_and_the_cost(caller: Caller, model: Offer) -> None:
    first, second = caller.ask(model), caller.ask(model)

    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert first.headers["x-costrouter-model"] == model.name
    assert first.headers["x-costrouter-channel"] == model.channels[0]
    assert first.headers["x-costrouter-attempts"] == "1"
    assert Decimal(first.headers["x-costrouter-cost"]) == Decimal("0.000064")


def test_x_request_id_leads_to_the_usage_record(caller: Caller, model: Offer) -> None:
    response = caller.ask(model)

    record = caller.only_record()
    assert response.headers["x-request-id"].replace("-", "").endswith(record.id.hex)


def test_a_client_cannot_choose_the_request_id(caller: Caller, model: Offer) -> None:
    response = caller.ask(model, headers={"x-request-id": "mine"})

    assert response.headers["x-request-id"] != "mine"


def test_headers_of_the_upstream_stay_with_the_operator(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.plain(200, up.completion(usage=up.USAGE), headers=OWN_HEADERS))

    response = caller.ask(model)

    assert response.status_code == 200
    assert CANARY not in str(response.headers)
    assert "set-cookie" not in response.headers
    assert "openai-organization" not in response.headers


def test_unknown_members_of_the_upstream_are_kept(caller: Caller, model: Offer) -> None:
    extras: dict[str, Any] = {
        "system_fingerprint": "fp_1",
        "timings": {"prompt_ms": 1.5, "n": 1e-7},
        "service_tier": "default",
    }
    caller.upstream.on(model.upstream, up.answer(**extras, message={"reasoning_content": "hm", "annotations": []}))

    body = caller.ask(model).json()

    assert {name: body[name] for name in extras} == extras
    assert body["choices"][0]["message"]["reasoning_content"] == "hm"
    assert body["choices"][0]["message"]["annotations"] == []


def test_what_the_upstream_said_of_refusal_and_logprobs_is_kept(caller: Caller, model: Offer) -> None:
    logprobs = {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}], "refusal": None}
    body = up.completion(None, usage=up.USAGE, message={"refusal": "I cannot."})
    body["choices"][0]["logprobs"] = logprobs
    caller.upstream.on(model.upstream, up.plain(200, body))

    choice = caller.ask(model, logprobs=True).json()["choices"][0]

    assert choice["logprobs"] == logprobs
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": "I cannot."}


ARGUMENTS = '{ "city" : "Hà Nội",\n\t"days":1.0, "u":"\\u0041", "n": 12345678901234567890123 }'
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


def test_tool_calls_pass_byte_identical(caller: Caller, model: Offer) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ARGUMENTS}}
    caller.upstream.on(model.upstream, up.answer(None, finish_reason="tool_calls", message={"tool_calls": [call]}))

    body = caller.ask(model, tools=[TOOL], tool_choice="required").json()

    assert schemas.faults(schemas.COMPLETION, body) == []
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    assert body["choices"][0]["message"]["tool_calls"] == [call]


def test_content_that_is_json_is_not_touched(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.answer('{\n  "name": "John",\n  "age": 30.0\n}'))
    schema = {"name": "person", "strict": True, "schema": {"type": "object"}}

    body = caller.ask(model, response_format={"type": "json_schema", "json_schema": schema}).json()

    assert body["choices"][0]["message"]["content"] == '{\n  "name": "John",\n  "age": 30.0\n}'


def test_html_and_control_characters_in_an_answer_survive(caller: Caller, model: Offer) -> None:
    text = "<script>alert(1)</script>\u0001\u2028\u007f\ufeff&amp;"
    caller.upstream.on(model.upstream, up.answer(text))

    assert caller.ask(model).json()["choices"][0]["message"]["content"] == text


# --- usage and price -------------------------------------------------------------------------------------------------


def test_cached_tokens_have_their_own_price(caller: Caller, model: Offer) -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 10,
        "total_tokens": 1010,
        "prompt_tokens_details": {"cached_tokens": 900},
    }
    caller.upstream.on(model.upstream, up.answer(usage=usage))

    body = decoded(caller.ask(model, messages=[{"role": "user", "content": "word " * 900}]).content)

    cost = 100 * 2_000 + 900 * 500 + 10 * 8_000
    record = caller.only_record()
    assert (record.input_tokens, record.usage.cached_input, record.cost) == (1000, 900, cost)
    assert body["usage"]["cost"] == Decimal(cost).scaleb(-9)
    assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == 900


def test_p13_cost_that_the_upstream_tells_is_kept_for_operators_and_shown_to_nobody_else(
    caller: Caller, model: Offer
) -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 14, "cost": 0.0123}
    caller.upstream.on(model.upstream, up.answer(usage=usage))

    response = caller.ask(model)

    assert caller.only_record().reported_cost == 12_300_000
    assert "0.0123" not in response.text


def test_reasoning_tokens_are_part_of_the_output(caller: Caller, model: Offer) -> None:
    usage = {
        "prompt_tokens": 12,
        "completion_tokens": 50,
        "total_tokens": 62,
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    caller.upstream.on(model.upstream, up.answer(usage=usage))

    caller.ask(model)

    record = caller.only_record()
    assert (record.usage.output, record.usage.reasoning) == (50, 40)
    assert record.cost == 12 * 2_000 + 50 * 8_000


def test_two_choices_of_an_upstream_that_counts_both_are_billed_as_counted(caller: Caller, model: Offer) -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 10, "total_tokens": 22}
    caller.upstream.on(model.upstream, up.answer(n=2, usage=usage))

    body = decoded(caller.ask(model, n=2).content)

    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert caller.only_record().output_tokens == 10
    assert body["usage"]["completion_tokens"] == 10


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_one_choice_where_two_were_asked_for_is_no_answer(caller: Caller, model: Offer, is_stream: bool) -> None:
    items = [up.chunk({"role": "assistant", "content": "a"}), up.chunk({}, finish_reason="stop"), up.usage_chunk()]
    stream = up.stream(*map(up.event, items), up.DONE)
    caller.upstream.on(model.upstream, stream if is_stream else up.answer())

    if is_stream:
        assert caller.listen(model, n=2).error["code"] == "upstream_error"
    else:
        assert caller.ask(model, n=2).status_code == 502
    assert caller.only_record().outcome == "upstream_error"


def test_fees_per_request_and_halves_are_rounded_up_once(world: World, caller: Caller) -> None:
    model = world.offer(FEE)
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    caller.upstream.on(model.upstream, up.answer(usage=usage))

    body = decoded(caller.ask(model).content)

    assert caller.only_record().cost == 1_000_003
    assert body["usage"]["cost"] == Decimal("0.001000003")


FEE = Shape(price=Tariff(input=1_500_000, output=500_000, cached_input=None, request_fee=1_000_000))


def test_answer_that_produced_nothing_costs_no_fee_either(world: World, caller: Caller) -> None:
    model = world.offer(FEE)
    caller.upstream.on(model.upstream, up.answer("", usage={"prompt_tokens": 9, "completion_tokens": 0}))

    response = caller.ask(model)

    assert (response.status_code, response.headers["x-costrouter-cost"]) == (200, "0")
    assert decoded(response.content)["usage"]["cost"] == 0
    assert (caller.only_record().outcome, caller.only_record().cost) == ("success", 0)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(up.answer(x=NESTED), id="an answer that cannot be written"),
        pytest.param(up.plain(500, {"error": {"message": "no"}}), id="an error"),
    ],
)
def test_request_that_was_not_answered_costs_no_fee(world: World, caller: Caller, reply: up.Reply) -> None:
    model = world.offer(FEE)
    caller.upstream.on(model.upstream, reply)

    assert caller.ask(model).status_code == 502

    record = caller.only_record()
    assert (record.outcome, record.cost, record.claimed_cost) == ("upstream_error", 0, 0)


def test_a_free_model_costs_nothing_and_is_recorded(world: World) -> None:
    caller = world.caller(funds="0")
    model = world.offer(Shape(price=Tariff(input=0, output=0, cached_input=None)))

    response = caller.ask(model)

    assert response.status_code == 200
    assert decoded(response.content)["usage"]["cost"] == 0
    assert caller.only_record().cost == 0


def test_wallet_in_dong_pays_the_price_in_dong(world: World) -> None:
    caller = world.caller(funds="100000", currency="VND")
    model = world.offer(Shape())
    with world.installation.changes():
        Price.objects.create(model=model.name, currency="VND", input=50_000 * 10**6, output=200_000 * 10**6)

    response = caller.ask(model)

    assert response.status_code == 200
    assert caller.only_record().cost == 12 * 50_000 + 5 * 200_000
    assert caller.only_record().currency == "VND"


def test_new_price_counts_from_the_next_request_on(world: World, caller: Caller, model: Offer) -> None:
    caller.ask(model)
    with world.installation.changes():
        Price.objects.create(model=model.name, currency="USD", input=0, output=DOLLAR, request_fee=7)

    caller.ask(model)

    caller.wait_until_settled()
    assert [record.cost for record in caller.records] == [COST, 5 * 1_000 + 7]


# --- unusual but complete --------------------------------------------------------------------------------------------


def test_slow_body_arrives_whole(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, slow_answer(0.6))

    assert caller.ask(model).json()["choices"][0]["message"]["content"] == "Hello there!"


def test_body_that_is_zipped_against_our_wish_is_read_or_refused_but_never_passed_on_raw(
    caller: Caller, model: Offer
) -> None:
    caller.upstream.on(model.upstream, zipped_answer())

    response = caller.ask(model)

    assert decoded(response.content)
    assert response.status_code in {200, 502}


def test_big_answer_arrives_whole(caller: Caller, model: Offer) -> None:
    text = "ữ" * 1_500_000
    caller.upstream.on(model.upstream, up.answer(text))

    assert caller.ask(model, max_tokens=16_000).json()["choices"][0]["message"]["content"] == text


def test_connections_to_the_upstream_are_kept(caller: Caller, model: Offer) -> None:
    caller.ask(model)
    before = caller.upstream.connections

    for _count in range(10):
        assert caller.ask(model).status_code == 200

    assert caller.upstream.connections - before <= 1


def test_upstream_that_closed_an_idle_connection_goes_unnoticed(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.plain(200, up.completion(usage=up.USAGE), end=up.End.CLOSE))

    statuses = [caller.ask(model).status_code for _count in range(5)]

    assert statuses == [200] * 5


EMPTY_ANSWERS = {
    "no tokens": up.answer("", usage={"prompt_tokens": 12, "completion_tokens": 0, "total_tokens": 12}),
    "null content, no tokens": up.answer(None, usage={"prompt_tokens": 12, "completion_tokens": 0, "total_tokens": 12}),
}


@pytest.mark.parametrize("reply", EMPTY_ANSWERS.values(), ids=EMPTY_ANSWERS.keys())
def test_answer_without_output_costs_nothing(caller: Caller, model: Offer, reply: up.Reply) -> None:
    caller.upstream.on(model.upstream, reply)
    before = caller.available

    response = caller.ask(model)

    assert response.status_code == 200
    assert caller.only_record().cost == 0
    assert decoded(response.content)["usage"]["cost"] == 0
    assert caller.available == before


def test_explain_adds_the_decision_to_the_body(caller: Caller, double: Offer) -> None:
    response = caller.ask(double, headers={"x-costrouter-explain": "true"})

    decision = response.json()["costrouter"]
    assert [candidate["state"] for candidate in decision["candidates"]] == ["chosen", "ready"]
    assert [candidate["expected_cost"] for candidate in decision["candidates"]] == [None, None]
    assert "costrouter" not in caller.ask(double).json()


def test_history_of_a_conversation_is_served(world: World, caller: Caller) -> None:
    model = world.offer(Shape(vias=(CHEAP,)))
    history = [*MESSAGES, {"role": "assistant", "content": "Hello!"}] * 20 + MESSAGES

    assert caller.ask(model, messages=history).status_code == 200
