"""What is said before money is touched: models, bounds, expectations and the ranked routes."""

from __future__ import annotations

import contextlib
import itertools
import time
from dataclasses import replace
from typing import Any

import orjson
import pytest

from accounts.callers import Caller
from billing.prices import Tariff
from routing.catalogue.snapshot import ChannelView, ModelView, RouteView, Snapshot
from routing.endpoints.base import LEAST_USEFUL_OUTPUT, Endpoint
from routing.endpoints.chat import CHAT
from routing.endpoints.chat.needs import IMAGE_TOKENS, IMAGE_TOKENS_AT_MOST, PAGE_BYTES, PAGE_TOKENS
from routing.endpoints.images import IMAGES
from routing.endpoints.invalid import IntegerAboveMaxValue, UnsupportedParameter
from routing.endpoints.responses import RESPONSES
from routing.errors import ContextLengthExceeded, ModelNotFound, NoAvailableChannel, NoMatchingRoute
from routing.pipeline.admission import _amount
from routing.pipeline.call import Call, Plan
from routing.pipeline.plan import resolve
from routing.selection.health import Health
from routing.selection.learned import DENSE
from routing.selection.reasons import LACKS, Reason
from routing.selection.shortlist import MANY
from routing.wire.addresses import Origin
from routing.wire.answer import Timeouts

_ids = itertools.count(1)
WITHOUT = {name: frozenset(LACKS) - {name} for name in LACKS}
PRICE = Tariff(id=1, currency="USD", input=2_000_000_000, output=8_000_000_000)
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}


def route(cost: int = 5, **members: Any) -> RouteView:
    """A route whose tokens cost so many ledger units each, on a channel of its own."""
    number = next(_ids)
    channel = ChannelView(
        **{
            "id": number,
            "name": f"c{number}",
            "provider": "openai",
            "origin": Origin("http", "127.0.0.1", 80, ""),
            "secret": "",
            "priority": 0,
            "weight": 1,
            "timeouts": Timeouts(1, 1, 1, 1),
            "drains": False,
            "concurrency": None,
            "fault": None,
            "header": b"",
            "hidden": (),
            **members,
        }
    )
    tariff = Tariff(id=1, currency="USD", input=cost * 1_000_000, output=cost * 1_000_000)
    return RouteView(number, channel, "up", tariff, channel.fault)


def model(name: str, *routes: RouteView, price: Tariff | None = PRICE, **members: Any) -> ModelView:
    return ModelView(
        **{
            "name": name,
            "description": "",
            "created_at": 0.0,
            "context_window": 10_000,
            "output_limit": 2_000,
            "default_output": 1_000,
            "prompt_overhead": 256,
            "capabilities": frozenset(LACKS),
            "endpoints": frozenset(("chat.completions",)),
            "routes": routes or (route(),),
            "prices": {("USD", 0): ((0.0, price),)} if price else {},
            **members,
        }
    )


def call(
    body: dict[str, Any],
    *models: ModelView,
    allowed: frozenset[str] = frozenset(),
    currency: str = "USD",
    endpoint: Endpoint = CHAT,
) -> Call:
    asked = {"messages": [{"role": "user", "content": "hi"}]} if endpoint is CHAT else {"prompt": "hi"}
    whole = {**asked, **body}
    caller = Caller(
        key_id=1,
        tenant_id=7,
        currency=currency,
        is_tenant_active=True,
        is_key_usable=True,
        expires_at=None,
        allowed_models=allowed,
        allowed_networks=(),
        limits=(),
    )
    return Call(
        id="0" * 32,
        caller=caller,
        endpoint=endpoint,
        request=endpoint.read(whole),
        body=whole,
        body_bytes=len(orjson.dumps(whole)),
        snapshot=Snapshot(1, {each.name: each for each in models}, 0.0),
        wants_explanation=False,
        started=time.monotonic(),
        started_at=100.0,
        legs=(),
        spending_limits={},
    )


def planned(body: dict[str, Any], *models: ModelView, health: Health | None = None, **members: Any) -> Plan:
    return resolve(call(body, *models, **members), health or Health(0.1))


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "offered", "members"),
    [
        pytest.param("x", model("m"), {}, id="unknown"),
        pytest.param("M", model("m"), {}, id="other case"),
        pytest.param("m ", model("m"), {}, id="a space"),
        pytest.param("m", model("m", price=None), {}, id="no price"),
        pytest.param("m", model("m"), {"currency": "VND"}, id="no price in the currency"),
        pytest.param("m", model("m"), {"allowed": frozenset(["n"])}, id="not allowed"),
        pytest.param("m:floor", model("m"), {"allowed": frozenset(["n"])}, id="not allowed with a suffix"),
        pytest.param("m:other", model("m"), {}, id="unknown suffix"),
        pytest.param("m", model("m", prices={("USD", 0): ((101.0, PRICE),)}), {}, id="price not in force yet"),
    ],
)
def test_model_that_cannot_be_called_is_not_found(asked: str, offered: ModelView, members: dict[str, Any]) -> None:
    with pytest.raises(ModelNotFound) as caught:
        planned({"model": asked}, offered, **members)
    assert caught.value.message == f"The model '{asked}' does not exist or you do not have access to it."


