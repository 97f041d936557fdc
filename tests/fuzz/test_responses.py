"""Whatever comes to the Responses API: no 5xx, every error in the envelope, nothing left held, the books right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.endpoints.responses.schema import ITEMS
from tests.callers import Caller
from tests.fuzz.test_bodies import PROFILES, assert_answered_or_refused, texts, values
from tests.installation import SINGLE
from tests.responding import PATH
from tests.worlds import World

NAMES = [
    "instructions", "tools", "tool_choice", "parallel_tool_calls", "max_output_tokens", "temperature", "top_p",
    "top_logprobs", "text", "reasoning", "include", "store", "stream", "stream_options", "truncation", "service_tier",
    "metadata", "user", "previous_response_id", "conversation", "background", "prompt", "models", "provider", "x", "",
]  # fmt: skip
KINDS = [*ITEMS, "item_reference", "local_shell_call", "compaction_trigger", ""]
PARTS = ["input_text", "output_text", "input_image", "input_file", "input_audio", "refusal", "x"]
TOOLS = ["function", "custom", "namespace", "tool_search", "web_search", "local_shell", "shell", "mcp", ""]

parts = st.fixed_dictionaries(
    {"type": st.sampled_from(PARTS)},
    optional={name: st.one_of(texts, values) for name in ("text", "image_url", "file_data", "file_url", "refusal")},
)
tools = st.recursive(
    st.fixed_dictionaries(
        {"type": st.sampled_from(TOOLS), "name": texts},
        optional={"parameters": values, "execution": st.just("client"), "format": values, "strict": values,
                  "external_web_access": st.booleans(), "environment": values},
    ),
    lambda inner: st.fixed_dictionaries(
        {"type": st.just("namespace"), "name": texts, "tools": st.lists(inner, max_size=2)}
    ),
    max_leaves=4,
)  # fmt: skip
items = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(KINDS),
        "role": st.sampled_from(["user", "assistant", "system", "developer", "tool"]),
        "content": st.one_of(texts, st.lists(parts, max_size=3), values),
        "output": st.one_of(texts, st.lists(parts, max_size=3), values),
        "call_id": st.one_of(st.just("c"), texts),
        "name": texts,
        "namespace": texts,
        "arguments": st.one_of(texts, values),
        "input": texts,
        "summary": st.one_of(st.just([]), values),
        "encrypted_content": st.one_of(st.just("cr1.WzFd"), texts),
        "tools": st.one_of(st.lists(tools, max_size=3), values),
    },
)
VALID: dict[str, st.SearchStrategy[Any]] = {
    "instructions": texts,
    "tools": st.lists(tools, max_size=3),
    "tool_choice": st.one_of(
        st.sampled_from(["auto", "none", "required"]),
        st.fixed_dictionaries({"type": st.sampled_from([*TOOLS, "allowed_tools"])},
                              optional={"name": texts, "tools": st.lists(tools, max_size=2), "mode": texts}),
    ),
    "max_output_tokens": st.integers(16, 200),
    "text": st.fixed_dictionaries(
        {}, optional={"format": st.fixed_dictionaries({"type": st.sampled_from(["text", "json_schema"])},
                                                      optional={"name": texts, "schema": values})}),
    "reasoning": st.fixed_dictionaries({}, optional={"effort": st.just("low"), "summary": st.just("auto")}),
    "include": st.lists(texts, max_size=2),
    "stream": st.booleans(),
    "metadata": st.dictionaries(texts, texts, max_size=2),
}  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn, model: str) -> bytes:
    """A request that is nearly valid."""
    body: dict[str, Any] = {"model": model, "input": draw(st.one_of(st.lists(items, max_size=4), texts, values))}
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=5)):
        body[name] = draw(st.one_of(VALID.get(name, values), values))
    return json.dumps(body).encode()


@pytest.fixture(scope="module")
def caller(shared_world: World) -> Caller:
    return shared_world.caller(funds="1000000")


@pytest.fixture(scope="module")
def model(shared_world: World) -> str:
    return shared_world.offer(SINGLE).name


@pytest.fixture(autouse=True)
def _books(shared_world: World) -> Iterator[None]:
    yield
    shared_world.installation.assert_books()


@pytest.mark.parametrize("profile", PROFILES)
def test_any_body_gets_an_answer_or_a_refusal_in_the_envelope(caller: Caller, model: str, profile: str) -> None:
    @settings(settings.get_profile(profile), suppress_health_check=list(HealthCheck))
    @given(bodies(model))
    def check(body: bytes) -> None:
        response = caller.client.post(PATH, content=body, headers={"content-type": "application/json"})
        assert_answered_or_refused(response)

    check()
    assert caller.client.post(PATH, json={"model": model, "input": "a"}).status_code == 200
