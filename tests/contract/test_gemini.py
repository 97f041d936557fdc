"""Upstreams that speak Google's format, before clients of it and of chat's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from google.genai import types

from tests import upstream as up
from tests.callers import Caller, decoded
from tests.generating import (
    ASK,
    TOLD,
    assert_refused,
    candidate,
    chunks_of,
    generate,
    response,
    text_of,
    validated,
    whole,
)
from tests.installation import CHEAP, DEAR, Offer, Shape, Via
from tests.worlds import World

GOOGLE = Shape(vias=(Via(provider="gemini"),))
EITHER = Shape(vias=tuple(replace(via, provider="gemini") for via in (CHEAP, DEAR)))


@pytest.fixture
def google(world: World) -> Offer:
    """A model on one Gemini upstream."""
    return world.offer(GOOGLE)


def test_googles_format_goes_up_as_it_came_but_for_the_cap(caller: Caller, google: Offer) -> None:
    caller.upstream.on(google.upstream, whole({"text": "Hello", "thoughtSignature": "c2ln"}))
    config: dict[str, Any] = {"temperature": 0.5, "thinkingConfig": {"includeThoughts": True}}
    answer = decoded(generate(caller, google, generationConfig=config, labels={"a_b": "c"}).content)
    (asked,) = caller.upstream.received(google.upstream)

    assert asked.path == f"/v1/models/{google.upstream}:generateContent"
    assert (asked.header("x-goog-api-key"), asked.header("authorization")) == (google.secrets[0], None)
    assert asked.json == {**ASK, "labels": {"a_b": "c"}, "generationConfig": {**config, "maxOutputTokens": 4096}}
    assert answer["candidates"] == [candidate({"text": "Hello", "thoughtSignature": "c2ln"})]
    assert (answer["modelVersion"], "hidden" in json.dumps(answer, default=str)) == (google.name, False)
    usage = validated(answer).usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count) == (12, 3, 2)
    assert (caller.only_record().output_tokens, caller.only_record().cost) == (5, 12 * 2_000 + 5 * 8_000)


def test_stream_in_googles_format_goes_through(caller: Caller, google: Offer) -> None:
    caller.upstream.on(google.upstream, up.stream(*TOLD))
    chunks = chunks_of(generate(caller, google, "streamGenerateContent?alt=sse"))
    (asked,) = caller.upstream.received(google.upstream)

    assert asked.path == f"/v1/models/{google.upstream}:streamGenerateContent?alt=sse"
    assert "".join(text_of(validated(chunk)) for chunk in chunks) == "Hello there!"
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks] == [None, None, "STOP"]
    assert chunks[-1]["usageMetadata"]["totalTokenCount"] == 17
    assert (caller.only_record().output_tokens, caller.only_record().usage_source) == (5, "upstream")


def test_chat_goes_up_in_googles_format(caller: Caller, google: Offer) -> None:
    caller.upstream.on(google.upstream, whole({"text": "Think", "thought": True}, {"text": "Hello there!"}))
    body = decoded(caller.ask(google, max_tokens=50).content)
    (asked,) = caller.upstream.received(google.upstream)

    assert asked.json["generationConfig"] == {"maxOutputTokens": 50}
    assert [content["role"] for content in asked.json["contents"]] == ["user"]
    message = body["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Hello there!", "Think")
    usage = body["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (12, 5, 17)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2


@pytest.mark.parametrize("cut", range(len(TOLD)))
def test_stream_that_is_cut_is_an_error_for_either_client(caller: Caller, google: Offer, cut: int) -> None:
    caller.upstream.on(google.upstream, up.stream(*TOLD[:cut]))
    chat = caller.listen(google)
    native = generate(caller, google, "streamGenerateContent?alt=sse")

    if cut == 0:
        assert (chat.status, native.status_code) == (502, 502)
    else:
        assert chat.error["code"] == "upstream_error"
        assert not chat.is_done
        *_others, last = chunks_of(native)
        assert (last["error"]["code"], last["error"]["status"]) == (502, "UNAVAILABLE")
    caller.wait_until_settled()
    assert {record.outcome for record in caller.records} == {"upstream_error"}


def test_prompt_that_is_blocked_is_an_answer(caller: Caller, google: Offer) -> None:
    blocked: dict[str, Any] = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 9},
    }
    caller.upstream.on(google.upstream, up.plain(200, blocked))
    chat = decoded(caller.ask(google).content)
    native = validated(decoded(generate(caller, google).content))
    assert (chat["choices"][0]["finish_reason"], chat["choices"][0]["message"]["content"]) == ("content_filter", None)
    assert native.prompt_feedback is not None
    assert native.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT


BROKEN: dict[str, up.Reply] = {
    "an error": up.plain(500, {"error": {"code": 500, "message": "no", "status": "INTERNAL"}}),
    "an error in a list": up.plain(503, [{"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}]),
    "an error as an answer": up.plain(200, {"error": {"code": 500, "message": "no", "status": "INTERNAL"}}),
    "a malformed call": up.plain(200, response(candidate(finish="MALFORMED_FUNCTION_CALL"))),
    "no candidates": up.plain(200, response()),
    "no JSON": up.plain(200, b"<html>"),
    "a wrong key": up.plain(
        400,
        {
            "error": {
                "code": 400,
                "message": "API key not valid. Please pass a valid API key.",
                "status": "INVALID_ARGUMENT",
                "details": [
                    {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
                ],
            }
        },
    ),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("action", ["generateContent", "streamGenerateContent?alt=sse"])
def test_first_channel_that_fails_is_invisible(world: World, caller: Caller, broken: up.Reply, action: str) -> None:
    offer = world.offer(EITHER)
    caller.upstream.on(offer.upstreams[0], broken)
    good = up.stream(*TOLD) if "stream" in action else whole({"text": "Hello there!"})
    caller.upstream.on(offer.upstreams[1], good)

    assert generate(caller, offer, action).status_code == 200
    record = caller.only_record()
    assert (record.channel, len(record.attempts), record.cost) == (offer.channels[1], 2, 64_000)


def test_words_of_a_refusal_reach_the_client(caller: Caller, google: Offer) -> None:
    refused = [{"error": {"code": 400, "message": "Invalid value at 'contents[0]'", "status": "INVALID_ARGUMENT"}}]
    caller.upstream.on(google.upstream, up.plain(400, refused))
    before = caller.available
    response = generate(caller, google)
    error = assert_refused(response, 400, "INVALID_ARGUMENT", "UPSTREAM_ERROR")
    assert error["message"] == "Invalid value at 'contents[0]'"
    assert (caller.only_record().cost, caller.available) == (0, before)


LACKING: dict[str, tuple[dict[str, Any], str]] = {
    "a bias": ({"logit_bias": {"5": 1}}, "logit_bias"),
    "one call at a time": ({"parallel_tool_calls": False, "tools": [{"type": "function", "function": {"name": "f"}}]},
                           "parallel_tool_calls"),
    "a member of others": ({"min_p": 0.1}, "min_p"),
}  # fmt: skip


@pytest.mark.parametrize(("members", "param"), LACKING.values(), ids=LACKING.keys())
def test_what_google_has_no_word_for_is_refused_by_name(
    caller: Caller, google: Offer, members: dict[str, Any], param: str
) -> None:
    with caller.nothing_changes():
        response = caller.ask(google, **members)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "unsupported_parameter")
    assert response.json()["error"]["param"] == param


def test_embeddings_of_a_gemini_upstream(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(vias=(Via(provider="gemini"),), endpoints=("embeddings",)))
    vectors = {"embeddings": [{"values": [0.5, 1.0]}, {"values": [2.0, 3.0]}], "usageMetadata": {"promptTokenCount": 7}}
    caller.upstream.on(offer.upstream, up.plain(200, vectors))
    body = {"model": offer.name, "input": ["a", "b"], "dimensions": 2}
    answer = decoded(caller.client.post("/v1/embeddings", json=body).content)
    (asked,) = caller.upstream.received(offer.upstream)
    assert asked.path == f"/v1/models/{offer.upstream}:batchEmbedContents"
    assert asked.json["requests"][1] == {
        "model": f"models/{offer.upstream}", "content": {"parts": [{"text": "b"}]}, "outputDimensionality": 2,
    }  # fmt: skip
    assert [each["embedding"] for each in answer["data"]] == [[0.5, 1.0], [2.0, 3.0]]
    assert answer["usage"]["prompt_tokens"] == 7
