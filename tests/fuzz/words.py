"""Values that bodies are made of: good ones, wrong ones, and those that break parsers."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

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

_texts = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=20),
    st.text(alphabet=st.characters(exclude_categories=()), max_size=5),  # lone surrogates too
    st.sampled_from(["\0", "\ud800", "a\r\nb", "\u202e", "'; --", "%s%n", "{{7*7}}", "../..", "x" * 3000, "1e999"]),
)


@st.composite
def _any_text(draw: st.DrawFn) -> str:
    return draw(_texts)


texts = _any_text()
"""By a name of its own, or what is made of it has no end when it is shown."""
numbers = st.one_of(
    st.integers(-3, 300),
    st.integers(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**19, 10**40, -0.0, 1e308, 5e-324]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
_values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(NAMES), texts), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def _any_value(draw: st.DrawFn) -> Any:
    return draw(_values)


values = _any_value()
