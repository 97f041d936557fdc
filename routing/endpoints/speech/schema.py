"""The shape of a request for speech: the public API's fields and ranges (CreateSpeechRequest), checked at the edge.

Unknown fields travel on. How long a text may be is the upstream's to judge: OpenAI takes 4,096 characters, others more.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from routing.endpoints.invalid import convert
from routing.endpoints.preferences import ModelName, ProviderPreferences, UsageOptions, refuse_wishes


class SpeechRequest(Struct):
    model: ModelName
    input: Annotated[str, Meta(min_length=1)]
    voice: str | dict[str, Any] | None = None
    instructions: str | None = None
    response_format: Annotated[str, Meta(max_length=20)] | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4)] | None = None
    stream_format: Literal["sse", "audio"] | None = None
    stream: bool | None = None
    models: Annotated[list[ModelName], Meta(max_length=8)] | None = None
    provider: ProviderPreferences | None = None
    usage: UsageOptions | None = None

    @property
    def is_stream(self) -> bool:
        """Always: sound is handed on as it comes."""
        return True

    @property
    def has_events(self) -> bool:
        return self.stream_format == "sse"


def read(body: dict[str, Any]) -> SpeechRequest:
    """The checked request; raises an InvalidRequest that names the field in `param`."""
    request = convert(body, SpeechRequest)
    refuse_wishes(body)
    if request.stream:  # as it is anyway, and OpenAI has no such field
        del body["stream"]
    return request
