"""Whatever a client of Google's sends is read, or refused in words; nothing else happens."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.errors import InvalidRequest
from routing.endpoints.generate import GENERATE
from routing.providers.base import Options
from routing.providers.gemini import GEMINI

NAMES = [
    "contents", "parts", "role", "text", "thought", "thoughtSignature", "thought_signature", "inlineData", "mimeType",
    "mime_type", "data", "fileData", "fileUri", "functionCall", "functionResponse", "name", "id", "args", "response",
    "systemInstruction", "system_instruction", "tools", "functionDeclarations", "parameters", "parametersJsonSchema",
    "toolConfig", "functionCallingConfig", "mode", "allowedFunctionNames", "safetySettings", "threshold",
    "generationConfig", "generation_config", "temperature", "topK", "stopSequences", "responseSchema", "candidateCount",
    "responseMimeType", "thinkingConfig", "thinkingBudget", "thinkingLevel", "models", "provider", "stream", "isList",
    "cachedContent", "serviceTier", "x", "_", "a_", "__a__",
]  # fmt: skip
WORDS = [
    "user", "model", "function", "system", "ANY", "VALIDATED", "application/json", "image/png", "application/pdf",
    "BLOCK_NONE", "f", "https://x.example/a", "AAAA", "_-8=", "OBJECT", "HIGH", "",
]  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3000), st.sampled_from([2**31, 2**63, 0.5, 1e308]), st.sampled_from(WORDS)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)),
    max_leaves=10,
)
parts = st.fixed_dictionaries(
    {},
    optional={
        "text": st.one_of(st.sampled_from(WORDS), values),
        "thought": st.one_of(st.booleans(), values),
        "thoughtSignature": st.one_of(st.sampled_from(WORDS), values),
        "inlineData": st.one_of(
            st.fixed_dictionaries({"mimeType": st.sampled_from(WORDS), "data": st.sampled_from(WORDS)}), values
        ),
        "functionCall": st.one_of(st.fixed_dictionaries({"name": st.just("f"), "args": values}), values),
        "functionResponse": st.one_of(
            st.fixed_dictionaries({"name": st.just("f"), "response": st.dictionaries(st.just("output"), values)}),
            values,
        ),
    },
)
contents = st.fixed_dictionaries(
    {"parts": st.one_of(st.lists(parts, max_size=3), parts)},
    optional={"role": st.sampled_from(["user", "model", "function", "system", "other", None])},
)
bodies = st.fixed_dictionaries(
    {"contents": st.one_of(st.lists(contents, max_size=4), contents, values)},
    optional={name: values for name in NAMES if name != "contents"},
)


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(bodies)
def test_body_is_read_or_refused_in_words(body: dict[str, Any]) -> None:
    (form,) = GENERATE.over
    asked = {**body, "model": "m"}
    said: Mapping[str, Any] = {"messages": ["none"]}
    with contextlib.suppress(InvalidRequest):
        said = form.body(GENERATE.read(asked), asked)
        GEMINI.lacks("chat.completions", said, Options())
        orjson.dumps(said)
    assert said["messages"]