@pytest.mark.parametrize("asked", ["m", "m:floor", "m:nitro"])
def test_suffix_names_the_same_model(asked: str) -> None:
    plan = planned({"model": asked}, model("m"))
    assert [each.name for each, _price in plan.models] == ["m"]
    assert plan.decision.strategy == ("fastest" if asked == "m:nitro" else "cheapest")


def test_model_may_itself_be_named_with_a_suffix() -> None:
    assert planned({"model": "m:floor"}, model("m"), model("m:floor")).models[0][0].name == "m:floor"


def test_fallbacks_follow_once_each_and_unknown_ones_are_left_out() -> None:
    plan = planned({"model": "m", "models": ["m", "n", "x", "n", "m:floor"]}, model("m"), model("n"))
    assert [each.name for each, _price in plan.models] == ["m", "n"]


def test_price_in_force_is_the_latest_whose_time_has_come() -> None:
    versions = [Tariff(id=number, currency="USD", input=1, output=1) for number in range(4)]
    offered = model("m", prices={("USD", 0): tuple(zip((0.0, 50.0, 100.0, 100.5), versions, strict=True))})
    assert planned({"model": "m"}, offered).models[0][1].id == 2


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_input_bound_is_of_dense_text_until_more_is_known_and_the_overhead() -> None:
    plan = planned({"model": "m"}, model("m"))
    assert plan.needs.input_bound == int(plan.call.body_bytes / DENSE) + 256


def test_image_counts_as_tokens_and_not_by_its_bytes() -> None:
    text = {"type": "text", "text": "what is it?"}
    plan = planned({"model": "m", "messages": [{"role": "user", "content": [text, IMAGE, IMAGE]}]}, model("m"))
    assert plan.needs.text_bytes == plan.call.body_bytes - 2 * len(IMAGE["image_url"]["url"])  # type: ignore[index]
    assert plan.needs.input_bound == int(plan.needs.text_bytes / DENSE) + 2 * IMAGE_TOKENS_AT_MOST + 256
    assert plan.needs.expected_input == plan.needs.text_bytes // 4 + 2 * IMAGE_TOKENS


PDF = "data:application/pdf;base64," + "A" * 2_000_000
PAGES = 1 + len(PDF) // PAGE_BYTES
FILE = {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}
INPUT_FILE = {"type": "input_file", "filename": "a.pdf", "file_data": PDF}


@pytest.mark.parametrize(
    ("endpoint", "members"),
    [
        pytest.param(CHAT, {"messages": [{"role": "user", "content": [FILE]}]}, id="chat"),
        pytest.param(RESPONSES, {"input": [{"role": "user", "content": [INPUT_FILE]}]}, id="responses"),
    ],
)
def test_document_counts_by_its_pages_and_not_by_its_bytes(endpoint: Any, members: dict[str, Any]) -> None:
    """Two megabytes of it are no text that fits no window."""
    body = {"model": "m", **members}
    size = len(orjson.dumps(body))
    needs = endpoint.needs(endpoint.read(body), body, size, model("m"), Health(0).learned, 1)
    assert (needs.text_bytes, needs.is_all_text) == (size - len(PDF), False)
    assert needs.expected_input == needs.text_bytes // 4 + PAGES * PAGE_TOKENS
    assert needs.input_bound == int(needs.text_bytes / DENSE) + PAGES * (PAGE_TOKENS + IMAGE_TOKENS_AT_MOST) + 256


@pytest.mark.parametrize(
    ("asked", "cap", "is_ours"),
    [
        ({}, 1000, True),
        ({"max_tokens": 5}, 5, False),
        ({"max_completion_tokens": 2000}, 2000, False),
        ({"max_tokens": 9, "max_completion_tokens": 7}, 7, False),
    ],
)
def test_cap_is_the_clients_or_the_models_default(asked: dict[str, int], cap: int, is_ours: bool) -> None:
    plan = planned({"model": "m", **asked}, model("m"))
    assert (plan.needs.cap, plan.needs.is_cap_ours) == (cap, is_ours)


