"""The shape of a recording's form: the public API's fields (CreateTranscriptionRequest, CreateTranslationRequest).

Unknown fields travel on. A form has numbers and truths as text.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from accounts.errors import InvalidRequest
from routing.endpoints.invalid import InvalidType, convert, missing
from routing.endpoints.preferences import ModelName, ProviderPreferences, UsageOptions, refuse_wishes
from routing.providers.media import File

TEXTS: Final = frozenset(("text", "srt", "vtt"))
_STREAMED: Final = frozenset((None, "json", "text", "diarized_json"))
"""Formats that are streamed; with the others `stream` is ignored, as the public API does for models without it."""


class TranscriptionRequest(Struct):
    model: ModelName
    file: Any
    language: Annotated[str, Meta(max_length=40)] | None = None
    prompt: str | None = None
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"] | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    timestamp_granularities: list[Literal["word", "segment"]] | str | None = None
    stream: bool | None = None
    models: Annotated[list[ModelName], Meta(max_length=8)] | None = None
    provider: ProviderPreferences | None = None
    usage: UsageOptions | None = None

    @property
    def is_stream(self) -> bool:
        return bool(self.stream) and self.response_format in _STREAMED

    @property
    def is_text(self) -> bool:
        """Whether the answer is no JSON."""
        return self.response_format in TEXTS


def read_transcription(body: dict[str, Any]) -> TranscriptionRequest:
    """The checked request; raises an InvalidRequest that names the field in `param`."""
    request = _read(body)
    if not request.is_stream:
        body.pop("stream", None)
    return request


def read_translation(body: dict[str, Any]) -> TranscriptionRequest:
    """The same of a request to translate, which is never streamed."""
    request = _read(body)
    if request.stream:
        raise InvalidRequest("Translations are not streamed.", param="stream")
    body.pop("stream", None)
    return request


def _read(body: dict[str, Any]) -> TranscriptionRequest:
    request = convert(body, TranscriptionRequest, is_form=True)
    refuse_wishes(body)
    for name, value in body.items():
        if type(value) is File and name != "file":
            raise InvalidType(f"The field '{name[:64]}' must not be a file.", param=name[:64])
    if type(request.file) is not File:
        raise InvalidType("The field 'file' must be a file with a name.", param="file")
    if not request.file.data:
        raise InvalidRequest("The file is empty.", param="file")
    if not request.model:
        missing("model")
    return request
