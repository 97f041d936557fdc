"""What every adapter must do, whatever its wire format: run over all of the registry.

The examples are in the canonical format. An adapter of another format brings its own `EXAMPLES`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.providers import ADAPTERS, choices
from routing.providers.base import Adapter, MalformedAnswer, Order

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
)
EXAMPLES = {"openai": CANONICAL, "fake": CANONICAL}


@pytest.fixture(params=sorted(ADAPTERS))
def adapter(request: pytest.FixtureRequest) -> Adapter:
    return ADAPTERS[request.param]


@pytest.fixture
def examples(adapter: Adapter) -> Examples:
    return next(EXAMPLES[name] for name, known in ADAPTERS.items() if known is adapter)


def order(body: dict[str, Any], *, is_stream: bool = False, secret: str = SECRET) -> Order:
    return Order(
        body=body,
        upstream_model="upstream/model-x",
        host=HOST,
        secret=secret,
        cap=77,
        is_stream=is_stream,
        wants_timings=False,
    )


def test_every_adapter_can_be_chosen_and_has_examples() -> None:
    assert [name for name, _label in choices()] == list(ADAPTERS)
    assert sorted(EXAMPLES) == sorted(ADAPTERS)


# --- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_request_leaves_the_clients_body_as_it_was(adapter: Adapter, is_stream: bool) -> None:
    body = copy.deepcopy(BODY)
    adapter.request(order(body, is_stream=is_stream))
    assert body == BODY


def test_request_names_the_upstreams_model_and_never_the_public_one(adapter: Adapter) -> None:
    request = adapter.request(order(BODY))
    assert b"upstream/model-x" in request.body + request.path.encode()
    assert b"public/model" not in request.body


def test_request_carries_the_output_cap(adapter: Adapter) -> None:
    assert b"77" in adapter.request(order(BODY)).body


def test_request_carries_none_of_the_routers_own_fields(adapter: Adapter) -> None:
    sent = orjson.loads(adapter.request(order(BODY)).body)
    assert {"models", "provider", "usage"} & set(sent) == set()


def test_request_carries_the_secret_in_a_header_alone(adapter: Adapter) -> None:
    request = adapter.request(order(BODY))
    assert SECRET not in request.path
    assert SECRET.encode() not in request.body
    assert [SECRET in value for _name, value in request.headers].count(True) == 1


def test_request_without_a_secret_has_no_credential_at_all(adapter: Adapter) -> None:
    names = {name.lower() for name, _value in adapter.request(order(BODY, secret="")).headers}
    assert names & {"authorization", "x-api-key", "api-key"} == set()


def test_request_asks_for_an_answer_that_is_not_compressed(adapter: Adapter) -> None:
    assert ("accept-encoding", "identity") in adapter.request(order(BODY)).headers


def test_request_has_an_absolute_path_and_lower_case_headers_once_each(adapter: Adapter) -> None:
    request = adapter.request(order(BODY))
    names = [name for name, _value in request.headers]
    assert request.path.startswith("/")
    assert names == sorted(set(names), key=names.index) == [name.lower() for name in names]


# --- answers ---------------------------------------------------------------------------------------------------------


def test_answer_is_a_canonical_completion(adapter: Adapter, examples: Examples) -> None:
    (choice,) = adapter.answer(examples.answer)["choices"]
    assert choice["message"]["content"] == "hi"


def test_event_is_a_canonical_chunk(adapter: Adapter, examples: Examples) -> None:
    (choice,) = adapter.event(examples.event)["choices"]
    assert choice["delta"]["content"] == "hi"


@pytest.mark.parametrize("place", range(len(CANONICAL.malformed)))
def test_what_is_no_answer_is_malformed(adapter: Adapter, examples: Examples, place: int) -> None:
    with pytest.raises(MalformedAnswer):
        adapter.answer(examples.malformed[place % len(examples.malformed)])
    with pytest.raises(MalformedAnswer):
        adapter.event(examples.malformed[place % len(examples.malformed)])


# --- usage -----------------------------------------------------------------------------------------------------------


def test_usage_is_counted_by_kind(adapter: Adapter, examples: Examples) -> None:
    assert adapter.usage(examples.usage) == examples.counted


@pytest.mark.parametrize("garbage", [None, 5, "x", [], {}, {"prompt_tokens": -1}, True], ids=str)
def test_usage_that_cannot_be_is_none(adapter: Adapter, garbage: Any) -> None:
    assert adapter.usage(garbage) is None


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (400, "content_refused"),
        (413, "content_refused"),
        (422, "content_refused"),
        (401, "key_refused"),
        (402, "key_refused"),
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
    refusal = adapter.refusal(status, {}, body, order(BODY))
    assert refusal.meaning == meaning
    assert refusal.type in {"invalid_request_error", "server_error"}


def test_refusal_of_the_content_always_says_something(adapter: Adapter) -> None:
    assert adapter.refusal(400, {}, b"", order(BODY)).message


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("1.5", 1.5), ("-1", None), ("soon", None), ("nan", None), ("inf", None)],
)
def test_rest_is_as_long_as_the_upstream_says(adapter: Adapter, header: str, seconds: float | None) -> None:
    assert adapter.refusal(429, {b"retry-after": header.encode()}, b"", order(BODY)).retry_after == seconds


@pytest.mark.parametrize("place", ["message", "code", "type", "param"])
def test_no_refusal_shows_the_tenant_whose_upstream_it_is(adapter: Adapter, place: str) -> None:
    words = f"key {SECRET} at https://{HOST}:8443/v1 of org-canary1 (user-canary2, ops@{HOST}), 10.1.2.3:99, model-x"
    refusal = adapter.refusal(400, {}, orjson.dumps({"error": {"message": "bad", place: words}}), order(BODY))
    shown = f"{refusal.message} {refusal.code} {refusal.type} {refusal.param}"
    found = [word for word in (SECRET, HOST, "canary", "10.1.2.3", "ops@") if word in shown]
    assert found == []
