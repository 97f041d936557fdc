"""The shape of a generateContent request, checked at the edge: ai.google.dev/api/generate-content.

The model, and whether the answer is a stream, stand in the path; the view puts them into the body. Unknown members
travel on. What is billed by more than its tokens has no price and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, field

from accounts.errors import InvalidRequest
from routing.endpoints.generate.names import in_json
from routing.endpoints.invalid import UnsupportedParameter, convert
from routing.endpoints.preferences import ModelName, ProviderPreferences, refuse_wishes

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Cap = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]


class Blob(Struct, rename="camel"):
    mime_type: str
    data: str


class FileData(Struct, rename="camel"):
    file_uri: str
    mime_type: str = ""


class FunctionCall(Struct, rename="camel"):
    name: Annotated[str, Meta(min_length=1)]
    id: str | None = None
    args: dict[str, Any] | None = None


class FunctionResponse(Struct, rename="camel"):
    name: Annotated[str, Meta(min_length=1)]
    response: dict[str, Any]
    id: str | None = None
    parts: list[Part] | None = None


class MediaResolution(Struct, rename="camel"):
    level: str = ""


class Part(Struct, rename="camel"):
    """One part of a content; kinds that are not named here are the upstream's to judge."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    media_resolution: MediaResolution | None = None


class Content(Struct, rename="camel"):
    parts: Annotated[list[Part], Meta(max_length=10_000)] = []
    role: str = "user"


class FunctionDeclaration(Struct, rename="camel"):
    name: Annotated[str, Meta(min_length=1)]
    description: str = ""
    parameters: dict[str, Any] | None = None
    parameters_json_schema: Any = None


class Tool(Struct, rename="camel"):
    function_declarations: Annotated[list[FunctionDeclaration], Meta(max_length=512)] = []


class FunctionCallingConfig(Struct, rename="camel"):
    mode: str = "AUTO"
    allowed_function_names: list[str] = []


class ToolConfig(Struct, rename="camel"):
    function_calling_config: FunctionCallingConfig | None = None


class SafetySetting(Struct, rename="camel"):
    category: str = ""
    threshold: str = ""


class ThinkingConfig(Struct, rename="camel"):
    include_thoughts: bool | None = None
    thinking_budget: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    thinking_level: str | None = None


class GenerationConfig(Struct, rename="camel"):
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[float, Meta(ge=0, le=2**31 - 1)] | None = None
    seed: Seed | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    max_output_tokens: Cap | None = None
    candidate_count: Annotated[int, Meta(ge=1, le=8)] | None = None
    stop_sequences: Annotated[list[str], Meta(max_length=5)] | None = None
    response_mime_type: str | None = None
    response_schema: dict[str, Any] | None = None
    response_json_schema: Any = None
    response_logprobs: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    thinking_config: ThinkingConfig | None = None
    response_modalities: list[str] | None = None
    media_resolution: str | None = None


class GenerateRequest(Struct, rename="camel"):
    """Everything of a request that the gateway reads."""

    model: ModelName
    contents: Annotated[list[Content], Meta(min_length=1, max_length=10_000)]
    stream: bool = False
    is_list: bool = False
    """A stream whose client does not read events: it gets its chunks in a list (Google's form without `alt=sse`)."""
    system_instruction: Content | None = None
    generation_config: GenerationConfig = field(default_factory=GenerationConfig)
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_config: ToolConfig | None = None
    safety_settings: list[SafetySetting] | None = None
    models: Annotated[list[ModelName], Meta(max_length=8)] | None = None
    provider: ProviderPreferences | None = None

    @property
    def is_stream(self) -> bool:
        return self.stream

    @property
    def choices(self) -> int:
        return self.generation_config.candidate_count or 1

    @property
    def shows_thoughts(self) -> bool:
        """Whether the client wants to see what is thought; else its first part would be none that it looks for."""
        thinking = self.generation_config.thinking_config
        return thinking is not None and bool(thinking.include_thoughts)

    @property
    def functions(self) -> list[FunctionDeclaration]:
        return [each for tool in self.tools or () for each in tool.function_declarations]

    @property
    def has_schema(self) -> bool:
        config = self.generation_config
        return config.response_schema is not None or config.response_json_schema is not None

    def parts(self) -> Iterator[Part]:
        """Every part of it, those of functions' responses too."""
        system = [self.system_instruction] if self.system_instruction else []
        for content in (*system, *self.contents):
            for part in content.parts:
                yield part
                if part.function_response is not None:
                    yield from part.function_response.parts or ()


_ROLES: Final = frozenset(("user", "model", "function", "tool", "system"))
_STORED: Final = "Content that is stored with an upstream is nobody's but that upstream's: send it with the request."
_SPOKEN: Final = ("speechConfig", "imageConfig", "audioConfig", "videoConfig", "translationConfig")
_DOCUMENTS: Final = frozenset(
    ("application/pdf", "application/json", "application/xml", "application/rtf", "application/javascript",
     "application/x-javascript", "application/x-python", "application/x-typescript")
)  # fmt: skip
_STANDARD: Final = frozenset(("", "standard", "default", "auto", "unspecified", "service_tier_unspecified"))


def read(body: dict[str, Any]) -> GenerateRequest:
    """The checked request; raises an InvalidRequest that names the field in `param`.

    Leaves in the body every member under its JSON name, and no null.
    """
    named = in_json(body)
    body.clear()
    body.update(named)
    request = convert(body, GenerateRequest)
    body.pop("isList", None)
    refuse_wishes(body)
    _check_unpriced(body, request)
    for place, content in enumerate(request.contents):
        if content.role not in _ROLES:
            raise InvalidRequest("Please use a valid role: user, model.", param=f"contents[{place}].role")
    for part in request.parts():
        _check_media(part)
    return request


def _check_unpriced(body: dict[str, Any], request: GenerateRequest) -> None:
    """Features that a price list cannot cover are refused, not given away."""
    if body.get("cachedContent"):
        raise UnsupportedParameter(_STORED, param="cachedContent")
    if str(body.get("serviceTier", "")).lower() not in _STANDARD:
        raise UnsupportedParameter("Service tiers have no price.", param="serviceTier")
    for place, tool in enumerate(body.get("tools") or ()):
        for name in tool.keys() - {"functionDeclarations"}:
            raise UnsupportedParameter(
                f"Hosted tool '{name[:64]}' has no price.",
                param=f"tools[{place}].{name[:64]}",
                kept="Hosted tools have no price.",
            )
    config = request.generation_config
    if any(each.upper() != "TEXT" for each in config.response_modalities or ()):
        raise UnsupportedParameter("Output other than text has no price.", param="generationConfig.responseModalities")
    for name in _SPOKEN:
        if (body.get("generationConfig") or {}).get(name):
            raise UnsupportedParameter("Output other than text has no price.", param=f"generationConfig.{name}")


def _check_media(part: Part) -> None:
    """Pictures and documents are counted; sound and film have no price, and nobody knows how long a file is."""
    if part.inline_data is not None:
        kind = part.inline_data.mime_type.lower()
        if not (kind.startswith(("image/", "text/")) or kind in _DOCUMENTS):
            raise UnsupportedParameter("Input other than text, pictures and documents has no price.", param="contents")
    if part.file_data is not None:
        if not part.file_data.file_uri.startswith(("https://", "http://")) or "/files/" in part.file_data.file_uri:
            raise UnsupportedParameter(_STORED, param="contents")
        if not part.file_data.mime_type.lower().startswith("image/"):
            raise UnsupportedParameter("Of files at an address only pictures have a price.", param="contents")
