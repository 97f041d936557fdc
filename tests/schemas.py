"""What the public OpenAPI document of OpenAI (2.3.0) requires of answers, chunks, an error and a list of models.

Written as JSON Schema 2020-12 from the document's required members and types; extra members are allowed, as there.
"""

from __future__ import annotations

from typing import Any, Final

from jsonschema import Draft202012Validator

_TEXT: Final = {"type": "string"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_COUNT: Final = {"type": "integer", "minimum": 0}
_FINISH: Final = ["stop", "length", "tool_calls", "content_filter", "function_call"]


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


_LOGPROBS: Final = {
    "anyOf": [_object({"content": {"type": ["array", "null"]}, "refusal": {"type": ["array", "null"]}}, "content",
                      "refusal"), {"type": "null"}]
}  # fmt: skip
USAGE: Final = _object(
    {
        "prompt_tokens": _COUNT,
        "completion_tokens": _COUNT,
        "total_tokens": _COUNT,
        "prompt_tokens_details": _object({"cached_tokens": _COUNT, "audio_tokens": _COUNT}),
        "completion_tokens_details": _object({"reasoning_tokens": _COUNT, "audio_tokens": _COUNT}),
        "cost": {"type": "number", "minimum": 0},
    },
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
)
_TOOL_CALL: Final = _object(
    {
        "id": _TEXT,
        "type": {"const": "function"},
        "function": _object({"name": _TEXT, "arguments": _TEXT}, "name", "arguments"),
    },
    "id",
    "type",
    "function",
)
_TOOL_CALL_PIECE: Final = _object(
    {
        "index": _COUNT,
        "id": _TEXT,
        "type": {"const": "function"},
        "function": _object({"name": _TEXT, "arguments": _TEXT}),
    },
    "index",
)
COMPLETION: Final = _object(
    {
        "id": {"type": "string", "pattern": "^chatcmpl-[0-9a-f]{32}$"},
        "object": {"const": "chat.completion"},
        "created": {"type": "integer"},
        "model": _TEXT,
        "service_tier": _TEXT_OR_NULL,
        "system_fingerprint": _TEXT,
        "usage": USAGE,
        "choices": {
            "type": "array",
            "minItems": 1,
            "items": _object(
                {
                    "index": _COUNT,
                    "finish_reason": {"enum": _FINISH},
                    "logprobs": _LOGPROBS,
                    "message": _object(
                        {
                            "role": {"const": "assistant"},
                            "content": _TEXT_OR_NULL,
                            "refusal": _TEXT_OR_NULL,
                            "tool_calls": {"type": "array", "items": _TOOL_CALL},
                        },
                        "role",
                        "content",
                        "refusal",
                    ),
                },
                "index",
                "finish_reason",
                "logprobs",
                "message",
            ),
        },
    },
    "id",
    "object",
    "created",
    "model",
    "choices",
)
CHUNK: Final = _object(
    {
        "id": {"type": "string", "pattern": "^chatcmpl-[0-9a-f]{32}$"},
        "object": {"const": "chat.completion.chunk"},
        "created": {"type": "integer"},
        "model": _TEXT,
        "usage": {"anyOf": [USAGE, {"type": "null"}]},
        "choices": {
            "type": "array",
            "items": _object(
                {
                    "index": _COUNT,
                    "finish_reason": {"enum": [*_FINISH, None]},
                    "logprobs": _LOGPROBS,
                    "delta": _object(
                        {
                            "role": {"enum": ["developer", "system", "user", "assistant", "tool"]},
                            "content": _TEXT_OR_NULL,
                            "refusal": _TEXT_OR_NULL,
                            "tool_calls": {"type": "array", "items": _TOOL_CALL_PIECE},
                        }
                    ),
                },
                "index",
                "finish_reason",
                "delta",
            ),
        },
    },
    "id",
    "object",
    "created",
    "model",
    "choices",
)
_TEXT_LOGPROBS: Final = {
    "anyOf": [
        _object(
            {
                "text_offset": {"type": "array", "items": {"type": "integer"}},
                "token_logprobs": {"type": "array", "items": {"type": ["number", "null"]}},
                "tokens": {"type": "array", "items": _TEXT},
                "top_logprobs": {"type": "array", "items": {"type": ["object", "null"]}},
            }
        ),
        {"type": "null"},
    ]
}


def _text_completion(*finish_reasons: str | None) -> dict[str, Any]:
    choice = {"finish_reason": {"enum": list(finish_reasons)}, "index": _COUNT, "logprobs": _TEXT_LOGPROBS,
              "text": _TEXT}  # fmt: skip
    return _object(
        {
            "id": {"type": "string", "pattern": "^cmpl-[0-9a-f]{32}$"},
            "object": {"const": "text_completion"},
            "created": {"type": "integer"},
            "model": _TEXT,
            "system_fingerprint": _TEXT,
            "usage": {"anyOf": [USAGE, {"type": "null"}]},
            "choices": {"type": "array", "items": _object(choice, *choice)},
        },
        "id",
        "object",
        "created",
        "model",
        "choices",
    )


TEXT_COMPLETION: Final = _text_completion("stop", "length", "content_filter")
TEXT_CHUNK: Final = _text_completion("stop", "length", "content_filter", None)
CATEGORIES: Final = (
    "hate", "hate/threatening", "harassment", "harassment/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


def _by_category(kind: dict[str, Any]) -> dict[str, Any]:
    return _object(dict.fromkeys(CATEGORIES, kind), *CATEGORIES)


_JUDGED_BY: Final = {"type": "array", "items": {"enum": ["text", "image"]}}
MODERATION: Final = _object(
    {
        "id": {"type": "string", "pattern": "^modr-[0-9a-f]{32}$"},
        "model": _TEXT,
        "results": {
            "type": "array",
            "items": _object(
                {
                    "flagged": {"type": "boolean"},
                    "categories": _by_category({"type": "boolean"}),
                    "category_scores": _by_category({"type": "number"}),
                    "category_applied_input_types": _by_category(_JUDGED_BY),
                },
                "flagged",
                "categories",
                "category_scores",
                "category_applied_input_types",
            ),
        },
    },
    "id",
    "model",
    "results",
)
EMBEDDINGS: Final = _object(
    {
        "object": {"const": "list"},
        "model": _TEXT,
        "data": {
            "type": "array",
            "items": _object(
                {"index": _COUNT, "object": {"const": "embedding"}, "embedding": {"type": ["array", "string"]}},
                "index",
                "object",
                "embedding",
            ),
        },
        "usage": _object({"prompt_tokens": _COUNT, "total_tokens": _COUNT}, "prompt_tokens", "total_tokens"),
    },
    "object",
    "model",
    "data",
    "usage",
)
RANKING: Final = _object(
    {
        "id": _TEXT,
        "model": _TEXT,
        "results": {
            "type": "array",
            "items": _object({"index": _COUNT, "relevance_score": {"type": "number"}}, "index", "relevance_score"),
        },
    },
    "id",
    "results",
)
"""As Cohere's and Jina's references have it: OpenAI has no such thing."""
_TOKENS: Final = _object(
    {"input_tokens": _COUNT, "output_tokens": _COUNT, "total_tokens": _COUNT},
    "input_tokens",
    "output_tokens",
    "total_tokens",
)
IMAGES: Final = _object(
    {
        "created": {"type": "integer"},
        "data": {"type": "array", "items": _object({"b64_json": _TEXT, "url": _TEXT, "revised_prompt": _TEXT})},
        "usage": _TOKENS,
    },
    "created",
)


def _image_event(kind: str, **properties: Any) -> dict[str, Any]:
    said: dict[str, Any] = {
        "type": {"const": f"image_generation.{kind}"}, "b64_json": _TEXT, "created_at": {"type": "integer"},
        "size": _TEXT, "quality": _TEXT, "background": _TEXT, "output_format": _TEXT, **properties,
    }  # fmt: skip
    return _object(said, *said)


IMAGE_EVENT: Final = {
    "anyOf": [_image_event("partial_image", partial_image_index=_COUNT), _image_event("completed", usage=_TOKENS)]
}
SPEECH_EVENT: Final = {
    "anyOf": [
        _object({"type": {"const": "speech.audio.delta"}, "audio": _TEXT}, "type", "audio"),
        _object({"type": {"const": "speech.audio.done"}, "usage": _TOKENS}, "type", "usage"),
    ]
}
_HEARD: Final = {
    "anyOf": [
        _object({"type": {"const": "duration"}, "seconds": {"type": "number"}}, "type", "seconds"),
        _object({"type": {"const": "tokens"}, **_TOKENS["properties"]}, "type", *_TOKENS["required"]),
    ]
}
TRANSCRIPT: Final = _object({"text": _TEXT, "usage": _HEARD}, "text")
TRANSCRIPT_EVENT: Final = {
    "anyOf": [
        _object({"type": {"const": "transcript.text.delta"}, "delta": _TEXT}, "type", "delta"),
        _object({"type": {"const": "transcript.text.done"}, "text": _TEXT, "usage": _HEARD}, "type", "text"),
    ]
}
ERROR: Final = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string", "minLength": 1},
                "type": _TEXT,
                "param": _TEXT_OR_NULL,
                "code": _TEXT_OR_NULL,
            },
            "required": ["message", "type", "param", "code"],
            "additionalProperties": False,
        }
    },
    "required": ["error"],
    "additionalProperties": False,
}
_PRICE: Final = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}
MODEL: Final = _object(
    {
        "id": _TEXT,
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": _TEXT,
        "context_length": _COUNT,
        "pricing": _object({"prompt": _PRICE, "completion": _PRICE}, "prompt", "completion"),
        "architecture": _object(
            {
                "input_modalities": {"type": "array", "items": _TEXT},
                "output_modalities": {"type": "array", "items": _TEXT},
            },
            "input_modalities",
            "output_modalities",
        ),
        "supported_parameters": {"type": "array", "items": _TEXT},
    },
    "id",
    "object",
    "created",
    "owned_by",
    "context_length",
    "pricing",
    "architecture",
    "supported_parameters",
)
MODELS: Final = _object({"object": {"const": "list"}, "data": {"type": "array", "items": MODEL}}, "object", "data")


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with a value, each fault with its place; empty if it is valid."""
    validator = Draft202012Validator(schema)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(value)]
