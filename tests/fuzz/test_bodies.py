"""Whatever a client sends: no 5xx, no HTML, every error in the envelope, nothing left held, the books right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import schemas
from tests.callers import MESSAGES, PATH, Caller
from tests.installation import SINGLE
from tests.worlds import World

NAMES = [
    "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "stop", "stream",
    "stream_options", "logprobs", "top_logprobs", "logit_bias", "frequency_penalty", "presence_penalty", "seed",
    "response_format", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "modalities",
    "audio", "prediction", "web_search_options", "reasoning_effort", "verbosity", "service_tier", "store", "metadata",
    "user", "safety_identifier", "prompt_cache_key", "models", "provider", "usage", "transforms", "api_key", "x", "",
]  # fmt: skip
WORDS = [
    "user", "system", "assistant", "tool", "developer", "function", "text", "image_url", "input_audio", "auto", "none",
    "required", "json_schema", "json_object", "flex", "default", "price", "call_1", "f", "get_weather",
]  # fmt: skip

texts = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=20),
    st.text(alphabet=st.characters(exclude_categories=()), max_size=5),  # lone surrogates too
    st.sampled_from(["\0", "\ud800", "a\r\nb", "\u202e", "'; --", "%s%n", "{{7*7}}", "../..", "x" * 3000, "1e999"]),
)
numbers = st.one_of(
    st.integers(-3, 300),
    st.integers(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**19, 10**40, -0.0, 1e308, 5e-324]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(NAMES), texts), inner, max_size=4)
    ),
    max_leaves=12,
)
parts = st.fixed_dictionaries(
    {},
    optional={
        "type": st.one_of(st.sampled_from(["text", "image_url", "input_audio", "file", "refusal"]), values),
        "text": values,
        "image_url": st.one_of(st.fixed_dictionaries({"url": texts}), values),
        "input_audio": values,
    },
)
calls = st.fixed_dictionaries(
    {"id": texts, "type": st.just("function")},
    optional={"function": st.one_of(st.fixed_dictionaries({"name": texts, "arguments": texts}), values)},
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "role": st.one_of(st.sampled_from(WORDS[:6]), values),
        "content": st.one_of(texts, st.lists(parts, max_size=3), values),
        "name": values,
        "tool_calls": st.one_of(st.lists(calls, max_size=2), values),
        "tool_call_id": texts,
    },
)
tools = st.fixed_dictionaries(
    {},
    optional={
        "type": st.one_of(st.just("function"), values),
        "function": st.one_of(
            st.fixed_dictionaries({"name": texts}, optional={"parameters": values, "strict": values}), values
        ),
    },
)
VALID: dict[str, st.SearchStrategy[Any]] = {
    "max_tokens": st.integers(1, 200),
    "max_completion_tokens": st.integers(1, 200),
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1),
    "n": st.integers(1, 5),
    "stop": st.one_of(texts, st.lists(texts, max_size=6)),
    "stream": st.booleans(),
    "stream_options": st.fixed_dictionaries({}, optional={"include_usage": st.one_of(st.booleans(), values)}),
    "logit_bias": st.dictionaries(texts, numbers, max_size=3),
    "metadata": st.dictionaries(texts, texts, max_size=3),
    "response_format": st.fixed_dictionaries({"type": st.sampled_from(WORDS)}, optional={"json_schema": values}),
    "tools": st.lists(tools, max_size=3),
    "tool_choice": st.one_of(st.sampled_from(WORDS), values),
    "models": st.lists(texts, max_size=3),
    "provider": st.dictionaries(
        st.sampled_from(["order", "only", "ignore", "sort", "max_price", "max_cost", "allow_fallbacks", "zdr"]),
        values,
        max_size=3,
    ),
}


@dataclass(frozen=True)
class Subject:
    """An endpoint whose bodies are fuzzed: where it is, what its requests look like, and how it refuses."""

    path: str
    names: list[str]
    valid: dict[str, st.SearchStrategy[Any]]
    turns: st.SearchStrategy[Any]
    """One message of a conversation."""
    refusal: dict[str, Any]
    """The schema of its envelope."""
    needed: dict[str, Any] = field(default_factory=dict)
    """What a request must have besides its model and messages."""

    def body(self, model: str) -> dict[str, Any]:
        return {"model": model, "messages": MESSAGES, **self.needed}

    def post(self, caller: Caller, content: bytes, **headers: str) -> httpx.Response:
        headers = {"content-type": "application/json", **headers}
        return caller.client.post(self.path, content=content, headers=headers)


CHAT: Final = Subject(PATH, NAMES, VALID, messages, schemas.ERROR)

kinds = ["text", "image", "document", "search_result", "tool_use", "tool_result", "thinking", "redacted_thinking"]
sources = st.fixed_dictionaries(
    {"type": st.sampled_from(["base64", "url", "text", "content", "file"])},
    optional={"media_type": texts, "data": texts, "url": texts, "content": values},
)
blocks = st.recursive(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts}),
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(kinds)},
        optional={
            "text": texts,
            "source": st.one_of(sources, values),
            "title": texts,
            "id": st.just("call_1"),
            "name": texts,
            "input": st.dictionaries(texts, values, max_size=2),
            "tool_use_id": st.just("call_1"),
            "content": st.one_of(texts, st.lists(inner, max_size=3), values),
            "is_error": st.booleans(),
            "thinking": texts,
            "signature": texts,
            "data": texts,
            "citations": values,
            "cache_control": st.one_of(st.just({"type": "ephemeral"}), values),
        },
    ),
    max_leaves=6,
)
MESSAGES_SUBJECT: Final = Subject(
    path="/v1/messages",
    names=["model", "messages", "max_tokens", "system", "tools", "tool_choice", "thinking", "output_config",
           "output_format", "context_management", "metadata", "stop_sequences", "stream", "temperature", "top_p",
           "top_k", "service_tier", "speed", "inference_geo", "container", "mcp_servers", "n", "models",
           "provider", "x", ""],
    valid={
        "max_tokens": st.integers(1, 40_000),
        "system": st.one_of(texts, st.lists(blocks, max_size=2)),
        "tools": st.lists(
            st.fixed_dictionaries(
                {"name": texts},
                optional={
                    "input_schema": st.one_of(st.just({"type": "object"}), values),
                    "type": st.sampled_from(["custom", "bash_20250124", "web_search_20250305", "x"]),
                    "input_examples": values,
                    "cache_control": values,
                },
            ),
            max_size=3,
        ),
        "tool_choice": st.fixed_dictionaries(
            {"type": st.sampled_from(["auto", "any", "tool", "none"])}, optional={"name": texts}
        ),
        "thinking": st.fixed_dictionaries(
            {"type": st.sampled_from(["enabled", "adaptive", "disabled", "x"])},
            optional={"budget_tokens": numbers, "display": texts},
        ),
        "output_config": st.fixed_dictionaries(
            {}, optional={"effort": texts, "format": st.dictionaries(st.sampled_from(["type", "schema"]), values)}
        ),
        "context_management": st.fixed_dictionaries({"edits": st.lists(st.fixed_dictionaries({"type": texts}))}),
        "metadata": st.fixed_dictionaries({}, optional={"user_id": texts}),
        "stop_sequences": st.lists(texts, max_size=4),
        "stream": st.booleans(),
        "temperature": st.floats(0, 1),
    },
    turns=st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"])},
        optional={"content": st.one_of(texts, st.lists(blocks, max_size=3), values)},
    ),
    refusal={
        "type": "object",
        "required": ["type", "error", "request_id"],
        "properties": {
            "type": {"const": "error"},
            "request_id": {"type": "string", "pattern": "^req_"},
            "error": {
                "type": "object",
                "required": ["type", "message"],
                "properties": {"type": {"type": "string"}, "message": {"type": "string", "minLength": 1}},
            },
        },
        "additionalProperties": False,
    },
    needed={"max_tokens": 50},
)  # fmt: skip
SUBJECTS: Final = {"chat": CHAT, "messages": MESSAGES_SUBJECT}


@st.composite
def requests(draw: st.DrawFn, model: str, subject: Subject) -> bytes:
    """A request that is nearly valid: a good frame, and members of the right or the wrong kind."""
    body: dict[str, Any] = {
        **subject.needed,
        "model": draw(st.one_of(st.just(model), st.just(model), st.just(model), values)),
        "messages": draw(
            st.one_of(st.lists(subject.turns, max_size=4), st.just([{"role": "user", "content": "a"}]), values)
        ),
    }
    for name in draw(st.lists(st.sampled_from(subject.names), max_size=5)):
        body[name] = draw(st.one_of(subject.valid.get(name, values), values))
    if draw(st.booleans()):
        body["model"] = model
    return json.dumps(body).encode()  # NaN, Infinity and surrogate escapes as they are


@st.composite
def mutations(draw: st.DrawFn, model: str, subject: Subject) -> bytes:
    """The text of a request with pieces cut, doubled or overwritten."""
    raw = bytearray(draw(requests(model, subject)))
    for _count in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(raw) - 1)))
        stop = min(len(raw), start + draw(st.integers(0, 12)))
        piece = draw(
            st.one_of(
                st.binary(max_size=6),
                st.just(bytes(raw[start:stop]) * 2),
                st.sampled_from(
                    [b'"', b"{", b"}", b"[" * 40, b",", b"\\u0000", b"\\ud800", b"9" * 30, b"1e999", b"NaN"]
                ),
            )
        )
        raw[start:stop] = piece
    return bytes(raw)


@st.composite
def doubled(draw: st.DrawFn, model: str, subject: Subject) -> bytes:
    """A request with members named twice, nested deeply, or very wide."""
    name, value = draw(st.sampled_from(subject.names)), draw(values)
    depth = draw(st.sampled_from([1, 5, 63, 64, 65, 980, 2000]))
    nested = "[" * depth + json.dumps(value) + "]" * depth
    width = draw(st.sampled_from([1, 10, 190_000, 210_000]))
    members = [
        f'"model": {json.dumps(model)}',
        '"messages": [{"role": "user", "content": "a"}]',
        *(f"{json.dumps(each)}: {json.dumps(given)}" for each, given in subject.needed.items()),
        f"{json.dumps(name)}: {nested}",
        f'"wide": [{",".join(["0"] * width)}]',
    ]
    members += draw(st.lists(st.sampled_from(members), max_size=1))
    return ("{" + ", ".join(draw(st.permutations(members))) + "}").encode()


def raw_bytes(_model: str, _subject: Subject) -> st.SearchStrategy[bytes]:
    return st.one_of(st.binary(max_size=300), values.map(lambda value: json.dumps(value).encode()))


@pytest.fixture(scope="module")
def caller(shared_world: World) -> Caller:
    return shared_world.caller(funds="1000000")


@pytest.fixture(scope="module")
def model(shared_world: World) -> str:
    return shared_world.offer(SINGLE).name


@pytest.fixture(autouse=True)
def _books(shared_world: World) -> Iterator[None]:
    """After each rig: nothing is held and every balance adds up."""
    yield
    shared_world.installation.assert_books()


RIGS = {"raw bytes": raw_bytes, "near valid": requests, "mutated": mutations, "doubled, deep or wide": doubled}
PROFILES = [
    pytest.param("short", id="short"),
    pytest.param("long", id="long", marks=pytest.mark.fuzz),
]


each_subject = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS.keys())


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("rig", RIGS.values(), ids=RIGS.keys())
@each_subject
def test_any_body_gets_an_answer_or_a_refusal_in_the_envelope(
    caller: Caller, model: str, subject: Subject, rig: Callable[[str, Subject], st.SearchStrategy[bytes]], profile: str
) -> None:
    @settings(settings.get_profile(profile), suppress_health_check=list(HealthCheck))
    @given(rig(model, subject))
    def check(body: bytes) -> None:
        assert_answered_or_refused(subject.post(caller, body), subject)

    check()
    assert caller.client.post(subject.path, json=subject.body(model)).status_code == 200


def assert_answered_or_refused(response: httpx.Response, subject: Subject = CHAT) -> None:
    """A whole answer, or a client's error in the envelope."""
    assert response.status_code < 500, response.text
    assert response.headers["x-request-id"]
    assert "<html" not in response.text.lower()
    if response.status_code == 200:
        return
    assert response.headers["content-type"].partition(";")[0] == "application/json"
    assert schemas.faults(subject.refusal, response.json()) == []


