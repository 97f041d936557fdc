"""POST /v1/completions: held, routed, streamed and priced as chat is; in the older format, and in no other."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from tests import upstream as up
from tests.callers import Caller, Stream, decoded, record_id
from tests.envelopes import assert_error
from tests.installation import CHEAP, DEAR, Offer, Shape
from tests.schemas import TEXT_CHUNK, TEXT_COMPLETION, faults
from tests.worlds import World

PATH = "/v1/completions"
WRITES = Shape(endpoints=("completions",))
USAGE = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
COST = 4 * 2_000 + 3 * 8_000


def told(*texts: str, usage: Any = USAGE, **choice: Any) -> up.Reply:
    choices = [{"text": text, "index": place, "finish_reason": "stop", **choice} for place, text in enumerate(texts)]
    body = {"id": "own", "object": "text_completion", "created": 1, "model": "hidden-name", "choices": choices}
    return up.plain(200, body if usage is None else {**body, "usage": usage})


def piece(text: str, index: int = 0, finish_reason: str | None = None, **members: Any) -> bytes:
    choice = {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}
    return up.event({"id": "own", "object": "text_completion", "model": "hidden-name", "choices": [choice], **members})


TOTAL = up.event({"id": "own", "object": "text_completion", "choices": [], "usage": USAGE})
WHOLE = (piece("One"), piece(" two"), piece("", finish_reason="length"), TOTAL, up.DONE)


def ask(caller: Caller, model: Offer, /, **members: Any) -> httpx.Response:
    return caller.client.post(PATH, json={"model": model.name, "prompt": "Say", "max_tokens": 9, **members})


def listen(caller: Caller, model: Offer, /, **members: Any) -> Stream:
    body = {"model": model.name, "prompt": "Say", "max_tokens": 9, "stream": True, **members}
    with caller.client.stream("POST", PATH, json=body) as response:
        return Stream(response.status_code, response.headers, b"".join(response.iter_raw()))


@pytest.fixture
def writer(world: World) -> Offer:
    """A model of text completions with one route, at 2 and 8 USD per million tokens."""
    return world.offer(WRITES)


# --- whole answers ---------------------------------------------------------------------------------------------------


def test_answer_is_the_public_schemas_and_costs_its_tokens(caller: Caller, writer: Offer) -> None:
    caller.upstream.on(writer.upstream, told(" hello", finish_reason="length"))
    before = caller.available

    response = ask(caller, writer)

    body, record = decoded(response.content), caller.only_record()
    assert faults(TEXT_COMPLETION, response.json()) == []
    assert body["choices"] == [{"text": " hello", "index": 0, "logprobs": None, "finish_reason": "length"}]
    assert body["model"] == writer.name
    assert body["usage"]["total_tokens"] == 7
    assert body["usage"]["cost"] == Decimal(COST).scaleb(-9)
    assert record.id == record_id(body["id"])
    assert (record.endpoint, record.input_tokens, record.output_tokens, record.cost) == ("completions", 4, 3, COST)
    assert caller.available == before - COST
    assert "hidden-name" not in response.text


def test_upstream_is_asked_what_the_client_asked(caller: Caller, writer: Offer) -> None:
    caller.upstream.on(writer.upstream, told("x"))

    ask(caller, writer, suffix="end", echo=True, logprobs=2, stop="\n", seed=7, min_p=0.1, user=None)

    asked = caller.upstream.requests[-1]
    assert asked.path.endswith("/v1/completions")
    assert asked.json == {
        "model": writer.upstream, "prompt": "Say", "max_tokens": 9, "suffix": "end", "echo": True, "logprobs": 2,
        "stop": "\n", "seed": 7, "min_p": 0.1,
    }  # fmt: skip


def test_answer_without_a_cap_has_the_public_apis(caller: Caller, writer: Offer) -> None:
    caller.upstream.on(writer.upstream, told("x"))
    ask(caller, writer, max_tokens=None)
    assert caller.upstream.requests[-1].json["max_tokens"] == 16


@pytest.mark.parametrize(
    "prompt", [["a", "b"], [[5, 6], [7]]], ids=["texts", "tokens"]
)  # fmt: skip
def test_each_prompt_has_as_many_answers_as_were_asked_for(caller: Caller, writer: Offer, prompt: Any) -> None:
    caller.upstream.on(writer.upstream, told("1", "2", "3", "4"))
    body = decoded(ask(caller, writer, prompt=prompt, n=2).content)
    assert [(each["index"], each["text"]) for each in body["choices"]] == [(0, "1"), (1, "2"), (2, "3"), (3, "4")]


def test_several_answers_that_come_as_a_stream_are_put_together(caller: Caller, writer: Offer) -> None:
    parts = [piece("a"), piece("b", 1), piece("c"), piece("", 0, "stop"), piece("", 1, "length")]
    caller.upstream.on(writer.upstream, up.stream(*parts, TOTAL, up.DONE))

    body = decoded(ask(caller, writer, n=2).content)

    assert caller.upstream.requests[-1].json["stream"] is True
    assert [(each["text"], each["finish_reason"]) for each in body["choices"]] == [("ac", "stop"), ("b", "length")]
    assert body["usage"]["total_tokens"] == 7


def test_best_of_several_is_held_for_all_and_comes_whole(caller: Caller, writer: Offer) -> None:
    caller.upstream.on(writer.upstream, told("best", usage={**USAGE, "completion_tokens": 27, "total_tokens": 31}))

    response = ask(caller, writer, best_of=3)

    assert response.status_code == 200
    assert "stream" not in caller.upstream.requests[-1].json
    assert caller.only_record().output_tokens == 27


LOGPROBS = {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [{"a": -0.5}], "text_offset": [0]}
CHATS = {"content": [{"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "a", "logprob": -0.5}]}]}


@pytest.mark.parametrize("sent", [LOGPROBS, CHATS], ids=["the format's", "chat's"])
def test_logprobs_are_the_formats_own(caller: Caller, writer: Offer, sent: Any) -> None:
    caller.upstream.on(writer.upstream, told("a", logprobs=sent))
    response = ask(caller, writer, logprobs=1)
    assert faults(TEXT_COMPLETION, response.json()) == []
    assert response.json()["choices"][0]["logprobs"] == LOGPROBS


@pytest.mark.parametrize(("echo", "tokens"), [(False, 3), (True, 1)])
def test_usage_that_is_not_told_is_estimated_without_what_was_echoed(
    caller: Caller, writer: Offer, echo: bool, tokens: int
) -> None:
    caller.upstream.on(writer.upstream, told("12345678abcd", usage=None))
    ask(caller, writer, prompt="12345678", echo=echo)
    record = caller.only_record()
    assert (record.usage_source, record.output_tokens) == ("estimated", tokens)


BROKEN = {
    "fewer than asked for": told("a"),
    "no choices": up.plain(200, {"choices": [], "usage": USAGE}),
    "no text": up.plain(200, {"choices": [{"index": 0}, {"index": 1}], "usage": USAGE}),
    "an error": up.plain(200, {"error": {"message": "no"}}),
    "no JSON": up.plain(200, b"<html>"),
    "a failure": told("a", "b", finish_reason="error"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_answer_that_is_not_whole_is_an_error_and_free(caller: Caller, writer: Offer, broken: up.Reply) -> None:
    caller.upstream.on(writer.upstream, broken)
    before = caller.available

    response = ask(caller, writer, prompt=["one", "two"])

    assert_error(response, 502, "server_error", "upstream_error", param=None)
    assert caller.only_record().cost == 0
    assert caller.available == before


@pytest.mark.parametrize("failing", [up.plain(500, {"error": {"message": "no"}}), told()], ids=["an error", "no text"])
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_first_channel_that_fails_is_invisible(
    world: World, caller: Caller, failing: up.Reply, is_stream: bool
) -> None:
    offer = world.offer(Shape(vias=(CHEAP, DEAR), endpoints=("completions",)))
    caller.upstream.on(offer.upstreams[0], failing)
    caller.upstream.on(offer.upstreams[1], up.stream(*WHOLE) if is_stream else told("x"))

    assert ask(caller, offer, stream=is_stream).status_code == 200
    record = caller.only_record()
    assert (record.channel, len(record.attempts)) == (offer.channels[1], 2)


# --- streams ---------------------------------------------------------------------------------------------------------


def test_stream_is_the_public_schemas_and_costs_its_tokens(caller: Caller, writer: Offer) -> None:
    caller.upstream.on(writer.upstream, up.stream(*WHOLE))
    before = caller.available

    seen = listen(caller, writer, stream_options={"include_usage": True})

    record = caller.only_record()
    assert seen.is_done
    assert [fault for chunk in seen.chunks for fault in faults(TEXT_CHUNK, _floats(chunk))] == []
    texts = [choice["text"] for chunk in seen.chunks for choice in chunk["choices"]]
    assert "".join(texts) == "One two"
    assert seen.chunks[-2]["choices"][0]["finish_reason"] == "length"
    (usage,) = seen.usages
    assert (usage["total_tokens"], usage["cost"]) == (7, Decimal(COST).scaleb(-9))
    assert record.id == record_id(seen.id)
    assert (record.endpoint, record.cost, caller.available) == ("completions", COST, before - COST)
    assert b"hidden-name" not in seen.raw


def _floats(chunk: Any) -> Any:
    usage = chunk.get("usage")
    return {**chunk, "usage": {**usage, "cost": float(usage["cost"])}} if usage else chunk


def test_usage_is_shown_only_where_it_was_asked_for(caller: Caller, writer: Offer) -> None:
    caller.upstream.on(writer.upstream, up.stream(*WHOLE))
    seen = listen(caller, writer)
    assert [chunk for chunk in seen.chunks if "usage" in chunk or not chunk["choices"]] == []
    assert caller.upstream.requests[-1].json["stream_options"] == {"include_usage": True}


def test_answer_that_comes_whole_is_streamed(caller: Caller, writer: Offer) -> None:
    caller.upstream.on(writer.upstream, told("One two"))
    seen = listen(caller, writer)
    assert (seen.is_done, seen.chunks[0]["choices"][0]["text"]) == (True, "One two")
    assert caller.only_record().cost == COST


def test_finish_reason_that_is_left_out_is_said(caller: Caller, writer: Offer) -> None:
    caller.upstream.on(writer.upstream, up.stream(piece("One"), TOTAL, up.DONE))
    seen = listen(caller, writer)
    assert (seen.is_done, seen.chunks[-1]["choices"][0]["finish_reason"]) == (True, "stop")


def test_stream_that_breaks_off_ends_in_an_error_and_costs_what_had_come(caller: Caller, writer: Offer) -> None:
    caller.upstream.on(writer.upstream, up.stream(piece("One"), piece(" two"), end=up.End.RESET, is_terminated=False))
    before = caller.available

    seen = listen(caller, writer)

    assert (seen.is_done, seen.error["code"]) == (False, "upstream_error")
    record = caller.only_record()
    assert (record.outcome, record.output_tokens) == ("upstream_error", 2)
    assert caller.available == before - record.cost


def test_stream_that_goes_on_past_its_cap_is_ended_there(caller: Caller, writer: Offer) -> None:
    caller.upstream.on(writer.upstream, up.stream(up.Forever(up.framed(piece("word after word ")), 0.001)))
    seen = listen(caller, writer)
    assert (seen.is_done, seen.chunks[-1]["choices"][0]["finish_reason"]) == (True, "length")


def test_echo_of_a_long_prompt_is_not_past_the_cap(caller: Caller, writer: Offer) -> None:
    prompt = "word " * 400
    caller.upstream.on(writer.upstream, up.stream(piece(prompt), piece("end", finish_reason="stop"), up.DONE))

    seen = listen(caller, writer, prompt=prompt, echo=True)

    assert seen.chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert caller.only_record().output_tokens == 1


def test_client_that_leaves_stops_the_upstream_and_pays_for_what_came(caller: Caller, writer: Offer) -> None:
    go_on = threading.Event()
    caller.upstream.on(writer.upstream, up.stream(piece("One"), piece(" two"), up.Until(go_on), *WHOLE))
    body = {"model": writer.name, "prompt": "Say", "max_tokens": 9, "stream": True}
    with (
        httpx.Client(base_url=caller.installation.gateway_url, headers=caller.authorization, timeout=10) as client,
        client.stream("POST", PATH, json=body) as response,
    ):
        next(response.iter_raw())

    assert caller.upstream.wait_for(writer.upstream)[-1].was_left_within(3)
    record = caller.only_record(seconds=5)
    assert record.outcome == "client_gone"
    assert 0 < record.cost < 1_000_000


# --- refused input ---------------------------------------------------------------------------------------------------


REFUSED = [
    ({"prompt": None}, "invalid_type", "prompt"),
    ({"prompt": []}, "empty_array", "prompt"),
    ({"prompt": ["a", 5]}, "invalid_type", "prompt"),
    ({"prompt": [5, "a"]}, "invalid_type", "prompt"),
    ({"prompt": [[]]}, "empty_array", "prompt"),
    ({"max_tokens": 0}, "unsupported_parameter", "max_tokens"),
    ({"max_tokens": 10**7}, "integer_above_max_value", "max_tokens"),
    ({"logprobs": 6}, "integer_above_max_value", "logprobs"),
    ({"logprobs": True}, "invalid_type", "logprobs"),
    ({"n": 129}, "integer_above_max_value", "n"),
    ({"prompt": ["a"] * 65, "n": 2}, "array_above_max_length", "prompt"),
    ({"n": 3, "best_of": 2}, "invalid_value", "best_of"),
    ({"best_of": 2, "stream": True}, "invalid_value", "best_of"),
    ({"stream_options": {"include_usage": True}}, "invalid_value", "stream_options"),
    ({"service_tier": "flex"}, "unsupported_parameter", "service_tier"),
    ({"prompt": "a " * 600_000}, "context_length_exceeded", "prompt"),
    ({"api_base": "http://x"}, "unsupported_parameter", "api_base"),
]


@pytest.mark.parametrize(("members", "code", "param"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_bad_input_is_refused_and_changes_nothing(
    caller: Caller, writer: Offer, members: dict[str, Any], code: str | None, param: str
) -> None:
    with caller.nothing_changes():
        response = ask(caller, writer, **members)
    assert_error(response, 400, "invalid_request_error", code, param=param)


def test_model_of_another_endpoint_is_refused_with_its_place(caller: Caller, model: Offer) -> None:
    with caller.nothing_changes():
        response = ask(caller, model)
    error = assert_error(response, 404, "invalid_request_error", "model_not_found", param="model")
    assert "is not served here, but at /v1/chat/completions" in error["message"]


# --- clients ---------------------------------------------------------------------------------------------------------


def test_the_official_sdk_gets_its_text(caller: Caller, writer: Offer) -> None:
    caller.upstream.on(writer.upstream, told("One two"), up.stream(*WHOLE))
    base_url = f"{caller.installation.gateway_url}/v1"

    with openai.OpenAI(base_url=base_url, api_key=caller.secret, max_retries=0) as client:
        whole = client.completions.create(model=writer.name, prompt="Say", max_tokens=9)
        stream = client.completions.create(model=writer.name, prompt="Say", max_tokens=9, stream=True)
        texts = [chunk.choices[0].text for chunk in stream]

    assert (whole.choices[0].text, whole.usage and whole.usage.total_tokens) == ("One two", 7)
    assert "".join(texts) == "One two"


def test_models_say_where_they_are_served(caller: Caller, writer: Offer) -> None:
    shown = caller.client.get(f"/v1/models/{writer.name}").json()
    assert (shown["endpoints"], shown["architecture"]["modality"]) == (["/v1/completions"], "text->text")
    assert {"echo", "suffix"} <= set(shown["supported_parameters"])
