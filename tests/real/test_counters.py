"""What a real llama.cpp server counts, endpoint by endpoint and kind by kind, is what stands in the books."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any, Final

import httpx
import openai
import pytest

from tests.callers import Caller
from tests.installation import Offer, Shape, Via
from tests.real import llama
from tests.real.test_completions import Counters, sdk, shared_world, world
from tests.worlds import World

__all__ = ["sdk", "shared_world", "world"]  # fixtures

TEXTS: Final = ["The sea is salt.", "Bread is made of flour, water, salt and time.", "The moon pulls the sea."]


@pytest.fixture(scope="module")
def writer() -> Iterator[llama.Upstream]:
    """A server that makes vectors beside all else."""
    with llama.running("vectors", pooling="mean") as server:
        yield server


@pytest.fixture(scope="module")
def judge() -> Iterator[llama.Upstream]:
    with llama.running("rankings", pooling="rank") as server:
        yield server


def at(world: World, server: llama.Upstream, *endpoints: str) -> Offer:
    """A model at this server, for these endpoints alone where some are named."""
    shape = Shape(vias=(Via(url=server.base_url),), context_window=4096, endpoints=endpoints or None)
    return world.offer(shape)


@pytest.fixture(scope="module")
def embedder(shared_world: World, writer: llama.Upstream) -> Offer:
    return at(shared_world, writer, "embeddings")


@pytest.fixture(scope="module")
def ranker(shared_world: World, judge: llama.Upstream) -> Offer:
    return at(shared_world, judge, "rerank")


@pytest.fixture(scope="module")
def model(shared_world: World, writer: llama.Upstream) -> Offer:
    return at(shared_world, writer)


# --- vectors ---------------------------------------------------------------------------------------------------------

INPUTS: Final = {
    "a text": TEXTS[0],
    "texts": TEXTS,
    "tokens": [504, 6462, 314, 9034],
    "lists of tokens": [[504, 6462], [314, 9034, 30]],
}


@pytest.mark.parametrize("said", INPUTS.values(), ids=INPUTS.keys())
def test_vectors_are_the_servers_and_billed_as_it_counted(
    caller: Caller, embedder: Offer, writer: llama.Upstream, said: Any
) -> None:
    body = {"input": said, "encoding_format": "float"}
    direct = httpx.post(f"{writer.base_url}/embeddings", json={"model": llama.ALIAS, **body}, timeout=60).json()
    counters = Counters([writer])

    answer = caller.client.post("/v1/embeddings", json={"model": embedder.name, **body}, timeout=60).json()

    assert answer["data"] == direct["data"]
    record = caller.only_record()
    assert (record.input_tokens, record.output_tokens) == counters.since
    assert answer["usage"]["prompt_tokens"] == record.input_tokens > 0
    assert record.usage_source == "upstream"


def test_vectors_are_the_same_in_either_encoding_and_in_the_sdk(
    caller: Caller, sdk: openai.OpenAI, embedder: Offer
) -> None:
    asked = {"model": embedder.name, "input": TEXTS, "encoding_format": "base64"}
    packed = caller.client.post("/v1/embeddings", json=asked, timeout=60).json()["data"]

    found = sdk.embeddings.create(model=embedder.name, input=TEXTS)

    for vector, text in zip(found.data, packed, strict=True):
        raw = base64.b64decode(text["embedding"])
        assert vector.embedding == pytest.approx(struct.unpack(f"<{len(raw) // 4}f", raw))


def test_text_beyond_the_servers_batch_is_told_as_such(sdk: openai.OpenAI, embedder: Offer) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        sdk.embeddings.create(model=embedder.name, input="a b c d " * 1400)

    assert error.value.code == "context_length_exceeded"


# --- rankings --------------------------------------------------------------------------------------------------------


def test_ranking_is_the_servers_and_billed_as_it_counted(caller: Caller, ranker: Offer, judge: llama.Upstream) -> None:
    body = {"query": "What is the sea?", "documents": TEXTS}
    direct = httpx.post(f"{judge.base_url}/rerank", json={"model": llama.ALIAS, **body}, timeout=60).json()
    counters = Counters([judge])

    answer = caller.client.post("/v1/rerank", json={"model": ranker.name, "top_n": 2, **body}, timeout=60).json()

    best = sorted(direct["results"], key=lambda each: -each["relevance_score"])[:2]
    assert [each["index"] for each in answer["results"]] == [each["index"] for each in best]
    scores = [each["relevance_score"] for each in answer["results"]]
    assert scores == pytest.approx([each["relevance_score"] for each in best], abs=0.01)
    record = caller.only_record()
    assert (record.input_tokens, record.output_tokens) == counters.since
    assert record.usage_source == "upstream"


# --- what converses --------------------------------------------------------------------------------------------------

SAID: Final = "Count to one thousand, slowly."
TURN: Final = [{"role": "user", "content": SAID}]
GOOGLES: Final = {
    "contents": [{"role": "user", "parts": [{"text": SAID}]}],
    "generationConfig": {"maxOutputTokens": 12, "temperature": 0},
}
CONVERSED: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "chat": ("/v1/chat/completions", {"messages": TURN, "max_tokens": 12}),
    "messages": ("/v1/messages", {"messages": TURN, "max_tokens": 12}),
    "responses": ("/v1/responses", {"input": SAID, "max_output_tokens": 16}),
    "generate": ("/v1beta/models/{model}:generateContent", GOOGLES),
    "completions": ("/v1/completions", {"prompt": SAID, "max_tokens": 12}),
}


def ask(caller: Caller, model: Offer, name: str, *, is_stream: bool) -> httpx.Response:
    path, body = CONVERSED[name]
    if name == "generate":
        path = path.format(model=model.name)
        path = path.replace(":generate", ":streamGenerate") + "?alt=sse" if is_stream else path
    else:
        body = {"model": model.name, "temperature": 0, "stream": is_stream, **body}
    return caller.client.post(path, json=body, timeout=120)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", CONVERSED)
def test_every_kind_is_billed_as_the_server_counted(
    shared_world: World, caller: Caller, writer: llama.Upstream, model: Offer, name: str, is_stream: bool
) -> None:
    served = at(shared_world, writer, "completions") if name == "completions" else model
    counters = Counters([writer])

    for _again in range(2):  # the second time most of the prompt is in the server's cache
        response = ask(caller, served, name, is_stream=is_stream)
        assert response.status_code == 200, response.text

    caller.wait_until_settled(seconds=10)
    read, cached, written = counters.of_each_kind
    used = [record.usage for record in caller.records]
    assert cached > 0
    assert written > 0
    assert sum(each.input for each in used) == read
    assert sum(each.cached_input for each in used) == cached
    assert sum(each.output for each in used) == written
