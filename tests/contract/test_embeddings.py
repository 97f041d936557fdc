"""POST /v1/embeddings: held, routed, priced and shown as chat is; a vector for each input or none at all."""

from __future__ import annotations

import base64
import struct
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from tests import upstream as up
from tests.callers import Caller, decoded, record_id
from tests.envelopes import assert_error
from tests.installation import CHEAP, DEAR, Offer, Shape
from tests.worlds import World

EMBEDS = Shape(endpoints=("embeddings",))
USAGE = {"prompt_tokens": 7, "total_tokens": 7}
VECTOR = [0.5, -0.25, 1.0]


def told(*vectors: Any, usage: Any = USAGE, **members: Any) -> up.Reply:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    body = {"object": "list", "model": "hidden-name", "data": data, **members}
    return up.plain(200, body if usage is None else {**body, "usage": usage})


def embed(caller: Caller, model: Offer, /, **members: Any) -> httpx.Response:
    return caller.client.post("/v1/embeddings", json={"model": model.name, "input": "What is the sea?", **members})


@pytest.fixture
def embedder(world: World) -> Offer:
    """A model of vectors with one route, at 2 USD per million tokens."""
    return world.offer(EMBEDS)


def test_answer_is_the_public_schemas_and_costs_its_input(caller: Caller, embedder: Offer) -> None:
    caller.upstream.on(embedder.upstream, told(VECTOR))
    before = caller.available

    response = embed(caller, embedder)

    body, record = decoded(response.content), caller.only_record()
    assert body["object"] == "list"
    assert body["model"] == embedder.name
    assert body["data"] == [{"object": "embedding", "index": 0, "embedding": VECTOR}]
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] == 7
    assert body["usage"]["cost"] == Decimal(7 * 2_000).scaleb(-9)
    assert record.id == record_id(body["id"])
    assert (record.endpoint, record.input_tokens, record.output_tokens, record.cost) == ("embeddings", 7, 0, 14_000)
    assert record.provider_cost == 7_000
    assert caller.available == before - 14_000
    assert "hidden-name" not in response.text


def test_upstream_is_asked_what_the_client_asked(caller: Caller, embedder: Offer) -> None:
    caller.upstream.on(embedder.upstream, told(VECTOR))

    embed(caller, embedder, dimensions=3, input_type="query", encoding_format="float", user=None)

    asked = caller.upstream.requests[-1]
    assert asked.path.endswith("/embeddings")
    assert asked.json == {
        "model": embedder.upstream, "input": "What is the sea?", "dimensions": 3, "input_type": "query",
        "encoding_format": "float",
    }  # fmt: skip


PACKED = base64.b64encode(struct.pack("<3f", *VECTOR)).decode()


@pytest.mark.parametrize(("wanted", "shown"), [("base64", PACKED), ("float", VECTOR), (None, VECTOR)])
@pytest.mark.parametrize("sent", [VECTOR, PACKED], ids=["floats", "base64"])
def test_encoding_is_the_one_that_was_asked_for_whichever_the_upstream_has(
    caller: Caller, embedder: Offer, wanted: str | None, shown: Any, sent: Any
) -> None:
    caller.upstream.on(embedder.upstream, told(sent))

    body = decoded(embed(caller, embedder, encoding_format=wanted).content)

    assert body["data"][0]["embedding"] == shown


def test_vectors_are_in_the_order_of_their_inputs(caller: Caller, embedder: Offer) -> None:
    data = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    caller.upstream.on(embedder.upstream, up.plain(200, {"data": data, "usage": USAGE}))

    body = decoded(embed(caller, embedder, input=["one", "two"]).content)

    assert [(each["index"], each["embedding"]) for each in body["data"]] == [(0, [1.0]), (1, [2.0])]


