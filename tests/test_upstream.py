"""The scriptable upstream itself, driven by the official SDK: a rig that lies would prove nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import openai
import pytest

from tests import upstream as up

ASK: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def server() -> Iterator[up.Upstream]:
    server = up.Upstream().start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def sdk(server: up.Upstream) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key="sk-upstream", max_retries=0, timeout=5)


def test_unscripted_model_answers_and_the_request_is_recorded(server: up.Upstream, sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="plain", messages=ASK)

    (request,) = server.received("plain")
    assert answer.choices[0].message.content == "Hello there!"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 17
    assert request.header("authorization") == "Bearer sk-upstream"
    assert request.json["messages"] == ASK


def test_unscripted_model_streams_its_words_and_the_usage_if_asked(sdk: openai.OpenAI) -> None:
    chunks = list(
        sdk.chat.completions.create(model="stream", messages=ASK, stream=True, stream_options={"include_usage": True})
    )

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "One two three four five"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5


def test_queued_replies_come_in_order_and_the_last_one_repeats(server: up.Upstream, sdk: openai.OpenAI) -> None:
    server.on("queue", up.plain(503, {"error": "busy"}), up.answer("second"))

    with pytest.raises(openai.InternalServerError):
        sdk.chat.completions.create(model="queue", messages=ASK)
    answers = [sdk.chat.completions.create(model="queue", messages=ASK).choices[0].message.content for _ in range(2)]

    assert answers == ["second", "second"]


def test_reset_in_a_stream_is_an_error_for_the_reader(server: up.Upstream, sdk: openai.OpenAI) -> None:
    server.on("reset", up.stream(up.event(up.ROLE), is_terminated=False, end=up.End.RESET))

    with pytest.raises((httpx.HTTPError, openai.APIError, OSError)):
        list(sdk.chat.completions.create(model="reset", messages=ASK, stream=True))


def test_hanging_up_in_a_stream_is_noticed(server: up.Upstream, sdk: openai.OpenAI) -> None:
    server.on("gone", up.stream(up.event(up.ROLE), up.HANG))

    stream = sdk.chat.completions.create(model="gone", messages=ASK, stream=True)
    next(iter(stream))
    stream.close()

    (request,) = server.received("gone")
    assert request.was_left_within(1)
    assert not request.done.is_set()


def test_a_stopped_server_refuses_and_a_restarted_one_answers_on_the_same_port() -> None:
    server = up.Upstream().start()
    url = f"{server.url}/models"
    server.stop()

    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    server.start()

    assert httpx.get(url).status_code == 200
    server.stop()


def test_a_silent_port_never_completes_the_handshake() -> None:
    with up.silent_port() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.3)
