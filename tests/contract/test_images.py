"""POST /v1/images/generations: paid by the picture or by tokens; as many pictures as were asked for, or none."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from tests import upstream as up
from tests.callers import Caller, Stream, decoded, record_id
from tests.envelopes import assert_error, assert_refused
from tests.installation import DOLLAR, Offer, Shape, Tariff, Via
from tests.worlds import World

PICTURE = base64.b64encode(b"\x89PNG picture").decode()
USAGE = {
    "input_tokens": 10,
    "output_tokens": 272,
    "total_tokens": 282,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
}


def free(image: int | None = None) -> Tariff:
    """Of a model that tokens cost nothing of."""
    return Tariff(input=0, output=0, cached_input=None, image=image)


BY_PICTURE = Shape(
    endpoints=("images.generations",),
    price=free(40_000 * DOLLAR),
    vias=(Via(cost=free(30_000 * DOLLAR)),),
)
"""4 cents a picture, of which 3 go to the upstream."""
BY_TOKENS = Shape(endpoints=("images.generations",), price=Tariff(input=5 * DOLLAR, output=40 * DOLLAR))
DEAR_TWICE = Shape(
    endpoints=("images.generations",),
    price=free(40_000 * DOLLAR),
    vias=(
        Via(cost=free(10_000 * DOLLAR)),
        Via(cost=free(30_000 * DOLLAR)),
    ),
)


def told(count: int = 1, usage: Any = None, **members: Any) -> up.Reply:
    data = [{"b64_json": PICTURE, "revised_prompt": "A sea."} for _ in range(count)]
    body = {"created": up.CREATED, "data": data, **members}
    return up.plain(200, body if usage is None else {**body, "usage": usage})


def draw(caller: Caller, model: Offer, /, **members: Any) -> httpx.Response:
    return caller.client.post("/v1/images/generations", json={"model": model.name, "prompt": "The sea", **members})


def watch(caller: Caller, model: Offer, /, **members: Any) -> Stream:
    body = {"model": model.name, "prompt": "The sea", "stream": True, **members}
    with caller.client.stream("POST", "/v1/images/generations", json=body) as response:
        seen = Stream(response.status_code, response.headers)
        for data in response.iter_raw():
            seen.raw += data
    return seen


def event(kind: str, **members: Any) -> bytes:
    body = {"type": f"image_generation.{kind}", "b64_json": PICTURE, "created_at": 5, "size": "1024x1024", **members}
    return f"event: {body['type']}\n".encode() + up.event(body)


@pytest.fixture
def painter(world: World) -> Offer:
    return world.offer(BY_PICTURE)


@pytest.fixture
def counter(world: World) -> Offer:
    return world.offer(BY_TOKENS)


def test_picture_costs_its_price(caller: Caller, painter: Offer) -> None:
    caller.upstream.on(painter.upstream, told(2, quality="high", x_upstream="secret-host"))
    before = caller.available

    response = draw(caller, painter, n=2)

    body, record = decoded(response.content), caller.only_record()
    assert body["data"] == [{"b64_json": PICTURE, "revised_prompt": "A sea."}] * 2
    assert (body["created"], body["model"], body["quality"]) == (up.CREATED, painter.name, "high")
    assert body["usage"]["cost"] == Decimal("0.08")
    assert body["usage"]["cost_details"] == {"currency": "USD", "image": Decimal("0.08")}
    assert response.headers["x-costrouter-cost"] == "0.08"
    assert (record.id, record.endpoint) == (record_id(body["id"]), "images.generations")
    assert (record.usage.images, record.input_tokens, record.cost) == (2, 0, DOLLAR * 8 // 100)
    assert (record.provider_cost, record.usage_source) == (DOLLAR * 6 // 100, "upstream")
    assert caller.available == before - record.cost
    assert "secret-host" not in response.text


def test_tokens_cost_theirs(caller: Caller, counter: Offer) -> None:
    caller.upstream.on(counter.upstream, told(usage=USAGE))

    body = decoded(draw(caller, counter).content)

    record = caller.only_record()
    counts = record.usage.images, record.input_tokens, record.output_tokens, record.usage.output_image
    assert counts == (1, 10, 272, 272)
    assert record.cost == 10 * 5_000 + 272 * 40_000
    assert body["usage"]["cost"] == Decimal(record.cost).scaleb(-9)
    assert body["usage"]["output_tokens_details"] == {"text_tokens": 0, "image_tokens": 272}
    assert body["usage"]["input_tokens_details"] == USAGE["input_tokens_details"]


def test_upstream_is_asked_what_the_client_asked(caller: Caller, painter: Offer) -> None:
    caller.upstream.on(painter.upstream, told())

    draw(caller, painter, size="1024x1024", style="vivid", user=None, usage={"include": True})

    asked = caller.upstream.requests[-1]
    assert asked.path.endswith("/v1/images/generations")
    assert asked.json == {"model": painter.upstream, "prompt": "The sea", "size": "1024x1024", "style": "vivid"}


def test_hold_is_for_all_pictures(world: World, painter: Offer) -> None:
    poor = world.caller(funds="0.10")
    with poor.nothing_changes():
        response = draw(poor, painter, n=3)
    error = assert_error(response, 429, "insufficient_quota", "insufficient_quota")
    assert "this request can cost up to 0.12 USD" in error["message"]
    poor.upstream.on(painter.upstream, told(2))
    assert draw(poor, painter, n=2).status_code == 200


def test_model_with_no_price_for_pictures_is_refused(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(endpoints=("images.generations",), price=free()))
    with caller.nothing_changes():
        response = draw(caller, offer)
    error = assert_refused(response, 400, "unsupported_parameter", param="model")
    assert "has no price for images" in error["message"]


REFUSED = {
    "no prompt": ({"prompt": None}, "missing_required_parameter", "prompt"),
    "an empty prompt": ({"prompt": ""}, None, "prompt"),
    "too many": ({"n": 11}, "integer_above_max_value", "n"),
    "none": ({"n": 0}, "integer_below_min_value", "n"),
    "a number as text": ({"n": "2"}, "invalid_type", "n"),
    "another format": ({"response_format": "png"}, None, "response_format"),
    "another secret": ({"api_key": "sk"}, "unsupported_parameter", "api_key"),
}


@pytest.mark.parametrize(("members", "code", "param"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_refused(caller: Caller, painter: Offer, members: dict[str, Any], code: Any, param: str) -> None:
    body = {"model": painter.name, "prompt": "The sea", **members}
    with caller.nothing_changes():
        response = caller.client.post(
            "/v1/images/generations", json={name: value for name, value in body.items() if value is not None}
        )
    error = assert_error(response, 400, "invalid_request_error", response.json()["error"]["code"], param=param)
    assert code is None or error["code"] == code


BROKEN = {
    "fewer": told(1),
    "more": told(3),
    "none": up.plain(200, {"created": 1, "data": []}),
    "an empty one": up.plain(200, {"data": [{"b64_json": ""}, {"b64_json": PICTURE}]}),
    "no data": up.plain(200, {"created": 1}),
    "an error": up.plain(200, {"error": {"message": "no"}}),
    "no JSON": up.plain(200, b"<html>"),
    "cut": up.Reply((up.head(200, [("content-length", "1000")]) + b'{"data"',), up.End.RESET),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_answer_that_is_not_whole_is_an_error_and_free(caller: Caller, painter: Offer, broken: up.Reply) -> None:
    caller.upstream.on(painter.upstream, broken)
    before = caller.available

    response = draw(caller, painter, n=2)

    assert_error(response, 502, "server_error", "upstream_error", param=None)
    assert caller.only_record().cost == 0
    assert caller.available == before


def test_picture_at_the_upstreams_own_address_is_not_shown(caller: Caller, painter: Offer) -> None:
    address = f"http://127.0.0.1:{caller.upstream.port}/picture.png"
    caller.upstream.on(painter.upstream, up.plain(200, {"created": 1, "data": [{"url": address}]}))
    response = draw(caller, painter)
    assert_error(response, 502, "server_error", "upstream_error", param=None)
    assert caller.only_record().cost == 0


def test_picture_at_an_address_for_everybody_is_shown(caller: Caller, painter: Offer) -> None:
    data = [{"url": "https://pictures.example/1.png"}]
    caller.upstream.on(painter.upstream, up.plain(200, {"created": 1, "data": data}))
    assert draw(caller, painter, response_format="url").json()["data"] == data


def test_first_channel_that_fails_is_invisible(world: World, caller: Caller) -> None:
    offer = world.offer(DEAR_TWICE)
    caller.upstream.on(offer.upstreams[0], up.plain(500, {"error": {"message": "no"}}))
    caller.upstream.on(offer.upstreams[1], told())

    assert draw(caller, offer).status_code == 200
    record = caller.only_record()
    assert (record.channel, len(record.attempts)) == (offer.channels[1], 2)


def test_content_that_the_upstream_refuses_is_the_clients_fault(caller: Caller, painter: Offer) -> None:
    refusal = {"message": "Your request was rejected by the safety system.", "type": "invalid_request_error",
               "code": "content_policy_violation", "param": None}  # fmt: skip
    caller.upstream.on(painter.upstream, up.plain(400, {"error": refusal}))
    response = draw(caller, painter)
    assert response.status_code == 400
    assert "safety system" in response.json()["error"]["message"]
    assert caller.only_record().cost == 0


def test_stream_ends_with_the_usage(caller: Caller, counter: Offer) -> None:
    partial, completed = event("partial_image", partial_image_index=0), event("completed", usage=USAGE)
    caller.upstream.on(counter.upstream, up.stream(partial, up.Pause(0.05), completed))

    seen = watch(caller, counter, partial_images=1)

    first, last = seen.events
    assert seen.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert b"event: image_generation.partial_image\ndata: " in seen.raw
    assert (first["type"], first["partial_image_index"], first["b64_json"]) == (
        "image_generation.partial_image", 0, PICTURE,
    )  # fmt: skip
    record = caller.only_record()
    assert (last["type"], last["b64_json"]) == ("image_generation.completed", PICTURE)
    assert last["usage"]["cost"] == Decimal(record.cost).scaleb(-9)
    assert record.cost == 10 * 5_000 + 272 * 40_000
    assert (record.is_stream, record.outcome, record.usage.images) == (True, "success", 1)
    assert caller.upstream.requests[-1].json["stream"] is True
    assert "stream_options" not in caller.upstream.requests[-1].json


def test_stream_that_breaks_off_ends_in_an_error(caller: Caller, counter: Offer) -> None:
    cut = up.stream(event("partial_image", partial_image_index=0), end=up.End.RESET, is_terminated=False)
    caller.upstream.on(counter.upstream, cut)

    seen = watch(caller, counter)

    assert seen.error["code"] == "upstream_error"
    record = caller.only_record()
    assert (record.outcome, record.cost) == ("upstream_error", 0)


def test_stream_of_two_pictures_of_which_one_comes_is_no_success(caller: Caller, painter: Offer) -> None:
    caller.upstream.on(painter.upstream, up.stream(event("completed", usage=USAGE)))

    seen = watch(caller, painter, n=2)

    assert seen.error["code"] == "upstream_error"
    record = caller.only_record()
    assert (record.outcome, record.usage.images, record.cost) == ("upstream_error", 1, DOLLAR * 4 // 100)


def test_whole_answer_to_a_stream_becomes_one(caller: Caller, painter: Offer) -> None:
    caller.upstream.on(painter.upstream, told(2))
    seen = watch(caller, painter, n=2)
    assert [each["type"] for each in seen.events] == ["image_generation.completed"] * 2
    assert caller.only_record().cost == DOLLAR * 8 // 100


def test_client_that_leaves_pays_for_the_prompt_alone(caller: Caller, counter: Offer) -> None:
    caller.upstream.on(counter.upstream, up.stream(event("partial_image", partial_image_index=0), up.HANG))
    body = {"model": counter.name, "prompt": "The sea", "stream": True}
    with (
        httpx.Client(base_url=caller.installation.gateway_url, headers=caller.authorization, timeout=10) as client,
        client.stream("POST", "/v1/images/generations", json=body) as response,
    ):
        next(response.iter_raw())

    record = caller.only_record(seconds=4)
    assert (record.outcome, record.usage_source, record.usage.images) == ("client_gone", "estimated", 0)
    assert record.cost == record.input_tokens * 5_000
    assert caller.upstream.requests[-1].was_left_within(2)


def test_models_say_what_a_picture_costs(caller: Caller, painter: Offer, model: Offer) -> None:
    shown = {each["id"]: each for each in caller.client.get("/v1/models").json()["data"]}
    assert shown[painter.name]["endpoints"] == ["/v1/images/generations"]
    assert shown[painter.name]["architecture"]["output_modalities"] == ["image"]
    assert shown[painter.name]["pricing"]["image"] == "0.04"
    assert "image" not in shown[model.name]["pricing"]


def test_the_official_sdk_gets_its_pictures(caller: Caller, counter: Offer) -> None:
    caller.upstream.on(counter.upstream, told(usage=USAGE), up.stream(event("completed", usage=USAGE)))
    with openai.OpenAI(
        base_url=f"{caller.installation.gateway_url}/v1", api_key=caller.secret, max_retries=0
    ) as client:
        answer = client.images.generate(model=counter.name, prompt="The sea")
        events = list(client.images.generate(model=counter.name, prompt="The sea", stream=True))

    assert answer.data is not None
    assert answer.usage is not None
    assert (answer.data[0].b64_json, answer.usage.output_tokens) == (PICTURE, 272)
    assert [(each.type, each.usage.output_tokens) for each in events if each.type == "image_generation.completed"] == [
        ("image_generation.completed", 272)
    ]
