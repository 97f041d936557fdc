"""What a Responses request may use: its bounds, its output cap, what it asks of a route, which conversation it is."""

from __future__ import annotations

from typing import Any, Final

from routing.endpoints.base import LEAST_USEFUL_OUTPUT, Learned, ModelFacts, Needs
from routing.endpoints.chat.needs import BYTES_OF_A_TOKEN_AT_MOST, shown_of
from routing.endpoints.chat.schema import is_paged
from routing.endpoints.invalid import IntegerAboveMaxValue
from routing.endpoints.responses.schema import ResponsesRequest
from routing.errors import ContextLengthExceeded

_BEGINNING: Final = 512
"""Characters of the instructions, and of an item, that name their conversation."""


def needs_of(
    request: ResponsesRequest,
    body: dict[str, Any],
    body_bytes: int,
    model: ModelFacts,
    learned: Learned,
    tenant_id: int,
) -> Needs:
    """Raises ContextLengthExceeded or IntegerAboveMaxValue."""
    parts = request.parts()
    images = [part.image_url for part in parts if part.image_url]
    documents = [part.file_data for part in parts if is_paged(part.file_data)]
    letters, shown, shown_at_most = shown_of(images, documents)
    text_bytes = body_bytes - letters
    expected_input = int(text_bytes / learned.bytes_per_token(model.name)) + shown
    input_bound = int(text_bytes / learned.dense_bytes_per_token(model.name)) + shown_at_most
    least_input = text_bytes // BYTES_OF_A_TOKEN_AT_MOST
    cap = _output_cap(request.cap, model, least_input, expected_input)
    return Needs(
        text_bytes=text_bytes,
        is_all_text=not (images or documents),
        input_bound=input_bound + model.prompt_overhead,
        expected_input=expected_input,
        least_input=least_input,
        cap=cap,
        is_cap_ours=request.cap is None,
        answers=1,
        expected_output=learned.expected_output(tenant_id, model.name, cap),
        capabilities=_capabilities(request, has_images=bool(images)),
        prefix=_prefix(tenant_id, request),
    )


def _output_cap(cap: int | None, model: ModelFacts, least_input: int, expected_input: int) -> int:
    """The bound on output tokens: the client's, or the model's default as far as the window allows."""
    if least_input + (cap or 1) > model.context_window:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {model.context_window} tokens, but at least "
            f"{least_input + (cap or 1)} were requested (input and output cap together).",
            param="input",
        )
    if cap is None:
        room = max(model.context_window - expected_input, LEAST_USEFUL_OUTPUT)
        return min(model.default_output, model.output_limit, room)
    if cap > model.output_limit:
        raise IntegerAboveMaxValue(
            f"'max_output_tokens' is too large: {cap}. This model supports at most {model.output_limit} output tokens.",
            param="max_output_tokens",
        )
    return cap


def _capabilities(request: ResponsesRequest, *, has_images: bool) -> frozenset[str]:
    asked = (("tools", bool(request.all_tools())), ("images", has_images), ("json_schema", request.has_schema))
    return frozenset(name for name, is_asked in asked if is_asked)


def _prefix(tenant_id: int, request: ResponsesRequest) -> int:
    """Names a conversation by its beginning; equal for the requests of one conversation in this process."""
    first = [_beginning(item) for kind, item in request.items[:2] if kind == "message"]
    return hash((tenant_id, (request.instructions or "")[:_BEGINNING], *first))


def _beginning(message: Any) -> str:
    content = message.content
    if type(content) is list:  # the first part names it well enough; the others may be megabytes
        content = (content[0].text if content else "") or ""
    return str(content[:_BEGINNING])
