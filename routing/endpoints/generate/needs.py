"""What a generateContent request may use: its bounds, its output cap, what it asks of a route."""

from __future__ import annotations

from typing import Any, Final

from routing.endpoints.base import LEAST_USEFUL_OUTPUT, Learned, ModelFacts, Needs
from routing.endpoints.chat.needs import BYTES_OF_A_TOKEN_AT_MOST, IMAGE_TOKENS, IMAGE_TOKENS_AT_MOST, pages_of
from routing.endpoints.generate.schema import GenerateRequest
from routing.endpoints.invalid import IntegerAboveMaxValue
from routing.errors import ContextLengthExceeded

_PDF: Final = "application/pdf"
_PAGE_TOKENS: Final = 1_120
"""The most that Google counts for one (ai.google.dev/gemini-api/docs/media-resolution)."""
_BEGINNING: Final = 512
"""Characters of a content that name its conversation."""


class Weight:
    """A request's size: its text in bytes, its pictures, and its documents' pages."""

    __slots__ = ("images", "pages", "text_bytes")

    def __init__(self, request: GenerateRequest, body_bytes: int) -> None:
        self.images = self.pages = 0
        self.text_bytes = body_bytes
        for part in request.parts():
            blob = part.inline_data
            self.images += part.file_data is not None
            if blob is not None and blob.mime_type.lower().startswith("image/"):
                self.images += 1
                self.text_bytes -= len(blob.data)
            elif blob is not None and blob.mime_type.lower() == _PDF:
                self.pages += pages_of(blob.data)
                self.text_bytes -= len(blob.data)

    def expected(self, bytes_per_token: float) -> int:
        return int(self.text_bytes / bytes_per_token) + self.images * IMAGE_TOKENS + self.pages * _PAGE_TOKENS

    def bound(self, dense_bytes_per_token: float) -> int:
        shown = (self.images + self.pages) * IMAGE_TOKENS_AT_MOST
        return int(self.text_bytes / dense_bytes_per_token) + shown


def needs_of(
    request: GenerateRequest, body: dict[str, Any], body_bytes: int, model: ModelFacts, learned: Learned, tenant_id: int
) -> Needs:
    """Raises ContextLengthExceeded or IntegerAboveMaxValue."""
    weight = Weight(request, body_bytes)
    expected_input = weight.expected(learned.bytes_per_token(model.name))
    least_input = weight.text_bytes // BYTES_OF_A_TOKEN_AT_MOST
    asked, answers = request.generation_config.max_output_tokens, request.choices
    cap = _output_cap(asked, model, least_input, expected_input)
    return Needs(
        text_bytes=weight.text_bytes,
        is_all_text=not (weight.images or weight.pages),
        input_bound=weight.bound(learned.dense_bytes_per_token(model.name)) + model.prompt_overhead,
        expected_input=expected_input,
        least_input=least_input,
        cap=cap,
        is_cap_ours=asked is None,
        answers=answers,
        expected_output=learned.expected_output(tenant_id, model.name, cap) * answers,
        capabilities=_capabilities(request, has_images=bool(weight.images)),
        prefix=hash((tenant_id, *(_beginning(content) for content in body["contents"][:2]))),
    )


def _output_cap(cap: int | None, model: ModelFacts, least_input: int, expected_input: int) -> int:
    """The bound on one candidate's output tokens: the client's, or the model's default as far as the window allows."""
    if least_input + (cap or 1) > model.context_window:
        raise ContextLengthExceeded(
            f"The input token count exceeds the maximum number of tokens allowed ({model.context_window}): at least "
            f"{least_input + (cap or 1)} were requested, prompt and output cap together.",
            param="contents",
        )
    if cap is None:
        room = max(model.context_window - expected_input, LEAST_USEFUL_OUTPUT)
        return min(model.default_output, model.output_limit, room)
    if cap > model.output_limit:
        raise IntegerAboveMaxValue(
            f"maxOutputTokens is {cap}, but this model supports at most {model.output_limit} output tokens.",
            param="generationConfig.maxOutputTokens",
        )
    return cap


def _capabilities(request: GenerateRequest, *, has_images: bool) -> frozenset[str]:
    asked = (("tools", bool(request.functions)), ("images", has_images), ("json_schema", request.has_schema))
    return frozenset(name for name, is_asked in asked if is_asked)


def _beginning(content: dict[str, Any]) -> str:
    parts = content.get("parts")
    text = parts[0].get("text") if parts else None
    return text[:_BEGINNING] if type(text) is str else ""
