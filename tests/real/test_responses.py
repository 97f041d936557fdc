"""The Responses API before a real llama.cpp server, which has it itself: natively, and said in chat's format."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import openai
import pytest

from tests.callers import Caller
from tests.databases import PostgresDatabases
from tests.installation import Offer, Shape, Via
from tests.real import llama
from tests.responding import assert_grammar, listen
from tests.worlds import World, redis_database


@pytest.fixture(scope="module")
def server() -> Iterator[llama.Upstream]:
    with llama.running("responses") as server:
        yield server


@pytest.fixture(scope="session")
def shared_world(start_shared_world: Callable[..., World], postgres_databases: PostgresDatabases) -> World:
    return start_shared_world(database_url=postgres_databases.migrated(), redis_url=redis_database(4))


@pytest.fixture(scope="module")
def native(shared_world: World, server: llama.Upstream) -> Offer:
    vias = (Via(url=server.base_url, options=(("endpoints", ("responses",)),)),)
    return shared_world.offer(Shape(vias=vias, context_window=4096))


@pytest.fixture(scope="module")
def in_chat(shared_world: World, server: llama.Upstream) -> Offer:
    return shared_world.offer(Shape(vias=(Via(url=server.base_url),), context_window=4096))


ASKED = {"input": "What is the sea?", "instructions": "Be brief.", "max_output_tokens": 24, "temperature": 0}


def test_both_ways_say_and_count_the_same(caller: Caller, native: Offer, in_chat: Offer) -> None:
    heard = [listen(caller, model, **ASKED) for model in (native, in_chat, native, in_chat)]

    for each in heard:
        assert_grammar(each)
    assert [each.response["status"] for each in heard[1::2]] == ["incomplete"] * 2  # the server itself says `completed`
    assert len({each.text for each in heard}) == 1
    counts = {(each.response["usage"]["input_tokens"], each.response["usage"]["output_tokens"]) for each in heard}
    assert len(counts) == 1
    assert {record.usage_source for record in caller.records} == {"upstream"}


def test_whole_answers_say_the_same(caller: Caller, native: Offer, in_chat: Offer) -> None:
    url = f"{caller.installation.gateway_url}/v1"
    with openai.OpenAI(base_url=url, api_key=caller.secret, timeout=120, max_retries=0) as client:
        answers = [client.responses.create(model=model.name, **ASKED) for model in (native, in_chat)]  # type: ignore[call-overload]
    assert answers[0].output_text == answers[1].output_text != ""
    assert answers[0].usage.output_tokens == answers[1].usage.output_tokens == 24