def test_default_cap_leaves_room_for_the_prompt() -> None:
    long = [{"role": "user", "content": "x" * 38_000}]
    plan = planned({"model": "m", "messages": long}, model("m"))
    assert plan.needs.cap == 10_000 - plan.needs.expected_input < 1000


def test_default_cap_is_never_useless() -> None:
    long = [{"role": "user", "content": "x" * 60_000}]
    assert planned({"model": "m", "messages": long}, model("m")).needs.cap == LEAST_USEFUL_OUTPUT


def test_cap_above_the_models_limit_names_the_field() -> None:
    with pytest.raises(IntegerAboveMaxValue) as caught:
        planned({"model": "m", "max_completion_tokens": 2001}, model("m"))
    assert caught.value.param == "max_completion_tokens"


@pytest.mark.parametrize("body", [{"messages": [{"role": "user", "content": "x" * 90_000}]}, {"max_tokens": 9_999_999}])
def test_what_cannot_fit_the_window_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ContextLengthExceeded, match="maximum context length is 10000 tokens"):
        planned({"model": "m", **body}, model("m"))


def test_amount_covers_every_choice_at_the_dearest_of_the_models() -> None:
    dear = Tariff(id=2, currency="USD", input=3_000_000_000, output=9_000_000_000, request_fee=11)
    plan = planned({"model": "m", "models": ["n"], "n": 3}, model("m"), model("n", price=dear))
    assert _amount(plan, 10) == plan.needs.input_bound * 3_000 + 30 * 9_000 + 11
    assert plan.limited_tokens == plan.needs.expected_input + 3 * plan.needs.cap


def test_images_of_other_requests_do_not_make_text_look_longer() -> None:
    health = Health(0.1)
    plan = planned({"model": "m"}, model("m"), health=health)
    for _ in range(200):
        health.learned.note_input("m", 90, 20)
        health.learned.note_input("m", 90, 9_000)
    text = [{"role": "user", "content": "x" * 9_000}]
    again = planned({"model": "m", "messages": text}, model("m"), health=health)
    assert again.needs.expected_input <= again.needs.text_bytes
    assert plan.needs.cap == 1000


# --- conversations ---------------------------------------------------------------------------------------------------


def prefix(*contents: Any) -> int:
    return planned(
        {"model": "m", "messages": [{"role": "user", "content": text} for text in contents]}, model("m")
    ).needs.prefix


def test_conversation_is_known_by_its_beginning() -> None:
    assert prefix("a", "b", "c") == prefix("a", "b", "d", "e")
    assert prefix("a", "b") != prefix("a", "c")
    assert prefix("a" * 512 + "x") == prefix("a" * 512 + "y")
    assert prefix([{"type": "text", "text": "a"}, IMAGE]) == prefix("a")


def test_naming_a_conversation_does_not_read_its_images() -> None:
    image = {"type": "image_url", "image_url": {"url": "x" * 30_000_000}}
    request = call({"model": "m", "messages": [{"role": "user", "content": [image]}]}, model("m"))
    began = time.process_time()
    for _ in range(100):
        resolve(request, Health(0.1))
    assert time.process_time() - began < 1  # reading one of them takes 10 ms


@pytest.mark.parametrize("content", [None, "", []], ids=str)
def test_message_without_content_is_a_beginning_too(content: Any) -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]
    message = {"role": "assistant", "content": content, "tool_calls": calls}
    assert planned({"model": "m", "messages": [message]}, model("m")).options


# --- routes ----------------------------------------------------------------------------------------------------------


def test_routes_are_tried_cheapest_first() -> None:
    cheap, dear = route(1), route(9)
    plan = planned({"model": "m"}, model("m", dear, cheap))
    assert [each.route.id for each in plan.options] == [cheap.id, dear.id]


def test_routes_of_fallback_models_follow_and_one_alone_is_chosen() -> None:
    first, second, third = route(5), route(1), route(2, fault=Reason.CHANNEL_DISABLED)
    plan = planned({"model": "m", "models": ["n"]}, model("m", first, third), model("n", second))
    assert [each.route.id for each in plan.options] == [first.id, second.id]
    assert [(verdict.route, verdict.state) for verdict in plan.decision.candidates] == [
        (first.id, "chosen"),
        (second.id, "ready"),
        (third.id, "out"),
    ]


def test_of_very_many_routes_the_others_are_counted() -> None:
    many, more = ([route(cost) for cost in range(1, 3 * MANY)] for _model in range(2))
    decision = planned({"model": "m", "models": ["n"]}, model("m", *many), model("n", *more)).decision
    assert decision.candidates[0].route == many[0].id
    assert len(decision.candidates) + sum(decision.left_out.values()) == len(many) + len(more)


