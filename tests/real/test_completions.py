"""The gateway before two real llama.cpp servers: the official SDK's scenarios, and the books against their counters."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from tests import schemas
from tests.callers import Caller, decoded
from tests.databases import PostgresDatabases
from tests.installation import CHEAP, DEAR, Offer, Shape, Via
from tests.real import llama
from tests.worlds import World, redis_database

MESSAGES: list[Any] = [{"role": "user", "content": "Count to one thousand, slowly."}]
WEATHER: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 16}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(scope="module")
def llamas() -> Iterator[list[llama.Upstream]]:
    with llama.running("first") as first, llama.running("second") as second:
        yield [first, second]


@pytest.fixture(scope="session")
def shared_world(start_shared_world: Callable[..., World], postgres_databases: PostgresDatabases) -> World:
    return start_shared_world(database_url=postgres_databases.migrated(), redis_url=redis_database(4))


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """A real model may take its time to notice that nobody listens any more."""
    with shared_world.checked(seconds=10) as world:
        yield world


@pytest.fixture(scope="module")
def model(shared_world: World, llamas: list[llama.Upstream]) -> Offer:
    """Both servers at one price: the load is shared."""
    return shared_world.offer(Shape(vias=tuple(Via(url=server.base_url) for server in llamas), context_window=4096))


@pytest.fixture
def sdk(caller: Caller) -> Iterator[openai.OpenAI]:
    url = f"{caller.installation.gateway_url}/v1"
    with openai.OpenAI(base_url=url, api_key=caller.secret, timeout=120, max_retries=0) as client:
        yield client


class Counters:
    """What the servers themselves counted since this was made."""

    def __init__(self, servers: list[llama.Upstream]) -> None:
        self._servers = servers
        self._before = self._read()

    @property
    def since(self) -> tuple[int, int]:
        """(prompt tokens, predicted tokens), once every slot is idle."""
        prompt, _cached, predicted = self.of_each_kind
        return prompt, predicted

    @property
    def of_each_kind(self) -> tuple[int, int, int]:
        """(prompt tokens, those of them that the cache had, predicted tokens), once every slot is idle."""
        deadline = time.monotonic() + 60
        while any(slot["is_processing"] for server in self._servers for slot in self._get(server, "slots").json()):
            assert time.monotonic() < deadline, "a slot stays busy"
            time.sleep(0.05)
        time.sleep(0.3)
        read, cached, predicted = (now - then for now, then in zip(self._read(), self._before, strict=True))
        return read + cached, cached, predicted

    def _read(self) -> tuple[int, ...]:
        """Its prompt tokens are those that it had to read."""
        texts = [self._get(server, "metrics").text for server in self._servers]
        names = ("prompt_tokens_total", "prompt_tokens_cached_total", "tokens_predicted_total")
        return tuple(sum(_counter(text, name) for text in texts) for name in names)

    @staticmethod
    def _get(server: llama.Upstream, path: str) -> httpx.Response:
        return httpx.get(f"{server.root_url}/{path}", timeout=60)


def _counter(text: str, name: str) -> int:
    match = re.search(rf"^llamacpp:{name} (\S+)$", text, re.MULTILINE)
    assert match, f"no counter {name}"
    return int(float(match[1]))


def billed(caller: Caller) -> tuple[int, int]:
    """(input tokens, output tokens) of all usage records, once nothing is held."""
    caller.wait_until_settled(seconds=10)
    records = caller.records
    return sum(record.input_tokens for record in records), sum(record.output_tokens for record in records)


# --- the books against the servers' own counters ---------------------------------------------------------------------


def test_plain_answers_are_billed_as_the_servers_counted(
    caller: Caller, model: Offer, llamas: list[llama.Upstream]
) -> None:
    counters = Counters(llamas)

    for count in (4, 9, 16):
        body = decoded(caller.client.post("/v1/chat/completions", json=_body(model, count), timeout=120).content)
        assert schemas.faults(schemas.COMPLETION, body) == []

    assert billed(caller) == counters.since


def test_streams_are_billed_as_the_servers_counted(caller: Caller, model: Offer, llamas: list[llama.Upstream]) -> None:
    counters = Counters(llamas)

    for count in (4, 9, 16):
        stream = caller.listen(model, messages=MESSAGES, max_tokens=count, temperature=0)
        assert stream.is_done
        assert [schemas.faults(schemas.CHUNK, chunk) for chunk in stream.chunks] == [[]] * len(stream.chunks)

    assert billed(caller) == counters.since


@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_two_choices_are_billed_as_the_servers_counted(
    caller: Caller, model: Offer, llamas: list[llama.Upstream], is_stream: bool
) -> None:
    counters = Counters(llamas)

    response = caller.client.post(
        "/v1/chat/completions", json={**_body(model, 8), "n": 2, "stream": is_stream}, timeout=120
    )

    assert response.status_code == 200
    assert billed(caller) == counters.since
    assert caller.only_record().output_tokens > 8


def test_aborted_stream_is_billed_by_what_was_received_and_stops_the_server(
    caller: Caller, model: Offer, llamas: list[llama.Upstream]
) -> None:
    counters = Counters(llamas)
    chunks = 0

    with caller.listening(model, messages=MESSAGES, max_tokens=400, temperature=0, ignore_eos=True) as response:
        for line in response.iter_lines():
            chunks += '"content":"' in line.replace(" ", "")
            if chunks == 6:
                break

    record = caller.only_record(seconds=10)
    prompt, predicted = counters.since
    assert record.outcome == "client_gone"
    assert record.input_tokens == prompt
    # The server may have decoded a token or two that were never sent.
    assert record.output_tokens <= predicted <= record.output_tokens + 3
    assert predicted < 60


# --- the official SDK ------------------------------------------------------------------------------------------------


def test_required_tool_call(sdk: openai.OpenAI, model: Offer) -> None:
    answer = sdk.chat.completions.create(
        model=model.name, messages=WEATHER, tools=[TOOL], tool_choice="required", max_tokens=48, temperature=0
    )

    calls: Any = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert "city" in json.loads(calls[0].function.arguments)


def test_streamed_tool_call(sdk: openai.OpenAI, model: Offer) -> None:
    with sdk.chat.completions.stream(
        model=model.name, messages=WEATHER, tools=[TOOL], tool_choice="required", max_tokens=48, temperature=0
    ) as stream:
        final = stream.get_final_completion()

    calls: Any = final.choices[0].message.tool_calls
    assert "city" in json.loads(calls[0].function.arguments)


def test_json_schema_is_parsed(sdk: openai.OpenAI, model: Offer) -> None:
    answer = sdk.chat.completions.parse(
        model=model.name,
        messages=[{"role": "user", "content": "Give me a person as JSON."}],
        response_format=Person,
        max_tokens=80,
        temperature=0,
    )

    assert isinstance(answer.choices[0].message.parsed, Person)


def test_usage_in_a_stream_comes_if_asked(sdk: openai.OpenAI, model: Offer) -> None:
    *_others, last = sdk.chat.completions.create(
        model=model.name, messages=MESSAGES, max_tokens=6, stream=True, stream_options={"include_usage": True}
    )

    assert last.usage is not None
    assert last.usage.completion_tokens > 0


def test_prompt_beyond_the_servers_context_is_told_as_such(sdk: openai.OpenAI, model: Offer) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        sdk.chat.completions.create(
            model=model.name, messages=[{"role": "user", "content": "a b c d " * 1400}], max_tokens=4
        )

    assert error.value.code == "context_length_exceeded"


# --- one server dies -------------------------------------------------------------------------------------------------


def test_server_killed_before_the_first_byte_is_invisible(world: World, caller: Caller) -> None:
    with llama.running("victim") as victim, llama.running("survivor") as survivor:
        model = world.offer(Shape(vias=(Via(url=victim.base_url), Via(url=survivor.base_url, cost=DEAR.cost))))
        victim.kill()
        answers = [caller.ask(model, messages=MESSAGES, max_tokens=4) for _count in range(3)]
        stream = caller.listen(model, messages=MESSAGES, max_tokens=4)

    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.headers["x-costrouter-channel"] for answer in answers} == {model.channels[1]}
    assert stream.is_done


def test_server_killed_in_a_stream_is_shown_as_an_error_event(world: World, caller: Caller) -> None:
    with llama.running("victim") as victim:
        model = world.offer(Shape(vias=(Via(cost=CHEAP.cost, url=victim.base_url),)))
        seen = b""
        with caller.listening(model, messages=MESSAGES, max_tokens=400, ignore_eos=True) as response:
            for part in response.iter_raw():
                seen += part
                if seen.count(b"data:") == 6:
                    victim.kill()

    last = seen.decode().strip().rpartition("data: ")[2]
    assert json.loads(last)["error"]["code"] == "upstream_error"
    assert b"[DONE]" not in seen
    record = caller.only_record(seconds=10)
    assert record.outcome == "upstream_error"
    assert record.output_tokens >= 4
    assert record.cost > 0


def _body(model: Offer, max_tokens: int) -> dict[str, Any]:
    return {"model": model.name, "messages": MESSAGES, "max_tokens": max_tokens, "temperature": 0}
