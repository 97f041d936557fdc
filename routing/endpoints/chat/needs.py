"""What a chat request may use: its bounds, its output cap, what it asks of a route, and which conversation it is."""

from __future__ import annotations

from math import floor
from typing import Any, Final

from routing.endpoints.base import LEAST_USEFUL_OUTPUT, Learned, ModelFacts, Needs
from routing.endpoints.chat.schema import ChatRequest
from routing.endpoints.invalid import IntegerAboveMaxValue
from routing.errors import ContextLengthExceeded

BYTES_OF_A_TOKEN_AT_MOST: Final = 8
"""Used only to refuse prompts that cannot fit: no tokenizer averages more bytes a token over a whole prompt."""
IMAGE_TOKENS: Final = 1024
"""A picture of 1024 by 1024 pixels in OpenAI's tiles is 765 tokens, of 2048 by 2048 1,105 (Images and vision guide)."""
IMAGE_TOKENS_AT_MOST: Final = 4096
"""More than any documented size: Anthropic's largest picture is about 1,600 tokens, Qwen's default bound 1,280."""
PAGE_BYTES: Final = 64 * 1024
"""Of base64 for a page of a document: a guess, corrected by what the upstream counts."""
PAGE_TOKENS: Final = 3_000
"""A page is 1,500 to 3,000 tokens and a picture (docs.claude.com, PDF support)."""
_BEGINNING: Final = 512
"""Characters of a message that name its conversation."""


def needs_of(
    request: ChatRequest, body: dict[str, Any], body_bytes: int, model: ModelFacts, learned: Learned, tenant_id: int
) -> Needs:
    """Raises ContextLengthExceeded or IntegerAboveMaxValue."""
    images, documents = request.shown()
    is_all_text = not (images or documents)
    letters, shown, shown_at_most = NOTHING_SHOWN if is_all_text else shown_of(images, documents)
    text_bytes = body_bytes - letters
    expected_input = floor(text_bytes / learned.bytes_per_token(model.name)) + shown
    input_bound = floor(text_bytes / learned.dense_bytes_per_token(model.name)) + shown_at_most
    least_input = text_bytes // BYTES_OF_A_TOKEN_AT_MOST
    asked_cap, answers = request.cap, request.choices
    cap = _output_cap(request, asked_cap, model, least_input, expected_input)
    return Needs(
        text_bytes=text_bytes,
        is_all_text=is_all_text,
        input_bound=input_bound + model.prompt_overhead,
        expected_input=expected_input,
        least_input=least_input,
        cap=cap,
        is_cap_ours=asked_cap is None,
        answers=answers,
        expected_output=learned.expected_output(tenant_id, model.name, cap) * answers,
        capabilities=_capabilities(request, has_images=bool(images)) if images or _asks(request) else _PLAIN,
        prefix=_prefix(tenant_id, body["messages"]),
    )


NOTHING_SHOWN: Final = (0, 0, 0)


def shown_of(images: list[str], documents: list[str]) -> tuple[int, int, int]:
    """Of pictures and of documents with pages: their letters in the body, their tokens as expected, and at most."""
    pages = sum([pages_of(data) for data in documents])
    return sum(map(len, images)) + sum(map(len, documents)), *shown_tokens(len(images), pages)


def pages_of(data: str) -> int:
    """Pages of a document in base64."""
    return 1 + len(data) // PAGE_BYTES


def shown_tokens(images: int, pages: int) -> tuple[int, int]:
    """Tokens of so many pictures and pages, as expected and at most."""
    expected = images * IMAGE_TOKENS + pages * PAGE_TOKENS
    return expected, images * IMAGE_TOKENS_AT_MOST + pages * (PAGE_TOKENS + IMAGE_TOKENS_AT_MOST)


def _output_cap(request: ChatRequest, cap: int | None, model: ModelFacts, least_input: int, expected_input: int) -> int:
    """The bound on one choice's output tokens: the client's, or the model's default as far as the window allows."""
    if least_input + (cap or 1) > model.context_window:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {model.context_window} tokens, but at least "
            f"{least_input + (cap or 1)} were requested (prompt and output cap together).",
            param="messages",
        )
    if cap is None:
        room = max(model.context_window - expected_input, LEAST_USEFUL_OUTPUT)
        return min(model.default_output, model.output_limit, room)
    if cap > model.output_limit:
        name = "max_tokens" if request.max_tokens == cap else "max_completion_tokens"
        raise IntegerAboveMaxValue(
            f"'{name}' is too large: {cap}. This model supports at most {model.output_limit} output tokens.", param=name
        )
    return cap


_PLAIN: Final[frozenset[str]] = frozenset()


def _asks(request: ChatRequest) -> bool:
    return bool(request.tools or request.functions or request.response_format)


def _capabilities(request: ChatRequest, *, has_images: bool) -> frozenset[str]:
    format_ = request.response_format
    has_schema = format_ is not None and format_.type == "json_schema"
    has_tools = bool(request.tools or request.functions)
    asked = (("tools", has_tools), ("images", has_images), ("json_schema", has_schema))
    return frozenset(name for name, is_asked in asked if is_asked)


def _prefix(tenant_id: int, messages: list[dict[str, Any]]) -> int:
    """Names a conversation by its beginning; equal for the requests of one conversation in this process."""
    first = _beginning(messages[0])
    return hash((tenant_id, first, _beginning(messages[1]) if len(messages) > 1 else first))


def _beginning(message: dict[str, Any]) -> str:
    content = message.get("content")
    if type(content) is list:  # the first part names it well enough; the others may be megabytes
        content = content[0].get("text") if content else None
    return content[:_BEGINNING] if type(content) is str else ""