def test_fallback_model_is_chosen_where_the_main_one_has_no_route_just_now() -> None:
    health, resting, fallback = Health(0.1), route(1), route(5)
    health.routes[resting.id].rest(time.monotonic(), 40)
    plan = planned({"model": "m", "models": ["n"]}, model("m", resting), model("n", fallback), health=health)
    assert [each.model.name for each in plan.options] == ["n"]
    assert [verdict.state for verdict in plan.decision.candidates] == ["chosen", "out"]


def test_fallback_model_with_too_short_a_window_is_out() -> None:
    long = [{"role": "user", "content": "x" * 40_000}]
    short = model("n", context_window=4_000)
    plan = planned({"model": "m", "models": ["n"], "messages": long}, model("m"), short)
    assert [verdict.reason for verdict in plan.decision.candidates] == [None, "context_too_short"]


@pytest.mark.parametrize(("cap", "output"), [({"max_tokens": 100}, 100), ({}, 1)], ids=["the client's", "ours"])
def test_window_holds_the_prompt_and_the_cap_where_that_is_the_clients(cap: dict[str, int], output: int) -> None:
    body = {"model": "m", "models": ["n"], **cap}
    least = planned(body, model("m")).needs.least_input + output
    for window, reason in ((least, None), (least - 1, "context_too_short")):
        plan = planned(body, model("m"), model("n", context_window=window))
        assert plan.decision.candidates[-1].reason == reason


def test_without_fallbacks_one_route_is_tried() -> None:
    body = {"model": "m", "models": ["n"], "provider": {"allow_fallbacks": False}}
    assert len(planned(body, model("m", route(1), route(2)), model("n")).options) == 1


@pytest.mark.parametrize(
    ("body", "strategy"),
    [
        ({"model": "m"}, "cheapest"),
        ({"model": "m", "provider": {}}, "cheapest"),
        ({"model": "m", "provider": {"sort": "price"}}, "cheapest"),
        ({"model": "m", "provider": {"sort": "latency"}}, "fastest"),
        ({"model": "m", "provider": {"sort": "throughput"}}, "fastest"),
        ({"model": "m:nitro"}, "fastest"),
        ({"model": "m:nitro", "provider": {}}, "fastest"),
    ],
    ids=str,
)
def test_fastest_is_sorted_for_where_the_request_says_so(body: dict[str, Any], strategy: str) -> None:
    assert planned(body, model("m")).decision.strategy == strategy


@pytest.mark.parametrize("named", ["only", "ignore"])
def test_channels_are_named_whatever_the_case(named: str) -> None:
    first, second = route(1, name="First"), route(2, name="second")
    kept = {"only": [second.id], "ignore": [second.id]}[named]
    names = {"only": ["SECOND"], "ignore": ["first"]}[named]
    plan = planned({"model": "m", "provider": {named: names}}, model("m", first, second))
    assert [each.route.id for each in plan.options] == kept


@pytest.mark.parametrize(
    ("provider", "is_within"),
    [
        ({"max_price": {"prompt": 2, "completion": 8}}, True),
        ({"max_price": {"prompt": 1.99}}, False),
        ({"max_price": {"completion": 7.99}}, False),
        ({"max_price": {"request": 0}}, True),
        ({"max_cost": 1}, True),
        ({"max_cost": 0.000001}, False),
    ],
    ids=str,
)
def test_max_price_is_a_bound_on_what_the_tenant_pays(provider: dict[str, Any], is_within: bool) -> None:
    within = contextlib.nullcontext()
    beyond = pytest.raises(NoMatchingRoute, match="over_max_price")
    with within if is_within else beyond:
        planned({"model": "m", "provider": provider}, model("m"))


@pytest.mark.parametrize(("most", "is_within"), [(2.01, True), (2.0099, False)])
def test_max_price_is_the_number_that_was_written(most: float, is_within: bool) -> None:
    """2.01 times 10**9 is less than 2,010,000,000 where it is binary."""
    offered = model("m", price=Tariff(1, "USD", input=2_010_000_000, output=0))
    with contextlib.nullcontext() if is_within else pytest.raises(NoMatchingRoute, match="over_max_price"):
        planned({"model": "m", "provider": {"max_price": {"prompt": most}}}, offered)


