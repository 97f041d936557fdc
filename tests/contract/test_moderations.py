"""POST /v1/moderations: held, routed and priced as the rest is; a judgement of each input or none at all."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import openai
import pytest

from tests import upstream as up
from tests.callers import Caller, decoded, record_id
from tests.envelopes import assert_error
from tests.installation import CHEAP, DEAR, Offer, Shape
from tests.schemas import CATEGORIES, MODERATION, faults
from tests.worlds import World

JUDGES = Shape(endpoints=("moderations",))
SAFE: dict[str, Any] = {
    "flagged": False,
    "categories": dict.fromkeys(CATEGORIES, False),
    "category_scores": dict.fromkeys(CATEGORIES, 0.01),
    "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
}
HARMFUL: dict[str, Any] = {**SAFE, "flagged": True, "categories": {**SAFE["categories"], "violence": True}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40_000}}


def told(*results: Any, **members: Any) -> up.Reply:
    return up.plain(200, {"id": "modr-own", "model": "hidden-name", "results": list(results), **members})


def judge(caller: Caller, model: Offer, /, **members: Any) -> httpx.Response:
    return caller.client.post("/v1/moderations", json={"model": model.name, "input": "I want to kill them.", **members})


@pytest.fixture
def judging(world: World) -> Offer:
    """A model that judges with one route, at 2 USD per million tokens."""
    return world.offer(JUDGES)


def test_answer_is_the_public_schemas_and_costs_its_input(caller: Caller, judging: Offer) -> None:
    caller.upstream.on(judging.upstream, told(HARMFUL))
    before = caller.available

    response = judge(caller, judging)

    body, record = decoded(response.content), caller.only_record()
    assert faults(MODERATION, response.json()) == []
    assert response.json()["results"] == [HARMFUL]
    assert body["model"] == judging.name
    assert record.id == record_id(body["id"])
    assert (record.endpoint, record.usage_source, record.output_tokens) == ("moderations", "estimated", 0)
    assert 1 <= record.input_tokens <= 60
    assert record.cost == record.input_tokens * 2_000
    assert caller.available == before - record.cost
    assert "hidden-name" not in response.text


def test_upstream_is_asked_what_the_client_asked(caller: Caller, judging: Offer) -> None:
    caller.upstream.on(judging.upstream, told(SAFE))
    judge(caller, judging, threshold=0.5)
    asked = caller.upstream.requests[-1]
    assert asked.path.endswith("/v1/moderations")
    assert asked.json == {"model": judging.upstream, "input": "I want to kill them.", "threshold": 0.5}


def test_counts_that_the_upstream_tells_are_the_ones_to_pay(caller: Caller, judging: Offer) -> None:
    caller.upstream.on(judging.upstream, told(SAFE, usage={"prompt_tokens": 9, "total_tokens": 9}))
    judge(caller, judging)
    assert (caller.only_record().input_tokens, caller.only_record().usage_source) == (9, "upstream")


def test_each_text_has_its_result_in_order(caller: Caller, judging: Offer) -> None:
    caller.upstream.on(judging.upstream, told(SAFE, HARMFUL))
    body = judge(caller, judging, input=["a", "b"]).json()
    assert [each["flagged"] for each in body["results"]] == [False, True]


def test_parts_are_judged_together_and_a_picture_is_no_text(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(endpoints=("moderations",), supports_images=True))
    caller.upstream.on(offer.upstream, told(HARMFUL))

    response = judge(caller, offer, input=[{"type": "text", "text": "look"}, PICTURE])

    assert len(response.json()["results"]) == 1
    assert 1024 <= caller.only_record().input_tokens < 1200


def test_pictures_go_to_models_that_see(world: World, caller: Caller) -> None:
    blind = world.offer(Shape(endpoints=("moderations",), supports_images=False))
    with caller.nothing_changes():
        response = judge(caller, blind, input=[PICTURE])
    assert_error(response, 404, "invalid_request_error", "no_matching_route", param=None)


def test_categories_of_other_vendors_are_completed(caller: Caller, judging: Offer) -> None:
    caller.upstream.on(judging.upstream, told({"categories": {"pii": True, "law": None}}))
    assert judge(caller, judging).json()["results"] == [
        {
            "flagged": True,
            "categories": {"pii": True, "law": False},
            "category_scores": {"pii": 1.0, "law": 0.0},
            "category_applied_input_types": {"pii": ["text"], "law": ["text"]},
        }
    ]


BROKEN = {
    "fewer than inputs": told(SAFE),
    "more than inputs": told(SAFE, SAFE, SAFE),
    "no categories": told(SAFE, {"flagged": False}),
    "no category": told(SAFE, {"flagged": False, "categories": {}}),
    "a category that is no verdict": told(SAFE, {"categories": {"hate": "no"}}),
    "no object": told(SAFE, None),
    "no results": up.plain(200, {"id": "modr"}),
    "an error": up.plain(200, {"error": {"message": "no"}}),
    "no JSON": up.plain(200, b"<html>"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_answer_that_is_not_whole_is_an_error_and_free(caller: Caller, judging: Offer, broken: up.Reply) -> None:
    caller.upstream.on(judging.upstream, broken)
    before = caller.available

    response = judge(caller, judging, input=["one", "two"])

    assert_error(response, 502, "server_error", "upstream_error", param=None)
    assert caller.only_record().cost == 0
    assert caller.available == before


def test_first_channel_that_fails_is_invisible(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(vias=(CHEAP, DEAR), endpoints=("moderations",)))
    caller.upstream.on(offer.upstreams[0], told())
    caller.upstream.on(offer.upstreams[1], told(SAFE))

    assert judge(caller, offer).status_code == 200
    record = caller.only_record()
    assert (record.channel, len(record.attempts)) == (offer.channels[1], 2)


def test_client_that_leaves_pays_for_what_was_judged(caller: Caller, judging: Offer) -> None:
    go_on = threading.Event()
    reply = told(SAFE, usage={"prompt_tokens": 9, "total_tokens": 9})
    caller.upstream.on(judging.upstream, up.Reply((up.Until(go_on), *reply.steps), reply.end))
    url, body = f"{caller.installation.gateway_url}/v1/moderations", {"model": judging.name, "input": "a"}

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url, json=body, headers=caller.authorization, timeout=0.5)
    go_on.set()

    record = caller.only_record(seconds=5)
    assert (record.outcome, record.cost) == ("client_gone", 18_000)


REFUSED = [
    ({"input": None}, "invalid_type", "input"),
    ({"input": []}, "empty_array", "input"),
    ({"input": ["a", 5]}, "invalid_type", "input"),
    ({"input": [{"type": "text", "text": "a"}, "b"]}, "invalid_type", "input"),
    ({"input": [{"type": "audio"}]}, "invalid_value", "input[0].type"),
    ({"input": [{"type": "text"}]}, "missing_required_parameter", "input[0].text"),
    ({"input": [{"type": "image_url", "image_url": {}}]}, "missing_required_parameter", "input.image_url.url"),
    ({"stream": True}, "invalid_value", "stream"),
]


@pytest.mark.parametrize(("members", "code", "param"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_bad_input_is_refused_and_changes_nothing(
    caller: Caller, judging: Offer, members: dict[str, Any], code: str | None, param: str
) -> None:
    with caller.nothing_changes():
        response = judge(caller, judging, **members)
    assert_error(response, 400, "invalid_request_error", code, param=param)


@pytest.mark.parametrize("named", [{}, {"model": None}], ids=["absent", "null"])
def test_request_without_a_model_means_the_public_apis(caller: Caller, named: dict[str, Any]) -> None:
    with caller.nothing_changes():
        response = caller.client.post("/v1/moderations", json={"input": "a", **named})
    error = assert_error(response, 404, "invalid_request_error", "model_not_found", param="model")
    assert "omni-moderation-latest" in error["message"]


def test_the_official_sdk_gets_its_judgements(caller: Caller, judging: Offer) -> None:
    caller.upstream.on(judging.upstream, told(HARMFUL))
    base_url = f"{caller.installation.gateway_url}/v1"

    with openai.OpenAI(base_url=base_url, api_key=caller.secret, max_retries=0) as client:
        answer = client.moderations.create(model=judging.name, input="I want to kill them.")

    assert (answer.results[0].flagged, answer.results[0].categories.violence) == (True, True)
    assert answer.results[0].categories.hate is False


def test_models_say_where_they_are_served(caller: Caller, judging: Offer) -> None:
    shown = caller.client.get(f"/v1/models/{judging.name}").json()
    assert (shown["endpoints"], shown["architecture"]["output_modalities"]) == (["/v1/moderations"], ["judgements"])
