"""llama.cpp's server: what it is asked for, and how it counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.providers import recognise
from routing.providers.base import UpstreamCall
from routing.providers.llamacpp import LLAMACPP, LlamaCppReader

FIXTURES = Path(__file__).parent / "fixtures"


def call(answers: int = 1, *, is_stream: bool = True, **body: Any) -> UpstreamCall:
    return UpstreamCall(
        endpoint="chat.completions",
        path="/chat/completions",
        body={"model": "public", **body},
        upstream_model="up",
        host="llm.example",
        secret="",
        cap=50,
        answers=answers,
        is_stream=is_stream,
    )


def reader(answers: int = 1, **body: Any) -> LlamaCppReader:
    opened = LLAMACPP.open(call(answers, **body))
    assert isinstance(opened, LlamaCppReader)
    return opened


def counts(input_: Any, output: Any) -> dict[str, Any]:
    return {"prompt_tokens": input_, "completion_tokens": output}


# --- which upstreams -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "server", "dialect"),
    [
        ("openai", b"llama.cpp", "llamacpp"),
        ("openai", b"uvicorn", "openai"),
        ("llamacpp", b"nginx", "llamacpp"),
        ("fake", b"llama.cpp", "fake"),
    ],
)
def test_upstream_is_recognised_by_its_server_header(provider: str, server: bytes, dialect: str) -> None:
    assert recognise(provider, {b"server": server}) == dialect


def test_several_answers_are_always_asked_for_as_a_stream() -> None:
    assert [LLAMACPP.prefers_stream(answers, is_met=True) for answers in (1, 2)] == [False, True]


# --- timings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "is_stream", "shown"),
    [({}, True, True), ({}, False, None), ({"timings_per_token": 0}, True, 0)],
)
def test_timings_are_asked_for_in_streams_unless_the_client_decided(
    asked: dict[str, Any], is_stream: bool, shown: Any
) -> None:
    body = orjson.loads(LLAMACPP.request(call(is_stream=is_stream, **asked)).body)
    assert body.get("timings_per_token") == shown


def event(**members: Any) -> bytes:
    chunk = {"choices": [{"index": 0, "delta": {"content": "x"}}], **members}
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def test_timings_count_a_stream_as_it_goes() -> None:
    told = reader()
    told.feed(event(timings={"cache_n": 15, "prompt_n": 8, "predicted_n": 5}))
    assert (told.usage, told.is_exact) == (Usage(input=23, cached_input=15, output=5), True)


def test_timings_of_several_answers_say_nothing() -> None:
    told = reader(2)
    told.feed(event(timings={"cache_n": 15, "prompt_n": 8, "predicted_n": 5}))
    assert told.usage is None


def test_usage_says_more_than_timings() -> None:
    told = reader()
    told.feed(event(usage=counts(30, 6), timings={"cache_n": 15, "prompt_n": 8, "predicted_n": 5}))
    assert told.usage == Usage(input=30, output=6)


def test_timings_are_shown_only_to_who_asked() -> None:
    data = event(timings={"predicted_n": 1})
    (unasked,), (asked,) = reader().feed(data), reader(timings_per_token=True).feed(data)
    assert ("timings" in dict(unasked), "timings" in dict(asked)) == (False, True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        5,
        {},
        {"cache_n": 1, "prompt_n": 1},
        {"cache_n": -1, "prompt_n": 1, "predicted_n": 1},
        {"cache_n": 1.0, "prompt_n": 1, "predicted_n": 1},
        {"cache_n": 1, "prompt_n": 1, "predicted_n": 10**18},
    ],
    ids=str,
)
def test_timings_that_cannot_be_are_ignored(garbage: Any) -> None:
    told = reader()
    told.feed(event(timings=garbage))
    assert told.usage is None


# --- several answers -------------------------------------------------------------------------------------------------


def test_recorded_stream_of_two_answers_is_counted_whole() -> None:
    told = reader(2)
    told.feed((FIXTURES / "llamacpp_two_choices.sse").read_bytes())
    assert told.usage == Usage(input=23, cached_input=15, output=5)


def counted(answers: int, output: int, **choice: Any) -> tuple[Usage | None, bool]:
    answer = {
        "choices": [{"message": {"content": "twelve bytes"}, **choice}] * answers,
        "usage": counts(9, output),
        "timings": {"predicted_n": 5},
    }
    told = reader(answers)
    told.whole(orjson.dumps(answer))
    return told.usage, told.is_exact


def test_whole_answer_that_counts_one_of_several_is_counted_for_all() -> None:
    logprobs: dict[str, Any] = {"content": [{}, {}, {}, {}, {}]}
    assert counted(3, 5, logprobs=logprobs) == (Usage(input=9, output=15), True)
    assert counted(3, 5) == (Usage(input=9, output=9), False)


def test_whole_answer_that_counts_all_is_believed() -> None:
    assert counted(3, 15) == (Usage(input=9, output=15), True)
    assert counted(1, 5) == (Usage(input=9, output=5), True)


def too_long(words: str, status: int = 500) -> Any:
    told = {"error": {"code": status, "message": words, "type": "server_error"}}
    return LLAMACPP.refusal(status, {}, orjson.dumps(told), call(is_stream=False))


@pytest.mark.parametrize(
    "words",
    [
        "input (641 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
        "input is too large to process. increase the physical batch size",
    ],
)
def test_text_beyond_its_batch_is_the_clients_to_shorten(words: str) -> None:
    refusal = too_long(words)
    assert (refusal.meaning, refusal.code) == ("content_refused", "context_length_exceeded")
    assert refusal.type == "invalid_request_error"


@pytest.mark.parametrize("words", ["it broke: input is too large to process", "out of memory"])
def test_other_faults_of_its_own_stay_faults(words: str) -> None:
    assert too_long(words).meaning == "retry"
