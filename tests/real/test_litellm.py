"""A real model behind LiteLLM's proxy, in Anthropic's and in Google's format: the same as when it is asked itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests import generating
from tests.callers import Caller
from tests.grammar import assert_valid_message, assert_whole, events_in
from tests.installation import Offer, Shape, Via
from tests.real import litellm, llama
from tests.real.test_completions import Counters, shared_world, world
from tests.worlds import World

__all__ = ["shared_world", "world"]  # fixtures

COUNT: Final = "Count to one thousand, slowly."
WEATHER: Final = "What is the weather in Paris?"
FUNCTION: Final = {
    "name": "get_weather",
    "description": "Get the weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 16}},
        "required": ["city"],
    },
}
"""Without `additionalProperties`, which LiteLLM leaves out: the prompt would be another one."""


@dataclass
class Said:
    """What a client has understood."""

    text: str
    calls: list[tuple[str, Any]]
    end: str


@pytest.fixture(scope="module")
def server() -> Iterator[llama.Upstream]:
    with llama.running("litellm") as server:
        yield server


@pytest.fixture(scope="module")
def models(
    shared_world: World, server: llama.Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Offer]]:
    """The one model by each dialect: asked itself, and behind the proxy."""
    with litellm.running(server, tmp_path_factory.mktemp("litellm")) as proxy:
        urls = {"openai": server.base_url, "anthropic": proxy.anthropic_url, "gemini": proxy.google_url}
        yield {
            name: shared_world.offer(Shape(vias=(Via(url=url, provider=name),), context_window=4096))
            for name, url in urls.items()
        }


# --- clients ---------------------------------------------------------------------------------------------------------


def chat(caller: Caller, model: Offer, text: str, *, has_tool: bool, is_stream: bool) -> Said:
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 48}
    if has_tool:
        asked |= {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "required"}
    if not is_stream:
        answer = caller.client.post("/v1/chat/completions", json={"model": model.name, **asked}, timeout=120)
        choice = answer.json()["choices"][0]
        functions = [call["function"] for call in choice["message"].get("tool_calls") or ()]
        calls = [(each["name"], json.loads(each["arguments"])) for each in functions]
        return Said(choice["message"]["content"] or "", calls, choice["finish_reason"])
    stream = caller.listen(model, **asked)
    assert stream.is_done
    pieces = [
        call["function"]
        for chunk in stream.chunks
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls") or ()
    ]
    names, texts = ("".join(piece.get(part) or "" for piece in pieces) for part in ("name", "arguments"))
    ends = [choice["finish_reason"] for chunk in stream.chunks for choice in chunk["choices"]]
    return Said(stream.text(), [(names, json.loads(texts))] if pieces else [], ends[-1])


def messages(caller: Caller, model: Offer, text: str, *, has_tool: bool, is_stream: bool) -> Said:
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 48}
    if has_tool:
        tool = {
            "name": FUNCTION["name"],
            "description": FUNCTION["description"],
            "input_schema": FUNCTION["parameters"],
        }
        asked |= {"tools": [tool], "tool_choice": {"type": "any"}}
    body = {"model": model.name, "stream": is_stream, **asked}
    answer = caller.client.post("/v1/messages", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    message = assert_whole(events_in(answer.content)) if is_stream else answer.json()
    if not is_stream:
        assert_valid_message(message)
    content = message["content"]
    calls = [(block["name"], block["input"]) for block in content if block["type"] == "tool_use"]
    text = "".join(block["text"] for block in content if block["type"] == "text")
    return Said(text, calls, message["stop_reason"])


def google(caller: Caller, model: Offer, text: str, *, has_tool: bool, is_stream: bool) -> Said:
    asked: dict[str, Any] = {
        "contents": [{"role": "user", "parts": [{"text": text}]}],
        "generationConfig": {"temperature": 0, "maxOutputTokens": 48},
    }
    if has_tool:
        declared = {**FUNCTION, "parametersJsonSchema": FUNCTION["parameters"]}
        del declared["parameters"]
        asked |= {
            "tools": [{"functionDeclarations": [declared]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        }
    action = "streamGenerateContent?alt=sse" if is_stream else "generateContent"
    answer = caller.client.post(f"/v1beta/models/{model.name}:{action}", json=asked, timeout=120)
    assert answer.status_code == 200, answer.text
    chunks = generating.chunks_of(answer) if is_stream else [answer.json()]
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"].get("parts", ())]
    calls = [(part["functionCall"]["name"], part["functionCall"]["args"]) for part in parts if "functionCall" in part]
    return Said("".join(part.get("text", "") for part in parts), calls, chunks[-1]["candidates"][0]["finishReason"])


CLIENTS: Final = {client.__name__: client for client in (chat, messages, google)}


# --- the same --------------------------------------------------------------------------------------------------------


each_client = pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
each_question = pytest.mark.parametrize(
    ("has_tool", "question"), [(False, COUNT), (True, WEATHER)], ids=["text", "tool"]
)


@pytest.mark.parametrize(
    ("dialects", "is_stream"),
    [(("openai", "anthropic", "gemini"), False), (("openai", "anthropic"), True)],
    ids=["whole", "stream"],
)
@each_client
@each_question
def test_every_dialect_says_calls_and_counts_the_same(
    caller: Caller,
    models: dict[str, Offer],
    server: llama.Upstream,
    dialects: tuple[str, ...],
    client: Any,
    question: str,
    has_tool: bool,
    is_stream: bool,
) -> None:
    counters = Counters([server])

    first, *others = [
        client(caller, models[name], question, has_tool=has_tool, is_stream=is_stream) for name in dialects
    ]

    assert first.calls if has_tool else first.text
    assert others == [first] * len(others)
    caller.wait_until_settled(seconds=10)
    counted = [(record.usage.input, record.usage.output) for record in caller.records]
    assert counted == counted[:1] * len(dialects)
    assert (sum(read for read, _written in counted), sum(written for _read, written in counted)) == counters.since
    assert {record.usage_source for record in caller.records} == {"upstream"}


@each_client
@each_question
def test_stream_in_googles_format_says_and_calls_the_same(
    caller: Caller, models: dict[str, Offer], client: Any, question: str, has_tool: bool
) -> None:
    """Only the counts are not the server's: in this format LiteLLM asks for none and says nought of all, whatever its
    settings, so that the gateway estimates them."""
    first, second = [
        client(caller, models[name], question, has_tool=has_tool, is_stream=True) for name in ("openai", "gemini")
    ]

    assert second == first
    caller.wait_until_settled(seconds=10)
    assert [record.usage_source for record in caller.records] == ["upstream", "estimated"]
