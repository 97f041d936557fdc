"""Streams whose chunks are told without being parsed reach the client byte for byte as if each had been."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.endpoints.base import Head
from routing.endpoints.chat import CHAT
from routing.providers import ADAPTERS
from routing.providers.base import End, UpstreamCall
from routing.wire.frames import Again

FIXTURES = Path(__file__).parents[1] / "fixtures"
HEAD = Head("chatcmpl-1", "public", 5, (b"api.acme.example",))


def told(data: bytes, piece: int, *, abbreviates: bool, answers: int = 1) -> tuple[list[Any], int]:
    """What a client gets of a stream in pieces of this size, what is counted of it; how often it was abbreviated."""
    reader = ADAPTERS["openai"].open(UpstreamCall(CHAT.name, CHAT.path, {}, "up", "h", "", 500, answers, True))
    reader.abbreviates = abbreviates
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True, "n": answers}
    relay = CHAT.relay(CHAT.read(body), HEAD, 500)
    out, saved, error = b"", 0, None
    for start in range(0, len(data), piece):
        for event in reader.feed(data[start : start + piece]):
            if type(event) is dict:
                out += relay.relay(event)
            elif type(event) is Again:
                out += relay.again(event)
                saved += 1
            elif isinstance(event, End):
                error, relay.is_done = str(event.error), event.error is None
    counted = relay.received_tokens(), relay.is_past_cap, relay.is_complete
    return [out, error, counted, reader.usage, reader.is_partial, dict(reader.reported), reader.remark], saved


def event_of(chunk: dict[str, Any], *, spaced: bool = False) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    return b"data: " + json.dumps(chunk, separators=separators, ensure_ascii=False).encode() + b"\n\n"


def chunk_of(text: Any, **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    return {"id": "x", "object": "chat.completion.chunk", "created": 7, "model": "up", "choices": [choice], **members}


def stream_of(*texts: str, **members: Any) -> bytes:
    return b"".join(event_of(chunk_of(text, **members)) for text in texts) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.glob("*.sse")))
def test_recorded_streams_are_the_same(name: str) -> None:
    data = (FIXTURES / name).read_bytes()
    assert told(data, len(data), abbreviates=True)[0] == told(data, len(data), abbreviates=False)[0]


def test_all_but_the_first_two_chunks_of_a_plain_stream_are_abbreviated() -> None:
    assert told(stream_of(*"abcdefgh"), 10_000, abbreviates=True)[1] == 6


def test_nothing_is_abbreviated_unasked() -> None:
    assert told(stream_of(*"abcdefgh"), 10_000, abbreviates=False)[1] == 0


@pytest.mark.parametrize(
    ("data", "answers"),
    [
        pytest.param(stream_of(*"abcdef", usage={"prompt_tokens": 3, "completion_tokens": 1}), 1, id="usage in each"),
        pytest.param(stream_of(*"abcdef", usageMetadata={"promptTokenCount": 3}), 1, id="usage elsewhere"),
        pytest.param(stream_of(*"abcdef", citations=["https://a.example"]), 1, id="another member"),
        pytest.param(stream_of(*"abcdef"), 2, id="several answers"),
        pytest.param(
            b"".join(event_of(chunk_of(each, created=at)) for at, each in enumerate("abcdef")), 1, id="a time"
        ),
    ],
)
def test_chunks_that_say_more_than_text_are_read_each(data: bytes, answers: int) -> None:
    outcome, saved = told(data, 10_000, abbreviates=True, answers=answers)
    assert (outcome, saved) == (told(data, 10_000, abbreviates=False, answers=answers)[0], 0)


@pytest.mark.parametrize(
    ("delta", "members"),
    [
        ({"refusal": None}, {}),
        ({"reasoning_content": "hm"}, {}),
        ({}, {"seed": 1}),
        ({}, {"finish_reason": "length"}),
        ({}, {"logprobs": {"content": []}}),
    ],
    ids=["refusal", "thought", "seed", "finish reason", "probabilities"],
)
def test_choices_that_say_more_than_text_are_read_each(delta: dict[str, Any], members: dict[str, Any]) -> None:
    chunks = [chunk_of(text) for text in "abcdef"]
    for chunk in chunks:
        chunk["choices"][0]["delta"].update(delta)
        chunk["choices"][0].update(members)
    data = b"".join(map(event_of, chunks)) + b"data: [DONE]\n\n"
    outcome, saved = told(data, 10_000, abbreviates=True)
    assert (outcome, saved) == (told(data, 10_000, abbreviates=False)[0], 0)


def test_chunks_with_every_member_of_a_plain_one_are_abbreviated() -> None:
    chunks = [chunk_of(text, system_fingerprint="fp", service_tier="default") for text in "abcdef"]
    for chunk in chunks:
        chunk["choices"][0]["delta"]["role"] = "assistant"
    data = b"".join(map(event_of, chunks)) + b"data: [DONE]\n\n"
    outcome, saved = told(data, 10_000, abbreviates=True)
    assert (outcome, saved) == (told(data, 10_000, abbreviates=False)[0], 4)


@pytest.mark.parametrize(("changing", "saved"), [(8, 5), (9, 0)])
def test_stream_is_given_up_after_eight_in_vain(changing: int, saved: int) -> None:
    data = b"".join(event_of(chunk_of("a", created=at + 10)) for at in range(changing)) + stream_of(*"abcdef")
    assert told(data, 10_000, abbreviates=True)[1] == saved


def test_null_beside_the_text_is_nothing() -> None:
    assert told(stream_of(*"abcdef", usage=None, error=None), 10_000, abbreviates=True)[1] == 4


def test_stream_that_never_says_the_same_is_given_up() -> None:
    changing = b"".join(event_of(chunk_of("a", created=at)) for at in range(20))
    assert told(changing + stream_of(*"abcdef"), 10_000, abbreviates=True)[1] == 0


def test_stream_that_does_at_times_is_not() -> None:
    data = b"".join(event_of(chunk_of(text, created=at)) for at in range(20) for text in "abcd")
    outcome, saved = told(data, 10_000, abbreviates=True)
    assert (outcome, saved) == (told(data, 10_000, abbreviates=False)[0], 20 * 3 - 1)


def test_usage_told_before_more_text_is_partial() -> None:
    usage = event_of({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}})
    data = stream_of(*"abcd").removesuffix(b"data: [DONE]\n\n")
    said, saved = told(data + usage + data, 10_000, abbreviates=True)
    assert (said, saved > 2) == (told(data + usage + data, 10_000, abbreviates=False)[0], True)
    assert said[4] is True


TEXTS = st.text(st.sampled_from('ab "\\\n\tàđ€😀\x7f'), max_size=6)
CHUNKS = st.one_of(
    st.builds(chunk_of, TEXTS),
    st.builds(chunk_of, TEXTS, created=st.integers(7, 8)),
    st.builds(chunk_of, TEXTS, usage=st.sampled_from([None, {"prompt_tokens": 3, "completion_tokens": 2}])),
    st.builds(chunk_of, TEXTS, system_fingerprint=st.sampled_from(["fp", "api.acme.example", None])),
    st.builds(chunk_of, st.none()),
    st.sampled_from(
        [
            {"choices": []},
            {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}},
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]},
            {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"choices": [{"index": 0, "message": {"content": "all"}}]},
            {"error": {"message": "no"}},
        ]
    ),
)


@given(st.lists(st.tuples(CHUNKS, st.integers(1, 3), st.booleans()), max_size=12), st.sampled_from([7, 50, 10_000]))
def test_whatever_comes_is_told_the_same(chunks: list[tuple[dict[str, Any], int, bool]], piece: int) -> None:
    events = [event_of(chunk, spaced=spaced) * times for chunk, times, spaced in chunks]
    data = b": hello\n\n".join(events) + b"data: [DONE]\n\n"
    assert told(data, piece, abbreviates=True)[0] == told(data, piece, abbreviates=False)[0]
