"""The upstream inside the process: honest counts, and faults as configured."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64decode
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.endpoints import ENDPOINTS
from routing.endpoints.base import Endpoint
from routing.providers.base import UpstreamCall, UpstreamRequest
from routing.providers.fake import FAKE
from routing.providers.media import File
from routing.providers.openai import OPENAI
from routing.providers.openai.usage import usage_of
from routing.providers.recordings import expected_seconds
from routing.wire import addresses, fake
from routing.wire.answer import UpstreamFault
from routing.wire.events import EventParser
from routing.wire.fake import FakeAnswer, answer

MESSAGES = [{"role": "user", "content": "hi"}]


async def asked(url: str, **body: Any) -> FakeAnswer:
    request = {"model": "m", "messages": MESSAGES, **body}
    return await answer(addresses.parse(url), UpstreamRequest("/chat/completions", (), orjson.dumps(request)))


async def read_to_the_end(reply: FakeAnswer) -> bytes:
    data = b""
    while (piece := await reply.next()) is not None:
        data += piece
    return data


def whole(url: str = "fake://x", **body: Any) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        return dict(orjson.loads(await (await asked(url, **body)).read()))

    return asyncio.run(run())


def streamed(url: str = "fake://x", **body: Any) -> list[bytes]:
    async def run() -> bytes:
        return await read_to_the_end(await asked(url, stream=True, **body))

    return EventParser().feed(asyncio.run(run()))


def test_answer_counts_what_it_says() -> None:
    reply = whole("fake://x?tokens=7")
    usage = usage_of(reply["usage"])
    assert usage is not None
    assert (usage.output, len(reply["choices"][0]["message"]["content"].split()), usage.input > 0) == (7, 7, True)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_cap_bounds_the_answer(name: str) -> None:
    assert whole("fake://x", **{name: 3})["usage"]["completion_tokens"] == 3


def test_every_choice_is_counted() -> None:
    reply = whole("fake://x?tokens=5", n=3)
    assert ([choice["index"] for choice in reply["choices"]], reply["usage"]["completion_tokens"]) == ([0, 1, 2], 15)


@pytest.mark.parametrize("n", [1, 3])
def test_stream_says_and_counts_the_same(n: int) -> None:
    *events, usage, done = streamed("fake://x?tokens=4", n=n)
    chunks = [orjson.loads(event) for event in events]
    words = [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]]
    finished = [choice["index"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert (len([word for word in words if word]), finished, done) == (4 * n, list(range(n)), b"[DONE]")
    assert orjson.loads(usage)["usage"]["completion_tokens"] == 4 * n


def test_tool_is_called_where_one_is_required() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    message = whole(tools=tools, tool_choice="required")["choices"][0]["message"]
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert whole(tools=tools)["choices"][0]["message"].get("tool_calls") is None
    assert whole(tools=[{"type": "custom", "custom": {"name": "c"}}], tool_choice="required")["choices"]


def test_json_fits_a_simple_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "kind": {"enum": ["a", "b"]}},
    }
    reply = whole(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert orjson.loads(reply["choices"][0]["message"]["content"]) == {"name": "demo", "age": 1, "kind": "a"}


odd = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["type", "properties", "enum", "items", "x"]), inner | st.just("object"))
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["type", "properties", "enum"]), odd | st.just("object")))
def test_any_schema_gets_an_answer(schema: dict[str, Any]) -> None:
    reply = whole(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    orjson.loads(reply["choices"][0]["message"]["content"])


def test_delay_comes_before_the_answer() -> None:
    began = time.monotonic()
    whole("fake://x?delay_ms=120")
    assert time.monotonic() - began >= 0.12


def test_channel_that_always_fails_fails() -> None:
    async def run() -> int:
        return (await asked("fake://x?fail=1")).status

    assert asyncio.run(run()) == 503


def test_cut_stream_breaks_off_in_the_middle() -> None:
    async def run() -> None:
        reply = await asked("fake://x?cut=1", stream=True)
        with pytest.raises(UpstreamFault) as caught:
            await read_to_the_end(reply)
        assert caught.value.fault == "broken_stream"

    asyncio.run(run())


def test_silence_between_chunks_is_told() -> None:
    async def run() -> None:
        reply = await asked("fake://x?chunk_ms=500", stream=True)
        first = await reply.next(0.01)
        assert (first is not None and first.startswith(b"data: "), await reply.next(0.01)) == (True, b"")

    asyncio.run(run())


def test_closed_stream_says_nothing_more() -> None:
    async def run() -> None:
        reply = await asked("fake://x?chunk_ms=5000", stream=True)
        await reply.next()
        asyncio.get_running_loop().call_later(0.02, reply.close)
        with pytest.raises(UpstreamFault) as caught:
            await asyncio.wait_for(reply.next(), 1)
        assert caught.value.fault == "cancelled"

    asyncio.run(run())


@pytest.mark.parametrize("query", ["delay_ms=soon", "fail=x", "tokens=many"])
def test_setting_that_is_no_number_is_a_fault_of_the_channel(query: str) -> None:
    async def run() -> None:
        with pytest.raises(UpstreamFault) as caught:
            await asked(f"fake://x?{query}")
        assert caught.value.fault == "connect_failed"

    asyncio.run(run())


def played(endpoint: str, cut: str = "", **members: Any) -> tuple[Any, list[Any]]:
    """A reader that has read the fake's whole answer, and the events of it."""
    path = f"/{endpoint.replace('.', '/')}"
    body = {"model": "m", **members}
    call = UpstreamCall(endpoint, path, body, "up", "h", "", cap=0, answers=1, is_stream=bool(members.get("stream")))
    reader = OPENAI.open(call)

    async def run() -> list[Any]:
        reply = await answer(addresses.parse(f"fake://x?{cut}"), OPENAI.request(call))
        if reply.headers[b"content-type"] in {b"application/json", b"text/plain"}:
            return [reader.whole(await reply.read())]
        return [*reader.feed(await read_to_the_end(reply)), *reader.feed(None)]

    return reader, asyncio.run(run())


