"""POST /v1/rerank: held, routed and priced as the rest is; every document in its place, the best first."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests import upstream as up
from tests.callers import Caller, decoded, record_id
from tests.envelopes import assert_error
from tests.installation import CHEAP, DEAR, Offer, Shape
from tests.worlds import World

RANKS = Shape(endpoints=("rerank",))
USAGE = {"prompt_tokens": 7, "total_tokens": 7}
DOCUMENTS = ["the sea", "the moon", "the salt of the sea"]


def told(*scores: float, usage: Any = USAGE, **members: Any) -> up.Reply:
    results = [{"index": place, "relevance_score": score} for place, score in enumerate(scores)]
    body = {"id": "own", "model": "hidden-name", "results": results, **members}
    return up.plain(200, body if usage is None else {**body, "usage": usage})


def rank(caller: Caller, model: Offer, /, **members: Any) -> httpx.Response:
    return caller.client.post(
        "/v1/rerank", json={"model": model.name, "query": "sea?", "documents": DOCUMENTS, **members}
    )


def ranking(response: httpx.Response) -> list[tuple[int, float]]:
    return [(each["index"], each["relevance_score"]) for each in response.json()["results"]]


@pytest.fixture
def ranker(world: World) -> Offer:
    """A model that ranks with one route, at 2 USD per million tokens."""
    return world.offer(RANKS)


def test_answer_has_the_best_first_and_costs_its_input(caller: Caller, ranker: Offer) -> None:
    caller.upstream.on(ranker.upstream, told(0.4, -0.5, 0.9))
    before = caller.available

    response = rank(caller, ranker)

    body, record = decoded(response.content), caller.only_record()
    assert ranking(response) == [(2, 0.9), (0, 0.4), (1, -0.5)]
    assert (body["object"], body["model"]) == ("list", ranker.name)
    assert body["usage"]["total_tokens"] == 7
    assert body["usage"]["cost"] == Decimal(7 * 2_000).scaleb(-9)
    assert record.id == record_id(body["id"])
    assert (record.endpoint, record.input_tokens, record.output_tokens, record.cost) == ("rerank", 7, 0, 14_000)
    assert caller.available == before - 14_000
    assert "hidden-name" not in response.text


def test_upstream_is_asked_what_the_client_asked(caller: Caller, ranker: Offer) -> None:
    caller.upstream.on(ranker.upstream, told(0.4, 0.5, 0.9))

    rank(caller, ranker, top_n=2, return_documents=False, max_tokens_per_doc=50, user=None)

    asked = caller.upstream.requests[-1]
    assert asked.path.endswith("/v1/rerank")
    assert asked.json == {
        "model": ranker.upstream, "query": "sea?", "documents": DOCUMENTS, "top_n": 2, "return_documents": False,
        "max_tokens_per_doc": 50,
    }  # fmt: skip


def test_as_many_come_as_were_asked_for_also_where_the_upstream_sends_all(caller: Caller, ranker: Offer) -> None:
    caller.upstream.on(ranker.upstream, told(0.4, 0.5, 0.9))
    assert ranking(rank(caller, ranker, top_n=2)) == [(2, 0.9), (1, 0.5)]


def test_more_than_there_are_asks_for_all(caller: Caller, ranker: Offer) -> None:
    caller.upstream.on(ranker.upstream, told(0.4, 0.5, 0.9))
    assert len(ranking(rank(caller, ranker, top_n=50))) == 3


@pytest.mark.parametrize(("wanted", "shown"), [(True, [{"text": "the sea"}]), (False, []), (None, [])])
def test_documents_come_back_where_they_were_asked_for_whatever_the_upstream_does(
    caller: Caller, ranker: Offer, wanted: bool | None, shown: list[Any]
) -> None:
    results = [{"index": 0, "relevance_score": 1, "document": {"text": "something else"}}]
    caller.upstream.on(ranker.upstream, up.plain(200, {"results": results, "usage": USAGE}))

    body = rank(caller, ranker, documents=["the sea"], return_documents=wanted).json()

    assert [each["document"] for each in body["results"] if "document" in each] == shown


def test_documents_may_be_objects_with_a_text(caller: Caller, ranker: Offer) -> None:
    document = {"text": "the sea", "title": "Sea"}
    caller.upstream.on(ranker.upstream, told(1))
    body = rank(caller, ranker, documents=[document], return_documents=True).json()
    assert body["results"][0]["document"] == document


def test_voyages_words_are_understood(caller: Caller, ranker: Offer) -> None:
    data = [{"index": place, "relevance_score": place / 4} for place in range(3)]
    caller.upstream.on(ranker.upstream, up.plain(200, {"object": "list", "data": data, "usage": {"total_tokens": 9}}))
    assert ranking(rank(caller, ranker)) == [(2, 0.5), (1, 0.25), (0, 0)]
    assert (caller.only_record().input_tokens, caller.only_record().usage_source) == (9, "upstream")


def test_search_that_tells_no_tokens_is_estimated_each_document_with_the_query(caller: Caller, ranker: Offer) -> None:
    meta = {"billed_units": {"search_units": 1}}
    caller.upstream.on(ranker.upstream, told(*[0.5] * 20, usage=None, meta=meta))

    rank(caller, ranker, query="word " * 40, documents=["x"] * 20)

    record = caller.only_record()
    assert record.usage_source == "estimated"
    assert record.input_tokens > 20 * 40 // 2
    assert record.cost == record.input_tokens * 2_000


BROKEN = {
    "fewer than documents": told(0.5, 0.5),
    "twice the same": up.plain(200, {"results": [{"index": 0, "relevance_score": 1}] * 3, "usage": USAGE}),
    "of no document": up.plain(200, {"results": [{"index": 9, "relevance_score": 1}] * 3, "usage": USAGE}),
    "without a place": up.plain(200, {"results": [{"relevance_score": 1}] * 3, "usage": USAGE}),
    "without a score": up.plain(200, {"results": [{"index": place} for place in range(3)], "usage": USAGE}),
    "a score that is none": told(0.5, 0.5, "high"),  # type: ignore[arg-type]
    "a score that is NaN": told(0.5, 0.5, float("nan")),
    "no object": up.plain(200, {"results": [1, 2, 3]}),
    "no results": up.plain(200, {"usage": USAGE}),
    "an error": up.plain(200, {"error": {"message": "no"}}),
    "no JSON": up.plain(200, b"<html>"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_answer_that_is_not_whole_is_an_error_and_free(caller: Caller, ranker: Offer, broken: up.Reply) -> None:
    caller.upstream.on(ranker.upstream, broken)
    before = caller.available

    response = rank(caller, ranker)

    assert_error(response, 502, "server_error", "upstream_error", param=None)
    assert caller.only_record().cost == 0
    assert caller.available == before


def test_first_channel_that_fails_is_invisible(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(vias=(CHEAP, DEAR), endpoints=("rerank",)))
    caller.upstream.on(offer.upstreams[0], told(0.5))
    caller.upstream.on(offer.upstreams[1], told(0.4, 0.5, 0.9))

    assert rank(caller, offer).status_code == 200
    record = caller.only_record()
    assert (record.channel, len(record.attempts)) == (offer.channels[1], 2)


def test_client_that_leaves_pays_for_what_was_ranked(caller: Caller, ranker: Offer) -> None:
    go_on = threading.Event()
    reply = told(0.4, 0.5, 0.9)
    caller.upstream.on(ranker.upstream, up.Reply((up.Until(go_on), *reply.steps), reply.end))
    body = {"model": ranker.name, "query": "sea?", "documents": DOCUMENTS}

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{caller.installation.gateway_url}/v1/rerank", json=body, headers=caller.authorization, timeout=0.5)
    go_on.set()

    record = caller.only_record(seconds=5)
    assert (record.outcome, record.cost) == ("client_gone", 14_000)


REFUSED = [
    ({"query": ""}, "invalid_value", "query"),
    ({"query": ["a"]}, "invalid_type", "query"),
    ({"documents": []}, "empty_array", "documents"),
    ({"documents": "the sea"}, "invalid_type", "documents"),
    ({"documents": [5]}, "invalid_type", "documents"),
    ({"documents": [{"title": "no text"}]}, "invalid_type", "documents[0]"),
    ({"documents": ["x"] * 2049}, "array_above_max_length", "documents"),
    ({"top_n": 0}, "integer_below_min_value", "top_n"),
    ({"stream": True}, "invalid_value", "stream"),
    ({"documents": ["long " * 300_000]}, "context_length_exceeded", "documents"),
]


@pytest.mark.parametrize(("members", "code", "param"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_bad_input_is_refused_and_changes_nothing(
    caller: Caller, ranker: Offer, members: dict[str, Any], code: str | None, param: str
) -> None:
    with caller.nothing_changes():
        response = rank(caller, ranker, **members)
    assert_error(response, 400, "invalid_request_error", code, param=param)


def test_models_say_where_they_are_served(caller: Caller, ranker: Offer) -> None:
    shown = caller.client.get(f"/v1/models/{ranker.name}").json()
    assert (shown["endpoints"], shown["architecture"]["output_modalities"]) == (["/v1/rerank"], ["rankings"])
    assert shown["supported_parameters"] == ["top_n", "return_documents"]
