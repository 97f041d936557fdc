"""The same real server behind the gateway in another format that it speaks: the same text and the same counts."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.callers import PATH, Caller
from tests.installation import Offer, Shape, Via
from tests.real import llama
from tests.real.test_completions import MESSAGES, TOOL, WEATHER, Counters, billed, llamas, sdk, shared_world, world
from tests.worlds import World

__all__ = ["llamas", "sdk", "shared_world", "world"]  # fixtures


@pytest.fixture(scope="module")
def claude(shared_world: World, llamas: list[llama.Upstream]) -> Offer:
    """One of the servers, asked in Anthropic's format."""
    return shared_world.offer(Shape(vias=(Via(url=llamas[0].base_url, provider="anthropic"),), context_window=4096))


@pytest.fixture(scope="module")
def plain(shared_world: World, llamas: list[llama.Upstream]) -> Offer:
    """The same one, asked in OpenAI's."""
    return shared_world.offer(Shape(vias=(Via(url=llamas[0].base_url),), context_window=4096))


@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_answer_is_the_same_and_billed_as_the_server_counted(
    caller: Caller, claude: Offer, plain: Offer, llamas: list[llama.Upstream], is_stream: bool
) -> None:
    counters = Counters(llamas)

    members: dict[str, Any] = {"messages": MESSAGES, "max_tokens": 12, "temperature": 0}
    if is_stream:
        said = [caller.listen(model, **members).text() for model in (claude, plain)]
    else:
        bodies = [caller.body(model, **members) for model in (claude, plain)]
        answers = [caller.client.post(PATH, json=body, timeout=120).json() for body in bodies]
        said = [answer["choices"][0]["message"]["content"] for answer in answers]

    assert said[0] == said[1]
    assert billed(caller) == counters.since
    first, second = caller.records
    assert (first.input_tokens, first.output_tokens) == (second.input_tokens, second.output_tokens)


def test_required_tool_call(sdk: openai.OpenAI, claude: Offer) -> None:
    answer = sdk.chat.completions.create(
        model=claude.name, messages=WEATHER, tools=[TOOL], tool_choice="required", max_tokens=100, temperature=0
    )

    calls: Any = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert "city" in json.loads(calls[0].function.arguments)


def test_streamed_tool_call(sdk: openai.OpenAI, claude: Offer) -> None:
    with sdk.chat.completions.stream(
        model=claude.name, messages=WEATHER, tools=[TOOL], tool_choice="required", max_tokens=100, temperature=0
    ) as stream:
        final = stream.get_final_completion()

    calls: Any = final.choices[0].message.tool_calls
    assert "city" in json.loads(calls[0].function.arguments)


def test_prompt_beyond_the_servers_context_is_told_as_such(sdk: openai.OpenAI, claude: Offer) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        sdk.chat.completions.create(
            model=claude.name, messages=[{"role": "user", "content": "a b c d " * 1400}], max_tokens=4
        )

    assert error.value.code == "context_length_exceeded"
