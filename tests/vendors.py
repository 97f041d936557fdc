"""Every endpoint's answers and events as their vendors have them: by their packages' own types, strict, and by schemas.

The types are those of the packages `openai`, `anthropic` and `google-genai`; what they leave open, or have no type for,
stands in `tests/schemas.py`. Chunks of text completions have no finish reason until their last, which the package's
type denies; transcripts that are priced by the second end with these, where it knows tokens alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import orjson
from anthropic.types import Message, RawMessageStreamEvent
from google.genai.types import GenerateContentResponse
from openai.types import (
    Completion,
    CreateEmbeddingResponse,
    ImageGenStreamEvent,
    ImagesResponse,
    ModerationCreateResponse,
)
from openai.types.audio import TranscriptionCreateResponse, TranslationCreateResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests import schemas

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Vendor:
    """The types and schemas of an endpoint's whole answers and of its streams' events."""

    answer: Any = Any
    answers: Schema = field(default_factory=dict)
    event: Any = Any
    events: Schema = field(default_factory=dict)


VENDORS: Final = {
    "chat.completions": Vendor(ChatCompletion, schemas.COMPLETION, ChatCompletionChunk, schemas.CHUNK),
    "responses": Vendor(answer=Response, event=ResponseStreamEvent),
    "messages": Vendor(answer=Message, event=RawMessageStreamEvent),
    "generate": Vendor(answer=GenerateContentResponse, event=GenerateContentResponse),
    "completions": Vendor(Completion, schemas.TEXT_COMPLETION, events=schemas.TEXT_CHUNK),
    "embeddings": Vendor(CreateEmbeddingResponse, schemas.EMBEDDINGS),
    "rerank": Vendor(answers=schemas.RANKING),
    "moderations": Vendor(ModerationCreateResponse, schemas.MODERATION),
    "images.generations": Vendor(ImagesResponse, schemas.IMAGES, ImageGenStreamEvent, schemas.IMAGE_EVENT),
    "audio.speech": Vendor(events=schemas.SPEECH_EVENT),
    "audio.transcriptions": Vendor(TranscriptionCreateResponse, schemas.TRANSCRIPT, events=schemas.TRANSCRIPT_EVENT),
    "audio.translations": Vendor(TranslationCreateResponse, schemas.TRANSCRIPT),
}


def assert_answer(endpoint: str, raw: bytes) -> None:
    vendor = VENDORS[endpoint]
    _assert_is(vendor.answer, vendor.answers, raw)


def assert_stream(endpoint: str, raw: bytes) -> int:
    """Every event is the vendor's; returns how many there are."""
    vendor = VENDORS[endpoint]
    blocks = raw.replace(b"\r\n", b"\n").split(b"\n\n")
    events = [block.rpartition(b"data: ")[2] for block in blocks if b"data: " in block]
    events = [event for event in events if event != b"[DONE]"]
    for event in events:
        _assert_is(vendor.event, vendor.events, event)
    return len(events)


def _assert_is(kind: Any, schema: Schema, raw: bytes) -> None:
    value = orjson.loads(raw)
    assert schemas.faults(schema, value) == [], value
    if kind is GenerateContentResponse:
        for name in ("cost", "costDetails"):  # ours; Google's types take no member that they do not know
            value.get("usageMetadata", {}).pop(name, None)
    _adapter(kind).validate_json(orjson.dumps(value), strict=True)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
