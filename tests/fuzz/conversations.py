"""Bodies of the endpoints that converse: chat, messages, responses, generateContent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from hypothesis import strategies as st

from routing.endpoints.responses.schema import ITEMS
from tests.callers import MESSAGES, PATH
from tests.fuzz.subjects import OF_ANTHROPIC, OF_GOOGLE, Subject
from tests.fuzz.words import WORDS, numbers, texts, values

_plain = st.fixed_dictionaries({"role": st.sampled_from(["user", "user", "assistant"]), "content": texts})
"""One turn of whichever conversation."""

# --- chat ------------------------------------------------------------------------------------------------------------

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
_VALID: dict[str, st.SearchStrategy[Any]] = {
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
}  # fmt: skip
CHAT: Final = Subject(
    path=PATH,
    frame={"messages": st.one_of(st.lists(_plain, min_size=1, max_size=4), st.lists(messages, max_size=4))},
    smallest={"messages": MESSAGES},
    valid=_VALID,
    odd=[
        "logprobs",
        "top_logprobs",
        "frequency_penalty",
        "presence_penalty",
        "seed",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "modalities",
        "audio",
        "prediction",
        "web_search_options",
        "reasoning_effort",
        "verbosity",
        "service_tier",
        "store",
        "user",
        "safety_identifier",
        "prompt_cache_key",
    ],
)

# --- Anthropic's messages ---------------------------------------------------------------------------------------------

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
turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"])},
    optional={"content": st.one_of(texts, st.lists(blocks, max_size=3), values)},
)
_OF_MESSAGES: dict[str, st.SearchStrategy[Any]] = {
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
}
MESSAGES_SUBJECT: Final = Subject(
    path="/v1/messages",
    frame={
        "max_tokens": st.integers(1, 40_000),
        "messages": st.one_of(st.lists(_plain, min_size=1, max_size=4), st.lists(turns, max_size=4)),
    },
    smallest={"messages": MESSAGES, "max_tokens": 50},
    valid=_OF_MESSAGES,
    odd=["output_format", "top_p", "top_k", "service_tier", "speed", "inference_geo", "container", "mcp_servers"],
    refusal=OF_ANTHROPIC,
)
COUNT_TOKENS: Final = replace(
    MESSAGES_SUBJECT,
    path="/v1/messages/count_tokens",
    frame={"messages": MESSAGES_SUBJECT.frame["messages"]},
    smallest={"messages": MESSAGES},
)

# --- the Responses API ------------------------------------------------------------------------------------------------

_KINDS = [*ITEMS, "item_reference", "local_shell_call", "compaction_trigger", ""]
_PARTS = ["input_text", "output_text", "input_image", "input_file", "input_audio", "refusal", "x"]
_TOOLS = ["function", "custom", "namespace", "tool_search", "web_search", "local_shell", "shell", "mcp", ""]

response_parts = st.fixed_dictionaries(
    {"type": st.sampled_from(_PARTS)},
    optional={name: st.one_of(texts, values) for name in ("text", "image_url", "file_data", "file_url", "refusal")},
)
response_tools = st.recursive(
    st.fixed_dictionaries(
        {"type": st.sampled_from(_TOOLS), "name": texts},
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
        "type": st.sampled_from(_KINDS),
        "role": st.sampled_from(["user", "assistant", "system", "developer", "tool"]),
        "content": st.one_of(texts, st.lists(response_parts, max_size=3), values),
        "output": st.one_of(texts, st.lists(response_parts, max_size=3), values),
        "call_id": st.one_of(st.just("c"), texts),
        "name": texts,
        "namespace": texts,
        "arguments": st.one_of(texts, values),
        "input": texts,
        "summary": st.one_of(st.just([]), values),
        "encrypted_content": st.one_of(st.just("cr1.WzFd"), texts),
        "tools": st.one_of(st.lists(response_tools, max_size=3), values),
    },
)
_OF_RESPONSES: dict[str, st.SearchStrategy[Any]] = {
    "instructions": texts,
    "tools": st.lists(response_tools, max_size=3),
    "tool_choice": st.one_of(
        st.sampled_from(["auto", "none", "required"]),
        st.fixed_dictionaries({"type": st.sampled_from([*_TOOLS, "allowed_tools"])},
                              optional={"name": texts, "tools": st.lists(response_tools, max_size=2), "mode": texts}),
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
RESPONSES: Final = Subject(
    path="/v1/responses",
    frame={"input": st.one_of(texts, st.lists(_plain, min_size=1, max_size=4), st.lists(items, max_size=4))},
    smallest={"input": "a"},
    valid=_OF_RESPONSES,
    odd=[
        "parallel_tool_calls",
        "temperature",
        "top_p",
        "top_logprobs",
        "store",
        "stream_options",
        "truncation",
        "service_tier",
        "user",
        "previous_response_id",
        "conversation",
        "background",
        "prompt",
    ],
)

# --- Google's generateContent -----------------------------------------------------------------------------------------

_data = st.sampled_from(["", "QUJD", "not base64"])
_media = st.sampled_from(["image/png", "application/pdf", "text/plain", "audio/wav", "IMAGE/png", ""])
_google_part = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "text": texts,
            "thought": st.booleans(),
            "thoughtSignature": texts,
            "inlineData": st.one_of(st.fixed_dictionaries({"mimeType": _media, "data": _data}), values),
            "fileData": st.fixed_dictionaries(
                {"fileUri": st.one_of(st.just("https://a.example/b.png"), texts)}, optional={"mimeType": _media}
            ),
            "functionCall": st.fixed_dictionaries(
                {"name": st.one_of(st.just("f"), texts)},
                optional={"id": texts, "args": st.dictionaries(texts, values, max_size=2)},
            ),
            "executableCode": values,
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {
            "functionResponse": st.fixed_dictionaries(
                {"name": st.one_of(st.just("f"), texts), "response": st.dictionaries(texts, values, max_size=2)},
                optional={"id": texts, "parts": st.lists(inner, max_size=2)},
            )
        }
    ),
    max_leaves=3,
)
_content = st.one_of(
    st.fixed_dictionaries(
        {"parts": st.one_of(st.lists(_google_part, max_size=3), _google_part)},
        optional={"role": st.sampled_from(["user", "model", "function", "system", "x", ""])},
    ),
    st.fixed_dictionaries({"parts": st.lists(st.fixed_dictionaries({"text": texts}), min_size=1, max_size=2)}),
)
_schema = st.recursive(
    st.fixed_dictionaries({"type": st.sampled_from(["OBJECT", "string", "ARRAY", "x"])}, optional={"enum": values}),
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["OBJECT", "ARRAY"])},
        optional={"properties": st.dictionaries(texts, inner, max_size=2), "items": inner, "anyOf": st.lists(inner)},
    ),
    max_leaves=4,
)
_declared = st.fixed_dictionaries(
    {"name": st.one_of(st.just("f"), texts)},
    optional={"description": texts, "parameters": st.one_of(_schema, values), "parametersJsonSchema": values},
)
_config = st.fixed_dictionaries(
    {},
    optional={
        "temperature": numbers,
        "topP": numbers,
        "topK": numbers,
        "top_k": numbers,
        "seed": numbers,
        "maxOutputTokens": st.integers(1, 200),
        "candidateCount": st.integers(0, 9),
        "stopSequences": st.lists(texts, max_size=6),
        "responseMimeType": st.sampled_from(["application/json", "text/plain", "text/x.enum", "x"]),
        "responseSchema": st.one_of(_schema, values),
        "responseJsonSchema": values,
        "responseLogprobs": values,
        "logprobs": numbers,
        "presencePenalty": numbers,
        "thinkingConfig": st.fixed_dictionaries(
            {}, optional={"includeThoughts": st.booleans(), "thinkingBudget": numbers, "thinkingLevel": texts}
        ),
        "responseModalities": st.lists(texts, max_size=2),
        "speechConfig": values,
        "mediaResolution": texts,
    },
)
_GENERATED: dict[str, st.SearchStrategy[Any]] = {
    "systemInstruction": _content,
    "system_instruction": _content,
    "generationConfig": _config,
    "generation_config": _config,
    "tools": st.lists(
        st.one_of(
            st.fixed_dictionaries({"functionDeclarations": st.lists(_declared, max_size=3)}),
            st.fixed_dictionaries({"googleSearch": st.just({})}),
            values,
        ),
        max_size=3,
    ),
    "toolConfig": st.fixed_dictionaries(
        {},
        optional={
            "functionCallingConfig": st.fixed_dictionaries(
                {},
                optional={
                    "mode": st.sampled_from(["AUTO", "ANY", "NONE", "x"]), "allowedFunctionNames": st.lists(texts)
                },
            )
        },
    ),
    "safetySettings": st.lists(st.fixed_dictionaries({"category": texts, "threshold": texts}), max_size=2),
    "cachedContent": texts,
    "serviceTier": texts,
    "labels": values,
    "stream": st.booleans(),
    "isList": values,
}  # fmt: skip
GENERATE: Final = Subject(
    path="/v1beta/models/{model}:generateContent",
    frame={"contents": st.one_of(st.lists(_content, min_size=1, max_size=3), _content)},
    smallest={"contents": [{"parts": [{"text": "Hi"}]}]},
    valid=_GENERATED,
    refusal=OF_GOOGLE,
)
STREAMED: Final = replace(GENERATE, path="/v1beta/models/{model}:streamGenerateContent?alt=sse")
LISTED: Final = replace(GENERATE, path="/v1/models/{model}:streamGenerateContent")
COUNTED: Final = replace(
    GENERATE,
    path="/v1beta/models/{model}:countTokens",
    valid={
        **_GENERATED,
        "generateContentRequest": st.one_of(
            st.fixed_dictionaries({"contents": st.lists(_content, max_size=2)}, optional=_GENERATED), values
        ),
    },
)
