"""What every adapter must do, whatever its wire format: run over all of the registry.

An adapter of another format than the canonical one brings its own `EXAMPLES`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.chat import CHAT
from routing.endpoints.chat.answer import check_answer
from routing.providers import ADAPTERS, choices
from routing.providers.base import Adapter, End, MalformedAnswer, UpstreamCall

BODY: dict[str, Any] = {
    "model": "public/model",
    "messages": [{"role": "user", "content": "Xin chào 👋"}],
    "temperature": 0,
    "stream_options": {"include_usage": False},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "models": ["other"],
    "provider": {"order": ["a"]},
    "usage": {"include": True},
}
SECRET = "sk-canary-of-the-operator"
HOST = "upstream.example"


@dataclass(frozen=True, slots=True)
class Examples:
    """What a vendor of one wire format sends."""

    answer: bytes
    event: bytes
    usage: Any
    counted: Usage
    malformed: tuple[bytes, ...]
    skipped: frozenset[bytes]
    """Of these, what is no answer, but ends no stream either."""
    end: bytes = b"[DONE]"
    closing: int = 0
    """How many chunks that nobody sent come with an end that says no reason."""
    usage_alone: bytes = b'{"choices":[]}'
    """The event that carries usage and nothing else, but for the usage."""
    usage_name: str = "usage"
    """The member that holds the counts."""


CANONICAL = Examples(
    answer=b'{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}',
    event=b'{"choices":[{"index":0,"delta":{"content":"hi"}}]}',
    usage={"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}},
    counted=Usage(input=10, cached_input=4, output=5),
    malformed=(
        b"",
        b"null",
        b"5",
        b"[]",
        b"{}",
        b"{",
        b"<html>",
        b"\xff",
        b'{"choices":null}',
        b'{"choices":{}}',
        b'{"choices":[5]}',
        b'{"choices":[{}]}',
        b'{"choices":[{"delta":null,"message":null}]}',
        b'{"choices":[{"delta":[],"message":[]}]}',
        b'{"error":{"message":"overloaded"}}',
        b'{"error":"overloaded","choices":[]}',
        b'{"error":["odd"],"choices":[]}',
    ),
    skipped=frozenset(
        (
            b"",
            b"null",
            b"5",
            b"[]",
            b"{}",
            b'{"choices":null}',
            b'{"choices":{}}',
            b'{"choices":[{}]}',
            b'{"choices":[{"delta":null,"message":null}]}',
            b'{"choices":[{"delta":[],"message":[]}]}',
        )
    ),
)
ANTHROPIC = Examples(
    answer=b'{"type":"message","role":"assistant","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn"}',
    event=b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}',
    usage={"input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 5},
    counted=Usage(input=10, cached_input=4, output=5),
    malformed=(
        b"",
        b"null",
        b"5",
        b"[]",
        b"{}",
        b"{",
        b"<html>",
        b"\xff",
        b'{"type":"message","content":null}',
        b'{"type":"message","content":{}}',
        b'{"type":"message","content":[5]}',
        b'{"type":"content_block_start","index":0,"content_block":null}',
        b'{"type":"content_block_delta","index":[0],"delta":{"type":"text_delta","text":"hi"}}',
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        b'{"error":"overloaded"}',
        b'{"error":["odd"]}',
        b'{"choices":[{"index":0,"delta":{"content":"hi"}}]}',
    ),
    skipped=frozenset(
        (
            b"",
            b"null",
            b"5",
            b"[]",
            b"{}",
            b'{"type":"message","content":null}',
            b'{"type":"message","content":{}}',
            b'{"type":"message","content":[5]}',
            b'{"type":"content_block_start","index":0,"content_block":null}',
        )
    ),
    end=b'{"type":"message_stop"}',
    closing=1,
    usage_alone=b'{"type":"message_delta","delta":{}}',
)
GOOGLES = Examples(
    answer=b'{"candidates":[{"content":{"parts":[{"text":"hi"}],"role":"model"},"finishReason":"STOP","index":0}]}',
    event=b'{"candidates":[{"content":{"parts":[{"text":"hi"}],"role":"model"},"index":0}]}',
    usage={"promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 2, "thoughtsTokenCount": 3},
    counted=Usage(input=10, cached_input=4, output=5, reasoning=3),
    malformed=(
        b"",
        b"null",
        b"5",
        b"[]",
        b"{}",
        b"{",
        b"<html>",
        b"\xff",
        b"[5]",
        b'{"candidates":null}',
        b'{"candidates":{}}',
        b'{"candidates":5}',
        b'{"candidates":[5]}',
        b'{"candidates":[{"index":-1}]}',
        b'{"candidates":[{"content":5}]}',
        b'{"candidates":[{"content":{"parts":{}}}]}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"args":{}}}]}}]}',
        b'{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]}',
        b'{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}',
        b'[{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]',
    ),
    skipped=frozenset(
        (
            b"",
            b"null",
            b"5",
            b"[]",
            b"{}",
            b'{"candidates":null}',
            b'{"candidates":{}}',
            b'{"candidates":[{"content":{"parts":{}}}]}',
        )
    ),
    usage_alone=b'{"candidates":[]}',
    usage_name="usageMetadata",
)
EXAMPLES = {
    "openai": CANONICAL,
    "azure": CANONICAL,
    "anthropic": ANTHROPIC,
    "gemini": GOOGLES,
    "llamacpp": CANONICAL,
    "fake": CANONICAL,
}
MOST_MALFORMED = max(len(each.malformed) for each in EXAMPLES.values())


@pytest.fixture(params=sorted(ADAPTERS))
def adapter(request: pytest.FixtureRequest) -> Adapter:
    return ADAPTERS[request.param]


@pytest.fixture
def examples(adapter: Adapter) -> Examples:
    return next(EXAMPLES[name] for name, known in ADAPTERS.items() if known is adapter)


def call(body: dict[str, Any], *, is_stream: bool = False, secret: str = SECRET) -> UpstreamCall:
    return UpstreamCall(
        endpoint=CHAT.name,
        path=CHAT.path,
        body=body,
        upstream_model="upstream/model-x",
        host=HOST,
        secret=secret,
        cap=77,
        answers=1,
        is_stream=is_stream,
    )


def test_every_adapter_can_be_chosen_and_has_examples() -> None:
    assert [name for name, _label in choices()] == list(ADAPTERS)
    assert sorted(EXAMPLES) == sorted(ADAPTERS)


# --- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_request_leaves_the_clients_body_as_it_was(adapter: Adapter, is_stream: bool) -> None:
    body = copy.deepcopy(BODY)
    adapter.request(call(body, is_stream=is_stream))
    assert body == BODY


def test_request_names_the_upstreams_model_and_never_the_public_one(adapter: Adapter) -> None:
    request = adapter.request(call(BODY))
    assert b"upstream/model-x" in request.body + request.path.encode()
    assert b"public/model" not in request.body


def test_request_carries_the_output_cap(adapter: Adapter) -> None:
    assert b"77" in adapter.request(call(BODY)).body


def test_request_carries_none_of_the_routers_own_fields(adapter: Adapter) -> None:
    sent = orjson.loads(adapter.request(call(BODY)).body)
    assert {"models", "provider", "usage"} & set(sent) == set()


def test_request_carries_the_secret_in_a_header_alone(adapter: Adapter) -> None:
    request = adapter.request(call(BODY))
    assert SECRET not in request.path
    assert SECRET.encode() not in request.body
    assert [SECRET in value for _name, value in request.headers].count(True) == 1


def test_request_without_a_secret_has_no_credential_at_all(adapter: Adapter) -> None:
    carries = {
        name.lower() for name, value in adapter.request(call(BODY, secret="s3cret")).headers if "s3cret" in value
    }
    names = {name.lower() for name, _value in adapter.request(call(BODY, secret="")).headers}
    assert carries
    assert names & {*carries, "authorization", "x-api-key", "api-key", "x-goog-api-key"} == set()


def test_request_asks_for_an_answer_that_is_not_compressed(adapter: Adapter) -> None:
    assert ("accept-encoding", "identity") in adapter.request(call(BODY)).headers


def test_request_has_an_absolute_path_and_lower_case_headers_once_each(adapter: Adapter) -> None:
    request = adapter.request(call(BODY))
    names = [name for name, _value in request.headers]
    assert request.path.startswith("/")
    assert names == sorted(set(names), key=names.index) == [name.lower() for name in names]


# --- answers ---------------------------------------------------------------------------------------------------------


def whole(adapter: Adapter, body: bytes) -> dict[str, Any]:
    """The answer as its endpoint takes it."""
    answer = adapter.open(call(BODY)).whole(body)
    check_answer(answer)
    return answer


def streamed(adapter: Adapter, data: bytes) -> list[dict[str, Any]]:
    """The choices of one event as its endpoint takes it."""
    (event,) = adapter.open(call(BODY)).feed(b"data: " + data + b"\n\n")
    if isinstance(event, End):
        raise MalformedAnswer(event.error) if event.error else AssertionError("the end came instead of a chunk")
    assert type(event) is dict
    choices: list[dict[str, Any]] = event["choices"]
    assert all(type(choice["delta"]) is dict for choice in choices)
    return choices


def test_answer_is_a_canonical_completion(adapter: Adapter, examples: Examples) -> None:
    (choice,) = whole(adapter, examples.answer)["choices"]
    assert choice["message"]["content"] == "hi"


def test_event_is_a_canonical_chunk(adapter: Adapter, examples: Examples) -> None:
    (choice,) = streamed(adapter, examples.event)
    assert choice["delta"]["content"] == "hi"


@pytest.mark.parametrize("place", range(MOST_MALFORMED))
def test_what_is_no_answer_is_malformed(adapter: Adapter, examples: Examples, place: int) -> None:
    with pytest.raises(MalformedAnswer):
        whole(adapter, examples.malformed[place % len(examples.malformed)])


@pytest.mark.parametrize("place", range(1, MOST_MALFORMED))
def test_what_is_no_chunk_is_malformed_or_skipped(adapter: Adapter, examples: Examples, place: int) -> None:
    sent = examples.malformed[place % len(examples.malformed)]
    reader = adapter.open(call(BODY))

    events = reader.feed(b"data: " + sent + b"\n\n")

    if sent in examples.skipped:
        assert not any(isinstance(event, End) for event in events)
    else:
        assert [type(event) for event in events] == [End]


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_stream_is_read_in_whatever_pieces_it_comes(adapter: Adapter, examples: Examples, size: int) -> None:
    whole_stream = b"\n\ndata: ".join([b": hello", examples.event, examples.end, b"never read\n\n"])
    reader, events = adapter.open(call(BODY)), []
    for start in range(0, len(whole_stream), size):
        events += reader.feed(whole_stream[start : start + size])
        if events and isinstance(events[-1], End):
            break
    assert [type(event).__name__ for event in events] == ["Comment", "dict", *["dict"] * examples.closing, "End"]
    assert events[-1] == End()


def test_what_came_before_a_broken_event_is_kept(adapter: Adapter, examples: Examples) -> None:
    events = adapter.open(call(BODY)).feed(b"data: " + examples.event + b"\n\ndata: {broken\n\ndata: x\n\n")
    assert (type(events[0]), len(events)) == (dict, 2)
    assert isinstance(events[1], End)
    assert events[1].error


# --- usage -----------------------------------------------------------------------------------------------------------


def with_usage(examples: Examples, example: bytes, usage: Any) -> bytes:
    return orjson.dumps({**orjson.loads(example), examples.usage_name: usage})


def test_usage_of_a_whole_answer_is_counted_by_kind(adapter: Adapter, examples: Examples) -> None:
    reader = adapter.open(call(BODY))
    reader.whole(with_usage(examples, examples.answer, examples.usage))
    assert (reader.usage, reader.is_exact, reader.reported) == (examples.counted, True, examples.usage)


def test_usage_is_taken_out_of_a_stream_and_counted_by_kind(adapter: Adapter, examples: Examples) -> None:
    reader = adapter.open(call(BODY))
    (chunk,) = reader.feed(b"data: " + with_usage(examples, examples.event, examples.usage) + b"\n\n")
    assert type(chunk) is dict
    assert (examples.usage_name in chunk, reader.usage, reader.reported) == (False, examples.counted, examples.usage)


def test_chunk_that_only_carries_usage_is_none(adapter: Adapter, examples: Examples) -> None:
    reader = adapter.open(call(BODY))
    assert reader.feed(b"data: " + with_usage(examples, examples.usage_alone, examples.usage) + b"\n\n") == []
    assert reader.usage == examples.counted


@pytest.mark.parametrize(
    "garbage", [None, 5, "x", [], {}, {"prompt_tokens": -1}, {"promptTokenCount": -1}, True], ids=str
)
def test_usage_that_cannot_be_is_none(adapter: Adapter, examples: Examples, garbage: Any) -> None:
    reader = adapter.open(call(BODY))
    reader.whole(with_usage(examples, examples.answer, garbage))
    assert reader.usage is None


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (400, "content_refused"),
        (413, "content_refused"),
        (422, "content_refused"),
        (401, "key_refused"),
        (402, "account_empty"),
        (403, "key_refused"),
        (429, "rest"),
        (301, "retry"),
        (404, "retry"),
        (408, "retry"),
        (500, "retry"),
        (502, "retry"),
        (503, "retry"),
        (529, "retry"),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b"<html>", b"\xff\x00", b'{"error":5}', b'{"error":null}']
)
def test_every_status_has_its_meaning_whatever_the_body(
    adapter: Adapter, status: int, meaning: str, body: bytes
) -> None:
    refusal = adapter.refusal(status, {}, body, call(BODY))
    assert refusal.meaning == meaning
    assert refusal.type in {"invalid_request_error", "server_error"}


def test_refusal_of_the_content_always_says_something(adapter: Adapter) -> None:
    assert adapter.refusal(400, {}, b"", call(BODY)).message


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("1.5", 1.5), ("-1", None), ("soon", None), ("nan", None), ("inf", None)],
)
def test_rest_is_as_long_as_the_upstream_says(adapter: Adapter, header: str, seconds: float | None) -> None:
    assert adapter.refusal(429, {b"retry-after": header.encode()}, b"", call(BODY)).retry_after == seconds


@pytest.mark.parametrize("place", ["message", "code", "type", "param"])
def test_no_refusal_shows_the_tenant_whose_upstream_it_is(adapter: Adapter, place: str) -> None:
    words = f"key {SECRET} at https://{HOST}:8443/v1 of org-canary1 (user-canary2, ops@{HOST}), 10.1.2.3:99, model-x"
    refusal = adapter.refusal(400, {}, orjson.dumps({"error": {"message": "bad", place: words}}), call(BODY))
    shown = f"{refusal.message} {refusal.code} {refusal.type} {refusal.param}"
    found = [word for word in (SECRET, HOST, "canary", "10.1.2.3", "ops@") if word in shown]
    assert found == []