BROKEN = {
    "fewer than inputs": told(VECTOR),
    "more than inputs": told(VECTOR, VECTOR, VECTOR),
    "an empty one": told(VECTOR, []),
    "one that is null": told(VECTOR, None),
    "one that is no vector": told(VECTOR, "no base64!"),
    "one with NaN": told(VECTOR, [0.5, float("nan"), 1.0]),
    "one that is shorter": told(VECTOR, VECTOR[:2]),
    "twice the same place": up.plain(200, {"data": [{"index": 0, "embedding": VECTOR}] * 2, "usage": USAGE}),
    "none": up.plain(200, {"object": "list", "data": [], "usage": USAGE}),
    "no data": up.plain(200, {"object": "list", "usage": USAGE}),
    "an error": up.plain(200, {"error": {"message": "no"}}),
    "no JSON": up.plain(200, b"<html>"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_answer_that_is_not_whole_is_an_error_and_free(caller: Caller, embedder: Offer, broken: up.Reply) -> None:
    caller.upstream.on(embedder.upstream, broken)
    before = caller.available

    response = embed(caller, embedder, input=["one", "two"])

    assert_error(response, 502, "server_error", "upstream_error", param=None)
    assert caller.only_record().cost == 0
    assert caller.available == before


def test_first_channel_that_fails_is_invisible(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(vias=(CHEAP, DEAR), endpoints=("embeddings",)))
    caller.upstream.on(offer.upstreams[0], up.plain(500, {"error": {"message": "no"}}))
    caller.upstream.on(offer.upstreams[1], told(VECTOR))

    assert embed(caller, offer).status_code == 200
    record = caller.only_record()
    assert (record.channel, len(record.attempts)) == (offer.channels[1], 2)


@pytest.mark.parametrize(("given", "most"), [("What is the sea?", 40), ([5, 6, 7], 3), ([[5, 6], [7]], 3)])
def test_usage_that_is_not_told_is_estimated(caller: Caller, embedder: Offer, given: Any, most: int) -> None:
    vectors = [VECTOR] * (2 if given == [[5, 6], [7]] else 1)
    caller.upstream.on(embedder.upstream, told(*vectors, usage=None))

    embed(caller, embedder, input=given)

    record = caller.only_record()
    assert record.usage_source == "estimated"
    assert 1 <= record.input_tokens <= most
    assert record.cost == record.input_tokens * 2_000


def test_text_that_cannot_fit_is_refused(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(endpoints=("embeddings",), context_window=100))
    with caller.nothing_changes():
        response = embed(caller, offer, input=["short", "long " * 200])
    assert_error(response, 400, "invalid_request_error", "context_length_exceeded", param="input")


def test_text_beyond_llama_cpps_batch_is_the_clients_to_shorten(caller: Caller, embedder: Offer) -> None:
    """Its server calls that a fault of its own, with 500."""
    words = "input (5601 tokens) is too large to process. increase the physical batch size (current batch size: 512)"
    told_so = {"error": {"code": 500, "message": words, "type": "server_error"}}
    caller.upstream.on(embedder.upstream, up.plain(500, told_so, headers=[("server", "llama.cpp")]))
    before = caller.available

    response = embed(caller, embedder)

    assert_error(response, 400, "invalid_request_error", "context_length_exceeded")
    record = caller.only_record()
    assert (record.cost, record.outcome, record.status) == (0, "refused", 400)
    assert caller.available == before


def test_many_texts_may_be_longer_together_than_the_window(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(endpoints=("embeddings",), context_window=100))
    caller.upstream.on(offer.upstream, told(*[VECTOR] * 50, usage={"prompt_tokens": 2500, "total_tokens": 2500}))
    assert embed(caller, offer, input=["word " * 50] * 50).status_code == 200


def test_model_of_another_endpoint_is_refused_with_its_place(caller: Caller, embedder: Offer, model: Offer) -> None:
    with caller.nothing_changes():
        chat = caller.ask(embedder)
        vectors = embed(caller, model)

    error = assert_error(chat, 404, "invalid_request_error", "model_not_found", param="model")
    assert "is not served here, but at /v1/embeddings." in error["message"]
    error = assert_error(vectors, 404, "invalid_request_error", "model_not_found", param="model")
    assert "is not served here, but at /v1/chat/completions" in error["message"]


def test_models_say_where_they_are_served(caller: Caller, embedder: Offer, model: Offer) -> None:
    shown = {each["id"]: each for each in caller.client.get("/v1/models").json()["data"]}
    assert shown[embedder.name]["endpoints"] == ["/v1/embeddings"]
    assert "/v1/chat/completions" in shown[model.name]["endpoints"]
    assert "/v1/embeddings" not in shown[model.name]["endpoints"]


@pytest.mark.parametrize("encoding", ["base64", "float", openai.omit])
def test_the_official_sdk_gets_its_vectors(caller: Caller, embedder: Offer, encoding: Any) -> None:
    caller.upstream.on(embedder.upstream, told(VECTOR, VECTOR))
    base_url = f"{caller.installation.gateway_url}/v1"

    with openai.OpenAI(base_url=base_url, api_key=caller.secret, max_retries=0) as client:
        answer = client.embeddings.create(model=embedder.name, input=["a", "b"], encoding_format=encoding)

    assert [each.index for each in answer.data] == [0, 1]
    assert answer.usage.prompt_tokens == 7
    if encoding != "base64":
        assert answer.data[0].embedding == VECTOR


def test_generation_tells_of_it_afterwards(caller: Caller, embedder: Offer) -> None:
    caller.upstream.on(embedder.upstream, told(VECTOR))
    id_ = decoded(embed(caller, embedder).content)["id"]
    told_later = caller.client.get("/v1/generation", params={"id": id_}).json()["data"]
    assert told_later["id"] == id_