FILE = File("a.wav", "audio/wav", bytes(100_000))


def test_pictures_are_played() -> None:
    reader, (whole,) = played("images.generations", prompt="The sea", n=2)
    assert [b64decode(each["b64_json"])[:4] for each in whole["data"]] == [b"\x89PNG"] * 2
    assert (reader.usage.images, reader.usage.output) == (2, 272)
    reader, events = played("images.generations", prompt="The sea", stream=True)
    assert events[0]["type"] == "image_generation.completed"
    assert reader.usage.images == 1


def test_speech_is_played() -> None:
    _reader, events = played("audio.speech", input="Hello", voice="alloy")
    sound = b"".join(each["audio"] for each in events if type(each) is dict)
    assert sound[:4] == b"RIFF"
    assert expected_seconds(sound) == 1
    reader, events = played("audio.speech", input="Hello", stream_format="sse")
    assert [each["type"] for each in events if type(each) is dict][-1] == "speech.audio.done"
    assert reader.usage.characters == 5


@pytest.mark.parametrize("endpoint", ["audio.transcriptions", "audio.translations"])
@pytest.mark.parametrize("form", [None, "json", "text", "verbose_json", "srt", "vtt"])
def test_transcripts_are_played(endpoint: str, form: str | None) -> None:
    reader, (whole,) = played(endpoint, file=FILE, response_format=form)
    assert "demonstration transcript" in whole["text"]
    assert reader.usage.seconds == (25 if form in {"srt", "vtt"} else 3)


def test_transcript_is_played_as_a_stream() -> None:
    reader, events = played("audio.transcriptions", file=FILE, stream="true")
    assert "".join(each["delta"] for each in events if type(each) is dict and "delta" in each).startswith("This is")
    assert reader.usage.input_audio == 30


def test_sound_breaks_off_as_configured() -> None:
    with pytest.raises(UpstreamFault):
        played("audio.speech", "cut=1", input="Hello" * 100)


BESIDE_CHAT: dict[str, dict[str, Any]] = {
    "completions": {"prompt": ["Say", "hi"], "max_tokens": 5, "n": 2, "echo": True},
    "embeddings": {"input": ["a", "b"]},
    "rerank": {"query": "the sea", "documents": ["the moon", "the sea"], "return_documents": True},
    "moderations": {"input": ["a", "I want to kill them."]},
}


async def answered(endpoint: Endpoint, **members: Any) -> tuple[Any, FakeAnswer]:
    body = {"model": "m", **BESIDE_CHAT[endpoint.name], **members}
    request = endpoint.read(body)
    call = UpstreamCall(
        endpoint=endpoint.name, path=endpoint.path, body=body, upstream_model="m", host="", secret="", cap=0,
        answers=1, is_stream=request.is_stream,
    )  # fmt: skip
    sent = FAKE.request(call)
    return request, await fake.answer(addresses.parse("fake://x"), sent)


@pytest.mark.parametrize("name", BESIDE_CHAT)
def test_every_other_endpoint_is_played_whole(name: str) -> None:
    endpoint = ENDPOINTS[name]
    assert FAKE.speaks(name, "", None)

    async def run() -> None:
        request, reply = await answered(endpoint)
        endpoint.check(request, json.loads(await reply.read()))

    asyncio.run(run())


def test_document_with_the_querys_words_is_the_best_and_killing_is_violent() -> None:
    async def run() -> None:
        ranking = json.loads(await (await answered(ENDPOINTS["rerank"]))[1].read())
        judged = json.loads(await (await answered(ENDPOINTS["moderations"]))[1].read())
        assert [each["index"] for each in ranking["results"]] == [1, 0]
        assert [each["flagged"] for each in judged["results"]] == [False, True]

    asyncio.run(run())


def test_text_completions_are_streamed_and_counted() -> None:
    async def run() -> None:
        _request, reply = await answered(ENDPOINTS["completions"], stream=True)
        events = (await read_to_the_end(reply)).split(b"\n\n")[:-1]
        chunks = [json.loads(event.removeprefix(b"data: ")) for event in events[:-1]]
        said = [choice for chunk in chunks for choice in chunk["choices"] if choice["text"]]
        assert events[-1] == b"data: [DONE]"
        assert chunks[-1]["usage"]["completion_tokens"] == len(said) - 4  # of each prompt, twice
        assert next(choice["text"] for choice in said if choice["index"] == 2) == "hi"

    asyncio.run(run())