@pytest.mark.parametrize(("less", "is_within"), [(0, True), (1_000, False)])
def test_max_cost_bounds_what_the_request_is_expected_to_cost_with_its_fee(less: int, is_within: bool) -> None:
    """Input at 2,000 ledger units a token, output at 8,000, a fee of 5,000."""
    offered = model("m", price=Tariff(1, "USD", input=2 * 10**9, output=8 * 10**9, request_fee=5_000))
    as_long = {"model": "m", "provider": {"max_cost": 0.009999}}
    expected = planned(as_long, offered).decision.expected
    most = expected.input * 2_000 + expected.output * 8_000 + 5_000 - less
    with contextlib.nullcontext() if is_within else pytest.raises(NoMatchingRoute, match="over_max_price"):
        planned({"model": "m", "provider": {"max_cost": most / 10**9}}, offered)


@pytest.mark.parametrize(
    ("body", "members", "constraint"),
    [
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            {"capabilities": WITHOUT["tools"]},
            "no_tools",
        ),
        (
            {"messages": [{"role": "user", "content": [IMAGE]}]},
            {"capabilities": WITHOUT["images"]},
            "no_images",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            {"capabilities": WITHOUT["json_schema"]},
            "no_json_schema",
        ),
        ({"provider": {"only": ["nobody"]}}, {}, "excluded_by_request"),
    ],
)
def test_constraint_that_no_route_meets_is_named(
    body: dict[str, Any], members: dict[str, Any], constraint: str
) -> None:
    with pytest.raises(NoMatchingRoute, match=constraint):
        planned({"model": "m", **body}, model("m", **members))


def test_every_route_resting_is_told_with_the_shortest_wait() -> None:
    health, now = Health(0.1), time.monotonic()
    routes = route(), route(), route(fault=Reason.CHANNEL_DISABLED)
    health.routes[routes[0].id].rest(now, 40)
    health.channels[routes[1].channel.id].resting_until = now + 20
    with pytest.raises(NoAvailableChannel) as caught:
        planned({"model": "m"}, model("m", *routes), health=health)
    assert caught.value.retry_after == 20


@pytest.mark.parametrize("routes", [(), (route(fault=Reason.CHANNEL_DISABLED),)], ids=["none", "disabled"])
def test_model_without_a_usable_route_is_not_found(routes: tuple[RouteView, ...]) -> None:
    with pytest.raises(ModelNotFound):
        planned({"model": "m"}, model("m", routes=routes))


def test_busy_channel_is_passed_over_until_it_has_room() -> None:
    health = Health(0.1)
    narrow, wide = route(1, concurrency=1), route(9)
    offered = model("m", narrow, wide)
    health.channels[narrow.channel.id].in_flight = 1
    assert [each.route.id for each in planned({"model": "m"}, offered, health=health).options] == [wide.id]
    health.channels[narrow.channel.id].in_flight = 0
    assert planned({"model": "m"}, offered, health=health).options[0].route.id == narrow.id


def test_what_one_channel_cannot_say_is_no_ones_fault_while_another_rests() -> None:
    """The request is to come again; its members are not what stands in the way."""
    health, resting, mute = Health(0.1), route(), route(provider="anthropic")
    health.routes[resting.id].rest(time.monotonic(), 40)
    body = {"model": "m", "n": 2}
    with pytest.raises(NoAvailableChannel):
        planned(body, model("m", resting, mute), health=health)
    with pytest.raises(UnsupportedParameter) as caught:
        planned(body, model("m", mute))
    assert caught.value.param == "n"


# --- what is used beside tokens --------------------------------------------------------------------------------------


def drawn(*models: ModelView, images: int = 2) -> Plan:
    return planned({"model": "m", "n": images}, *models, endpoint=IMAGES)


def drawing(*routes: RouteView, **rates: int) -> ModelView:
    """A model of pictures with a price of these rates."""
    given: dict[str, Any] = {"input": 0, "output": 0, **rates}
    return model("m", *routes, price=Tariff(1, "USD", **given), endpoints=frozenset((IMAGES.name,)))


@pytest.mark.parametrize("rates", [{"image": 0}, {"input": 1}, {"output": 1}], ids=str)
def test_pictures_are_paid_by_a_price_for_them_or_for_tokens(rates: dict[str, int]) -> None:
    assert drawn(drawing(**rates)).options


def test_pictures_that_no_price_covers_are_refused() -> None:
    with pytest.raises(UnsupportedParameter, match="has no price for images"):
        drawn(drawing())


def test_pictures_count_in_what_a_route_is_expected_to_cost() -> None:
    """Of one that takes 1,000 ledger units for a picture and nothing for tokens."""
    free = Tariff(1, "USD", input=0, output=0, image=10**9)
    (verdict,) = drawn(drawing(replace(route(0), cost=free), image=0), images=3).decision.candidates
    assert verdict.expected_cost == 3_000