HEADERS = st.dictionaries(
    st.sampled_from(
        ["content-type", "content-encoding", "accept", "accept-encoding", "cookie", "idempotency-key", "x-request-id",
         "x-costrouter-explain", "openai-organization", "origin", "user-agent", "x-forwarded-for", "expect", "range"]
    ),
    st.one_of(
        st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40),
        st.sampled_from(["application/json", "gzip", "identity", "*/*", "text/html", "true", "bytes=0-1", "a" * 4000]),
    ),
    max_size=5,
)  # fmt: skip


@pytest.mark.parametrize("profile", PROFILES)
@each_subject
def test_any_headers_get_an_answer_or_a_refusal_in_the_envelope(
    caller: Caller, model: str, subject: Subject, profile: str
) -> None:
    body = json.dumps(subject.body(model)).encode()

    @settings(settings.get_profile(profile), suppress_health_check=list(HealthCheck))
    @given(HEADERS.filter(lambda headers: "expect" not in headers))
    def check(headers: dict[str, str]) -> None:
        assert_answered_or_refused(subject.post(caller, body, **headers), subject)

    check()


@pytest.mark.parametrize("profile", PROFILES)
@each_subject
def test_any_key_is_served_or_refused_in_the_envelope(
    caller: Caller, model: str, subject: Subject, profile: str
) -> None:
    letters = st.characters(min_codepoint=33, max_codepoint=255, exclude_categories=["Cc"])
    keys = st.text(alphabet=letters, min_size=1, max_size=80)

    @settings(settings.get_profile(profile), suppress_health_check=list(HealthCheck))
    @given(keys)
    def check(key: str) -> None:
        body = json.dumps(subject.body(model)).encode()
        headers = {"authorization": b"Bearer " + key.encode("latin-1"), "content-type": b"application/json"}
        response = caller.client.post(subject.path, content=body, headers=headers)  # type: ignore[arg-type]
        assert response.status_code == 401
        assert_answered_or_refused(response, subject)

    check()
